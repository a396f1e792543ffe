//! SSH keys that take each other's place, and users who are locked in an incident, with the real sshd and accounts.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::lab::Lab;

fn key(folder: &Path, name: &str) -> PathBuf {
    let file = folder.join(name);
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&file).status();
    assert!(made.expect("ssh-keygen").success());
    file
}

fn login(lab: &Lab, key: &Path) -> i32 {
    let identity = format!("IdentityFile={}", key.display());
    let address = lab.address("pve1");
    let options = ["-F", "/dev/null", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"];
    let more = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", &identity, "-l", "ops"];
    Command::new("ssh").args(options).args(more).args([&address, "true"]).status().expect("ssh").code().unwrap_or(-1)
}

#[test]
fn one_key_takes_the_place_of_another_or_nothing_happens() {
    let Some(lab) = Lab::up("keys-rotate", &["pve1"], &[]) else { return };
    lab.harden(&["apply", "pve1", "--yes", "--control", "accounts.*"]).exits(0);
    let folder = tempfile::tempdir().unwrap();
    // The public half of another key: its login cannot come about.
    let wrong = key(folder.path(), "wrong");
    std::fs::copy(key(folder.path(), "other").with_extension("pub"), folder.path().join("wrong.pub")).unwrap();
    let rotate = |file: &Path| lab.harden(&["key", "rotate", "pve1", "--yes", "--new", &file.to_string_lossy()]);
    let before = login(&lab, &lab.admin_key());
    let said = rotate(&wrong);
    assert!(said.status == 5 || said.status == 3, "{}{}", said.stdout, said.stderr);
    assert_eq!((before, login(&lab, &lab.admin_key())), (0, 0), "the old key works as before");

    // What the first try may have left is no key of this administrator.
    lab.on("pve1", "sed -i '/ other$/d' /home/ops/.ssh/authorized_keys");
    let new = key(folder.path(), "new");
    let said = rotate(&new).exits(0);
    assert!(said.stderr.contains("the site still names the old key"), "{}", said.stderr);
    assert_eq!(login(&lab, &new), 0);
    assert_ne!(login(&lab, &lab.admin_key()), 0, "the old key is gone");
    let lines = lab.on("pve1", "cat /home/ops/.ssh/authorized_keys");
    assert!(lines.contains(" new\n") && lines.starts_with("# Written by pve-harden"), "{lines}");
}

const EVE: &str = "set -e; useradd -m -s /bin/bash eve; echo 'eve:Start-77-Qwv.k-x' | chpasswd; pveum user add eve@pam; pveum user add \"o'neil!x@pve\"; pveum group add ops; \
    pveum user modify eve@pam --groups ops; pveum acl modify /vms --users eve@pam --roles PVEAuditor; \
    pveum acl modify / --users eve@pam --roles PVEVMAdmin --propagate 0; pveum acl modify /vms --users \"o'neil!x@pve\" --roles PVEAuditor; \
    pveum user token add eve@pam ci --privsep 1 >/dev/null; pveum user token add \"o'neil!x@pve\" ci >/dev/null";

/// user.cfg without tokens and the order of its lines and lists.
fn rights(lab: &Lab) -> Vec<String> {
    let text = lab.on("pve1", "grep -v -e '^token:' -e '^$' /etc/pve/user.cfg");
    let sorted = |field: &str| {
        let mut words: Vec<&str> = field.split(',').collect();
        words.sort_unstable();
        words.join(",")
    };
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| line.trim_end_matches(':').split(':').map(sorted).collect::<Vec<_>>().join(":"))
        .collect();
    lines.sort();
    lines
}

/// A line of the index as PVE's workers leave it.
const TASK: &str = "now=$(printf '%08X' \"$(date +%s)\"); mkdir -p /var/log/pve/tasks; \
    echo \"UPID:pve1:0000C0DE:0001A2B3:$now:qmstart:100:eve@pam: $now OK\" >>/var/log/pve/tasks/index";

const TOKEN: &str =
    "pveum user token add eve@pam ci --privsep 0 --output-format json | sed 's/.*\"value\":\"\\([^\"]*\\)\".*/\\1/'";

#[test]
fn a_user_is_locked_or_nothing_but_tokens_is_lost() {
    let Some(lab) = Lab::up("access-lock", &["pve1"], &[]) else { return };
    lab.harden(&["apply", "pve1", "--yes", "--control", "accounts.*"]).exits(0);
    lab.on("pve1", EVE);
    let before = rights(&lab);
    lab.harden(&["access", "lock", "root@pam", "pve1", "--yes"]).exits(4);
    lab.harden(&["access", "lock", "ops@pam", "pve1", "--yes"]).exits(4);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("timeline.txt");
    let lock =
        |user: &str| lab.harden(&["access", "lock", user, "pve1", "--yes", "--timeline", &file.to_string_lossy()]);
    let tokens = || lab.on("pve1", "grep -c '^token:eve@pam!' /etc/pve/user.cfg || true");
    let shadow = || lab.on("pve1", "getent shadow eve | cut -d: -f2,8");

    // Refused at each call in turn: everything is as before, but for a token that was deleted by then.
    let open = shadow();
    for (program, words, left) in [
        ("usermod", "-L -e 1", "1"),
        ("pveum", "user modify", "1"),
        ("pveum", "user token", "1"),
        ("pveum", "acl delete", "0"),
    ] {
        let real = lab.on("pve1", &format!("command -v {program}"));
        let count = words.split(' ').count();
        let test = (1..=count).map(|at| format!("${at}")).collect::<Vec<_>>().join(" ");
        lab.on(
            "pve1",
            &format!(
                "printf '%s\\n' '#!/bin/sh' '[ \"{}\" != \"{words}\" ] || {{ rm -f \"$0\"; echo refused by hand >&2; exit 255; }}' 'exec {} \"$@\"' \
                 >/usr/local/sbin/{program} && chmod 755 /usr/local/sbin/{program}",
                test,
                real.trim()
            ),
        );
        let failed = lock("eve@pam");
        assert_ne!(lab.exec("pve1", &format!("test -e /usr/local/sbin/{program}")).status, 0, "{words} was tried");
        assert_eq!(failed.status, 5, "{program} {words}: {}{}", failed.stdout, failed.stderr);
        assert_eq!(rights(&lab), before, "{program} {words}");
        assert_eq!((shadow(), tokens().trim()), (open.clone(), left), "{program} {words}");
    }

    // What they did: a request with the token (which is made anew), a task, a login that failed.
    let secret = lab.on("pve1", &format!("{TASK}; {TOKEN}"));
    let secret = secret.trim();
    assert_eq!(lab.token_status("pve1", "eve@pam!ci", secret), "200");
    let said = lock("eve@pam").exits(0);
    assert!(said.stdout.contains("cannot revoke a single one") && said.stdout.contains("is locked"), "{}", said.stdout);
    assert!(said.stdout.contains("for good: eve@pam!ci cannot be brought back"), "{}", said.stdout);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let timeline = std::fs::read_to_string(&file).unwrap();
    assert!(timeline.contains("  task  qmstart 100 by eve@pam: OK\n"), "{timeline}");
    assert!(timeline.contains("  web   eve@pam!ci from ") && timeline.contains("/api2/json/version"), "{timeline}");
    assert!(!timeline.contains("o'neil") && !timeline.contains("NOT READ"), "{timeline}");
    let cfg = lab.on("pve1", "cat /etc/pve/user.cfg");
    assert!(cfg.contains("user:eve@pam:0:") && cfg.matches("eve@pam").count() == 1, "nothing but the account: {cfg}");
    assert!(shadow().starts_with('!') && shadow().trim().ends_with(":1"), "{}", shadow());
    assert_eq!(lab.token_status("pve1", "eve@pam!ci", secret), "401");

    let back = lab.harden(&["access", "unlock", "eve@pam", "pve1", "--yes"]).exits(0);
    assert!(back.stdout.contains("not brought back: the token eve@pam!ci was revoked"), "{}", back.stdout);
    assert_eq!((rights(&lab), tokens().trim()), (before, "0"));
    assert_eq!(shadow(), open);
    assert_eq!(lab.token_status("pve1", "eve@pam!ci", secret), "401");
    let why = lab.harden(&["access", "unlock", "eve@pam", "pve1", "--yes"]).exits(4).stderr;
    assert!(why.contains("no run of this node holds eve@pam locked"), "{why}");

    // A name that a shell would take for something else.
    lock("o'neil!x@pve").exits(0);
    let cfg = lab.on("pve1", "cat /etc/pve/user.cfg");
    assert!(cfg.contains("user:o'neil!x@pve:0:") && cfg.matches("o'neil").count() == 1, "{cfg}");
}
