//! Whether a rule makes sense where it stands.

use super::Family;
use super::address::{ALIAS_SCOPES, SET_SCOPES, address_list, is_name, port_list, scoped};
use super::config::{Config, Scope};
use super::macros;
use super::names::{WITH_PORTS, is_icmp, is_icmp_type, is_icmp6_type, is_protocol};
use super::rule::{Rule, is_true};

/// Where a rule stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// cluster.fw
    Cluster,
    /// host.fw
    Host,
    /// A security group.
    Group,
    /// A guest's file.
    Guest,
}

impl Place {
    fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::Guest => &["in", "out", "group"],
            Self::Group => &["in", "out", "forward"],
            Self::Cluster | Self::Host => &["in", "out", "forward", "group"],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Host => "host",
            Self::Group => "group",
            Self::Guest => "vm",
        }
    }
}

/// What a rule may refer to: the datacenter's configuration and its own file's.
#[derive(Clone, Copy)]
pub struct Context<'c> {
    /// cluster.fw, where the rule stands in another file.
    pub cluster: Option<&'c Config>,
    /// The file that the rule stands in; a group has none while it is read.
    pub own: Option<&'c Config>,
}

impl<'c> Context<'c> {
    fn all(self) -> impl Iterator<Item = &'c Config> {
        self.cluster.into_iter().chain(self.own)
    }

    /// Whether an alias exists anywhere, and the family of the one that its scope leads to.
    fn alias(self, scope: &str, name: &str) -> (bool, Option<Family>) {
        let name = name.to_lowercase();
        let exists = self.all().any(|config| config.aliases.contains_key(&name));
        let own = self.own.filter(|_| scope != "dc/").and_then(|config| config.aliases.get(&name));
        let cluster = self.cluster.filter(|_| scope != "guest/").and_then(|config| config.aliases.get(&name));
        (exists, own.or(cluster).and_then(|alias| alias.family))
    }
}

struct Check<'r> {
    rule: &'r Rule,
    family: Option<Family>,
    errors: Vec<(String, String)>,
    warnings: Vec<String>,
}

/// What a check leaves behind besides the rule.
pub struct Verified {
    /// Perl's own complaints, which appear on stderr.
    pub warnings: Vec<String>,
}

/// Checks a rule, sets its family, the macro's proper name and its errors.
///
/// # Errors
/// A message that makes the whole line unreadable.
pub fn verify(rule: &mut Rule, context: Context<'_>, place: Place) -> Result<Verified, String> {
    if let Some(name) = macros::preferred(&rule.macro_name) {
        name.clone_into(&mut rule.macro_name);
    }
    let mut check = Check { rule, family: None, errors: Vec::new(), warnings: Vec::new() };
    check.kind(place);
    check.iface_and_macro(place);
    check.protocol()?;
    check.icmp_type();
    check.source_port();
    check.addresses("source", &rule.source, context)?;
    check.addresses("dest", &rule.dest, context)?;
    check.macro_conflicts();
    let Check { family, errors, warnings, .. } = check;
    rule.ip_version = family.map(Family::number).or(rule.ip_version);
    rule.errors = errors;
    Ok(Verified { warnings })
}

impl Check<'_> {
    fn error(&mut self, name: &str, message: impl Into<String>) {
        if !self.errors.iter().any(|(known, _)| known == name) {
            self.errors.push((name.to_owned(), message.into()));
        }
    }

    fn set_family(&mut self, family: Option<Family>) -> Result<(), String> {
        let Some(family) = family else { return Ok(()) };
        if self.family.is_some_and(|before| before != family) {
            return Err("detected mixed ipv4/ipv6 addresses in rule".to_owned());
        }
        self.family = Some(family);
        Ok(())
    }

    fn kind(&mut self, place: Place) {
        let (kind, action) = (self.rule.kind.as_str(), self.rule.action.as_str());
        if kind.is_empty() {
            self.error("type", "missing property");
        }
        if action.is_empty() {
            self.error("action", "missing property");
        }
        if kind.is_empty() {
            return;
        }
        if !place.kinds().contains(&kind) {
            self.error("type", format!("invalid rule type '{kind}' for rule_env '{}'", place.name()));
        }
        match kind {
            "in" | "out" | "forward" => {
                if kind == "forward" && action == "REJECT" {
                    self.error("action", "cannot define REJECT rules on forward chain");
                }
                if is_true(action) && !matches!(action, "ACCEPT" | "DROP" | "REJECT") {
                    self.error("action", format!("unknown action '{action}'"));
                }
            }
            "group" => {
                if place == Place::Group {
                    self.error("type", "security groups not allowed");
                }
                if is_true(action) && !is_name(action) {
                    self.error("action", "invalid characters in security group name");
                }
            }
            _ => self.error("type", format!("unknown rule type '{kind}'")),
        }
    }

    fn iface_and_macro(&mut self, place: Place) {
        let iface = &self.rule.iface;
        if is_true(iface) {
            if place == Place::Group {
                self.error("type", "parameter -i not allowed for this rule type");
            }
            if !is_iface(iface) {
                self.error("iface", format!("invalid network interface name '{iface}'"));
            }
            if place == Place::Guest && !is_net(iface) {
                self.error("iface", "value does not match the regex pattern 'net\\d+'");
            }
        }
        let name = &self.rule.macro_name;
        if is_true(name) && macros::preferred(name).is_none() {
            self.error("macro", format!("unknown macro '{name}'"));
        }
    }

    fn protocol(&mut self) -> Result<(), String> {
        let (proto, dport) = (self.rule.proto.as_str(), self.rule.dport.as_str());
        if is_true(proto) {
            if !is_protocol(proto) {
                self.error("proto", format!("unknown protocol '{proto}'"));
            }
            self.set_family(match proto {
                "icmp" => Some(Family::V4),
                "icmpv6" | "ipv6-icmp" => Some(Family::V6),
                _ => None,
            })?;
        }
        if !is_true(dport) {
            return Ok(());
        }
        if let Err(message) = port_list(dport, is_icmp(proto)) {
            self.error("dport", message);
        }
        if !is_true(proto) {
            self.error("proto", "missing property - 'dport' requires this property");
        }
        if !WITH_PORTS.contains(&proto) && !is_icmp(proto) {
            self.no_ports("dport", 1872);
        }
        Ok(())
    }

    /// Perl complains by itself of a protocol that was not given.
    fn no_ports(&mut self, name: &str, line: u32) {
        let proto = self.rule.proto.clone();
        if proto.is_empty() {
            for what in ["hash element", "concatenation (.) or string"] {
                self.warnings.push(format!(
                    "Use of uninitialized value $proto in {what} at /usr/share/perl5/PVE/Firewall.pm line {line}."
                ));
            }
        }
        self.error(name, format!("protocol '{proto}' does not support ports"));
    }

    fn icmp_type(&mut self) {
        let (given, proto) = (self.rule.icmp_type.as_str(), self.rule.proto.as_str());
        if !is_true(given) {
            return;
        }
        if !is_icmp(proto) {
            self.error("proto", "missing property - 'icmp-type' requires this property");
        }
        if is_true(&self.rule.dport) {
            self.error("icmp-type", "'icmp-type' cannot be specified together with 'dport'");
        }
        let known = if proto == "icmp" { is_icmp_type(given) } else { !is_icmp(proto) || is_icmp6_type(given) };
        if !known {
            self.error("icmp-type", format!("invalid icmp-type '{given}' for proto '{proto}'"));
        }
    }

    fn source_port(&mut self) {
        let (sport, proto) = (self.rule.sport.as_str(), self.rule.proto.as_str());
        if !is_true(sport) {
            return;
        }
        if let Err(message) = port_list(sport, false) {
            self.error("sport", message);
        }
        if !is_true(proto) {
            self.error("proto", "missing property - 'sport' requires this property");
        }
        if !WITH_PORTS.contains(&proto) {
            self.no_ports("sport", 1897);
        }
    }

    fn addresses(&mut self, name: &str, value: &str, context: Context<'_>) -> Result<(), String> {
        if !is_true(value) {
            return Ok(());
        }
        let family = address_list(value).and_then(|family| self.set_family(family));
        if let Err(message) = family {
            self.error(name, message);
        }
        if let Some(set) = value.strip_prefix('+') {
            match scoped(set, &SET_SCOPES) {
                Some((_, set)) if !context.all().any(|config| config.ipsets.contains_key(set)) => {
                    self.error(name, format!("no such ipset '{set}'"));
                }
                Some(_) => {}
                None => self.error(name, format!("invalid ipset name '{value}'")),
            }
        } else if let Some((scope, alias)) = scoped(value, &ALIAS_SCOPES) {
            match context.alias(scope, alias) {
                (true, family) => self.set_family(family)?,
                (false, _) => self.error(name, format!("no such alias '{value}'")),
            }
        }
        Ok(())
    }

    /// A parameter that the macro sets itself, to something else.
    fn macro_conflicts(&mut self) {
        if !is_true(&self.rule.macro_name) || !self.errors.is_empty() {
            return;
        }
        for template in macros::templates(&self.rule.macro_name, self.family).unwrap_or_default() {
            if let Some((name, value)) = conflict(self.rule, template) {
                self.error(name, format!("parameter '{name}' already define in macro (value = '{value}')"));
                return;
            }
        }
    }
}

/// The first parameter of a rule that one of its macro's rules sets to something else.
pub fn conflict(rule: &Rule, template: &macros::Template) -> Option<(&'static str, &'static str)> {
    let pairs = [
        ("dport", rule.dport.as_str(), template.dport),
        ("proto", rule.proto.as_str(), Some(template.proto)),
        ("sport", rule.sport.as_str(), template.sport),
    ];
    pairs.into_iter().find_map(|(name, given, set)| {
        let set = set?;
        (!given.is_empty() && given != set).then_some((name, set))
    })
}

/// Interface names as PVE takes them: 2 to 21 letters, digits and `_`, with a number behind `.` or `:`.
fn is_iface(name: &str) -> bool {
    let (stem, number) = match name.split_once(['.', ':']) {
        Some((stem, number)) => (stem, Some(number)),
        None => (name, None),
    };
    (2..=21).contains(&stem.len())
        && stem.starts_with(|first: char| first.is_ascii_alphabetic())
        && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && number.is_none_or(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_net(name: &str) -> bool {
    name.strip_prefix("net").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

impl Scope {
    /// Where the rules of such a file stand.
    pub fn place(self) -> Place {
        match self {
            Self::Cluster => Place::Cluster,
            Self::Host => Place::Host,
            Self::Guest(_) => Place::Guest,
        }
    }
}
