use super::*;
use crate::change::{FileChange, FileImage, Stage};
use crate::facts::network::Flow;
use crate::facts::{Cluster, Listener, Peer, Session};
use crate::plan::testing::{change, policy, regular};
use crate::pve::guest::{Card, Guest, GuestKind};

const COROSYNC: &str = "nodelist {\n  node {\n    name: pve1\n    ring0_addr: 10.0.0.1\n    ring1_addr: 10.1.0.1\n  }\n  \
    node {\n    name: pve2\n    ring0_addr: 10.0.0.2\n    ring1_addr: 10.1.0.2\n  }\n}\n";
const OFF: &str = "[OPTIONS]\nenable: 0\n";
/// What the controls write: the set, the narrowed alias, the switch.
const GOOD: &str = "[OPTIONS]\nenable: 1\n[ALIASES]\nlocal_network 10.0.0.1\n[IPSET management]\n192.0.2.0/24\n\
    10.0.0.1\n10.0.0.2\n10.1.0.1\n10.1.0.2\n[RULES]\nIN ACCEPT -source 10.1.0.0/24 -p udp -dport 5405:5412\n";

fn session(operator: &str) -> Session {
    Session {
        user: "root".into(),
        through_sudo: false,
        operator: Some(operator.parse().unwrap()),
        server: Some("10.0.0.1".parse().unwrap()),
        server_port: Some(22),
    }
}

fn facts(cluster_fw: &str, clustered: bool) -> Facts {
    let mut facts = Facts {
        session: Reading::Known(session("192.0.2.5")),
        node_name: Reading::Known("pve1".into()),
        addresses: Reading::Known(vec!["10.0.0.1/24".parse().unwrap(), "10.1.0.1/24".parse().unwrap()]),
        cluster: Reading::Absent,
        ..Facts::default()
    };
    facts.network.node_address = Reading::Known("10.0.0.1".parse().unwrap());
    facts.network.local_network = Reading::Known("10.0.0.0/24".parse().unwrap());
    facts.network.guests = Reading::Known(Vec::new());
    facts.files.insert(CLUSTER_FW.into(), regular(cluster_fw, 0o640, "root"));
    facts.files.insert("/etc/pve/nodes/pve1/host.fw".into(), Reading::Absent);
    if clustered {
        facts.files.insert("/etc/pve/corosync.conf".into(), regular(COROSYNC, 0o640, "root"));
        facts.files.insert("/etc/pve/nodes/pve2/host.fw".into(), Reading::Absent);
        let addresses = ["10.0.0.2", "10.1.0.2"].map(|text| text.parse().unwrap()).into();
        let peers = vec![Peer { name: "pve2".into(), addresses, online: true }];
        let cluster = Cluster { name: "lab".into(), quorate: true, peers, migration_network: None };
        facts.cluster = Reading::Known(cluster);
    }
    facts
}

fn writes(path: &str, before: &str, after: &str) -> Vec<Change> {
    let image = |content: &str| Some(FileImage { group: "www-data".into(), ..FileImage::root(content, 0o640) });
    let file = FileChange { path: path.into(), before: image(before), after: image(after), validate: None };
    vec![change("firewall.enable", Stage::Firewall, Action::File(file))]
}

fn asked(facts: &Facts, changes: &[Change]) -> Reach {
    reach(facts, &policy(), &Operator::default(), changes).unwrap().unwrap().0
}

fn reasons(facts: &Facts, changes: &[Change], operator: &Operator) -> Vec<String> {
    let found = reach(facts, &policy(), operator, changes).unwrap().map(|(reach, _)| reach);
    refusals(&found, operator).into_iter().map(|refusal| refusal.reason).collect()
}

#[test]
fn other_plans_have_no_table() {
    let changes = writes("/etc/ssh/sshd_config.d/x.conf", "", "x");
    assert!(reach(&facts(OFF, false), &policy(), &Operator::default(), &changes).is_none());
}

#[test]
fn a_good_firewall_of_a_cluster_cuts_nobody() {
    let facts = facts(OFF, true);
    let changes = writes(CLUSTER_FW, OFF, GOOD);
    assert_eq!(reasons(&facts, &changes, &Operator::default()), Vec::<String>::new());
    let table = asked(&facts, &changes);
    assert!(table.rows.iter().all(|row| row.after == Verdict::Accept), "{:#?}", table.rows);
    let kinds: Vec<_> = table.rows.iter().map(|row| (row.kind, row.what.as_str())).collect();
    assert_eq!(
        kinds,
        [
            (RowKind::Operator, "22/tcp"),
            (RowKind::Operator, "8006/tcp"),
            (RowKind::Management, "8006/tcp"),
            (RowKind::Management, "22/tcp"),
            (RowKind::Peer, "corosync link 0 (5405/udp)"),
            (RowKind::Peer, "SSH (22/tcp)"),
            (RowKind::Peer, "8006/tcp"),
            (RowKind::Peer, "migration (60000/tcp)"),
        ]
    );
}

#[test]
fn an_operator_outside_is_refused_before_anything_changes() {
    let mut facts = facts(OFF, false);
    facts.session = Reading::Known(session("198.51.100.9"));
    let reasons = reasons(&facts, &writes(CLUSTER_FW, OFF, GOOD), &Operator::default());
    assert_eq!(
        reasons[0],
        "the planned firewall would cut you off: you (198.51.100.9) → 22/tcp: drop by policy_in: DROP (PVE's default)"
    );
    assert_eq!(reasons.len(), 2);
}

#[test]
fn a_rule_that_locks_the_operator_out_is_named() {
    let after = GOOD.replace("[RULES]\n", "[RULES]\nIN DROP -p tcp -dport 22\n");
    let reasons = reasons(&facts(OFF, false), &writes(CLUSTER_FW, OFF, &after), &Operator::default());
    assert!(reasons[0].ends_with("drop by cluster.fw:12 IN DROP -p tcp -dport 22"), "{reasons:?}");
}

#[test]
fn peers_that_are_left_out_of_the_set_are_refused() {
    let after = "[OPTIONS]\nenable: 1\n[ALIASES]\nlocal_network 10.0.0.1\n[IPSET management]\n192.0.2.0/24\n";
    let reasons = reasons(&facts(OFF, true), &writes(CLUSTER_FW, OFF, after), &Operator::default());
    let said = |what: &str| reasons.iter().any(|reason| reason.contains(what) && reason.contains("cut the cluster"));
    assert!(said("pve1 ↔ pve2 → SSH (22/tcp)") && said("migration (60000/tcp)"), "{reasons:#?}");
    assert!(!said("corosync"), "link 0 is let in by PVE itself: {reasons:#?}");
}

#[test]
fn a_second_link_without_a_rule_is_a_note() {
    let after = GOOD.lines().filter(|line| !line.contains("5405")).collect::<Vec<_>>().join("\n") + "\n";
    let facts = facts(OFF, true);
    let changes = writes(CLUSTER_FW, OFF, &after);
    assert_eq!(reasons(&facts, &changes, &Operator::default()), Vec::<String>::new());
    let notes = notes(&asked(&facts, &changes), &Operator::default());
    assert!(notes[0].starts_with("no rule lets this corosync link in") && notes[0].contains("5406/udp"), "{notes:?}");
}

#[test]
fn what_would_be_cut_is_shown_with_its_process() {
    let mut facts = facts(OFF, false);
    let socket = |port, process: &str, address: &str| Listener {
        protocol: "tcp".into(),
        address: address.parse().unwrap(),
        interface: None,
        port,
        process: Some(process.into()),
    };
    facts.listeners = Reading::Known(vec![socket(111, "rpcbind", "0.0.0.0"), socket(85, "pvedaemon", "127.0.0.1")]);
    facts.network.flows = Reading::Known(vec![Flow {
        protocol: "tcp".into(),
        local: "10.0.0.1".parse().unwrap(),
        port: 2049,
        peer: "10.0.0.77".parse().unwrap(),
        count: 2,
        process: Some("nfsd".into()),
    }]);
    let table = asked(&facts, &writes(CLUSTER_FW, OFF, GOOD));
    let rows: Vec<_> = table
        .rows
        .iter()
        .filter(|row| matches!(row.kind, RowKind::Flow | RowKind::Internet))
        .map(|row| format!("{} {} {} {}", row.who, row.what, row.before, row.after))
        .collect();
    assert_eq!(rows, ["10.0.0.77 2049/tcp nfsd accept drop", "the Internet 111/tcp rpcbind accept drop"]);
    let notes = notes(&table, &Operator::default());
    assert_eq!(
        notes,
        [
            "a connection seen now would be refused when it is made again: 10.0.0.77 → 2049/tcp nfsd: drop by policy_in: \
          DROP (PVE's default)"
        ]
    );
}

#[test]
fn guests_that_wake_up_need_a_flag() {
    let mut facts = facts(OFF, false);
    let guest = |id, firewall| Guest {
        id,
        kind: GuestKind::Qemu,
        node: "pve1".into(),
        name: Some("web".into()),
        cards: vec![Card { id: "net0".into(), bridge: Some("vmbr0".into()), firewall }],
        spice: false,
    };
    facts.network.guests = Reading::Known(vec![guest(100, true), guest(101, false), guest(102, true)]);
    let file = "[OPTIONS]\nenable: 1\n[RULES]\nIN SSH(ACCEPT)\n";
    for id in [100, 101] {
        facts.files.insert(format!("/etc/pve/firewall/{id}.fw"), regular(file, 0o640, "root"));
    }
    facts.files.insert("/etc/pve/firewall/102.fw".into(), Reading::Absent);
    let changes = writes(CLUSTER_FW, OFF, GOOD);
    let reason = "switching the datacenter firewall on wakes the own firewall of 1 guest (100)";
    assert_eq!(reasons(&facts, &changes, &Operator::default()), [reason]);
    let accepting = Operator { accept_guest_firewall: true, ..Operator::default() };
    assert_eq!(reasons(&facts, &changes, &accepting), Vec::<String>::new());
    let notes = notes(&asked(&facts, &changes), &accepting);
    assert_eq!(
        notes,
        [
            "guest 100 (web) on pve1: its firewall wakes up on net0, as you accepted: it drops what comes in except by IN \
          SSH(ACCEPT)"
        ]
    );
    // A firewall that is on already wakes nobody.
    let more = format!("{GOOD}IN ACCEPT -p tcp -dport 443\n");
    facts.files.insert(CLUSTER_FW.into(), regular(GOOD, 0o640, "root"));
    assert_eq!(reasons(&facts, &writes(CLUSTER_FW, GOOD, &more), &Operator::default()), Vec::<String>::new());
}

#[test]
fn what_cannot_be_told_is_refused() {
    let mut facts = facts(OFF, true);
    facts.files.remove("/etc/pve/nodes/pve2/host.fw");
    let reasons = reasons(&facts, &writes(CLUSTER_FW, OFF, GOOD), &Operator::default());
    assert!(reasons[0].contains("cannot be told: /etc/pve/nodes/pve2/host.fw"), "{reasons:?}");
}

#[test]
fn pves_simulator_is_asked_the_same() {
    let (_, questions) =
        reach(&facts(OFF, false), &policy(), &Operator::default(), &writes(CLUSTER_FW, OFF, GOOD)).unwrap().unwrap();
    let operator = FirewallQuestion {
        source: "192.0.2.5".parse().unwrap(),
        destination: "10.0.0.1".parse().unwrap(),
        protocol: "tcp".into(),
        port: 22,
        expected: "ACCEPT".into(),
    };
    assert!(questions.contains(&operator), "{questions:#?}");
}
