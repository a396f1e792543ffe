use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn model(cluster: &str, host: &str, backend: Backend) -> Model {
    let cluster = ClusterFw::parse(cluster, backend);
    let host = HostFw::parse(host, &cluster);
    let node = NodeAddresses {
        name: "pve1".into(),
        resolves_to: vec!["10.0.0.1".parse().unwrap()],
        networks: vec!["10.0.0.1/24".parse().unwrap(), "fd00::1/64".parse().unwrap()],
    };
    let corosync = crate::pve::cluster::corosync(
        "nodelist {\n node {\n name: pve1\n ring0_addr: 10.0.0.1\n ring1_addr: fd00::1\n }\n \
         node {\n name: pve2\n ring0_addr: pve2\n ring1_addr: fd00::2\n }\n}\n",
    )
    .unwrap();
    let names = BTreeMap::from([("pve2".to_owned(), "10.0.0.2".parse().unwrap())]);
    let (local_network, now) = (None, Some(1_800_000_000));
    Model::new(&Inputs { cluster: &cluster, host: &host, node, corosync: Some(&corosync), names, local_network, now })
}

fn to(source: &str, protocol: Protocol, port: u16) -> Question {
    let source: IpAddr = source.parse().unwrap();
    let own = if source.is_ipv6() { "fd00::1" } else { "10.0.0.1" };
    Question::to_node(source, own.parse().unwrap(), protocol, port)
}

const ON: &str = "[OPTIONS]\nenable: 1\n";
const NARROW: &str = "[OPTIONS]\nenable: 1\n[ALIASES]\nlocal_network 10.0.0.1\n";

#[test]
fn corosync_is_let_in_per_link_by_pve_firewall_and_from_anywhere_by_proxmox_firewall() {
    let table = [
        ("10.0.0.2", 5405, Verdict::Accept, Verdict::Accept),
        ("10.0.0.2", 5406, Verdict::Drop, Verdict::Accept),
        ("fd00::2", 5405, Verdict::Accept, Verdict::Accept),
        ("fd00::3", 5405, Verdict::Drop, Verdict::Accept),
        ("203.0.113.5", 5405, Verdict::Drop, Verdict::Accept),
    ];
    let (perl, nft) = (model(ON, "", Backend::Iptables), model(ON, "", Backend::Nftables));
    for (source, port, by_perl, by_nft) in table {
        let question = to(source, Protocol::Udp, port);
        assert_eq!(perl.ask(&question).verdict, by_perl, "{source} {port}");
        assert_eq!(nft.ask(&question).verdict, by_nft, "{source} {port}");
    }
}

#[test]
fn the_two_firewalls_differ_in_order_and_in_migration() {
    let dropped = "[OPTIONS]\nenable: 1\n[RULES]\nIN DROP -p tcp -dport 22\n";
    let ssh = to("10.0.0.9", Protocol::Tcp, 22);
    assert_eq!(model(dropped, "", Backend::Iptables).ask(&ssh).verdict, Verdict::Drop);
    assert_eq!(model(dropped, "", Backend::Nftables).ask(&ssh).verdict, Verdict::Accept);
    let migration = to("10.0.0.2", Protocol::Tcp, 60000);
    assert_eq!(model(ON, "", Backend::Iptables).ask(&migration).verdict, Verdict::Accept);
    assert_eq!(model(ON, "", Backend::Nftables).ask(&migration).verdict, Verdict::Drop);
}

#[test]
fn exceptions_of_a_set() {
    let text = "[OPTIONS]\nenable: 1\n[ALIASES]\nlocal_network 10.0.0.1\n[IPSET management]\n\
                192.0.2.0/24\n!192.0.2.128/25\n192.0.2.200\n";
    let table = [
        ("192.0.2.7", Verdict::Accept, Verdict::Accept),
        ("192.0.2.130", Verdict::Drop, Verdict::Drop),
        // ipset looks at the most specific member; nft has one set of exceptions.
        ("192.0.2.200", Verdict::Accept, Verdict::Drop),
    ];
    for (source, by_perl, by_nft) in table {
        let question = to(source, Protocol::Tcp, 8006);
        assert_eq!(model(text, "", Backend::Iptables).ask(&question).verdict, by_perl, "{source}");
        assert_eq!(model(text, "", Backend::Nftables).ask(&question).verdict, by_nft, "{source}");
    }
}

#[test]
fn host_rules_come_before_those_of_the_cluster() {
    let cluster = format!("{NARROW}[RULES]\nIN DROP -p tcp -dport 9100\n");
    for backend in [Backend::Iptables, Backend::Nftables] {
        let model = model(&cluster, "[RULES]\nIN ACCEPT -source 192.0.2.7 -p tcp -dport 9100\n", backend);
        let answer = model.ask(&to("192.0.2.7", Protocol::Tcp, 9100));
        let by = "host.fw:2 IN ACCEPT -source 192.0.2.7 -p tcp -dport 9100";
        assert_eq!((answer.verdict, answer.by.to_string().as_str()), (Verdict::Accept, by), "{backend:?}");
        assert_eq!(model.ask(&to("192.0.2.8", Protocol::Tcp, 9100)).verdict, Verdict::Drop);
    }
}

#[test]
fn a_group_decides_and_its_rule_is_named() {
    let text = format!(
        "{NARROW}[RULES]\nGROUP web\nIN DROP -p tcp -dport 443\n[group web]\nIN REJECT -source 192.0.2.9 -p tcp -dport 443\n\
         IN ACCEPT -source 192.0.2.0/24 -p tcp -dport 443\n"
    );
    for backend in [Backend::Iptables, Backend::Nftables] {
        let model = model(&text, "", backend);
        let table =
            [("192.0.2.9", Verdict::Reject, 9), ("192.0.2.8", Verdict::Accept, 10), ("10.0.0.5", Verdict::Drop, 7)];
        for (source, verdict, line) in table {
            let answer = model.ask(&to(source, Protocol::Tcp, 443));
            assert_eq!(answer.verdict, verdict, "{backend:?} {source} {}", answer.by);
            let named = matches!(&answer.by, RuleRef::File { line: found, .. } if *found == line)
                || (verdict == Verdict::Reject && backend == Backend::Nftables)
                || matches!(&answer.by, RuleRef::Automatic { name } if name.contains("reject"));
            assert!(named, "{backend:?} {source} {}", answer.by);
        }
    }
}

#[test]
fn a_rule_for_one_interface_is_in_doubt_unless_it_makes_no_difference() {
    let text = format!("{NARROW}[RULES]\nIN ACCEPT -i vmbr1 -p tcp -dport 22\n");
    let model = model(&text, "", Backend::Iptables);
    let mut question = to("203.0.113.5", Protocol::Tcp, 22);
    let answer = model.ask(&question);
    assert_eq!(answer.verdict, Verdict::Unknown);
    assert!(answer.by.to_string().starts_with("cluster.fw:6"), "{}", answer.by);
    question.interface = Some("vmbr1".into());
    assert_eq!(model.ask(&question).verdict, Verdict::Accept);
    question.interface = Some("vmbr0".into());
    assert_eq!(model.ask(&question).verdict, Verdict::Drop);
}

#[test]
fn a_deadline_is_over_a_minute_after_it() {
    for (stamp, on) in [(1_800_000_000_i64, true), (1_799_999_940, true), (1_799_999_939, false)] {
        assert_eq!(model(&format!("[OPTIONS]\nenable: {stamp}\n"), "", Backend::Iptables).is_on(), on, "{stamp}");
    }
}

#[test]
fn a_port_without_protocol_opens_everything_with_proxmox_firewall() {
    let text = format!("{ON}[RULES]\nIN ACCEPT -dport 22\n");
    let question = to("203.0.113.5", Protocol::Tcp, 111);
    assert_eq!(model(&text, "", Backend::Nftables).ask(&question).verdict, Verdict::Accept);
    assert_eq!(model(&text, "", Backend::Iptables).ask(&question).verdict, Verdict::Drop);
}

#[test]
fn outgoing_and_forwarded() {
    let text = format!("{ON}policy_out: REJECT\npolicy_forward: DROP\n[RULES]\nOUT ACCEPT -p udp -dport 53\n");
    let out = |protocol, port| {
        Question::from_node("10.0.0.1".parse().unwrap(), "192.0.2.53".parse().unwrap(), protocol, port)
    };
    for backend in [Backend::Iptables, Backend::Nftables] {
        let text = text.clone();
        let text = if backend == Backend::Iptables { text.replace("policy_forward: DROP\n", "") } else { text };
        let model = model(&text, "", backend);
        assert_eq!(model.ask(&out(Protocol::Udp, 53)).verdict, Verdict::Accept);
        assert_eq!(model.ask(&out(Protocol::Tcp, 443)).verdict, Verdict::Reject);
        let forwarded = Question { direction: Direction::Forward, ..out(Protocol::Tcp, 443) };
        let wanted = if backend == Backend::Iptables { Verdict::Accept } else { Verdict::Drop };
        assert_eq!(model.ask(&forwarded).verdict, wanted);
    }
}

proptest! {
    #[test]
    fn arbitrary_files_have_an_answer(
        cluster in "(\\PC|[ -~\n]|\\[OPTIONS\\]\nenable: 1\n|\\[RULES\\]\n|IN ACCEPT|GROUP ab|\\[group ab\\]\n| -p tcp| -dport 22| -source \\+management|\\[IPSET management\\]\n|10\\.0\\.0\\.0/8\n)*",
        host in "(\\PC|[ -~\n]|\\[RULES\\]\n|IN DROP|OUT REJECT| -i vmbr0)*",
        port in any::<u16>(),
    ) {
        for backend in [Backend::Iptables, Backend::Nftables] {
            let model = model(&cluster, &host, backend);
            for source in ["203.0.113.5", "fd00::9", "10.0.0.2"] {
                let _ = model.ask(&to(source, Protocol::Tcp, port));
            }
        }
    }
}

/// proxmox-firewall 1.2.3 with nft 1.1.3: "cannot execute nftables commands", and none of the files' rules are loaded.
#[test]
fn synflood_protection_leaves_proxmox_firewall_without_rules() {
    let question = to("10.0.0.9", Protocol::Tcp, 22);
    let host = "[OPTIONS]\nprotection_synflood: 1\n";
    assert_eq!(model(ON, host, Backend::Iptables).ask(&question).verdict, Verdict::Accept);
    let answer = model(ON, host, Backend::Nftables).ask(&question);
    assert_eq!(answer.verdict, Verdict::Unknown);
    assert!(answer.by.to_string().contains("`protection_synflood: 1`"), "{}", answer.by);
}
