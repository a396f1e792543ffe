use proptest::prelude::*;

use super::*;

/// Text that looks like a firewall file, and text that does not.
fn text() -> impl Strategy<Value = String> {
    "(\\PC|\r\n|\n|\t| |[OPTIONS]|\\[OPTIONS\\]\n|\\[aliases\\]\n|\\[RULES\\]\n|\\[IPSET ab\\] # c\n|\\[group web\\]\n|enable: 1\n|\
      policy_in: DROP\n|IN ACCEPT|OUT DROP|GROUP web|\\||SSH\\(ACCEPT\\)| -p tcp| -dport 22| --sport 1:2| -source \\+ab| -dest ab|\
      ab 10\\.0\\.0\\.1\n|!10\\.0\\.0\\.0/8\n|10\\.0\\.0\\.300\n|# pve-harden:firewall\\.x y\n)*"
}

/// What is left of a text's lines when some are taken away, in order.
fn is_subsequence(part: &[&str], whole: &[&str]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|line| rest.any(|other| other == line))
}

proptest! {
    #[test]
    fn a_file_is_printed_as_it_was_read(text in text()) {
        for backend in [Backend::Iptables, Backend::Nftables] {
            let cluster = ClusterFw::parse(&text, backend);
            prop_assert_eq!(cluster.print(), text.as_str());
            prop_assert_eq!(HostFw::parse(&text, &cluster).print(), text.as_str());
            prop_assert_eq!(GuestFw::parse(&text, &cluster).print(), text.as_str());
        }
    }

    #[test]
    fn an_edit_keeps_every_other_line(text in text()) {
        for backend in [Backend::Iptables, Backend::Nftables] {
            let before = ClusterFw::parse(&text, backend);
            let lines: Vec<&str> = text.lines().collect();
            let mut file = before.clone();
            file.insert_rules(&RuleSection::Rules, Place::First, &["IN DROP -p tcp -dport 9 # x".into()]);
            let printed = file.print();
            prop_assert!(is_subsequence(&lines, &printed.lines().collect::<Vec<_>>()), "{}", printed);
            file.set_managed_rules(&RuleSection::Rules, "a.b", Place::Last, &["IN ACCEPT # pve-harden:a.b".into()]);
            let printed = file.print();
            prop_assert!(is_subsequence(&lines, &printed.lines().collect::<Vec<_>>()), "{}", printed);
            file.set_option("policy_out", "DROP");
            let printed = file.print();
            let others: Vec<&str> = lines.iter().copied().filter(|line| !line.contains("policy_out")).collect();
            prop_assert!(is_subsequence(&others, &printed.lines().collect::<Vec<_>>()), "{}", printed);
        }
    }

    #[test]
    fn an_edit_done_twice_is_done_once(text in text()) {
        for backend in [Backend::Iptables, Backend::Nftables] {
            let mut file = ClusterFw::parse(&text, backend);
            let edit = |file: &mut ClusterFw| {
                file.set_option("enable", "1");
                file.set_alias("local_network", "10.9.9.9", Some("one address"));
                file.set_ipset("management", &[NewMember::of("192.0.2.0/24"), NewMember::of("local_network")], Entries::Exact);
                file.set_managed_rules(&RuleSection::Rules, "a.b", Place::First, &["IN ACCEPT -source +management # pve-harden:a.b".into()]);
            };
            edit(&mut file);
            let once = file.print();
            if file.config().flag("enable") == Some(true) {
                edit(&mut file);
                prop_assert_eq!(file.print(), once);
            }
        }
    }
}

#[test]
fn nothing_that_is_put_in_can_begin_a_line() {
    let mut file = ClusterFw::parse("[OPTIONS]\nenable: 1\n", Backend::Iptables);
    file.set_option("policy_in", "DROP\n[RULES]\nIN ACCEPT");
    file.set_alias("jump", "192.0.2.1", Some("a\nb"));
    file.insert_rules(&RuleSection::Rules, Place::Last, &["IN DROP # x\nIN ACCEPT".into()]);
    assert_eq!(
        file.print(),
        "[OPTIONS]\nenable: 1\npolicy_in: DROP [RULES] IN ACCEPT\n\n[ALIASES]\n\njump 192.0.2.1 # a b\n\n\
         [RULES]\n\nIN DROP # x IN ACCEPT\n"
    );
}

#[test]
fn managed_rules_move_with_their_anchor() {
    let rule = |port: u16| format!("IN ACCEPT -p tcp -dport {port} # {}", managed_comment("a.b", ""));
    let text =
        format!("[RULES]\nIN DROP -p tcp -dport 1\n{}\n# mine\nIN DROP -p tcp -dport 2\n{}\n", rule(10), rule(11));
    let mut file = ClusterFw::parse(&text, Backend::Iptables);
    assert_eq!(file.managed_ids(), ["a.b"]);
    file.set_managed_rules(&RuleSection::Rules, "a.b", Place::First, &[rule(10), rule(12)]);
    let wanted =
        format!("[RULES]\nIN DROP -p tcp -dport 1\n{}\n{}\n# mine\nIN DROP -p tcp -dport 2\n", rule(10), rule(12));
    assert_eq!(file.print(), wanted);
}

#[test]
fn macros_of_both_backends_and_families() {
    let ports = |name: &str, backend, v6| {
        macro_named(name, backend, v6).map(|found| {
            found
                .parts
                .iter()
                .map(|part| format!("{}/{}", part.protocol, part.dport.unwrap_or("-")))
                .collect::<Vec<_>>()
        })
    };
    assert_eq!(ports("ssh", Backend::Iptables, false), Some(vec!["tcp/22".into()]));
    assert_eq!(ports("ssh", Backend::Nftables, false), None);
    assert_eq!(ports("Ping", Backend::Iptables, false), Some(vec!["icmp/echo-request".into()]));
    assert_eq!(ports("Ping", Backend::Iptables, true), Some(vec!["icmpv6/echo-request".into()]));
    assert_eq!(ports("Ping", Backend::Nftables, true).map(|parts| parts.len()), Some(2));
    assert_eq!(ports("DHCPv6", Backend::Iptables, false), Some(vec![]));
    assert_eq!(ports("PBS", Backend::Iptables, false), None);
    assert_eq!(ports("PBS", Backend::Nftables, false), Some(vec!["tcp/8007".into()]));
}
