//! firewall.* on recorded nodes.

use std::net::IpAddr;

use super::{BACKEND, COROSYNC, ENABLE, Firewall, MANAGEMENT, NODE, SERVICES};
use crate::change::{Action, UnitVerb};
use crate::controls::testing::{advice, baseline, carry_out, changes, put, put_text, story};
use crate::controls::{Control, Status};
use crate::facts::{Facts, Reading};
use crate::profile::policy::{ExpectedBackend, FirewallMode, FirewallVerdict, Policy};

const CLUSTER: &str = "/etc/pve/firewall/cluster.fw";
const HOST: &str = "/etc/pve/nodes/pve1/host.fw";

/// The shipped baseline with every control of the firewall, and a management network.
fn policy() -> Policy {
    let mut policy = baseline();
    policy.site.management = vec!["10.77.0.0/24".parse().unwrap(), "2001:db8:7::/48".parse().unwrap()];
    let firewall = &mut policy.profile.firewall;
    firewall.management.enabled = true;
    firewall.enable.enabled = true;
    firewall.node.enabled = true;
    firewall.backend.enabled = true;
    firewall.corosync.enabled = true;
    firewall.services.enabled = true;
    policy
}

fn node(facts: Facts, cluster: &str, host: &str) -> Facts {
    let mut facts = facts;
    for (path, text) in [(CLUSTER, cluster), (HOST, host)] {
        if text.is_empty() { put(&mut facts, path, Reading::Absent) } else { put_text(&mut facts, path, text) }
    }
    put(&mut facts, "/etc/pve/ceph.conf", Reading::Absent);
    facts
}

fn fresh() -> Facts {
    node(Facts::fresh_pve9(), "", "")
}

fn written(control: &Firewall, facts: &Facts, policy: &Policy, path: &str) -> String {
    let verdict = control.evaluate(facts, policy);
    let file = changes(&verdict).iter().find_map(|change| match &change.action {
        Action::File(file) if file.path == path => file.after.clone(),
        _ => None,
    });
    file.unwrap_or_else(|| panic!("{}", story(&verdict))).content
}

fn refusal(control: &Firewall, facts: &Facts, policy: &Policy) -> String {
    let verdict = control.evaluate(facts, policy);
    match verdict.status {
        Status::Refused { why } => why,
        _ => panic!("{}", story(&verdict)),
    }
}

#[test]
fn a_fresh_node_gets_both_files_from_any_of_the_controls() {
    insta::assert_snapshot!(written(&ENABLE, &fresh(), &policy(), CLUSTER), @r"
    [OPTIONS]

    enable: 1
    policy_in: DROP
    policy_out: ACCEPT

    [ALIASES]

    local_network 10.77.0.2 # pve-harden:firewall.management one node instead of the whole subnet

    [IPSET management]

    10.77.0.0/24 # pve-harden:firewall.management management network
    2001:db8:7::/48 # pve-harden:firewall.management management network
    ");
    assert_eq!(written(&MANAGEMENT, &fresh(), &policy(), CLUSTER), written(&ENABLE, &fresh(), &policy(), CLUSTER));
    assert_eq!(written(&NODE, &fresh(), &policy(), HOST), "[OPTIONS]\n\ntcpflags: 1\n");
}

#[test]
fn a_cluster_lets_every_member_in_and_speaks_on_every_ring() {
    let mut policy = policy();
    policy.site.management = vec!["10.77.0.1/32".parse().unwrap()];
    insta::assert_snapshot!(written(&ENABLE, &node(Facts::cluster_of_three(), "", ""), &policy, CLUSTER), @r"
    [OPTIONS]

    enable: 1
    policy_in: DROP
    policy_out: ACCEPT

    [ALIASES]

    local_network 10.77.0.2 # pve-harden:firewall.management one node instead of the whole subnet

    [IPSET management]

    10.77.0.1 # pve-harden:firewall.management management network
    10.77.0.2 # pve-harden:firewall.management member pve1
    fd77::2 # pve-harden:firewall.management member pve1
    10.77.0.3 # pve-harden:firewall.management member pve2
    fd77::3 # pve-harden:firewall.management member pve2
    10.77.0.4 # pve-harden:firewall.management member pve3
    fd77::4 # pve-harden:firewall.management member pve3

    [IPSET pve-harden-corosync]

    10.77.0.2
    10.77.0.3
    10.77.0.4
    fd77::2
    fd77::3
    fd77::4

    [RULES]

    IN ACCEPT -source +dc/pve-harden-corosync -p udp -dport 5405:5412 # pve-harden:firewall.corosync cluster links
    IN ACCEPT -source 10.78.0.0/24 -dest 10.78.0.0/24 -p tcp -dport 22,60000:60050 # pve-harden:firewall.services migration network
    ");
}

#[test]
fn what_the_operator_wrote_stays_in_order() {
    let text = "[OPTIONS]\n\npolicy_in: ACCEPT # old\n\n[RULES]\n\n# web\nIN ACCEPT -source 10.77.0.0/24 -p tcp -dport 443\n|IN DROP -source 10.9.0.0/16\nGROUP web -i vmbr0\n\n[group web]\n\nIN HTTP(ACCEPT)\n";
    let mut policy = policy();
    policy.profile.firewall.services.rules = vec!["IN ACCEPT -source 10.77.0.9 -p tcp -dport 9100 # monitoring".into()];
    let facts = node(Facts::fresh_pve9(), text, "");
    insta::assert_snapshot!(written(&ENABLE, &facts, &policy, CLUSTER), @r"
    [OPTIONS]

    policy_in: DROP
    enable: 1
    policy_out: ACCEPT

    [ALIASES]

    local_network 10.77.0.2 # pve-harden:firewall.management one node instead of the whole subnet

    [IPSET management]

    10.77.0.0/24 # pve-harden:firewall.management management network
    2001:db8:7::/48 # pve-harden:firewall.management management network

    [RULES]

    # web
    IN ACCEPT -source 10.77.0.0/24 -p tcp -dport 443
    |IN DROP -source 10.9.0.0/16
    GROUP web -i vmbr0
    IN ACCEPT -source 10.77.0.9 -p tcp -dport 9100 # pve-harden:firewall.services monitoring

    [group web]

    IN HTTP(ACCEPT)
    ");
    policy.profile.firewall.mode = FirewallMode::Exact;
    let exact = written(&ENABLE, &facts, &policy, CLUSTER);
    assert!(exact.contains("9100") && !exact.contains("443") && !exact.contains("GROUP web -i"), "{exact}");
}

#[test]
fn a_second_look_finds_nothing() {
    for (name, facts) in
        [("pve9", Facts::fresh_pve9()), ("pve8", Facts::fresh_pve8()), ("cluster", Facts::cluster_of_three())]
    {
        for mode in [FirewallMode::Merge, FirewallMode::Exact] {
            for out in [FirewallVerdict::Accept, FirewallVerdict::Drop] {
                let mut policy = policy();
                policy.profile.firewall.mode = mode;
                policy.profile.firewall.enable.policy_out = out;
                let mut facts = node(facts.clone(), "", "");
                let first = ENABLE.evaluate(&facts, &policy);
                carry_out(&mut facts, &first);
                for control in [&MANAGEMENT, &COROSYNC, &SERVICES, &NODE, &BACKEND, &ENABLE] {
                    let verdict = control.evaluate(&facts, &policy);
                    let fits = matches!(verdict.status, Status::Compliant | Status::NotApplicable { .. });
                    assert!(fits, "{name} {mode:?} {out:?} {}: {}", control.meta().id, story(&verdict));
                }
            }
        }
    }
}

#[test]
fn every_member_plans_the_same_datacenter_file() {
    let plan = |name: &str, address: &str| {
        let mut facts = node(Facts::cluster_of_three(), "", "");
        let own = facts.node_name.known().unwrap().clone();
        facts.node_name = Reading::Known(name.into());
        facts.network.node_address = Reading::Known(address.parse().unwrap());
        let Reading::Known(cluster) = &mut facts.cluster else { panic!() };
        for peer in &mut cluster.peers {
            if peer.name == name {
                peer.name.clone_from(&own);
            }
        }
        put(&mut facts, &format!("/etc/pve/nodes/{name}/host.fw"), Reading::Absent);
        written(&ENABLE, &facts, &policy(), CLUSTER)
    };
    assert_eq!(plan("pve1", "10.77.0.2"), plan("pve2", "10.77.0.3"));
    assert_eq!(plan("pve1", "10.77.0.2"), plan("pve3", "10.77.0.4"));
}

#[test]
fn an_operator_from_elsewhere_is_told_before_anything_happens() {
    let mut policy = policy();
    policy.site.management = vec!["192.0.2.0/24".parse().unwrap()];
    assert!(refusal(&MANAGEMENT, &fresh(), &policy).contains("you come from 10.77.0.1, which would not reach port 22"));
    policy.left_out.insert("firewall.management".into());
    let alone = ENABLE.evaluate(&fresh(), &policy);
    assert!(matches!(alone.status, Status::Differs { .. }), "the node's own subnet gets in: {}", story(&alone));
    policy.site.management.clear();
    policy.left_out.clear();
    assert!(advice(&MANAGEMENT.evaluate(&fresh(), &policy)).contains("management = "));
    assert!(advice(&ENABLE.evaluate(&fresh(), &policy)).contains("would know nobody"));
}

#[test]
fn own_rules_that_come_before_the_automatic_ones_are_judged() {
    let facts = node(Facts::fresh_pve9(), "[RULES]\n\nIN DROP -p tcp -dport 22\n", "");
    let why = refusal(&MANAGEMENT, &facts, &policy());
    assert!(why.contains("cluster.fw:") && why.contains("IN DROP -p tcp -dport 22"), "{why}");
    let facts = node(Facts::fresh_pve9(), "[RULES]\n\nIN ACCEPT -p tcp -dport 8006\n", "");
    let verdict = MANAGEMENT.evaluate(&facts, &policy());
    assert!(advice(&verdict).contains("would still reach port 8006"), "{}", story(&verdict));
}

#[test]
fn a_member_that_left_goes_and_a_strangers_entry_stays() {
    let text =
        "[IPSET management]\n\n10.50.0.9 # backup host\n10.77.9.9 # pve-harden:firewall.management member pve9\n";
    let facts = node(Facts::fresh_pve9(), text, "");
    let merged = written(&MANAGEMENT, &facts, &policy(), CLUSTER);
    assert!(merged.contains("10.50.0.9 # backup host") && !merged.contains("10.77.9.9"), "{merged}");
    let mut exact = policy();
    exact.profile.firewall.mode = FirewallMode::Exact;
    assert!(!written(&MANAGEMENT, &facts, &exact, CLUSTER).contains("10.50.0.9"));
}

#[test]
fn an_alias_that_rules_use_is_not_narrowed() {
    let text = "[RULES]\n\nIN ACCEPT -source local_network -p tcp -dport 9000\n";
    let facts = node(Facts::fresh_pve9(), text, "");
    assert!(!written(&MANAGEMENT, &facts, &policy(), CLUSTER).contains("[ALIASES]"));
    assert!(advice(&MANAGEMENT.evaluate(&facts, &policy())).contains("line 3 uses the alias"));
    let narrow = "[ALIASES]\n\nlocal_network 10.77.0.2\n";
    assert!(written(&MANAGEMENT, &node(Facts::fresh_pve9(), narrow, ""), &policy(), CLUSTER).contains(narrow));
    let wide = "[ALIASES]\n\nlocal_network 10.77.0.0/24\n";
    assert!(!written(&MANAGEMENT, &node(Facts::fresh_pve9(), wide, ""), &policy(), CLUSTER).contains(wide));
}

#[test]
fn sshd_on_another_port_gets_a_rule_on_its_node() {
    let mut facts = fresh();
    let Reading::Known(settings) = &mut facts.sshd.global else { panic!() };
    settings.insert("port".into(), "22\n2222".into());
    let Reading::Known(session) = &mut facts.session else { panic!() };
    session.server_port = Some(2222);
    let host = written(&MANAGEMENT, &facts, &policy(), HOST);
    assert!(host.contains("IN ACCEPT -source +dc/management -p tcp -dport 2222 # pve-harden:firewall.management sshd"));
}

#[test]
fn lines_that_turn_the_firewall_off_are_found() {
    for text in ["[OPTIONS]\nenable: yes\n", "[OPTIONS]\r\nenable: 1\r\n", "[OPTIONS]\nenable: 1700000000\n"] {
        let mut facts = node(Facts::fresh_pve9(), text, "[OPTIONS]\nenable: 0\n");
        let verdict = ENABLE.evaluate(&facts, &policy());
        let cluster = written(&ENABLE, &facts, &policy(), CLUSTER);
        assert!(cluster.contains("\nenable: 1\n") && !cluster.contains('\r'), "{cluster}");
        assert!(written(&ENABLE, &facts, &policy(), HOST).contains("enable: 1"));
        carry_out(&mut facts, &verdict);
        assert_eq!(ENABLE.evaluate(&facts, &policy()).status, Status::Compliant);
    }
}

#[test]
fn lines_that_cannot_be_read_are_told_and_kept() {
    let facts = node(Facts::fresh_pve9(), "[RULES]\n\nIN ACEPT -p tcp -dport 443\n", "[OPTIONS]\n\ntcpflags: yes\n");
    let verdict = ENABLE.evaluate(&facts, &policy());
    assert!(advice(&verdict).contains("cluster.fw line"), "{}", story(&verdict));
    assert!(written(&ENABLE, &facts, &policy(), CLUSTER).contains("IN ACEPT -p tcp -dport 443\n"));
    let host = written(&NODE, &facts, &policy(), HOST);
    assert!(host.contains("tcpflags: 1") && !host.contains("yes"), "{host}");
}

#[test]
fn a_file_that_nftables_refuses_is_a_persons_to_repair() {
    let facts = node(Facts::fresh_pve9(), "[RULES]\n\nIN ACEPT -p tcp\n", "[OPTIONS]\n\nnftables: 1\n");
    let verdict = ENABLE.evaluate(&facts, &policy());
    assert!(changes(&verdict).is_empty());
    assert!(advice(&verdict).contains("keeps the rules it has"), "{}", story(&verdict));
}

#[test]
fn the_daemon_is_started_where_it_does_not_run() {
    let mut facts = fresh();
    let Reading::Known(units) = &mut facts.units else { panic!() };
    units.get_mut("pve-firewall.service").unwrap().active = "inactive".into();
    let verdict = ENABLE.evaluate(&facts, &policy());
    let start = |action: &Action| matches!(action, Action::Unit { verb: UnitVerb::EnableNow, .. });
    assert!(changes(&verdict).iter().any(|change| start(&change.action)), "{}", story(&verdict));
    let Reading::Known(units) = &mut facts.units else { panic!() };
    units.get_mut("pve-firewall.service").unwrap().load = "masked".into();
    assert!(advice(&ENABLE.evaluate(&facts, &policy())).contains("masked"));
}

#[test]
fn the_backend_is_reported_and_never_switched() {
    let compliant = BACKEND.evaluate(&fresh(), &policy());
    assert_eq!(compliant.status, Status::Compliant);
    let facts = node(Facts::fresh_pve9(), "", "[OPTIONS]\n\nnftables: 1\n");
    assert!(advice(&BACKEND.evaluate(&facts, &policy())).contains("has no firewall"));
    let mut policy = policy();
    policy.profile.firewall.backend.expect = ExpectedBackend::Nftables;
    let verdict = BACKEND.evaluate(&fresh(), &policy);
    assert!(advice(&verdict).contains("switch in host.fw") && changes(&verdict).is_empty());
}

#[test]
fn services_get_what_their_own_files_say() {
    let mut facts = fresh();
    put_text(
        &mut facts,
        "/etc/pve/ceph.conf",
        "[global]\npublic_network = 10.1.0.5/24\ncluster_network = 10.2.0.0/24\n",
    );
    let Reading::Known(listeners) = &mut facts.listeners else { panic!() };
    let mut backup = listeners[0].clone();
    backup.port = 8007;
    backup.address = IpAddr::from([0, 0, 0, 0]);
    listeners.push(backup);
    let mut policy = policy();
    policy.profile.firewall.services.acme_http = true;
    let cluster = written(&SERVICES, &facts, &policy, CLUSTER);
    for rule in
        ["IN Ceph(ACCEPT) -source 10.1.0.0/24", "IN Ceph(ACCEPT) -source 10.2.0.0/24", "IN ACCEPT -p tcp -dport 80 #"]
    {
        assert!(cluster.contains(rule), "{rule}: {cluster}");
    }
    assert!(written(&SERVICES, &facts, &policy, HOST).contains("-dport 8007"));
    put_text(&mut facts, "/etc/pve/ceph.conf", "[global]\npublic_network = vmbr0\n");
    assert!(matches!(SERVICES.evaluate(&facts, &policy).status, Status::Unknown { .. }));
}

#[test]
fn storages_are_reached_when_outgoing_connections_are_dropped() {
    let mut facts = fresh();
    let storages = "nfs: nas\n\tserver 10.9.0.5\n\texport /x\n\npbs: b\n\tserver pbs.example.com\n\niscsi: san\n\tportal 10.9.0.6\n";
    put_text(&mut facts, "/etc/pve/storage.cfg", storages);
    let mut policy = policy();
    policy.profile.firewall.enable.policy_out = FirewallVerdict::Drop;
    let cluster = written(&SERVICES, &facts, &policy, CLUSTER);
    for rule in [
        "OUT ACCEPT -dest 10.9.0.5 #",
        "OUT ACCEPT -p tcp -dport 8007 #",
        "OUT ACCEPT -dest 10.9.0.6 -p tcp -dport 3260 #",
        "OUT DNS(ACCEPT) #",
    ] {
        assert!(cluster.contains(rule), "{rule}: {cluster}");
    }
}

#[test]
fn rules_of_the_profile_that_are_none_are_refused() {
    for wrong in
        ["ACCEPT everything", "IN ACCEPT -dport 22", "IN ACCEPT -source +nosuch -p tcp", "[RULES]", "# only words"]
    {
        let mut policy = policy();
        policy.profile.firewall.services.rules = vec![wrong.into()];
        assert!(refusal(&SERVICES, &fresh(), &policy).contains("firewall.services.rules"), "{wrong}");
    }
}

#[test]
fn nothing_is_planned_where_the_files_cannot_be_read() {
    for break_it in [
        |facts: &mut Facts| put(facts, CLUSTER, Reading::Unreadable("no".into())),
        |facts: &mut Facts| put(facts, HOST, Reading::Unreadable("no".into())),
        |facts: &mut Facts| facts.pmxcfs_mounted = Reading::Known(false),
        |facts: &mut Facts| facts.cluster = Reading::Unreadable("no".into()),
        |facts: &mut Facts| facts.network.node_address = Reading::Absent,
    ] {
        let mut facts = fresh();
        break_it(&mut facts);
        for control in [&MANAGEMENT, &COROSYNC, &SERVICES, &NODE, &BACKEND, &ENABLE] {
            let verdict = control.evaluate(&facts, &policy());
            assert!(matches!(verdict.status, Status::Unknown { .. }), "{}: {}", control.meta().id, story(&verdict));
        }
    }
}

#[test]
fn proxmox_firewall_does_not_get_the_flood_protection_that_it_cannot_load() {
    let mut policy = policy();
    policy.profile.firewall.node.synflood = true;
    let nftables = node(Facts::fresh_pve9(), "", "[OPTIONS]\n\nnftables: 1\nprotection_synflood: 1\n");
    let text = written(&NODE, &nftables, &policy, HOST);
    assert!(text.contains("nftables: 1\nprotection_synflood: 0\n"), "{text}");
    let text = written(&NODE, &fresh(), &policy, HOST);
    assert!(text.contains("protection_synflood: 1\n"), "{text}");
}
