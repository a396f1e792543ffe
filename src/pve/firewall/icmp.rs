//! ICMP types by the names that iptables and nftables give them.

/// Type and code, IPv4 (iptables -p icmp -h).
const V4: &[(&str, u8, Option<u8>)] = &[
    ("echo-reply", 0, None),
    ("destination-unreachable", 3, None),
    ("network-unreachable", 3, Some(0)),
    ("host-unreachable", 3, Some(1)),
    ("protocol-unreachable", 3, Some(2)),
    ("port-unreachable", 3, Some(3)),
    ("fragmentation-needed", 3, Some(4)),
    ("source-route-failed", 3, Some(5)),
    ("network-unknown", 3, Some(6)),
    ("host-unknown", 3, Some(7)),
    ("network-prohibited", 3, Some(9)),
    ("host-prohibited", 3, Some(10)),
    ("TOS-network-unreachable", 3, Some(11)),
    ("TOS-host-unreachable", 3, Some(12)),
    ("communication-prohibited", 3, Some(13)),
    ("host-precedence-violation", 3, Some(14)),
    ("precedence-cutoff", 3, Some(15)),
    ("source-quench", 4, None),
    ("redirect", 5, None),
    ("network-redirect", 5, Some(0)),
    ("host-redirect", 5, Some(1)),
    ("TOS-network-redirect", 5, Some(2)),
    ("TOS-host-redirect", 5, Some(3)),
    ("echo-request", 8, None),
    ("router-advertisement", 9, None),
    ("router-solicitation", 10, None),
    ("time-exceeded", 11, None),
    ("ttl-zero-during-transit", 11, Some(0)),
    ("ttl-zero-during-reassembly", 11, Some(1)),
    ("parameter-problem", 12, None),
    ("ip-header-bad", 12, Some(0)),
    ("required-option-missing", 12, Some(1)),
    ("timestamp-request", 13, None),
    ("timestamp-reply", 14, None),
    ("address-mask-request", 17, None),
    ("address-mask-reply", 18, None),
];

/// Type and code, IPv6 (ip6tables -p icmpv6 -h).
const V6: &[(&str, u8, Option<u8>)] = &[
    ("destination-unreachable", 1, None),
    ("no-route", 1, Some(0)),
    ("communication-prohibited", 1, Some(1)),
    ("beyond-scope", 1, Some(2)),
    ("address-unreachable", 1, Some(3)),
    ("port-unreachable", 1, Some(4)),
    ("failed-policy", 1, Some(5)),
    ("reject-route", 1, Some(6)),
    ("packet-too-big", 2, None),
    ("time-exceeded", 3, None),
    ("ttl-zero-during-transit", 3, Some(0)),
    ("ttl-zero-during-reassembly", 3, Some(1)),
    ("parameter-problem", 4, None),
    ("bad-header", 4, Some(0)),
    ("unknown-header-type", 4, Some(1)),
    ("unknown-option", 4, Some(2)),
    ("echo-request", 128, None),
    ("echo-reply", 129, None),
    ("router-solicitation", 133, None),
    ("router-advertisement", 134, None),
    ("neighbor-solicitation", 135, None),
    ("neighbour-solicitation", 135, None),
    ("neighbor-advertisement", 136, None),
    ("neighbour-advertisement", 136, None),
    ("redirect", 137, None),
];

/// Names that only proxmox-firewall takes.
const NFT_V4: &[(&str, u8)] = &[("info-request", 15), ("info-reply", 16)];
const NFT_V6: &[(&str, u8)] = &[
    ("mld-listener-query", 130),
    ("mld-listener-report", 131),
    ("mld-listener-done", 132),
    ("mld-listener-reduction", 132),
    ("nd-router-solicit", 133),
    ("nd-router-advert", 134),
    ("nd-neighbor-solicit", 135),
    ("nd-neighbor-advert", 136),
    ("nd-redirect", 137),
    ("router-renumbering", 138),
    ("ind-neighbor-solicit", 141),
    ("ind-neighbor-advert", 142),
    ("mld2-listener-report", 143),
];

/// Type and code of a name or number; `None` for the type means any.
pub fn icmp_numbers(text: &str, v6: bool) -> Option<(Option<u8>, Option<u8>)> {
    if text == "any" {
        return Some((None, None));
    }
    if let Ok(number) = text.parse() {
        return Some((Some(number), None));
    }
    let (table, extra) = if v6 { (V6, NFT_V6) } else { (V4, NFT_V4) };
    let own = table.iter().find(|(name, ..)| *name == text).map(|(_, kind, code)| (Some(*kind), *code));
    own.or_else(|| extra.iter().find(|(name, _)| *name == text).map(|(_, kind)| (Some(*kind), None)))
}

/// Whether pve-firewall knows the name (numbers apart).
pub(super) fn perl_name(text: &str, v6: bool) -> bool {
    (text == "any" && !v6) || (if v6 { V6 } else { V4 }).iter().any(|(name, ..)| *name == text)
}

/// Whether proxmox-firewall takes the text. Its table has `reject-route'`, with the quote, so the name itself is
/// refused.
pub(super) fn strict_name(text: &str, v6: bool) -> bool {
    text.eq_ignore_ascii_case("any") || (icmp_numbers(text, v6).is_some() && text != "reject-route")
}
