use super::*;
use crate::change::Stage;
use crate::controls::Verdict;
use crate::facts::{FileFact, Reading, Session};
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
fn said_of(path: &str, content: &str, modified: i64, more: impl FnOnce(&mut Facts, &mut Policy)) -> (Author, String) {
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
    let words =
        "the cluster's members or their addresses changed at 2026-06-01 01:23 UTC; no file of this control changed";
    assert_eq!(because, words);
    assert_eq!(with(RUN - 5000).0, Author::Unknown, "the run knew that member");
}

#[test]
fn what_a_seen_change_explains_is_not_called_unknown() {
    let of = |content: &str, profile: &str| {
        let mut facts = Facts { runs: Reading::Known(vec![run(DROPIN)]), ..Facts::default() };
        facts.files.insert(DROPIN.into(), file(content, RUN + 60));
        let mut policy = policy();
        (policy.digests.profile, policy.digests.site) = (profile.into(), "s".into());
        let mut plan = empty_plan();
        let reload = Action::Unit { unit: "ssh.service".into(), verb: crate::change::UnitVerb::Reload };
        let group = Action::Group { name: "ops".into(), system: false };
        plan.changes = vec![
            change("ssh.limits", Stage::Accounts, group),
            change("ssh.limits", Stage::Ssh, new_file(DROPIN, "wanted\n", 0o644)),
            change("ssh.limits", Stage::Ssh, reload.clone()),
            change("web.tls", Stage::Ssh, reload),
        ];
        let (owner, group) = ("root".to_owned(), "root".to_owned());
        let digest = seal::digest(content);
        plan.expects.insert(DROPIN.into(), Expect::File { digest, mode: 0o644, owner, group });
        let said = |one: Drift| {
            format!("{} {}{}", one.control, one.path.map(|path| path + " ").unwrap_or_default(), one.by.word())
        };
        drift(&facts, &policy, &plan).into_iter().map(said).collect::<Vec<_>>()
    };
    let changed = format!("ssh.limits {DROPIN} somebody");
    assert_eq!(of("other\n", "p"), [changed.as_str(), "web.tls unknown"]);
    let profile = "ssh.limits /etc/passwd the profile changed";
    assert_eq!(of("other\n", "q"), [changed.as_str(), profile, "web.tls the profile changed"]);
    let unseen = format!("ssh.limits {DROPIN} unknown");
    assert_eq!(of("left\n", "p"), ["ssh.limits /etc/passwd unknown", unseen.as_str(), "web.tls unknown"]);
}

#[test]
fn somebody_with_a_login_shortly_before() {
    let login = |at| Login { user: "eve".into(), from: "192.0.2.7".parse().unwrap(), at };
    let with =
        |at: i64| said_of(DROPIN, "other\n", RUN + 5000, |facts, _| facts.logins = Reading::Known(vec![login(at)]));
    assert_eq!(
        with(RUN + 4400).1,
        "changed at 2026-06-01 01:23 UTC, owner root; eve had logged in from 192.0.2.7 at 2026-06-01 01:13 UTC"
    );
    assert!(with(RUN + 90_000).1.ends_with("no login shortly before is remembered"));
    assert_eq!(said_of(DROPIN, "other\n", RUN - 10, |_, _| {}).0, Author::Unknown);
}

#[test]
fn the_tools_own_login_is_no_suspect_like_another() {
    let with = |logins: &[(&str, &str, i64)]| {
        let login = |&(user, from, at): &(&str, &str, i64)| Login {
            user: user.into(),
            from: from.parse().unwrap(),
            at: RUN + at,
        };
        let logins: Vec<Login> = logins.iter().map(login).collect();
        let said = said_of(DROPIN, "other\n", RUN + 5000, move |facts, _| {
            let (user, operator) = ("ops".to_owned(), Some("192.0.2.1".parse().unwrap()));
            let (server, server_port) = (None, None);
            facts.session = Reading::Known(Session { user, through_sudo: true, operator, server, server_port });
            facts.logins = Reading::Known(logins);
        });
        said.1.split_once("; ").unwrap().1.to_owned()
    };
    let own = ("ops", "192.0.2.1", 4400);
    assert_eq!(with(&[own]), "ops had logged in from 192.0.2.1 at 2026-06-01 01:13 UTC, as this tool does");
    let eve = "eve had logged in from 192.0.2.7 at 2026-06-01 00:16 UTC";
    assert_eq!(with(&[own, ("eve", "192.0.2.7", 1000)]), eve, "another's, though earlier");
    let elsewhere = "ops had logged in from 192.0.2.7 at 2026-06-01 00:16 UTC";
    assert_eq!(with(&[own, ("ops", "192.0.2.7", 1000)]), elsewhere, "the account from elsewhere");
}
