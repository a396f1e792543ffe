//! The firewall of every member, before and after.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::CLUSTER_FW;
use crate::change::{Action, Change};
use crate::facts::{Facts, FileKind, Reading};
use crate::firewall::{Inputs, Model, NodeAddresses};
use crate::pve::cluster::{self, Corosync};
use crate::pve::firewall::{Backend, ClusterFw, HostFw};

/// The files before and after the changes, and what they mean for each member.
pub struct Sides<'a> {
    facts: &'a Facts,
    changes: &'a [Change],
    /// This node's name.
    pub own: String,
    pub before: Side,
    pub after: Side,
    /// corosync.conf on a member of a cluster.
    pub corosync: Option<Corosync>,
    /// Addresses of every member by node name, PVE's own choice first.
    pub addresses: BTreeMap<String, Vec<IpAddr>>,
    names: BTreeMap<String, IpAddr>,
    /// The node's clock.
    pub now: Option<i64>,
}

/// One point of time.
pub struct Side {
    /// cluster.fw as this node's backend reads it.
    pub cluster: ClusterFw,
    /// This node's backend.
    pub backend: Backend,
    /// Models by node name.
    pub models: BTreeMap<String, Model>,
}

impl<'a> Sides<'a> {
    pub fn of(facts: &'a Facts, changes: &'a [Change]) -> Result<Self, String> {
        let own = facts.node_name.required("the node's name")?.clone();
        let corosync = match &facts.cluster {
            Reading::Known(_) => {
                let text = facts.text("/etc/pve/corosync.conf");
                Some(cluster::corosync(text.required("/etc/pve/corosync.conf")?)?)
            }
            Reading::Absent => None,
            other => {
                other.certain()?;
                None
            }
        };
        let empty = || Side {
            cluster: ClusterFw::parse("", Backend::Iptables),
            backend: Backend::Iptables,
            models: BTreeMap::new(),
        };
        let now = facts.taken.known().map(|taken| taken.as_second());
        let names = hosts(facts.text("/etc/hosts").known().map_or("", String::as_str));
        let mut sides = Self {
            facts,
            changes,
            own,
            before: empty(),
            after: empty(),
            corosync,
            addresses: BTreeMap::new(),
            names,
            now,
        };
        sides.addresses = sides.all_addresses();
        sides.before = sides.side(false)?;
        sides.after = sides.side(true)?;
        Ok(sides)
    }

    /// A file after the changes; `None` where there is none.
    pub fn text(&self, path: &str) -> Result<Option<String>, String> {
        self.read(path, true)
    }

    fn read(&self, path: &str, after: bool) -> Result<Option<String>, String> {
        let planned = self.changes.iter().rev().find_map(|change| match &change.action {
            Action::File(file) if after && same(&file.path, path, &self.own) => Some(&file.after),
            _ => None,
        });
        if let Some(image) = planned {
            return Ok(image.as_ref().map(|image| image.content.clone()));
        }
        match self.facts.file(path).certain().map_err(|why| format!("{path}: {why}"))? {
            None => Ok(None),
            Some(fact) => match (&fact.kind, &fact.content) {
                (FileKind::Regular, Some(content)) => Ok(Some(content.clone())),
                _ => Err(format!("{path}: its content was not read: it is too large, or not text in UTF-8")),
            },
        }
    }

    fn side(&self, after: bool) -> Result<Side, String> {
        let text = self.read(CLUSTER_FW, after)?.unwrap_or_default();
        let mut models = BTreeMap::new();
        let mut own = None;
        for name in self.addresses.keys() {
            let host = self.read(&format!("/etc/pve/nodes/{name}/host.fw"), after)?.unwrap_or_default();
            let backend = HostFw::backend_of(&host);
            let cluster = ClusterFw::parse(&text, backend);
            let host = HostFw::parse(&host, &cluster);
            let inputs = Inputs {
                cluster: &cluster,
                host: &host,
                node: self.node(name),
                corosync: self.corosync.as_ref(),
                names: self.names.clone(),
                local_network: self.facts.network.local_network.known().copied().filter(|_| *name == self.own),
                now: self.now,
            };
            models.insert(name.clone(), Model::new(&inputs));
            if *name == self.own {
                own = Some((backend, cluster));
            }
        }
        let (backend, cluster) = own.ok_or("the node's own addresses are not known")?;
        Ok(Side { cluster, backend, models })
    }

    /// Addresses with the prefix lengths of this node's networks, which its peers share.
    fn node(&self, name: &str) -> NodeAddresses {
        let own = self.facts.addresses.known().map_or(&[][..], Vec::as_slice);
        let addresses = self.addresses.get(name).cloned().unwrap_or_default();
        let networks = if name == self.own {
            own.to_vec()
        } else {
            let shared = |address: &IpAddr| own.iter().find(|net| net.contains(address)).map(IpNet::prefix_len);
            addresses
                .iter()
                .filter_map(|address| {
                    let host = if address.is_ipv4() { 32 } else { 128 };
                    IpNet::new(*address, shared(address).unwrap_or(host)).ok()
                })
                .collect()
        };
        NodeAddresses { name: name.to_owned(), resolves_to: addresses.into_iter().take(1).collect(), networks }
    }

    fn all_addresses(&self) -> BTreeMap<String, Vec<IpAddr>> {
        let mut found: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
        let mut own: Vec<IpAddr> = self.facts.network.node_address.known().copied().into_iter().collect();
        let every = self.facts.addresses.known().into_iter().flatten().map(IpNet::addr);
        own.extend(every.filter(|address| !is_local(address)));
        found.insert(self.own.clone(), own);
        let members = self.facts.text("/etc/pve/.members");
        let members = members.known().and_then(|text| cluster::members(text).ok()).unwrap_or_default();
        for peer in self.facts.cluster.known().into_iter().flat_map(|cluster| &cluster.peers) {
            let chosen = members.nodelist.get(&peer.name).and_then(|member| member.ip.as_ref()?.parse().ok());
            let all: Vec<IpAddr> = chosen.into_iter().chain(peer.addresses.iter().copied()).collect();
            found.insert(peer.name.clone(), all);
        }
        for addresses in found.values_mut() {
            let mut seen = BTreeSet::new();
            addresses.retain(|address| seen.insert(*address));
        }
        found
    }

    /// The address of a corosync link.
    pub fn link(&self, node: &str, link: u8) -> Option<IpAddr> {
        let conf = self.corosync.as_ref()?;
        let node = conf.nodes.iter().find(|found| found.name.as_deref() == Some(node))?;
        let text = node.links.get(&link)?;
        text.parse().ok().or_else(|| self.names.get(text).copied())
    }
}

/// /etc/pve/local is a link to the node's own folder.
fn same(path: &str, wanted: &str, own: &str) -> bool {
    let full = path.strip_prefix("/etc/pve/local/").map(|rest| format!("/etc/pve/nodes/{own}/{rest}"));
    path == wanted || full.as_deref() == Some(wanted)
}

pub fn is_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local(),
    }
}

/// /etc/hosts: names and their first address.
fn hosts(text: &str) -> BTreeMap<String, IpAddr> {
    let mut names = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else { continue };
        for name in words {
            names.entry(name.to_owned()).or_insert(address);
        }
    }
    names
}
