//! `firewall.management`.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::controls::conf::wanted;
use crate::controls::{Evidence, Meta, Reference, Severity, Status};
use crate::profile::policy::{FirewallMode, Policy};
use crate::pve::firewall::{
    Backend, ClusterFw, Entries, HostFw, MemberAddress, NewMember, Place, RuleSection, managed_comment, managed_id,
};
use crate::pve::pveproxy::aggregate;

use super::node::{Files, Node};
use super::reach::{Reach, lockout, outsiders, passes};
use super::{Firewall, FirewallControl, rule};

/// The control.
pub const MANAGEMENT: Firewall = Firewall(&Management);

struct Management;

const ID: &str = "firewall.management";
const SET: &str = "management";
const ALIAS: &str = "local_network";

static META: Meta = Meta {
    id: ID,
    title: "Management ports answer management networks and cluster members only",
    why: "PVE's firewall lets the set `management` reach 22, 8006, 3128, 5900-5999 and 60000-60050, and nothing narrows \
          the set by itself: the node's whole subnet is always in it. On a rented server that is every customer of the \
          same data centre.",
    checked: "The set `management` and the alias `local_network` in cluster.fw; then a model of PVE's own compiler is \
              asked, for the planned files, whether an outside address gets to sshd's ports and to 8006.",
    naive: "An empty set `management`, or one with the right networks, restricts nothing: PVE adds the network it detects \
            around the node's address. Narrowing it by the alias `local_network` cuts the other members of a cluster off \
            unless each of their addresses, of every ring and both families, is in the set. sshd on another port than 22 \
            is not covered and needs a rule. Own rules come before the automatic ones: `IN DROP -p tcp -dport 22` locks \
            out the management networks, too.",
    references: &[
        Reference::Guide("1.2.4"),
        Reference::Source("pve-firewall src/PVE/Firewall.pm enable_host_firewall"),
        Reference::Source("pve-firewall src/PVE/Firewall.pm local_network"),
        Reference::Source("pve-docs pve-firewall.adoc"),
    ],
    level: 1,
    severity: Severity::High,
};

impl FirewallControl for Management {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.firewall.management.enabled
    }

    fn edit_cluster(&self, node: &Node<'_>, file: &mut ClusterFw) {
        let entries = entries(node, file);
        file.set_ipset(SET, &entries.0, entries.1);
        if let Some(address) = narrowed(node) {
            let comment = managed_comment(ID, "one node instead of the whole subnet");
            file.set_alias(ALIAS, &address.to_string(), Some(&comment));
        }
    }

    fn edit_host(&self, node: &Node<'_>, file: &mut HostFw) {
        let ports: Vec<String> =
            node.sshd_ports().iter().filter(|port| **port != 22).map(ToString::to_string).collect();
        let rules: Vec<String> = if ports.is_empty() {
            Vec::new()
        } else {
            vec![rule(ID, "sshd", &format!("IN ACCEPT -source +dc/management -p tcp -dport {}", ports.join(",")))]
        };
        file.set_managed_rules(&RuleSection::Rules, ID, Place::Last, &rules);
    }

    fn obstacle(&self, node: &Node<'_>) -> Option<Status> {
        let advise = |advice: &str| Status::Differs { changes: Vec::new(), advice: Some(advice.into()) };
        if node.policy.site.management.is_empty() {
            return Some(advise(
                "name the networks you administer from in the site file: management = [\"192.0.2.0/24\"]",
            ));
        }
        if let Some(net) = networks(node).iter().find(|net| net.prefix_len() == 0) {
            return Some(Status::Refused { why: format!("{net} is every address, which PVE takes into no set") });
        }
        old_nftables(node).map(|version| {
            advise(&format!(
                "proxmox-firewall {version} takes the set `management` instead of the node's own network and locks others \
                 out: upgrade it to 1.2.0 first"
            ))
        })
    }

    fn evidence(&self, node: &Node<'_>) -> Vec<Evidence> {
        let config = node.files.cluster.config();
        let set = config.ipsets.get(SET).map(|set| set.members.iter().map(|it| shown(&it.address)).collect::<Vec<_>>());
        let found = set.map_or("PVE's own: the node's whole subnet".to_owned(), |set| set.join(", "));
        let want = wanted_networks(node).iter().map(|(net, _)| word(net)).collect::<Vec<_>>().join(", ");
        let mut evidence = vec![Evidence::new("cluster.fw [IPSET management]", found, want)];
        let alias = config
            .alias(ALIAS)
            .map_or_else(|| format!("not set, PVE detects {}", detected(node)), |alias| alias.cidr.clone());
        if node.policy.profile.firewall.management.narrow {
            let want = wanted(node.policy, "firewall.management.narrow", "one member's address");
            evidence.push(Evidence::new("cluster.fw alias local_network", alias, want));
        }
        evidence
    }

    fn harm(&self, node: &Node<'_>, planned: &Files) -> Option<String> {
        lockout(node, planned)
    }

    fn advice(&self, node: &Node<'_>, planned: &Files) -> Option<String> {
        let reach = Reach::of(node, planned);
        let ports = || node.sshd_ports().into_iter().chain([8006]);
        let open = outsiders(node).into_iter().find_map(|outsider| {
            let answer = ports().find_map(|port| Some((port, reach.tcp(outsider, port).filter(passes)?)))?;
            Some(format!(
                "{outsider} would still reach port {}: {}; take the rule out or narrow it",
                answer.0, answer.1.by
            ))
        });
        let cut = networks(node).into_iter().filter_map(|net| net.hosts().next()).find_map(|address| {
            let answer = ports().find_map(|port| Some((port, reach.tcp(address, port).filter(|it| !passes(it))?)))?;
            Some(format!(
                "{address} is in the management networks and would not reach port {}: {}",
                answer.0, answer.1.by
            ))
        });
        open.or(cut).or_else(|| used_alias(node))
    }
}

/// Why the subnet stays in, when a rule of somebody's uses the alias.
fn used_alias(node: &Node<'_>) -> Option<String> {
    let (path, line) = alias_use(node).filter(|_| node.policy.profile.firewall.management.narrow)?;
    Some(format!(
        "{path} line {line} uses the alias local_network, so that it is not narrowed and the node's subnet keeps the \
         management ports; name the network there instead, and run again"
    ))
}

/// Management networks and `also`, those that others hold left out.
pub fn networks(node: &Node<'_>) -> Vec<IpNet> {
    let nets = node.policy.site.management.iter().chain(&node.policy.profile.firewall.management.also).copied();
    aggregate(&nets.collect::<Vec<_>>())
}

/// What the set must hold, with words for people; members that a network holds already are left out.
fn wanted_networks(node: &Node<'_>) -> Vec<(IpNet, String)> {
    let nets = networks(node);
    let mut wanted: Vec<(IpNet, String)> = nets.iter().map(|net| (*net, "management network".into())).collect();
    if node.corosync.is_some() {
        for (name, addresses) in &node.members {
            let outside = addresses.iter().filter(|address| !nets.iter().any(|net| net.contains(*address)));
            wanted.extend(outside.map(|address| (IpNet::from(*address), format!("member {name}"))));
        }
    }
    wanted.dedup_by(|a, b| a.0 == b.0);
    wanted
}

fn word(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

fn shown(address: &MemberAddress) -> String {
    match address {
        MemberAddress::Network(text, _) => text.clone(),
        MemberAddress::Alias(Some(prefix), name) => format!("{}/{name}", prefix.word()),
        MemberAddress::Alias(None, name) => name.clone(),
    }
}

/// The entries of the set, and whether all others go. A member of this tool's that is not wanted any more goes in either
/// mode.
fn entries(node: &Node<'_>, file: &ClusterFw) -> (Vec<NewMember>, Entries) {
    let new = |(net, words): (IpNet, String)| NewMember {
        comment: Some(managed_comment(ID, &words)),
        ..NewMember::of(word(&net))
    };
    let wanted: Vec<NewMember> = wanted_networks(node).into_iter().map(new).collect();
    if node.policy.profile.firewall.mode == FirewallMode::Exact {
        return (wanted, Entries::Exact);
    }
    let present = file.config().ipsets.get(SET).map_or(&[][..], |set| &set.members);
    let ours = |comment: &Option<String>| comment.as_deref().and_then(managed_id) == Some(ID);
    let is_wanted = |address: &MemberAddress| wanted.iter().any(|new| new.address == shown(address));
    if !present.iter().any(|member| ours(&member.comment) && !is_wanted(&member.address)) {
        return (wanted, Entries::Merge);
    }
    let others = present.iter().filter(|member| !ours(&member.comment)).map(|member| NewMember {
        address: shown(&member.address),
        nomatch: member.nomatch,
        comment: member.comment.clone(),
    });
    (others.chain(wanted.clone()).collect(), Entries::Exact)
}

/// The address that the alias is to have: the same from whichever member it is planned. None where it stays as it is.
fn narrowed(node: &Node<'_>) -> Option<IpAddr> {
    if !node.policy.profile.firewall.management.narrow || alias_use(node).is_some() {
        return None;
    }
    let all = node.member_addresses();
    let present = node.files.cluster.config().alias(ALIAS).map(|alias| alias.network);
    if present.is_some_and(|net| net.prefix_len() == net.max_prefix_len() && all.contains(&net.addr())) {
        return None;
    }
    all.into_iter().next()
}

/// A line of any firewall file that uses the alias for something else: path and line.
fn alias_use(node: &Node<'_>) -> Option<(String, usize)> {
    let files =
        node.facts.files.iter().filter(|(path, _)| {
            std::path::Path::new(path.as_str()).extension().is_some_and(|extension| extension == "fw")
        });
    files.filter_map(|(path, reading)| Some((path, reading.known()?.content.as_deref()?))).find_map(|(path, text)| {
        let uses = |line: &str| {
            let line = line.split('#').next().unwrap_or_default().trim().to_ascii_lowercase();
            line.contains(ALIAS) && !line.starts_with(ALIAS)
        };
        let at = text.lines().position(uses)?;
        Some((path.clone(), at + 1))
    })
}

fn detected(node: &Node<'_>) -> String {
    node.facts.network.local_network.known().map_or("no network".into(), ToString::to_string)
}

/// proxmox-firewall before 1.2.0, where the node uses it (its changelog).
fn old_nftables(node: &Node<'_>) -> Option<String> {
    let package = node.facts.packages.known()?.get("proxmox-firewall").filter(|package| package.installed)?;
    let mut numbers = package.version.split(['.', '-', '~']).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    (node.backend() == Backend::Nftables && version < (1, 2)).then(|| package.version.clone())
}
