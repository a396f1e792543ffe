//! Sets of addresses.

use std::collections::BTreeMap;

use super::Chains;
use crate::firewall::Family;
use crate::firewall::address::{ALIAS_SCOPES, compressed, ip_or_cidr, scoped};
use crate::firewall::config::{Alias, Config, Entry, Scope, Set, resolve};
use crate::firewall::node::{Guest, Node};

/// The kernel's limit for the names of sets, less what PVE puts around them.
const LONGEST: usize = 31 - "PVEFW-".len() - "_swap".len();

/// The name of a set in the kernel; a long one is replaced by a number made from it.
pub fn chain_name(vmid: u32, name: &str, family: Family) -> String {
    let id = format!("{vmid}-{name}-v{}", family.number());
    if id.len() > LONGEST { format!("PVEFW-{:X}", fnv31a(&id)) } else { format!("PVEFW-{id}") }
}

fn fnv31a(text: &str) -> u32 {
    let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash & 0x7fff_ffff
}

/// The node's own network is part of `management`, twice over, unless an alias narrows it.
pub fn add_local_network(node: &mut Node) {
    let cidr = if let Some(alias) = node.cluster.aliases.get("local_network") {
        alias.cidr.clone()
    } else {
        let found = node.local_network.map_or_else(|| "127.0.0.0/8".to_owned(), |net| net.to_string());
        let (cidr, family) = ip_or_cidr(&found).unwrap_or((found, Family::V4));
        let alias = Alias {
            name: "local_network".to_owned(),
            cidr: cidr.clone(),
            family: Some(family),
            comment: String::new(),
        };
        node.cluster.aliases.insert("local_network".to_owned(), alias);
        cidr
    };
    let entry = Entry { cidr, ..Entry::default() };
    node.cluster.ipsets.entry("management".to_owned()).or_default().entries.extend([entry.clone(), entry]);
}

/// All sets, guests' and the datacenter's.
pub fn all(node: &Node, warnings: &mut Vec<String>) -> Chains {
    let mut made = Chains::new();
    for guest in &node.guests {
        let extra = card_addresses(guest);
        let mut own = guest.config.ipsets.clone();
        if guest.config.is_on("ipfilter") {
            for number in guest.cards.keys() {
                own.entry(format!("ipfilter-net{number}")).or_default();
            }
        }
        for (name, set) in &own {
            let mut entries = set.entries.clone();
            entries.extend(extra.get(name).cloned().unwrap_or_default());
            commands(&mut made, (Some(&node.cluster), &guest.config), name, &entries, warnings);
        }
    }
    for (name, Set { entries, .. }) in &node.cluster.ipsets {
        commands(&mut made, (None, &node.cluster), name, entries, warnings);
    }
    made
}

/// What a card may always send from: its link-local address, and a container's configured addresses.
fn card_addresses(guest: &Guest) -> BTreeMap<String, Vec<Entry>> {
    let plain = |cidr: String| Entry { cidr, ..Entry::default() };
    let cards = guest.cards.iter().map(|(number, card)| {
        let mut entries = vec![
            plain(link_local(&card.mac)),
            Entry { cidr: "fe80::/10".to_owned(), nomatch: true, ..Entry::default() },
        ];
        for address in [&card.ip, &card.ip6].into_iter().flatten() {
            let address = address.split('/').next().unwrap_or_default();
            if address.parse::<std::net::IpAddr>().is_ok() {
                entries.push(plain(address.to_owned()));
            }
        }
        (format!("ipfilter-net{number}"), entries)
    });
    cards.collect()
}

fn link_local(mac: &str) -> String {
    let parts: Vec<&str> = mac.split(':').collect();
    let (Some(head), [.., fourth, fifth, sixth]) = (parts.first(), parts.as_slice()) else { return String::new() };
    let (Some(second), Some(third), 6) = (parts.get(1), parts.get(2), parts.len()) else { return String::new() };
    let first = u8::from_str_radix(head, 16).unwrap_or_default() ^ 2;
    format!("fe80::{first:02x}{second}:{third}FF:FE{fourth}:{fifth}{sixth}")
}

fn commands(
    made: &mut Chains,
    (cluster, own): (Option<&Config>, &Config),
    name: &str,
    entries: &[Entry],
    warnings: &mut Vec<String>,
) {
    let mut networks: BTreeMap<(Family, String), bool> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.error.is_none()) {
        match network(cluster, own, &entry.cidr) {
            Ok((cidr, family)) => {
                networks.insert((family, cidr), entry.nomatch);
            }
            Err(message) => warnings.push(message),
        }
    }
    let size = if entries.len() <= 64 { 64 } else { entries.len().next_power_of_two() };
    let vmid = if let Scope::Guest(vmid) = own.scope { vmid } else { 0 };
    for family in Family::BOTH {
        let chain = chain_name(vmid, name, family);
        let inet = if family == Family::V6 { "inet6" } else { "inet" };
        let mut lines =
            vec![format!("create {chain} hash:net family {inet} hashsize {size} maxelem {size} bucketsize 12")];
        for ((_, cidr), nomatch) in networks.iter().filter(|((of, _), _)| *of == family) {
            lines.push(format!("add {chain} {cidr}{}", if *nomatch { " nomatch" } else { "" }));
        }
        made.insert(chain, lines);
    }
}

fn network(cluster: Option<&Config>, own: &Config, text: &str) -> Result<(String, Family), String> {
    let (cidr, family) = match scoped(text, &ALIAS_SCOPES) {
        Some((scope, name)) => {
            let alias = resolve(cluster, own, scope, name)?;
            (alias.cidr.clone(), alias.family.unwrap_or(Family::V4))
        }
        None => ip_or_cidr(text)?,
    };
    if family == Family::V4 {
        return Ok((cidr.strip_suffix("/32").unwrap_or(&cidr).to_owned(), family));
    }
    let (address, prefix) = cidr.split_once('/').map_or((cidr.as_str(), None), |(net, len)| (net, Some(len)));
    let shown = address.parse().map_or_else(|_| address.to_owned(), compressed);
    Ok(match prefix {
        Some(prefix) if prefix != "128" => (format!("{shown}/{prefix}"), family),
        _ => (shown, family),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_become_numbers() {
        assert_eq!(chain_name(0, "management", Family::V4), "PVEFW-0-management-v4");
        let long = chain_name(0, "a-name-that-is-too-long", Family::V4);
        assert!(long.len() <= 14 && long.starts_with("PVEFW-"), "{long}");
    }
}
