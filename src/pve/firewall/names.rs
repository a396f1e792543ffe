//! Names that PVE looks up in /etc/services and /etc/protocols. The tables are Debian's; a node's own additions are
//! not known here.

use super::Backend;

const SERVICES: &str = include_str!("services.txt");

/// Debian's /etc/protocols, names that PVE's pattern finds (first column), and `icmpv6`, which PVE adds.
const PROTOCOLS: &[(&str, u8)] = &[
    ("ip", 0),
    ("hopopt", 0),
    ("icmp", 1),
    ("igmp", 2),
    ("ggp", 3),
    ("ipencap", 4),
    ("st", 5),
    ("tcp", 6),
    ("egp", 8),
    ("igp", 9),
    ("pup", 12),
    ("udp", 17),
    ("hmp", 20),
    ("xns-idp", 22),
    ("rdp", 27),
    ("iso-tp4", 29),
    ("dccp", 33),
    ("xtp", 36),
    ("ddp", 37),
    ("idpr-cmtp", 38),
    ("ipv6", 41),
    ("ipv6-route", 43),
    ("ipv6-frag", 44),
    ("idrp", 45),
    ("rsvp", 46),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("skip", 57),
    ("ipv6-icmp", 58),
    ("icmpv6", 58),
    ("ipv6-nonxt", 59),
    ("ipv6-opts", 60),
    ("rspf", 73),
    ("vmtp", 81),
    ("eigrp", 88),
    ("ospf", 89),
    ("ax.25", 93),
    ("ipip", 94),
    ("etherip", 97),
    ("encap", 98),
    ("pim", 103),
    ("ipcomp", 108),
    ("vrrp", 112),
    ("l2tp", 115),
    ("isis", 124),
    ("sctp", 132),
    ("fc", 133),
    ("mobility-header", 135),
    ("udplite", 136),
    ("mpls-in-ip", 137),
    ("manet", 138),
    ("hip", 139),
    ("shim6", 140),
    ("wesp", 141),
    ("rohc", 142),
    ("ethernet", 143),
];

/// The number of a port name. pve-firewall knows first names only, proxmox-firewall the further ones too.
pub fn port_number(name: &str, backend: Backend) -> Option<u16> {
    SERVICES.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut words = line.split(' ');
        let port = words.next()?.parse().ok()?;
        let known = match backend {
            Backend::Iptables => words.next() == Some(name),
            Backend::Nftables => words.any(|word| word == name),
        };
        known.then_some(port)
    })
}

/// The number of a protocol given by name or number.
pub fn protocol_number(text: &str) -> Option<u8> {
    match PROTOCOLS.iter().find(|(name, _)| *name == text) {
        Some((_, number)) => Some(*number),
        None => text.parse().ok(),
    }
}

/// Whether pve-firewall takes the protocol: a name of the table, or the number of one.
pub(super) fn perl_protocol(text: &str) -> bool {
    PROTOCOLS.iter().any(|(name, number)| *name == text || number.to_string() == text)
}

/// Protocols that pve-firewall lets have ports (`$PROTOCOLS_WITH_PORTS`).
pub(super) fn has_ports(text: &str) -> bool {
    matches!(text, "udp" | "17" | "udplite" | "136" | "tcp" | "6" | "dccp" | "33" | "sctp" | "132")
}
