//! Cluster membership out of corosync.conf, `.members`, resolved names and datacenter.cfg.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::sections::Sections;
use super::system::address;
use super::{Cluster, FileFact, Peer, Reading};
use crate::pve::cluster::{Corosync, Members};
use crate::pve::{self, datacenter};

/// What membership is judged by.
pub(super) struct Sources<'a> {
    pub(super) sections: Sections<'a>,
    pub(super) files: &'a BTreeMap<String, Reading<FileFact>>,
    pub(super) is_pve: bool,
    pub(super) mounted: bool,
    pub(super) node_name: Option<&'a str>,
    pub(super) own: &'a [IpNet],
}

impl Sources<'_> {
    /// Absent on a standalone node. With pmxcfs stopped corosync's own copy tells the members, without quorum.
    pub(super) fn cluster(&self) -> Reading<Cluster> {
        let path = if self.mounted { "/etc/pve/corosync.conf" } else { "/etc/corosync/corosync.conf" };
        let corosync = match super::text_of(self.files, path) {
            Reading::Known(text) => pve::cluster::corosync(&text),
            Reading::Absent if self.mounted || !self.is_pve => return Reading::Absent,
            Reading::Absent => {
                return Reading::Unreadable("/etc/pve is not mounted, so membership cannot be told".into());
            }
            Reading::Unreadable(why) => Err(why),
            Reading::NotAsked => return Reading::NotAsked,
        };
        let corosync = match corosync {
            Ok(corosync) => corosync,
            Err(why) => return Reading::Unreadable(why),
        };
        let members = match super::text_of(self.files, "/etc/pve/.members") {
            Reading::Known(text) if self.mounted => pve::cluster::members(&text),
            Reading::Unreadable(why) if self.mounted => Err(why),
            _ => Ok(Members::default()),
        };
        match members.and_then(|members| self.assemble(&corosync, &members)) {
            Ok(cluster) => Reading::Known(cluster),
            Err(why) => Reading::Unreadable(why),
        }
    }

    fn assemble(&self, corosync: &Corosync, members: &Members) -> Result<Cluster, String> {
        let own_name = self.node_name.unwrap_or(members.nodename.as_str());
        let names = self.names();
        let mut peers: BTreeMap<String, Peer> = BTreeMap::new();
        for node in &corosync.nodes {
            let mut addresses = BTreeSet::new();
            for link in node.links.values() {
                add(&mut addresses, link, &names).ok_or_else(|| {
                    format!("corosync.conf: the name {} cannot be resolved", super::sections::shown(link))
                })?;
            }
            let name = node.name.clone().or_else(|| node.links.values().next().cloned());
            let name = name.ok_or("corosync.conf: a node without name and address")?;
            let is_own = name == own_name || (node.name.is_none() && addresses.iter().any(|a| self.is_own(*a)));
            if !is_own {
                peer(&mut peers, &name).addresses.extend(addresses);
            }
        }
        for (name, member) in members.nodelist.iter().filter(|(name, _)| *name != own_name) {
            let peer = peer(&mut peers, name);
            peer.online = member.online == 1;
            peer.addresses.extend(member.ip.as_deref().and_then(address));
        }
        for peer in peers.values_mut() {
            peer.addresses.extend(names.get(peer.name.as_str()).into_iter().flatten());
            peer.addresses.retain(|address| !address.is_loopback() && !self.is_own(*address));
        }
        let cluster = members.cluster.as_ref();
        self.network("replication")?;
        Ok(Cluster {
            name: corosync.cluster_name.clone().or_else(|| cluster.map(|c| c.name.clone())).unwrap_or_default(),
            quorate: cluster.is_some_and(|cluster| cluster.quorate == 1),
            peers: peers.into_values().collect(),
            migration_network: self.network("migration")?,
        })
    }

    /// `names`: NAME ADDRESS lines from getent.
    fn names(&self) -> BTreeMap<String, BTreeSet<IpAddr>> {
        let mut names: BTreeMap<String, BTreeSet<IpAddr>> = BTreeMap::new();
        let text = self.sections.text("names");
        for line in text.known().map(|text| text.lines()).into_iter().flatten() {
            if let Some((name, found)) = line.split_once(' ') {
                names.entry(name.to_owned()).or_default().extend(address(found));
            }
        }
        names
    }

    fn is_own(&self, address: IpAddr) -> bool {
        self.own.iter().any(|net| net.addr() == address)
    }

    fn network(&self, key: &str) -> Result<Option<IpNet>, String> {
        match super::text_of(self.files, "/etc/pve/datacenter.cfg") {
            Reading::Known(text) => {
                datacenter::parse(&text).get(key).map_or(Ok(None), |value| datacenter::network(value))
            }
            Reading::Unreadable(why) => Err(why),
            Reading::Absent | Reading::NotAsked => Ok(None),
        }
    }
}

fn peer<'a>(peers: &'a mut BTreeMap<String, Peer>, name: &str) -> &'a mut Peer {
    peers.entry(name.to_owned()).or_insert_with(|| Peer {
        name: name.to_owned(),
        addresses: BTreeSet::new(),
        online: false,
    })
}

/// Adds an address, or those of a name; `None` when neither is known.
fn add(addresses: &mut BTreeSet<IpAddr>, word: &str, names: &BTreeMap<String, BTreeSet<IpAddr>>) -> Option<()> {
    if let Some(address) = address(word) {
        addresses.insert(address);
    } else {
        addresses.extend(names.get(word).filter(|found| !found.is_empty())?);
    }
    Some(())
}
