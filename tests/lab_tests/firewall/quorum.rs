//! The firewall of a cluster, taken up by its members together, when that goes wrong half way.

use std::process::{Child, Stdio};
use std::time::Duration;

use super::shipped::{ALL, reach};
use crate::support::lab::{Lab, Said, eventually};

const MEMBERS: [&str; 2] = ["pve1", "pve2"];
const PATIENCE: Duration = Duration::from_secs(180);
const NEWEST: &str = "cd \"$(ls -d /var/lib/pve-harden/runs/*/ | tail -n 1)\"";

fn begun(lab: &Lab) -> Child {
    let arguments = ["apply", "pve1", "--cluster", "--yes", "--profile", "strict"];
    let controls = ["--control", "firewall.*", "--control", "accounts.admin"];
    let mut command = lab.command(&[&arguments[..], &controls].concat());
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn ended(child: Child) -> Said {
    Said::of(&child.wait_with_output().unwrap())
}

fn holds(lab: &Lab, node: &str, condition: &str) -> bool {
    lab.exec(node, condition).status == 0
}

/// A line of the newest run's journal.
fn comes_to(lab: &Lab, node: &str, line: &str) {
    eventually(PATIENCE, &format!("{node}: {line}"), || {
        holds(lab, node, &format!("{NEWEST} && grep -q ' {line}' journal"))
    });
}

const ENFORCED: &str = "iptables-save | grep -q PVEFW-HOST-IN";
const STOPPED: &str = "! iptables-save | grep -q PVEFW-HOST-IN && ! systemctl -q is-active pve-firewall";

/// Everything is as it was before the runs, and the daemons are at work.
fn assert_as_before(lab: &Lab, undone: usize) {
    for node in MEMBERS {
        let decided = "! ls -d */new */open */undoing 2>/dev/null | grep -q .";
        let all = format!("cd /var/lib/pve-harden/runs && [ $(ls -d */undone | wc -l) = {undone} ] && {decided}");
        let undone = || holds(lab, node, &all);
        eventually(PATIENCE, &format!("{node} is undone"), undone);
        let disabled = "[ \"$(pve-firewall status)\" = 'Status: disabled/running' ]";
        eventually(PATIENCE, &format!("the daemons of {node} are back"), || holds(lab, node, disabled));
        assert_eq!(lab.on(node, "find /etc/pve -name '*.fw'"), "", "{node}");
        assert_eq!(reach(lab, "outside", node), ALL, "{node}");
    }
}

#[test]
fn a_cluster_takes_its_firewall_up_as_a_whole_or_not_at_all() {
    let Some(lab) = Lab::up("fw-lost", &MEMBERS, &["--cluster"]) else { return };

    // The other member confirms, then the one that wrote cannot: the confirmed run is taken back as well.
    let child = begun(&lab);
    comes_to(&lab, "pve1", "gate proved");
    lab.on("pve1", "nft 'add table inet spoil; add chain inet spoil out { type filter hook output priority 0; }; add rule inet spoil out oifname lo tcp dport 8006 drop'");
    let said = ended(child).exits(5);
    lab.on("pve1", "nft delete table inet spoil");
    assert!(said.stderr.contains("port 8006 answered before and does not answer now"), "{}", said.stderr);
    assert!(said.stderr.contains("pve2 was rolled back and is as it was before"), "{}", said.stderr);
    assert!(said.stderr.contains("pve1 did not take the change up"), "{}", said.stderr);
    let journal = lab.on("pve2", &format!("{NEWEST} && cat journal"));
    assert!(journal.contains(" committed ") && journal.contains(" undoing together"), "{journal}");
    assert_as_before(&lab, 1);

    // Without quorum nothing in /etc/pve can be put back: the members open up, tell so, and keep it so over a restart.
    let child = begun(&lab);
    comes_to(&lab, "pve1", "settling firewall");
    eventually(PATIENCE, "the rules are live on pve1", || holds(&lab, "pve1", ENFORCED));
    lab.lab(["cut", "pve2"]).exits(0);
    eventually(PATIENCE, "pve1 has stopped its firewall", || holds(&lab, "pve1", STOPPED));
    assert_eq!(reach(&lab, "outside", "pve1"), ALL, "pve1 without quorum");
    lab.lab(["reboot", "pve1"]).exits(0);
    eventually(PATIENCE, "pve1 is back", || reach(&lab, "outside", "pve1") == ALL);
    assert!(holds(&lab, "pve1", STOPPED), "pve1 enforces rules after a restart without quorum");
    let told = "test -e undoing && grep -q 'firewall of this node is stopped' /run/motd.d/pve-harden";
    eventually(PATIENCE, "pve1 tells", || holds(&lab, "pve1", &format!("{NEWEST} && {told}")));
    comes_to(&lab, "pve2", "undoing");
    assert!(!holds(&lab, "pve2", ENFORCED));
    lab.lab(["mend", "pve2"]).exits(0);
    let said = ended(child);
    assert!([5, 6].contains(&said.status), "{}\n{}", said.stdout, said.stderr);
    assert_as_before(&lab, 2);
}
