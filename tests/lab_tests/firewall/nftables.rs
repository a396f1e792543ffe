//! A node whose firewall is proxmox-firewall.

use std::time::Duration;

use super::shipped::{ALL, reach};
use crate::lab_tests::enforcement::nftables::install;
use crate::support::lab::{Lab, eventually};

const NONE: [&str; 0] = [];
const RULES: &str = "nft list chain inet proxmox-firewall cluster-in 2>/dev/null";

#[test]
fn a_node_with_nftables_answers_its_management_networks_and_nobody_else() {
    let Some(lab) = Lab::up("fw-nft", &["pve1"], &[]) else { return };
    install(&lab, "pve1");
    lab.on("pve1", "printf '[OPTIONS]\\n\\nnftables: 1\\n' >/etc/pve/local/host.fw");
    let strict = ["pve1", "--profile", "strict", "--control", "firewall.*", "--control", "accounts.admin", "--yes"];
    let applied = || lab.harden(&[&["apply"], &strict[..]].concat()).exits(0);
    applied();
    assert_eq!(lab.on("pve1", "iptables-save | grep -c PVEFW || true").trim(), "0");
    assert_eq!(reach(&lab, "operator", "pve1"), ALL);
    for host in ["neighbour", "outside"] {
        assert_eq!(reach(&lab, host, "pve1"), NONE, "{host} after");
    }
    let host_fw = lab.on("pve1", "cat /etc/pve/local/host.fw");
    assert!(host_fw.contains("nftables: 1\n"), "{host_fw}");
    applied();

    // A line that pve-firewall would leave out: this one refuses the file and keeps the rules that it has.
    let loaded = lab.on("pve1", RULES);
    lab.on("pve1", "cp /etc/pve/firewall/cluster.fw /root/good.fw && printf 'allow tcp from any\\n' >>/etc/pve/firewall/cluster.fw");
    let refused =
        || lab.on("pve1", "journalctl -u proxmox-firewall --no-pager -o cat").contains("updating firewall rules");
    eventually(Duration::from_secs(60), "a refused file", refused);
    assert_eq!(lab.on("pve1", RULES), loaded);
    assert_eq!(reach(&lab, "outside", "pve1"), NONE);
    lab.on("pve1", "cp /root/good.fw /etc/pve/firewall/cluster.fw");

    lab.harden(&["rollback", "pve1", "--yes"]).exits(0);
    for host in ["operator", "neighbour", "outside"] {
        assert_eq!(reach(&lab, host, "pve1"), ALL, "{host} after the rollback");
    }
    assert_eq!(lab.on("pve1", &format!("{RULES} || true")), "");
}
