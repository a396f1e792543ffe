//! Who changed what since the last run: the most likely cause of each difference, by what the node itself remembers.

use std::collections::BTreeSet;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Plan, notes};
use crate::change::Action;
use crate::controls::Status;
use crate::facts::{Facts, Login, PackageEvent, RunFact};
use crate::profile::policy::Policy;

/// A package's scripts write files within so many seconds of its entry in dpkg's log.
const BY_PACKAGE: i64 = 300;
/// PVE rewrites SSH files within so many seconds of a new corosync.conf or of an upgrade of its packages.
const BY_PVE: i64 = 600;
/// A login so many seconds before a change may be that of its author.
const BY_LOGIN: i64 = 12 * 3600;

/// Packages whose scripts write a file (Debian's maintainer scripts and conffiles).
const WRITERS: &[(&str, &[&str])] = &[
    ("/etc/ssh/", &["openssh-server", "openssh-client"]),
    ("/etc/pam.d/", &["libpam-runtime", "login", "passwd", "openssh-server", "sudo", "libpam-pwquality"]),
    ("/etc/security/", &["libpam-modules", "libpwquality-common"]),
    ("/usr/share/pam-configs/", &["libpam-runtime", "libpam-pwquality"]),
    ("/var/lib/pam/", &["libpam-runtime", "libpam-pwquality"]),
    ("/etc/login.defs", &["login", "login.defs", "passwd"]),
    ("/etc/sudoers", &["sudo"]),
    ("/etc/default/pveproxy", &["pve-manager"]),
    ("/etc/pve/", &["pve-manager", "pve-cluster", "pve-firewall"]),
];

/// What is true of a control for which nothing else explains the difference.
const UNTOUCHED: &str = "no file of this control changed";

/// What `pvecm updatecerts` writes, at each start of pveproxy and so after upgrades of PVE's packages (pve-cluster,
/// PVE/Cluster/Setup.pm `updatecerts_and_ssh`).
const UPDATECERTS: &[&str] =
    &["/etc/ssh/ssh_known_hosts", "/etc/pve/priv/authorized_keys", "/root/.ssh/authorized_keys", "/root/.ssh/config"];
/// What `pvecm create` and `pvecm add` write beside those (`setup_sshd_config`).
const JOIN: &[&str] = &["/etc/ssh/sshd_config"];

/// One difference and its most likely cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Drift {
    /// The control that found it.
    pub control: String,
    /// The file; absent when it is not a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Who.
    pub by: Author,
    /// What speaks for it, in words.
    pub because: String,
}

/// Who changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Author {
    /// The profile or the site asks for something else than at the last run.
    Profile,
    /// A package that was installed, upgraded or removed.
    Package,
    /// PVE: a cluster join, `pvecm updatecerts`.
    Pve,
    /// A person or a program of theirs.
    Somebody,
    /// The node does not remember enough.
    Unknown,
}

impl Author {
    /// In words.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Profile => "the profile changed",
            Self::Package => "a package",
            Self::Pve => "PVE itself",
            Self::Somebody => "somebody",
            Self::Unknown => "unknown",
        }
    }
}

/// One entry for each control and file that differs; none before the first run.
pub fn drift(facts: &Facts, policy: &Policy, plan: &Plan) -> Vec<Drift> {
    let Some(run) = notes::last_committed(facts) else { return Vec::new() };
    let (mut found, mut guesses): (Vec<Drift>, Vec<(Drift, &Action)>) = (Vec::new(), Vec::new());
    for change in &plan.changes {
        let paths = change.action.touches();
        let seen = match paths.iter().find(|path| notes::still_left(run, plan, path) == Some(false)) {
            Some(path) => Some(changed(facts, run, path)),
            None => removed(facts, run, &change.action).or_else(|| renewed(facts, run, &change.action)),
        };
        let guess = || unchanged(facts, policy, run, paths.first().copied());
        let is_seen = seen.is_some();
        let (path, (by, because)) = seen.unwrap_or_else(guess);
        for control in &change.controls {
            let drift = Drift { control: control.clone(), path: path.clone(), by, because: because.clone() };
            if !is_seen {
                guesses.push((drift, &change.action));
            } else if !found.contains(&drift) {
                found.push(drift);
            }
        }
    }
    found.extend(foreign(facts, run, plan));
    let guesses = worth_saying(guesses, &found);
    found.extend(guesses);
    let place = |drift: &Drift| plan.verdicts.iter().position(|(control, _)| *control == drift.control);
    found.sort_by_key(place);
    found
}

/// What nothing on the node speaks for, unless it is explained already: a service only reads again what a file says,
/// and where something of the control was seen to change, only a profile that changed as well is worth a word.
fn worth_saying(guesses: Vec<(Drift, &Action)>, seen: &[Drift]) -> Vec<Drift> {
    let is_service = |action: &Action| matches!(action, Action::Unit { .. });
    let seen: BTreeSet<&str> = seen.iter().map(|drift| drift.control.as_str()).collect();
    let more: BTreeSet<String> =
        guesses.iter().filter(|(_, action)| !is_service(action)).map(|(drift, _)| drift.control.clone()).collect();
    let mut said: Vec<Drift> = Vec::new();
    for (guess, action) in guesses {
        let is_explained = if seen.contains(guess.control.as_str()) {
            is_service(action) || guess.by != Author::Profile
        } else {
            is_service(action) && more.contains(&guess.control)
        };
        if !is_explained && !said.contains(&guess) {
            said.push(guess);
        }
    }
    said
}

/// Files of others that a control names because they win over ours: those that are newer than the run.
fn foreign(facts: &Facts, run: &RunFact, plan: &Plan) -> Vec<Drift> {
    let mut found = Vec::new();
    for (control, verdict) in &plan.verdicts {
        let Status::Differs { changes, advice: Some(advice) } = &verdict.status else { continue };
        let managed = |path: &str| changes.iter().any(|change| change.action.touches().contains(&path));
        let words = advice.split([' ', ':', ',', ';', '`', '(', ')']).filter(|word| word.starts_with("/etc/"));
        for path in words.collect::<BTreeSet<&str>>().into_iter().filter(|path| !managed(path)) {
            let modified = facts.file(path).known().and_then(|file| file.modified);
            if modified.is_none_or(|at| started(run).is_none_or(|started| at < started)) || of_the_run(run, path) {
                continue;
            }
            let (path, (by, because)) = changed(facts, run, path);
            found.push(Drift { control: control.clone(), path, by, because });
        }
    }
    found
}

/// Whether the run left this file.
fn of_the_run(run: &RunFact, path: &str) -> bool {
    run.state.as_ref().and_then(|state| state.get("files")?.get(path)).is_some()
}

type Cause = (Option<String>, (Author, String));

/// A package that is to be installed again.
fn removed(facts: &Facts, run: &RunFact, action: &Action) -> Option<Cause> {
    let Action::Packages { install } = action else { return None };
    let gone =
        |event: &&PackageEvent| matches!(event.verb.as_str(), "remove" | "purge") && install.contains(&event.package);
    let event = events(facts, run).rfind(gone)?;
    Some((None, (Author::Package, said(event))))
}

/// Port 8006's own certificate, which PVE writes anew and goes on serving the old one of until pveproxy reads it.
fn renewed(facts: &Facts, run: &RunFact, action: &Action) -> Option<Cause> {
    let Action::Unit { unit, .. } = action else { return None };
    if unit != "pveproxy.service" || facts.cert.installed.known().is_some() {
        return None;
    }
    let over = run.closed.or_else(|| started(run))?;
    let path = format!("/etc/pve/nodes/{}/pve-ssl.pem", facts.node_name.known()?);
    let at = facts.file(&path).known()?.modified.filter(|at| *at > over)?;
    let because = format!("pvecm updatecerts or pve-daily-update wrote it at {}", time(at));
    Some((Some(path), (Author::Pve, because)))
}

/// The files are as the run left them, or it did not manage them.
fn unchanged(facts: &Facts, policy: &Policy, run: &RunFact, path: Option<&str>) -> Cause {
    let path = path.map(str::to_owned);
    let digest = |what: &str| run.meta.get("digests").and_then(|digests| digests.get(what)?.as_str());
    let other = |what: &str, now: &str| digest(what).is_some_and(|then| then != now);
    let since = format!("since run {}", run.id);
    if other("profile", &policy.digests.profile) {
        return (path, (Author::Profile, format!("the merged profile is another one {since}")));
    }
    if other("site", &policy.digests.site) {
        return (path, (Author::Profile, format!("the site is another one {since}")));
    }
    if let Some(at) = members_changed(facts, run) {
        let because = format!("the cluster's members or their addresses changed at {}; {UNTOUCHED}", time(at));
        return (path, (Author::Pve, because));
    }
    if let Some(event) = events(facts, run).last() {
        return (path, (Author::Package, format!("{}, {since}; {UNTOUCHED}", said(event))));
    }
    (path, (Author::Unknown, format!("no file of this control, profile or package changed {since}")))
}

/// The file is not as the run left it.
fn changed(facts: &Facts, run: &RunFact, path: &str) -> Cause {
    let owned = Some(path.to_owned());
    let Some(file) = facts.file(path).known().cloned() else {
        let gone = package_of(facts, run, path, None);
        return (owned, gone.unwrap_or((Author::Unknown, "it is gone, and nothing says since when".into())));
    };
    let modified = file.modified;
    if let Some(cause) = package_of(facts, run, path, modified).or_else(|| pve(facts, run, path, modified)) {
        return (owned, cause);
    }
    let Some(at) = modified.filter(|at| started(run).is_none_or(|started| *at >= started)) else {
        return (owned, (Author::Unknown, "its time is older than the run that wrote it".into()));
    };
    let who = logged_in(facts, at).unwrap_or_else(|| "no login shortly before is remembered".into());
    (owned, (Author::Somebody, format!("changed at {}, owner {}; {who}", time(at), file.owner)))
}

/// Who had logged in shortly before; a login that may be this tool's own only where there is no other.
fn logged_in(facts: &Facts, at: i64) -> Option<String> {
    let session = facts.session.known();
    let is_ours = |login: &Login| {
        session.is_some_and(|session| session.user == login.user && session.operator == Some(login.from))
    };
    let logins = facts.logins.known().map(Vec::as_slice).unwrap_or_default();
    let near = logins.iter().filter(|login| login.at <= at + 60 && at - login.at <= BY_LOGIN);
    let login = near.max_by_key(|login| (!is_ours(login), login.at))?;
    let ours = if is_ours(login) { ", as this tool does" } else { "" };
    Some(format!("{} had logged in from {} at {}{ours}", login.user, login.from, time(login.at)))
}

/// A package that writes this path and came near its time; without a time, any since the run.
fn package_of(facts: &Facts, run: &RunFact, path: &str, at: Option<i64>) -> Option<(Author, String)> {
    let writers = WRITERS.iter().filter(|(prefix, _)| path.starts_with(prefix)).flat_map(|(_, names)| *names);
    let writers: Vec<&str> = writers.copied().collect();
    let near = |event: &&PackageEvent| at.is_none_or(|at| (at - event.at).abs() <= BY_PACKAGE);
    let event = events(facts, run).filter(|event| writers.contains(&event.package.as_str())).rfind(near)?;
    Some((Author::Package, said(event)))
}

fn pve(facts: &Facts, run: &RunFact, path: &str, at: Option<i64>) -> Option<(Author, String)> {
    let (joins, updates) = (JOIN.contains(&path), UPDATECERTS.contains(&path));
    let at = at.filter(|_| joins || updates)?;
    let near = |other: i64| (at - other).abs() <= BY_PVE;
    let joined = facts.file("/etc/pve/corosync.conf").known().and_then(|file| file.modified).filter(|t| near(*t));
    if let Some(joined) = joined {
        return Some((Author::Pve, format!("the cluster's members changed at {}", time(joined))));
    }
    let ours = |event: &&PackageEvent| updates && event.package.starts_with("pve-") && near(event.at);
    let mut upgrades = events(facts, run).filter(ours);
    upgrades.next_back().map(|event| (Author::Pve, format!("pvecm updatecerts after {}", said(event))))
}

/// When corosync.conf was last written, if that was after the run: a node joined or left, or has another address, and
/// what is wanted of the others' addresses changed with it.
fn members_changed(facts: &Facts, run: &RunFact) -> Option<i64> {
    let over = run.closed.or_else(|| started(run))?;
    facts.file("/etc/pve/corosync.conf").known().and_then(|file| file.modified).filter(|at| *at > over)
}

/// What dpkg did since the run was over, oldest first: a run installs packages itself.
fn events<'a>(facts: &'a Facts, run: &RunFact) -> impl DoubleEndedIterator<Item = &'a PackageEvent> {
    let since = run.closed.or_else(|| started(run)).unwrap_or(i64::MIN);
    let all = facts.package_events.known().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter(move |event| event.at >= since)
}

fn started(run: &RunFact) -> Option<i64> {
    let text = run.meta.get("started")?.as_str()?;
    text.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

fn said(event: &PackageEvent) -> String {
    let PackageEvent { at, verb, package, from, to, command, by } = event;
    let versions = match verb.as_str() {
        "upgrade" => format!(" {from} → {to}"),
        "install" => format!(" {to}"),
        _ => format!(" {from}"),
    };
    let command = command.as_ref().map(|command| format!(", by `{command}`")).unwrap_or_default();
    let by = by.as_ref().map(|name| format!(", which {name} asked for")).unwrap_or_default();
    format!("{verb} of {package}{versions} at {}{command}{by}", time(*at))
}

fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map(|at| at.strftime("%Y-%m-%d %H:%M UTC").to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
