//! The host's own chains, PVEFW-HOST-IN and PVEFW-HOST-OUT, and security groups.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::commands::Place;
use super::{Builder, MARK_OFF, MARK_ON, counts, option_level, sets, substitute};
use crate::corosync::conf::Node as Member;
use crate::firewall::Family;
use crate::firewall::config::Config;
use crate::firewall::node::Node;
use crate::firewall::rule::Rule;

const COROSYNC: &str = "-p udp --dport 5404:5405";
const MANAGEMENT: [&str; 5] = ["8006", "5900:5999", "3128", "22", "60000:60050"];
const TO_LOCAL_NETWORK: [&str; 4] = ["8006", "22", "5900:5999", "3128"];

/// Which way packets go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To this machine, or to the guest.
    In,
    /// From it.
    Out,
}

impl Direction {
    /// `IN` or `OUT`, as in names of chains.
    pub const fn name(self) -> &'static str {
        match self {
            Self::In => "IN",
            Self::Out => "OUT",
        }
    }

    /// `in` or `out`, as in rules.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }

    /// The interface match.
    pub fn iface(self, name: &str) -> String {
        match (self, name.is_empty()) {
            (_, true) => String::new(),
            (Self::In, false) => format!("-i {name}"),
            (Self::Out, false) => format!("-o {name}"),
        }
    }
}

impl Builder {
    /// Both chains, plugged in.
    pub fn host_chains(&mut self, node: &mut Node) -> Result<(), String> {
        self.host_in(node)?;
        self.host_out(node)?;
        self.add("PVEFW-OUTPUT", "", "-j PVEFW-HOST-OUT");
        self.add("PVEFW-INPUT", "", "-j PVEFW-HOST-IN");
        Ok(())
    }

    fn host_in(&mut self, node: &mut Node) -> Result<(), String> {
        let chain = "PVEFW-HOST-IN";
        self.create(chain)?;
        let level = option_level(&node.host, "log_level_in");
        self.add(chain, "-i lo", "-j ACCEPT");
        self.connection_filters(chain, false, "-j ACCEPT");
        self.neighbour_discovery(chain, &node.host, false, "-j RETURN");
        self.input_filters(chain, node, level)?;
        self.add(chain, "-p igmp", "-j RETURN");
        self.own_rules(chain, node, Direction::In);
        let set = sets::chain_name(0, "management", self.family);
        for ports in MANAGEMENT {
            self.add(chain, &format!("-m set --match-set {set} src -p tcp --dport {ports}"), "-j RETURN");
        }
        self.corosync(chain, node, Direction::In);
        let policy = node.cluster.text("policy_in").unwrap_or_else(|| "DROP".to_owned());
        self.policy(chain, &policy, "RETURN", 0, level);
        Ok(())
    }

    fn host_out(&mut self, node: &mut Node) -> Result<(), String> {
        let chain = "PVEFW-HOST-OUT";
        self.create(chain)?;
        let level = option_level(&node.host, "log_level_out");
        self.add(chain, "-o lo", "-j ACCEPT");
        self.connection_filters(chain, false, "-j ACCEPT");
        self.neighbour_discovery(chain, &node.host, true, "-j RETURN");
        self.add(chain, "-p igmp", "-j RETURN");
        self.own_rules(chain, node, Direction::Out);
        let local = node.cluster.aliases.get("local_network").filter(|alias| alias.family == Some(self.family));
        if let Some(network) = local.map(|alias| alias.cidr.clone()) {
            for ports in TO_LOCAL_NETWORK {
                self.add(chain, &format!("-d {network} -p tcp --dport {ports}"), "-j RETURN");
            }
        }
        self.corosync(chain, node, Direction::Out);
        let policy = node.cluster.text("policy_out").unwrap_or_else(|| "ACCEPT".to_owned());
        self.policy(chain, &policy, "RETURN", 0, level);
        Ok(())
    }

    /// The host's rules, then the datacenter's. A rule that cannot be said is left out.
    fn own_rules(&mut self, chain: &str, node: &mut Node, direction: Direction) {
        let (mut own, mut shared) = (std::mem::take(&mut node.host.rules), std::mem::take(&mut node.cluster.rules));
        for rule in own.iter_mut().chain(&mut shared) {
            if !counts(rule, self.family) {
                continue;
            }
            if let Err(message) = self.own_rule(chain, node, rule, direction) {
                self.warnings.push(message);
            }
        }
        (node.host.rules, node.cluster.rules) = (own, shared);
    }

    fn own_rule(&mut self, chain: &str, node: &mut Node, rule: &mut Rule, direction: Direction) -> Result<(), String> {
        let message = format!("{}: ", rule.action);
        let iface = direction.iface(&rule.iface);
        if rule.kind == "group" {
            return self.group_jump(chain, &mut node.cluster, (rule, &iface), direction, "RETURN");
        }
        if rule.kind != direction.kind() {
            return Ok(());
        }
        // It stays exchanged: the second family's log lines say what the first one's rule became.
        substitute(rule, "RETURN");
        let place =
            Place { cluster: Some(&node.cluster), own: Some(&node.host), vmid: 0, iface: &iface, message: &message };
        self.add_rule(chain, rule, place)
    }

    /// Jumps to a group's chain, which is made at its first use, and acts on the mark that it sets.
    pub fn group_jump(
        &mut self,
        chain: &str,
        cluster: &mut Config,
        (rule, iface): (&Rule, &str),
        direction: Direction,
        accept: &str,
    ) -> Result<(), String> {
        let group = format!("GROUP-{}-{}", rule.action, direction.name());
        if !self.chains.contains_key(&group) {
            self.group_chains(cluster, &rule.action)?;
        }
        self.add(chain, iface, &format!("-j {group}"));
        self.add(chain, &format!("-m mark --mark {MARK_ON}"), &format!("-j {accept}"));
        Ok(())
    }

    fn group_chains(&mut self, cluster: &mut Config, name: &str) -> Result<(), String> {
        let mut rules = if let Some(group) = cluster.groups.get_mut(name) {
            std::mem::take(&mut group.rules)
        } else {
            self.warnings.push(format!("no such security group '{name}'"));
            Vec::new()
        };
        let made = [Direction::In, Direction::Out]
            .into_iter()
            .try_for_each(|direction| self.group_chain(cluster, name, &mut rules, direction));
        if let Some(group) = cluster.groups.get_mut(name) {
            group.rules = rules;
        }
        made
    }

    fn group_chain(
        &mut self,
        cluster: &Config,
        name: &str,
        rules: &mut [Rule],
        direction: Direction,
    ) -> Result<(), String> {
        let chain = format!("GROUP-{name}-{}", direction.name());
        self.create(&chain)?;
        self.add(&chain, "", &format!("-j MARK --set-mark {MARK_OFF}"));
        for rule in rules.iter_mut().filter(|rule| rule.kind == direction.kind()) {
            if counts(rule, self.family) {
                substitute(rule, "PVEFW-SET-ACCEPT-MARK");
                self.add_rule(&chain, rule, Place { cluster: Some(cluster), ..Place::default() })?;
            }
        }
        Ok(())
    }

    /// Peers' heartbeats on every link that this node has too.
    fn corosync(&mut self, chain: &str, node: &Node, direction: Direction) {
        let Some(conf) = &node.corosync else { return };
        if conf.transport.as_deref() == Some("udp") {
            self.add(chain, &format!("-m addrtype --dst-type MULTICAST {COROSYNC}"), "-j RETURN");
        }
        let links = |name: &str| -> BTreeMap<u8, IpAddr> {
            let member = conf.nodes.iter().find(|member| member.name == name);
            let addresses = member.into_iter().flat_map(Member::addresses);
            addresses.filter(|(_, address)| Family::of(*address) == self.family).collect()
        };
        let own = links(&node.name);
        let mut names: Vec<&str> = conf.nodes.iter().map(|member| member.name.as_str()).collect();
        names.sort_unstable();
        let mut matches = Vec::new();
        for name in names.into_iter().filter(|name| *name != node.name) {
            for (link, peer) in links(name) {
                if let Some(own) = own.get(&link) {
                    matches.push(match direction {
                        Direction::In => format!("-d {own} -s {peer} {COROSYNC}"),
                        Direction::Out => format!("-s {own} -d {peer} {COROSYNC}"),
                    });
                }
            }
        }
        for matched in matches {
            self.add(chain, &matched, "-j RETURN");
        }
    }
}
