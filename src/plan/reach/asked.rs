//! The questions.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::members::{Sides, is_local};
use super::{FirewallQuestion, Row, RowKind, simulated};
use crate::facts::{Facts, Listener};
use crate::firewall::{Answer, Protocol, Question, RuleRef, Verdict};
use crate::plan::Operator;
use crate::profile::policy::Policy;

/// Addresses that stand for the Internet (RFC 5737, RFC 3849).
const OUTSIDE: [&str; 5] = ["203.0.113.1", "198.51.100.1", "192.0.2.1", "2001:db8::1", "3fff::1"];

const WEB: u16 = 8006;

/// More pairs than this are listed only when they are cut.
const SHOWN_PEERS: usize = 8;

/// The table's rows, and what PVE's simulator can be asked of them.
pub fn rows(facts: &Facts, policy: &Policy, operator: &Operator, sides: &Sides) -> (Vec<Row>, Vec<FirewallQuestion>) {
    let mut asking = Asking { sides, rows: Vec::new(), questions: BTreeSet::new() };
    let ssh = facts.session.known().and_then(|session| session.server_port).unwrap_or(22);
    asking.operator(facts, operator, ssh);
    asking.management(policy, ssh);
    asking.peers();
    asking.flows(facts);
    asking.listeners(facts, policy);
    let mut rows = asking.rows;
    let pairs = rows.iter().filter(|row| row.kind == RowKind::Peer).count();
    rows.retain(|row| row.kind != RowKind::Link || row.after != Verdict::Accept);
    if pairs > SHOWN_PEERS {
        rows.retain(|row| row.kind != RowKind::Peer || row.after != Verdict::Accept || row.before != Verdict::Accept);
    }
    rows.sort_by_key(|row| row.kind);
    (rows, asking.questions.into_iter().collect())
}

struct Asking<'a> {
    sides: &'a Sides<'a>,
    rows: Vec<Row>,
    questions: BTreeSet<FirewallQuestion>,
}

/// Whether one refusal or one acceptance decides over several answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Everything must pass: the first answer that is no acceptance counts.
    All,
    /// Nothing should pass: the first acceptance counts.
    None,
}

impl Asking<'_> {
    /// Asks of the node's own firewall.
    fn own(&mut self, question: &Question) -> (Answer, Answer) {
        let sides = self.sides;
        let pair = ask(sides, &sides.own, question);
        if let (IpAddr::V4(_), Some(port), Some((protocol, expected))) =
            (question.destination, question.port, simulated(sides.after.backend, question.protocol, pair.1.verdict))
        {
            self.questions.insert(FirewallQuestion {
                source: question.source,
                destination: question.destination,
                protocol: protocol.into(),
                port,
                expected: expected.into(),
            });
        }
        pair
    }

    fn row(&mut self, kind: RowKind, who: String, what: String, need: Need, answers: Vec<(Answer, Answer)>) {
        let pick = |answers: Vec<Answer>| {
            let decisive = |answer: &&Answer| (answer.verdict == Verdict::Accept) == (need == Need::None);
            let chosen = answers.iter().find(decisive).or(answers.first()).cloned();
            chosen.unwrap_or(Answer {
                verdict: Verdict::Unknown,
                by: RuleRef::Unread { why: "no address of the same family".into() },
            })
        };
        let (before, after) = answers.into_iter().unzip();
        let (before, after) = (pick(before), pick(after));
        self.rows.push(Row { kind, who, what, before: before.verdict, after: after.verdict, by: after.by });
    }

    fn operator(&mut self, facts: &Facts, operator: &Operator, ssh: u16) {
        let session = facts.session.known();
        let Some(source) = session.and_then(|session| session.operator).or(operator.address) else { return };
        let Some(own) = self.own_address(source, session.and_then(|session| session.server)) else { return };
        for port in [ssh, WEB] {
            let answer = self.own(&Question::to_node(source, own, Protocol::Tcp, port));
            self.row(RowKind::Operator, format!("you ({source})"), format!("{port}/tcp"), Need::All, vec![answer]);
        }
    }

    /// First and last host of every management network.
    fn management(&mut self, policy: &Policy, ssh: u16) {
        for network in &policy.site.management {
            let Some(own) = self.own_address(network.addr(), None) else { continue };
            for port in [WEB, ssh] {
                let answers = ends(network)
                    .into_iter()
                    .map(|source| self.own(&Question::to_node(source, own, Protocol::Tcp, port)))
                    .collect();
                self.row(RowKind::Management, network.to_string(), format!("{port}/tcp"), Need::All, answers);
            }
        }
    }

    /// Every member with every other one.
    fn peers(&mut self) {
        let sides = self.sides;
        let names: Vec<&String> = sides.addresses.keys().collect();
        for (at, one) in names.iter().enumerate() {
            for other in &names[at + 1..] {
                self.pair(one, other);
            }
        }
    }

    fn pair(&mut self, one: &str, other: &str) {
        let who = format!("{one} ↔ {other}");
        self.corosync(&who, one, other);
        for (what, port) in [("SSH (22/tcp)", 22), ("8006/tcp", WEB), ("migration (60000/tcp)", 60000)] {
            let answers = match self.meeting(one, other) {
                Some((from, to)) => self.both_ways(one, from, other, to, Protocol::Tcp, port),
                None => Vec::new(),
            };
            self.row(RowKind::Peer, who.clone(), what.into(), Need::All, answers);
        }
    }

    /// The addresses by which two members talk: PVE's own choice where the families agree.
    fn meeting(&self, one: &str, other: &str) -> Option<(IpAddr, IpAddr)> {
        let (ours, theirs) = (self.sides.addresses.get(one)?, self.sides.addresses.get(other)?);
        let first = |v6: bool| {
            let of = |all: &[IpAddr]| all.iter().copied().find(|address| address.is_ipv6() == v6);
            Some((of(ours)?, of(theirs)?))
        };
        let preferred = theirs.first()?.is_ipv6();
        first(preferred).or_else(|| first(!preferred))
    }

    /// Out of one and into the other, in both directions.
    fn both_ways(
        &mut self,
        one: &str,
        from: IpAddr,
        other: &str,
        to: IpAddr,
        protocol: Protocol,
        port: u16,
    ) -> Vec<(Answer, Answer)> {
        let sides = self.sides;
        let mut answers = Vec::new();
        for (start, source, end, destination) in [(one, from, other, to), (other, to, one, from)] {
            answers.push(ask(sides, start, &Question::from_node(source, destination, protocol, port)));
            let inward = Question::to_node(source, destination, protocol, port);
            answers.push(if end == sides.own { self.own(&inward) } else { ask(sides, end, &inward) });
        }
        answers
    }

    /// corosync's links: port 5405 and upwards by link (corosync.conf(5), `mcastport` with knet). One link that works
    /// keeps the quorum.
    fn corosync(&mut self, who: &str, one: &str, other: &str) {
        let Some(conf) = &self.sides.corosync else { return };
        let knet = !matches!(conf.transport.as_deref(), Some("udp" | "udpu"));
        let links: BTreeSet<u8> = conf.nodes.iter().flat_map(|node| node.links.keys().copied()).collect();
        let mut found = Vec::new();
        for link in links {
            let (Some(from), Some(to)) = (self.sides.link(one, link), self.sides.link(other, link)) else { continue };
            let port = if knet { 5405 + u16::from(link) } else { 5405 };
            let answers = self.both_ways(one, from, other, to, Protocol::Udp, port);
            found.push((format!("corosync link {link} ({port}/udp)"), answers));
        }
        let works = |answers: &[(Answer, Answer)], after: bool| {
            answers.iter().all(|(b, a)| (if after { a } else { b }).verdict == Verdict::Accept)
        };
        let best = found
            .iter()
            .position(|(_, answers)| works(answers, true))
            .or_else(|| found.iter().position(|(_, answers)| works(answers, false)))
            .unwrap_or(0);
        for (at, (what, answers)) in found.into_iter().enumerate() {
            let kind = if at == best { RowKind::Peer } else { RowKind::Link };
            self.row(kind, who.to_owned(), what, Need::All, answers);
        }
    }

    fn flows(&mut self, facts: &Facts) {
        for flow in facts.network.flows.known().into_iter().flatten() {
            if is_local(&flow.peer) || flow.local.is_ipv6() != flow.peer.is_ipv6() {
                continue;
            }
            let protocol = if flow.protocol.starts_with("udp") { Protocol::Udp } else { Protocol::Tcp };
            let answer = self.own(&Question::to_node(flow.peer, flow.local, protocol, flow.port));
            let process = flow.process.as_ref().map(|name| format!(" {name}")).unwrap_or_default();
            let what = format!("{}/{}{process}", flow.port, flow.protocol);
            self.row(RowKind::Flow, flow.peer.to_string(), what, Need::All, vec![answer]);
        }
    }

    fn listeners(&mut self, facts: &Facts, policy: &Policy) {
        let strangers = strangers(facts, policy);
        let mut sockets: BTreeMap<(u16, String), Vec<&Listener>> = BTreeMap::new();
        for listener in facts.listeners.known().into_iter().flatten().filter(|socket| !is_local(&socket.address)) {
            sockets.entry((listener.port, listener.protocol.clone())).or_default().push(listener);
        }
        for ((port, name), listeners) in sockets {
            let protocol = if name.starts_with("udp") { Protocol::Udp } else { Protocol::Tcp };
            let mut answers = Vec::new();
            for source in &strangers {
                let bound = listeners.iter().filter(|socket| {
                    socket.address.is_ipv6() == source.is_ipv6()
                        || (socket.address.is_unspecified() && socket.address.is_ipv6())
                });
                let bound: Vec<IpAddr> = bound.map(|socket| socket.address).collect();
                let specific = bound.iter().copied().find(|address| !address.is_unspecified());
                if let Some(own) = bound.first().and_then(|_| self.own_address(*source, specific)) {
                    answers.push(self.own(&Question::to_node(*source, own, protocol, port)));
                }
            }
            if answers.is_empty() {
                continue;
            }
            let process = listeners.iter().find_map(|socket| socket.process.as_ref());
            let process = process.map(|name| format!(" {name}")).unwrap_or_default();
            let what = format!("{port}/{name}{process}");
            self.row(RowKind::Internet, "the Internet".into(), what, Need::None, answers);
        }
    }

    /// The node's address that a source of this family would use.
    fn own_address(&self, source: IpAddr, wanted: Option<IpAddr>) -> Option<IpAddr> {
        let fits = |address: &IpAddr| address.is_ipv6() == source.is_ipv6();
        let all = self.sides.addresses.get(&self.sides.own)?;
        wanted.filter(fits).or_else(|| all.iter().copied().find(fits))
    }
}

fn ask(sides: &Sides, node: &str, question: &Question) -> (Answer, Answer) {
    let of = |models: &BTreeMap<String, crate::firewall::Model>| match models.get(node) {
        Some(model) => model.ask(question),
        None => {
            Answer { verdict: Verdict::Unknown, by: RuleRef::Unread { why: format!("{node}'s firewall was not read") } }
        }
    };
    (of(&sides.before.models), of(&sides.after.models))
}

/// First and last host.
fn ends(network: &IpNet) -> BTreeSet<IpAddr> {
    let mut hosts = network.hosts();
    let first = hosts.next();
    let last = match network {
        IpNet::V4(v4) => {
            let last = u32::from(v4.broadcast());
            Some(IpAddr::V4(if v4.prefix_len() < 31 { last - 1 } else { last }.into()))
        }
        IpNet::V6(v6) => Some(IpAddr::V6(v6.broadcast())),
    };
    first.into_iter().chain(last).collect()
}

/// One address of each family that nobody of the site has.
fn strangers(facts: &Facts, policy: &Policy) -> Vec<IpAddr> {
    let inside = |address: &IpAddr| {
        policy.site.management.iter().chain(facts.addresses.known().into_iter().flatten()).any(|n| n.contains(address))
    };
    let free: Vec<IpAddr> = OUTSIDE.iter().filter_map(|text| text.parse().ok()).filter(|a| !inside(a)).collect();
    let one = |v6: bool| free.iter().copied().find(|address| address.is_ipv6() == v6);
    one(false).into_iter().chain(one(true)).collect()
}
