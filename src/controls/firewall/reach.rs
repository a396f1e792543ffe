//! Questions to the model of the firewall, as if it were on.

use std::net::IpAddr;

use crate::firewall::{Answer, Inputs, Model, NodeAddresses, Protocol, Question, Verdict};
use crate::pve::firewall::Backend;

use super::node::{Files, Node};

/// The node's firewall with these files, switched on.
pub struct Reach<'a> {
    node: &'a Node<'a>,
    model: Model,
}

impl<'a> Reach<'a> {
    pub fn of(node: &'a Node<'a>, files: &Files) -> Self {
        let mut files = files.clone();
        if files.cluster.config().number("enable") != Some(1) {
            files.cluster.set_option("enable", "1");
        }
        if files.host.config().flag("enable") == Some(false) {
            files.host.set_option("enable", "1");
        }
        let inputs = Inputs {
            cluster: &files.cluster,
            host: &files.host,
            node: NodeAddresses {
                name: node.name.to_owned(),
                resolves_to: vec![node.address],
                networks: node.facts.addresses.known().cloned().unwrap_or_default(),
            },
            corosync: node.corosync.as_ref(),
            names: std::collections::BTreeMap::new(),
            local_network: node.facts.network.local_network.known().copied(),
            now: node.facts.taken.known().map(|taken| taken.as_second()),
        };
        let model = Model::new(&inputs);
        Self { node, model }
    }

    /// A new TCP connection to a port of the node.
    pub fn tcp(&self, source: IpAddr, port: u16) -> Option<Answer> {
        let own = self.own(source)?;
        Some(self.model.ask(&Question::to_node(source, own, Protocol::Tcp, port)))
    }

    /// corosync's packets to an address of the node.
    pub fn udp(&self, source: IpAddr, own: IpAddr, port: u16) -> Answer {
        let source_port = Some(port);
        self.model.ask(&Question { source_port, ..Question::to_node(source, own, Protocol::Udp, port) })
    }

    /// The node's address that this source would use: its own, or one of the same family.
    fn own(&self, source: IpAddr) -> Option<IpAddr> {
        let session = self.node.facts.session.known();
        if let Some(server) = session.filter(|it| it.operator == Some(source)).and_then(|it| it.server) {
            return Some(server);
        }
        let all = self.node.facts.addresses.known().into_iter().flatten();
        let same = |net: &&ipnet::IpNet| net.addr().is_ipv4() == source.is_ipv4() && !net.addr().is_loopback();
        let near = all.clone().filter(same).find(|net| net.contains(&source)).map(ipnet::IpNet::addr);
        let own = (self.node.address.is_ipv4() == source.is_ipv4()).then_some(self.node.address);
        near.or(own).or_else(|| all.filter(same).map(ipnet::IpNet::addr).next())
    }
}

/// Whether it surely passes.
pub fn passes(answer: &Answer) -> bool {
    answer.verdict == Verdict::Accept
}

/// Who would be cut off by the planned files although nothing works without them: the operator, or another member.
pub fn lockout(node: &Node<'_>, planned: &Files) -> Option<String> {
    let reach = Reach::of(node, planned);
    let cut = |address: IpAddr, ports: &[u16]| {
        ports.iter().find_map(|port| Some((*port, reach.tcp(address, *port).filter(|answer| !passes(answer))?)))
    };
    let session = node.facts.session.known();
    if let Some(operator) = session.and_then(|session| session.operator) {
        let ssh = session.and_then(|session| session.server_port).unwrap_or(22);
        if let Some((port, answer)) = cut(operator, &[ssh, 8006]) {
            return Some(format!(
                "you come from {operator}, which would not reach port {port} any more ({}); add it to the site's \
                 management networks, or change that rule",
                answer.by
            ));
        }
    }
    let others = node.members.iter().filter(|(name, _)| name.as_str() != node.name);
    let mut ends = others.flat_map(|(name, addresses)| addresses.iter().map(move |address| (name, *address)));
    ends.find_map(|(name, address)| {
        let (port, answer) = cut(address, &[22, 8006, 60000])?;
        Some(format!("member {name} ({address}) would not reach port {port} any more ({})", answer.by))
    })
}

/// An address that stands for somebody on the Internet: of the documentation networks (RFC 5737, RFC 3849) one outside
/// every management network.
pub fn outsiders(node: &Node<'_>) -> Vec<IpAddr> {
    let inside = |address: &IpAddr| super::management::networks(node).iter().any(|net| net.contains(address));
    let words = ["203.0.113.1", "198.51.100.1", "2001:db8::1", "3fff::1"];
    let free = words.iter().filter_map(|word| word.parse().ok()).filter(|address| !inside(address));
    let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = free.partition(IpAddr::is_ipv4);
    v4.into_iter().take(1).chain(v6.into_iter().take(1)).collect()
}

/// What a backend is called.
pub const fn name(backend: Backend) -> &'static str {
    match backend {
        Backend::Iptables => "pve-firewall (iptables)",
        Backend::Nftables => "proxmox-firewall (nftables)",
    }
}
