//! Several members of a cluster take one change of cluster.fw up: all are guarded and kept out of it before it is
//! written, then they take it up one after the other, and nothing is permanent before everyone has proved.
//!
//! [`Choreography`] decides who may go on, from who has come how far; [`drive`] lets the runs of all members wait for
//! it. What may become permanent last is the write itself: the member that made it commits when all others have. Until
//! then the undo of any member puts cluster.fw back, for all of them.

use std::cell::RefCell;
use std::future::Future;

use futures_util::future::join_all;
use tokio::sync::watch;

use super::engine::{self, Gates, Node, Outcome, Run};
use super::journal::Entry;
use crate::transport::Program;

/// Points at which a member waits for others, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gate {
    /// Guarded, and kept out of the datacenter's rules where they are about to be enabled.
    Ready,
    /// cluster.fw is written; its own turn comes next.
    Lift,
    /// Reachable under the new rules.
    Proved,
    /// Waits for its confirmation.
    Commit,
}

impl Gate {
    /// By its name in journals.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "ready" => Self::Ready,
            "lift" => Self::Lift,
            "proved" => Self::Proved,
            "commit" => Self::Commit,
            _ => return None,
        })
    }
}

/// How far each member has come. The first one writes cluster.fw.
#[derive(Clone, Debug)]
pub struct Choreography {
    members: Vec<Stand>,
    /// Why nobody goes on.
    stopped: Option<String>,
}

#[derive(Clone, Debug)]
struct Stand {
    name: String,
    at: Option<Gate>,
    committed: bool,
}

impl Choreography {
    /// Members by name, the one that writes first, the others in the order of their turns.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let member = |name: &str| Stand { name: name.to_owned(), at: None, committed: false };
        Self { members: names.into_iter().map(member).collect(), stopped: None }
    }

    /// A member has come to a gate.
    pub fn arrived(&mut self, member: usize, gate: Gate) {
        if let Some(member) = self.members.get_mut(member) {
            member.at = Some(gate);
        }
    }

    /// A member's run is decided. Whatever it is but a commit stops the others.
    pub fn ended(&mut self, member: usize, outcome: &Outcome) {
        let Some(member) = self.members.get_mut(member) else { return };
        let why = match outcome {
            Outcome::Committed => {
                member.committed = true;
                return;
            }
            Outcome::Refused { why, .. } => format!("{} refused: {why}", member.name),
            Outcome::RolledBack { why } => format!("{} was rolled back: {why}", member.name),
            Outcome::NeedsHands { why } | Outcome::UndoFailed { what: why, .. } => {
                format!("{} needs hands: {why}", member.name)
            }
        };
        self.stopped.get_or_insert(why);
    }

    /// Whether a member that has come to this gate may pass; `None` means not yet.
    pub fn verdict(&self, member: usize, gate: Gate) -> Option<Result<(), String>> {
        if let Some(why) = &self.stopped {
            return Some(Err(why.clone()));
        }
        let others_at = |gate: Gate| self.members.iter().all(|member| member.at >= Some(gate));
        let before_it_at = |gate: Gate| self.members.iter().take(member).all(|member| member.at >= Some(gate));
        let open = match gate {
            Gate::Lift => others_at(gate) && before_it_at(Gate::Proved),
            Gate::Commit if member == 0 => self.members.iter().skip(1).all(|member| member.committed),
            Gate::Ready | Gate::Proved | Gate::Commit => others_at(gate),
        };
        open.then_some(Ok(()))
    }
}

/// One member's run.
pub struct Member<'a, N> {
    /// Its name.
    pub name: String,
    /// The ways to it.
    pub node: &'a N,
    /// Made by [`super::bundle::part_program`].
    pub program: Program,
    /// Id and proving login. Never confirmed by hand: the order of the commits matters.
    pub run: Run,
}

/// Drives the runs of all members, the writer's first in the list, to their ends. `interrupt` makes a future for each
/// that resolves when the operator wants out.
pub async fn drive<N: Node, I: Future<Output = ()>>(
    members: &[Member<'_, N>],
    interrupt: impl Fn() -> I,
    told: impl Fn(&str, &Entry),
) -> Vec<Outcome> {
    let conductor = Conductor::new(members.iter().map(|member| member.name.as_str()));
    let runs = members.iter().enumerate().map(|(place, member)| {
        let (conductor, told, interrupt) = (&conductor, &told, &interrupt);
        async move {
            let gates = Place { conductor, place };
            let told = |entry: &Entry| told(&member.name, entry);
            let run = engine::drive_through(member.node, &member.program, &member.run, &gates, interrupt(), told);
            let outcome = Box::pin(run).await;
            conductor.note(|choreography| choreography.ended(place, &outcome));
            outcome
        }
    });
    join_all(runs).await
}

/// Members commit one after the other, so that one may have committed when another fails. A cluster takes a change up as
/// a whole or not at all: what was committed is taken back, and then says why.
pub async fn take_back<N: Node>(members: &[Member<'_, N>], outcomes: &mut [Outcome]) {
    let failed = members.iter().zip(&*outcomes).find(|(_, outcome)| **outcome != Outcome::Committed);
    let Some(why) = failed.map(|(member, _)| format!("{} did not take the change up", member.name)) else { return };
    for (member, outcome) in members.iter().zip(outcomes) {
        if *outcome == Outcome::Committed {
            *outcome = match undo_committed(member).await {
                Ok(()) => Outcome::RolledBack { why: why.clone() },
                Err(error) => {
                    Outcome::NeedsHands { why: format!("{why}, and the committed run was not undone: {error}") }
                }
            };
        }
    }
}

async fn undo_committed<N: Node>(member: &Member<'_, N>) -> Result<(), String> {
    // The id is ours: digits, letters, a dash.
    let run = &member.run.id;
    let text = format!(
        "timeout 80 systemd-run --quiet --collect --wait --unit=pve-harden-undo-{run} /bin/sh /var/lib/pve-harden/runs/{run}/undo.sh together >/dev/null 2>&1\n\
         if [ -e /var/lib/pve-harden/runs/{run}/undone ]; then emit undo 0; else emit undo 1; fi\n"
    );
    let frames = member.node.run(&Program::new(&text)).await.map_err(|error| error.to_string())?;
    let undone = frames.iter().any(|frame| frame.name == "undo" && frame.status == 0);
    if undone { Ok(()) } else { Err("its undo did not end; run /usr/local/sbin/pve-harden-undo there".into()) }
}

/// The choreography, and a bell for those who wait.
struct Conductor {
    choreography: RefCell<Choreography>,
    bell: watch::Sender<()>,
}

impl Conductor {
    fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self { choreography: RefCell::new(Choreography::new(names)), bell: watch::Sender::new(()) }
    }

    fn note(&self, what: impl FnOnce(&mut Choreography)) {
        what(&mut self.choreography.borrow_mut());
        self.bell.send_replace(());
    }
}

/// One member at the gates.
struct Place<'a> {
    conductor: &'a Conductor,
    place: usize,
}

impl Gates for Place<'_> {
    async fn pass(&self, gate: &str) -> Result<(), String> {
        let gate = Gate::named(gate).ok_or_else(|| format!("there is no gate {gate}"))?;
        let mut bell = self.conductor.bell.subscribe();
        self.conductor.note(|choreography| choreography.arrived(self.place, gate));
        loop {
            let verdict = self.conductor.choreography.borrow().verdict(self.place, gate);
            if let Some(verdict) = verdict {
                return verdict;
            }
            if bell.changed().await.is_err() {
                return Err("the other members are gone".into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use tokio::sync::mpsc;

    use super::super::engine::Login;
    use super::*;
    use crate::transport::Frame;

    fn three() -> Choreography {
        Choreography::new(["pve1", "pve2", "pve3"])
    }

    #[test]
    fn nothing_is_written_before_all_are_ready() {
        let mut choreography = three();
        choreography.arrived(0, Gate::Ready);
        choreography.arrived(1, Gate::Ready);
        assert_eq!(choreography.verdict(0, Gate::Ready), None);
        choreography.arrived(2, Gate::Ready);
        assert_eq!(choreography.verdict(0, Gate::Ready), Some(Ok(())));
    }

    #[test]
    fn one_after_the_other_is_lifted() {
        let mut choreography = three();
        for member in 0..3 {
            choreography.arrived(member, Gate::Lift);
        }
        assert_eq!(choreography.verdict(0, Gate::Lift), Some(Ok(())));
        assert_eq!(choreography.verdict(1, Gate::Lift), None);
        choreography.arrived(0, Gate::Proved);
        assert_eq!(choreography.verdict(1, Gate::Lift), Some(Ok(())));
        assert_eq!(choreography.verdict(2, Gate::Lift), None);
        assert_eq!(choreography.verdict(0, Gate::Proved), None);
    }

    #[test]
    fn the_writer_commits_last() {
        let mut choreography = three();
        for member in 0..3 {
            choreography.arrived(member, Gate::Commit);
        }
        assert_eq!(choreography.verdict(0, Gate::Commit), None);
        assert_eq!(choreography.verdict(1, Gate::Commit), Some(Ok(())));
        choreography.ended(1, &Outcome::Committed);
        assert_eq!(choreography.verdict(0, Gate::Commit), None);
        choreography.ended(2, &Outcome::Committed);
        assert_eq!(choreography.verdict(0, Gate::Commit), Some(Ok(())));
    }

    #[test]
    fn one_that_fails_stops_all() {
        let mut choreography = three();
        choreography.arrived(0, Gate::Proved);
        choreography.ended(1, &Outcome::RolledBack { why: "no quorum".into() });
        choreography.ended(2, &Outcome::RolledBack { why: "pve2 was rolled back: no quorum".into() });
        let why = "pve2 was rolled back: no quorum".to_owned();
        assert_eq!(choreography.verdict(0, Gate::Proved), Some(Err(why)));
    }

    /// A node that speaks its lines one by one, each after the mark that it waits for.
    struct Fake {
        name: &'static str,
        lines: Vec<&'static str>,
        mark: watch::Sender<u32>,
        log: Rc<RefCell<Vec<String>>>,
        undo: Rc<Cell<u32>>,
        refuses_login: bool,
    }

    impl Fake {
        fn new(name: &'static str, log: &Rc<RefCell<Vec<String>>>) -> Self {
            let lines = vec![
                "1 armed 60",
                "2 gate ready 500",
                "3 gate lift 500",
                "4 proof firewall 60",
                "5 gate proved 500",
                "6 window 60",
                "7 committed ops",
            ];
            let (mark, log) = (watch::Sender::new(0), Rc::clone(log));
            Self { name, lines, mark, log, undo: Rc::default(), refuses_login: false }
        }

        fn done(name: &str) -> Frame {
            Frame { name: "proof".into(), status: 0, body: name.into() }
        }
    }

    impl Node for Fake {
        type Error = String;

        async fn follow(&self, _: &Program, frames: mpsc::UnboundedSender<Frame>) -> Result<(), String> {
            let mut marked = self.mark.subscribe();
            let say = |line: &str| {
                let _ = frames.send(Frame { name: "journal".into(), status: 0, body: line.into() });
            };
            for line in &self.lines {
                say(line);
                self.log.borrow_mut().push(format!("{} {}", self.name, line.split_once(' ').unwrap().1));
                if ["gate", "proof", "window"].iter().any(|word| line.contains(word)) {
                    let _ = marked.changed().await;
                    if self.undo.get() > 0 {
                        say("8 undoing operator");
                        say("9 undone");
                        break;
                    }
                }
            }
            std::future::pending().await
        }

        async fn run(&self, program: &Program) -> Result<Vec<Frame>, String> {
            if format!("{program:?}").contains("undo.sh") {
                self.undo.set(self.undo.get() + 1);
            }
            self.mark.send_modify(|count| *count += 1);
            Ok(vec![Self::done(self.name)])
        }

        async fn web(&self) -> bool {
            false
        }

        async fn fresh(&self, _: &Login, _: &Program) -> Result<Vec<Frame>, String> {
            if self.refuses_login {
                return Err("no route".into());
            }
            self.mark.send_modify(|count| *count += 1);
            Ok(vec![Self::done(self.name)])
        }
    }

    fn members(nodes: &[Fake]) -> Vec<Member<'_, Fake>> {
        nodes
            .iter()
            .map(|node| Member {
                name: node.name.into(),
                node,
                program: Program::new(""),
                run: Run { id: "20260101T000000Z-0001".into(), login: Login::Anybody, manual: false, web: true },
            })
            .collect()
    }

    async fn all(nodes: &[Fake]) -> Vec<Outcome> {
        drive(&members(nodes), std::future::pending::<()>, |_, _| ()).await
    }

    #[tokio::test(start_paused = true)]
    async fn all_members_go_through_together_and_the_writer_commits_last() {
        let log = Rc::default();
        let nodes = ["pve1", "pve2", "pve3"].map(|name| Fake::new(name, &log));
        assert_eq!(all(&nodes).await, vec![Outcome::Committed; 3]);
        let log = log.borrow();
        let place = |line: &str| log.iter().position(|said| said == line).unwrap();
        assert!(place("pve1 gate proved 500") < place("pve2 proof firewall 60"), "{log:#?}");
        assert!(place("pve2 gate proved 500") < place("pve3 proof firewall 60"), "{log:#?}");
        assert!(place("pve3 committed ops") < place("pve1 committed ops"), "{log:#?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_committed_is_taken_back_when_another_failed() {
        let log = Rc::default();
        let nodes = ["pve1", "pve2"].map(|name| Fake::new(name, &log));
        let members = members(&nodes);
        let failed = Outcome::RolledBack { why: "no quorum".into() };
        let mut outcomes = [failed.clone(), Outcome::Committed];
        take_back(&members, &mut outcomes).await;
        // The fake node answers nothing of the kind.
        let why = "pve1 did not take the change up, and the committed run was not undone: its undo did not end; run \
                   /usr/local/sbin/pve-harden-undo there";
        assert_eq!(outcomes, [failed, Outcome::NeedsHands { why: why.into() }]);
        assert_eq!((nodes[0].undo.get(), nodes[1].undo.get()), (0, 1));
        let mut outcomes = [Outcome::Committed, Outcome::Committed];
        take_back(&members, &mut outcomes).await;
        assert_eq!(outcomes, [Outcome::Committed, Outcome::Committed]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_that_cannot_be_reached_under_its_rules_takes_all_back() {
        let log = Rc::default();
        let mut nodes = ["pve1", "pve2", "pve3"].map(|name| Fake::new(name, &log));
        nodes[1].refuses_login = true;
        let outcomes = all(&nodes).await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::RolledBack { .. })), "{outcomes:?}");
        let Outcome::RolledBack { why } = &outcomes[0] else { unreachable!() };
        assert_eq!(why, "pve2 was rolled back: the proof by a new login failed: no route");
        assert!(!log.borrow().iter().any(|line| line.contains("pve3 proof")), "{log:?}");
    }
}
