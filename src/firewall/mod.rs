//! A model of PVE's firewall that answers questions: from the files it compiles the rules that PVE would put into the
//! kernel for the node's own traffic, and says what happens to a new connection, and by which rule. Pure.
//!
//! Sources: pve-firewall 6.0 (`PVE::Firewall::compile`), proxmox-firewall 1.2 (`Firewall::full_host_fw`, skeleton
//! `proxmox-firewall.nft`). Rate limits are left out: one connection passes them.

pub mod guests;
mod iptables;
mod kernel;
mod lookup;
mod nftables;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::Serialize;

use crate::pve::cluster::Corosync;
use crate::pve::firewall::{Action, Backend, ClusterFw, HostFw};
pub use kernel::{Chain, Rule, Ruleset, Set, Skipped, Target};

/// Everything that decides what the node's firewall does.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// cluster.fw.
    pub cluster: &'a ClusterFw,
    /// The node's host.fw.
    pub host: &'a HostFw,
    /// The node.
    pub node: NodeAddresses,
    /// corosync.conf, on a member of a cluster.
    pub corosync: Option<&'a Corosync>,
    /// Addresses of the names that corosync.conf uses instead of addresses.
    pub names: BTreeMap<String, IpAddr>,
    /// The network that `pve-firewall localnet` detects; when not given, the first network of the node that holds its
    /// address.
    pub local_network: Option<IpNet>,
    /// The node's clock, seconds since 1970: `enable` may be a deadline. Without it a deadline counts as not over.
    pub now: Option<i64>,
}

/// The node's own addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeAddresses {
    /// Node name.
    pub name: String,
    /// What the node's name resolves to (`.members`, /etc/hosts); the first is the one PVE uses.
    pub resolves_to: Vec<IpAddr>,
    /// Every interface's addresses with their prefix lengths.
    pub networks: Vec<IpNet>,
}

/// A new connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Question {
    /// Seen from the node.
    pub direction: Direction,
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Destination port of TCP and UDP.
    pub port: Option<u16>,
    /// Source port; when not given, an ordinary ephemeral one (32768 to 60999).
    pub source_port: Option<u16>,
    /// Interface it comes in or goes out by; when not given, rules for one interface make the answer uncertain.
    pub interface: Option<String>,
}

impl Question {
    /// A new connection to one of the node's ports.
    pub fn to_node(source: IpAddr, destination: IpAddr, protocol: Protocol, port: u16) -> Self {
        Self {
            direction: Direction::In,
            source,
            destination,
            protocol,
            port: Some(port),
            source_port: None,
            interface: None,
        }
    }

    /// A new connection from the node.
    pub fn from_node(source: IpAddr, destination: IpAddr, protocol: Protocol, port: u16) -> Self {
        Self { direction: Direction::Out, ..Self::to_node(source, destination, protocol, port) }
    }
}

/// Which of the node's hooks a packet passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// To the node.
    In,
    /// From the node.
    Out,
    /// Through the node, routed.
    Forward,
}

/// Protocol of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// TCP, the first packet.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP or `ICMPv6` (by the family of the addresses) with its type.
    Icmp(u8),
    /// Another, by number.
    Other(u8),
}

impl Protocol {
    /// The protocol number in the IP header.
    pub fn number(self, v6: bool) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Icmp(_) if v6 => 58,
            Self::Icmp(_) => 1,
            Self::Other(number) => number,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.write_str("tcp"),
            Self::Udp => f.write_str("udp"),
            Self::Icmp(kind) => write!(f, "icmp type {kind}"),
            Self::Other(number) => write!(f, "protocol {number}"),
        }
    }
}

/// What happens to a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It passes.
    Accept,
    /// It vanishes.
    Drop,
    /// It is refused.
    Reject,
    /// Cannot be told; where reachability is asked for, this counts as no.
    Unknown,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "accept",
            Self::Drop => "drop",
            Self::Reject => "reject",
            Self::Unknown => "unknown",
        })
    }
}

/// A verdict and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// What happens.
    pub verdict: Verdict,
    /// The rule that decides; of an unknown verdict the one that is in doubt.
    pub by: RuleRef,
}

/// A rule, as a person can find it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum RuleRef {
    /// A line of a file.
    File {
        /// `cluster.fw`, `host.fw` or `100.fw`.
        file: String,
        /// From 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// A rule that PVE adds by itself.
    Automatic {
        /// What it is for.
        name: String,
    },
    /// The policy at the end of a direction.
    Policy {
        /// `policy_in`, `policy_out` or `policy_forward`.
        option: String,
        /// `ACCEPT`, `DROP` or `REJECT`.
        value: String,
        /// Line in cluster.fw; none for PVE's default.
        line: Option<usize>,
    },
    /// There are no rules.
    Off {
        /// Why.
        why: String,
    },
    /// What the rules are cannot be told.
    Unread {
        /// Why.
        why: String,
    },
}

impl fmt::Display for RuleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line, text } => write!(f, "{file}:{line} {text}"),
            Self::Automatic { name } => write!(f, "PVE's own rule: {name}"),
            Self::Policy { option, value, line: Some(line) } => write!(f, "cluster.fw:{line} {option}: {value}"),
            Self::Policy { option, value, line: None } => write!(f, "{option}: {value} (PVE's default)"),
            Self::Off { why } => write!(f, "no rules: {why}"),
            Self::Unread { why } => write!(f, "cannot be told: {why}"),
        }
    }
}

impl RuleRef {
    pub(crate) fn automatic(name: impl Into<String>) -> Self {
        Self::Automatic { name: name.into() }
    }
}

/// The node's firewall, compiled.
#[derive(Clone, Debug)]
pub struct Model {
    state: State,
    node: NodeAddresses,
}

#[derive(Clone, Debug)]
enum State {
    /// The firewall does nothing.
    Off(String),
    /// The backend refuses a file and keeps the rules it has.
    Unread(String),
    On {
        v4: Ruleset,
        v6: Ruleset,
    },
}

impl Model {
    /// Compiles the files for the backend they were read for.
    pub fn new(inputs: &Inputs<'_>) -> Self {
        Self { state: state(inputs), node: inputs.node.clone() }
    }

    /// Whether the firewall has rules.
    pub fn is_on(&self) -> bool {
        matches!(self.state, State::On { .. })
    }

    /// Why there are no rules or they cannot be told.
    pub fn why_not(&self) -> Option<&str> {
        match &self.state {
            State::Off(why) | State::Unread(why) => Some(why),
            State::On { .. } => None,
        }
    }

    /// The compiled rules of one family; none when the firewall is off or unread.
    pub fn compile(&self, v6: bool) -> Option<&Ruleset> {
        match &self.state {
            State::On { v6: rules, .. } if v6 => Some(rules),
            State::On { v4, .. } => Some(v4),
            _ => None,
        }
    }

    /// What happens to a new connection.
    pub fn ask(&self, question: &Question) -> Answer {
        match &self.state {
            State::Off(why) => Answer { verdict: Verdict::Accept, by: RuleRef::Off { why: why.clone() } },
            State::Unread(why) => Answer { verdict: Verdict::Unknown, by: RuleRef::Unread { why: why.clone() } },
            State::On { v4, v6 } => {
                let rules = if question.destination.is_ipv6() { v6 } else { v4 };
                walk::ask(rules, &self.node, question)
            }
        }
    }
}

/// The limit is written as an object where nft 1.1.3 wants a list, and the whole transaction fails (proxmox-firewall 1.2.3,
/// `Firewall::handle_host_options`).
const NO_SYNFLOOD: &str = "host.fw says `protection_synflood: 1`, with which proxmox-firewall writes rules that nft refuses; \
     the node keeps the rules it has";

fn state(inputs: &Inputs<'_>) -> State {
    let refused = [("cluster.fw", inputs.cluster.refused()), ("host.fw", inputs.host.refused())];
    if let Some((file, problem)) = refused.into_iter().find_map(|(file, problem)| Some((file, problem?))) {
        let why = format!("{file} line {}: {}; the node keeps the rules it has", problem.line, problem.message);
        return State::Unread(why);
    }
    let enable = inputs.cluster.config().number("enable").unwrap_or(0);
    if enable == 0 {
        return State::Off("the datacenter firewall is off (cluster.fw, `enable`)".into());
    }
    if enable > 1 && inputs.now.is_some_and(|now| now.saturating_sub(enable) > 60) {
        return State::Off("the deadline in cluster.fw, `enable`, is over".into());
    }
    if inputs.host.config().flag("enable") == Some(false) {
        return State::Off("host.fw says `enable: 0`, which drops every rule for the node".into());
    }
    let backend = inputs.cluster.backend();
    if backend == Backend::Nftables && inputs.host.config().flag("protection_synflood") == Some(true) {
        return State::Unread(NO_SYNFLOOD.into());
    }
    match backend {
        Backend::Iptables => State::On { v4: iptables::compile(inputs, false), v6: iptables::compile(inputs, true) },
        Backend::Nftables => State::On { v4: nftables::compile(inputs, false), v6: nftables::compile(inputs, true) },
    }
}

/// A policy of cluster.fw with PVE's default.
fn policy(cluster: &ClusterFw, option: &str, default: Action) -> (Action, RuleRef) {
    let setting = cluster.config().options.get(option);
    let value = setting.and_then(|setting| Action::from_word(&setting.value)).unwrap_or(default);
    let by =
        RuleRef::Policy { option: option.into(), value: value.to_string(), line: setting.map(|setting| setting.line) };
    (value, by)
}
