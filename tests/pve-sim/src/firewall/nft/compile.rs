//! Files to commands for nft. A rule is first made without family; a match of one family pins it, and a later match of the
//! other family is left out, not failed, as the real program does.

use std::fmt::Write as _;

use ipnet::IpNet;

use crate::firewall::Family;
use crate::firewall::address::{ALIAS_SCOPES, SET_SCOPES, scoped};
use crate::firewall::config::{Config, Entry, resolve};
use crate::firewall::macros::{Template, preferred, templates};
use crate::firewall::names::log_level;
use crate::firewall::rule::Rule;

/// The node's own table.
pub const TABLE: &str = "inet proxmox-firewall";

/// What is compiled.
pub struct Input<'c> {
    /// cluster.fw
    pub cluster: &'c Config,
    /// host.fw
    pub host: &'c Config,
    /// Networks of the node's own addresses.
    pub networks: Vec<IpNet>,
    /// Chains of groups that are loaded and may be there no more.
    pub old_groups: Vec<String>,
}

#[derive(Clone, Default)]
struct Draft {
    family: Option<Family>,
    words: Vec<String>,
}

impl Draft {
    /// Whether a match of that family belongs into it; pins it.
    fn pin(&mut self, family: Family) -> bool {
        let fits = self.family.is_none_or(|own| own == family);
        if fits {
            self.family = Some(family);
        }
        fits
    }
}

const fn ip(family: Family) -> &'static str {
    match family {
        Family::V4 => "ip",
        Family::V6 => "ip6",
    }
}

/// Commands that bring the loaded table, which has the skeleton, to what the files say.
pub fn commands(input: &Input<'_>) -> String {
    let mut text = String::new();
    let groups = input.cluster.groups.keys().map(String::as_str);
    for chain in ["ct-in", "invalid-conntrack", "ratelimit-synflood", "option-in", "option-out"] {
        line(&mut text, &format!("flush chain {TABLE} {chain}"));
    }
    for word in ["in", "out", "forward"] {
        line(&mut text, &format!("flush chain {TABLE} host-{word}\nflush chain {TABLE} cluster-{word}"));
    }
    for chain in &input.old_groups {
        line(&mut text, &format!("flush chain {TABLE} {chain}\ndelete chain {TABLE} {chain}"));
    }
    sets(input, &mut text);
    options(input.host, &mut text);
    for word in ["in", "out", "forward"] {
        for group in groups.clone() {
            line(&mut text, &format!("add chain {TABLE} group-{group}-{word}"));
            rules(input, &input.cluster.groups[group].rules, &format!("group-{group}-{word}"), word, &mut text);
        }
    }
    for (word, default) in [("in", "DROP"), ("out", "ACCEPT"), ("forward", "ACCEPT")] {
        rules(input, &input.host.rules, &format!("host-{word}"), word, &mut text);
        rules(input, &input.cluster.rules, &format!("cluster-{word}"), word, &mut text);
        let policy = input.cluster.text(&format!("policy_{word}")).unwrap_or_else(|| default.to_owned());
        line(&mut text, &format!("add rule {TABLE} cluster-{word} {}", verdict(&policy)));
    }
    text
}

fn line(text: &mut String, command: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{command}");
}

fn sets(input: &Input<'_>, text: &mut String) {
    let mut all = input.cluster.ipsets.clone();
    let management = &mut all.entry("management".to_owned()).or_default().entries;
    let own = match input.cluster.aliases.get("local_network") {
        Some(alias) => vec![alias.cidr.clone()],
        None => input.networks.iter().map(ToString::to_string).collect(),
    };
    management.extend(own.into_iter().map(|cidr| Entry { cidr, ..Entry::default() }));
    for (name, set) in &all {
        let entries = set.entries.iter().filter(|entry| entry.error.is_none() || entry.cidr.contains(['.', ':']));
        let found: Vec<(IpNet, bool)> =
            entries.filter_map(|entry| Some((network(input.cluster, &entry.cidr)?, entry.nomatch))).collect();
        for (family, kind) in [(Family::V4, "ipv4_addr"), (Family::V6, "ipv6_addr")] {
            for (nomatch, end) in [(false, ""), (true, "-nomatch")] {
                let set = format!("{TABLE} v{}-dc/{name}{end}", family.number());
                line(text, &format!("add set {set} {{ type {kind}; flags interval; auto-merge; }}\nflush set {set}"));
                let members: Vec<String> = found
                    .iter()
                    .filter(|(net, out)| *out == nomatch && Family::of(net.addr()) == family)
                    .map(|(net, _)| net.trunc().to_string())
                    .collect();
                if !members.is_empty() {
                    line(text, &format!("add element {set} {{ {} }}", members.join(", ")));
                }
            }
        }
    }
}

/// An address, a network, or what an alias stands for.
fn network(cluster: &Config, text: &str) -> Option<IpNet> {
    let text = match scoped(text, &ALIAS_SCOPES) {
        Some((scope, name)) => resolve(None, cluster, scope, name).ok()?.cidr.clone(),
        None => text.to_owned(),
    };
    text.parse().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from))
}

fn options(host: &Config, text: &mut String) {
    let mut add = |chain: &str, rule: &str| line(text, &format!("add rule {TABLE} {chain} {rule}"));
    let ndp = if host.is_off("ndp") { "block" } else { "allow" };
    add("option-in", &format!("jump {ndp}-ndp-in"));
    add("option-out", &format!("jump {ndp}-ndp-out"));
    if host.is_on("tcpflags") {
        add("option-in", "jump block-invalid-tcp");
    }
    if !host.is_off("nosmurfs") {
        add("option-in", "jump block-smurfs");
    }
    if !host.is_on("nf_conntrack_allow_invalid") {
        add("invalid-conntrack", "drop");
    }
}

fn verdict(action: &str) -> &'static str {
    match action {
        "ACCEPT" => "accept",
        "REJECT" => "jump do-reject",
        _ => "drop",
    }
}

fn rules(input: &Input<'_>, rules: &[Rule], chain: &str, word: &str, text: &mut String) {
    for rule in rules.iter().filter(|rule| rule.enable == 1) {
        if rule.kind == "group" {
            let iface = interface(rule, word);
            if word != "forward" || iface.is_none() {
                let iface = iface.unwrap_or_default();
                line(text, &format!("add rule {TABLE} {chain} {iface} jump group-{}-{word}", rule.action));
            }
            continue;
        }
        // A rule that cannot be made is left out with a warning.
        let Some(drafts) = drafts(input, rule, word).filter(|_| rule.kind == word) else { continue };
        if let Some(level) = log_level(&rule.log) {
            let prefix = format!(":0:{level}:{chain}: {}: ", rule.action);
            line(text, &format!("add rule {TABLE} {chain} limit rate 1/second log prefix \"{prefix}\" group 0"));
        }
        for draft in drafts {
            line(text, &format!("add rule {TABLE} {chain} {} {}", draft.words.join(" "), verdict(&rule.action)));
        }
    }
}

fn interface(rule: &Rule, word: &str) -> Option<String> {
    let side = if word == "out" { "oifname" } else { "iifname" };
    (!rule.iface.is_empty()).then(|| format!("{side} \"{}\"", rule.iface))
}

fn drafts(input: &Input<'_>, rule: &Rule, word: &str) -> Option<Vec<Draft>> {
    let mut first = Draft { family: None, words: interface(rule, word).into_iter().collect() };
    if !rule.proto.is_empty() {
        protocol(&mut first, &rule.proto, &rule.dport, &rule.sport, &rule.icmp_type);
    }
    let mut drafts = vec![first];
    if !rule.macro_name.is_empty() {
        let parts = parts(&rule.macro_name)?;
        let with = |part: &Template| {
            let mut draft = drafts[0].clone();
            let (dport, sport) = (part.dport.unwrap_or_default(), part.sport.unwrap_or_default());
            let icmp = part.proto.contains("icmp");
            protocol(&mut draft, part.proto, if icmp { "" } else { dport }, sport, if icmp { dport } else { "" });
            draft
        };
        drafts = parts.iter().map(with).collect();
    }
    for (address, field) in [(&rule.source, "saddr"), (&rule.dest, "daddr")] {
        if !address.is_empty() {
            drafts = self::address(input, drafts, address, field)?;
        }
    }
    Some(drafts)
}

/// A macro's rules for both families.
fn parts(name: &str) -> Option<Vec<Template>> {
    let name = preferred(name)?;
    let mut parts: Vec<Template> = Vec::new();
    for family in Family::BOTH {
        for template in templates(name, Some(family)).unwrap_or_default() {
            if !parts.contains(template) {
                parts.push(template.clone());
            }
        }
    }
    Some(parts)
}

fn protocol(draft: &mut Draft, name: &str, dport: &str, sport: &str, icmp: &str) {
    let six = matches!(name, "icmpv6" | "ipv6-icmp");
    if six || name == "icmp" {
        let (family, word) = if six { (Family::V6, "icmpv6") } else { (Family::V4, "icmp") };
        if draft.pin(family) {
            let text = if icmp.is_empty() { format!("meta l4proto {word}") } else { format!("{word} type {icmp}") };
            draft.words.push(text);
        }
        return;
    }
    draft.words.push(format!("meta l4proto {name}"));
    if matches!(name, "tcp" | "udp" | "dccp" | "udplite" | "sctp") {
        for (side, ports) in [("sport", sport), ("dport", dport)] {
            if !ports.is_empty() {
                draft.words.push(format!("th {side} {{ {} }}", ports.replace(':', "-").replace(',', ", ")));
            }
        }
    }
}

fn address(input: &Input<'_>, drafts: Vec<Draft>, text: &str, field: &str) -> Option<Vec<Draft>> {
    if let Some(set) = text.strip_prefix('+') {
        let (_, name) = scoped(set, &SET_SCOPES)?;
        if name != "management" && !input.cluster.ipsets.contains_key(name) {
            return None;
        }
        let both = drafts.into_iter().flat_map(|draft| {
            let of = |family: Family| {
                let mut draft = draft.clone();
                let (ip, set) = (ip(family), format!("@v{}-dc/{name}", family.number()));
                draft.pin(family).then(|| {
                    draft.words.push(format!("{ip} {field} {set} {ip} {field} != {set}-nomatch"));
                    draft
                })
            };
            Family::BOTH.into_iter().filter_map(of).collect::<Vec<_>>()
        });
        return Some(both.collect());
    }
    let (family, shown) = match scoped(text, &ALIAS_SCOPES) {
        Some((scope, name)) => {
            let cidr = resolve(None, input.cluster, scope, name).ok()?.cidr.clone();
            let net = network(input.cluster, &cidr)?;
            (Family::of(net.addr()), net.trunc().to_string())
        }
        None => {
            (if text.contains(':') { Family::V6 } else { Family::V4 }, format!("{{ {} }}", text.replace(',', ", ")))
        }
    };
    let mut drafts = drafts;
    for draft in &mut drafts {
        if draft.pin(family) {
            draft.words.push(format!("{} {field} {shown}", ip(family)));
        }
    }
    Some(drafts)
}
