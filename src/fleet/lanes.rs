//! Which of the named nodes are members of one cluster, and which members were not named.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::facts::{Cluster, Facts, Peer, RunFact};
use crate::plan::Asleep;
use crate::profile::policy::Digests;

/// What the grouping must know of a node that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its own name, which the cluster knows it by.
    pub own_name: Option<String>,
    /// Its view of the cluster; none on a standalone node, or when it cannot be told.
    pub cluster: Option<Cluster>,
    /// Its addresses.
    pub addresses: Vec<IpNet>,
    /// The address on which the operator reached it.
    pub reached: Option<IpAddr>,
    /// The newest committed run on it, if any; a rollback is none.
    pub last: Option<Last>,
    /// The members that it knows to be offline, with the host.fw of each.
    pub asleep: Vec<Asleep>,
}

/// A committed run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Last {
    /// Its id.
    pub run: String,
    /// What it was made from.
    pub digests: Digests,
}

impl Last {
    fn of(run: &RunFact) -> Self {
        let digest = |word: &str| run.meta["digests"][word].as_str().unwrap_or_default().to_owned();
        Self { run: run.id.clone(), digests: Digests { profile: digest("profile"), site: digest("site") } }
    }
}

impl Seen {
    /// Of a node that was read.
    pub fn of(facts: &Facts) -> Self {
        let counts = |run: &&RunFact| run.outcome == "committed" && run.meta["verb"] != "rollback";
        Self {
            own_name: facts.node_name.known().cloned(),
            cluster: facts.cluster.known().cloned(),
            addresses: facts.addresses.known().cloned().unwrap_or_default(),
            reached: facts.session.known().and_then(|session| session.server),
            last: facts.runs.known().and_then(|runs| runs.iter().rev().find(counts)).map(Last::of),
            asleep: Asleep::of(facts),
        }
    }

    /// Whether both are members of one cluster. Names are not enough: "pve1" of "lab" is everywhere. So the other's
    /// address must be the one that this one knows of the peer by that name.
    fn is_peer(&self, other: &Self) -> bool {
        let (Some(mine), Some(theirs), Some(name)) = (&self.cluster, &other.cluster, &other.own_name) else {
            return false;
        };
        mine.name == theirs.name
            && mine
                .peers
                .iter()
                .filter(|peer| peer.name == *name)
                .any(|peer| other.addresses.iter().any(|net| peer.addresses.contains(&net.addr())))
    }

    /// The peer's address that the operator reaches most likely: in the network in which this node was reached, else
    /// any, IPv4 before IPv6.
    pub fn way_to(&self, peer: &Peer) -> Option<IpAddr> {
        let network = self.addresses.iter().find(|net| Some(net.addr()) == self.reached);
        let near = peer.addresses.iter().find(|address| network.is_some_and(|net| net.contains(*address)));
        near.or_else(|| peer.addresses.first()).copied()
    }
}

/// A node of the command.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// Name in the site, or the address as typed.
    pub name: &'a str,
    /// Address it is contacted at.
    pub address: &'a str,
    /// What was seen; none when it could not be read.
    pub seen: Option<&'a Seen>,
}

impl Named<'_> {
    fn is(&self, peer: &Peer) -> bool {
        match self.seen {
            Some(seen) => seen.own_name.as_deref() == Some(peer.name.as_str()),
            None => {
                self.name.eq_ignore_ascii_case(&peer.name)
                    || self.address.parse().is_ok_and(|address: IpAddr| peer.addresses.contains(&address))
            }
        }
    }
}

/// Nodes that are changed in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    /// The cluster's name; none for the standalone nodes.
    pub cluster: Option<String>,
    /// Places of the nodes in the command, in the order in which they are changed.
    pub nodes: Vec<usize>,
    /// Places of members that could not be read although the cluster knows them to be online.
    pub unread: Vec<usize>,
    /// Places of members that nothing was done to yet, beside others that were hardened before: they joined later.
    pub joined: Vec<usize>,
    /// Members that the command does not name.
    pub missing: Vec<Peer>,
    /// Names of the members that are offline, named or not, in the cluster's own view.
    pub asleep: Vec<String>,
}

/// The lanes in the order in which their first node was named. In a cluster those that were hardened before come
/// first, so that a member which joined later is let in by its peers before it is hardened itself; otherwise the order
/// is the one in which they were named, and the first is the canary.
pub fn lanes(named: &[Named<'_>]) -> Vec<Lane> {
    let mut lanes: Vec<Lane> = Vec::new();
    for (place, node) in named.iter().enumerate() {
        let Some(seen) = node.seen else { continue };
        let cluster = seen.cluster.as_ref().map(|cluster| cluster.name.clone());
        let same = |lane: &&mut Lane| match (&cluster, lane.nodes.first().and_then(|first| named[*first].seen)) {
            (None, _) => lane.cluster.is_none(),
            (Some(_), Some(first)) => first.is_peer(seen),
            (Some(_), None) => false,
        };
        match lanes.iter_mut().find(same) {
            Some(lane) => lane.nodes.push(place),
            None => lanes.push(Lane { cluster, nodes: vec![place], ..Lane::default() }),
        }
    }
    for lane in lanes.iter_mut().filter(|lane| lane.cluster.is_some()) {
        complete(lane, named);
    }
    lanes
}

fn complete(lane: &mut Lane, named: &[Named<'_>]) {
    let view = lane.nodes.first().and_then(|first| named[*first].seen).and_then(|seen| seen.cluster.clone());
    let present: BTreeSet<&str> =
        lane.nodes.iter().filter_map(|place| named[*place].seen?.own_name.as_deref()).collect();
    for peer in view.into_iter().flat_map(|cluster| cluster.peers) {
        if present.contains(peer.name.as_str()) {
            continue;
        }
        if !peer.online {
            lane.asleep.push(peer.name.clone());
        }
        match named.iter().position(|node| node.seen.is_none() && node.is(&peer)) {
            Some(place) if peer.online => lane.unread.push(place),
            Some(_) => {}
            None => lane.missing.push(peer),
        }
    }
    let is_new = |place: &usize| named[*place].seen.is_none_or(|seen| seen.last.is_none());
    lane.nodes.sort_by_key(is_new);
    if lane.nodes.first().is_some_and(|first| !is_new(first)) {
        lane.joined = lane.nodes.iter().copied().filter(is_new).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(number: u8, of: u8, cluster: &str, veteran: bool) -> Seen {
        let address = |n: u8| format!("10.0.{}.{n}", cluster.len());
        let peers = (1..=of).filter(|n| *n != number).map(|n| Peer {
            name: format!("pve{n}"),
            addresses: BTreeSet::from([address(n).parse().unwrap()]),
            online: true,
        });
        Seen {
            own_name: Some(format!("pve{number}")),
            cluster: Some(Cluster {
                name: "lab".into(),
                quorate: true,
                peers: peers.collect(),
                migration_network: None,
            }),
            addresses: vec![format!("{}/24", address(number)).parse().unwrap()],
            reached: None,
            last: veteran.then(Last::default),
            asleep: vec![],
        }
    }

    fn alone(name: &str) -> Seen {
        Seen { own_name: Some(name.into()), ..Seen::default() }
    }

    fn grouped(nodes: &[(&str, Option<Seen>)]) -> Vec<Lane> {
        let named: Vec<_> =
            nodes.iter().map(|(name, seen)| Named { name, address: name, seen: seen.as_ref() }).collect();
        lanes(&named)
    }

    #[test]
    fn two_clusters_of_the_same_names_are_two() {
        let nodes = [
            ("a1", Some(member(1, 2, "x", false))),
            ("s1", Some(alone("s1"))),
            ("b1", Some(member(1, 2, "xyz", false))),
            ("a2", Some(member(2, 2, "x", false))),
            ("s2", Some(alone("s2"))),
            ("b2", Some(member(2, 2, "xyz", false))),
        ];
        let lanes: Vec<_> = grouped(&nodes).into_iter().map(|lane| (lane.cluster, lane.nodes)).collect();
        let lab = || Some("lab".to_owned());
        assert_eq!(lanes, [(lab(), vec![0, 3]), (None, vec![1, 4]), (lab(), vec![2, 5])]);
    }

    #[test]
    fn members_that_nobody_named_and_those_that_do_not_answer_are_told_apart() {
        let nodes = [("pve2", Some(member(2, 4, "x", false))), ("10.0.1.3", None), ("other", None)];
        let lane = grouped(&nodes).remove(0);
        assert_eq!(lane.unread, [1]);
        assert_eq!(lane.missing.iter().map(|peer| peer.name.as_str()).collect::<Vec<_>>(), ["pve1", "pve4"]);
    }

    #[test]
    fn a_member_that_is_offline_is_not_missed() {
        let mut first = member(1, 4, "x", false);
        for peer in first.cluster.iter_mut().flat_map(|cluster| &mut cluster.peers).filter(|peer| peer.name != "pve2") {
            peer.online = false;
        }
        let lane = grouped(&[("pve1", Some(first)), ("pve2", None), ("pve3", None)]).remove(0);
        assert_eq!((lane.unread, lane.asleep), (vec![1], vec!["pve3".to_owned(), "pve4".to_owned()]));
        assert_eq!(lane.missing.iter().map(|peer| peer.name.as_str()).collect::<Vec<_>>(), ["pve4"]);
    }

    #[test]
    fn a_member_that_joined_later_waits_for_its_peers() {
        let nodes = [
            ("pve3", Some(member(3, 3, "x", false))),
            ("pve1", Some(member(1, 3, "x", true))),
            ("pve2", Some(member(2, 3, "x", true))),
        ];
        let lane = grouped(&nodes).remove(0);
        assert_eq!((lane.nodes, lane.joined), (vec![1, 2, 0], vec![0]));
    }

    #[test]
    fn in_a_fresh_cluster_the_first_named_is_the_canary() {
        let nodes = [("pve2", Some(member(2, 2, "x", false))), ("pve1", Some(member(1, 2, "x", false)))];
        let lane = grouped(&nodes).remove(0);
        assert_eq!((lane.nodes, lane.joined), (vec![0, 1], vec![]));
    }

    #[test]
    fn a_peer_is_reached_in_the_network_in_which_this_node_was() {
        let mut seen = member(1, 2, "x", false);
        seen.addresses.push("192.0.2.1/24".parse().unwrap());
        seen.reached = Some("192.0.2.1".parse().unwrap());
        let addresses = ["10.0.1.2", "192.0.2.2", "fd00::2"].iter().map(|word| word.parse().unwrap()).collect();
        let mut peer = Peer { name: "pve2".into(), addresses, online: true };
        assert_eq!(seen.way_to(&peer).unwrap().to_string(), "192.0.2.2");
        peer.addresses.remove(&"192.0.2.2".parse().unwrap());
        assert_eq!(seen.way_to(&peer).unwrap().to_string(), "10.0.1.2");
    }
}
