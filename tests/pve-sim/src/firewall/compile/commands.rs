//! One rule as commands of iptables.

use super::{Builder, Log, sets};
use crate::firewall::Family;
use crate::firewall::address::{ALIAS_SCOPES, SET_SCOPES, port_list, scoped};
use crate::firewall::config::{Config, Scope};
use crate::firewall::macros::templates;
use crate::firewall::names::{WITH_PORTS, is_icmp, is_icmp_type, is_icmp6_type, log_level};
use crate::firewall::rule::{Rule, is_true};
use crate::firewall::verify::conflict;

/// What a rule's names mean and where it goes.
#[derive(Clone, Copy, Default)]
pub struct Place<'c> {
    /// The datacenter's configuration.
    pub cluster: Option<&'c Config>,
    /// The configuration of the file that the rule is from.
    pub own: Option<&'c Config>,
    /// The guest whose rule it is; 0 for the host.
    pub vmid: u32,
    /// `-i NAME` or `-o NAME`.
    pub iface: &'c str,
    /// What log lines say.
    pub message: &'c str,
}

/// `-j`, or `-g` where the chain does not come back.
pub fn target(action: &str) -> String {
    if action == "PVEFW-SET-ACCEPT-MARK" { format!("-g {action}") } else { format!("-j {action}") }
}

impl Builder {
    /// Adds a rule, all of its macro's rules or none.
    ///
    /// # Errors
    /// What cannot be said to the kernel.
    pub fn add_rule(&mut self, chain: &str, rule: &Rule, place: Place<'_>) -> Result<(), String> {
        let mut commands = Vec::new();
        for one in expanded(rule, self.family)? {
            let matched = self.matches(&one, place)?;
            if let Some(level) = log_level(&one.log) {
                let log = Log { vmid: place.vmid, level, message: place.message };
                commands.push(format!("-A {chain} {matched} {}", self.log_action(chain, &log)));
            }
            commands.push(format!("-A {chain} {matched} {}", target(&one.action)));
        }
        if !self.chains.contains_key(chain) {
            return Err(format!("no such chain '{chain}'"));
        }
        self.chains.entry(chain.to_owned()).or_default().extend(commands);
        Ok(())
    }

    fn matches(&self, rule: &Rule, place: Place<'_>) -> Result<String, String> {
        let mut all = Vec::new();
        if !place.iface.is_empty() {
            all.push(place.iface.to_owned());
        }
        for (address, flag, side) in [(&rule.source, "-s", "src"), (&rule.dest, "-d", "dst")] {
            if is_true(address) {
                all.push(self.address(address, flag, side, place)?);
            }
        }
        if is_true(&rule.proto) {
            all.push(format!("-p {}", rule.proto));
            all.extend(ports(rule)?);
        } else if is_true(&rule.dport) {
            return Err(format!("destination port '{}', but no protocol specified", rule.dport));
        } else if is_true(&rule.sport) {
            return Err(format!("source port '{}', but no protocol specified", rule.sport));
        }
        Ok(all.join(" "))
    }

    fn address(&self, text: &str, flag: &str, side: &str, place: Place<'_>) -> Result<String, String> {
        if let Some(name) = text.strip_prefix('+') {
            let set = scoped(name, &SET_SCOPES).ok_or_else(|| format!("invalid security group name '{text}'"))?;
            return Ok(format!("-m set --match-set {} {side}", self.set_chain(set, place)?));
        }
        if let Some((scope, name)) = scoped(text, &ALIAS_SCOPES) {
            let key = name.to_lowercase();
            let own = place.own.filter(|_| scope != "dc/").and_then(|config| config.aliases.get(&key));
            let cluster = place.cluster.filter(|_| scope != "guest/").and_then(|config| config.aliases.get(&key));
            let alias = own.or(cluster).ok_or_else(|| format!("no such alias '{text}'"))?;
            return Ok(format!("{flag} {}", alias.cidr));
        }
        Ok(if text.contains('-') { format!("-m iprange --{side}-range {text}") } else { format!("{flag} {text}") })
    }

    fn set_chain(&self, (scope, name): (&str, &str), place: Place<'_>) -> Result<String, String> {
        let own = place.own.filter(|config| config.ipsets.contains_key(name));
        if let (Some(config), "" | "guest/") = (own, scope) {
            let vmid = if let Scope::Guest(vmid) = config.scope { vmid } else { 0 };
            return Ok(sets::chain_name(vmid, name, self.family));
        }
        let cluster = place.cluster.is_some_and(|config| config.ipsets.contains_key(name));
        if cluster && matches!(scope, "" | "dc/") {
            return Ok(sets::chain_name(0, name, self.family));
        }
        Err(format!("no such ipset '{name}'"))
    }
}

/// The rule itself, or its macro's rules with what the rule adds.
fn expanded(rule: &Rule, family: Family) -> Result<Vec<Rule>, String> {
    if !is_true(&rule.macro_name) {
        return Ok(vec![rule.clone()]);
    }
    let mut all = Vec::new();
    for template in templates(&rule.macro_name, Some(family)).unwrap_or_default() {
        if let Some((name, value)) = conflict(rule, template) {
            return Err(format!("parameter '{name}' already define in macro (value = '{value}')"));
        }
        let mut one = rule.clone();
        template.proto.clone_into(&mut one.proto);
        if let Some(dport) = template.dport {
            dport.clone_into(&mut one.dport);
        }
        if let Some(sport) = template.sport {
            sport.clone_into(&mut one.sport);
        }
        all.push(one);
    }
    Ok(all)
}

/// ICMP type and ports. A single port must come before a list.
fn ports(rule: &Rule) -> Result<Vec<String>, String> {
    let proto = rule.proto.as_str();
    let several = |text: &str, icmp| if text.is_empty() { Ok(false) } else { port_list(text, icmp) };
    let to_several = several(&rule.dport, is_icmp(proto))?;
    let from_several = several(&rule.sport, false)?;
    let mut all = Vec::new();
    if !rule.icmp_type.is_empty() {
        if !is_icmp(proto) {
            return Err("'icmp-type' can only be set if 'icmp', 'icmpv6' or 'ipv6-icmp' is specified".to_owned());
        }
        let flag = if proto == "icmp" { "icmp-type" } else { "icmpv6-type" };
        all.push(format!("-m {proto} --{flag} {}", rule.icmp_type));
    }
    let (dports, sports) = (destination(rule, to_several)?, source(rule, from_several)?);
    let ordered = if from_several { [dports, sports] } else { [sports, dports] };
    all.extend(ordered.into_iter().flatten());
    Ok(all)
}

fn destination(rule: &Rule, many: bool) -> Result<Option<String>, String> {
    let (proto, dport) = (rule.proto.as_str(), rule.dport.as_str());
    if dport.is_empty() {
        return Ok(None);
    }
    let typed = |known: bool, text: String| if known { Ok(Some(text)) } else { Err(unknown_icmp(dport)) };
    let numbered = dport.parse::<u32>().is_ok_and(|number| number <= 255);
    match proto {
        "icmp" => typed(numbered || is_icmp_type(dport), format!("-m icmp --icmp-type {dport}")),
        "icmpv6" => typed(numbered || is_icmp6_type(dport), format!("-m icmpv6 --icmpv6-type {dport}")),
        _ if !WITH_PORTS.contains(&proto) => Err(format!("protocol {proto} does not have ports")),
        _ if many => Ok(Some(format!("--match multiport --dports {dport}"))),
        _ => Ok(is_true(dport).then(|| format!("--dport {dport}"))),
    }
}

fn unknown_icmp(kind: &str) -> String {
    let number = !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_digit());
    format!("{} icmp-type '{kind}'", if number { "invalid" } else { "unknown" })
}

fn source(rule: &Rule, many: bool) -> Result<Option<String>, String> {
    let (proto, sport) = (rule.proto.as_str(), rule.sport.as_str());
    if !is_true(sport) {
        return Ok(None);
    }
    if !WITH_PORTS.contains(&proto) {
        return Err(format!("protocol {proto} does not have ports"));
    }
    Ok(Some(if many { format!("--match multiport --sports {sport}") } else { format!("--sport {sport}") }))
}
