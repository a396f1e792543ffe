//! Rules.

use std::fmt;

use serde::Serialize;

use super::Address;

/// A line of `[RULES]` or of a security group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Line it stands on, from 1.
    pub line: usize,
    /// The line without blanks around it.
    pub text: String,
    /// No `|` before it.
    pub enabled: bool,
    /// Direction, or use of a group.
    pub kind: RuleKind,
    /// What it does.
    pub action: Action,
    /// `Macro(ACTION)`.
    pub macro_name: Option<String>,
    /// `-i`.
    pub interface: Option<String>,
    /// `-source`.
    pub source: Option<Address>,
    /// `-dest`.
    pub dest: Option<Address>,
    /// `-p`, name or number.
    pub protocol: Option<String>,
    /// `-dport`; for ICMP in pve-firewall a type.
    pub dport: Option<String>,
    /// `-sport`.
    pub sport: Option<String>,
    /// `-icmp-type`.
    pub icmp_type: Option<String>,
    /// `-log`.
    pub log: Option<LogLevel>,
    /// Text behind `#`.
    pub comment: Option<String>,
    /// The address family it is limited to, as far as pve-firewall sees it: IPv6 or not.
    pub v6: Option<bool>,
    /// Why PVE leaves the rule out.
    pub unused: Option<String>,
}

/// Direction of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleKind {
    /// `IN`.
    In,
    /// `OUT`.
    Out,
    /// `FORWARD`.
    Forward,
    /// `GROUP`.
    Group,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// `ACCEPT`.
    Accept,
    /// `DROP`.
    Drop,
    /// `REJECT`.
    Reject,
    /// Rules of a security group.
    Group(String),
}

impl Action {
    /// The word of `ACCEPT`, `DROP` and `REJECT`.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "ACCEPT" => Some(Self::Accept),
            "DROP" => Some(Self::Drop),
            "REJECT" => Some(Self::Reject),
            _ => None,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "ACCEPT",
            Self::Drop => "DROP",
            Self::Reject => "REJECT",
            Self::Group(name) => name,
        })
    }
}

/// syslog levels of the firewall's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// 0.
    Emerg,
    /// 1.
    Alert,
    /// 2.
    Crit,
    /// 3.
    Err,
    /// 4.
    Warning,
    /// 5.
    Notice,
    /// 6.
    Info,
    /// 7.
    Debug,
    /// No log.
    Nolog,
}

impl LogLevel {
    /// Names in pve-firewall.
    pub const NAMES: [(&'static str, Self); 9] = [
        ("emerg", Self::Emerg),
        ("alert", Self::Alert),
        ("crit", Self::Crit),
        ("err", Self::Err),
        ("warning", Self::Warning),
        ("notice", Self::Notice),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("nolog", Self::Nolog),
    ];

    /// The level of an exact name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, level)| *level)
    }

    /// syslog's number; `None` for no log.
    pub fn number(self) -> Option<u8> {
        (self != Self::Nolog).then_some(self as u8)
    }
}
