//! `check` on recorded nodes.

use serde_json::Value;

use crate::support::run::{Run, SITE};

fn fresh(arguments: &[&str]) -> Run {
    Run::new(&[&["check"], arguments].concat()).file("site.toml", SITE).capture("fresh9.json")
}

#[test]
fn every_control_is_listed_with_evidence_for_what_differs() {
    let done = fresh(&[]).done();
    assert_eq!(done.code, Some(1));
    assert!(done.stdout.contains("  differs        ssh.root-login"), "{}", done.stdout);
    assert!(done.stdout.contains("permitrootlogin yes"), "{}", done.stdout);
    assert!(!done.stdout.contains("@@"), "a check shows no diffs:\n{}", done.stdout);
}

#[test]
fn fail_on_sets_the_bar() {
    let code = |level: &str| fresh(&["--control", "ssh.limits", "--fail-on", level]).done().code;
    assert_eq!((code("low"), code("medium"), code("high"), code("never")), (Some(1), Some(1), Some(0), Some(0)));
}

#[test]
fn the_report_can_go_to_a_file_only_its_owner_reads() {
    use std::os::unix::fs::PermissionsExt as _;
    let run = fresh(&["--format", "json", "--output", "report.json"]);
    let done = run.done();
    assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (Some(1), "", ""));
    let file = run.path("report.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let document: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!((&document["version"], &document["command"]), (&1.into(), &"check".into()));
    assert_eq!(document["nodes"][0]["plan"], Value::Null);
}
