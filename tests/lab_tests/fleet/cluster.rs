//! A cluster as one thing.

use std::process::Stdio;
use std::time::Duration;

use crate::support::lab::{Lab, Said, eventually};

const PATIENCE: Duration = Duration::from_secs(120);
const MEMBERS: [&str; 3] = ["pve1", "pve2", "pve3"];

/// When the node's only run was started and confirmed, by its own clock.
fn span(lab: &Lab, node: &str) -> (f64, f64) {
    let journal = lab.on(node, "cat /var/lib/pve-harden/runs/*/journal");
    let time = |line: Option<&str>| line.unwrap().split(' ').next().unwrap().parse::<f64>().unwrap();
    (time(journal.lines().next()), time(journal.lines().find(|line| line.contains(" committed"))))
}

#[test]
fn one_named_member_brings_the_others_one_after_the_other() {
    let Some(mut lab) = Lab::up("fleet-cluster", &MEMBERS, &["--cluster"]) else { return };
    // Named alone, the others are told of.
    let alone = lab.harden(&["plan", "pve2", "--control", "ssh.*", "--control", "accounts.*"]).exits(1);
    assert!(alone.stdout.contains("has members that this command leaves out: pve1 ("), "{}", alone.stdout);
    // A site that knows one of them: the others are found at the cluster's addresses.
    let site = std::fs::read_to_string(&lab.site).unwrap();
    let (head, hosts) = site.split_once("[[host]]").unwrap();
    let admin = &site[site.find("[[admin]]").unwrap()..];
    let second = hosts.split("[[host]]").find(|host| host.contains("\"pve2\"")).unwrap();
    let second = second.split("[[admin]]").next().unwrap();
    let one = lab.site.with_file_name("one.toml");
    std::fs::write(&one, format!("{head}[[host]]{second}{admin}")).unwrap();
    lab.site = one;
    let controls = ["--control", "ssh.*", "--control", "accounts.*"];
    let command = |verb: &[&str]| lab.harden(&[verb, &["--cluster"], &controls].concat());
    let applied = command(&["apply", "pve2", "--yes"]).exits(0);
    let table = applied.stdout.split("\nwhat became of them\n").nth(1).unwrap();
    assert_eq!(table.matches("  applied  run ").count(), 3, "{table}");
    // The one that was named is the canary; nobody begins before the one in front of it was confirmed.
    let mut spans: Vec<_> = MEMBERS.iter().map(|node| (span(&lab, node), *node)).collect();
    spans.sort_by(|a, b| a.0.0.total_cmp(&b.0.0));
    assert_eq!(spans[0].1, "pve2");
    assert!(spans.windows(2).all(|pair| pair[0].0.1 <= pair[1].0.0), "{spans:?}");
    command(&["plan", "pve1"]).exits(0);
}

/// Short deadlines; everything else as shipped.
const PROFILE: &str = "extends = \"baseline\"\n[run]\nstage-window = 30\n";

fn without_quorum_nothing_is_touched(lab: &Lab) {
    let quorate =
        |count: u8| lab.exec("pve1", &format!("grep -q '\"quorate\": *{count}' /etc/pve/.members")).status == 0;
    for node in ["pve2", "pve3"] {
        lab.lab(["cut", node]).exits(0);
    }
    eventually(PATIENCE, "pve1 without quorum", || quorate(0));
    let before = lab.fingerprint("pve1");
    let refused = lab.harden(&["apply", "pve1", "--yes"]).exits(4);
    assert!(refused.stdout.contains("has no quorum on this node"), "{}", refused.stdout);
    assert_eq!(lab.fingerprint("pve1"), before);
    assert_ne!(lab.exec("pve1", "test -e /var/lib/pve-harden/runs").status, 0, "a run was begun");
    for node in ["pve2", "pve3"] {
        lab.lab(["mend", node]).exits(0);
    }
    eventually(PATIENCE, "pve1 with quorum", || quorate(1) && all_online(lab));
}

/// What high availability says of pve3, and of a guest that was there; without a word it is not used.
fn high_availability(lab: &Lab, node_and_guest: Option<(&str, &str)>) {
    let Some((node, guest)) = node_and_guest else {
        lab.on("pve1", "rm /etc/pve/ha/manager_status");
        return;
    };
    let status = format!(
        r#"{{"master_node":"pve1","node_status":{{"pve1":"online","pve2":"online","pve3":"{node}"}},"service_status":{{"vm:100":{{"node":"pve3","state":"{guest}","uid":"x"}}}},"timestamp":1763800000}}"#
    );
    lab.on("pve1", &format!("mkdir -p /etc/pve/ha && printf '%s' '{status}' >/etc/pve/ha/manager_status"));
}

/// Fencing at the begin, and fencing that begins between two members.
fn while_high_availability_fences_nothing_begins(lab: &Lab) {
    let before = MEMBERS.map(|node| lab.fingerprint(node));
    for (node, guest, word) in
        [("fence", "fence", "node pve3, vm:100 (fence)"), ("gone", "recovery", "vm:100 (recovery)")]
    {
        high_availability(lab, Some((node, guest)));
        let reason = format!("high availability is fencing or recovering: {word}");
        // It is no work that one can choose to begin in spite of.
        let said = lab.harden(&["apply", "pve1", "--cluster", "--yes", "--despite-tasks"]).exits(4);
        assert_eq!(said.stdout.matches(&reason).count(), 3, "{}", said.stdout);
        lab.harden(&["plan", "pve2"]).exits(4);
    }
    for (node, before) in MEMBERS.into_iter().zip(&before) {
        assert_eq!(lab.fingerprint(node), *before, "{node}");
        assert_ne!(lab.exec(node, "test -e /var/lib/pve-harden/runs").status, 0, "a run was begun on {node}");
    }

    high_availability(lab, Some(("online", "started")));
    let mut command = lab.command(&["apply", "pve1", "--cluster", "--yes", "--control", "accounts.admin"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually(PATIENCE, "the run of pve1 is open", || {
        lab.exec("pve1", "ls -d /var/lib/pve-harden/runs/*/open").status == 0
    });
    high_availability(lab, Some(("fence", "started")));
    let said = Said::of(&child.wait_with_output().unwrap()).exits(4);
    assert!(said.stdout.contains("pve1: applied and confirmed"), "{}\n{}", said.stdout, said.stderr);
    assert!(said.stderr.contains("high availability is fencing or recovering: node pve3"), "{}", said.stderr);
    for (node, before) in MEMBERS.into_iter().zip(&before).skip(1) {
        assert_eq!(lab.fingerprint(node), *before, "{node}");
        assert_ne!(lab.exec(node, "test -e /var/lib/pve-harden/runs").status, 0, "a run was begun on {node}");
    }
    high_availability(lab, None);
}

fn all_online(lab: &Lab) -> bool {
    lab.exec("pve1", "[ \"$(grep -o '\"online\": *1' /etc/pve/.members | wc -l)\" = 3 ]").status == 0
}

/// The firewall of the cluster while pve2 is off: it comes back without it, reachable as before, until it is there.
fn who_is_off_is_kept_out_of_the_firewall(lab: &Lab) {
    eventually(PATIENCE, "the others miss pve2", || !all_online(lab));
    let controls = ["--profile", "strict", "--control", "firewall.*", "--control", "accounts.admin"];
    let said = lab.harden(&[&["apply", "pve1", "--cluster", "--yes"], &controls[..]].concat()).exits(3);
    assert!(said.stdout.contains("+++ /etc/pve/nodes/pve2/host.fw"), "{}", said.stdout);
    assert!(said.stdout.contains("pve2 is offline and cannot prove that it is still reached"), "{}", said.stdout);
    for node in ["pve1", "pve3"] {
        assert!(said.stdout.contains(&format!("{node}: applied and confirmed")), "{}\n{}", said.stdout, said.stderr);
        assert!(!lab.connects("outside", &lab.address(node), 8006), "{node}");
    }
    lab.lab(["reboot", "pve2"]).exits(0);
    eventually(PATIENCE, "pve2 is back", || all_online(lab));
    // Its daemon has seen the files of the others.
    let seen = "[ \"$(pve-firewall status)\" = 'Status: enabled/running' ]";
    eventually(PATIENCE, "pve2 has the files", || lab.exec("pve2", seen).status == 0);
    assert_ne!(lab.exec("pve2", "iptables-save | grep -q PVEFW-HOST-IN").status, 0);
    assert!(lab.connects("outside", &lab.address("pve2"), 8006) && lab.connects("outside", &lab.address6("pve2"), 22));
    let lifts = lab.harden(&[&["plan", "pve2"], &controls[..]].concat()).exits(1);
    assert!(lifts.stdout.contains("-enable: 0"), "{}", lifts.stdout);
}

#[test]
fn a_member_that_dies_in_the_middle_stops_the_others_and_is_kept_out_while_it_is_off() {
    let Some(lab) = Lab::up("fleet-killed", &MEMBERS, &["--cluster"]) else { return };
    without_quorum_nothing_is_touched(&lab);
    while_high_availability_fences_nothing_begins(&lab);
    let profile = lab.site.with_file_name("short.toml");
    std::fs::write(&profile, PROFILE).unwrap();
    let untouched = lab.fingerprint("pve3");
    let mut command = lab.command(&["apply", "--yes", "--commit-window", "10s", "--control", "accounts.admin"]);
    command.args(["--control", "session.*", "--profile", profile.to_str().unwrap()]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually(Duration::from_secs(200), "the accounts of pve2 are at work", || {
        lab.exec("pve2", "grep -q ' stage accounts' /var/lib/pve-harden/runs/*/journal").status == 0
    });
    lab.exec("pve2", "systemctl poweroff --force --force");
    let said = Said::of(&child.wait_with_output().unwrap()).exits(6);
    let table = said.stdout.split("\nwhat became of them\n").nth(1).unwrap();
    assert!(table.contains("pve1  applied"), "{table}");
    assert!(table.contains("pve2  needs hands"), "{table}");
    assert!(table.contains("pve3  not begun    nothing was changed"), "{table}");
    assert!(said.stderr.contains("nothing was changed on pve3: pve2 before did not end as wanted"), "{}", said.stderr);
    assert!(said.stderr.contains("pve2, last lines:\n"), "{}", said.stderr);
    assert_eq!(lab.fingerprint("pve3"), untouched);
    who_is_off_is_kept_out_of_the_firewall(&lab);
}
