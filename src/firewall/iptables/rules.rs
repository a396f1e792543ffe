//! Rules of the files (`ipt_rule_to_cmds`, `ruleset_add_group_rule`, `generate_group_rules`).

use super::super::kernel::{Match, Rule, Target};
use super::super::{RuleRef, Skipped, lookup};
use super::{Compiler, own, sets};
use crate::pve::firewall::{
    self as files, Action, Address, AddressKind, AddressRange, Backend, NamePrefix, Ports, RuleKind, icmp_numbers,
    macro_named, protocol_number,
};

const MARK: &str = "0x80000000/0x80000000";

/// What stands for ACCEPT in a chain.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepted {
    /// Back to INPUT or OUTPUT, which accept.
    Return,
    /// Mark, for the chain that uses the group.
    Mark,
}

/// Chain and direction that rules are compiled for.
#[derive(Clone, Copy)]
pub(super) struct Use<'a> {
    pub chain: &'a str,
    pub inward: bool,
    pub accepted: Accepted,
}

impl Use<'_> {
    fn kind(&self) -> RuleKind {
        if self.inward { RuleKind::In } else { RuleKind::Out }
    }
}

impl Compiler<'_> {
    /// The rules of host.fw, then those of cluster.fw.
    pub(super) fn file_rules(&mut self, to: Use<'_>) {
        let inputs = self.inputs;
        let host = inputs.host.config().rules.iter().map(|rule| ("host.fw", rule));
        let cluster = inputs.cluster.config().rules.iter().map(|rule| ("cluster.fw", rule));
        for (file, rule) in host.chain(cluster) {
            if !self.applies(rule) {
                continue;
            }
            match &rule.action {
                Action::Group(group) => self.use_group(to, file, rule, group),
                _ if rule.kind == to.kind() => self.file_rule(to, file, rule),
                _ => {}
            }
        }
    }

    fn applies(&self, rule: &files::Rule) -> bool {
        rule.enabled && rule.unused.is_none() && rule.v6.is_none_or(|v6| v6 == self.v6)
    }

    fn use_group(&mut self, to: Use<'_>, file: &str, rule: &files::Rule, group: &str) {
        let word = if to.inward { "IN" } else { "OUT" };
        let name = format!("GROUP-{group}-{word}");
        if name.len() > 28 || self.rules.chain(&name).is_none() {
            self.group_chains(group);
        }
        let origin = lookup::origin(file, rule);
        let target = Target::Jump(name.clone());
        let (text, matches) = match &rule.interface {
            Some(interface) if to.inward => {
                (format!("-i {interface} -j {name}"), vec![Match::InInterface(interface.clone())])
            }
            Some(interface) => (format!("-o {interface} -j {name}"), vec![Match::OutInterface(interface.clone())]),
            None => (format!("-j {name}"), vec![]),
        };
        self.add(to.chain, Rule { text, matches, target, origin: origin.clone() });
        let text = format!("-m mark --mark {MARK} -j RETURN");
        self.add(to.chain, Rule { text, matches: vec![Match::Marked], target: Target::Return, origin });
    }

    fn group_chains(&mut self, group: &str) {
        let inputs = self.inputs;
        let rules = inputs.cluster.config().groups.get(group).map_or(&[][..], |group| &group.rules);
        for (word, inward) in [("IN", true), ("OUT", false)] {
            let chain = format!("GROUP-{group}-{word}");
            let clear = own("-j MARK --set-mark 0x00000000/0x80000000", vec![], Target::SetMark(false), "group");
            self.add(&chain, clear);
            let to = Use { chain: &chain, inward, accepted: Accepted::Mark };
            for rule in rules {
                if rule.kind == to.kind() && self.applies(rule) {
                    self.file_rule(to, "cluster.fw", rule);
                }
            }
        }
    }

    fn file_rule(&mut self, to: Use<'_>, file: &str, rule: &files::Rule) {
        let origin = lookup::origin(file, rule);
        match self.commands(to, rule, &origin) {
            Ok(rules) => rules.into_iter().for_each(|rule| self.add(to.chain, rule)),
            Err(why) => self.rules.skipped.push(Skipped { rule: origin, why }),
        }
    }

    /// All commands of a rule, or why there are none.
    fn commands(&self, to: Use<'_>, rule: &files::Rule, origin: &RuleRef) -> Result<Vec<Rule>, String> {
        let parts: Vec<Part<'_>> = match &rule.macro_name {
            None => vec![Part {
                protocol: rule.protocol.as_deref(),
                dport: rule.dport.as_deref(),
                sport: rule.sport.as_deref(),
            }],
            Some(name) => {
                let found =
                    macro_named(name, Backend::Iptables, self.v6).ok_or_else(|| format!("unknown macro '{name}'"))?;
                let part = |part: &files::MacroPart| Part {
                    protocol: Some(part.protocol),
                    dport: part.dport.or(rule.dport.as_deref()),
                    sport: part.sport.or(rule.sport.as_deref()),
                };
                found.parts.iter().map(part).collect()
            }
        };
        let mut made = Vec::new();
        for part in parts {
            let condition = self.condition(to, rule, part)?;
            let (target, text) = target(to, &rule.action);
            if let Some(level) = rule.log.filter(|level| level.number().is_some()) {
                let message = self.log_message(to, rule);
                made.push(self.log_rule(
                    to.chain,
                    &condition.text(),
                    condition.matches.clone(),
                    level,
                    &message,
                    origin.clone(),
                ));
            }
            let text = format!("{} {text}", condition.text());
            made.push(Rule { text, matches: condition.matches, target, origin: origin.clone() });
        }
        Ok(made)
    }

    /// PVE replaces the action in its parsed rule where it compiles it for IPv4, and names what it finds for IPv6.
    fn log_message(&self, to: Use<'_>, rule: &files::Rule) -> String {
        let action = &rule.action;
        let replaced = match action {
            Action::Accept => "RETURN",
            Action::Reject => "PVEFW-reject",
            _ => "DROP",
        };
        match to.accepted {
            Accepted::Mark => String::new(),
            Accepted::Return if self.v6 && rule.v6.is_none() => format!("{replaced}: "),
            Accepted::Return => format!("{action}: "),
        }
    }

    fn condition(&self, to: Use<'_>, rule: &files::Rule, part: Part<'_>) -> Result<Condition, String> {
        let mut condition = Condition::default();
        if let Some(interface) = &rule.interface {
            let name = interface.clone();
            let (flag, found) =
                if to.inward { ("-i", Match::InInterface(name)) } else { ("-o", Match::OutInterface(name)) };
            condition.add(format!("{flag} {interface}"), found);
        }
        for (address, source) in [(&rule.source, true), (&rule.dest, false)] {
            if let Some(address) = address {
                self.address(address, source, &mut condition)?;
            }
        }
        if let Some(protocol) = part.protocol.filter(|protocol| *protocol != "0") {
            Self::protocol(protocol, rule, part, &mut condition)?;
        }
        Ok(condition)
    }

    /// `ipt_gen_src_or_dst_match`.
    fn address(&self, address: &Address, source: bool, condition: &mut Condition) -> Result<(), String> {
        let flag = if source { "-s" } else { "-d" };
        let word = if source { "src" } else { "dst" };
        let ranges = |ranges: Vec<AddressRange>| if source { Match::Source(ranges) } else { Match::Dest(ranges) };
        match &address.kind {
            AddressKind::Ipset(Some(NamePrefix::Sdn), name) => {
                condition.add(format!("-m set --match-set {} {word}", sets::kernel_name(name, self.v6)), Match::Doubt);
            }
            AddressKind::Ipset(prefix, name) => {
                let there = self.inputs.cluster.config().ipsets.contains_key(name);
                if *prefix == Some(NamePrefix::Guest) || !there {
                    return Err(format!("no such ipset '{name}'"));
                }
                let set = sets::kernel_name(name, self.v6);
                let text = format!("-m set --match-set {set} {word}");
                condition.add(text, if source { Match::SourceSet(set) } else { Match::DestSet(set) });
            }
            AddressKind::Alias(prefix, name) => {
                let alias = lookup::alias(self.inputs, *prefix, name)
                    .ok_or_else(|| format!("no such alias '{}'", address.text))?;
                condition.add(format!("{flag} {}", alias.cidr), ranges(vec![AddressRange::from(alias.network)]));
            }
            AddressKind::List(list) if address.text.contains('-') => {
                condition.add(format!("-m iprange --{word}-range {}", address.text), ranges(list.clone()));
            }
            AddressKind::List(list) => condition.add(format!("{flag} {}", address.text), ranges(list.clone())),
        }
        Ok(())
    }

    fn protocol(name: &str, rule: &files::Rule, part: Part<'_>, condition: &mut Condition) -> Result<(), String> {
        let number = protocol_number(name).ok_or_else(|| format!("unknown protocol '{name}'"))?;
        condition.add(format!("-p {name}"), Match::Protocol(number));
        let icmp = matches!(name, "icmp" | "icmpv6" | "ipv6-icmp");
        let given = |value: Option<&str>| value.filter(|value| *value != "0").map(str::to_owned);
        if let Some(kind) = rule.icmp_type.as_deref().filter(|_| icmp) {
            let word = if name == "icmp" { "icmp-type" } else { "icmpv6-type" };
            condition.icmp(format!("-m {name} --{word} {kind}"), kind, name != "icmp")?;
        }
        if icmp {
            return match part.dport {
                Some(kind) if name != "ipv6-icmp" => {
                    condition.icmp(format!("-m {name} --{name}-type {kind}"), kind, name == "icmpv6")
                }
                Some(_) => Err(format!("protocol {name} does not have ports")),
                None => Ok(()),
            };
        }
        let parse = |text: String| Ports::parse(&text, Backend::Iptables);
        let dport = given(part.dport).map(parse).transpose()?;
        let sport = given(part.sport).map(parse).transpose()?;
        let multi = |ports: &Ports| ports.text.contains(',');
        let add = |condition: &mut Condition, ports: &Ports, word: &str| {
            let text = if multi(ports) {
                format!("--match multiport --{word}s {}", ports.text)
            } else {
                format!("--{word} {}", ports.text)
            };
            let ranges = ports.ranges.clone();
            condition.add(text, if word == "dport" { Match::DestPorts(ranges) } else { Match::SourcePorts(ranges) });
        };
        // A single port comes before a list.
        let sport_last = sport.as_ref().is_some_and(multi);
        if let Some(dport) = dport.as_ref().filter(|_| sport_last) {
            add(condition, dport, "dport");
        }
        if let Some(sport) = &sport {
            add(condition, sport, "sport");
        }
        if let Some(dport) = dport.as_ref().filter(|_| !sport_last) {
            add(condition, dport, "dport");
        }
        Ok(())
    }
}

fn target(to: Use<'_>, action: &Action) -> (Target, &'static str) {
    match (action, to.accepted) {
        (Action::Accept, Accepted::Return) => (Target::Return, "-j RETURN"),
        (Action::Accept, Accepted::Mark) => (Target::Goto("PVEFW-SET-ACCEPT-MARK".into()), "-g PVEFW-SET-ACCEPT-MARK"),
        (Action::Reject, _) => (Target::Jump("PVEFW-reject".into()), "-j PVEFW-reject"),
        (Action::Drop | Action::Group(_), _) => (Target::Drop, "-j DROP"),
    }
}

/// Protocol and ports of a rule or of one part of a macro.
#[derive(Clone, Copy)]
struct Part<'a> {
    protocol: Option<&'a str>,
    dport: Option<&'a str>,
    sport: Option<&'a str>,
}

#[derive(Default)]
struct Condition {
    words: Vec<String>,
    matches: Vec<Match>,
}

impl Condition {
    fn add(&mut self, text: String, found: Match) {
        self.words.push(text);
        self.matches.push(found);
    }

    fn icmp(&mut self, text: String, kind: &str, v6: bool) -> Result<(), String> {
        let (number, code) = icmp_numbers(kind, v6).ok_or_else(|| format!("unknown icmp-type '{kind}'"))?;
        self.add(text, Match::Icmp(number, code));
        Ok(())
    }

    fn text(&self) -> String {
        self.words.join(" ")
    }
}
