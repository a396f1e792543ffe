//! `check` on recorded nodes.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::Value;

use crate::support::run::{Done, Run, SITE};

fn fresh(arguments: &[&str]) -> Run {
    Run::new(&[&["check"], arguments].concat()).file("site.toml", SITE).capture("fresh9.json")
}

fn with_site(arguments: &[&str], more: &str) -> Done {
    Run::new(&[&["check"], arguments].concat()).file("site.toml", format!("{SITE}{more}")).capture("fresh9.json").done()
}

/// A waiver of `ssh.limits` on fresh9 that ends so many days from today.
fn waiver(days: i32) -> String {
    use jiff::ToSpan as _;
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let expires = today.checked_add(days.days()).unwrap();
    format!(
        "\n[[waiver]]\ncontrol = \"ssh.limits\"\nnode = \"fresh9\"\nowner = \"Olga\"\nreason = \"many migrations\"\nexpires = {expires}\n"
    )
}

#[test]
fn every_control_is_listed_with_evidence_and_a_hint_for_what_differs() {
    let done = fresh(&[]).done();
    assert_eq!(done.code, Some(1));
    assert!(done.stdout.contains("  differs         high    L1  ssh.root-login"), "{}", done.stdout);
    assert!(done.stdout.contains("permitrootlogin yes"), "{}", done.stdout);
    assert!(done.stdout.contains("hint: apply would: "), "{}", done.stdout);
    assert!(!done.stdout.contains("@@"), "a check shows no diffs:\n{}", done.stdout);
    let first = done.stdout.lines().nth(1).unwrap();
    assert!(first.contains("high"), "the worst comes first: {first}");
}

#[test]
fn fail_on_sets_the_bar() {
    let code = |level: &str| fresh(&["--control", "ssh.limits", "--fail-on", level]).done().code;
    assert_eq!((code("low"), code("medium"), code("high"), code("never")), (Some(1), Some(1), Some(0), Some(0)));
}

#[test]
fn a_level_narrows_the_report() {
    let ids = |arguments: &[&str]| -> Vec<u64> {
        let document: Value = serde_json::from_str(&fresh(arguments).done().stdout).unwrap();
        let controls = document["nodes"][0]["controls"].as_array().unwrap();
        controls.iter().map(|control| control["level"].as_u64().unwrap()).collect()
    };
    let (one, all) = (
        ids(&["--profile", "strict", "--format", "json", "--level", "1"]),
        ids(&["--profile", "strict", "--format", "json"]),
    );
    assert!(one.iter().all(|level| *level == 1) && one.len() < all.len(), "{one:?} {all:?}");
    assert_eq!(fresh(&["--level", "4"]).done().code, Some(2));
}

#[test]
fn a_waiver_that_holds_turns_a_difference_into_an_accepted_one() {
    let only = ["--control", "ssh.limits"];
    assert_eq!(with_site(&only, "").code, Some(1));
    let done = with_site(&only, &waiver(200));
    assert_eq!(done.code, Some(0), "{}", done.shown());
    assert!(done.stdout.contains("waived") && done.stdout.contains("accepted by Olga"), "{}", done.stdout);
    let done = with_site(&only, &waiver(30));
    assert_eq!(done.code, Some(0));
    assert!(
        done.stdout.contains("ends in 30 days") && done.stdout.contains("decide before it ends"),
        "{}",
        done.stdout
    );
    assert!(!with_site(&only, &waiver(31)).stdout.contains("decide before it ends"));
    assert_eq!(with_site(&only, &waiver(0)).code, Some(0), "its last day still counts");
}

#[test]
fn an_expired_waiver_is_a_finding_whatever_its_control_says() {
    for arguments in [&["--control", "ssh.limits"][..], &["--control", "ssh.limits", "--fail-on", "never"]] {
        let done = with_site(arguments, &waiver(-1));
        assert_eq!(done.code, Some(1), "{}", done.shown());
        assert!(done.stdout.contains("expired 1 day ago"), "{}", done.stdout);
    }
    assert_eq!(with_site(&["--control", "ssh.limits", "--fail-on", "never"], "").code, Some(0));
    let elsewhere = with_site(&["--control", "password.hash"], &waiver(-1));
    assert_eq!(elsewhere.code, Some(0), "only judged controls count: {}", elsewhere.shown());
}

#[test]
fn plan_leaves_a_waived_deviation_alone_and_says_so() {
    let plan = |more: &str| {
        let run = Run::new(&["plan", "--control", "ssh.limits"]).file("site.toml", format!("{SITE}{more}"));
        run.capture("fresh9.json").done()
    };
    let done = plan(&waiver(200));
    assert_eq!(done.code, Some(0), "{}", done.shown());
    assert!(done.stdout.contains("waived ssh.limits") && !done.stdout.contains("+++"), "{}", done.stdout);
    let done = plan(&waiver(-1));
    assert_ne!(done.code, Some(0));
    assert!(done.stdout.contains("no longer honoured") && done.stdout.contains("+++"), "{}", done.stdout);
}

#[test]
fn an_unknown_control_and_an_unreadable_fact_are_never_success() {
    let done = fresh(&["--control", "ssh.nosuch"]).done();
    assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""));
    let mut capture: Value =
        serde_json::from_slice(&std::fs::read(crate::support::run::recorded("fresh9.json")).unwrap()).unwrap();
    let sections = capture["sections"].as_object_mut().unwrap();
    let before = sections.len();
    sections.retain(|name, _| !name.starts_with("sshd.case"));
    assert!(sections.len() < before);
    let run = Run::new(&["check", "--control", "ssh.limits", "--fail-on", "never", "--capture", "broken.json"]);
    let done = run.file("site.toml", SITE).file("broken.json", capture.to_string()).done();
    assert_eq!(done.code, Some(1), "{}", done.shown());
    assert!(done.stdout.contains("  unknown "), "{}", done.stdout);
}

#[test]
fn a_report_in_a_file_has_the_mode_the_operators_umask_gives() {
    for (umask, mode) in [("022", 0o644), ("077", 0o600)] {
        let run = fresh(&["--format", "json", "--output", "report.json"]);
        let command = run.command();
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(format!("umask {umask}; exec \"$0\" \"$@\"")).arg(command.get_program());
        shell.args(command.get_args()).current_dir(command.get_current_dir().unwrap());
        let output = shell.output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len(), output.stderr.len()), (Some(1), 0, 0), "{output:?}");
        let file = run.path("report.json");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, mode);
        let document: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
        assert_eq!((&document["version"], &document["command"]), (&1.into(), &"check".into()));
        assert_eq!(document["nodes"][0]["plan"], Value::Null);
        let left: Vec<_> = std::fs::read_dir(run.path("")).unwrap().collect();
        assert_eq!(left.len(), 2, "nothing but the site and the report: {left:?}");
    }
}

#[test]
fn a_report_that_cannot_be_written_is_an_error() {
    let done = fresh(&["--output", "no/such/folder"]).done();
    assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""));
}

#[test]
fn a_framework_names_what_is_covered_in_part_and_outside() {
    for (name, _) in pve_harden::report::framework::SHIPPED {
        let done = fresh(&["--framework", name]).done();
        assert_eq!(done.code, Some(1), "{}", done.shown());
        assert!(done.stdout.contains(&format!("\n{name}: ")), "{}", done.stdout);
    }
    let done = fresh(&["--framework", "cis"]).done();
    assert!(done.stdout.contains("in part   Debian 13: 5.1.21"), "{}", done.stdout);
    assert!(done.stdout.contains("      by ssh.root-login\n      fresh9: differs\n"), "{}", done.stdout);
    assert_eq!(fresh(&["--framework", "nosuch"]).done().code, Some(2));
}

/// What other rooms still have to bring; empty when the catalogue is complete.
const PLANNED: &[&str] = &[];

#[test]
fn no_mapping_names_what_does_not_exist() {
    use pve_harden::report::framework::{SHIPPED, meant, shipped};
    let help = Run::new(&["--help"]).done().stdout;
    let verb = |command: &str| {
        let (verb, inner) = command.split_once(' ').unwrap_or((command, ""));
        let known = help.lines().any(|line| line.split_whitespace().next() == Some(verb));
        let inside = inner.is_empty() || Run::new(&[verb, inner, "--help"]).done().code == Some(0);
        known && inside
    };
    let planned = |name: &str| {
        let family = name.split('.').next().unwrap_or_default();
        PLANNED.contains(&name) || PLANNED.contains(&format!("{family}.*").as_str())
    };
    let mut wrong = std::collections::BTreeSet::new();
    for (name, _) in SHIPPED {
        for row in shipped(name).unwrap().rows() {
            wrong.extend(row.controls.into_iter().filter(|id| meant(id).is_empty() && !planned(id)));
            wrong.extend(row.commands.into_iter().filter(|command| !planned(command) && !verb(command)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn an_upgrade_is_explained_before_it_happens() {
    let run = |capture: &str| {
        let run = Run::new(&["check", "--against", "pve9", "--fail-on", "never"]).file("site.toml", SITE);
        run.capture(capture).done()
    };
    let eight = run("fresh8.json").stdout;
    assert!(eight.contains("what PVE 9 makes of it") && eight.contains("  - sshd: OpenSSH 10"), "{eight}");
    let nine = run("fresh9.json").stdout;
    assert!(!nine.contains("what PVE 9 makes of it") && nine.contains("\nfresh9 is PVE 9 already\n"), "{nine}");
    let role = "\n[[access.role]]\nid = \"WebDev\"\nprivileges = [\"VM.Monitor\"]\n";
    let run =
        Run::new(&["check", "--against", "pve9", "--profile", "strict"]).file("site.toml", format!("{SITE}{role}"));
    let wanted = run.capture("fresh8.json").done().stdout;
    let line = SITE.lines().count() + 2;
    assert!(
        wanted.contains(&format!("  - [[access.role]] WebDev of site.toml:{line}: VM.Monitor does not")),
        "{wanted}"
    );
}
