//! Passwords and sudo on lab nodes: real PAM, real journals.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use pve_harden::secret::Secret;
use pve_harden::transport::{
    Connection, Credentials, Error, Frame, HostKeyPolicy, Limits, Methods, Program, Question, Target, fresh_run,
};

use super::{Scripted, nobody, operator};
use crate::support::lab::Lab;

/// root on a node by password; ssh knows the node's keys.
fn root(lab: &Lab, node: &str) -> Target {
    Target { ssh_config: Some(lab.ssh_config.clone()), ..Target::new(lab.address(node)).user("root") }
}

fn ops(lab: &Lab, node: &str) -> Target {
    Target { user: Some("ops".into()), identity: Some(lab.admin_key()), ..root(lab, node) }
}

fn password(value: impl Into<String>) -> Credentials {
    Credentials { password: Some(Secret::new(value)), ..Credentials::default() }
}

fn key_only() -> Credentials {
    Credentials { methods: Methods::KeyOnly, ..Credentials::default() }
}

/// The admin as a hardening run would leave them.
fn make_ops(lab: &Lab, node: &str) {
    let key = fs::read_to_string(lab.admin_key().with_extension("pub")).unwrap();
    lab.on(
        node,
        &format!(
            "useradd -m -s /bin/bash ops && install -d -o ops -m 700 /home/ops/.ssh && \
             echo '{}' >/home/ops/.ssh/authorized_keys && chown ops /home/ops/.ssh/authorized_keys",
            key.trim()
        ),
    );
}

fn install_sudo(lab: &Lab, node: &str) {
    lab.on(node, "apt-get update >/dev/null 2>&1; DEBIAN_FRONTEND=noninteractive apt-get install -y sudo");
}

/// Lines of the node's sshd log since boot.
fn sshd_log(lab: &Lab, node: &str) -> String {
    lab.on(node, "journalctl --sync; journalctl -b -o cat SYSLOG_IDENTIFIER=sshd + SYSLOG_IDENTIFIER=sshd-session")
}

fn body(frames: &[Frame], name: &str) -> String {
    let frame = frames.iter().find(|frame| frame.name == name).unwrap();
    String::from_utf8_lossy(&frame.body).into_owned()
}

/// Processes of this machine whose environment or arguments hold `secret`.
fn holders(secret: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        for file in ["environ", "cmdline"] {
            let text = fs::read(entry.path().join(file)).unwrap_or_default();
            if text.windows(secret.len()).any(|window| window == secret.as_bytes()) {
                found.push(format!("{} {file}: {}", entry.path().display(), String::from_utf8_lossy(&text)));
            }
        }
    }
    found
}

#[tokio::test]
async fn a_root_password_is_given_once_and_leaves_no_trace() {
    let Some(lab) = Lab::up("tr-password", &["tp1"], &[]) else { return };
    // Every character a password may have.
    let secret = "a'b\"c $(d) \\e `f` %h ~!#ö&";
    lab.on("tp1", "cat >/tmp/p <<'END'\nroot:a'b\"c $(d) \\e `f` %h ~!#ö&\nEND\nchpasswd </tmp/p; rm /tmp/p");
    for address in [lab.address("tp1"), lab.lab(["addr", "tp1", "--6"]).exits(0).stdout.trim().to_owned()] {
        let target = Target { address, ..root(&lab, "tp1") };
        let connection = Connection::open(&target, &password(secret), &nobody()).await.unwrap();
        assert_eq!(holders(secret), Vec::<String>::new());
        let frames = connection.run(&Program::new("run who id -un"), Limits::default()).await.unwrap();
        assert_eq!(body(&frames, "who"), "root\n");
        connection.close().await.unwrap();
    }
    let log = sshd_log(&lab, "tp1");
    assert_eq!((log.matches("Accepted password").count(), log.matches("Failed password").count()), (2, 0), "{log}");

    // Asked for on the terminal where no variable holds it; a fresh login with nothing but the password.
    let asked = Scripted::answering(&["a'b\"c $(d) \\e `f` %h ~!#ö&"]);
    let only = Credentials { methods: Methods::PasswordOnly, ..Credentials::default() };
    let program = Program::new("true");
    fresh_run(&root(&lab, "tp1"), &only, &operator(asked.clone()), &program, Limits::default()).await.unwrap();
    let account = format!("root@{}", lab.address("tp1"));
    assert_eq!(asked.questions(), [Question::Password { account }]);

    // Nobody to ask: nothing is tried.
    let error = Connection::open(&root(&lab, "tp1"), &Credentials::default(), &nobody()).await.unwrap_err();
    assert_eq!(error, Error::PasswordMissing { user: "root".into(), host: lab.address("tp1"), before: String::new() });

    // Wrong: tried once, whatever else the node offers.
    lab.on("tp1", "echo 'KbdInteractiveAuthentication yes' >/etc/ssh/sshd_config.d/00-test.conf; systemctl reload ssh");
    let before = sshd_log(&lab, "tp1").matches("authentication failure").count();
    let asked = operator(Scripted::answering(&["must not", "be asked"]));
    let error = Connection::open(&root(&lab, "tp1"), &password("wrong"), &asked).await.unwrap_err();
    assert!(matches!(&error, Error::Auth { wrong_password: true, .. }), "{error:?}");
    let log = sshd_log(&lab, "tp1");
    assert_eq!(log.matches("authentication failure").count(), before + 1, "{log}");

    // The admin first, root second; the refused admin costs one connection and no password.
    let before = sshd_log(&lab, "tp1");
    let candidates = [(ops(&lab, "tp1"), key_only()), (root(&lab, "tp1"), password(secret))];
    let (place, connection) = Connection::open_first(&candidates, &nobody()).await.unwrap();
    assert_eq!((place, connection.user()), (1, "root"));
    let log = sshd_log(&lab, "tp1");
    assert_eq!(log.matches("Failed password").count(), before.matches("Failed password").count(), "{log}");
}

#[tokio::test]
async fn a_jump_host_that_logs_every_password_sees_none_of_the_nodes() {
    let Some(lab) = Lab::up("tr-jump", &["tj1", "tn1"], &[]) else { return };
    let node_password = lab.root_password();
    // Whatever anybody types at the jump host ends in a file.
    lab.on(
        "tj1",
        "printf '#!/bin/sh\\nprintf \"%%s:\" \"$PAM_USER\" >>/var/log/typed; tr \"\\\\000\" \"\\\\n\" >>/var/log/typed\\n' >/usr/local/bin/typed; \
         chmod 755 /usr/local/bin/typed; sed -i '1i auth optional pam_exec.so expose_authtok /usr/local/bin/typed' /etc/pam.d/sshd; \
         echo root:jump-secret | chpasswd; echo 'LogLevel DEBUG3' >/etc/ssh/sshd_config.d/00-log.conf; systemctl reload ssh",
    );
    let jump = format!("root@{}", lab.address("tj1"));
    let target = Target { jump: Some(jump.clone()), ..root(&lab, "tn1") };

    // Nobody answers the jump host's own question: the node's password must not go there.
    let error = Connection::open(&target, &password(&*node_password), &nobody()).await.unwrap_err();
    assert!(matches!(&error, Error::Auth { wrong_password: false, .. }), "{error:?}");
    // The operator knows the jump host's password; it is asked as what it is.
    let asked = Scripted::answering(&["jump-secret"]);
    let connection = Connection::open(&target, &password(&*node_password), &operator(asked.clone())).await.unwrap();
    let frames = connection.run(&Program::new("run name hostname"), Limits::default()).await.unwrap();
    assert_eq!(body(&frames, "name"), "tn1\n");
    assert_eq!(asked.questions(), [Question::HopPassword { prompt: format!("{jump}'s password:") }]);
    connection.close().await.unwrap();

    let typed = lab.on("tj1", "cat /var/log/typed");
    assert!(typed.contains("root:jump-secret"), "{typed}");
    let traces = lab.on("tj1", "cat /var/log/typed; journalctl --sync; journalctl -b -o cat; cat /proc/*/environ /proc/*/cmdline 2>/dev/null | tr '\\000' '\\n'");
    assert!(!traces.contains(&node_password), "the jump host saw the node's password");
}

#[tokio::test]
async fn sudo_gets_its_password_only_when_it_asks_and_only_once() {
    let Some(lab) = Lab::up("tr-sudo", &["ts1"], &[]) else { return };
    make_ops(&lab, "ts1");
    let target = ops(&lab, "ts1");
    let with = |sudo: &'static str| Credentials { sudo: Some(Secret::new(sudo)), ..key_only() };
    let program = Program::new("run who id -un\nrun input cat\nrun processes ps -eo args ww\n").payload(*b"payload");
    let run = async |credentials: Credentials, asked: &Scripted| {
        let connection = Connection::open(&target, &credentials, &operator(asked.clone())).await.unwrap();
        connection.run(&program, Limits::default()).await
    };
    let silent = Scripted::default();

    assert_eq!(run(key_only(), &silent).await.unwrap_err(), Error::SudoMissing { user: "ops".into() });

    install_sudo(&lab, "ts1");
    lab.on("ts1", "echo 'ops:sudo-secret' | chpasswd");
    let error = run(with("sudo-secret"), &silent).await.unwrap_err();
    assert!(matches!(&error, Error::SudoRefused { detail, .. } if detail.contains("not in the sudoers")), "{error:?}");

    lab.on("ts1", "echo 'ops ALL=(ALL:ALL) ALL' >/etc/sudoers.d/ops");
    let nobody_there = Scripted::default();
    assert_eq!(run(key_only(), &nobody_there).await.unwrap_err(), Error::SudoPassword { user: "ops".into() });
    let asked = Scripted::answering(&["sudo-secret"]);
    let frames = run(key_only(), &asked).await.unwrap();
    assert_eq!((body(&frames, "who").as_str(), body(&frames, "login").lines().nth(1)), ("root\n", Some("yes")));
    assert!(!body(&frames, "processes").contains("sudo-secret"));
    let account = format!("ops@{}", lab.address("ts1"));
    assert_eq!(asked.questions(), [Question::Sudo { account }]);

    // The payload, not the password, is what the program reads; the same over a fresh login.
    let echo = Program::new("pack input 0").payload(*b"pay\0load\n");
    let frames = fresh_run(&target, &with("sudo-secret"), &nobody(), &echo, Limits::default()).await.unwrap();
    assert_eq!(frames[1].body, b"pay\0load\n");

    // A wrong one is tried once; the program's bytes are no further tries.
    let count = "journalctl --sync; journalctl -b -o cat | grep -cE 'pam_unix.sudo:auth.: (authentication failure|auth could not identify)' || true";
    let before: u32 = lab.on("ts1", count).trim().parse().unwrap();
    let error = run(with("wrong"), &silent).await.unwrap_err();
    assert!(matches!(&error, Error::SudoRefused { .. }), "{error:?}");
    assert_eq!(lab.on("ts1", count).trim().parse::<u32>().unwrap(), before + 1);
    let log = lab.on("ts1", "journalctl -b -o cat | grep -a sudo-secret || true");
    assert_eq!(log, "");

    lab.on("ts1", "echo 'ops ALL=(ALL:ALL) NOPASSWD: ALL' >/etc/sudoers.d/ops");
    for credentials in [key_only(), with("not needed")] {
        let frames = run(credentials, &silent).await.unwrap();
        assert_eq!(body(&frames, "who"), "root\n");
        assert!(!body(&frames, "processes").contains("not needed"));
    }
    assert_eq!(silent.questions(), []);
}

#[tokio::test]
async fn a_source_that_sshd_penalises_waits_and_gets_in() {
    let Some(lab) = Lab::up("tr-penalty", &["tq1"], &[]) else { return };
    let refused = async || Connection::open(&ops(&lab, "tq1"), &key_only(), &nobody()).await.unwrap_err();
    let log = async || sshd_log(&lab, "tq1");
    let mut tries = 0;
    while !log().await.contains("penalty") && tries < 8 {
        let error = refused().await;
        assert!(matches!(error, Error::Auth { .. }), "{error:?}");
        tries += 1;
    }
    let started = Instant::now();
    let connection = Connection::open(&root(&lab, "tq1"), &password(lab.root_password()), &nobody()).await;
    connection.unwrap_or_else(|error| panic!("after {:?}: {error}", started.elapsed()));
}

#[tokio::test]
async fn frames_arrive_while_the_program_runs() {
    let Some(lab) = Lab::up("tr-pve8", &["te1"], &["--pve", "8"]) else { return };
    let target = Target {
        host_keys: HostKeyPolicy::AcceptNew,
        known_hosts: Some(Path::new("/nonexistent/known").into()),
        ..root(&lab, "te1")
    };
    let asked = Scripted::default();
    let operator = operator(asked.clone());
    let connection = Connection::open(&target, &password(lab.root_password()), &operator).await.unwrap();
    // known_hosts could not be written; what was accepted holds for this process.
    let only = Credentials { methods: Methods::PasswordOnly, ..password(lab.root_password()) };
    fresh_run(&target, &only, &operator, &Program::new("true"), Limits::default()).await.unwrap();
    assert_eq!(asked.notices.lock().unwrap().len(), 1);
    // The program goes on only after its first frame was acted upon.
    let program = Program::new("emit first 0\nwhile [ ! -e /run/go ]; do sleep 0.1; done\nemit second 0\nsleep 60\n");
    let mut seen = Vec::new();
    let mut follow = |frame: Frame| {
        if frame.name == "first" {
            lab.on("te1", "touch /run/go");
        }
        seen.push(frame.name.clone());
        if frame.name == "second" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    connection.run_streaming(&program, Limits::default(), &mut follow).await.unwrap();
    assert_eq!(seen, ["login", "first", "second"]);
}
