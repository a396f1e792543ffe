//! `pve-sim pve-firewall-module`: the work behind the Perl modules `PVE::Firewall` and `PVE::FirewallSimulator`.
//!
//! ```text
//! compile CLUSTER-FW HOST-FW COROSYNC-CONF     paths, - for the live file
//! simulate FROM TO PROTOCOL SOURCE DEST PORT   the rules on stdin
//! ```
//!
//! Rules travel as lines of TABLE, CHAIN and RULE between tabs; an empty rule says that the chain is there. Tables are
//! `filter`, `raw` and `sets`, all of IPv4.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use super::compile::{Chains, compile};
use super::config::{Scope, load};
use super::node::Node;
use super::simulate::{Packet, Simulation};
use crate::console::{complain, put};
use crate::corosync::conf::Configuration;
use crate::host::Host;

/// Runs a command.
pub fn run(arguments: &[String]) -> anyhow::Result<u8> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["compile", cluster, host, corosync] => Ok(listed(&node(&Host::this(), cluster, host, corosync))),
        ["simulate", from, to, proto, source, dest, dport] => {
            let given = |word: &str| Some(word.to_owned()).filter(|word| word != "-");
            let packet = Packet {
                from: (*from).to_owned(),
                to: (*to).to_owned(),
                proto: (*proto).to_owned(),
                source: given(source),
                dest: given(dest),
                dport: given(dport),
                sport: None,
            };
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            put(simulated(&packet, &text) + "\n");
            Ok(0)
        }
        _ => {
            complain("usage: pve-sim pve-firewall-module compile|simulate …");
            Ok(2)
        }
    }
}

/// As the node is, with the named files in place of its own.
fn node(host: &Host, cluster: &str, own: &str, corosync: &str) -> Node {
    let mut node = Node::read(host);
    if cluster != "-" {
        node.cluster = load(Path::new(cluster), cluster, Scope::Cluster, None).0;
    }
    if own != "-" {
        node.host = load(Path::new(own), own, Scope::Host, Some(&node.cluster)).0;
    } else if cluster != "-" {
        node.host = super::node::host_config(host, &node.cluster).0;
    }
    if corosync != "-" {
        node.corosync = Configuration::parse(&crate::files::text(Path::new(corosync))).ok();
    }
    node
}

fn listed(node: &Node) -> u8 {
    let compiled = match compile(node) {
        Ok(compiled) => compiled,
        Err(message) => {
            complain(message);
            return 255;
        }
    };
    let mut text = String::new();
    for (table, chains) in [("filter", &compiled.filter4), ("raw", &compiled.raw4), ("sets", &compiled.sets)] {
        for (chain, rules) in chains {
            for rule in [""].into_iter().chain(rules.iter().map(String::as_str)) {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{table}\t{chain}\t{rule}");
            }
        }
    }
    put(text);
    0
}

fn simulated(packet: &Packet, text: &str) -> String {
    let (mut chains, mut sets) = (Chains::new(), Chains::new());
    for line in text.lines() {
        let mut parts = line.splitn(3, '\t');
        let (Some(table), Some(chain), Some(rule)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let found = if table == "sets" { &mut sets } else { &mut chains };
        let rules = found.entry(chain.to_owned()).or_default();
        if !rule.is_empty() {
            rules.push(rule.to_owned());
        }
    }
    match packet.decided(Simulation { chains: &chains, sets: &sets, mark: 0 }, None) {
        Ok(action) => format!("ACTION: {action}"),
        Err(message) => message,
    }
}
