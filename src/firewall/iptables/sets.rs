//! Kernel sets (`generate_ipset_chains`).

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::super::kernel::Set;
use super::super::{Inputs, lookup};
use crate::pve::firewall::{Member, MemberAddress, NamePrefix};

/// `compute_ipset_chain_name` of a set of cluster.fw: the kernel takes 31 characters.
pub(super) fn kernel_name(name: &str, v6: bool) -> String {
    let id = format!("0-{name}-v{}", if v6 { 6 } else { 4 });
    if id.len() > 31 - "PVEFW-".len() - "_swap".len() {
        format!("PVEFW-{:X}", fnv31a(&id))
    } else {
        format!("PVEFW-{id}")
    }
}

/// `PVE::Tools::fnv31a`.
fn fnv31a(text: &str) -> u32 {
    let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash & 0x7fff_ffff
}

pub(super) fn all(inputs: &Inputs<'_>, v6: bool) -> BTreeMap<String, Set> {
    let (text, local) = lookup::local_network(inputs);
    let own = Member { line: 0, nomatch: false, address: MemberAddress::Network(text, local), comment: None };
    let empty = Vec::new();
    let ipsets = &inputs.cluster.config().ipsets;
    let management = ipsets.get("management").map_or(&empty, |set| &set.members);
    let mut sets = BTreeMap::new();
    for (name, set) in ipsets.iter().filter(|(name, _)| *name != "management") {
        sets.insert(kernel_name(name, v6), kernel_set(inputs, name, &set.members, v6));
    }
    // PVE adds the local network twice.
    let members: Vec<Member> = management.iter().cloned().chain([own.clone(), own]).collect();
    sets.insert(kernel_name("management", v6), kernel_set(inputs, "management", &members, v6));
    sets
}

fn kernel_set(inputs: &Inputs<'_>, name: &str, members: &[Member], v6: bool) -> Set {
    let mut found: BTreeMap<String, (IpNet, bool)> = BTreeMap::new();
    for member in members {
        let (text, net) = match &member.address {
            MemberAddress::Network(text, net) => (text.clone(), *net),
            MemberAddress::Alias(Some(NamePrefix::Guest), _) => continue,
            MemberAddress::Alias(_, alias) => match inputs.cluster.config().alias(alias) {
                Some(alias) => (alias.cidr.clone(), alias.network),
                None => continue,
            },
        };
        if net.addr().is_ipv6() == v6 {
            found.insert(if v6 { compressed(&text, net) } else { text }, (net.trunc(), member.nomatch));
        }
    }
    let kernel = kernel_name(name, v6);
    let size = if members.len() <= 64 { 64 } else { members.len().next_power_of_two() };
    let family = if v6 { "inet6" } else { "inet" };
    let mut text =
        vec![format!("create {kernel} hash:net family {family} hashsize {size} maxelem {size} bucketsize 12")];
    text.extend(
        found
            .iter()
            .map(|(cidr, (_, nomatch))| format!("add {kernel} {cidr}{}", if *nomatch { " nomatch" } else { "" })),
    );
    Set { members: found.into_values().collect(), text, most_specific: true }
}

fn compressed(text: &str, net: IpNet) -> String {
    let length = text.split_once('/').map_or(String::new(), |(_, length)| format!("/{length}"));
    format!("{}{}", net.addr(), if length == "/128" { String::new() } else { length })
}
