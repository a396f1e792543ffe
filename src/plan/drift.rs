//! Who changed what since the last run: the most likely cause of each difference, by what the node itself remembers.

use std::collections::BTreeSet;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Plan, notes};
use crate::change::Action;
use crate::controls::Status;
use crate::facts::{Facts, PackageEvent, RunFact};
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
    let mut found: Vec<Drift> = Vec::new();
    for change in &plan.changes {
        let paths = change.action.touches();
        let one = match paths.iter().find(|path| notes::still_left(run, plan, path) == Some(false)) {
            Some(path) => changed(facts, run, path),
            None => removed(facts, run, &change.action)
                .or_else(|| renewed(facts, run, &change.action))
                .unwrap_or_else(|| unchanged(facts, policy, run, paths.first().copied())),
        };
        for control in &change.controls {
            let (path, (by, because)) = (one.0.clone(), one.1.clone());
            let drift = Drift { control: control.clone(), path, by, because };
            if !found.contains(&drift) {
                found.push(drift);
            }
        }
    }
    found.extend(foreign(facts, run, plan));
    found
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
        let because =
            format!("the cluster's members or their addresses changed at {}; no managed file changed", time(at));
        return (path, (Author::Pve, because));
    }
    if let Some(event) = events(facts, run).last() {
        return (path, (Author::Package, format!("{}, {since}; no managed file changed", said(event))));
    }
    (path, (Author::Unknown, format!("no managed file, profile or package changed {since}")))
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
    let logins = facts.logins.known().map(Vec::as_slice).unwrap_or_default();
    let near =
        logins.iter().filter(|login| login.last <= at + 60 && at - login.last <= BY_LOGIN).max_by_key(|l| l.last);
    let who = near.map_or_else(
        || "no login shortly before is remembered".to_owned(),
        |login| format!("{} had logged in from {} at {}", login.user, login.from, time(login.last)),
    );
    (owned, (Author::Somebody, format!("changed at {}, owner {}; {who}", time(at), file.owner)))
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
mod tests {
    use super::*;
    use crate::change::Stage;
    use crate::controls::Verdict;
    use crate::facts::{FileFact, Login, Reading};
    use crate::plan::testing::{change, empty_plan, new_file, policy, regular};
    use crate::plan::{Expect, seal};

    /// 2026-06-01 00:00 UTC.
    const RUN: i64 = 1_780_272_000;
    const DROPIN: &str = "/etc/ssh/sshd_config.d/00-pve-harden.conf";

    fn run(path: &str) -> RunFact {
        let mut files = serde_json::Map::new();
        files.insert(path.into(), format!("{} 644 root root", seal::digest("left\n")).into());
        RunFact {
            id: "r1".into(),
            outcome: "committed".into(),
            meta: serde_json::json!({"started": "2026-06-01T00:00:00Z", "digests": {"profile": "p", "site": "s"}}),
            state: Some(serde_json::json!({ "files": files })),
            closed: Some(RUN + 5),
        }
    }

    fn file(content: &str, modified: i64) -> Reading<FileFact> {
        let Reading::Known(file) = regular(content, 0o644, "root") else { unreachable!() };
        Reading::Known(FileFact { modified: Some(modified), ..file })
    }

    fn event(package: &str, at: i64) -> PackageEvent {
        let text = |text: &str| text.to_owned();
        let (command, by) = (Some(text("apt-get upgrade")), Some(text("eve")));
        PackageEvent { at, verb: text("upgrade"), package: text(package), from: text("1"), to: text("2"), command, by }
    }

    /// What is said of a file with this content and time.
    fn said_of(
        path: &str,
        content: &str,
        modified: i64,
        more: impl FnOnce(&mut Facts, &mut Policy),
    ) -> (Author, String) {
        let mut facts = Facts { runs: Reading::Known(vec![run(path)]), ..Facts::default() };
        facts.files.insert(path.into(), file(content, modified));
        let mut policy = policy();
        (policy.digests.profile, policy.digests.site) = ("p".into(), "s".into());
        more(&mut facts, &mut policy);
        let mut plan = empty_plan();
        plan.changes = vec![change("a.one", Stage::Services, new_file(path, "wanted\n", 0o644))];
        let (owner, group) = ("root".to_owned(), "root".to_owned());
        plan.expects.insert(path.into(), Expect::File { digest: seal::digest(content), mode: 0o644, owner, group });
        let found = drift(&facts, &policy, &plan);
        assert_eq!(found.len(), 1, "{found:?}");
        (found[0].by, found[0].because.clone())
    }

    #[test]
    fn before_the_first_run_nothing_drifted() {
        let mut plan = empty_plan();
        plan.changes = vec![change("a.one", Stage::Services, new_file("/etc/x", "", 0o644))];
        assert_eq!(drift(&Facts::default(), &policy(), &plan), []);
    }

    #[test]
    fn a_profile_that_asks_for_something_else() {
        let (by, because) = said_of("/etc/x", "left\n", RUN, |_, policy| policy.digests.profile = "q".into());
        assert_eq!((by, because.as_str()), (Author::Profile, "the merged profile is another one since run r1"));
        let (by, _) = said_of("/etc/x", "left\n", RUN, |_, policy| policy.digests.site = "t".into());
        assert_eq!(by, Author::Profile);
        let (by, _) = said_of("/etc/x", "left\n", RUN, |_, _| {});
        assert_eq!(by, Author::Unknown);
    }

    #[test]
    fn a_package_that_writes_the_file_and_came_at_its_time() {
        let with = |package: &'static str, at: i64| {
            said_of("/etc/login.defs", "other\n", RUN + 5000, move |facts, _| {
                facts.package_events = Reading::Known(vec![event(package, at)]);
            })
        };
        let (by, because) = with("passwd", RUN + 4900);
        let said = "upgrade of passwd 1 → 2 at 2026-06-01 01:21 UTC, by `apt-get upgrade`, which eve asked for";
        assert_eq!((by, because.as_str()), (Author::Package, said));
        assert_eq!(with("passwd", RUN + 3).0, Author::Somebody, "the run's own");
        assert_eq!(with("nano", RUN + 4900).0, Author::Somebody, "another package at the same time");
        assert_eq!(with("passwd", RUN + 100).0, Author::Somebody, "the package at another time");
    }

    #[test]
    fn a_package_that_somebody_removed() {
        let mut facts = Facts { runs: Reading::Known(vec![run("/etc/x")]), ..Facts::default() };
        let mut gone = event("libpam-pwquality", RUN + 10);
        gone.verb = "remove".into();
        facts.package_events = Reading::Known(vec![gone, event("nano", RUN + 20)]);
        let mut plan = empty_plan();
        let install = Action::Packages { install: vec!["libpam-pwquality".into()] };
        plan.changes = vec![change("a.one", Stage::Packages, install)];
        let found = drift(&facts, &policy(), &plan);
        assert_eq!((found[0].by, found[0].path.as_deref()), (Author::Package, None));
        assert!(found[0].because.starts_with("remove of libpam-pwquality 1 at "), "{}", found[0].because);
    }

    #[test]
    fn a_file_of_others_that_wins_over_ours() {
        let path = "/etc/ssh/sshd_config.d/00-a.conf";
        let with = |modified: i64| {
            let mut facts = Facts { runs: Reading::Known(vec![run(DROPIN)]), ..Facts::default() };
            facts.files.insert(path.into(), file("Match User root\n", modified));
            let mut plan = empty_plan();
            let advice = format!("these lines win over {DROPIN}; take them out: {path}:2 (`permitrootlogin yes`)");
            plan.verdicts = vec![("ssh.root-login".into(), Verdict::advise(advice, vec![]))];
            drift(&facts, &policy(), &plan)
        };
        let found = with(RUN + 60);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].by, found[0].path.as_deref()), (Author::Somebody, Some(path)));
        assert_eq!(with(RUN - 60), [], "it was there before the run");
    }

    #[test]
    fn pve_at_a_join_or_an_upgrade() {
        let path = "/etc/ssh/sshd_config";
        let (by, because) = said_of(path, "other\n", RUN + 5000, |facts, _| {
            facts.files.insert("/etc/pve/corosync.conf".into(), file("", RUN + 4990));
        });
        assert_eq!((by, because.as_str()), (Author::Pve, "the cluster's members changed at 2026-06-01 01:23 UTC"));
        let upgraded = |path: &str| {
            said_of(path, "other\n", RUN + 5000, |facts, _| {
                facts.package_events = Reading::Known(vec![event("pve-manager", RUN + 4700)]);
            })
        };
        for path in UPDATECERTS.iter().filter(|path| !path.starts_with("/etc/pve/")) {
            let (by, because) = upgraded(path);
            let said = "pvecm updatecerts after upgrade of pve-manager 1 → 2 at 2026-06-01 01:18 UTC";
            assert!(by == Author::Pve && because.starts_with(said), "{path}: {because}");
        }
        assert_eq!(upgraded(path).0, Author::Somebody, "updatecerts leaves sshd's configuration alone");
        let (by, _) = said_of(DROPIN, "other\n", RUN + 5000, |facts, _| {
            facts.files.insert("/etc/pve/corosync.conf".into(), file("", RUN + 4990));
        });
        assert_eq!(by, Author::Somebody, "PVE never writes the drop-in");
    }

    #[test]
    fn a_certificate_that_pve_made_anew() {
        let with = |unit: &str, at: i64| {
            let mut facts = Facts { runs: Reading::Known(vec![run("/etc/x")]), ..Facts::default() };
            facts.node_name = Reading::Known("pve1".into());
            facts.files.insert("/etc/pve/nodes/pve1/pve-ssl.pem".into(), file("", at));
            let mut plan = empty_plan();
            let action = Action::Unit { unit: unit.into(), verb: crate::change::UnitVerb::Reload };
            plan.changes = vec![change("cert.renewal", Stage::Firewall, action)];
            let mut policy = policy();
            (policy.digests.profile, policy.digests.site) = ("p".into(), "s".into());
            drift(&facts, &policy, &plan).remove(0)
        };
        let found = with("pveproxy.service", RUN + 5000);
        assert_eq!((found.by, found.path.as_deref()), (Author::Pve, Some("/etc/pve/nodes/pve1/pve-ssl.pem")));
        assert_eq!(found.because, "pvecm updatecerts or pve-daily-update wrote it at 2026-06-01 01:23 UTC");
        assert_eq!(with("pveproxy.service", RUN - 5).by, Author::Unknown, "it was there before the run");
        assert_eq!(with("chrony.service", RUN + 5000).by, Author::Unknown);
    }

    #[test]
    fn what_a_new_member_asks_of_the_others() {
        let with = |at: i64| {
            said_of(DROPIN, "left\n", RUN, |facts, _| {
                facts.files.insert("/etc/pve/corosync.conf".into(), file("", at));
            })
        };
        let (by, because) = with(RUN + 5000);
        assert_eq!(by, Author::Pve);
        let words = "the cluster's members or their addresses changed at 2026-06-01 01:23 UTC; no managed file changed";
        assert_eq!(because, words);
        assert_eq!(with(RUN - 5000).0, Author::Unknown, "the run knew that member");
    }

    #[test]
    fn somebody_with_a_login_shortly_before() {
        let login = |last| Login { user: "eve".into(), from: "192.0.2.7".parse().unwrap(), last };
        let with = |last: i64| {
            said_of(DROPIN, "other\n", RUN + 5000, |facts, _| facts.logins = Reading::Known(vec![login(last)]))
        };
        assert_eq!(
            with(RUN + 4400).1,
            "changed at 2026-06-01 01:23 UTC, owner root; eve had logged in from 192.0.2.7 at 2026-06-01 01:13 UTC"
        );
        assert!(with(RUN + 90_000).1.ends_with("no login shortly before is remembered"));
        assert_eq!(said_of(DROPIN, "other\n", RUN - 10, |_, _| {}).0, Author::Unknown);
    }
}
