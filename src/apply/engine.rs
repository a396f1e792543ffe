//! Follows a run from this side: hands the node its folder, reads its journal, gives the proofs by fresh logins, and
//! when the link is lost finds out what the node did by itself. The node needs none of this to end in a safe state.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::journal::{self, Entry, Event};
use crate::transport::Frame;
use crate::transport::Program;
use crate::transport::quote;

const PROVE: &str = include_str!("remote/prove.sh");
const STATUS: &str = include_str!("remote/status.sh");
/// A window that a damaged journal could make of itself is cut to this, in seconds.
const LONGEST_WINDOW: u64 = 7200;
/// How long the outcome is looked for after the node's own deadline has passed: the undo itself takes time.
const AFTER_DEADLINE: Duration = Duration::from_secs(30);
/// Silence after the deadline that counts as a lost link. The guard speaks within 3 s when the node is well.
const SILENCE: Duration = Duration::from_secs(10);
/// How long port 8006 may take to answer again; one question takes a busy node seconds.
const WEB_PATIENCE: Duration = Duration::from_secs(20);
/// Until the node has a deadline of its own: reading again, saving, asking every peer.
const BEFORE_GUARD: Duration = Duration::from_secs(300);
/// An undo may have to finish what dpkg left half done.
const UNDO: Duration = Duration::from_secs(330);
/// One question of [`learn`]; the node's answer waits for a decision at most so many seconds.
const ONE_QUESTION: u64 = 60;

/// Who the fresh login must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// This administrator, by key and then sudo.
    Admin(String),
    /// Anybody who may become root: after a rollback that is whoever could before.
    Anybody,
}

/// The operator's ways to one node.
pub trait Node {
    /// Why a way failed.
    type Error: std::fmt::Display;

    /// Runs a program over the open connection, each frame sent on as it arrives.
    fn follow(
        &self,
        program: &Program,
        frames: mpsc::UnboundedSender<Frame>,
    ) -> impl Future<Output = Result<(), Self::Error>>;

    /// Runs a program over the open connection, or over a new one when that is lost.
    fn run(&self, program: &Program) -> impl Future<Output = Result<Vec<Frame>, Self::Error>>;

    /// Whether port 8006 answers the beginning of a TLS handshake from here, over a new TCP connection.
    fn web(&self) -> impl Future<Output = bool>;

    /// Runs a program over a new TCP connection that shares nothing with the open one.
    fn fresh(&self, login: &Login, program: &Program) -> impl Future<Output = Result<Vec<Frame>, Self::Error>>;
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Permanent.
    Committed,
    /// Nothing was changed. The word is the node's: busy, quorum, stale, changed, simulator, prepare, guard, broken.
    Refused {
        /// Kind of refusal.
        word: String,
        /// What the node said.
        why: String,
    },
    /// The node put everything back.
    RolledBack {
        /// What made it do so.
        why: String,
    },
    /// The node put everything back but what is named, and goes on trying.
    UndoFailed {
        /// Which steps and why.
        what: String,
        /// What made it undo.
        why: String,
    },
    /// Nobody could tell.
    NeedsHands {
        /// What is known.
        why: String,
    },
}

/// What is needed to drive one run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Run id.
    pub id: String,
    /// Who proves that the way in still works.
    pub login: Login,
    /// Confirmation is given by hand on the node.
    pub manual: bool,
    /// The run can close port 8006, or what it leads to.
    pub web: bool,
}

/// What a run waits for beside its own proofs: other members of its cluster.
pub trait Gates {
    /// Resolves when the run may pass; the reason when it never will. `commit` is asked for before the last proof.
    fn pass(&self, gate: &str) -> impl Future<Output = Result<(), String>>;
}

/// A run on its own.
#[derive(Clone, Copy, Debug)]
pub struct Alone;

impl Gates for Alone {
    async fn pass(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
}

/// Drives a run to its end. `interrupt` resolves when the operator wants out; `told` sees each journal line.
pub async fn drive<N: Node>(
    node: &N,
    program: &Program,
    run: &Run,
    interrupt: impl Future<Output = ()>,
    told: impl FnMut(&Entry),
) -> Outcome {
    drive_through(node, program, run, &Alone, interrupt, told).await
}

/// As [`drive`], together with others.
pub async fn drive_through<N: Node, G: Gates>(
    node: &N,
    program: &Program,
    run: &Run,
    gates: &G,
    interrupt: impl Future<Output = ()>,
    mut told: impl FnMut(&Entry),
) -> Outcome {
    tokio::pin!(interrupt);
    // What did not answer before is not held against the run.
    let web = run.web
        && !run.manual
        && tokio::select! {
            biased;
            answers = node.web() => answers,
            () = &mut interrupt => {
                return Outcome::Refused { word: "interrupted".into(), why: "interrupted".into() };
            }
        };
    let (sender, mut frames) = mpsc::unbounded_channel();
    let deadline = Instant::now() + BEFORE_GUARD;
    let mut state = State { run, cause: None, undo_failed: BTreeSet::new(), deadline, armed: false, wants_out: false };
    let follow = node.follow(program, sender);
    tokio::pin!(follow);
    let mut link = None;
    // What the node waits for; its journal is read meanwhile.
    let mut task: Option<LocalBoxFuture<'_, Result<(), String>>> = None;
    loop {
        tokio::select! {
            biased;
            frame = frames.recv() => match frame {
                Some(frame) => {
                    let Some(entry) = entry_of(&frame) else { continue };
                    told(&entry);
                    state.note_deadline(&entry.event);
                    if let Some(outcome) = state.settle(&entry) {
                        return outcome;
                    }
                    if state.wants_out {
                        if entry.event.renews_guard() {
                            request_undo(node, run).await;
                        }
                    } else if let Some(wanted) = state.wanted(&entry.event) {
                        task = Some(Box::pin(give(node, run, gates, web, wanted)));
                    }
                }
                None => break,
            },
            given = outcome_of(&mut task) => {
                task = None;
                if let Err(why) = given {
                    state.get_out(why);
                    request_undo(node, run).await;
                }
            }
            () = &mut interrupt, if !state.wants_out => {
                task = None;
                state.get_out("interrupted".into());
                if state.armed {
                    request_undo(node, run).await;
                }
            }
            end = &mut follow, if link.is_none() => {
                link = Some(end.err().map(|error| error.to_string()));
                if task.take().is_some() {
                    state.get_out("the connection was lost".into());
                    request_undo(node, run).await;
                }
            }
            () = sleep_until(state.deadline + SILENCE) => {
                link.get_or_insert_with(|| Some("the node says nothing any more".into()));
                break;
            }
        }
    }
    let lost = link.flatten().unwrap_or_else(|| "the answer ended early".into());
    learn(node, &mut state, &lost, told).await
}

/// Never resolves without a task.
async fn outcome_of(task: &mut Option<LocalBoxFuture<'_, Result<(), String>>>) -> Result<(), String> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

/// What a line of the journal asks this side for.
enum Wanted {
    /// A fresh login that leaves this mark.
    Proof(&'static str),
    /// Leave to go on, from the others.
    Gate(String),
}

/// Gives the node what it waits for; the reason when that cannot be.
async fn give<N: Node, G: Gates>(node: &N, run: &Run, gates: &G, web: bool, wanted: Wanted) -> Result<(), String> {
    match wanted {
        Wanted::Proof(task) => {
            if task == "commit" {
                gates.pass(task).await?;
            }
            prove(node, run, web, task).await
        }
        Wanted::Gate(gate) => {
            gates.pass(&gate).await?;
            let frames = node.run(&mark(run, &format!("gate-{gate}"))).await;
            judge(&frames.map_err(|error| error.to_string())?)
        }
    }
}

struct State<'a> {
    run: &'a Run,
    /// First reason for an undo.
    cause: Option<String>,
    /// Of the newest try: "NUMBER why".
    undo_failed: BTreeSet<String>,
    /// When the node's guard fires at the latest.
    deadline: Instant,
    /// The node has something to undo.
    armed: bool,
    /// No proof is given any more; the undo is asked for whenever the node might have missed it.
    wants_out: bool,
}

impl State<'_> {
    fn get_out(&mut self, why: String) {
        self.wants_out = true;
        self.cause.get_or_insert(why);
    }

    /// Only for lines that arrive as they are written: a journal read later says nothing about now.
    fn note_deadline(&mut self, event: &Event) {
        self.armed |= event.renews_guard();
        if let Some(seconds) = event.deadline().and_then(|seconds| u64::try_from(seconds).ok()) {
            self.deadline = Instant::now() + Duration::from_secs(seconds);
        }
        match event {
            Event::Undoing { .. } => self.deadline = Instant::now() + UNDO,
            // The node goes on trying; whoever waits here is told.
            Event::UndoFailed { .. } => self.deadline = Instant::now(),
            _ => {}
        }
    }

    /// The node's own deadline, from its journal and its clock; the end of an undo, once one began.
    fn take_deadline(&mut self, frames: &[Frame]) {
        let body = |name: &str| {
            frames.iter().find(|frame| frame.name == name).map(|frame| String::from_utf8_lossy(&frame.body))
        };
        let Some(now) = body("now").and_then(|text| text.trim().parse::<i64>().ok()) else { return };
        let entries = journal::parse_all(&body("journal").unwrap_or_default());
        let end = |entry: &Entry| match entry.event {
            Event::Undoing { .. } => i64::try_from(UNDO.as_secs()).ok(),
            _ => entry.event.deadline(),
        };
        let last = entries.iter().rev().find_map(|entry| end(entry).map(|seconds| entry.time + seconds));
        if let Some(left) = last.and_then(|end| u64::try_from(end - now).ok()) {
            self.deadline = Instant::now() + Duration::from_secs(left.min(LONGEST_WINDOW));
        }
    }

    /// Takes one journal line in; answers when it decides the run.
    fn settle(&mut self, entry: &Entry) -> Option<Outcome> {
        match &entry.event {
            Event::Fail { step, why } => {
                self.cause.get_or_insert(if *step == 0 { why.clone() } else { format!("step {step}: {why}") });
            }
            Event::Undoing { by } => {
                self.cause.get_or_insert_with(|| undo_reason(by).into());
                self.undo_failed.clear();
            }
            Event::UndoFailed { text } => {
                self.undo_failed.insert(text.clone());
            }
            // The guard's own try counts: the first is made by whatever failed, and the guard follows it at once.
            Event::GaveUp { by } if by == "guard" => return Some(self.half_undone()),
            Event::Committed { .. } => return Some(Outcome::Committed),
            Event::Undone => return Some(Outcome::RolledBack { why: self.why() }),
            Event::Refused { word, why } => return Some(Outcome::Refused { word: word.clone(), why: why.clone() }),
            _ => {}
        }
        None
    }

    fn wanted(&self, event: &Event) -> Option<Wanted> {
        match event {
            Event::Proof { name, .. } => {
                ["accounts", "firewall"].into_iter().find(|known| known == name).map(Wanted::Proof)
            }
            Event::Gate { name, .. } if is_word(name) => Some(Wanted::Gate(name.clone())),
            Event::Window { .. } if !self.run.manual => Some(Wanted::Proof("commit")),
            _ => None,
        }
    }

    fn half_undone(&self) -> Outcome {
        let named = |text: &String| match text.split_once(' ') {
            Some((number, why)) if number.parse::<u32>().is_ok() => format!("step {number}: {why}"),
            Some((_, why)) => why.to_owned(),
            None => text.clone(),
        };
        let what = self.undo_failed.iter().map(named).collect::<Vec<_>>().join("; ");
        Outcome::UndoFailed { what, why: self.why() }
    }

    fn why(&self) -> String {
        self.cause.clone().unwrap_or_else(|| "the node gave no reason".into())
    }
}

const fn undo_reason(by: &str) -> &'static str {
    match by.as_bytes() {
        b"guard" => "no fresh login confirmed the run in time",
        b"console" => "somebody undid the run at the node",
        b"boot-local" | b"boot-pve" => "the node was restarted before the run was confirmed",
        _ => "the run was undone",
    }
}

fn entry_of(frame: &Frame) -> Option<Entry> {
    let text = String::from_utf8_lossy(&frame.body);
    match frame.name.as_str() {
        "journal" => Some(journal::parse(text.trim_end())),
        "refused" => {
            Some(Entry { time: 0, event: Event::Refused { word: "prepare".into(), why: text.trim_end().to_owned() } })
        }
        _ => None,
    }
}

/// A gate's name becomes part of a file name on the node.
fn is_word(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// A fresh login that leaves its mark; the reason when it could not. Where the run can close port 8006, that is asked
/// for first: the mark is what lets the run go on.
async fn prove<N: Node>(node: &N, run: &Run, web: bool, task: &str) -> Result<(), String> {
    if web && task != "accounts" && !web_answers(node).await {
        return Err("port 8006 answered from here before the run and does not now".into());
    }
    let frames = node
        .fresh(&run.login, &mark(run, task))
        .await
        .map_err(|error| format!("the proof by a new login failed: {error}"))?;
    judge(&frames)
}

/// The program that leaves a mark, or commits.
fn mark(run: &Run, task: &str) -> Program {
    let who = match &run.login {
        Login::Admin(name) => name.as_str(),
        Login::Anybody => "operator",
    };
    Program::new(&format!(
        "RUN={}\nTASK={}\nWHO={}\n{PROVE}",
        quote::shell(&run.id),
        quote::shell(task),
        quote::shell(who)
    ))
}

fn judge(frames: &[Frame]) -> Result<(), String> {
    let Some(frame) = frames.iter().find(|frame| frame.name == "proof") else {
        return Err("the new login did not answer".into());
    };
    if frame.status == 0 { Ok(()) } else { Err(String::from_utf8_lossy(&frame.body).trim_end().to_owned()) }
}

/// A restarted pveproxy needs a moment; rules that drop packets answer as slowly as a question may take.
async fn web_answers<N: Node>(node: &N) -> bool {
    let end = Instant::now() + WEB_PATIENCE;
    loop {
        if node.web().await {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        sleep_until(Instant::now() + Duration::from_secs(1)).await;
    }
}

/// Asks the node to undo now instead of at its deadline. When it cannot be asked, the guard does the same later.
async fn request_undo<N: Node>(node: &N, run: &Run) {
    let text = format!(
        "systemd-run --quiet --collect --no-block --unit=pve-harden-undo-{0} /bin/sh /var/lib/pve-harden/runs/{0}/undo.sh operator >/dev/null 2>&1\nemit undo \"$?\"\n",
        // The id is ours: digits, letters, a dash.
        run.id
    );
    let limit = Instant::now() + Duration::from_secs(30);
    let _ = timeout_at(limit, node.run(&Program::new(&text))).await;
}

/// The link is gone: asks again and again until the node's deadline has passed, plus the time an undo may take.
async fn learn<N: Node>(node: &N, state: &mut State<'_>, lost: &str, mut told: impl FnMut(&Entry)) -> Outcome {
    let mut newest = lost.to_owned();
    let mut pause = Duration::from_secs(1);
    let mut asked = false;
    while Instant::now() < state.deadline + AFTER_DEADLINE {
        // The first question is answered at once: a run that waits for a login it will never get need not go on.
        let wait = if asked || state.run.manual {
            (state.deadline + AFTER_DEADLINE).saturating_duration_since(Instant::now()).as_secs().min(ONE_QUESTION)
        } else {
            0
        };
        let text = format!("RUN={}\nWAIT={wait}\n{STATUS}", quote::shell(&state.run.id));
        match timeout_at(state.deadline + AFTER_DEADLINE + Duration::from_secs(10), node.run(&Program::new(&text)))
            .await
        {
            Ok(Ok(frames)) => {
                if let Some(outcome) = read_status(state, &frames, lost, &mut told) {
                    return outcome;
                }
                state.take_deadline(&frames);
                if !asked && !state.run.manual {
                    asked = true;
                    request_undo(node, state.run).await;
                }
            }
            Ok(Err(error)) => newest = error.to_string(),
            Err(_) => break,
        }
        sleep_until((Instant::now() + pause).min(state.deadline + AFTER_DEADLINE)).await;
        pause = (pause * 2).min(Duration::from_secs(10));
    }
    if state.undo_failed.is_empty() {
        Outcome::NeedsHands { why: format!("the outcome could not be learned: {newest}") }
    } else {
        state.half_undone()
    }
}

fn read_status(state: &mut State<'_>, frames: &[Frame], lost: &str, told: &mut impl FnMut(&Entry)) -> Option<Outcome> {
    let body = |name: &str| {
        frames
            .iter()
            .find(|frame| frame.name == name && frame.status == 0)
            .map(|frame| String::from_utf8_lossy(&frame.body))
    };
    let mut half_undone = None;
    for entry in journal::parse_all(&body("journal").unwrap_or_default()) {
        let decided = state.settle(&entry);
        if matches!(decided, Some(Outcome::UndoFailed { .. })) {
            // A later try may have done better.
            half_undone = decided;
        } else if decided.is_some() {
            told(&entry);
            if matches!(decided, Some(Outcome::RolledBack { .. })) && state.cause.is_none() {
                return Some(Outcome::RolledBack { why: lost.to_owned() });
            }
            return decided;
        }
    }
    match body("outcome")?.trim_end() {
        "absent" => {
            Some(Outcome::Refused { word: "lost".into(), why: format!("the run did not reach the node: {lost}") })
        }
        "refused" => Some(Outcome::Refused { word: "lost".into(), why: lost.to_owned() }),
        // Decided, but whoever decided was cut off before the journal had it.
        "committed" => Some(Outcome::Committed),
        "undone" => Some(Outcome::RolledBack { why: state.cause.clone().unwrap_or_else(|| lost.to_owned()) }),
        "undoing" => half_undone,
        _ => None,
    }
}

#[cfg(test)]
mod tests;
