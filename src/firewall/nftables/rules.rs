//! Rules of the files (`NftRule::from_config_rule`). A rule is first made without family; matches that belong to a
//! family pin it, and a later match of the other family is left out, not failed.

use super::super::kernel::{Match, Rule, Target};
use super::super::{Skipped, lookup};
use super::{Compiler, set_name};
use crate::pve::firewall::{
    self as files, Action, Address, AddressKind, AddressRange, Backend, NamePrefix, Ports, RuleKind, icmp_numbers,
    macro_named, protocol_number,
};

/// Chain and direction that rules are compiled for.
#[derive(Clone, Copy)]
pub(super) struct Use<'a> {
    pub chain: &'a str,
    pub kind: RuleKind,
    pub word: &'a str,
}

/// A rule in the making.
#[derive(Clone, Default)]
struct Draft {
    v6: Option<bool>,
    words: Vec<String>,
    matches: Vec<Match>,
}

impl Draft {
    fn add(&mut self, word: impl Into<String>, found: Match) {
        self.words.push(word.into());
        self.matches.push(found);
    }
}

/// `generate_verdict` of the host's table.
pub(super) fn verdict(action: &Action) -> (&'static str, Target) {
    match action {
        Action::Accept => ("accept", Target::Accept),
        Action::Reject => ("jump do-reject", Target::Jump("do-reject".into())),
        Action::Drop | Action::Group(_) => ("drop", Target::Drop),
    }
}

impl Compiler<'_> {
    pub(super) fn file_rules(&mut self, to: Use<'_>, file: &str, rules: &[files::Rule]) {
        for rule in rules.iter().filter(|rule| rule.enabled) {
            let origin = lookup::origin(file, rule);
            if let Some(why) = &rule.unused {
                self.rules.skipped.push(Skipped { rule: origin, why: why.clone() });
                continue;
            }
            if let Action::Group(group) = &rule.action {
                if to.kind == RuleKind::Forward && rule.interface.is_some() {
                    continue;
                }
                let mut draft = Draft::default();
                interface(&mut draft, to, rule);
                let chain = format!("group-{group}-{}", to.word);
                let text = sentence(&draft, &format!("jump {chain}"));
                self.add(to.chain, Rule { text, matches: draft.matches, target: Target::Jump(chain), origin });
                continue;
            }
            if rule.kind != to.kind {
                continue;
            }
            for draft in self.drafts(to, rule) {
                if draft.v6.is_some_and(|v6| v6 != self.v6) {
                    continue;
                }
                let (word, target) = verdict(&rule.action);
                let text = sentence(&draft, word);
                self.add(to.chain, Rule { text, matches: draft.matches, target, origin: origin.clone() });
            }
        }
    }

    fn drafts(&self, to: Use<'_>, rule: &files::Rule) -> Vec<Draft> {
        let mut first = Draft::default();
        interface(&mut first, to, rule);
        if let Some(name) = &rule.protocol {
            protocol(&mut first, name, rule.dport.as_deref(), rule.sport.as_deref(), rule.icmp_type.as_deref());
        }
        let mut drafts = vec![first];
        if let Some(found) = rule.macro_name.as_deref().and_then(|name| macro_named(name, Backend::Nftables, false)) {
            let part = |part: &files::MacroPart| {
                drafts
                    .iter()
                    .cloned()
                    .map(|mut draft| {
                        let icmp = part.protocol.contains("icmp");
                        let (kind, dport) = if icmp { (part.dport, None) } else { (None, part.dport) };
                        protocol(&mut draft, part.protocol, dport, part.sport, kind);
                        draft
                    })
                    .collect::<Vec<_>>()
            };
            drafts = found.parts.iter().flat_map(part).collect();
        }
        for (address, source) in [(&rule.source, true), (&rule.dest, false)] {
            if let Some(address) = address {
                drafts = drafts.into_iter().flat_map(|draft| self.address(draft, address, source)).collect();
            }
        }
        drafts
    }

    /// `handle_match` and `handle_set`.
    fn address(&self, draft: Draft, address: &Address, source: bool) -> Vec<Draft> {
        let field = if source { "saddr" } else { "daddr" };
        let ranges = |ranges: Vec<AddressRange>| if source { Match::Source(ranges) } else { Match::Dest(ranges) };
        let pinned = |mut draft: Draft, v6: bool, text: &str, found: Vec<AddressRange>| {
            if draft.v6.is_none_or(|own| own == v6) {
                draft.v6 = Some(v6);
                draft.add(format!("ip{} {field} {text}", if v6 { "6" } else { "" }), ranges(found));
            }
            vec![draft]
        };
        match &address.kind {
            AddressKind::List(list) => {
                let v6 = address.is_v6() == Some(true);
                pinned(draft, v6, &format!("{{ {} }}", address.text), list.clone())
            }
            AddressKind::Alias(prefix, name) => match lookup::alias(self.inputs, *prefix, name) {
                Some(alias) => {
                    let range = AddressRange::from(alias.network);
                    pinned(draft, alias.network.addr().is_ipv6(), &alias.cidr, vec![range])
                }
                None => Vec::new(),
            },
            AddressKind::Ipset(prefix, name) => {
                let both = [false, true].into_iter().filter(|v6| draft.v6.is_none_or(|own| own == *v6));
                both.map(|v6| {
                    let mut draft = draft.clone();
                    draft.v6 = Some(v6);
                    let set = set_name(name, v6);
                    let ip = if v6 { "ip6" } else { "ip" };
                    let found = match prefix {
                        Some(NamePrefix::Sdn) => Match::Doubt,
                        _ if source => Match::SourceSet(set.clone()),
                        _ => Match::DestSet(set.clone()),
                    };
                    draft.add(format!("{ip} {field} @{set} {ip} {field} != @{set}-nomatch"), found);
                    draft
                })
                .collect()
            }
        }
    }
}

fn sentence(draft: &Draft, last: &str) -> String {
    draft.words.iter().map(String::as_str).chain([last]).collect::<Vec<_>>().join(" ")
}

fn interface(draft: &mut Draft, to: Use<'_>, rule: &files::Rule) {
    let Some(name) = &rule.interface else { return };
    if to.kind == RuleKind::Out {
        draft.add(format!("oifname \"{name}\""), Match::OutInterface(name.clone()));
    } else {
        draft.add(format!("iifname \"{name}\""), Match::InInterface(name.clone()));
    }
}

/// `Protocol::to_nft_rules`: ports count only for protocols that have them, ICMP pins the family.
fn protocol(draft: &mut Draft, name: &str, dport: Option<&str>, sport: Option<&str>, icmp: Option<&str>) {
    let number = protocol_number(name);
    match number {
        Some(1 | 58) => {
            let v6 = number == Some(58);
            if draft.v6.is_some_and(|own| own != v6) {
                return;
            }
            draft.v6 = Some(v6);
            draft.add(format!("meta l4proto {name}"), Match::Protocol(if v6 { 58 } else { 1 }));
            if let Some((kind, code)) = icmp.and_then(|kind| icmp_numbers(kind, v6)) {
                let word = icmp.unwrap_or_default();
                draft.add(format!("icmp{} type {word}", if v6 { "v6" } else { "" }), Match::Icmp(kind, code));
            }
        }
        Some(number) => {
            draft.add(format!("meta l4proto {name}"), Match::Protocol(number));
            if matches!(number, 6 | 17 | 33 | 132 | 136) {
                let parse = |text: Option<&str>| text.and_then(|text| Ports::parse(text, Backend::Nftables).ok());
                if let Some(ports) = parse(sport) {
                    draft.add(format!("th sport {{ {} }}", ports.text), Match::SourcePorts(ports.ranges));
                }
                if let Some(ports) = parse(dport) {
                    draft.add(format!("th dport {{ {} }}", ports.text), Match::DestPorts(ports.ranges));
                }
            }
        }
        None => draft.add(format!("meta l4proto {name}"), Match::Doubt),
    }
}
