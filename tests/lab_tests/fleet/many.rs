//! Standalone nodes side by side.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::lab::{Lab, Said, eventually};

const TWENTY: [&str; 20] = [
    "n01", "n02", "n03", "n04", "n05", "n06", "n07", "n08", "n09", "n10", "n11", "n12", "n13", "n14", "n15", "n16",
    "n17", "n18", "n19", "n20",
];

#[test]
fn twenty_nodes_are_planned_at_once() {
    // tests/tools/lab-tests asks for it when the others are done.
    if std::env::var_os("LAB_TWENTY").is_none() {
        return;
    }
    let Some(mut lab) = Lab::up("fleet-twenty", &TWENTY, &[]) else { return };
    let planned = lab.harden(&["plan", "--parallel", "20"]).exits(1);
    // Fresh nodes of one kind need the same: it is shown once, with all their names.
    assert!(planned.stdout.starts_with("the same on 20 nodes: n01 ("), "{}", planned.stdout);
    assert_eq!(planned.stdout.matches("+PermitRootLogin no").count(), 1, "{}", planned.stdout);
    let table = planned.stdout.split("\nall nodes\n").nth(1).unwrap();
    assert_eq!(table.lines().count(), 20, "{table}");
    // One that is different is shown by itself, and one that does not answer is listed; the others are not lost.
    lab.on("n07", "printf 'MaxAuthTries 2\\n' >/etc/ssh/sshd_config.d/00-pve-harden.conf");
    lab.lab(["cut", "n13"]).exits(0);
    let config = lab.site.with_file_name("impatient");
    std::fs::write(&config, format!("ConnectTimeout 3\nInclude {}\n", lab.ssh_config.display())).unwrap();
    lab.ssh_config = config;
    let planned = lab.harden(&["plan", "--parallel", "20", "--control", "ssh.*", "--control", "accounts.*"]);
    assert!(planned.stdout.starts_with("the same on 18 nodes: n01 ("), "{}\n{}", planned.stdout, planned.stderr);
    assert!(planned.stdout.contains("\nn07 ("), "{}", planned.stdout);
    assert!(planned.stderr.contains("nothing was changed on n13"), "{}", planned.stderr);
    planned.exits(3);
}

/// Runs recorded on a node, by outcome.
fn runs(lab: &Lab, node: &str) -> String {
    lab.on(node, "cd /var/lib/pve-harden/runs 2>/dev/null && ls -d */committed */open */undone 2>/dev/null || true")
}

#[test]
fn an_interrupted_command_goes_on_where_it_stopped() {
    let nodes = ["n1", "n2", "n3"];
    let Some(lab) = Lab::up("fleet-resume", &nodes, &[]) else { return };
    let arguments = ["apply", "--yes", "--control", "accounts.admin", "--control", "session.*"];
    let mut command = lab.command(&arguments);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The first goes alone; when its run is there, the operator wants out.
    eventually(Duration::from_secs(120), "a run on n1", || !runs(&lab, "n1").is_empty());
    for node in &nodes[1..] {
        assert_eq!(runs(&lab, node), "", "{node} began beside the first one");
    }
    eventually(Duration::from_secs(120), "a commit on n1", || runs(&lab, "n1").contains("committed"));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let said = Said::of(&child.wait_with_output().unwrap());
    assert!(matches!(said.status, 4 | 5), "{}\n{}", said.stdout, said.stderr);

    // A node that was caught in the middle decides by itself.
    for node in &nodes[1..] {
        eventually(Duration::from_secs(120), "no open run", || !runs(&lab, node).contains("open"));
    }
    let resumed = lab.harden(&[&arguments[..], &["--resume"]].concat()).exits(0);
    assert!(resumed.stdout.contains("n1: finished before, in run 2"), "{}", resumed.stdout);
    let table = resumed.stdout.split("\nwhat became of them\n").nth(1).unwrap();
    assert!(table.contains("n1  nothing to do  run 2"), "{table}");
    assert_eq!(table.matches("applied").count(), 2, "{table}");
    lab.harden(&["plan", "--control", "accounts.admin", "--control", "session.*"]).exits(0);
}

#[test]
fn a_backup_is_left_in_peace() {
    let Some(lab) = Lab::up("fleet-backup", &["pve1"], &[]) else { return };
    // A worker as PVE starts one: its number and start time stand in the list of active tasks.
    lab.on(
        "pve1",
        "setsid sleep 600 </dev/null >/dev/null 2>&1 & pid=$!
         start=$(sed 's/.*) //' /proc/$pid/stat | cut -d' ' -f20)
         mkdir -p /var/log/pve/tasks
         printf 'UPID:pve1:%08X:%08X:690F0000:vzdump:100:root@pam: 0\n' $pid $start >/var/log/pve/tasks/active
         printf 'UPID:pve1:0000FFFE:00000001:690F0000:vzdump:101:root@pam: 0\n' >>/var/log/pve/tasks/active
         printf 'UPID:pve1:%08X:%08X:690F0000:vzdump:102:root@pam: 1 690F0001 OK\n' $pid $start >>/var/log/pve/tasks/active",
    );
    let before = lab.fingerprint("pve1");
    let control = ["--control", "accounts.admin"];
    let planned = lab.harden(&[&["plan", "pve1"][..], &control].concat()).exits(1);
    assert!(
        planned.stdout.contains("still running: a backup (vzdump 100, started by root@pam);"),
        "{}",
        planned.stdout
    );
    let refused = lab.harden(&[&["apply", "pve1", "--yes"][..], &control].concat()).exits(4);
    assert!(refused.stdout.contains("still running: a backup (vzdump 100"), "{}", refused.stdout);
    assert!(refused.stdout.contains("--despite-tasks"), "{}", refused.stdout);
    assert_eq!(lab.fingerprint("pve1"), before, "something was changed");
    lab.harden(&[&["apply", "pve1", "--yes", "--despite-tasks"][..], &control].concat()).exits(0);
}
