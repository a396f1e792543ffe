//! Passphrases, agents, refused keys.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use pve_harden::transport::{Connection, Credentials, Error, Limits, Methods, Program, Question, Target, fresh_run};

use super::{Scripted, nobody, operator};
use crate::support::lab::eventually;
use crate::support::sshd::{Sshd, keygen};

fn with_passphrase(server: &Sshd) -> Target {
    keygen(&server.file("guarded"), "correct horse", "ed25519");
    fs::copy(server.file("guarded.pub"), server.file("authorized_keys")).unwrap();
    Target { identity: Some(server.file("guarded")), ..server.target() }
}

#[tokio::test]
async fn a_passphrase_is_asked_once_and_serves_the_second_login() {
    let Some(server) = Sshd::start("") else { return };
    let target = with_passphrase(&server);
    let asked = Scripted::answering(&["mistyped", "correct horse"]);
    let operator = operator(asked.clone());
    let connection = Connection::open(&target, &Credentials::default(), &operator).await.unwrap();
    let credentials = Credentials { methods: Methods::KeyOnly, ..Credentials::default() };
    fresh_run(&target, &credentials, &operator, &Program::new("true"), Limits::default()).await.unwrap();
    let question = Question::Passphrase { key: server.file("guarded").display().to_string() };
    assert_eq!(asked.questions(), [question.clone(), question]);
    assert_eq!(server.logins(), 2);
    drop(connection);
}

#[tokio::test]
async fn a_passphrase_without_a_terminal_is_a_refusal() {
    let Some(server) = Sshd::start("") else { return };
    let error = Connection::open(&with_passphrase(&server), &Credentials::default(), &nobody()).await.unwrap_err();
    assert!(matches!(error, Error::Auth { wrong_password: false, .. }), "{error:?}");
}

#[tokio::test]
async fn an_agent_is_used() {
    let Some(server) = Sshd::start("") else { return };
    let socket = server.file("agent");
    let mut agent = Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
    eventually(Duration::from_secs(10), "the agent listens", || socket.exists());
    let added = Command::new("ssh-add").arg("-q").arg(server.file("user_key")).env("SSH_AUTH_SOCK", &socket).status();
    assert!(added.unwrap().success());
    // Through the ssh config, so that the variables of the whole test process stay as they are.
    fs::write(server.file("ssh_config"), format!("IdentityAgent {}\n", socket.display())).unwrap();
    let target = Target { identity: None, ..server.target() };
    let opened = Connection::open(&target, &Credentials::default(), &nobody()).await;
    agent.kill().unwrap();
    agent.wait().unwrap();
    opened.unwrap();
}

#[tokio::test]
async fn a_refused_key_is_an_auth_error_and_the_next_login_is_tried() {
    let Some(server) = Sshd::start("") else { return };
    keygen(&server.file("stranger"), "", "ed25519");
    let stranger = Target { identity: Some(server.file("stranger")), ..server.target() };
    let key_only = Credentials { methods: Methods::KeyOnly, ..Credentials::default() };
    let error = Connection::open(&stranger, &key_only, &nobody()).await.unwrap_err();
    let Error::Auth { user, detail, wrong_password: false, .. } = &error else { panic!("{error:?}") };
    assert_eq!((user.as_str(), detail.as_str()), ("root", "no login was accepted; publickey would be possible"));
    let candidates = [(stranger, key_only.clone()), (server.target(), key_only)];
    let (place, _connection) = Connection::open_first(&candidates, &nobody()).await.unwrap();
    assert_eq!(place, 1);
}
