//! proxmox-firewall: table `inet proxmox-firewall` (`Firewall::full_host_fw`). Rules are printed as nft writes them,
//! as far as they matter for a new connection.

mod rules;
mod skeleton;

use super::kernel::{Match, Rule, Ruleset, Set, Target};
use super::{Inputs, RuleRef, lookup, policy};
use crate::pve::firewall::{Action, MemberAddress, RuleKind};
use rules::Use;

/// The rules of one family, chains in the order a packet meets them.
pub(super) fn compile(inputs: &Inputs<'_>, v6: bool) -> Ruleset {
    let mut compiler = Compiler { inputs, v6, rules: Ruleset::default() };
    compiler.sets();
    compiler.skeleton();
    for (direction, word, policy) in [
        (RuleKind::In, "in", ("policy_in", Action::Drop)),
        (RuleKind::Out, "out", ("policy_out", Action::Accept)),
        (RuleKind::Forward, "forward", ("policy_forward", Action::Accept)),
    ] {
        compiler.direction(direction, word, policy.0, policy.1);
    }
    compiler.rules
}

struct Compiler<'a> {
    inputs: &'a Inputs<'a>,
    v6: bool,
    rules: Ruleset,
}

fn own(text: impl Into<String>, matches: Vec<Match>, target: Target, name: &str) -> Rule {
    Rule { text: text.into(), matches, target, origin: RuleRef::automatic(name) }
}

/// `v4-dc/NAME`.
fn set_name(name: &str, v6: bool) -> String {
    format!("v{}-dc/{name}", if v6 { 6 } else { 4 })
}

impl Compiler<'_> {
    fn add(&mut self, chain: &str, rule: Rule) {
        self.rules.add(chain, rule);
    }

    fn sets(&mut self) {
        let inputs = self.inputs;
        let config = inputs.cluster.config();
        for name in config.ipsets.keys().map(String::as_str).chain(["management"]) {
            let mut members: Vec<_> = config.ipsets.get(name).map_or_else(Vec::new, |set| {
                let net = |member: &crate::pve::firewall::Member| match &member.address {
                    MemberAddress::Network(_, net) => Some((*net, member.nomatch)),
                    MemberAddress::Alias(prefix, alias) => {
                        lookup::alias(inputs, *prefix, alias).map(|alias| (alias.network, member.nomatch))
                    }
                };
                set.members.iter().filter_map(net).collect()
            });
            if name == "management" {
                members.extend(lookup::management_networks(inputs).into_iter().map(|net| (net, false)));
            }
            members.retain(|(net, _)| net.addr().is_ipv6() == self.v6);
            let members = members.into_iter().map(|(net, nomatch)| (net.trunc(), nomatch)).collect();
            let set = Set { members, text: Vec::new(), most_specific: false };
            self.rules.sets.insert(set_name(name, self.v6), set);
        }
    }

    /// Groups, host.fw's chain, cluster.fw's chain and the policy of one direction.
    fn direction(&mut self, kind: RuleKind, word: &str, option: &str, default: Action) {
        let inputs = self.inputs;
        for (name, group) in &inputs.cluster.config().groups {
            let chain = format!("group-{name}-{word}");
            self.rules.begin(&chain);
            self.file_rules(Use { chain: &chain, kind, word }, "cluster.fw", &group.rules);
        }
        let host = format!("host-{word}");
        self.rules.begin(&host);
        self.file_rules(Use { chain: &host, kind, word }, "host.fw", &inputs.host.config().rules);
        let cluster = format!("cluster-{word}");
        self.file_rules(Use { chain: &cluster, kind, word }, "cluster.fw", &inputs.cluster.config().rules);
        let (action, by) = policy(inputs.cluster, option, default);
        let (text, target) = rules::verdict(&action);
        self.add(&cluster, Rule { text: text.into(), matches: vec![], target, origin: by });
    }
}
