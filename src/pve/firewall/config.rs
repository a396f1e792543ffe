//! What a firewall file means.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde::Serialize;

use super::Rule;

/// The meaning of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Config {
    /// Options by name, as PVE takes them: digits, upper-case policies, lower-case log levels.
    pub options: BTreeMap<String, Setting>,
    /// Aliases by lower-case name.
    pub aliases: BTreeMap<String, Alias>,
    /// Sets by name.
    pub ipsets: BTreeMap<String, Ipset>,
    /// Rules in order, unusable ones included.
    pub rules: Vec<Rule>,
    /// Security groups by name.
    pub groups: BTreeMap<String, Group>,
}

/// One option.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Value.
    pub value: String,
    /// Line it stands on.
    pub line: usize,
}

/// An alias.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Alias {
    /// Name as written.
    pub name: String,
    /// Address or network as written, without a full prefix length.
    pub cidr: String,
    /// What it covers; host bits are kept.
    pub network: IpNet,
    /// Line it stands on.
    pub line: usize,
}

/// A set of networks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ipset {
    /// Line of its header.
    pub line: usize,
    /// Members that PVE uses, in order.
    pub members: Vec<Member>,
}

/// A member of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Line it stands on.
    pub line: usize,
    /// `!`: not in the set, even if another member covers it.
    pub nomatch: bool,
    /// What it covers.
    pub address: MemberAddress,
    /// Comment behind it.
    pub comment: Option<String>,
}

/// Address of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum MemberAddress {
    /// As written, without a full prefix length, and what it covers.
    Network(String, IpNet),
    /// An alias.
    Alias(Option<NamePrefix>, String),
}

/// A security group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Group {
    /// Line of its header.
    pub line: usize,
    /// Rules in order.
    pub rules: Vec<Rule>,
}

/// Where a name is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamePrefix {
    /// `dc/`: cluster.fw.
    Dc,
    /// `guest/`: the guest's own file.
    Guest,
    /// `sdn/`: made by PVE from the virtual networks.
    Sdn,
}

impl NamePrefix {
    /// The word before the slash.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Dc => "dc",
            Self::Guest => "guest",
            Self::Sdn => "sdn",
        }
    }
}

impl Config {
    /// A boolean or numeric option as a number.
    pub fn number(&self, option: &str) -> Option<i64> {
        self.options.get(option)?.value.parse().ok()
    }

    /// A boolean option.
    pub fn flag(&self, option: &str) -> Option<bool> {
        self.number(option).map(|number| number != 0)
    }

    /// The text of an option.
    pub fn option(&self, option: &str) -> Option<&str> {
        self.options.get(option).map(|setting| setting.value.as_str())
    }

    /// An alias by name, without case.
    pub fn alias(&self, name: &str) -> Option<&Alias> {
        self.aliases.get(&name.to_ascii_lowercase())
    }
}
