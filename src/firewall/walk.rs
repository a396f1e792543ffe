//! A packet's way through the chains. A condition that cannot be told opens both ways; if they end differently, the
//! answer is unknown.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::kernel::{AddressType, Match, Rule, Ruleset, Target};
use super::{Answer, Direction, NodeAddresses, Protocol, Question, RuleRef, Verdict};

/// Linux's default `net.ipv4.ip_local_port_range`.
const EPHEMERAL: RangeInclusive<u16> = 32768..=60999;

/// Deeper than any chain PVE makes.
const MAX_DEPTH: usize = 16;

pub(super) fn ask(rules: &Ruleset, node: &NodeAddresses, question: &Question) -> Answer {
    let base = match question.direction {
        Direction::In => ["PVEFW-INPUT", "input"],
        Direction::Out => ["PVEFW-OUTPUT", "output"],
        Direction::Forward => ["PVEFW-FORWARD", "forward"],
    };
    let mut walk = Walk { rules, node, question, ends: Vec::new() };
    let start = vec![State::default()];
    let exits = match base.iter().find(|name| rules.chain(name).is_some()) {
        Some(base) => walk.chain(base, start, 0),
        None => start,
    };
    for exit in exits {
        let by = exit.by.unwrap_or_else(|| RuleRef::automatic("what no rule matches passes"));
        walk.ends.push((Verdict::Accept, by, exit.doubt));
    }
    conclude(walk.ends)
}

fn conclude(ends: Vec<(Verdict, RuleRef, Option<RuleRef>)>) -> Answer {
    let first = ends.first().map_or(Verdict::Unknown, |end| end.0);
    if ends.iter().all(|end| end.0 == first) {
        // What is certain is named first.
        let certain = ends.iter().find(|end| end.2.is_none()).or(ends.first());
        let by = certain.map_or(RuleRef::Unread { why: "the rules have no end".into() }, |end| end.1.clone());
        return Answer { verdict: first, by };
    }
    let doubt = ends.into_iter().find_map(|end| end.2);
    Answer { verdict: Verdict::Unknown, by: doubt.unwrap_or(RuleRef::Unread { why: "a rule in doubt".into() }) }
}

/// What is known of the packet at one point of its way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    marked: bool,
    /// The rule that set the mark or returned.
    by: Option<RuleRef>,
    /// The first rule whose condition could not be told.
    doubt: Option<RuleRef>,
}

struct Walk<'a> {
    rules: &'a Ruleset,
    node: &'a NodeAddresses,
    question: &'a Question,
    ends: Vec<(Verdict, RuleRef, Option<RuleRef>)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Truth {
    Yes,
    No,
    Maybe,
}

impl Truth {
    fn of(truth: bool) -> Self {
        if truth { Self::Yes } else { Self::No }
    }
}

impl Walk<'_> {
    /// Walks a chain; gives the states in which the packet comes back from it.
    fn chain(&mut self, name: &str, start: Vec<State>, depth: usize) -> Vec<State> {
        let rules = self.rules;
        let Some(chain) = rules.chain(name).filter(|_| depth < MAX_DEPTH) else { return start };
        let mut live = start;
        let mut exits = Vec::new();
        for rule in &chain.rules {
            let mut next = Vec::new();
            for state in live {
                match self.holds(rule, &state) {
                    Truth::No => push(&mut next, state),
                    Truth::Yes => self.hit(rule, state, depth, &mut next, &mut exits),
                    Truth::Maybe => {
                        let mut doubtful = state;
                        doubtful.doubt.get_or_insert_with(|| rule.origin.clone());
                        push(&mut next, doubtful.clone());
                        self.hit(rule, doubtful, depth, &mut next, &mut exits);
                    }
                }
            }
            live = next;
            if live.is_empty() {
                break;
            }
        }
        for state in live {
            push(&mut exits, state);
        }
        exits
    }

    fn hit(&mut self, rule: &Rule, mut state: State, depth: usize, next: &mut Vec<State>, exits: &mut Vec<State>) {
        let by = |state: &State| match &rule.origin {
            // The rule that looks at a group's mark: the group's rule decided.
            RuleRef::File { .. } if rule.matches == [Match::Marked] => state.by.clone(),
            _ => None,
        };
        match &rule.target {
            Target::Accept | Target::Drop | Target::Reject => {
                let verdict = match rule.target {
                    Target::Accept => Verdict::Accept,
                    Target::Drop => Verdict::Drop,
                    _ => Verdict::Reject,
                };
                let by = by(&state).unwrap_or_else(|| rule.origin.clone());
                self.ends.push((verdict, by, state.doubt));
            }
            Target::Return => {
                state.by = by(&state).or_else(|| Some(rule.origin.clone()));
                push(exits, state);
            }
            Target::Jump(chain) => {
                for back in self.chain(chain, vec![state], depth + 1) {
                    push(next, back);
                }
            }
            Target::Goto(chain) => {
                // A goto into the chain that marks: the rule that went there is the one to name.
                if !state.marked {
                    state.by = Some(rule.origin.clone());
                }
                for back in self.chain(chain, vec![state], depth + 1) {
                    push(exits, back);
                }
            }
            Target::SetMark(mark) => {
                state.marked = *mark;
                if !mark {
                    state.by = None;
                }
                push(next, state);
            }
            Target::Log => push(next, state),
        }
    }

    fn holds(&self, rule: &Rule, state: &State) -> Truth {
        let mut all = Truth::Yes;
        for condition in &rule.matches {
            match self.condition(condition, state) {
                Truth::No => return Truth::No,
                Truth::Maybe => all = Truth::Maybe,
                Truth::Yes => {}
            }
        }
        all
    }

    fn condition(&self, condition: &Match, state: &State) -> Truth {
        let question = self.question;
        let set = |name: &str, address: IpAddr| match self.rules.sets.get(name) {
            Some(set) => Truth::of(set.contains(address)),
            None => Truth::Maybe,
        };
        match condition {
            Match::InInterface(name) => self.interface(name, question.direction != Direction::Out),
            Match::OutInterface(name) => self.interface(name, question.direction == Direction::Out),
            Match::Source(ranges) => Truth::of(ranges.iter().any(|range| range.contains(question.source))),
            Match::Dest(ranges) => Truth::of(ranges.iter().any(|range| range.contains(question.destination))),
            Match::SourceSet(name) => set(name, question.source),
            Match::DestSet(name) => set(name, question.destination),
            Match::Protocol(number) => Truth::of(question.protocol.number(question.destination.is_ipv6()) == *number),
            Match::SourcePorts(ranges) => source_port(question, ranges),
            Match::DestPorts(ranges) => {
                Truth::of(question.port.is_some_and(|port| ranges.iter().any(|range| range.contains(&port))))
            }
            Match::Icmp(kind, code) => match question.protocol {
                Protocol::Icmp(asked) if kind.is_none_or(|kind| kind == asked) => {
                    // Codes are not asked for; echo and the like have none but 0.
                    if code.is_none() { Truth::Yes } else { Truth::Maybe }
                }
                _ => Truth::No,
            },
            Match::New => Truth::Yes,
            Match::Never => Truth::No,
            Match::Marked => Truth::of(state.marked),
            Match::SourceType(kind) => self.is_of(question.source, *kind),
            Match::DestType(kind) => self.is_of(question.destination, *kind),
            Match::Doubt => Truth::Maybe,
        }
    }

    fn interface(&self, name: &str, applies: bool) -> Truth {
        let loopback = self.question.source.is_loopback() || self.question.destination.is_loopback();
        match &self.question.interface {
            _ if !applies => Truth::No,
            Some(interface) => Truth::of(interface == name),
            // Packets of other hosts do not come by the loopback interface.
            None if name == "lo" => Truth::of(loopback),
            None if loopback => Truth::No,
            None => Truth::Maybe,
        }
    }

    fn is_of(&self, address: IpAddr, kind: AddressType) -> Truth {
        match kind {
            AddressType::Multicast => Truth::of(address.is_multicast()),
            AddressType::Broadcast => match address {
                IpAddr::V4(v4) => {
                    let ours = |net: &ipnet::IpNet| {
                        net.addr().is_ipv4() && net.prefix_len() < 31 && net.broadcast() == address
                    };
                    Truth::of(v4.is_broadcast() || self.node.networks.iter().any(ours))
                }
                IpAddr::V6(_) => Truth::No,
            },
            // IPv4 has none unless a route says so.
            AddressType::Anycast => Truth::No,
        }
    }
}

fn source_port(question: &Question, ranges: &[RangeInclusive<u16>]) -> Truth {
    if !matches!(question.protocol, Protocol::Tcp | Protocol::Udp | Protocol::Other(_)) {
        return Truth::No;
    }
    if let Some(port) = question.source_port {
        return Truth::of(ranges.iter().any(|range| range.contains(&port)));
    }
    let covers = |range: &RangeInclusive<u16>| range.contains(EPHEMERAL.start()) && range.contains(EPHEMERAL.end());
    let touches = |range: &RangeInclusive<u16>| range.start() <= EPHEMERAL.end() && EPHEMERAL.start() <= range.end();
    if ranges.iter().any(covers) {
        Truth::Yes
    } else if ranges.iter().any(touches) {
        Truth::Maybe
    } else {
        Truth::No
    }
}

fn push(states: &mut Vec<State>, state: State) {
    let same = |known: &&mut State| known.marked == state.marked && known.by == state.by;
    match states.iter_mut().find(same) {
        Some(known) => {
            if state.doubt.is_none() {
                known.doubt = None;
            }
        }
        None => states.push(state),
    }
}
