//! Sockets that follow from what the node is: without them on a list, they are no finding.

use crate::facts::{Facts, Listener};

/// Why a socket is there, when the node's own configuration tells.
pub fn reason(facts: &Facts, listener: &Listener) -> Option<&'static str> {
    let process = listener.process.as_deref().unwrap_or_default();
    let exists = |path: &str| facts.file(path).known().is_some();
    if process.starts_with("ceph-") && exists("/etc/pve/ceph.conf") {
        return Some("Ceph");
    }
    let sshd = |text: &str| text.lines().any(|port| port.parse() == Ok(listener.port));
    let ports = facts.sshd.global.known().and_then(|settings| settings.get("port"));
    if listener.protocol == "tcp" && matches!(process, "sshd" | "systemd") && ports.is_some_and(|ports| sshd(ports)) {
        return Some("sshd");
    }
    nfs(facts, listener, process)
}

/// NFS: the server's ports where something is exported, the lock manager's and rpcbind's where NFS is used at all.
fn nfs(facts: &Facts, listener: &Listener, process: &str) -> Option<&'static str> {
    use crate::facts::network::NfsUse;
    let exports = facts.network.nfs.known().is_some_and(|uses| uses.iter().any(|it| matches!(it, NfsUse::Export(_))));
    let served = matches!(process, "rpc.mountd" | "nfsdcld") || (process.is_empty() && listener.port == 2049);
    if exports && served {
        return Some("NFS server");
    }
    let client = matches!(process, "rpc.statd" | "rpcbind") || listener.port == 111;
    // The kernel's lock manager has a port of its own choice and no process.
    let kernel = process.is_empty() && listener.port >= 1024;
    let used = super::rpcbind::nfs_use(facts).ok().flatten().is_some();
    (used && (client || kernel)).then_some("NFS")
}
