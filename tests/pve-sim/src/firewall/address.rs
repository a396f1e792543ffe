//! Addresses and ports in rules, sets and aliases, as the real parser takes them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Family;
use super::names::{is_icmp_type, is_icmp6_type, is_service};

/// What is said of a value that is neither an address nor a network.
pub const NO_ADDRESS: &str = "value does not look like a valid IP address or CIDR network";

/// Whether the text is a name as aliases, sets and groups have them: a letter, then letters, digits, `-`, `_`.
pub fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && text.len() > 1
        && letters.all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_'))
}

/// Splits `dc/name` or `guest/name` into scope and name; the scope is empty without one.
pub fn scoped<'t>(text: &'t str, scopes: &[&'static str]) -> Option<(&'static str, &'t str)> {
    let found = scopes.iter().find_map(|scope| Some((*scope, text.strip_prefix(scope)?)));
    let (scope, name) = found.unwrap_or(("", text));
    is_name(name).then_some((scope, name))
}

/// Scopes that an alias may have.
pub const ALIAS_SCOPES: [&str; 2] = ["dc/", "guest/"];
/// Scopes that a set may have.
pub const SET_SCOPES: [&str; 3] = ["guest/", "dc/", "sdn/"];

/// An address or network without a prefix that says nothing (/32, /128). Prefixes are not checked further.
pub fn ip_or_cidr(text: &str) -> Result<(String, Family), String> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let digits = prefix.is_none_or(|prefix| !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit()));
    let whole = |family: Family, full: &str| {
        let cut = text.strip_suffix(full).unwrap_or(text);
        Ok((cut.to_owned(), family))
    };
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) if digits => whole(Family::V4, "/32"),
        Ok(IpAddr::V6(_)) if digits => whole(Family::V6, "/128"),
        _ => Err(NO_ADDRESS.to_owned()),
    }
}

/// A network with the bits behind its prefix cleared, as the API stores it.
pub fn cleaned(text: &str) -> String {
    text.parse::<ipnet::IpNet>().map_or_else(
        |_| text.to_owned(),
        |net| match net.trunc() {
            ipnet::IpNet::V6(net) => format!("{}/{}", compressed(net.network()), net.prefix_len()),
            ipnet::IpNet::V4(net) => net.to_string(),
        },
    )
}

/// An IPv6 address with its longest run of zero groups left out; never with an IPv4 tail.
pub fn compressed(address: Ipv6Addr) -> String {
    let [.., g, h] = address.segments();
    let shown = address.to_string();
    match shown.rsplit_once(':') {
        Some((head, tail)) if tail.contains('.') => format!("{head}:{g:x}:{h:x}"),
        _ => shown,
    }
}

/// Checks what stands behind `-source` or `-dest`; the family where the text itself tells it.
pub fn address_list(text: &str) -> Result<Option<Family>, String> {
    if let Some(set) = text.strip_prefix('+')
        && !set.is_empty()
    {
        return if text.len() > 65 { Err("ipset name too long".to_owned()) } else { Ok(None) };
    }
    if scoped(text, &ALIAS_SCOPES).is_some() {
        return if text.len() > 64 { Err("alias name too long".to_owned()) } else { Ok(None) };
    }
    if text.ends_with(',') {
        return Err("extraneous commas in list".to_owned());
    }
    let mut family = None;
    let elements: Vec<&str> = text.split(',').collect();
    for element in &elements {
        let of_this = range_or_network(element).map_err(|error| format!("invalid IP address: {error}"))?;
        if family.is_some_and(|before| before != of_this) {
            return Err(format!("detected mixed ipv4/ipv6 addresses in address list '{text}'"));
        }
        family = Some(of_this);
    }
    if elements.len() > 1 && text.contains('-') {
        return Err("you can't use a range in a list".to_owned());
    }
    Ok(family)
}

/// One element: an address (IPv4 with missing quads, too), a network without host bits, or a range.
fn range_or_network(text: &str) -> Result<Family, String> {
    if let Some((address, prefix)) = text.split_once('/').filter(|(address, _)| !address.is_empty()) {
        return network(expanded(address)?, prefix);
    }
    let Some((first, last)) = text.split_once('-') else {
        return expanded(text).map(Family::of);
    };
    let (begin, end) = (expanded(first.trim_end())?, expanded(last.trim_start())?);
    if Family::of(begin) != Family::of(end) {
        return Err(format!("Begin and End addresses have different IP versions - {begin} - {end}"));
    }
    if begin > end {
        return Err(format!("Begin address is greater than End address {begin} - {end}"));
    }
    Ok(Family::of(begin))
}

fn network(address: IpAddr, prefix: &str) -> Result<Family, String> {
    let (bits, length) = match address {
        IpAddr::V4(v4) => (format!("{:032b}", u32::from(v4)), 32),
        IpAddr::V6(v6) => (format!("{:0128b}", u128::from(v6)), 128),
    };
    let Ok(given) = prefix.parse::<usize>() else {
        return Ok(Family::of(address));
    };
    if given > length {
        return Err(format!("Prefix length {given} is longer than IP address ({length})"));
    }
    if bits[given..].contains('1') {
        return Err(format!("Invalid prefix {bits}/{given}"));
    }
    Ok(Family::of(address))
}

fn expanded(text: &str) -> Result<IpAddr, String> {
    if text.contains(':') {
        return text.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| format!("Invalid IP address {text}"));
    }
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(format!("Invalid chars in IP {text}"));
    }
    if text.starts_with('.') {
        return Err(format!("Invalid IP {text} - starts with a dot"));
    }
    if text.ends_with('.') {
        return Err(format!("Invalid IP {text} - ends with a dot"));
    }
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() > 4 {
        return Err(format!("Invalid IP address {text}"));
    }
    if parts.contains(&"") {
        return Err(format!("Empty quad in IP address {text}"));
    }
    let mut quads = [0_u8; 4];
    for (quad, part) in quads.iter_mut().zip(&parts) {
        *quad = part.parse().map_err(|_| format!("Invalid quad in IP address {text} - {part}"))?;
    }
    Ok(IpAddr::V4(Ipv4Addr::from(quads)))
}

/// Checks a list of ports; says whether it has more than one entry. ICMP types count as ports where `icmp` allows.
pub fn port_list(text: &str, icmp: bool) -> Result<bool, String> {
    if text.ends_with(',') {
        return Err("extraneous commas in list".to_owned());
    }
    let elements: Vec<&str> = text.split(',').collect();
    let (mut count, mut has_icmp) = (0, false);
    for item in &elements {
        match item.split_once(':').map(|(first, last)| (numeric(first), numeric(last))) {
            Some((Some(first), Some(last))) => {
                count += 2;
                let (first, last) = (in_range(first)?, in_range(last)?);
                if first > last {
                    return Err(format!(
                        "backwards range '{first}:{last}' not allowed, did you mean '{last}:{first}'?"
                    ));
                }
            }
            _ => match numeric(item) {
                Some(port) => {
                    count += 1;
                    in_range(port)?;
                }
                None if icmp && (is_icmp_type(item) || is_icmp6_type(item)) => has_icmp = true,
                None if is_service(item) => {}
                None => return Err(format!("invalid port '{item}'")),
            },
        }
    }
    if has_icmp && count > 0 {
        return Err("ICMP ports not allowed in port range".to_owned());
    }
    if count > 15 {
        return Err("too many entries in port list (> 15 numbers)".to_owned());
    }
    Ok(elements.len() > 1)
}

fn numeric(text: &str) -> Option<&str> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
}

fn in_range(text: &str) -> Result<u32, String> {
    text.parse::<u32>().ok().filter(|port| *port <= 65535).ok_or_else(|| format!("invalid port '{text}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_as_the_real_parser_takes_them() {
        assert_eq!(address_list("10.0.0.0/8,192.0.2.7"), Ok(Some(Family::V4)));
        assert_eq!(address_list("192.0.2.1-192.0.2.9"), Ok(Some(Family::V4)));
        assert_eq!(address_list("10/8"), Ok(Some(Family::V4)));
        assert_eq!(address_list("2001:db8::/32"), Ok(Some(Family::V6)));
        assert_eq!(address_list("dc/jump"), Ok(None));
        for wrong in [
            "10.0.0.5/24",
            "10.0.0.300",
            "10.0.0.1,fd00::1",
            "10.0.0.9-10.0.0.1",
            "10.0.0.1,",
            "1.2.3.4-1.2.3.5,1.2.3.9",
        ] {
            assert!(address_list(wrong).is_err(), "{wrong}");
        }
        assert_eq!(ip_or_cidr("10.77.0.2/32"), Ok(("10.77.0.2".to_owned(), Family::V4)));
        assert_eq!(ip_or_cidr("10.77.0.5/24"), Ok(("10.77.0.5/24".to_owned(), Family::V4)));
        assert!(ip_or_cidr("10.0.0.300").is_err());
        assert_eq!(cleaned("10.77.0.1/24"), "10.77.0.0/24");
    }

    #[test]
    fn ports_are_counted() {
        assert_eq!(port_list("22,8006", false), Ok(true));
        assert_eq!(port_list("ssh", false), Ok(false));
        assert_eq!(port_list("99999", false), Err("invalid port '99999'".to_owned()));
        assert!(port_list("9:1", false).is_err());
        assert!(port_list("echo-request", false).is_err());
        assert_eq!(port_list("echo-request", true), Ok(false));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}") {
            let _ = (address_list(&text), port_list(&text, true), ip_or_cidr(&text), cleaned(&text));
        }
    }
}
