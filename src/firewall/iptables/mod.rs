//! pve-firewall: what `PVE::Firewall::compile` puts into iptables, ip6tables and ipset for the host.

mod host;
mod rules;
mod sets;
mod standard;

use super::kernel::{Match, Rule, Ruleset, Target};
use super::{Inputs, RuleRef};
use crate::pve::firewall::LogLevel;

/// The filter table of one family, chains sorted by name as `pve-firewall compile` prints them.
pub(super) fn compile(inputs: &Inputs<'_>, v6: bool) -> Ruleset {
    let mut compiler = Compiler { inputs, v6, rules: Ruleset::default() };
    compiler.rules.sets = sets::all(inputs, v6);
    for chain in ["PVEFW-INPUT", "PVEFW-OUTPUT", "PVEFW-FORWARD", "PVEFW-FWBR-IN", "PVEFW-FWBR-OUT"] {
        compiler.rules.begin(chain);
    }
    compiler.forward();
    standard::add(&mut compiler);
    compiler.host_in();
    compiler.host_out();
    let mut rules = compiler.rules;
    rules.chains.sort_by(|one, other| one.name.cmp(&other.name));
    rules
}

struct Compiler<'a> {
    inputs: &'a Inputs<'a>,
    v6: bool,
    rules: Ruleset,
}

/// A rule of PVE's own: text without the chain, conditions, target.
fn own(text: impl Into<String>, matches: Vec<Match>, target: Target, name: &str) -> Rule {
    Rule { text: text.into(), matches, target, origin: RuleRef::automatic(name) }
}

impl Compiler<'_> {
    fn add(&mut self, chain: &str, rule: Rule) {
        self.rules.add(chain, rule);
    }

    /// `get_option_log_level` of a host option.
    fn log_level(&self, option: &str) -> Option<LogLevel> {
        let level = LogLevel::from_name(self.inputs.host.config().option(option)?)?;
        (level != LogLevel::Nolog).then_some(level)
    }

    /// `get_log_rule_base`.
    fn log_target(&self, chain: &str, level: LogLevel, message: &str) -> String {
        let number = level.number().unwrap_or_default();
        let limit = self.log_limit().map_or(String::new(), |limit| format!("-m limit {limit} "));
        format!("{limit}-j NFLOG --nflog-prefix \":0:{number}:{chain}: {message}\"")
    }

    /// `$set_global_log_ratelimit`.
    fn log_limit(&self) -> Option<String> {
        let Some(value) = self.inputs.cluster.config().option("log_ratelimit") else {
            return Some("--limit 1/sec".into());
        };
        let part = |name: &str| {
            value.split(',').find_map(|part| match part.split_once('=') {
                Some((key, value)) => (key == name).then_some(value),
                None => (name == "enable").then_some(part),
            })
        };
        let on = part("enable")
            .is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "1" | "yes" | "on" | "true"));
        on.then(|| {
            let limit = part("rate").map_or("--limit 1/sec".to_owned(), |rate| format!("--limit {rate}"));
            part("burst")
                .filter(|burst| *burst != "0")
                .map_or(limit.clone(), |burst| format!("{limit} --limit-burst {burst}"))
        })
    }

    fn log_rule(
        &self,
        chain: &str,
        prefix: &str,
        matches: Vec<Match>,
        level: LogLevel,
        message: &str,
        origin: RuleRef,
    ) -> Rule {
        Rule {
            text: format!("{prefix} {}", self.log_target(chain, level, message)),
            matches,
            target: Target::Log,
            origin,
        }
    }
}
