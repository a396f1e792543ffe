//! Logins that cannot work, and what the operator reads then.

use std::fs;
use std::time::{Duration, Instant};

use super::tool::{Tool, new_key, sshd_settings};
use crate::support::lab::{Lab, eventually};

/// What sshd logged about root's passwords since boot.
fn wrong_passwords(lab: &Lab) -> usize {
    let log = lab
        .on("pve1", "journalctl --sync; journalctl -b -o cat SYSLOG_IDENTIFIER=sshd + SYSLOG_IDENTIFIER=sshd-session");
    log.matches("authentication failure").count()
}

#[test]
fn logins_that_cannot_work() {
    let Some(lab) = Lab::up("in-logins", &["pve1"], &[]) else { return };
    sshd_settings(&lab, "pve1", "");
    passwords(&lab);
    identities(&lab);
    host_keys(&lab);
    no_way_there(&lab);
    lab.lab(["up", "deb1", "--plain"]).exits(0);
    let tool = Tool::new(&lab);
    insta::assert_snapshot!(tool.told(&tool.run(&["plan", "deb1"])), @r"
    exit 3
    error: nothing was changed on deb1
    cause: it is not a Proxmox VE node: the package pve-manager is not installed
    hint: name Proxmox VE nodes only; check address and jump host
    ");
}

fn passwords(lab: &Lab) {
    let tool = Tool::new(lab).env("PVE_ROOT_PASS", "wrong");
    insta::assert_snapshot!(tool.told(&tool.run(&["plan", "pve1"])), @r"
    exit 3
    error: nothing was changed on pve1
    cause: root@[pve1] was refused: the password is wrong, or a password login is not allowed for this user
    hint: correct the password; it was tried once and is not tried again, because the node may lock the account
    ");
    assert_eq!(wrong_passwords(lab), 1, "a wrong password is tried once");
    let tool = Tool::new(lab).env("PVE_ROOT_PASS", "");
    insta::assert_snapshot!(tool.told(&tool.run(&["plan", "pve1"])), @r"
    exit 3
    error: nothing was changed on pve1
    cause: root@[pve1] asks for a password, and there is none; before that, ops: no login was accepted; publickey, password would be possible
    hint: set PVE_ROOT_PASS (or PVE_ROOT_PASS_<HOST>), name a key with --identity, or run on a terminal and be asked
    ");
    insta::assert_snapshot!(tool.told(&tool.run(&["apply", "pve1", "--yes"])), @r"
    exit 3
    error: nothing was changed on pve1
    cause: root@[pve1] asks for a password, and there is none; before that, ops: no login was accepted; publickey, password would be possible
    hint: set PVE_ROOT_PASS (or PVE_ROOT_PASS_<HOST>), name a key with --identity, or run on a terminal and be asked
    ");
    assert_eq!(wrong_passwords(lab), 1);
}

fn identities(lab: &Lab) {
    let tool = Tool::new(lab).file("text", "no key\n").file("empty", "");
    let key = new_key(&tool, "open", "");
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let told: Vec<_> = ["absent", "text", "empty", ".", "open"]
        .iter()
        .map(|file| tool.told(&tool.run(&["plan", "pve1", "--identity", file])))
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    exit 2
    error: nothing was changed on pve1
    cause: the identity absent does not exist
    hint: name a private key you can read, or leave it out: your ssh agent and ssh config are used

    exit 2
    error: nothing was changed on pve1
    cause: the identity text is not a private key
    hint: name a private key you can read, or leave it out: your ssh agent and ssh config are used

    exit 2
    error: nothing was changed on pve1
    cause: the identity empty is not a private key
    hint: name a private key you can read, or leave it out: your ssh agent and ssh config are used

    exit 2
    error: nothing was changed on pve1
    cause: the identity . is not a regular file
    hint: name a private key you can read, or leave it out: your ssh agent and ssh config are used

    exit 2
    error: nothing was changed on pve1
    cause: the identity open can be read by others, and ssh refuses such a key
    hint: chmod 600 open
    ");
}

fn host_keys(lab: &Lab) {
    let tool = Tool::new(lab).file("known", "");
    let plan = &["plan", "pve1", "--known-hosts", "known"];
    insta::assert_snapshot!(tool.told(&tool.run(plan)), @r"
    exit 3
    error: nothing was changed on pve1
    cause: the host key of [pve1] is not known: ED25519 SHA256:[KEY]
    hint: compare the fingerprint with the node's console (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`), then answer yes, use --accept-new, or pin it as host_key in the site
    ");
    assert_eq!(fs::read_to_string(tool.path("known")).unwrap(), "");
    let accepting = [&plan[..], &["--accept-new"]].concat();
    insta::assert_snapshot!(tool.told(&tool.run(&accepting)), @r"
    exit 1
    accepted the new host key of [pve1]: ED25519 SHA256:[KEY]
    ");
    assert!(fs::read_to_string(tool.path("known")).unwrap().contains(&lab.address("pve1")));
    assert_eq!(tool.run(plan).exits(1).stderr, "", "it is known from then on");

    new_key(&tool, "former", "");
    let former = fs::read_to_string(tool.path("former.pub")).unwrap();
    let tool = tool.file("known", &format!("{} {former}", lab.address("pve1")));
    insta::assert_snapshot!(tool.told(&tool.run(&accepting)), @r"
    exit 3
    error: nothing was changed on pve1
    cause: the host key of [pve1] is not the known one; it offers ED25519 SHA256:[KEY]
    hint: compare the fingerprint with the node's console; only if the node was really installed anew: `ssh-keygen -f known -R [pve1]`
    ");

    let fingerprint = |command: &str| lab.on("pve1", command).split(' ').nth(1).unwrap().to_owned();
    let own = fingerprint("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub");
    let pinned = |pin: &str| {
        Tool::new(lab).file("known", "").site(&[("name = \"pve1\"", &format!("name = \"pve1\"\nhost_key = \"{pin}\""))])
    };
    assert_eq!(pinned(&own).run(plan).exits(1).stderr, "");
    let tool = pinned(&own.replace("SHA256:", "SHA256:A").chars().take(own.len()).collect::<String>());
    insta::assert_snapshot!(tool.told(&tool.run(plan)), @r"
    exit 3
    error: nothing was changed on pve1
    cause: the host key of [pve1] is not the pinned SHA256:[KEY]; it offers ED25519 SHA256:[KEY]
    hint: compare the fingerprint with the node's console; only if it is right, change host_key in the site
    ");
}

fn no_way_there(lab: &Lab) {
    let tool = Tool::new(lab);
    // Too long for the name system, so that nobody is asked.
    let nowhere = format!("root@{}.invalid", "a".repeat(64));
    let said = tool.run(&["plan", &nowhere]).exits(3);
    assert!(said.stderr.contains("Could not resolve hostname"), "{}", said.stderr);
    insta::assert_snapshot!(tool.told(&tool.run(&["plan", "pve1", "--port", "1"])), @r"
    exit 3
    error: nothing was changed on pve1
    cause: [pve1] cannot be reached: connect to host [pve1] port 1: Connection refused
    hint: check address, port and jump host with `ssh -v`, then run the same command again
    ");

    lab.lab(["cut", "pve1"]).exits(0);
    let started = Instant::now();
    let said = tool.run(&["plan", "pve1"]).exits(3);
    assert!(started.elapsed() < Duration::from_secs(25), "{:?}", started.elapsed());
    assert!(said.stderr.starts_with("error: nothing was changed on pve1\ncause: "), "{}", said.stderr);
    assert!(said.stderr.contains(" cannot be reached: "), "{}", said.stderr);
    lab.lab(["mend", "pve1"]).exits(0);
}

/// The capture program gets stuck in its first question and says so in `/run/asked`.
fn stuck(lab: &Lab) {
    lab.on("pve1", "rm -f /run/asked; cp /usr/bin/dpkg-query /root/kept; printf '#!/bin/sh\\n: >/run/asked\\nexec sleep 300\\n' >/usr/bin/dpkg-query");
}

fn masters(lab: &Lab) -> String {
    let listed =
        std::process::Command::new("pgrep").args(["-af", &format!("ssh .*-M .*{}", lab.address("pve1"))]).output();
    String::from_utf8(listed.unwrap().stdout).unwrap()
}

#[test]
fn a_plan_that_is_cut_short() {
    let Some(lab) = Lab::up("in-cut", &["pve1"], &[]) else { return };
    let before = lab.fingerprint("pve1");
    stuck(&lab);
    let tool = Tool::new(&lab);
    let asked = |lab: &Lab| {
        eventually(Duration::from_secs(30), "the program runs", || lab.exec("pve1", "test -e /run/asked").status == 0);
    };

    let child = tool.start(&["plan", "pve1"]);
    asked(&lab);
    let id = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    insta::assert_snapshot!(tool.told(&tool.wait(child)), @r"
    exit 3
    error: nothing was changed
    cause: interrupted by Ctrl-C
    hint: run the same command again
    ");
    eventually(Duration::from_secs(10), "the connection ends with the tool", || masters(&lab).is_empty());

    lab.on("pve1", "rm /run/asked");
    let child = tool.start(&["plan", "pve1"]);
    asked(&lab);
    lab.lab(["cut", "pve1"]).exits(0);
    let started = Instant::now();
    let said = tool.wait(child).exits(3);
    assert!(started.elapsed() < Duration::from_secs(40), "{:?}", started.elapsed());
    assert!(
        said.stderr.starts_with("error: nothing was changed on pve1\ncause: the connection was lost"),
        "{}",
        said.stderr
    );
    lab.lab(["mend", "pve1"]).exits(0);
    lab.on("pve1", "cat /root/kept >/usr/bin/dpkg-query; rm /root/kept");
    assert_eq!(lab.fingerprint("pve1"), before);
}
