//! What `apply` and `rollback` share: who asks for a run, how it is driven, and what its outcome means.

use std::future::Future;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::ToSpan as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::committed::Committed;
use super::connect::{Connector, Node};
use super::terminal::Terminal;
use crate::apply::SshNode;
use crate::apply::bundle::{self, Meta, Order, PeerPair, Windows};
use crate::apply::engine::{self, Login, Outcome, Run};
use crate::apply::journal::{Entry, Event};
use crate::change::Stage;
use crate::error::{Error, Kind, Result};
use crate::event::What;
use crate::facts::Facts;
use crate::plan::{Plan, Proof};
use crate::profile::policy::Policy;
use crate::secret::Secret;
use crate::transport::{Credentials, Methods, Program, Target};

/// Seconds in which an administrator confirms by hand.
const MANUAL_WINDOW: u32 = 900;
/// Fetching packages takes longer than any other stage.
const PACKAGES_FACTOR: u32 = 5;

/// What a person asked for, beside the plan.
#[derive(Clone, Debug)]
pub struct Intent {
    /// "apply" or "rollback".
    pub verb: &'static str,
    /// `--reason`.
    pub reason: Option<String>,
    /// `--confirm manual`.
    pub manual: bool,
    /// `--commit-window`, seconds.
    pub commit_window: Option<u32>,
    /// One line per change.
    pub changes: Vec<String>,
    /// Seal of the plan.
    pub seal: String,
    /// Runs that are taken back.
    pub undoes: Vec<String>,
}

/// Runs what changes nothing; Ctrl-C ends it.
pub async fn before_changes<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        result = work => result,
        () = interrupted() => Err(Error::msg(Kind::Refused, "interrupted").state("nothing was changed")),
    }
}

/// Whether the operator wants out, from the first signal on: also one that comes between two nodes counts.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Listens from now on, for the rest of the command.
    pub fn listen() -> Self {
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            interrupted().await;
            sender.send_replace(true);
            sender.closed().await;
        });
        Self(receiver)
    }

    /// Whether a signal came.
    pub fn came(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves when one has come.
    pub async fn wait(mut self) {
        if self.0.wait_for(|came| *came).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Resolves at Ctrl-C, SIGTERM or SIGHUP; never when none of them can be caught.
async fn interrupted() {
    let (Ok(mut int), Ok(mut term), Ok(mut hup)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = int.recv() => {},
        _ = term.recv() => {},
        _ = hup.recv() => {},
    }
}

/// Yes, or the error that says nothing was changed.
pub fn confirm(question: &str, names: &str, somebody: bool) -> Result<()> {
    let declined = |why: &str, hint: &str| {
        Err(Error::msg(Kind::Refused, why.to_owned())
            .state(format!("nothing was changed on {names}"))
            .hint(hint.to_owned()))
    };
    if !somebody {
        return declined(
            "nobody is at a terminal to say yes",
            "look at the plan, then run the same command with --yes",
        );
    }
    if Terminal::yes(question) {
        Ok(())
    } else {
        declined("declined", "run the same command again when you want the changes")
    }
}

/// Who is at work, in words for the node's history.
pub fn operator_name() -> String {
    let user = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).or_else(|_| std::env::var("LOGNAME"));
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{}@{host}", user.unwrap_or_else(|_| "unknown".into()))
}

/// What belongs to the run beside its steps.
pub fn order(policy: &Policy, facts: &Facts, login: &str, intent: &Intent) -> Result<Order> {
    let now = Timestamp::now();
    let run = &policy.profile.run;
    let commit = intent.commit_window.unwrap_or(if intent.manual { MANUAL_WINDOW } else { run.commit_window });
    let from = facts.session.known().and_then(|session| session.operator).map(|address| address.to_string());
    Ok(Order {
        meta: Meta {
            version: 1,
            id: new_id(now)?,
            verb: intent.verb.into(),
            node: policy.host.name.clone(),
            operator: operator_name(),
            from,
            login: login.to_owned(),
            tool: env!("CARGO_PKG_VERSION").into(),
            profiles: policy.profile_names.clone(),
            digests: policy.digests.clone(),
            seal: intent.seal.clone(),
            reason: intent.reason.clone(),
            started: now,
            changes: intent.changes.clone(),
            undoes: intent.undoes.clone(),
            locked: None,
        },
        windows: Windows {
            stage: run.stage_window,
            packages: run.stage_window.saturating_mul(PACKAGES_FACTOR),
            commit,
            manual: intent.manual,
        },
        admins: policy.site.admins.iter().map(|admin| admin.name.clone()).collect(),
        peers: peers(facts),
    })
}

fn new_id(now: Timestamp) -> Result<String> {
    let mut random = [0_u8; 4];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| std::io::Read::read_exact(&mut source, &mut random))
        .map_err(|error| Error::new(Kind::Internal, error))?;
    Ok(bundle::run_id(now, u32::from_ne_bytes(random)))
}

/// The same as of now: ids sort by time.
pub fn renewed(order: &Order) -> Result<Order> {
    let now = Timestamp::now();
    let meta = Meta { id: new_id(now)?, started: now, ..order.meta.clone() };
    Ok(Order { meta, ..order.clone() })
}

/// Each online peer by each of its addresses, and this node by the address that the peers know.
fn peers(facts: &Facts) -> Vec<PeerPair> {
    let (Some(cluster), Some(own_name)) = (facts.cluster.known(), facts.node_name.known()) else { return Vec::new() };
    let own = facts.addresses.known().cloned().unwrap_or_default();
    let own_for = |peer: &std::net::IpAddr| own.iter().find(|net| net.contains(peer)).map(|net| net.addr().to_string());
    cluster
        .peers
        .iter()
        .filter(|peer| peer.online)
        .flat_map(|peer| {
            peer.addresses.iter().filter_map(|address| {
                Some(PeerPair {
                    name: peer.name.clone(),
                    address: address.to_string(),
                    own_name: own_name.clone(),
                    own_address: own_for(address)?,
                })
            })
        })
        .collect()
}

/// Who must log in anew before the run may stay.
pub fn proving_login(plan: &Plan, manual: bool) -> Login {
    let admin = plan.proofs.iter().find_map(|proof| match proof {
        Proof::AdminLogin { user, .. } => Some(user.clone()),
        _ => None,
    });
    match admin {
        Some(user) if !manual => Login::Admin(user),
        _ => Login::Anybody,
    }
}

/// How one run is driven.
pub struct Way<'a> {
    /// The stage of each of the run's steps.
    pub stages: &'a [Stage],
    /// Who proves.
    pub login: Login,
    /// The proving administrator's new password, if there is one.
    pub sudo: Option<Secret>,
    /// Whether it can close port 8006.
    pub web: bool,
    /// Whether the operator wants out.
    pub stop: &'a Stop,
    /// What this command confirmed on the node before.
    pub before: &'a Committed,
}

/// Drives the run and turns its outcome into a result.
pub async fn drive(
    connector: &Connector,
    node: &Node,
    policy: &Policy,
    program: &Program,
    order: &Order,
    Way { stages, login, sudo, web, stop, before }: Way<'_>,
) -> Result<()> {
    let run = Run { id: order.meta.id.clone(), login, manual: order.windows.manual, web };
    let ways = ways(connector, node, policy, &run.login, sudo);
    let mut teller = Teller::new(connector, order, stages);
    let outcome = Box::pin(engine::drive(&ways, program, &run, stop.clone().wait(), |entry| teller.tell(entry))).await;
    match outcome {
        Outcome::Committed => Ok(()),
        other => Err(failure(other, before, &policy.host.name, &order.meta.id)),
    }
}

/// The engine's ways to a node that is open.
pub fn ways<'a>(
    connector: &Connector,
    node: &'a Node,
    policy: &Policy,
    login: &Login,
    sudo: Option<Secret>,
) -> SshNode<'a> {
    SshNode {
        connection: &node.connection,
        candidates: candidates(connector, node, policy, login, sudo),
        operator: Arc::clone(connector.operator()),
    }
}

/// The administrator who proves, then the login that is open, then whoever the site would try.
fn candidates(
    connector: &Connector,
    node: &Node,
    policy: &Policy,
    login: &Login,
    sudo: Option<Secret>,
) -> Vec<(Target, Credentials)> {
    let mut found: Vec<(Target, Credentials)> = Vec::new();
    if let Login::Admin(user) = login {
        let (target, mut credentials) = connector.login(&policy.host, user, Methods::KeyOnly);
        credentials.sudo = sudo.or(credentials.sudo);
        found.push((target, credentials));
    }
    found.push(connector.login(&policy.host, node.connection.user(), Methods::default()));
    for way in connector.logins(policy, &node.operator.key_fingerprints) {
        if !found.iter().any(|(target, _)| target.user == way.0.user) {
            found.push(way);
        }
    }
    found
}

/// What an outcome other than a commit means, on a node on which this command confirmed something before.
pub fn failure(outcome: Outcome, before: &Committed, node: &str, id: &str) -> Error {
    match outcome {
        Outcome::Refused { word, why } => {
            let kind = match word.as_str() {
                "busy" => Kind::Busy,
                "stale" | "changed" => Kind::Stale,
                "lost" => Kind::Unreachable,
                _ => Kind::Refused,
            };
            let why = if word == "changed" { format!("changed since the run: {why}") } else { why };
            let error = before.untouched(Error::msg(kind, why), node);
            match word.as_str() {
                "changed" => error.hint("look at these files, then run the same command with --force"),
                "simulator" => error.hint(
                    "one of the two is wrong about these rules: report it with /etc/pve/firewall/cluster.fw and the node's \
                     host.fw; without the firewall's controls the rest of the plan can be applied",
                ),
                _ => error,
            }
        }
        Outcome::RolledBack { why } => {
            Error::msg(Kind::RolledBack, why).state(format!("{node} was rolled back and is as it was before run {id}"))
        }
        Outcome::UndoFailed { what, why } => {
            let state = format!("{node} is not wholly undone; everything else of run {id} was put back");
            Error::msg(Kind::NeedsHands, format!("{what} (undone because: {why})")).state(state).hint(
                "take the obstacle away at the node's console and run /usr/local/sbin/pve-harden-undo; the node itself \
                 tries again every minute",
            )
        }
        Outcome::NeedsHands { why } => {
            Error::msg(Kind::NeedsHands, why).state(format!("the state of {node} is not known (run {id})"))
        }
        Outcome::Committed => Error::msg(Kind::Internal, "committed"),
    }
}

/// Turns journal lines into events.
pub struct Teller<'a> {
    connector: &'a Connector,
    order: &'a Order,
    stages: &'a [Stage],
    current: usize,
}

impl<'a> Teller<'a> {
    /// Of one run; `stages` are those of its steps.
    pub const fn new(connector: &'a Connector, order: &'a Order, stages: &'a [Stage]) -> Self {
        Self { connector, order, stages, current: 0 }
    }

    /// Says what a line means.
    pub fn tell(&mut self, entry: &Entry) {
        let meta = &self.order.meta;
        let total = meta.changes.len();
        let what = match &entry.event {
            Event::Stage { name, .. } => {
                let Some(stage) = Stage::ALL.into_iter().find(|stage| stage.name() == name) else { return };
                What::StageBegun { stage, steps: self.stages.iter().filter(|of_step| **of_step == stage).count() }
            }
            Event::Done { step } => {
                self.current = *step as usize;
                let summary = meta.changes.get(self.current.wrapping_sub(1)).cloned().unwrap_or_default();
                What::StepDone { n: self.current, total, summary }
            }
            Event::Settling { name, .. } => {
                What::Note { text: format!("waiting until the {name}'s new rules are live") }
            }
            Event::Proof { name, .. } => What::WaitingForProof { what: proof_words(name).into() },
            Event::Proved { name } => What::Proved { what: proof_words(name).into() },
            Event::Window { seconds } => {
                if self.order.windows.manual {
                    let text = format!("an administrator confirms on the node: sudo pve-harden-confirm {}", meta.id);
                    self.connector.tell(&meta.node, What::Note { text });
                }
                let until = Timestamp::now().checked_add(i64::from(*seconds).seconds());
                What::Window { until: until.unwrap_or_else(|_| Timestamp::now()) }
            }
            Event::Committed { .. } => What::Committed,
            Event::Undoing { by } => What::Undoing { why: by.clone() },
            Event::Undone => What::Undone,
            Event::Note { text } | Event::Kept { text } => What::Note { text: text.clone() },
            Event::Fail { why, .. } => What::Note { text: format!("failed: {why}") },
            Event::UndoFailed { text } => What::Note { text: format!("not undone: {text}") },
            _ => return,
        };
        self.connector.tell(&meta.node, what);
    }
}

fn proof_words(name: &str) -> &str {
    match name {
        "accounts" => "a new login as the administrator, with sudo",
        "password" => "a password login through PAM",
        "rules" => "the firewall's new rules are live",
        "firewall" => "a new login and port 8006 through the new rules",
        other => other,
    }
}
