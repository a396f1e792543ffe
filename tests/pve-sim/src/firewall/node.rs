//! What a compilation looks at: files, guests, the cluster's links and the node's own network.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::process::Command;

use ipnet::IpNet;

use super::config::{Config, Notice, Scope, load};
use crate::corosync::conf::Configuration;
use crate::host::Host;

/// A guest of this node that has a firewall file.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Its number.
    pub vmid: u32,
    /// A container, not a VM.
    pub container: bool,
    /// Its cards with `firewall=1`, by number.
    pub cards: BTreeMap<u32, Card>,
    /// Its firewall file.
    pub config: Config,
}

/// A network card of a guest.
#[derive(Clone, Debug, Default)]
pub struct Card {
    /// Hardware address.
    pub mac: String,
    /// IPv4 address of a container's card.
    pub ip: Option<String>,
    /// IPv6 address of a container's card.
    pub ip6: Option<String>,
}

/// Everything that is compiled.
#[derive(Clone, Debug)]
pub struct Node {
    /// Node name.
    pub name: String,
    /// The node's own address.
    pub address: Option<IpAddr>,
    /// The network that it is in.
    pub local_network: Option<IpNet>,
    /// The cluster's links.
    pub corosync: Option<Configuration>,
    /// cluster.fw
    pub cluster: Config,
    /// host.fw
    pub host: Config,
    /// Guests of this node, VMs before containers, by number as text.
    pub guests: Vec<Guest>,
    /// What reading the files says.
    pub notices: Vec<Notice>,
}

/// Reads cluster.fw.
pub fn cluster_config(host: &Host) -> (Config, Vec<Notice>) {
    load(&host.pve("firewall/cluster.fw"), "/etc/pve/firewall/cluster.fw", Scope::Cluster, None)
}

/// Reads host.fw.
pub fn host_config(host: &Host, cluster: &Config) -> (Config, Vec<Notice>) {
    load(&host.own("host.fw"), &format!("/etc/pve/nodes/{}/host.fw", host.name), Scope::Host, Some(cluster))
}

impl Node {
    /// Reads everything.
    pub fn read(host: &Host) -> Self {
        let (cluster, mut notices) = cluster_config(host);
        let (own, more) = host_config(host, &cluster);
        notices.extend(more);
        let (guests, more) = guests(host, &cluster);
        notices.extend(more);
        let address = host.address();
        let corosync = host.pve("corosync.conf");
        Self {
            name: host.name.clone(),
            address,
            local_network: address.and_then(network_of),
            corosync: corosync.is_file().then(|| Configuration::parse(&crate::files::text(&corosync)).ok()).flatten(),
            cluster,
            host: own,
            guests,
            notices,
        }
    }
}

/// The network of an address of this node, as the kernel has it.
pub fn network_of(address: IpAddr) -> Option<IpNet> {
    let output = Command::new("ip").args(["-o", "addr", "show"]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace()
        .filter_map(|word| word.parse::<IpNet>().ok())
        .find(|net| net.addr() == address)
        .map(|net| net.trunc())
}

fn guests(host: &Host, cluster: &Config) -> (Vec<Guest>, Vec<Notice>) {
    let (mut all, mut notices) = (Vec::new(), Vec::new());
    for (folder, container) in [("qemu-server", false), ("lxc", true)] {
        let Ok(entries) = std::fs::read_dir(host.own(folder)) else { continue };
        let mut numbers: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".conf").map(str::to_owned))
            .collect();
        numbers.sort();
        for (number, vmid) in numbers.iter().filter_map(|number| Some((number, number.parse::<u32>().ok()?))) {
            let shown = format!("/etc/pve/firewall/{vmid}.fw");
            let file = host.pve(&format!("firewall/{vmid}.fw"));
            let (config, more) = load(&file, &shown, Scope::Guest(vmid), Some(cluster));
            notices.extend(more);
            let text = crate::files::text(&host.own(&format!("{folder}/{number}.conf")));
            all.push(Guest { vmid, container, cards: cards(&text, container), config });
        }
    }
    (all, notices)
}

/// The cards of a guest that the firewall cares for; snapshots, which follow in brackets, have cards of their own.
fn cards(text: &str, container: bool) -> BTreeMap<u32, Card> {
    let lines = text.lines().take_while(|line| !line.starts_with('['));
    let found = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        let number = name.strip_prefix("net")?.parse().ok()?;
        let parts: BTreeMap<&str, &str> = value.trim().split(',').filter_map(|part| part.split_once('=')).collect();
        if parts.get("firewall") != Some(&"1") {
            return None;
        }
        // A VM's card has its address behind the model's name.
        let mac = if container {
            parts.get("hwaddr").copied()
        } else {
            value.trim().split(',').next().and_then(|first| first.split_once('=')).map(|(_, mac)| mac)
        };
        let of = |name: &str| parts.get(name).filter(|_| container).map(|value| (*value).to_owned());
        Some((number, Card { mac: mac.unwrap_or_default().to_owned(), ip: of("ip"), ip6: of("ip6") }))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cards_behind_the_firewall_count() {
        let text = "net0: virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1\nnet1: virtio=BC:24:11:00:00:02,bridge=vmbr0\n[snap]\nnet2: virtio=AA,firewall=1\n";
        let found = cards(text, false);
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), [0]);
        assert_eq!(found[&0].mac, "BC:24:11:00:00:01");
        let text = "net0: name=eth0,bridge=vmbr0,firewall=1,hwaddr=AA:BB:CC:DD:EE:FF,ip=10.0.0.5/24,type=veth\n";
        assert_eq!(cards(text, true)[&0].ip.as_deref(), Some("10.0.0.5/24"));
    }
}
