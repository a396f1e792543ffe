//! Names of services, protocols and ICMP types that a rule may use.

use std::collections::BTreeSet;
use std::sync::OnceLock;

/// Protocols that know ports, by name and number.
pub const WITH_PORTS: [&str; 10] = ["udp", "17", "udplite", "136", "tcp", "6", "dccp", "33", "sctp", "132"];

const ICMP: &str = "any echo-reply destination-unreachable network-unreachable host-unreachable protocol-unreachable \
     port-unreachable fragmentation-needed source-route-failed network-unknown host-unknown network-prohibited \
     host-prohibited TOS-network-unreachable TOS-host-unreachable communication-prohibited \
     host-precedence-violation precedence-cutoff source-quench redirect network-redirect host-redirect \
     TOS-network-redirect TOS-host-redirect echo-request router-advertisement router-solicitation time-exceeded \
     ttl-zero-during-transit ttl-zero-during-reassembly parameter-problem ip-header-bad required-option-missing \
     timestamp-request timestamp-reply address-mask-request address-mask-reply";

const ICMP6: &str = "destination-unreachable no-route communication-prohibited beyond-scope address-unreachable \
     port-unreachable failed-policy reject-route packet-too-big time-exceeded ttl-zero-during-transit \
     ttl-zero-during-reassembly parameter-problem bad-header unknown-header-type unknown-option echo-request \
     echo-reply router-solicitation router-advertisement neighbor-solicitation neighbour-solicitation \
     neighbor-advertisement neighbour-advertisement redirect";

/// Whether the name is a type of ICMP packet.
pub fn is_icmp_type(name: &str) -> bool {
    ICMP.split_whitespace().any(|known| known == name)
}

/// Whether the name is a type of `ICMPv6` packet.
pub fn is_icmp6_type(name: &str) -> bool {
    ICMP6.split_whitespace().any(|known| known == name)
}

/// Whether the protocol is one of the ICMP family.
pub fn is_icmp(proto: &str) -> bool {
    matches!(proto, "icmp" | "icmpv6" | "ipv6-icmp")
}

/// Whether /etc/services has the name for TCP, UDP or SCTP.
pub fn is_service(name: &str) -> bool {
    static KNOWN: OnceLock<BTreeSet<String>> = OnceLock::new();
    let read = || {
        let text = crate::files::text(std::path::Path::new("/etc/services"));
        let names = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next()?;
            let (_, proto) = words.next()?.split_once('/')?;
            matches!(proto, "tcp" | "udp" | "sctp").then(|| name.to_owned())
        });
        names.collect()
    };
    KNOWN.get_or_init(read).contains(name)
}

/// Whether /etc/protocols has the name or number; `icmpv6` is known besides.
pub fn is_protocol(name: &str) -> bool {
    static KNOWN: OnceLock<BTreeSet<String>> = OnceLock::new();
    let read = || {
        let text = crate::files::text(std::path::Path::new("/etc/protocols"));
        let rows = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next()?.to_owned();
            let number = words.next().filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()))?.to_owned();
            Some([name, number])
        });
        rows.flatten().chain(["icmpv6".to_owned()]).collect()
    };
    KNOWN.get_or_init(read).contains(name)
}

/// The severities of `-log`, and their numbers.
pub const LOG_LEVELS: [(&str, u8); 8] =
    [("emerg", 0), ("alert", 1), ("crit", 2), ("err", 3), ("warning", 4), ("notice", 5), ("info", 6), ("debug", 7)];

/// The number of a severity; none for `nolog`.
pub fn log_level(name: &str) -> Option<u8> {
    LOG_LEVELS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}
