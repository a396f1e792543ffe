//! What every SSH control has to know of a node before it judges: who must keep root SSH, and what sshd said per case.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::controls::accounts::login_name;
use crate::facts::{CaseKind, Facts, SshdCase, SshdSettings};
use crate::profile::policy::Policy;

/// One node under one policy, with everything certain that SSH controls depend on.
pub struct Node<'a> {
    /// The reading.
    pub facts: &'a Facts,
    /// What is wanted.
    pub policy: &'a Policy,
    /// Sources from which PVE itself logs in as root: the other members, and this node when it calls itself.
    pub peers: Vec<IpNet>,
}

impl<'a> Node<'a> {
    /// Fails with the reason when the members of the cluster cannot be told: without them every setting for root is a
    /// guess.
    pub fn new(facts: &'a Facts, policy: &'a Policy) -> Result<Self, String> {
        Ok(Self { facts, policy, peers: peers(facts)? })
    }

    /// Whether the node is a member of a cluster.
    pub fn clustered(&self) -> bool {
        !self.peers.is_empty()
    }

    /// Whether PVE logs in from this address.
    pub fn is_peer(&self, address: IpAddr) -> bool {
        self.peers.iter().any(|net| net.contains(&address))
    }

    /// The site's administrators whose names may stand in a configuration file.
    pub fn admins(&self) -> Vec<&'a str> {
        self.policy.site.admins.iter().map(|admin| admin.name.as_str()).filter(|name| login_name(name)).collect()
    }

    /// Whether the case is a login of one of the site's administrators.
    pub fn is_admin(&self, case: &SshdCase) -> bool {
        self.admins().contains(&case.user.as_str())
    }

    /// What sshd answers in every case. Fails when a case is missing or unreadable that a judgement needs.
    pub fn cases(&self) -> Result<Vec<(&'a SshdCase, &'a SshdSettings)>, String> {
        let mut cases = Vec::new();
        for (case, reading) in &self.facts.sshd.cases {
            cases.push((case, reading.required(&format!("`sshd -T -C {}`", case.spec()))?));
        }
        let asked = |kind: CaseKind| cases.iter().any(|(case, _)| case.who == kind);
        if !asked(CaseKind::RootOutside) {
            return Err("sshd was not asked about root from outside".into());
        }
        if !asked(CaseKind::OtherOutside) {
            return Err("sshd was not asked about an ordinary account from outside".into());
        }
        if !self.admins().is_empty() && !asked(CaseKind::Admin) {
            return Err("sshd was not asked about an administrator".into());
        }
        for address in self.facts.peer_addresses() {
            if !cases.iter().any(|(case, _)| case.user == "root" && case.address == address) {
                return Err(format!("sshd was not asked about root from the cluster peer {address}"));
            }
        }
        Ok(cases)
    }
}

/// Every member's addresses as single hosts. This node's own ones belong to them: `pvecm qdevice` walks over all
/// members, the local one included, with `ssh root@IP` (pve-cluster, CLI/pvecm.pm). A migration or replication
/// network in which a peer's address is not known is trusted whole.
fn peers(facts: &Facts) -> Result<Vec<IpNet>, String> {
    let Some(cluster) = facts.cluster.certain().map_err(|why| format!("the cluster's members: {why}"))? else {
        return Ok(Vec::new());
    };
    if let Some(peer) = cluster.peers.iter().find(|peer| peer.addresses.is_empty()) {
        return Err(format!("no address of the cluster peer {} is known", peer.name));
    }
    let others = facts.peer_addresses();
    let mut nets: BTreeSet<IpNet> = others.iter().copied().map(IpNet::from).collect();
    let unknown_in = |net: &IpNet| !cluster.peers.iter().all(|peer| peer.addresses.iter().any(|it| net.contains(it)));
    nets.extend(facts.peer_networks().iter().map(IpNet::trunc).filter(unknown_in));
    let own = facts.addresses.required("the node's own addresses")?;
    let beside_a_peer = |net: &&IpNet| others.iter().any(|address| net.contains(address));
    nets.extend(own.iter().filter(beside_a_peer).map(|net| IpNet::from(net.addr())));
    Ok(nets.into_iter().collect())
}

/// Addresses and networks as `Match Address` takes them: a single host without its prefix length.
pub fn address_list(nets: &[IpNet]) -> String {
    let one = |net: &IpNet| {
        if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.trunc().to_string() }
    };
    nets.iter().map(one).collect::<Vec<_>>().join(",")
}
