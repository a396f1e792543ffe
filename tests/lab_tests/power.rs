//! Power cuts on a node with a kernel, a page cache and a disk of its own: what did not reach the disk is lost, as on a
//! real machine. Each time the node boots into a state that somebody can log in to.

use std::collections::BTreeSet;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::support::lab::{Lab, Said, eventually};

const NODE: &str = "pve1";

/// An emulated processor on a busy machine.
const PATIENCE: Duration = Duration::from_secs(400);

/// The emulated node spends a minute on what takes a real one a second.
const PROFILE: &str = "extends = \"baseline\"\n[run]\nstage-window = 600\ncommit-window = 300\n";

/// Every kind of step but packages, which are there already: accounts, PAM, files, units.
const CONTROLS: [&str; 6] = ["--control", "accounts.*", "--control", "password.quality", "--control", "ssh.*"];

/// Nobody confirms, and the window is longer than a boot.
const UNCONFIRMED: [&str; 5] = ["--yes", "--confirm", "manual", "--commit-window", "10m"];

/// What the controls above ask for, so that packages, which stay, make no difference to an undone run.
fn install_packages(lab: &Lab) {
    lab.on(
        NODE,
        "apt-get -q update >/dev/null 2>&1; DEBIAN_FRONTEND=noninteractive apt-get -q -y install sudo libpam-pwquality >/dev/null &&
        pam-auth-update --package --disable pwquality && sync",
    );
    std::fs::write(profile(lab), PROFILE).unwrap();
}

fn profile(lab: &Lab) -> std::path::PathBuf {
    lab.site.with_file_name("slow.toml")
}

/// `apply` in the background; its output is not read before its end and fits into a pipe.
fn start_apply(lab: &Lab) -> Child {
    let profile = profile(lab);
    let mut words = vec!["apply", NODE, "--profile", profile.to_str().unwrap()];
    words.extend(CONTROLS.iter().chain(&UNCONFIRMED));
    lab.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn run_journal(lab: &Lab) -> String {
    lab.exec(NODE, "cat \"$(ls -d /var/lib/pve-harden/runs/*/ | tail -n 1)journal\"").stdout
}

/// Waits on the node, so that the line is seen the moment it is written.
#[track_caller]
fn wait_for_line(lab: &Lab, tool: &mut Child, runs_before: usize, pattern: &str) {
    let look = format!(
        "set -- /var/lib/pve-harden/runs/*/; for try in $(seq 100); do [ $# -gt {runs_before} ] && shift $(($# - 1)) && \
         grep -q '{pattern}' \"$1/journal\" 2>/dev/null && exit 0; sleep 0.1; set -- /var/lib/pve-harden/runs/*/; done; exit 1"
    );
    let mut ended = false;
    eventually(PATIENCE, &format!("a journal line like {pattern}"), || {
        ended = tool.try_wait().unwrap().is_some();
        ended || lab.exec(NODE, &look).status == 0
    });
    assert!(!ended, "the tool ended first:\n{}", run_journal(lab));
}

fn power_cut(lab: &Lab) {
    lab.lab(["reboot", NODE, "--power-cut"]).exits(0);
}

/// Microseconds since the boot at which the manager first said so about a unit.
fn moment(lab: &Lab, unit: &str, message: &str) -> u64 {
    let lines = lab.on(NODE, &format!("journalctl -q -b -o json _PID=1 UNIT={unit}"));
    let entries = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let found = entries
        .into_iter()
        .find(|entry| entry["MESSAGE"].as_str().is_some_and(|text| text.starts_with(message)))
        .unwrap_or_else(|| panic!("{unit} never said {message:?} in this boot:\n{lines}"));
    found["__MONOTONIC_TIMESTAMP"].as_str().unwrap().parse().unwrap()
}

/// The boot itself put everything back, before anybody could log in to what was not confirmed.
#[track_caller]
fn assert_undone_at_boot(lab: &Lab, before: &str, when: &str) {
    let journal = run_journal(lab);
    assert!(journal.contains(" undoing boot-local"), "{when}:\n{journal}");
    let newest = lab.on(NODE, "cd \"$(ls -d /var/lib/pve-harden/runs/*/ | tail -n 1)\" && ls -d new open undoing undone committed refused 2>/dev/null; true");
    assert_eq!(newest.trim(), "undone", "{when}:\n{journal}");
    let undone = moment(lab, "pve-harden-undo-boot.service", "Finished");
    let sshd = moment(lab, "ssh.service", "Starting");
    assert!(undone <= sshd, "{when}: the undo ended at {undone}, sshd started at {sshd}");

    let login = lab.root_password_login(NODE);
    assert_eq!(login.status, 0, "{when}: root's password login: {}", login.stderr);
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (before, after) = (lines(before), lines(&lab.fingerprint(NODE)));
    let gone: Vec<_> = before.difference(&after).collect();
    let new: Vec<_> = after.difference(&before).collect();
    assert!(gone.is_empty() && new.is_empty(), "{when}: gone {gone:#?}, new {new:#?}");
    let left = lab.on(
        NODE,
        "find /etc /usr/local/lib /run/systemd /var/lib/pve-harden -path /var/lib/pve-harden/runs -prune -o -path /etc/pve -prune -o -name '*pve-harden?*' -print -o -name undo-at-boot.sh -print;
        [ ! -e /run/motd.d/pve-harden ] || echo message of the day;
        systemctl list-units --plain --no-legend 'pve-harden*'; systemctl --failed --plain --no-legend; systemctl list-timers --all --no-legend 'pve-harden*'; systemctl list-unit-files --no-legend 'pve-harden*'; true",
    );
    assert_eq!(left.trim(), "", "{when}: left behind");
}

#[test]
fn a_power_cut_costs_neither_the_way_in_nor_what_was_confirmed() {
    // Ten minutes of emulation: `make vm-tests` asks for it.
    if std::env::var_os("LAB_VM").is_none() {
        return;
    }
    let Some(lab) = Lab::up("power", &[NODE], &["--vm"]) else { return };
    install_packages(&lab);
    let before = lab.fingerprint(NODE);

    let mut tool = start_apply(&lab);
    wait_for_line(&lab, &mut tool, 0, " window ");
    assert_ne!(lab.fingerprint(NODE), before, "the run changed nothing");
    power_cut(&lab);
    let said = Said::of(&tool.wait_with_output().unwrap()).exits(5);
    assert!(said.stderr.contains("restarted"), "{}", said.stderr);
    assert_undone_at_boot(&lab, &before, "cut within the window");

    // Whoever applied is gone as well.
    let mut tool = start_apply(&lab);
    wait_for_line(&lab, &mut tool, 1, " stage accounts ");
    tool.kill().unwrap();
    tool.wait().unwrap();
    power_cut(&lab);
    assert_undone_at_boot(&lab, &before, "cut in the stage of accounts");

    let profile = profile(&lab);
    lab.harden(&["apply", NODE, "--yes", "--profile", profile.to_str().unwrap()]).exits(0);
    power_cut(&lab);
    assert_eq!(lab.ssh(NODE, &[], "sudo -n id -u").exits(0).stdout.trim(), "0");
    assert_ne!(lab.root_password_login(NODE).status, 0, "root got in by password");
    lab.on(NODE, "cd \"$(ls -d /var/lib/pve-harden/runs/*/ | tail -n 1)\" && [ -e committed ] && [ -s state.json ]");
    assert_eq!(lab.on(NODE, "systemctl list-unit-files --no-legend 'pve-harden*'; true").trim(), "");
    lab.on(NODE, "for file in $(ls -A /etc/skel); do cmp /etc/skel/$file /home/ops/$file || exit; done");
    let planned = lab.harden(&["plan", NODE, "--profile", profile.to_str().unwrap()]);
    // Its clock follows nobody, for want of a network: one finding by hand.
    assert!(planned.stdout.contains(": 0 changes,"), "{}\n{}", planned.stdout, planned.stderr);
}

/// A cut between two system calls cannot be aimed at; what it leaves can be laid out.
#[test]
fn what_a_cut_leaves_half_written_is_swept_away() {
    let Some(lab) = Lab::up("power-halves", &[NODE], &[]) else { return };
    install_packages(&lab);
    let before = lab.fingerprint(NODE);
    let mut tool = start_apply(&lab);
    wait_for_line(&lab, &mut tool, 0, " window ");
    // A file before its rename; the lock of a useradd whose process id is that of a process of the next boot.
    lab.on(
        NODE,
        "for folder in /etc/ssh/sshd_config.d /etc/sudoers.d /etc/pam.d /etc /home/ops/.ssh; do echo half >$folder/.pve-harden.aB3dE6gH || exit; done
        for name in passwd shadow group gshadow; do printf 1 >/etc/$name.lock; printf 1 >/etc/$name.4242; echo half >/etc/$name+; done; sync",
    );
    power_cut(&lab);
    Said::of(&tool.wait_with_output().unwrap()).exits(5);
    assert_undone_at_boot(&lab, &before, "cut while files were written");
    lab.on(NODE, "useradd -M somebody && userdel somebody");
}
