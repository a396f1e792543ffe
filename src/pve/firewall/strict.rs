//! Reading a file as proxmox-firewall does (crate `proxmox-ve-config`, `firewall::common::Config::parse`): one bad
//! line refuses the whole file. All bad lines are listed here, the real one stops at the first.

use std::collections::BTreeSet;

use super::address::{self, is_strict_name};
use super::read::{Line, Reading, Section, What};
use super::{
    Action, Address, AddressKind, Alias, Backend, Config, Effect, FileScope, Group, Ipset, LogLevel, Member,
    MemberAddress, NamePrefix, Ports, Rule, RuleKind, Setting, icmp, macro_named, names, options,
};

pub(super) fn read(lines: &[String], scope: FileScope, cluster: Option<&Config>) -> Reading {
    let mut reader = Reader { reading: Reading::default(), scope, section: None, seen: BTreeSet::new() };
    for (index, raw) in lines.iter().enumerate() {
        let line = raw.trim();
        let what = if line.is_empty() {
            What::Blank
        } else if line.starts_with('#') {
            What::Comment
        } else {
            reader.line(index + 1, line)
        };
        reader.reading.lines.push(Line { section: reader.section.clone(), what });
    }
    let mut reading = reader.reading;
    unusable(&mut reading, scope, cluster);
    reading.problems.sort_by_key(|problem| problem.line);
    reading
}

struct Reader {
    reading: Reading,
    scope: FileScope,
    section: Option<Section>,
    /// Names that may come once.
    seen: BTreeSet<String>,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) -> What {
        if line.starts_with('[') {
            if let Err(error) = self.header(number, line) {
                self.refuse(number, line, error);
                return What::Body;
            }
            return What::Header;
        }
        let done = match self.section.clone() {
            None => Err(format!("config line with no section: {line:?}")),
            Some(Section::Options) => self.option(number, line),
            Some(Section::Aliases) => self.alias(number, line),
            Some(Section::Ipset(name)) => self.member(number, line, &name),
            Some(Section::Rules) => parse_rule(number, line).and_then(|rule| self.rule(rule)),
            Some(Section::Group(name)) => parse_rule(number, line).map(|rule| {
                if let Some(group) = self.reading.config.groups.get_mut(&name) {
                    group.rules.push(rule);
                }
            }),
        };
        if let Err(error) = done {
            self.refuse(number, line, error);
        }
        What::Body
    }

    fn refuse(&mut self, number: usize, line: &str, message: impl Into<String>) {
        self.reading.problem(number, line, message, Effect::FileRefused);
    }

    fn header(&mut self, number: usize, line: &str) -> Result<(), String> {
        let only_rules = || match self.scope {
            FileScope::Host => Err("host firewall config cannot declare aliases, ipsets or groups".to_owned()),
            _ => Ok(()),
        };
        if line.eq_ignore_ascii_case("[OPTIONS]") {
            self.section = Some(Section::Options);
        } else if line.eq_ignore_ascii_case("[ALIASES]") {
            self.section = Some(Section::Aliases);
        } else if line.eq_ignore_ascii_case("[RULES]") {
            self.section = Some(Section::Rules);
        } else if let Some(rest) = line.strip_prefix("[IPSET") {
            only_rules()?;
            let name = section_name(rest, "ipset")?;
            let again = self.reading.config.ipsets.insert(name.clone(), Ipset { line: number, members: Vec::new() });
            self.section = Some(Section::Ipset(name.clone()));
            return again.map_or(Ok(()), |_| Err(format!("duplicate ipset: {name:?}")));
        } else if let Some(rest) = line.strip_prefix("[group") {
            if self.scope != FileScope::Cluster {
                return Err("only cluster.fw can declare groups".into());
            }
            let name = section_name(rest, "group")?;
            let again = self.reading.config.groups.insert(name.clone(), Group { line: number, rules: Vec::new() });
            self.section = Some(Section::Group(name.clone()));
            return again.map_or(Ok(()), |_| Err(format!("duplicate group: {name:?}")));
        } else {
            return Err(format!("invalid section {line:?}"));
        }
        Ok(())
    }

    fn option(&mut self, number: usize, line: &str) -> Result<(), String> {
        let (name, value) =
            line.split_once(':').ok_or_else(|| format!("expected colon separated key and value, found {line:?}"))?;
        let (name, value) = (name.trim(), value.trim());
        if !self.seen.insert(format!("option {name}")) {
            return Err(format!("duplicate option {name:?}"));
        }
        match options::strict(name, value, self.scope)? {
            Some(value) => {
                self.reading.config.options.insert(name.into(), Setting { value, line: number });
            }
            None => self.reading.problem(number, line, format!("unknown option {name:?}"), Effect::LineIgnored),
        }
        Ok(())
    }

    fn alias(&mut self, number: usize, line: &str) -> Result<(), String> {
        if self.scope == FileScope::Host {
            return Err("host firewall config cannot declare aliases".into());
        }
        let (name, rest) = name(line).ok_or("expected an alias name")?;
        let (value, rest) = word(rest.trim_start()).ok_or_else(|| format!("expected a value for alias {name:?}"))?;
        let (cidr, network) = address::cidr(value)?;
        let network = network.ok_or("the prefix is too long for the address")?;
        let rest = rest.trim_start();
        if !rest.is_empty() && !rest.starts_with('#') {
            return Err(format!("trailing characters in alias: {rest:?}"));
        }
        let alias = Alias { name: name.into(), cidr, network, line: number };
        let again = self.reading.config.aliases.insert(name.to_ascii_lowercase(), alias);
        again.map_or(Ok(()), |_| Err(format!("duplicate alias: {line}")))
    }

    fn member(&mut self, number: usize, line: &str, set: &str) -> Result<(), String> {
        let (nomatch, rest) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
        let (value, rest) = word(rest.trim_start()).ok_or("missing value")?;
        let address = match address::cidr(value) {
            Ok((cidr, Some(network))) => MemberAddress::Network(cidr, network),
            _ => match Address::parse(value, Backend::Nftables).map(|address| address.kind) {
                Ok(AddressKind::Alias(prefix, name)) => MemberAddress::Alias(prefix, name),
                _ => return Err(format!("Invalid address in IPSet: {value}")),
            },
        };
        let rest = rest.trim_start();
        let comment = rest.strip_prefix('#').map(|comment| comment.trim().to_owned());
        if comment.is_none() && !rest.is_empty() {
            return Err(format!("trailing characters in ipset entry: {rest:?}"));
        }
        if let Some(ipset) = self.reading.config.ipsets.get_mut(set) {
            ipset.members.push(Member { line: number, nomatch, address, comment });
        }
        Ok(())
    }

    fn rule(&mut self, rule: Rule) -> Result<(), String> {
        if self.scope == FileScope::Guest {
            let number = |name: &str| name.strip_prefix("net").is_some_and(|rest| rest.parse::<u16>().is_ok());
            if rule.interface.as_deref().is_some_and(|name| !number(name)) {
                return Err("interface name must be of the form \"net<number>\"".into());
            }
            if rule.kind == RuleKind::Forward {
                return Err("found not allowed direction in firewall config: forward".into());
            }
        }
        self.reading.config.rules.push(rule);
        Ok(())
    }
}

/// Rules that are read and then left out (`NftRule::from_config_rule` since proxmox-firewall 1.2.3), and what nft will
/// not take.
fn unusable(reading: &mut Reading, scope: FileScope, cluster: Option<&Config>) {
    let mut found: Vec<(usize, String, String, Effect)> = Vec::new();
    let config = &mut reading.config;
    let names = Names {
        ipsets: config.ipsets.keys().chain(cluster.into_iter().flat_map(|c| c.ipsets.keys())).cloned().collect(),
        aliases: config.aliases.keys().chain(cluster.into_iter().flat_map(|c| c.aliases.keys())).cloned().collect(),
        groups: cluster.unwrap_or(config).groups.keys().cloned().collect(),
        guest: scope == FileScope::Guest,
    };
    let rules = config.rules.iter_mut().chain(config.groups.values_mut().flat_map(|group| &mut group.rules));
    for rule in rules {
        if let Some(error) = names.missing(rule) {
            found.push((rule.line, rule.text.clone(), format!("the rule is skipped: {error}"), Effect::LineIgnored));
            rule.unused = Some(error);
        } else if let Action::Group(name) = &rule.action
            && rule.enabled
            && !names.groups.contains(name)
        {
            let message = format!("no such security group {name:?}: nft refuses all the rules");
            found.push((rule.line, rule.text.clone(), message, Effect::NotApplicable));
        } else if rule.enabled && ports_unread(rule) {
            let message = "ports without a protocol that has them are not looked at: the rule matches every port";
            found.push((rule.line, rule.text.clone(), message.into(), Effect::Misread));
        }
    }
    for member in config.ipsets.values().flat_map(|ipset| &ipset.members) {
        if let MemberAddress::Alias(_, name) = &member.address
            && !names.aliases.contains(name)
        {
            let message = format!("could not find alias {name} in environment: the update fails");
            found.push((member.line, name.clone(), message, Effect::NotApplicable));
        }
    }
    for (line, text, message, effect) in found {
        reading.problem(line, &text, message, effect);
    }
}

fn ports_unread(rule: &Rule) -> bool {
    let ported = rule.protocol.as_deref().is_some_and(names::has_ports);
    (rule.dport.is_some() || rule.sport.is_some()) && !ported
}

struct Names {
    ipsets: BTreeSet<String>,
    aliases: BTreeSet<String>,
    groups: BTreeSet<String>,
    guest: bool,
}

impl Names {
    fn missing(&self, rule: &Rule) -> Option<String> {
        if rule.kind == RuleKind::Forward && rule.interface.is_some() {
            return Some("cannot define interfaces for forward direction".into());
        }
        if let Some(name) = &rule.macro_name
            && macro_named(name, Backend::Nftables, false).is_none()
        {
            return Some(format!("cannot find macro {name}"));
        }
        [&rule.source, &rule.dest].into_iter().flatten().find_map(|address| match &address.kind {
            AddressKind::List(_) | AddressKind::Ipset(Some(NamePrefix::Sdn), _) => None,
            AddressKind::Ipset(prefix, name) => {
                let there = self.ipsets.contains(name) && (self.guest || *prefix != Some(NamePrefix::Guest));
                (!there).then(|| format!("could not find ipset {name}"))
            }
            AddressKind::Alias(prefix, name) => {
                let there = self.aliases.contains(name) && (self.guest || *prefix != Some(NamePrefix::Guest));
                (!there).then(|| format!("could not find alias {name}"))
            }
        })
    }
}

fn section_name(rest: &str, kind: &str) -> Result<String, String> {
    if !rest.starts_with(|c: char| c.is_ascii_whitespace()) {
        return Err(format!("incomplete {kind} section"));
    }
    let rest = rest.trim_start();
    let (name, tail) = name(rest).ok_or_else(|| format!("expected a name for the {kind} at {rest:?}"))?;
    let tail = tail.strip_prefix(']').ok_or_else(|| format!("expected closing ']' in {kind} section header"))?;
    let tail = tail.trim_start();
    if tail.is_empty() || tail.starts_with('#') {
        Ok(name.to_owned())
    } else {
        Err(format!("trailing characters after {kind} section: {tail:?}"))
    }
}

/// `match_name`: the name and what follows.
fn name(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    is_strict_name(name).then_some((name, rest))
}

/// `match_non_whitespace`.
fn word(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| c.is_ascii_whitespace()).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (!word.is_empty()).then(|| (word, rest.trim_start()))
}

fn parse_rule(number: usize, line: &str) -> Result<Rule, String> {
    let (body, comment) = match line.split_once('#') {
        Some((body, comment)) if !comment.is_empty() => (body.trim(), Some(comment.trim().to_owned())),
        _ => (line, None),
    };
    let (enabled, body) = body.strip_prefix('|').map_or((true, body), |rest| (false, rest.trim_start()));
    let mut rule = Rule {
        line: number,
        text: line.to_owned(),
        enabled,
        kind: RuleKind::Group,
        action: Action::Drop,
        macro_name: None,
        interface: None,
        source: None,
        dest: None,
        protocol: None,
        dport: None,
        sport: None,
        icmp_type: None,
        log: None,
        comment: comment.filter(|comment| !comment.is_empty()),
        v6: None,
        unused: None,
    };
    if body.starts_with("GROUP") {
        let (keyword, rest) = name(body).ok_or("expected a leading keyword in rule group")?;
        if !keyword.eq_ignore_ascii_case("group") {
            return Err("Expected keyword GROUP".into());
        }
        let (group, rest) = name(rest.trim()).ok_or("expected a name for rule group")?;
        rule.action = Action::Group(group.to_owned());
        parameters(&mut rule, rest)?;
        let alone = rule.protocol.is_none() && rule.source.is_none() && rule.dest.is_none() && rule.log.is_none();
        let alone = alone && rule.dport.is_none() && rule.sport.is_none() && rule.icmp_type.is_none();
        return if alone { Ok(rule) } else { Err("only interface parameter is permitted for group rules".into()) };
    }
    let (direction, rest) = name(body).ok_or("expected a direction")?;
    rule.kind = match direction.to_ascii_lowercase().as_str() {
        "in" => RuleKind::In,
        "out" => RuleKind::Out,
        "forward" => RuleKind::Forward,
        _ => return Err(format!("invalid direction: {direction:?}, expect 'IN', 'OUT' or 'FORWARD'")),
    };
    let (first, mut rest) = name(rest.trim_start()).ok_or("expected a verdict or macro name")?;
    let mut verdict = first;
    if let Some(inner) = rest.strip_prefix('(') {
        rule.macro_name = Some(first.to_owned());
        let (word, tail) = name(inner).ok_or("expected a verdict")?;
        rest = tail.strip_prefix(')').ok_or("expected closing ')' after verdict")?;
        verdict = word;
    }
    rule.action = Action::from_word(&verdict.to_ascii_uppercase())
        .ok_or_else(|| format!("invalid verdict {verdict:?}, expected one of 'ACCEPT', 'REJECT' or 'DROP'"))?;
    parameters(&mut rule, rest)?;
    checked(rule)
}

fn parameters(rule: &mut Rule, text: &str) -> Result<(), String> {
    let mut rest = text.trim_start();
    let mut seen = BTreeSet::new();
    while !rest.is_empty() {
        let dashless = rest.strip_prefix('-').ok_or("expected an option starting with '-'")?;
        let dashless = dashless.strip_prefix('-').unwrap_or(dashless);
        let (option, tail) = name(dashless).ok_or("expected a parameter name after '-'")?;
        let (value, tail) = word(tail.trim_start()).ok_or_else(|| format!("expected a value for {option:?}"))?;
        let full = match option {
            "p" => "proto",
            "i" => "iface",
            other => other,
        };
        if !seen.insert(full) {
            return Err(format!("duplicate option in rule: {option}"));
        }
        let owned = Some(value.to_owned());
        match full {
            "proto" => rule.protocol = owned,
            "dport" => rule.dport = owned,
            "sport" => rule.sport = owned,
            "iface" => rule.interface = owned,
            "icmp-type" => rule.icmp_type = owned,
            "source" => rule.source = Some(Address::parse(value, Backend::Nftables)?),
            "dest" => rule.dest = Some(Address::parse(value, Backend::Nftables)?),
            "log" => {
                let level = if value == "warn" { "warning" } else { value };
                rule.log = Some(LogLevel::from_name(level).ok_or_else(|| format!("invalid log level {value:?}"))?);
            }
            _ => return Err(format!("unknown field `{option}`")),
        }
        rest = tail;
    }
    Ok(())
}

/// `RuleMatch::from_options` and `Protocol::from_options`: ports are looked at only for protocols that have them.
fn checked(rule: Rule) -> Result<Rule, String> {
    if rule.dport.is_some() && rule.icmp_type.is_some() {
        return Err("dport and icmp-type are mutually exclusive".into());
    }
    if let (Some(source), Some(dest)) = (&rule.source, &rule.dest)
        && let (Some(source), Some(dest)) = (source.is_v6(), dest.is_v6())
        && source != dest
    {
        return Err("src and dst family must be equal".into());
    }
    match rule.protocol.as_deref() {
        Some(protocol) if names::has_ports(protocol) => {
            for ports in [&rule.sport, &rule.dport].into_iter().flatten() {
                Ports::parse(ports, Backend::Nftables)?;
            }
        }
        Some("icmp" | "1") => icmp_type(&rule, false)?,
        Some("icmpv6" | "ipv6-icmp" | "58") => icmp_type(&rule, true)?,
        _ => {}
    }
    Ok(rule)
}

fn icmp_type(rule: &Rule, v6: bool) -> Result<(), String> {
    match rule.icmp_type.as_deref() {
        Some(kind) if !icmp::strict_name(kind, v6) => Err(format!("{kind:?} is not a valid icmp type")),
        _ => Ok(()),
    }
}
