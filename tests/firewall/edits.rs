//! Edits keep every line that is not meant.

use pve_harden::pve::firewall::{Backend, ClusterFw, Entries, NewMember, Place, RuleSection, managed_comment};

use super::read;

fn cluster(text: &str) -> ClusterFw {
    ClusterFw::parse(text, Backend::Iptables)
}

#[test]
fn an_empty_file_gets_its_sections_in_pves_order() {
    let mut file = cluster("");
    file.insert_rules(&RuleSection::Rules, Place::Last, &["IN ACCEPT -source +management -p tcp -dport 8006".into()]);
    file.set_ipset("management", &[NewMember::of("192.0.2.0/24"), NewMember::of("2001:db8::/64")], Entries::Merge);
    file.set_option("enable", "1");
    file.set_alias("local_network", "10.77.0.2", None);
    file.set_option("policy_in", "DROP");
    insta::assert_snapshot!(file.print(), @r"
    [OPTIONS]

    enable: 1
    policy_in: DROP

    [ALIASES]

    local_network 10.77.0.2

    [IPSET management]

    192.0.2.0/24
    2001:db8::/64

    [RULES]

    IN ACCEPT -source +management -p tcp -dport 8006
    ");
    assert_eq!(file.problems(), []);
}

#[test]
fn the_operators_file_keeps_its_lines() {
    let mut file = cluster(&read("good.fw"));
    file.set_option("enable", "0");
    file.set_alias("local_network", "10.77.0.2", None);
    file.set_ipset("management", &[NewMember::of("192.0.2.7"), NewMember::of("198.51.100.0/24")], Entries::Merge);
    let rule = format!("IN ACCEPT -p udp -dport 5405:5412 # {}", managed_comment("firewall.corosync", "link 0"));
    file.set_managed_rules(&RuleSection::Rules, "firewall.corosync", Place::First, std::slice::from_ref(&rule));
    insta::assert_snapshot!(file.print(), @r"
    [OPTIONS]

    enable: 0
    policy_in: DROP
    policy_out: ACCEPT

    [ALIASES]

    local_network 10.77.0.2/32

    [IPSET management] # mgmt

    10.77.0.0/24
    192.0.2.7 # jump
    198.51.100.0/24

    [RULES]

    IN ACCEPT -p udp -dport 5405:5412 # pve-harden:firewall.corosync link 0
    GROUP mgmt
    IN Ping(ACCEPT) -log nolog

    [group mgmt]

    IN ACCEPT -source +management -p tcp -dport 8006 -log nolog # gui
    IN ACCEPT -source +dc/management -p tcp -dport 22 -log info
    ");
    let once = file.print();
    file.set_managed_rules(&RuleSection::Rules, "firewall.corosync", Place::First, &[rule]);
    assert_eq!(file.print(), once);
    file.set_managed_rules(&RuleSection::Rules, "firewall.corosync", Place::First, &[]);
    file.set_ipset("management", &[NewMember::of("198.51.100.0/24")], Entries::Exact);
    insta::assert_snapshot!(file.print(), @r"
    [OPTIONS]

    enable: 0
    policy_in: DROP
    policy_out: ACCEPT

    [ALIASES]

    local_network 10.77.0.2/32

    [IPSET management] # mgmt

    198.51.100.0/24

    [RULES]

    GROUP mgmt
    IN Ping(ACCEPT) -log nolog

    [group mgmt]

    IN ACCEPT -source +management -p tcp -dport 8006 -log nolog # gui
    IN ACCEPT -source +dc/management -p tcp -dport 22 -log info
    ");
}

#[test]
fn an_unreadable_option_is_replaced_and_a_doubled_one_is_single_afterwards() {
    let mut file = cluster("# mine\n[OPTIONS]\nenable: yes\nfoo: 1\nENABLE: 0\n\n[RULES]\n");
    file.set_option("enable", "1");
    assert_eq!(file.print(), "# mine\n[OPTIONS]\nfoo: 1\nenable: 1\n\n[RULES]\n");
    file.unset_option("enable");
    assert_eq!(file.print(), "# mine\n[OPTIONS]\nfoo: 1\n\n[RULES]\n");
}
