//! `firewall.corosync`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::controls::{Evidence, Meta, Reference, Severity, Status};
use crate::profile::policy::Policy;
use crate::pve::firewall::{ClusterFw, Entries, NewMember, Place, RuleSection};

use super::judge::planned;
use super::node::{Files, Node};
use super::reach::{Reach, passes};
use super::{Firewall, FirewallControl, rule};

/// The control.
pub const COROSYNC: Firewall = Firewall(&Rings);

struct Rings;

const ID: &str = "firewall.corosync";
const SET: &str = "pve-harden-corosync";
/// knet's port of link 0; every further link has the next one.
const FIRST_PORT: u16 = 5405;
/// What pve-firewall lets pass by itself.
const AUTOMATIC: std::ops::RangeInclusive<u16> = 5404..=5405;

static META: Meta = Meta {
    id: ID,
    title: "Every corosync link passes the firewall by a rule of its own",
    why: "A cluster that loses its links loses quorum: nothing can be changed, and with HA every node fences itself after \
          a minute. Second links are there for the day the first one fails, and that day is the wrong one to find them \
          firewalled.",
    checked: "The links of corosync.conf and their ports, against what PVE's own rules let pass, and against the planned \
              files by a model of PVE's compiler, for each peer and link.",
    naive: "pve-firewall opens UDP 5404 and 5405 between the members. That is link 0 only: link 1 speaks on 5406 and \
            lives from connection tracking, until the table is flushed or both sides are silent at once. With \
            `policy_out: DROP` it is cut in both directions.",
    references: &[
        Reference::Source("pve-firewall src/PVE/Firewall.pm enable_host_firewall"),
        Reference::Source("pve-docs pvecm.adoc"),
        Reference::Man("corosync.conf(5)"),
    ],
    level: 1,
    severity: Severity::High,
};

impl FirewallControl for Rings {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.firewall.corosync.enabled
    }

    fn edit_cluster(&self, node: &Node<'_>, file: &mut ClusterFw) {
        let links = links(node);
        let needed = links.iter().any(|link| !AUTOMATIC.contains(&link.port)) || node.closed_outwards();
        if !needed {
            if file.config().ipsets.contains_key(SET) {
                file.set_managed_rules(&RuleSection::Rules, ID, Place::First, &[]);
                file.remove_ipset(SET);
            }
            return;
        }
        let addresses: BTreeSet<IpAddr> = links.iter().map(|link| link.address).collect();
        let members: Vec<NewMember> = addresses.iter().map(|address| NewMember::of(address.to_string())).collect();
        file.set_ipset(SET, &members, Entries::Exact);
        let ports = format!("-p udp -dport {FIRST_PORT}:{}", FIRST_PORT + 7);
        let mut rules = vec![rule(ID, "cluster links", &format!("IN ACCEPT -source +dc/{SET} {ports}"))];
        if node.closed_outwards() {
            rules.push(rule(ID, "cluster links", &format!("OUT ACCEPT -dest +dc/{SET} {ports}")));
        }
        // First: no rule of anybody's may cost the quorum.
        file.set_managed_rules(&RuleSection::Rules, ID, Place::First, &rules);
    }

    fn obstacle(&self, node: &Node<'_>) -> Option<Status> {
        node.corosync.is_none().then(|| Status::NotApplicable { why: "the node is in no cluster".into() })
    }

    fn evidence(&self, node: &Node<'_>) -> Vec<Evidence> {
        if node.corosync.is_none() {
            return Vec::new();
        }
        let reach = Reach::of(node, &planned(node));
        let line = |(peer, own): &(Link, IpAddr)| {
            let answer = reach.udp(peer.address, *own, peer.port);
            let source = format!("link {} from {} ({}, udp/{})", peer.number, peer.node, peer.address, peer.port);
            Evidence::new(source, format!("{} as planned: {}", answer.verdict, answer.by), "accept")
        };
        pairs(node).iter().map(line).collect()
    }

    fn harm(&self, node: &Node<'_>, files: &Files) -> Option<String> {
        let reach = Reach::of(node, files);
        pairs(node).iter().find_map(|(peer, own)| {
            let answer = Some(reach.udp(peer.address, *own, peer.port)).filter(|answer| !passes(answer))?;
            Some(format!("link {} from {} ({}) would be cut by {}", peer.number, peer.node, peer.address, answer.by))
        })
    }
}

/// One end of a link.
#[derive(Clone)]
struct Link {
    node: String,
    number: u8,
    address: IpAddr,
    port: u16,
}

/// Every end of every link whose address is known.
fn links(node: &Node<'_>) -> Vec<Link> {
    let members = node.corosync.iter().flat_map(|corosync| &corosync.nodes);
    members
        .flat_map(|member| {
            let name = member.name.clone().unwrap_or_default();
            member.links.iter().flat_map(move |(number, text)| {
                addresses(node, &name, text).into_iter().map({
                    let name = name.clone();
                    move |address| Link {
                        node: name.clone(),
                        number: *number,
                        address,
                        port: FIRST_PORT + u16::from(*number),
                    }
                })
            })
        })
        .collect()
}

/// A link's address; of a name every address the member is known by.
fn addresses(node: &Node<'_>, member: &str, text: &str) -> Vec<IpAddr> {
    match text.parse() {
        Ok(address) => vec![address],
        Err(_) => node.members.get(member).into_iter().flatten().copied().collect(),
    }
}

/// Each peer's end with the node's own address on the same link.
fn pairs(node: &Node<'_>) -> Vec<(Link, IpAddr)> {
    let links = links(node);
    let own: Vec<&Link> = links.iter().filter(|link| link.node == node.name).collect();
    let ours = |peer: &Link| {
        let same = |link: &&&Link| link.number == peer.number && link.address.is_ipv4() == peer.address.is_ipv4();
        own.iter().find(same).map(|link| link.address)
    };
    let peers = links.iter().filter(|link| link.node != node.name);
    peers.filter_map(|peer| Some((peer.clone(), ours(peer)?))).collect()
}
