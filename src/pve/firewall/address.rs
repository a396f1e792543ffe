//! Addresses in rules, aliases and sets.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use serde::Serialize;

use super::{Backend, NamePrefix};

/// `-source` or `-dest` of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Address {
    /// As written.
    pub text: String,
    /// What it means.
    pub kind: AddressKind,
}

/// What an [`Address`] refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum AddressKind {
    /// `+name`, `+dc/name`, `+guest/name`, `+sdn/name`.
    Ipset(Option<NamePrefix>, String),
    /// `name`, `dc/name`, `guest/name`.
    Alias(Option<NamePrefix>, String),
    /// Addresses, networks and one range, of one family.
    List(Vec<AddressRange>),
}

/// First and last address, of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct AddressRange {
    /// First address.
    pub first: IpAddr,
    /// Last address.
    pub last: IpAddr,
}

impl AddressRange {
    /// Whether the address lies in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.first.is_ipv4() == address.is_ipv4() && self.first <= address && address <= self.last
    }
}

impl From<IpNet> for AddressRange {
    fn from(net: IpNet) -> Self {
        Self { first: net.network(), last: net.broadcast() }
    }
}

impl Address {
    /// The family of a list; sets and aliases have none of their own.
    pub fn is_v6(&self) -> Option<bool> {
        match &self.kind {
            AddressKind::List(ranges) => ranges.first().map(|range| range.first.is_ipv6()),
            _ => None,
        }
    }

    pub(super) fn parse(text: &str, backend: Backend) -> Result<Self, String> {
        let kind = match backend {
            Backend::Iptables => perl(text)?,
            Backend::Nftables => strict(text)?,
        };
        Ok(Self { text: text.to_owned(), kind })
    }
}

/// `PVE::Firewall::parse_address_list`.
fn perl(text: &str) -> Result<AddressKind, String> {
    if let Some(name) = text.strip_prefix('+') {
        if name.len() > 64 {
            return Err("ipset name too long".into());
        }
        return match prefixed(name, &[NamePrefix::Guest, NamePrefix::Dc, NamePrefix::Sdn]) {
            Some((prefix, name)) => Ok(AddressKind::Ipset(prefix, name.to_owned())),
            None => Err(format!("invalid ipset name '{text}'")),
        };
    }
    if let Some((prefix, name)) = prefixed(text, &[NamePrefix::Guest, NamePrefix::Dc]) {
        if text.len() > 64 {
            return Err("alias name too long".into());
        }
        return Ok(AddressKind::Alias(prefix, name.to_owned()));
    }
    if text.starts_with(',') || text.ends_with(',') || text.contains(",,") {
        return Err("extraneous commas in list".into());
    }
    let elements: Vec<&str> = text.split(',').collect();
    let ranges = elements
        .iter()
        .map(|element| range(element, Backend::Iptables).ok_or_else(|| "invalid IP address".to_owned()))
        .collect::<Result<Vec<_>, _>>()?;
    one_family(&ranges).ok_or_else(|| format!("detected mixed ipv4/ipv6 addresses in address list '{text}'"))?;
    if elements.len() > 1 && text.contains('-') {
        return Err("you can't use a range in a list".into());
    }
    Ok(AddressKind::List(ranges))
}

/// `IpAddrMatch::from_str` of proxmox-ve-config.
fn strict(text: &str) -> Result<AddressKind, String> {
    let ranges: Option<Vec<_>> = text.split(',').map(|element| range(element, Backend::Nftables)).collect();
    if let Some(ranges) = ranges.filter(|ranges| one_family(ranges).is_some()) {
        return Ok(AddressKind::List(ranges));
    }
    let known = [NamePrefix::Dc, NamePrefix::Guest, NamePrefix::Sdn];
    if let Some(name) = text.strip_prefix('+') {
        // A name behind a prefix is not checked there.
        let scoped = name.split_once('/').filter(|(_, name)| !name.is_empty());
        if let Some((prefix, name)) = scoped {
            if let Some(prefix) = known.iter().find(|known| known.word() == prefix) {
                return Ok(AddressKind::Ipset(Some(*prefix), name.to_owned()));
            }
        } else if is_strict_name(name) {
            return Ok(AddressKind::Ipset(None, name.to_owned()));
        }
    } else if let Some((prefix, name)) = text.split_once('/').filter(|(_, name)| !name.is_empty()) {
        if let Some(prefix) = known[..2].iter().find(|known| known.word() == prefix) {
            return Ok(AddressKind::Alias(Some(*prefix), name.to_ascii_lowercase()));
        }
    } else if is_strict_name(text) {
        return Ok(AddressKind::Alias(None, text.to_ascii_lowercase()));
    }
    Err(format!("invalid IP specification: {text}"))
}

fn one_family(ranges: &[AddressRange]) -> Option<bool> {
    let v6 = ranges.first()?.first.is_ipv6();
    ranges.iter().all(|range| range.first.is_ipv6() == v6).then_some(v6)
}

/// An address, a network or `first-last`. Perl's `Net::IP` wants networks without host bits and takes short IPv4
/// addresses (`10/8`).
fn range(text: &str, backend: Backend) -> Option<AddressRange> {
    if let Some((first, last)) = text.split_once('-') {
        let (first, last) = (first.parse::<IpAddr>().ok()?, last.parse::<IpAddr>().ok()?);
        let ordered = first.is_ipv4() == last.is_ipv4() && first <= last;
        return ordered.then_some(AddressRange { first, last });
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(AddressRange { first: address, last: address });
    }
    let net = match text.parse::<IpNet>() {
        Ok(net) => net,
        Err(_) if backend == Backend::Iptables => short_ipv4(text)?,
        Err(_) => return None,
    };
    let clean = net.addr() == net.network();
    (clean || backend == Backend::Nftables).then(|| AddressRange::from(net))
}

fn short_ipv4(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/').unwrap_or((text, "32"));
    let parts = address.split('.').map(|part| part.parse::<u8>().ok()).collect::<Option<Vec<u8>>>()?;
    let mut octets = [0; 4];
    octets.get_mut(..parts.len())?.copy_from_slice(&parts);
    IpNet::new(Ipv4Addr::from(octets).into(), length.parse().ok()?).ok()
}

/// A name with or without one of the prefixes (`[A-Za-z][A-Za-z0-9-_]+`: two characters at least).
pub(super) fn prefixed<'a>(text: &'a str, prefixes: &[NamePrefix]) -> Option<(Option<NamePrefix>, &'a str)> {
    for prefix in prefixes {
        if let Some(name) = text.strip_prefix(prefix.word()).and_then(|rest| rest.strip_prefix('/')) {
            return is_perl_name(name).then_some((Some(*prefix), name));
        }
    }
    is_perl_name(text).then_some((None, text))
}

/// Names of sets, groups and aliases in pve-firewall.
pub(super) fn is_perl_name(name: &str) -> bool {
    name.len() >= 2 && is_strict_name(name)
}

/// Names in proxmox-firewall (`match_name`).
pub(super) fn is_strict_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// An address or network as a set or alias has it (`PVE::Firewall::parse_ip_or_cidr`): the text without a full prefix
/// length, and what it covers. `Err` for what is neither; `Ok` with no network for a prefix length that is too long,
/// which pve-firewall takes and the kernel refuses.
pub fn cidr(text: &str) -> Result<(String, Option<IpNet>), String> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let wrong = || "value does not look like a valid IP address or CIDR network".to_owned();
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let full = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => Some(full),
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
        Some(_) => return Err(wrong()),
    };
    let net = length.and_then(|length| IpNet::new(address, length).ok());
    let short = text.strip_suffix(if address.is_ipv4() { "/32" } else { "/128" }).unwrap_or(text);
    Ok((short.to_owned(), net))
}
