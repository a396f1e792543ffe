//! `pve-harden access lock|unlock USER`: takes away at once what somebody may do, writes down what was done with it,
//! and gives back later what can be given back.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use jiff::Timestamp;

use super::args::{Connection, Wanted};
use super::connect::{Connector, Node, reason_given};
use super::output::{Output, write_private};
use super::run;
use super::settings::Settings;
use super::task::{self, Asked};
use crate::access::lock;
use crate::change::access::{AccessStep, Locked};
use crate::change::{Action, Change, Stage};
use crate::controls::{Meta, Reference, Severity, Verdict};
use crate::error::{Error, Kind, Result};
use crate::event::What;
use crate::facts::timeline::{self, Timeline};
use crate::facts::{Facts, PasswordState, Reading};
use crate::plan;
use crate::profile::policy::Policy;
use crate::pve::names;
use crate::pve::privileges::Catalogue;
use crate::sanitize;
use crate::transport::{Limits, Program};

const LOCK: &str = "access lock";
const UNLOCK: &str = "access unlock";

/// `access lock`.
#[derive(Clone, Debug, Args)]
pub struct Lock {
    #[command(flatten)]
    of: Of,
    /// File of the timeline [default: access-lock-USER-NODE-TIME.txt]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    timeline: Option<PathBuf>,
}

/// `access unlock`.
#[derive(Clone, Debug, Args)]
pub struct Unlock {
    #[command(flatten)]
    of: Of,
}

#[derive(Clone, Debug, Args)]
struct Of {
    /// User of PVE, `name@realm`
    #[arg(value_name = "USER")]
    whom: String,
    /// Node: `[user@]address`, or a name from the site [default: the site's first node]
    #[arg(value_name = "HOST", value_hint = ValueHint::Hostname)]
    host: Option<String>,
    /// Do what is shown without asking
    #[arg(short, long)]
    yes: bool,
    /// Why, kept in the node's history; a profile can require it
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Where the site is.
    #[command(flatten)]
    wanted: Wanted,
    /// How the node is reached.
    #[command(flatten)]
    connection: Connection,
}

const fn meta(id: &'static str, title: &'static str) -> Meta {
    const REFERENCES: &[Reference] = &[
        Reference::Source("pve-manager PVE/HTTPServer.pm auth_handler"),
        Reference::Source("pve-access-control src/PVE/AccessControl.pm check_user_enabled, verify_token"),
    ];
    Meta { id, title, why: "", checked: "", naive: "", references: REFERENCES, level: 1, severity: Severity::High }
}

static LOCK_META: Meta = meta("access.lock", "Nothing is left of what a user may do");
static UNLOCK_META: Meta = meta("access.unlock", "What a lock took is given back");

/// A node that was read for one of the verbs.
struct Opened {
    connector: Connector,
    policy: Policy,
    node: Node,
}

impl Opened {
    async fn of(of: &Of, output: Output) -> Result<Self> {
        if !names::is_user(&of.whom) {
            let shown = sanitize::line(&of.whom).into_owned();
            return Err(Error::msg(Kind::Usage, format!("`{shown}` is no user of PVE"))
                .state("nothing was contacted")
                .hint("a user is name@realm, e.g. eve@pam; `pve-harden access matrix` lists them"));
        }
        let settings = Settings::read(&of.wanted, output)?;
        let policy = match &of.host {
            Some(host) => settings.policy(host, &of.connection)?,
            None => super::access::first(&settings, &of.connection)?,
        };
        reason_given(&policy, of.reason.as_deref())?;
        let connector = Connector::new(&of.connection, &settings.loaded.secrets, output, true);
        let node = Box::pin(run::before_changes(connector.reach(&policy))).await?;
        Ok(Self { connector, policy, node })
    }

    fn name(&self) -> &str {
        &self.policy.host.name
    }

    fn refused(&self, why: &str) -> Error {
        Error::msg(Kind::Refused, sanitize::line(why).into_owned()).untouched(self.name())
    }

    fn unread(&self, why: String) -> Error {
        Error::msg(Kind::Unreadable, why).untouched(self.name())
    }

    async fn close(self) {
        self.connector.tell(&self.policy.host.name, What::Finished);
        let _ = self.node.connection.close().await;
    }
}

/// Shows what goes, takes it away, and writes the timeline.
pub async fn lock(args: Lock, output: Output) -> Result<u8> {
    let opened = Box::pin(Opened::of(&args.of, output)).await?;
    let user = &args.of.whom;
    let (changes, locked) = lock_changes(&opened, user)?;
    let linux = linux_name(user).map(str::to_owned);
    let plan = plan::task(
        &LOCK_META,
        Verdict::differs(changes, Vec::new()),
        &opened.node.facts,
        &opened.policy,
        &opened.node.operator,
    )?;
    let to_do = task::show(&opened.node, &opened.policy, &plan, output)?;
    output.result(&remarks(&opened, user, &locked))?;
    if to_do {
        let asked = Asked {
            verb: LOCK,
            yes: args.of.yes,
            question: format!("Lock {} now?", sanitize::line(user)),
            reason: args.of.reason.clone(),
            login: None,
            locked: Some(locked),
        };
        let done = task::carry_out(&opened.connector, &opened.node, &opened.policy, &plan, asked).await;
        let id = done.map_err(|error| {
            if error.kind == Kind::RolledBack {
                error.hint(
                    "the account can be used again, tokens that were deleted stay deleted: run the same command again",
                )
            } else {
                error
            }
        })?;
        output.result(&format!("{}: {} is locked, run {id}\n", opened.name(), sanitize::line(user)))?;
    }
    let written = write_timeline(&opened, user, linux.as_deref(), args.timeline.clone()).await;
    let node = opened.name().to_owned();
    opened.close().await;
    let (file, events) =
        written.map_err(|error| error.state(format!("{} is locked on {node}", sanitize::line(user))))?;
    output.result(&format!("the timeline is in {}: {events} events\n", file.display()))?;
    Ok(0)
}

/// Gives back what locks of this user on this node took.
pub async fn unlock(args: Unlock, output: Output) -> Result<u8> {
    let opened = Box::pin(Opened::of(&args.of, output)).await?;
    let user = &args.of.whom;
    let locked = record_of(&opened.node.facts, user).ok_or_else(|| {
        opened
            .refused(&format!("no run of this node holds {user} locked"))
            .hint("ask the member of the cluster where it was locked; `pve-harden history HOST` lists its runs")
    })?;
    let facts = &opened.node.facts;
    let config = facts.access.config.required("/etc/pve/user.cfg").map_err(|why| opened.unread(why))?;
    let (steps, lost) = lock::unlock(config, &locked).map_err(|why| opened.refused(&why))?;
    let mut changes = pve_change(&UNLOCK_META, format!("give {user} back its account and rights in PVE"), steps);
    if let Some(name) = locked.linux.as_ref().filter(|name| is_locked(facts, name) == Some(true)) {
        let action = Action::UserLock { name: name.clone(), locked: false };
        changes.push(change(&UNLOCK_META, Stage::Accounts, format!("unlock {name}"), action));
    }
    let plan =
        plan::task(&UNLOCK_META, Verdict::differs(changes, Vec::new()), facts, &opened.policy, &opened.node.operator)?;
    let to_do = task::show(&opened.node, &opened.policy, &plan, output)?;
    let mut said = String::new();
    for what in &lost {
        let _ = writeln!(said, "not brought back: {}", sanitize::line(what));
    }
    if !locked.enabled {
        let _ = writeln!(said, "{} was disabled before it was locked, and stays so", sanitize::line(user));
    }
    output.result(&said)?;
    if to_do {
        let asked = Asked {
            verb: UNLOCK,
            yes: args.of.yes,
            question: format!("Give this back to {}?", sanitize::line(user)),
            reason: args.of.reason.clone(),
            login: None,
            locked: Some(locked),
        };
        let id = task::carry_out(&opened.connector, &opened.node, &opened.policy, &plan, asked).await?;
        output.result(&format!("{}: {} has it back, run {id}\n", opened.name(), sanitize::line(user)))?;
    }
    opened.close().await;
    Ok(0)
}

fn lock_changes(opened: &Opened, user: &str) -> Result<(Vec<Change>, Locked)> {
    let facts = &opened.node.facts;
    let session = facts.session.required("who is logged in").map_err(|why| opened.unread(why))?;
    let linux = linux_name(user);
    if linux == Some(session.user.as_str()) {
        return Err(opened
            .refused(&format!("you are logged in as {}", session.user))
            .hint("run it as another administrator"));
    }
    let config = facts.access.config.required("/etc/pve/user.cfg").map_err(|why| opened.unread(why))?;
    let taken = facts.taken.required("the node's clock").map_err(|why| opened.unread(why))?;
    let catalogue = Catalogue::of(facts.pve.known().map_or(9, |release| release.major));
    let now = u64::try_from(taken.as_second()).unwrap_or(0);
    let (steps, mut locked) = lock::lock(config, catalogue, user, now).map_err(|why| opened.refused(&why))?;
    let mut changes = pve_change(&LOCK_META, format!("lock {user} in PVE"), steps);
    if let Some(name) = linux {
        let users = facts.accounts.users.required("/etc/passwd").map_err(|why| opened.unread(why))?;
        match users.get(name) {
            Some(account) if account.uid == 0 => {
                return Err(opened.refused(&format!("{name} is root under another name, which is never locked")));
            }
            Some(_) if is_locked(facts, name) != Some(true) => {
                locked.linux = Some(name.to_owned());
                let action = Action::UserLock { name: name.to_owned(), locked: true };
                changes.push(change(&LOCK_META, Stage::Accounts, format!("lock {name}"), action));
            }
            _ => {}
        }
    }
    Ok((changes, locked))
}

fn pve_change(meta: &'static Meta, summary: String, steps: Vec<AccessStep>) -> Vec<Change> {
    if steps.is_empty() {
        return Vec::new();
    }
    vec![change(meta, Stage::PveAccess, summary, Action::PveAccess { steps })]
}

fn change(meta: &'static Meta, stage: Stage, summary: String, action: Action) -> Change {
    Change { controls: vec![meta.id.into()], stage, summary, interrupts: None, action }
}

/// Users of the realm pam are the node's own accounts.
fn linux_name(user: &str) -> Option<&str> {
    user.strip_suffix("@pam")
}

/// Locked and expired, as `UserLock` leaves it.
fn is_locked(facts: &Facts, name: &str) -> Option<bool> {
    let shadow = facts.accounts.shadow.known()?.get(name)?;
    let today = facts.taken.known()?.as_second().div_euclid(86_400);
    let expired = shadow.expires.is_some_and(|day| day >= 0 && day <= today);
    Some(expired && !matches!(shadow.password, PasswordState::Hash(_) | PasswordState::Empty))
}

/// What is locked of the user, from the runs that the node remembers.
fn record_of(facts: &Facts, user: &str) -> Option<Locked> {
    let runs = facts.runs.known()?.iter().filter(|run| run.outcome == "committed");
    let records = runs.filter_map(|run| {
        let locked = serde_json::from_value(run.meta.get("locked")?.clone()).ok()?;
        Some((run.meta["verb"] == UNLOCK, locked))
    });
    lock::record(records, user)
}

/// What the plan cannot show.
fn remarks(opened: &Opened, user: &str, locked: &Locked) -> String {
    let mut said = vec![
        "web logins: PVE cannot revoke a single one, but asks at each request whether the account is enabled; open pages \
         end with their next request, consoles and tasks that are open now go on"
            .to_owned(),
        "coming back: `pve-harden access unlock` gives account, groups and rights back".to_owned(),
    ];
    if !locked.tokens.is_empty() {
        said.push(format!("for good: {} cannot be brought back, new ones must be made", locked.tokens.join(", ")));
    }
    let facts = &opened.node.facts;
    if let (Some(name), Reading::Known(cluster)) = (linux_name(user), &facts.cluster) {
        let peers: Vec<&str> = cluster.peers.iter().map(|peer| peer.name.as_str()).collect();
        said.push(format!("the Linux account {name} is locked on this node alone; also: {}", peers.join(", ")));
    }
    let (site, access) = (&opened.policy.site, &opened.policy.profile.access);
    if linux_name(user).is_some_and(|name| site.admins.iter().any(|admin| admin.name == name)) {
        said.push(
            "the site names this administrator: the next `apply` unlocks; move the name to `removed-admins`".into(),
        );
    }
    let listed =
        access.user.iter().any(|it| it.id == user) || access.acl.iter().any(|it| it.users.iter().any(|it| it == user));
    if listed {
        said.push("profile or site list this user: the next `apply` gives it back; take it out there, too".into());
    }
    said.iter().fold(String::new(), |text, line| text + "  - " + &sanitize::line(line) + "\n") + "\n"
}

async fn write_timeline(
    opened: &Opened,
    user: &str,
    linux: Option<&str>,
    file: Option<PathBuf>,
) -> Result<(PathBuf, usize)> {
    let program = Program::new(&timeline::program(user, linux));
    // After a run the master may have ended; then a new one is opened.
    let frames = if let Ok(frames) = opened.node.connection.run(&program, Limits::default()).await {
        frames
    } else {
        let held = &opened.node.operator.key_fingerprints;
        let connection = opened.connector.open(&opened.policy, held).await?;
        let frames = connection.run(&program, Limits::default()).await;
        let _ = connection.close().await;
        frames?
    };
    let found = timeline::parse(&frames, user);
    let now = Timestamp::now();
    let file = file.unwrap_or_else(|| {
        let plain = |text: &str| -> String {
            text.chars().map(|c| if c.is_ascii_alphanumeric() || "@._-".contains(c) { c } else { '-' }).collect()
        };
        format!("access-lock-{}-{}-{}.txt", plain(user), plain(opened.name()), now.strftime("%Y%m%dT%H%M%SZ")).into()
    });
    write_private(&file, text(opened.name(), user, now, &found).as_bytes())?;
    Ok((file, found.events.len()))
}

fn text(node: &str, user: &str, now: Timestamp, found: &Timeline) -> String {
    let at = |seconds: i64| {
        Timestamp::from_second(seconds)
            .map_or_else(|_| seconds.to_string(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
    };
    let mut text = format!(
        "What the logs of {} hold of {}, written {}; UTC\n",
        sanitize::line(node),
        sanitize::line(user),
        now.strftime("%Y-%m-%dT%H:%M:%SZ")
    );
    for log in &found.unread {
        let _ = writeln!(text, "NOT READ: {log}");
    }
    for event in &found.events {
        let _ = writeln!(text, "{}  {:4}  {}", at(event.at), event.source, sanitize::line(&event.text));
    }
    text
}
