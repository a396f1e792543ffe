//! Reading a file as pve-firewall does (`PVE::Firewall::generic_fw_config_parser`, `parse_fw_rule`, `verify_rule`).

use super::address::{self, is_perl_name, prefixed};
use super::line::{comment, is_space, perl_header, trim_blanks, word};
use super::read::{Line, Reading, Section, What};
use super::{
    Action, Address, AddressKind, Alias, Backend, Config, Effect, FileScope, Group, Ipset, LogLevel, Member,
    MemberAddress, NamePrefix, Ports, Rule, RuleKind, icmp, macro_named, names, options,
};

const MAX_GROUP_NAME: usize = 18;
const MAX_IPSET_NAME: usize = 64;

pub(super) fn read(lines: &[String], scope: FileScope, cluster: Option<&Config>) -> Reading {
    let mut reader = Reader { reading: Reading::default(), scope, cluster, section: None };
    for (index, raw) in lines.iter().enumerate() {
        let line = trim_blanks(raw.strip_suffix('\n').unwrap_or(raw));
        let what = reader.line(index + 1, line);
        reader.reading.lines.push(Line { section: reader.section.clone(), what });
    }
    let mut reading = reader.reading;
    unknown_groups(&mut reading, cluster);
    reading
}

/// Uses of groups that are not there: PVE makes an empty chain.
fn unknown_groups(reading: &mut Reading, cluster: Option<&Config>) {
    let groups = &cluster.unwrap_or(&reading.config).groups;
    let unknown = |rule: &&Rule| match &rule.action {
        Action::Group(name) => rule.enabled && rule.unused.is_none() && !groups.contains_key(name),
        _ => false,
    };
    let found: Vec<_> = reading
        .config
        .rules
        .iter()
        .filter(unknown)
        .map(|rule| (rule.line, rule.text.clone(), rule.action.to_string()))
        .collect();
    for (line, text, name) in found {
        reading.problem(line, &text, format!("no such security group '{name}'"), Effect::LineIgnored);
    }
    reading.problems.sort_by_key(|problem| problem.line);
}

struct Reader<'a> {
    reading: Reading,
    scope: FileScope,
    /// cluster.fw, for the other files.
    cluster: Option<&'a Config>,
    section: Option<Section>,
}

impl Reader<'_> {
    fn line(&mut self, number: usize, line: &str) -> What {
        if line.starts_with('#') {
            return What::Comment;
        }
        if line.chars().all(is_space) {
            return What::Blank;
        }
        if let Some(what) = self.header(number, line) {
            return what;
        }
        match self.section.clone() {
            None => self.ignore(number, line, "skip line - no section"),
            Some(Section::Options) => self.option(number, line),
            Some(Section::Aliases) => self.alias(number, line),
            Some(Section::Ipset(name)) => self.member(number, line, &name),
            Some(Section::Rules) => self.rule(number, line, None),
            Some(Section::Group(name)) => self.rule(number, line, Some(&name)),
        }
        What::Body
    }

    fn header(&mut self, number: usize, line: &str) -> Option<What> {
        let sets = self.scope != FileScope::Host;
        if line.eq_ignore_ascii_case("[options]") {
            self.section = Some(Section::Options);
        } else if sets && line.eq_ignore_ascii_case("[aliases]") {
            self.section = Some(Section::Aliases);
        } else if line.eq_ignore_ascii_case("[rules]") {
            self.section = Some(Section::Rules);
        } else if self.scope == FileScope::Cluster
            && let Some(name) = perl_header(line, "group")
        {
            return Some(self.group(number, line, &name.to_ascii_lowercase()));
        } else if sets && let Some(name) = perl_header(line, "ipset") {
            return Some(self.ipset(number, line, &name.to_ascii_lowercase()));
        } else {
            return None;
        }
        Some(What::Header)
    }

    fn group(&mut self, number: usize, line: &str, name: &str) -> What {
        let error = if name.len() > MAX_GROUP_NAME {
            Some("security group name too long".to_owned())
        } else {
            (!is_perl_name(name)).then(|| format!("invalid security group name '{name}'"))
        };
        if let Some(error) = error {
            return self.lost_section(number, line, error);
        }
        self.reading.config.groups.insert(name.into(), Group { line: number, rules: Vec::new() });
        self.section = Some(Section::Group(name.into()));
        What::Header
    }

    fn ipset(&mut self, number: usize, line: &str, name: &str) -> What {
        let error = if name.len() > MAX_IPSET_NAME {
            Some("ipset name too long".to_owned())
        } else {
            (!is_perl_name(name)).then(|| format!("invalid ipset name '{name}'"))
        };
        if let Some(error) = error {
            return self.lost_section(number, line, error);
        }
        self.reading.config.ipsets.insert(name.into(), Ipset { line: number, members: Vec::new() });
        self.section = Some(Section::Ipset(name.into()));
        What::Header
    }

    fn lost_section(&mut self, number: usize, line: &str, error: String) -> What {
        self.section = None;
        self.ignore(number, line, error);
        What::Body
    }

    fn ignore(&mut self, number: usize, line: &str, message: impl Into<String>) {
        self.reading.problem(number, line, message, Effect::LineIgnored);
    }

    fn option(&mut self, number: usize, line: &str) {
        let Some((name, value)) = options::perl(line, self.scope) else {
            return self.ignore(number, line, format!("can't parse option '{line}'"));
        };
        if name == "policy_forward" {
            let message = "policy_forward has no effect with pve-firewall (iptables)";
            self.reading.problem(number, line, message, Effect::Misread);
        }
        self.reading.config.options.insert(name, super::Setting { value, line: number });
    }

    fn alias(&mut self, number: usize, line: &str) {
        let (text, _) = comment(line);
        let text = text.trim_end_matches(is_space);
        // `^(\S+)\s(\S+)$`: exactly one blank.
        let words: Vec<&str> = text.split(is_space).collect();
        let [name, value] = words.as_slice() else {
            return self.ignore(number, line, "no alias: a name, one blank, an address");
        };
        match address::cidr(value) {
            Err(error) => self.ignore(number, line, error),
            Ok((_, None)) => {
                let message = "the prefix is too long for the address: the kernel refuses the rules";
                self.reading.problem(number, line, message, Effect::NotApplicable);
            }
            Ok((cidr, Some(network))) => {
                let alias = Alias { name: (*name).into(), cidr, network, line: number };
                self.reading.config.aliases.insert(name.to_ascii_lowercase(), alias);
            }
        }
    }

    fn member(&mut self, number: usize, line: &str, set: &str) {
        let (text, comment) = comment(line);
        let (nomatch, rest) = match text.strip_prefix('!') {
            Some(rest) => (true, rest.trim_start_matches(is_space)),
            None => (false, text),
        };
        let address = match word(rest) {
            Some((cidr, "")) => self.member_address(cidr),
            _ => Err("cidr: value does not look like a valid IP address or CIDR network".into()),
        };
        let members = self.reading.config.ipsets.get(set).map_or(&[][..], |set| &set.members);
        let address = address.and_then(|address| {
            let written = |address: &MemberAddress| match address {
                MemberAddress::Network(cidr, _) => cidr.clone(),
                MemberAddress::Alias(prefix, name) => {
                    format!("{}{name}", prefix.map_or(String::new(), |prefix| format!("{}/", prefix.word())))
                }
            };
            let cidr = written(&address);
            if members.iter().any(|member| written(&member.address) == cidr) {
                return Err(format!("cidr: duplicate ipset entry for '{cidr}'"));
            }
            Ok(address)
        });
        match address {
            Ok(address) => {
                if let MemberAddress::Network(_, network) = &address
                    && members.iter().any(|member| {
                        matches!(&member.address, MemberAddress::Network(_, other) if other.trunc() == network.trunc())
                    })
                {
                    let message = "the same network as another member: ipset refuses the whole update";
                    self.reading.problem(number, line, message, Effect::NotApplicable);
                    return;
                }
                let comment = comment.filter(|comment| !comment.is_empty()).map(str::to_owned);
                if let Some(ipset) = self.reading.config.ipsets.get_mut(set) {
                    ipset.members.push(Member { line: number, nomatch, address, comment });
                }
            }
            Err(error) if error.starts_with("the prefix") => {
                self.reading.problem(number, line, error, Effect::NotApplicable);
            }
            Err(error) => self.ignore(number, line, error),
        }
    }

    fn member_address(&self, text: &str) -> Result<MemberAddress, String> {
        if let Some((prefix, name)) = prefixed(text, &[NamePrefix::Dc, NamePrefix::Guest]) {
            let own = (prefix != Some(NamePrefix::Dc) || self.cluster.is_none())
                .then(|| self.reading.config.alias(name))
                .flatten();
            let found = own.or_else(|| self.cluster.filter(|_| prefix != Some(NamePrefix::Guest))?.alias(name));
            return match found {
                Some(_) => Ok(MemberAddress::Alias(prefix, name.to_owned())),
                None => Err(format!("cidr: no such alias '{name}'")),
            };
        }
        let (cidr, network) = address::cidr(text).map_err(|error| format!("cidr: {error}"))?;
        if text.rsplit_once('/').is_some_and(|(_, length)| length.bytes().all(|byte| byte == b'0')) {
            return Err("cidr: a zero prefix is not allowed in ipset entries".into());
        }
        match network {
            Some(network) => Ok(MemberAddress::Network(cidr, network)),
            None => Err("the prefix is too long for the address: ipset refuses the whole update".into()),
        }
    }

    fn rule(&mut self, number: usize, line: &str, group: Option<&str>) {
        let mut rule = match parse_rule(number, line) {
            Ok(rule) => rule,
            Err(error) => return self.ignore(number, line, error),
        };
        if let Some(error) = self.verify(&mut rule, group.is_some()) {
            self.ignore(number, line, error.clone());
            rule.unused = Some(error);
        } else if rule.kind == RuleKind::Forward {
            let message = "FORWARD rules have no effect with pve-firewall (iptables)";
            self.reading.problem(number, line, message, Effect::Misread);
        }
        let config = &mut self.reading.config;
        match group {
            None => config.rules.push(rule),
            Some(name) => {
                if let Some(group) = config.groups.get_mut(name) {
                    group.rules.push(rule);
                }
            }
        }
    }

    /// The first thing that is wrong, as `field: message`.
    fn verify(&self, rule: &mut Rule, in_group: bool) -> Option<String> {
        let mut errors = Vec::new();
        self.verify_kind(rule, in_group, &mut errors);
        if let Some(name) = &rule.interface {
            if in_group {
                errors.push("type: parameter -i not allowed for this rule type".to_owned());
            }
            if !is_interface(name) {
                errors.push(format!("iface: invalid network interface name '{name}'"));
            }
            let number =
                name.strip_prefix("net").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
            if self.scope == FileScope::Guest && !number {
                errors.push("iface: value does not match the regex pattern 'net\\d+'".to_owned());
            }
        }
        if let Some(name) = &rule.macro_name
            && macro_named(name, Backend::Iptables, false).is_none()
        {
            errors.push(format!("macro: unknown macro '{name}'"));
        }
        let mut families = Vec::new();
        verify_protocol(rule, &mut families, &mut errors);
        for (field, address) in [("source", &rule.source), ("dest", &rule.dest)] {
            let Some(address) = address else { continue };
            families.extend(address.is_v6());
            match self.exists(address) {
                Ok(v6) => families.extend(v6),
                Err(error) => errors.push(format!("{field}: {error}")),
            }
        }
        rule.v6 = families.first().copied();
        if families.iter().any(|v6| Some(*v6) != rule.v6) {
            errors.push("detected mixed ipv4/ipv6 addresses in rule".to_owned());
        }
        if errors.is_empty() {
            errors.extend(macro_clash(rule));
        }
        errors.into_iter().next()
    }

    fn verify_kind(&self, rule: &Rule, in_group: bool, errors: &mut Vec<String>) {
        let forward_only = rule.kind == RuleKind::Forward && self.scope == FileScope::Guest;
        if forward_only {
            errors.push("type: invalid rule type 'forward' for this file".to_owned());
        }
        match (&rule.kind, &rule.action) {
            (RuleKind::Group, _) if in_group => errors.push("type: security groups not allowed".to_owned()),
            (RuleKind::Group, Action::Group(name)) if !is_perl_name(name) => {
                errors.push("action: invalid characters in security group name".to_owned());
            }
            (RuleKind::Group, _) => {}
            (RuleKind::Forward, Action::Reject) => {
                errors.push("action: cannot define REJECT rules on forward chain".to_owned());
            }
            (_, Action::Group(word)) => errors.push(format!("action: unknown action '{word}'")),
            _ => {}
        }
    }

    /// Whether the named set or alias is there, and the family of an alias.
    fn exists(&self, address: &Address) -> Result<Option<bool>, String> {
        let own = &self.reading.config;
        match &address.kind {
            // Sets of virtual networks are not in these files.
            AddressKind::List(_) | AddressKind::Ipset(Some(NamePrefix::Sdn), _) => Ok(None),
            AddressKind::Ipset(_, name) => {
                let there = own.ipsets.contains_key(name) || self.cluster.is_some_and(|c| c.ipsets.contains_key(name));
                if there { Ok(None) } else { Err(format!("no such ipset '{name}'")) }
            }
            AddressKind::Alias(prefix, name) => {
                let alias = match prefix {
                    Some(NamePrefix::Dc) if self.cluster.is_some() => self.cluster.and_then(|c| c.alias(name)),
                    _ => own.alias(name).or_else(|| self.cluster.and_then(|c| c.alias(name))),
                };
                alias
                    .map(|alias| Some(alias.network.addr().is_ipv6()))
                    .ok_or_else(|| format!("no such alias '{}'", address.text))
            }
        }
    }
}

/// A string that Perl takes for false is no parameter.
fn given(value: Option<&String>) -> Option<&str> {
    value.map(String::as_str).filter(|value| *value != "0")
}

fn verify_protocol(rule: &Rule, families: &mut Vec<bool>, errors: &mut Vec<String>) {
    let protocol = given(rule.protocol.as_ref());
    let icmp = matches!(protocol, Some("icmp" | "icmpv6" | "ipv6-icmp"));
    if let Some(name) = protocol {
        if !names::perl_protocol(name) {
            errors.push(format!("proto: unknown protocol '{name}'"));
        }
        match name {
            "icmp" => families.push(false),
            "icmpv6" | "ipv6-icmp" => families.push(true),
            _ => {}
        }
    }
    let ported = protocol.is_some_and(names::has_ports);
    for (field, value) in [("dport", given(rule.dport.as_ref())), ("sport", given(rule.sport.as_ref()))] {
        let Some(value) = value else { continue };
        let types = field == "dport" && icmp && (icmp::perl_name(value, false) || icmp::perl_name(value, true));
        if !types && let Err(error) = Ports::parse(value, Backend::Iptables) {
            errors.push(format!("{field}: {error}"));
        }
        match protocol {
            None => errors.push(format!("proto: missing property - '{field}' requires this property")),
            Some(_) if ported || (icmp && field == "dport") => {}
            Some(name) => errors.push(format!("{field}: protocol '{name}' does not support ports")),
        }
    }
    if let Some(kind) = given(rule.icmp_type.as_ref()) {
        if !icmp {
            errors.push("proto: missing property - 'icmp-type' requires this property".to_owned());
        } else if given(rule.dport.as_ref()).is_some() {
            errors.push("icmp-type: 'icmp-type' cannot be specified together with 'dport'".to_owned());
        } else if !icmp::perl_name(kind, protocol != Some("icmp")) {
            let protocol = protocol.unwrap_or_default();
            errors.push(format!("icmp-type: invalid icmp-type '{kind}' for proto '{protocol}'"));
        }
    }
}

/// A parameter that the macro sets to something else (`$apply_macro`).
fn macro_clash(rule: &Rule) -> Option<String> {
    let found = macro_named(rule.macro_name.as_deref()?, Backend::Iptables, rule.v6 == Some(true))?;
    found.parts.iter().find_map(|part| {
        let set = [
            ("proto", Some(part.protocol), &rule.protocol),
            ("dport", part.dport, &rule.dport),
            ("sport", part.sport, &rule.sport),
        ];
        set.into_iter().find_map(|(field, fixed, own)| {
            let (fixed, own) = (fixed?, own.as_deref()?);
            (fixed != own).then(|| format!("{field}: parameter '{field}' already define in macro (value = '{fixed}')"))
        })
    })
}

/// `pve_verify_iface`.
fn is_interface(name: &str) -> bool {
    let (base, tail) = match name.find([':', '.']) {
        Some(at) => (&name[..at], Some(&name[at + 1..])),
        None => (name, None),
    };
    let first = base.starts_with(|c: char| c.is_ascii_alphabetic());
    first
        && (2..=21).contains(&base.len())
        && base.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && tail.is_none_or(|tail| !tail.is_empty() && tail.bytes().all(|byte| byte.is_ascii_digit()))
}

fn parse_rule(number: usize, line: &str) -> Result<Rule, String> {
    let (body, comment) = comment(line);
    let (enabled, body) = body.strip_prefix('|').map_or((true, body), |rest| (false, rest));
    let unparsable = || format!("unable to parse rule: {body}");
    let (kind, rest) = word(body).ok_or_else(unparsable)?;
    let (action, mut rest) = word(rest).ok_or_else(unparsable)?;
    let mut rule = empty(number, line, enabled, comment);
    let lower = kind.to_ascii_lowercase();
    let known = match lower.as_str() {
        "in" => Some(RuleKind::In),
        "out" => Some(RuleKind::Out),
        "forward" => Some(RuleKind::Forward),
        "group" => Some(RuleKind::Group),
        _ => None,
    };
    rule.kind = known.unwrap_or(RuleKind::In);
    rule.action = Action::Group(action.to_owned());
    if known.is_some() && rule.kind != RuleKind::Group {
        let split = action.strip_suffix(')').and_then(|inner| inner.rsplit_once('('));
        let with_macro = split.and_then(|(name, word)| Some((name, Action::from_word(word)?)));
        match with_macro.filter(|(name, _)| !name.is_empty()) {
            Some((name, action)) => (rule.macro_name, rule.action) = (Some(name.to_owned()), action),
            None => {
                if let Some(action) = Action::from_word(action) {
                    rule.action = action;
                }
            }
        }
    }
    while !rest.is_empty() {
        rest = parameter(&mut rule, rest, known == Some(RuleKind::Group))
            .ok_or_else(|| format!("unable to parse rule parameters: {rest}"))??;
    }
    if known.is_none() {
        rule.unused = Some(format!("type: unknown rule type '{lower}'"));
        return Err(format!("type: unknown rule type '{lower}'"));
    }
    Ok(rule)
}

fn empty(line: usize, text: &str, enabled: bool, comment: Option<&str>) -> Rule {
    Rule {
        line,
        text: text.to_owned(),
        enabled,
        kind: RuleKind::In,
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
        comment: comment.filter(|comment| !comment.is_empty()).map(str::to_owned),
        v6: None,
        unused: None,
    }
}

/// Takes one parameter off the text: `None` when it is none, `Err` when its value is wrong.
fn parameter<'a>(rule: &mut Rule, text: &'a str, is_group: bool) -> Option<Result<&'a str, String>> {
    if let Some(value) = text.strip_prefix("-i ") {
        let (value, rest) = word(value)?;
        rule.interface = Some(value.to_owned());
        return Some(Ok(rest));
    }
    if is_group {
        return None;
    }
    if let Some(value) = text.strip_prefix("-p ") {
        let (value, rest) = word(value)?;
        rule.protocol = Some(value.to_owned());
        return Some(Ok(rest));
    }
    let dashless = text.strip_prefix('-')?;
    let dashless = dashless.strip_prefix('-').unwrap_or(dashless);
    let (name, value) = dashless.split_once(' ')?;
    if name == "log" {
        let (word, level) = LogLevel::NAMES.iter().find(|(word, _)| value.starts_with(word))?;
        rule.log = Some(*level);
        return Some(Ok(value[word.len()..].trim_start_matches(is_space)));
    }
    let (value, rest) = word(value)?;
    let slot = match name {
        "proto" => &mut rule.protocol,
        "dport" => &mut rule.dport,
        "sport" => &mut rule.sport,
        "icmp-type" => &mut rule.icmp_type,
        "source" | "dest" => {
            let parsed = if value == "0" { None } else { Some(Address::parse(value, Backend::Iptables)) };
            let parsed = match parsed.transpose() {
                Ok(parsed) => parsed,
                Err(error) => return Some(Err(format!("{name}: {error}"))),
            };
            *(if name == "source" { &mut rule.source } else { &mut rule.dest }) = parsed;
            return Some(Ok(rest));
        }
        _ => return None,
    };
    *slot = Some(value.to_owned());
    Some(Ok(rest))
}
