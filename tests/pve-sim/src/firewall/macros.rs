//! PVE's named services. A macro stands for one or more rules; a line of the tables is its name and, per rule,
//! `protocol[/destination port[/source port]]`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::Family;

const PLAIN: &str = include_str!("macros.txt");
/// What differs for IPv6; names that are not among the plain ones exist for IPv6 alone.
const SIX: &str = include_str!("macros6.txt");

/// One rule of a macro.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Protocol, by name or number.
    pub proto: &'static str,
    /// Destination port, or the type of an ICMP packet.
    pub dport: Option<&'static str>,
    /// Source port.
    pub sport: Option<&'static str>,
}

type Table = BTreeMap<&'static str, Vec<Template>>;

fn read(text: &'static str) -> Table {
    let rows = text.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let name = words.next()?;
        let templates = words.map(|word| {
            let mut parts = word.splitn(3, '/');
            Template { proto: parts.next().unwrap_or_default(), dport: parts.next(), sport: parts.next() }
        });
        Some((name, templates.collect()))
    });
    rows.collect()
}

fn plain() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| read(PLAIN))
}

fn six() -> &'static Table {
    static TABLE: OnceLock<Table> = OnceLock::new();
    TABLE.get_or_init(|| read(SIX))
}

/// The name as PVE writes it, whatever the case it was given in.
pub fn preferred(name: &str) -> Option<&'static str> {
    names().find(|known| known.eq_ignore_ascii_case(name))
}

/// All names.
pub fn names() -> impl Iterator<Item = &'static str> {
    plain().keys().chain(six().keys().filter(|name| !plain().contains_key(*name))).copied()
}

/// The rules of a macro for a family; none where the macro is of the other one. Without a family, those of IPv4.
pub fn templates(name: &str, family: Option<Family>) -> Option<&'static [Template]> {
    match family {
        Some(Family::V4) => plain().get(name),
        Some(Family::V6) => six().get(name).or_else(|| plain().get(name)),
        None => plain().get(name).or_else(|| six().get(name)),
    }
    .map(Vec::as_slice)
}

/// Connection trackers that may be switched on per host: name, protocol, port, whether for IPv6 too.
pub const HELPERS: &[(&str, &str, &str, bool)] = &[
    ("amanda", "udp", "10080", true),
    ("ftp", "tcp", "21", true),
    ("irc", "tcp", "6667", false),
    ("netbios-ns", "udp", "137", false),
    ("pptp", "tcp", "1723", false),
    ("sane", "tcp", "6566", true),
    ("sip", "udp", "5060", true),
    ("snmp", "udp", "161", false),
    ("tftp", "udp", "69", true),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_have_their_own_rules() {
        let proto = |name, family| templates(name, family).map(|all| all.last().map_or("", |one| one.proto));
        assert_eq!(proto("Ping", Some(Family::V4)), Some("icmp"));
        assert_eq!(proto("Ping", Some(Family::V6)), Some("icmpv6"));
        assert_eq!(proto("Ping", None), Some("icmp"));
        assert_eq!(proto("DHCPv6", Some(Family::V4)), None);
        assert_eq!(proto("DHCPv6", None), Some("udp"));
        assert_eq!(preferred("ssh"), Some("SSH"));
        assert_eq!(preferred("Foo"), None);
    }
}
