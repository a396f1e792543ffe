//! What both parsers say of broken files.

use pve_harden::pve::firewall::{Backend, ClusterFw, Effect, HostFw};
use serde_json::Value;

use super::{read, recorded};

fn broken() -> Vec<String> {
    let names = std::fs::read_dir(recorded()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> =
        names.filter_map(|name| name.strip_suffix(".fw").filter(|n| n.starts_with("bad")).map(str::to_owned)).collect();
    names.sort();
    names
}

#[test]
fn pve_firewall_complains_of_the_same_lines_with_the_same_words() {
    assert_eq!(broken().len(), 27);
    for name in broken() {
        let wanted: Value = serde_json::from_str(&read(&format!("{name}.json"))).unwrap();
        let text = read(&format!("{name}.fw"));
        let file = ClusterFw::parse(&text, Backend::Iptables);
        assert_eq!(file.print(), text, "{name}");
        let wanted: Vec<(usize, &str)> = wanted["problems"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| (usize::try_from(entry[0].as_u64().unwrap()).unwrap(), entry[1].as_str().unwrap()))
            .collect();
        for problem in file.problems() {
            let said = wanted.iter().any(|(line, text)| *line == problem.line && *text == problem.message);
            assert!(said, "{name}: {problem:?}, PVE says {wanted:?}");
        }
        for (line, text) in &wanted {
            assert!(file.problems().iter().any(|problem| problem.line == *line), "{name}: line {line}: {text}");
        }
        assert!(file.refused().is_none(), "{name}");
    }
}

#[test]
fn proxmox_firewall_refuses_the_same_files() {
    let mut seen = 0;
    for name in broken() {
        let wanted: Value = serde_json::from_str(&read(&format!("{name}.json"))).unwrap();
        let Some(strict) = wanted.get("strict") else { continue };
        seen += 1;
        let text = read(&format!("{name}.fw"));
        let file = ClusterFw::parse(&text, Backend::Nftables);
        assert_eq!(file.print(), text, "{name}");
        let refused: Vec<_> = file.problems().iter().filter(|problem| problem.effect == Effect::FileRefused).collect();
        assert_eq!(!refused.is_empty(), strict["refused"] == true, "{name}: {:?}", file.problems());
        let words = strict["error"].as_str().unwrap().strip_prefix("Error: ").unwrap_or_default();
        if strict["refused"] == true && !words.is_empty() {
            assert_eq!(refused[0].message, words, "{name}");
        }
    }
    assert_eq!(seen, 19);
}

#[test]
fn a_group_that_is_not_there_stops_nft_only() {
    let text = read("bad07-unknown-group.fw");
    assert!(ClusterFw::parse(&text, Backend::Iptables).refused().is_none());
    let problem = ClusterFw::parse(&text, Backend::Nftables).refused().unwrap().clone();
    assert_eq!((problem.line, problem.effect), (4, Effect::NotApplicable));
}

#[test]
fn names_must_stand_above_their_use_for_pve_firewall_only() {
    let text = "[RULES]\nIN ACCEPT -source +late -p tcp -dport 22\n[IPSET late]\n10.0.0.0/8\n";
    let perl = ClusterFw::parse(text, Backend::Iptables);
    assert_eq!(perl.problems()[0].message, "source: no such ipset 'late'");
    assert!(ClusterFw::parse(text, Backend::Nftables).problems().is_empty());
}

#[test]
fn upper_case_names_of_sets_and_groups_are_lost_in_pve_firewall() {
    let text = "[IPSET Mgmt]\n10.0.0.0/8\n[RULES]\nIN ACCEPT -source +Mgmt\nGROUP Web\n[group Web]\nIN ACCEPT\n";
    let perl = ClusterFw::parse(text, Backend::Iptables);
    let said: Vec<_> = perl.problems().iter().map(|problem| problem.message.as_str()).collect();
    assert_eq!(said, ["source: no such ipset 'Mgmt'", "no such security group 'Web'"]);
    assert!(ClusterFw::parse(text, Backend::Nftables).problems().is_empty());
}

#[test]
fn a_port_without_protocol_opens_everything_with_proxmox_firewall() {
    let file = ClusterFw::parse(&read("bad09-port-no-proto.fw"), Backend::Nftables);
    assert_eq!(file.problems()[0].effect, Effect::Misread);
}

#[test]
fn the_same_network_twice_in_other_words_breaks_ipset() {
    let text = "[OPTIONS]\nenable: 1\n[IPSET management]\n10.77.0.5/24\n10.77.0.0/24\n";
    assert_eq!(ClusterFw::parse(text, Backend::Iptables).refused().unwrap().line, 5);
    assert!(ClusterFw::parse(text, Backend::Nftables).refused().is_none());
}

#[test]
fn host_files_know_the_names_of_the_cluster_and_have_none_of_their_own() {
    let cluster = ClusterFw::parse("[IPSET management]\n10.0.0.0/8\n", Backend::Iptables);
    let text = "[OPTIONS]\nnftables: 1\n[RULES]\nIN ACCEPT -source +dc/management\nIN ACCEPT -source +none\n[IPSET x1]\n10.0.0.1\n";
    let host = HostFw::parse(text, &cluster);
    assert_eq!(HostFw::backend_of(text), Backend::Nftables);
    let said: Vec<_> = host.problems().iter().map(|problem| (problem.line, problem.message.as_str())).collect();
    assert_eq!(
        said,
        [
            (5, "source: no such ipset 'none'"),
            (6, "type: unknown rule type '[ipset'"),
            (7, "unable to parse rule: 10.0.0.1")
        ]
    );
}
