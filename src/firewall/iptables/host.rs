//! PVEFW-HOST-IN and PVEFW-HOST-OUT (`enable_host_firewall`), and what guards the bridges.

use super::super::kernel::{AddressType, Match, Target};
use super::super::{RuleRef, lookup, policy};
use super::rules::{Accepted, Use};
use super::{Compiler, own, sets};
use crate::pve::firewall::{Action, AddressRange, LogLevel};

/// Ports that the management set may use, in PVE's order for IN and for OUT.
const MANAGED_IN: [(&str, &str); 5] = [
    ("8006", "web interface (8006) from the management set"),
    ("5900:5999", "VNC consoles (5900-5999) from the management set"),
    ("3128", "SPICE proxy (3128) from the management set"),
    ("22", "SSH (22) from the management set"),
    ("60000:60050", "migration (60000-60050) from the management set"),
];
const MANAGED_OUT: [&str; 4] = ["8006", "22", "5900:5999", "3128"];

const COROSYNC: &str = "-p udp --dport 5404:5405";

fn corosync() -> Vec<Match> {
    vec![Match::Protocol(17), Match::DestPorts(vec![5404..=5405])]
}

fn tcp(ports: &str) -> Vec<Match> {
    let (first, last) = ports.split_once(':').unwrap_or((ports, ports));
    let range = first.parse().unwrap_or_default()..=last.parse().unwrap_or_default();
    vec![Match::Protocol(6), Match::DestPorts(vec![range])]
}

fn address(address: std::net::IpAddr) -> Vec<AddressRange> {
    vec![AddressRange { first: address, last: address }]
}

impl Compiler<'_> {
    pub(super) fn forward(&mut self) {
        let invalid = self.inputs.host.config().flag("nf_conntrack_allow_invalid") == Some(true);
        self.connections("PVEFW-FORWARD", invalid);
        let level = self.log_level("log_level_out");
        self.input_filters("PVEFW-FWBR-IN", level);
        let name = "guests' bridges";
        for (word, chain) in [("in", "PVEFW-FWBR-IN"), ("out", "PVEFW-FWBR-OUT")] {
            let text = format!("-m physdev --physdev-is-bridged --physdev-{word} fwln+ -j {chain}");
            self.add("PVEFW-FORWARD", own(text, vec![Match::Never], Target::Jump(chain.into()), name));
        }
    }

    pub(super) fn host_in(&mut self) {
        let chain = "PVEFW-HOST-IN";
        let level = self.log_level("log_level_in");
        let lo = vec![Match::InInterface("lo".into())];
        self.add(chain, own("-i lo -j ACCEPT", lo, Target::Accept, "the node's own traffic"));
        self.connections(chain, false);
        self.neighbours(chain, true);
        self.input_filters(chain, level);
        self.igmp(chain);
        self.file_rules(Use { chain, inward: true, accepted: Accepted::Return });
        let set = sets::kernel_name("management", self.v6);
        for (ports, name) in MANAGED_IN {
            let mut matches = vec![Match::SourceSet(set.clone())];
            matches.extend(tcp(ports));
            let text = format!("-m set --match-set {set} src -p tcp --dport {ports} -j RETURN");
            self.add(chain, own(text, matches, Target::Return, name));
        }
        self.corosync(chain, true);
        let (action, by) = policy(self.inputs.cluster, "policy_in", Action::Drop);
        self.policy(chain, &action, by, level);
        self.add("PVEFW-INPUT", own(format!("-j {chain}"), vec![], Target::Jump(chain.into()), "node's input"));
    }

    pub(super) fn host_out(&mut self) {
        let chain = "PVEFW-HOST-OUT";
        let level = self.log_level("log_level_out");
        let lo = vec![Match::OutInterface("lo".into())];
        self.add(chain, own("-o lo -j ACCEPT", lo, Target::Accept, "the node's own traffic"));
        self.connections(chain, false);
        self.neighbours(chain, false);
        self.igmp(chain);
        self.file_rules(Use { chain, inward: false, accepted: Accepted::Return });
        let (text, net) = lookup::local_network(self.inputs);
        if net.addr().is_ipv6() == self.v6 {
            for ports in MANAGED_OUT {
                let mut matches = vec![Match::Dest(vec![AddressRange::from(net)])];
                matches.extend(tcp(ports));
                let text = format!("-d {text} -p tcp --dport {ports} -j RETURN");
                self.add(chain, own(text, matches, Target::Return, "the local network"));
            }
        }
        self.corosync(chain, false);
        let (action, by) = policy(self.inputs.cluster, "policy_out", Action::Accept);
        self.policy(chain, &action, by, level);
        self.add("PVEFW-OUTPUT", own(format!("-j {chain}"), vec![], Target::Jump(chain.into()), "node's output"));
    }

    /// `ruleset_chain_add_conn_filters`.
    fn connections(&mut self, chain: &str, allow_invalid: bool) {
        if !allow_invalid {
            let text = "-m conntrack --ctstate INVALID -j DROP";
            self.add(chain, own(text, vec![Match::Never], Target::Drop, "invalid packets"));
        }
        let text = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT";
        self.add(chain, own(text, vec![Match::Never], Target::Accept, "known connections"));
    }

    /// `ruleset_chain_add_ndp`.
    fn neighbours(&mut self, chain: &str, inward: bool) {
        if !self.v6 || self.inputs.host.config().flag("ndp") == Some(false) {
            return;
        }
        let types = [
            ("router-solicitation", 133),
            ("router-advertisement", 134),
            ("neighbor-solicitation", 135),
            ("neighbor-advertisement", 136),
        ];
        for (word, kind) in types {
            if kind == 134 && !inward {
                continue;
            }
            let matches = vec![Match::Protocol(58), Match::Icmp(Some(kind), None)];
            let text = format!("-p icmpv6 --icmpv6-type {word} -j RETURN");
            self.add(chain, own(text, matches, Target::Return, "neighbour discovery"));
        }
    }

    fn igmp(&mut self, chain: &str) {
        self.add(chain, own("-p igmp -j RETURN", vec![Match::Protocol(2)], Target::Return, "IGMP"));
    }

    /// `ruleset_chain_add_input_filters`.
    fn input_filters(&mut self, chain: &str, level: Option<LogLevel>) {
        if self.inputs.cluster.config().ipsets.contains_key("blacklist") {
            let name = "the set `blacklist`";
            if self.rules.chain("PVEFW-blacklist").is_none() {
                if let Some(level) = level {
                    let log = self.log_rule("PVEFW-blacklist", "", vec![], level, "DROP: ", RuleRef::automatic(name));
                    self.add("PVEFW-blacklist", log);
                }
                self.add("PVEFW-blacklist", own("-j DROP", vec![], Target::Drop, name));
            }
            let set = sets::kernel_name("blacklist", self.v6);
            let text = format!("-m set --match-set {set} src -j PVEFW-blacklist");
            let target = Target::Jump("PVEFW-blacklist".into());
            self.add(chain, own(text, vec![Match::SourceSet(set)], target, name));
        }
        let options = self.inputs.host.config();
        let (smurfs, flags) = (options.flag("nosmurfs"), options.flag("tcpflags"));
        if smurfs != Some(false) && !self.v6 {
            let text = "-m conntrack --ctstate INVALID,NEW -j PVEFW-smurfs";
            self.add(chain, own(text, vec![Match::New], Target::Jump("PVEFW-smurfs".into()), "nosmurfs"));
        }
        if flags == Some(true) {
            let target = Target::Jump("PVEFW-tcpflags".into());
            self.add(chain, own("-p tcp -j PVEFW-tcpflags", vec![Match::Protocol(6)], target, "tcpflags"));
        }
    }

    fn corosync(&mut self, chain: &str, inward: bool) {
        let Some(corosync_conf) = self.inputs.corosync else { return };
        let name = "corosync (5404-5405)";
        if corosync_conf.transport.as_deref() == Some("udp") {
            let mut matches = vec![Match::DestType(AddressType::Multicast)];
            matches.extend(corosync());
            let text = format!("-m addrtype --dst-type MULTICAST {COROSYNC} -j RETURN");
            self.add(chain, own(text, matches, Target::Return, name));
        }
        let all = lookup::corosync_addresses(self.inputs, self.v6);
        let own_name = self.inputs.node.name.clone();
        for (node, link, peer) in &all {
            let ours = all.iter().find(|(name, own_link, _)| *name == own_name && own_link == link);
            let Some((_, _, ours)) = ours.filter(|_| *node != own_name) else { continue };
            let (mut matches, text) = if inward {
                let matches = vec![Match::Dest(address(*ours)), Match::Source(address(*peer))];
                (matches, format!("-d {ours} -s {peer} {COROSYNC} -j RETURN"))
            } else {
                let matches = vec![Match::Source(address(*ours)), Match::Dest(address(*peer))];
                (matches, format!("-s {ours} -d {peer} {COROSYNC} -j RETURN"))
            };
            matches.extend(corosync());
            self.add(chain, own(text, matches, Target::Return, name));
        }
    }

    /// `ruleset_add_chain_policy`.
    fn policy(&mut self, chain: &str, action: &Action, by: RuleRef, level: Option<LogLevel>) {
        let rule = |text: &str, target: Target, origin: RuleRef| super::Rule {
            text: text.into(),
            matches: vec![],
            target,
            origin,
        };
        let (first, last) = match action {
            Action::Drop => ("PVEFW-Drop", rule("-j DROP", Target::Drop, by.clone())),
            Action::Reject => {
                ("PVEFW-Reject", rule("-g PVEFW-reject", Target::Goto("PVEFW-reject".into()), by.clone()))
            }
            Action::Accept | Action::Group(_) => {
                self.add(chain, rule(" -j RETURN", Target::Return, by));
                return;
            }
        };
        let noise = Target::Jump(first.into());
        self.add(chain, own(format!("-j {first}"), vec![], noise, "well-known noise"));
        if let Some(level) = level {
            let log = self.log_rule(chain, "", vec![], level, &format!("policy {action}: "), by);
            self.add(chain, log);
        }
        self.add(chain, last);
    }
}
