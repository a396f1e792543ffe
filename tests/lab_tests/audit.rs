//! The kernel's audit trail, on a node with a kernel of its own: what a person does is found under the login's name,
//! survives a restart of pmxcfs and of the node, cannot fill the disk, and goes with a rollback.

use std::time::Duration;

use crate::support::lab::{Lab, eventually};

const NODE: &str = "pve1";
/// An emulated processor on a busy machine.
const PATIENCE: Duration = Duration::from_secs(400);
const PROFILE: &str = "extends = \"strict\"\n[run]\nstage-window = 900\ncommit-window = 600\n";

/// Each of a rule's keys, what a person who became root does, and what the trail must then name.
const DEEDS: [(&str, &str, &str); 4] = [
    ("pve-harden-identity", "useradd -M nonce-user", "name=/etc/passwd"),
    ("pve-harden-sudo", "echo '# nonce' >/etc/sudoers.d/nonce", "name=/etc/sudoers.d/nonce"),
    ("pve-harden-sshd", "echo '# nonce' >>/etc/ssh/sshd_config", "name=/etc/ssh/sshd_config"),
    ("pve-harden-pve", "echo nonce >/etc/pve/nonce-first", "name=/etc/pve/nonce-first"),
];

/// The events of a key as ausearch(8) explains them; without `--input-logs` it reads whatever is no terminal.
fn events(lab: &Lab, key: &str) -> String {
    lab.exec(NODE, &format!("ausearch --input-logs -i -k {key}")).stdout
}

/// Over SSH as the administrator, who becomes root: the trail names the login.
#[track_caller]
fn is_written_down(lab: &Lab, deeds: &[(&str, &str, &str)]) {
    let script = deeds.iter().map(|(_, deed, _)| *deed).collect::<Vec<_>>().join(" && ");
    lab.ssh(NODE, &["-o", "ServerAliveCountMax=20"], &format!("sudo -n sh -c \"{script}\"")).exits(0);
    for (key, deed, name) in deeds {
        let mut found = String::new();
        eventually(PATIENCE, &format!("{key} after {deed}"), || {
            found = events(lab, key);
            found
                .split("----")
                .any(|event| event.contains(name) && event.contains("auid=ops") && event.contains(" uid=root"))
        });
    }
}

/// The rules that the kernel has, without the names of the calls, which depend on auditctl's release.
fn loaded(lab: &Lab) -> String {
    lab.on(NODE, "auditctl -l | sed 's/-S [^ ]* //' | sort")
}

fn pmxcfs(lab: &Lab, verb: &str) {
    lab.on(NODE, &format!("systemctl {verb} pve-cluster.service"));
    eventually(PATIENCE, "the rules of /etc/pve are there again", || {
        lab.exec(NODE, "systemctl is-active pve-harden-audit.service && auditctl -l | grep -q dir=/etc/pve").status == 0
    });
}

/// auditd's own account of what it has read (auditd(8), SIGCONT).
fn state(lab: &Lab) -> String {
    lab.on(NODE, "rm -f /run/auditd.state; systemctl kill --kill-whom=main -s CONT auditd.service");
    let mut state = String::new();
    eventually(PATIENCE, "auditd says how it is set", || {
        state = lab.exec(NODE, "cat /run/auditd.state").stdout;
        state.contains("disk error detected")
    });
    state
}

/// auditd holds to the size that it read; with a smaller one, so that a test can fill it, the oldest records go.
fn rotation_keeps_the_bound(lab: &Lab) {
    let read = state(lab);
    assert!(read.contains("max log size = 8192 KB") && read.contains("writing to logs = yes"), "{read}");
    lab.on(
        NODE,
        "cp -p /etc/audit/auditd.conf /root/auditd.conf &&
        sed -i 's/^max_log_file = .*/max_log_file = 1/; s/^num_logs = .*/num_logs = 2/' /etc/audit/auditd.conf &&
        systemctl kill --kill-whom=main -s HUP auditd.service",
    );
    eventually(PATIENCE, "auditd has read the smaller size", || state(lab).contains("max log size = 1024 KB"));
    // More than both files may hold.
    let flood = "text=$(printf '%08000d' 0); for n in $(seq 320); do auditctl -m \"$text\" || exit; done";
    lab.on(NODE, flood);
    let size = "find /var/log/audit -type f | wc -l; du -sm --apparent-size /var/log/audit | cut -f1";
    let mut found = String::new();
    eventually(PATIENCE, "two files, 2 MiB and one record at most", || {
        found = lab.on(NODE, size);
        let numbers: Vec<u32> = found.split_whitespace().map(|number| number.parse().unwrap()).collect();
        assert!(numbers[0] <= 2 && numbers[1] <= 3, "files and MiB: {found}");
        numbers == [2, 2] || numbers == [2, 3]
    });
    assert!(state(lab).contains("logging suspended = no"));
    lab.on(NODE, "cp -p /root/auditd.conf /etc/audit/auditd.conf && rm /root/auditd.conf && systemctl kill --kill-whom=main -s HUP auditd.service");
}

#[test]
fn who_changed_what_is_written_down_and_stays_so() {
    on_release("9");
}

/// auditd 3, whose unit loads the rules itself.
#[test]
fn who_changed_what_is_written_down_on_pve_8_too() {
    on_release("8");
}

/// A person who empties the rules is found out; the next boot loads them all, /etc/pve's after the mount.
fn goes_on_after_a_reboot(lab: &Lab, plan: &[&str], rules: &str) {
    lab.on(NODE, "auditctl -D >/dev/null");
    let emptied = lab.harden(plan).exits(1);
    assert!(emptied.stdout.contains("! auditd.service is restarted if it runs"), "{}", emptied.stdout);
    lab.lab(["reboot", NODE]).exits(0);
    pmxcfs(lab, "start");
    assert_eq!(loaded(lab), rules, "after a reboot");
    is_written_down(lab, &[("pve-harden-pve", "echo nonce >/etc/pve/nonce-second", "name=/etc/pve/nonce-second")]);
}

fn on_release(pve: &str) {
    // Minutes of emulation: `make vm-tests` asks for it.
    if std::env::var_os("LAB_VM").is_none() {
        return;
    }
    let Some(lab) = Lab::up(&format!("audit{pve}"), &[NODE], &["--vm", "--pve", pve]) else { return };
    let profile = lab.site.with_file_name("slow.toml");
    std::fs::write(&profile, PROFILE).unwrap();
    let words = |verb: &'static str| {
        let mut words = vec![verb, NODE, "--profile", profile.to_str().unwrap(), "--control", "audit.*"];
        words.extend(["--control", "accounts.admin"]);
        words.extend((verb == "apply").then_some("--yes"));
        words
    };
    let masters = lab.on(NODE, "systemctl show -p MainPID -p NRestarts pve-cluster.service corosync.service");
    lab.harden(&words("apply")).exits(0);
    is_written_down(&lab, &DEEDS);
    let again = lab.harden(&words("plan")).exits(0);
    assert!(again.stdout.contains(": 0 changes"), "{}", again.stdout);
    assert_eq!(lab.on(NODE, "systemctl show -p MainPID -p NRestarts pve-cluster.service corosync.service"), masters);
    rotation_keeps_the_bound(&lab);

    // pmxcfs takes the kernel's rule along.
    let rules = loaded(&lab);
    pmxcfs(&lab, "restart");
    assert_eq!(loaded(&lab), rules, "after a restart of pmxcfs");
    if pve == "9" {
        goes_on_after_a_reboot(&lab, &words("plan"), &rules);
    }

    lab.harden(&["rollback", NODE, "--yes", "--profile", profile.to_str().unwrap()]).exits(0);
    assert_eq!(lab.on(NODE, "auditctl -l; auditctl -s | grep ^enabled").trim(), "No rules\nenabled 0");
    let left = "find /etc/audit /etc/systemd/system -name '*pve-harden*'; dpkg --verify auditd; systemctl is-active auditd.service; systemctl --failed --plain --no-legend; true";
    assert_eq!(lab.on(NODE, left).trim(), "inactive");
}
