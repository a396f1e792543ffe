//! What PVE's firewall lets through, shown with packets.

mod generated;
pub mod nftables;
mod packets;
mod probe;
mod reach;

use crate::support::lab::Lab;

/// What a node's firewall reads, as text; an empty file is removed.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// cluster.fw
    pub cluster: String,
    /// host.fw
    pub host: String,
    /// corosync.conf of a node that is in no cluster; a member keeps its own.
    pub corosync: String,
}

/// Puts the files in place and waits until the node reports that they are what the kernel has.
#[track_caller]
pub fn load(lab: &Lab, node: &str, files: &Files) {
    use base64::Engine as _;
    let mut script = String::from("set -e\n");
    for (path, text) in [
        ("/etc/pve/firewall/cluster.fw", &files.cluster),
        ("/etc/pve/local/host.fw", &files.host),
        ("/etc/pve/corosync.conf", &files.corosync),
    ] {
        let encoded = base64::engine::general_purpose::STANDARD.encode(text);
        let line = if text.is_empty() {
            // Without it a member's automatic rules for corosync go, and the cluster lives from connection tracking.
            format!("[ {path} = /etc/pve/corosync.conf ] && [ -e /etc/corosync/corosync.conf ] || rm -f {path}\n")
        } else {
            format!("echo {encoded} | base64 -d >{path}\n")
        };
        script.push_str(&line);
    }
    // A restart compiles at once instead of at the next tick.
    script += "pve-firewall restart; conntrack -F 2>/dev/null\n";
    script += "for i in $(seq 100); do pve-firewall status 2>/dev/null | grep -qx 'Status: [a-z]*/running' && exit 0; sleep 0.05; done; pve-firewall status; exit 1";
    lab.on(node, &script);
}
