//! Recorded answers of `pve-firewall simulate` and of real packets.

use std::net::IpAddr;

use pve_harden::firewall::{Protocol, Question, Verdict};
use pve_harden::pve::firewall::Backend;

use super::{model, read};

const TO: &str = "10.77.0.2";

fn question(source: &str, port: u16) -> Question {
    Question::to_node(source.parse().unwrap(), TO.parse::<IpAddr>().unwrap(), Protocol::Tcp, port)
}

#[track_caller]
fn holds(text: &str, host: &str, table: &[(&str, u16, Verdict)]) {
    let model = model(text, host, Backend::Iptables);
    for (source, port, wanted) in table {
        let answer = model.ask(&question(source, *port));
        assert_eq!(answer.verdict, *wanted, "{source}:{port} by {}", answer.by);
    }
}

use Verdict::{Accept, Drop};

/// firewall-good.txt.
#[test]
fn the_good_file() {
    let good = read("good.fw");
    let table = [
        ("10.77.0.9", 8006, Accept),
        ("192.0.2.7", 8006, Accept),
        ("203.0.113.5", 22, Drop),
        ("203.0.113.5", 8006, Drop),
    ];
    holds(&good, "", &table);
    // firewall-management-semantics.txt
    holds(&good, "[OPTIONS]\nenable: 0\n", &[("203.0.113.5", 22, Accept)]);
}

/// firewall-management-semantics.txt.
#[test]
fn the_management_set() {
    let own_subnet = [22, 8006, 5900, 3128, 60000].map(|port| ("10.77.0.9", port, Accept));
    holds("[OPTIONS]\nenable: 1\n", "", &own_subnet);
    holds("[OPTIONS]\nenable: 1\n", "", &[111, 2222].map(|port| ("10.77.0.9", port, Drop)));
    holds(
        "[OPTIONS]\nenable: 1\n",
        "",
        &[22, 8006, 5900, 3128, 60000, 111, 2222].map(|port| ("203.0.113.5", port, Drop)),
    );
    let empty = "[OPTIONS]\nenable: 1\n\n[IPSET management]\n\n";
    holds(empty, "", &[22, 8006].map(|port| ("10.77.0.9", port, Accept)));
    let other = format!("{empty}192.0.2.0/24\n");
    holds(&other, "", &[22, 8006].map(|port| ("10.77.0.9", port, Accept)));
    holds(&other, "", &[22, 8006].map(|port| ("192.0.2.9", port, Accept)));
    let narrowed =
        "[OPTIONS]\nenable: 1\n\n[ALIASES]\n\nlocal_network 10.77.0.2\n\n[IPSET management]\n\n192.0.2.0/24\n";
    holds(narrowed, "", &[22, 8006].map(|port| ("10.77.0.9", port, Drop)));
    holds(narrowed, "", &[22, 8006].map(|port| ("192.0.2.9", port, Accept)));
    holds(narrowed, "", &[22, 8006].map(|port| (TO, port, Accept)));
}

/// firewall-management-semantics.txt.
#[test]
fn own_rules_come_first() {
    let head = "[OPTIONS]\nenable: 1\n\n[IPSET management]\n\n192.0.2.0/24\n\n[RULES]\n\n";
    let moved = format!("{head}IN ACCEPT -source +dc/management -p tcp -dport 2222\n");
    holds(&moved, "", &[("192.0.2.9", 22, Accept), ("192.0.2.9", 2222, Accept)]);
    let dropped = format!(
        "{head}IN ACCEPT -source +dc/management -p tcp -dport 22\nIN DROP -p tcp -dport 22\nIN DROP -p tcp -dport 8006\n"
    );
    let table =
        [("10.77.0.9", 22, Accept), ("10.77.0.9", 8006, Drop), ("192.0.2.9", 22, Accept), ("192.0.2.9", 8006, Drop)];
    holds(&dropped, "", &table);
    holds("[OPTIONS]\nenable: 1\npolicy_in: ACCEPT\n", "", &[("203.0.113.5", 111, Accept)]);
    holds(&read("bad23-drop-22-mgmt.fw"), "", &[("10.77.0.9", 22, Drop)]);
}

/// firewall-live-lab.txt: real packets.
#[test]
fn real_packets_of_the_lab() {
    let text = "[OPTIONS]\n\nenable: 1\npolicy_in: DROP\n\n[ALIASES]\n\nlocal_network 10.77.77.2\n\n[IPSET management]\n\n10.77.77.1\n";
    let table = [
        ("10.77.77.1", 22, Accept),
        ("10.77.77.1", 8006, Accept),
        ("10.77.77.9", 22, Drop),
        ("10.77.77.9", 8006, Drop),
    ];
    holds(text, "", &table);
}

#[test]
fn the_answer_names_the_rule() {
    let model = model(&read("good.fw"), "", Backend::Iptables);
    let by = |source: &str, port| model.ask(&question(source, port)).by.to_string();
    assert_eq!(
        by("10.77.0.9", 8006),
        "cluster.fw:23 IN ACCEPT -source +management -p tcp -dport 8006 -log nolog # gui"
    );
    assert_eq!(by("10.77.0.9", 3128), "PVE's own rule: SPICE proxy (3128) from the management set");
    assert_eq!(by("203.0.113.5", 8006), "cluster.fw:4 policy_in: DROP");
    assert_eq!(by("203.0.113.5", 445), "PVE's own rule: PVEFW-Drop: well-known noise");
}

#[test]
fn a_refused_file_is_unknown_and_a_switched_off_firewall_lets_all_pass() {
    let refused = model(&read("bad18-garbage-rule.fw"), "", Backend::Nftables).ask(&question("203.0.113.5", 22));
    assert_eq!(refused.verdict, Verdict::Unknown);
    assert!(refused.by.to_string().contains("cluster.fw line 4: invalid direction"), "{}", refused.by);
    let off = model(&read("bad03-enable-yes.fw"), "", Backend::Iptables).ask(&question("203.0.113.5", 22));
    assert_eq!(off.verdict, Accept);
    // proxmox-firewall takes `yes`.
    let on = model(&read("bad03-enable-yes.fw"), "", Backend::Nftables).ask(&question("203.0.113.5", 22));
    assert_eq!(on.verdict, Drop);
}
