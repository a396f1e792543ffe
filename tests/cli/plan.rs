//! `plan` on recorded nodes.

use std::io::Read as _;
use std::process::Stdio;

use serde_json::Value;

use crate::support::run::{Run, SITE};

fn fresh(arguments: &[&str]) -> Run {
    Run::new(&[&["plan"], arguments].concat()).file("site.toml", SITE).capture("fresh9.json")
}

#[test]
fn a_fresh_node_with_a_proper_site_has_changes_and_no_refusal() {
    for name in ["fresh9.json", "fresh8.json", "member1.json"] {
        let done = Run::new(&["plan"]).file("site.toml", SITE).capture(name).done();
        assert_eq!(done.code, Some(1), "{name}: {}", done.shown());
        assert!(!done.stdout.contains("refused: this plan"), "{}", done.stdout);
        let at = |text: &str| done.stdout.find(text).unwrap_or_else(|| panic!("{text} is missing in\n{}", done.stdout));
        assert!(at("== packages") < at("+ package sudo"));
        assert!(at("+ package sudo") < at("+ account ops: Olga P. Smith"));
        assert!(at("+ account ops") < at("+++ /home/ops/.ssh/authorized_keys"));
        assert!(at("authorized_keys") < at("+++ /etc/sudoers.d/"));
        assert!(at("+++ /etc/sudoers.d/") < at("== ssh"));
        assert!(at("== ssh") < at("+PermitRootLogin no"));
        assert!(at("# ssh.limits (baseline:") > 0);
        assert!(done.stdout.ends_with(", 0 unknown\n") || done.stdout.contains(" unknown"), "{}", done.stdout);
    }
}

#[test]
fn a_cluster_names_the_peers_that_keep_root() {
    let done = Run::new(&["plan"]).file("site.toml", SITE).capture("member1.json").done();
    assert!(done.stdout.contains("cluster members keep root logins with their key"), "{}", done.stdout);
}

#[test]
fn without_an_administrator_it_is_refused() {
    let done = Run::new(&["plan"]).capture("fresh9.json").done();
    assert_eq!(done.code, Some(4));
    assert!(done.stdout.contains("refused: this plan will not be applied"), "{}", done.stdout);
    assert!(done.stdout.contains("root would be the only login left"), "{}", done.stdout);
}

#[test]
fn an_operator_outside_the_management_networks_is_refused() {
    let site = SITE.replace("10.80.226.0/28", "192.0.2.0/24");
    let done = Run::new(&["plan"]).file("site.toml", site).capture("fresh9.json").done();
    assert_eq!(done.code, Some(4));
    assert!(done.stdout.contains("the node sees you at 10.80.226.2"), "{}", done.stdout);
}

#[test]
fn the_json_document_says_the_same() {
    let (text, json) = (fresh(&[]).done(), fresh(&["--format", "json"]).done());
    assert_eq!(text.code, json.code);
    let document: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(document["version"], 1);
    assert_eq!(document["exit-code"], 1);
    let node = &document["nodes"][0];
    assert_eq!(node["node"], "fresh9");
    let changes = node["plan"]["changes"].as_array().unwrap();
    assert_eq!(node["summary"]["changes"], changes.len());
    assert!(text.stdout.contains(&format!("fresh9: {} changes, ", changes.len())), "{}", text.stdout);
    for diff in changes.iter().filter_map(|change| change["action"]["diff"].as_str()) {
        assert!(text.stdout.contains(diff), "{diff}");
    }
    assert_eq!(node["plan"]["seal"].as_str().unwrap().len(), 64);
}

#[test]
fn the_same_plan_twice_is_byte_for_byte_the_same() {
    let document = || fresh(&["--format", "json"]).done().stdout;
    assert_eq!(document(), document());
}

#[test]
fn one_control_alone_stays_alone() {
    let done = fresh(&["--control", "accounts.*", "--format", "json"]).done();
    let document: Value = serde_json::from_str(&done.stdout).unwrap();
    let ids: Vec<_> = document["nodes"][0]["controls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|control| control["id"].as_str().unwrap())
        .collect();
    assert!(!ids.is_empty() && ids.iter().all(|id| id.starts_with("accounts.")), "{ids:?}");
}

#[test]
fn closing_ssh_without_making_the_administrator_is_refused() {
    let done = fresh(&["--control", "ssh.*"]).done();
    assert_eq!(done.code, Some(4), "{}", done.shown());
    assert!(done.stdout.contains("ops: the account does not exist"), "{}", done.stdout);
}

#[test]
fn several_nodes_are_listed_in_order_and_the_highest_code_wins() {
    let run = fresh(&["--capture", "absent.json"]);
    let done = run.done();
    assert_eq!(done.code, Some(2));
    let tail: Vec<_> = done.stdout.lines().rev().take(3).collect();
    assert_eq!(tail[2], "all nodes");
    assert!(tail[1].trim().starts_with("absent.json: absent.json: No such file"), "{tail:?}");
    assert!(tail[0].trim().starts_with("fresh9: "), "{tail:?}");
}

#[test]
fn no_colour_without_a_terminal() {
    assert!(!fresh(&[]).done().stdout.contains('\x1b'));
    assert!(fresh(&[]).env("CLICOLOR_FORCE", "1").done().stdout.contains("\x1b[32m+ package sudo"));
    assert!(!fresh(&["--no-color"]).env("CLICOLOR_FORCE", "1").done().stdout.contains('\x1b'));
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let run = fresh(&[]);
    let mut child = run.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(1), ""));
}

#[test]
fn the_same_diff_of_several_nodes_is_shown_once() {
    let recorded = |name: &str| std::fs::read_to_string(crate::support::run::recorded(name)).unwrap();
    let mut twin: Value = serde_json::from_str(&recorded("fresh9.json")).unwrap();
    twin["sections"]["hostname"]["body"]["text"] = "twin".into();
    let run = Run::new(&["plan", "--capture", "twin.json"])
        .file("site.toml", SITE)
        .file("twin.json", twin.to_string())
        .capture("fresh9.json")
        .capture("fresh8.json");
    let done = run.done();
    assert_eq!(done.code, Some(1), "{}", done.shown());
    let headings: Vec<_> =
        done.stdout.lines().filter(|line| line.starts_with("the same on ") || line.contains(".json, PVE")).collect();
    insta::assert_snapshot!(headings.join("\n"), @r"
    the same on 2 nodes: twin (twin.json, PVE 9.2.11),
      fresh9 ([ROOT]/tests/hosts/fresh9.json, PVE 9.2.11)
    fresh8 ([ROOT]/tests/hosts/fresh8.json, PVE 8.4.14)
    ");
    assert_eq!(done.stdout.matches("\n+PermitRootLogin no\n").count(), 2, "{}", done.stdout);
    let alone = fresh(&[]).done();
    let steps = |text: &str| text.split("\n== ").nth(1).unwrap().to_owned();
    assert_eq!(steps(&done.stdout), steps(&alone.stdout));
    let table = done.stdout.split("\nall nodes\n").nth(1).unwrap();
    let names: Vec<_> = table.lines().map(|line| line.trim().split(':').next().unwrap()).collect();
    assert_eq!(names, ["twin", "fresh9", "fresh8"]);
}
