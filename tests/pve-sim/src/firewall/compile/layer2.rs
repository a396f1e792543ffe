//! The bridge's chains: hardware addresses and ARP.

use super::guests::interface;
use super::{Chains, add, create};
use crate::firewall::Family;
use crate::firewall::address::ip_or_cidr;
use crate::firewall::node::{Card, Guest, Node};

/// The chains of ebtables.
pub fn chains(node: &Node) -> Result<Chains, String> {
    let mut made = Chains::new();
    for chain in ["PVEFW-FORWARD", "PVEFW-FWBR-OUT"] {
        create(&mut made, chain)?;
    }
    add(&mut made, "PVEFW-FORWARD", "-p IPv4", "-j ACCEPT");
    add(&mut made, "PVEFW-FORWARD", "-p IPv6", "-j ACCEPT");
    add(&mut made, "PVEFW-FORWARD", "-o fwln+", "-j PVEFW-FWBR-OUT");
    for guest in node.guests.iter().filter(|guest| guest.config.is_on("enable")) {
        for (number, card) in &guest.cards {
            one(&mut made, guest, *number, card)?;
        }
    }
    Ok(made)
}

fn one(made: &mut Chains, guest: &Guest, number: u32, card: &Card) -> Result<(), String> {
    let iface = interface(guest, number);
    let chain = format!("{iface}-OUT");
    create(made, &chain)?;
    if !guest.config.is_off("macfilter") {
        add(made, &chain, &format!("-s ! {}", short(&card.mac)), "-j DROP");
    }
    let addresses = arp_addresses(guest, number, card);
    if !addresses.is_empty() {
        let arp = format!("{chain}-ARP");
        add(made, &chain, "-p ARP", &format!("-j {arp}"));
        create(made, &arp)?;
        for address in addresses {
            add(made, &arp, &format!("-p ARP --arp-ip-src {address}"), "-j RETURN");
        }
        add(made, &arp, "", "-j DROP");
    }
    if let Some(protocols) = guest.config.text("layer2_protocols") {
        let allowed = format!("{chain}-PROTO");
        add(made, &chain, "", &format!("-j {allowed}"));
        create(made, &allowed)?;
        for protocol in protocols.split(',') {
            add(made, &allowed, &format!("-p {protocol}"), "-j RETURN");
        }
        add(made, &allowed, "", "-j DROP");
    }
    add(made, &chain, "", "-j ACCEPT");
    add(made, "PVEFW-FWBR-OUT", &format!("-i {iface}"), &format!("-j {chain}"));
    Ok(())
}

/// ebtables leaves leading zeros out.
fn short(mac: &str) -> String {
    let parts = mac.split(':').map(|part| match part.strip_prefix('0') {
        Some(rest) if rest.len() == 1 => rest.to_lowercase(),
        _ => part.to_lowercase(),
    });
    parts.collect::<Vec<_>>().join(":")
}

fn arp_addresses(guest: &Guest, number: u32, card: &Card) -> Vec<String> {
    let set = guest.config.ipsets.get(&format!("ipfilter-net{number}"));
    let entries = set.into_iter().flat_map(|set| &set.entries);
    let mut all: Vec<String> = entries
        .filter_map(|entry| ip_or_cidr(&entry.cidr).ok())
        .filter(|(_, family)| *family == Family::V4)
        .map(|(cidr, _)| cidr)
        .collect();
    if let Some(ip) = card.ip.as_deref().filter(|ip| *ip != "dhcp" && guest.config.is_on("ipfilter")) {
        all.push(ip.split('/').next().unwrap_or_default().to_owned());
    }
    all
}
