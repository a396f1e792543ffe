//! Names of cluster.fw and the networks that PVE finds out by itself.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Inputs, RuleRef};
use crate::pve::firewall::{Alias, NamePrefix, Rule, cidr};

/// An alias as a rule of cluster.fw, host.fw or a group finds it.
pub(super) fn alias<'a>(inputs: &Inputs<'a>, prefix: Option<NamePrefix>, name: &str) -> Option<&'a Alias> {
    let cluster = inputs.cluster;
    (prefix != Some(NamePrefix::Guest)).then(|| cluster.config().alias(name)).flatten()
}

/// The reference to a rule of a file.
pub(super) fn origin(file: &str, rule: &Rule) -> RuleRef {
    RuleRef::File { file: file.into(), line: rule.line, text: rule.text.clone() }
}

/// The alias `local_network`, or the network PVE detects: text as PVE prints it, and the network.
pub(super) fn local_network(inputs: &Inputs<'_>) -> (String, IpNet) {
    if let Some(alias) = inputs.cluster.config().alias("local_network") {
        return (alias.cidr.clone(), alias.network);
    }
    let own = inputs.node.resolves_to.first();
    let detected = inputs.local_network.or_else(|| {
        let holds = |net: &&IpNet| own.is_some_and(|address| net.contains(address));
        inputs.node.networks.iter().find(holds).map(IpNet::trunc)
    });
    // `local_network() || '127.0.0.0/8'`
    let net = detected.unwrap_or_else(|| IpNet::from(ipnet::Ipv4Net::new_assert([127, 0, 0, 0].into(), 8)));
    let text = net.to_string();
    (cidr(&text).map_or(text, |(short, _)| short), net)
}

/// The networks that proxmox-firewall adds to the management set (`HostConfig::management_ips`).
pub(super) fn management_networks(inputs: &Inputs<'_>) -> Vec<IpNet> {
    if let Some(alias) = inputs.cluster.config().alias("local_network") {
        return vec![alias.network];
    }
    if let Some(network) = inputs.local_network {
        return vec![network];
    }
    let holds = |net: &&IpNet| inputs.node.resolves_to.iter().any(|address| net.contains(address));
    inputs.node.networks.iter().filter(holds).copied().collect()
}

/// Node, link and address of every corosync link of one family, sorted by node and link
/// (`PVE::Corosync::for_all_corosync_addresses`).
pub(super) fn corosync_addresses(inputs: &Inputs<'_>, v6: bool) -> Vec<(String, u8, IpAddr)> {
    let Some(corosync) = inputs.corosync else { return Vec::new() };
    let mut found = Vec::new();
    for node in &corosync.nodes {
        let Some(name) = &node.name else { continue };
        for (link, address) in &node.links {
            let parsed = address.parse().ok().or_else(|| inputs.names.get(address).copied());
            if let Some(address) = parsed.filter(|address: &IpAddr| address.is_ipv6() == v6) {
                found.push((name.clone(), *link, address));
            }
        }
    }
    found.sort();
    found
}
