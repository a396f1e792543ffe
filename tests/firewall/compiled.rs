//! The compiled rules equal PVE's, line by line and in order.

use base64::Engine as _;
use pve_harden::firewall::Ruleset;
use pve_harden::pve::firewall::Backend;
use serde_json::Value;
use sha1::{Digest as _, Sha1};

use super::{model, read, recorded};

/// pve-firewall's signature of a chain (`iptables_chain_digest`), which it also leaves in the kernel as a comment.
fn signature(lines: &[String]) -> String {
    let digest = lines.iter().fold(Sha1::new(), Sha1::chain_update);
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(digest.finalize())
}

fn lines(rules: &Ruleset, chain: &str) -> Vec<String> {
    let chain = rules.chain(chain).unwrap_or_else(|| panic!("no chain {chain}"));
    chain.rules.iter().map(|rule| format!("-A {} {}", chain.name, rule.text)).collect()
}

#[test]
fn every_chain_and_set_of_whole_recordings_is_compiled_alike() {
    for name in ["good", "api"] {
        let recorded: Value = serde_json::from_str(&read(&format!("{name}.compiled.json"))).unwrap();
        let model = model(&read(&format!("{name}.fw")), &read(&format!("{name}.host.fw")), Backend::Iptables);
        for (table, v6) in [("iptables", false), ("ip6tables", true)] {
            let rules = model.compile(v6).unwrap();
            let chains = recorded[table].as_object().unwrap();
            let names: Vec<_> = rules.chains.iter().map(|chain| &chain.name).collect();
            assert_eq!(names, chains.keys().collect::<Vec<_>>(), "{name} {table}");
            for (chain, wanted) in chains {
                let ours = lines(rules, chain);
                let theirs: Vec<&str> =
                    wanted["lines"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
                assert_eq!(ours, theirs, "{name} {table} {chain}");
                assert_eq!(signature(&ours), wanted["digest"].as_str().unwrap(), "{name} {table} {chain}");
            }
        }
        for (set, wanted) in recorded["ipset"].as_object().unwrap() {
            let sets = &model.compile(set.ends_with("v6")).unwrap().sets;
            let mut ours = sets.get(set).unwrap_or_else(|| panic!("{name}: no set {set}")).text.clone();
            let theirs: Vec<&str> = wanted["lines"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
            assert_eq!(ours, theirs, "{name} {set}");
            ours.sort();
            assert_eq!(signature(&ours), wanted["digest"].as_str().unwrap(), "{name} {set}");
        }
    }
}

/// The recordings of broken files show some lines of PVEFW-HOST-IN and the signature of all of them.
#[test]
fn broken_files_compile_to_the_recorded_input_chain() {
    let mut seen = 0;
    for entry in std::fs::read_dir(recorded()).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = file.strip_suffix(".fw").filter(|name| name.starts_with("bad")) else { continue };
        seen += 1;
        let wanted: Value = serde_json::from_str(&read(&format!("{name}.json"))).unwrap();
        let model = model(&read(&file), "", Backend::Iptables);
        assert_eq!(model.is_on(), wanted["status"] == "enabled", "{name}: {:?}", model.why_not());
        let Some(rules) = model.compile(false) else {
            assert_eq!(wanted["host_in"], Value::Null, "{name}");
            continue;
        };
        let ours = lines(rules, "PVEFW-HOST-IN");
        let shown: Vec<_> = wanted["host_in_rules"].as_array().unwrap().iter().map(|l| l.as_str().unwrap()).collect();
        let missing: Vec<_> = shown.iter().filter(|line| !ours.iter().any(|own| own == **line)).collect();
        assert!(missing.is_empty(), "{name}: {missing:#?} not in {ours:#?}");
        assert_eq!(signature(&ours), wanted["host_in"].as_str().unwrap(), "{name}: {ours:#?}");
    }
    assert_eq!(seen, 27);
}

/// pve-firewall 6.0.4: it replaces a rule's action while it compiles IPv4 and logs what it finds there for IPv6, so a rule
/// that IPv4 has no part in keeps its word.
#[test]
fn a_logged_rule_of_ipv6_alone_keeps_its_word() {
    let cluster = "[OPTIONS]\nenable: 1\n[RULES]\nIN ACCEPT -source 2001:db8::/32 -p udp -dport 53 -log info\n\
        IN ACCEPT -p udp -dport 53 -log info\n";
    let model = model(cluster, "", Backend::Iptables);
    let logged = lines(model.compile(true).unwrap(), "PVEFW-HOST-IN");
    let logged: Vec<_> = logged.iter().filter(|line| line.contains("NFLOG")).collect();
    let own = "-A PVEFW-HOST-IN -s 2001:db8::/32 -p udp --dport 53 -m limit --limit 1/sec -j NFLOG --nflog-prefix \
        \":0:6:PVEFW-HOST-IN: ACCEPT: \"";
    let both = "-A PVEFW-HOST-IN -p udp --dport 53 -m limit --limit 1/sec -j NFLOG --nflog-prefix \
        \":0:6:PVEFW-HOST-IN: RETURN: \"";
    assert_eq!(logged, [own, both]);
}
