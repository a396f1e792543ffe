//! proxmox-firewall on a lab node: pve-sim's, or with `PVE_NFT=PROGRAM` a real one.

use super::Files;
use crate::support::lab::{Lab, feed};

/// The kernel of a lab may have no `reject` and no connection tracking for bridges, where a real program keeps its
/// rules for guests: those lines are left out on their way to nft.
const NFT: &str = "#!/bin/sh\nexec awk '/^table bridge/ { bridge = 1 } \
    bridge && /reject with|ct state|ibrname/ { next } { print }' | /usr/sbin/nft \"$@\"\n";

/// Puts proxmox-firewall onto the node and starts it.
pub fn install(lab: &Lab, node: &str) {
    lab.on(node, "pve-sim install-proxmox-firewall");
    if let Some(program) = std::env::var_os("PVE_NFT") {
        let own = "/usr/libexec/proxmox/proxmox-firewall";
        let put = format!("rm {own} && cat >{own} && chmod 755 {own}");
        feed(lab, node, &put, &std::fs::read(program).unwrap());
        feed(lab, node, "cat >/usr/local/sbin/nft && chmod 755 /usr/local/sbin/nft", NFT.as_bytes());
    }
    lab.on(node, "systemctl daemon-reload && systemctl start proxmox-firewall");
}

/// Puts the files in place and waits until proxmox-firewall has written its rules, or taken them away.
#[track_caller]
pub fn load(lab: &Lab, node: &str, files: &Files, off: bool) {
    let host = files.host.replacen("[OPTIONS]\n", "[OPTIONS]\n\nnftables: 1\n", 1);
    for (path, text) in [
        ("/etc/pve/firewall/cluster.fw", &files.cluster),
        ("/etc/pve/local/host.fw", &host),
        ("/etc/pve/corosync.conf", &files.corosync),
    ] {
        let script = if text.is_empty() { format!("rm -f {path}") } else { format!("cat >{path}") };
        feed(lab, node, &script, text.as_bytes());
    }
    // pve-firewall takes its own rules away and says that the other one may work; a restart of that one takes its rules
    // away first, so that those of the files before are not taken for new ones. systemd counts so many starts as a loop.
    let rules = "nft list chain inet proxmox-firewall cluster-in 2>/dev/null | grep -q -e accept -e drop -e reject";
    let ready = if off { format!("! {rules}") } else { rules.to_owned() };
    let flag = if off { "true" } else { "[ ! -e /run/proxmox-nftables-firewall-force-disable ]" };
    lab.on(
        node,
        &format!(
            "pve-firewall restart; conntrack -F 2>/dev/null
            for i in $(seq 600); do iptables-save | grep -q PVEFW || {{ {flag} && break; }}; sleep 0.1; done
            systemctl reset-failed proxmox-firewall; systemctl restart proxmox-firewall
            for i in $(seq 600); do {ready} && exit 0; sleep 0.1; done
            journalctl -u proxmox-firewall -n 5 --no-pager >&2; exit 1"
        ),
    );
}
