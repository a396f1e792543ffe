//! Rules as the kernel has them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use serde::Serialize;

use super::RuleRef;
use crate::pve::firewall::AddressRange;

/// Everything for one address family.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ruleset {
    /// Chains in the order they are made.
    pub chains: Vec<Chain>,
    /// Sets by their kernel name.
    pub sets: BTreeMap<String, Set>,
    /// Rules of the files that are left out, and why.
    pub skipped: Vec<Skipped>,
}

/// A chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// Name.
    pub name: String,
    /// Rules in order.
    pub rules: Vec<Rule>,
}

/// A compiled rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// As iptables-save or nft prints it, without the chain.
    pub text: String,
    /// All must hold.
    #[serde(skip)]
    pub(super) matches: Vec<Match>,
    /// What happens then.
    #[serde(skip)]
    pub target: Target,
    /// Where it comes from.
    pub origin: RuleRef,
}

/// A rule of a file that is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The rule.
    pub rule: RuleRef,
    /// Why.
    pub why: String,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Ends with accept.
    Accept,
    /// Ends with drop.
    Drop,
    /// Ends with reject.
    Reject,
    /// Back to the calling chain.
    Return,
    /// Into another chain and, if that returns, on with the next rule.
    Jump(String),
    /// Into another chain; if that returns, back to the calling chain.
    Goto(String),
    /// pve-firewall's mark of an accepted packet.
    SetMark(bool),
    /// A log line.
    Log,
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Match {
    InInterface(String),
    OutInterface(String),
    Source(Vec<AddressRange>),
    Dest(Vec<AddressRange>),
    SourceSet(String),
    DestSet(String),
    Protocol(u8),
    SourcePorts(Vec<RangeInclusive<u16>>),
    DestPorts(Vec<RangeInclusive<u16>>),
    /// Type and code.
    Icmp(Option<u8>, Option<u8>),
    /// The packet is new; everything else about connection tracking never holds.
    New,
    Never,
    Marked,
    SourceType(AddressType),
    DestType(AddressType),
    /// Something whose truth cannot be told.
    Doubt,
}

/// Kinds of addresses in iptables' addrtype.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AddressType {
    Broadcast,
    Multicast,
    Anycast,
}

/// A kernel set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Set {
    /// Members and whether they are exceptions.
    pub members: Vec<(IpNet, bool)>,
    /// The lines of `ipset restore` that make it; empty with nftables.
    pub text: Vec<String>,
    /// The most specific member decides (ipset); otherwise every exception wins (nftables).
    pub most_specific: bool,
}

impl Set {
    pub(super) fn contains(&self, address: std::net::IpAddr) -> bool {
        let covering = || self.members.iter().filter(|(net, _)| net.contains(&address));
        if self.most_specific {
            return covering().max_by_key(|(net, _)| net.prefix_len()).is_some_and(|(_, nomatch)| !nomatch);
        }
        covering().any(|(_, nomatch)| !nomatch) && !covering().any(|(_, nomatch)| *nomatch)
    }
}

impl Ruleset {
    /// A chain by name.
    pub fn chain(&self, name: &str) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.name == name)
    }

    /// Starts a chain; an existing one is kept.
    pub(super) fn begin(&mut self, name: &str) {
        if self.chain(name).is_none() {
            self.chains.push(Chain { name: name.into(), rules: Vec::new() });
        }
    }

    pub(super) fn add(&mut self, chain: &str, rule: Rule) {
        self.begin(chain);
        if let Some(chain) = self.chains.iter_mut().find(|known| known.name == chain) {
            chain.rules.push(rule);
        }
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rules.iter().try_for_each(|rule| writeln!(f, "-A {} {}", self.name, rule.text))
    }
}
