//! Ways to the node: jump hosts, multiplexing configured by the operator, IPv6, dead ends, sshd's own wrath.

use std::fs;
use std::net::{IpAddr, Ipv6Addr, TcpListener};
use std::process::Command;
use std::time::{Duration, Instant};

use pve_harden::transport::{Connection, Credentials, Error, Limits, Methods, Program, Target, fresh_run};

use super::{Scripted, nobody, operator};
use crate::support::sshd::{Sshd, keygen};

fn key_only() -> Credentials {
    Credentials { methods: Methods::KeyOnly, ..Credentials::default() }
}

#[tokio::test]
async fn a_login_through_a_jump_host_asks_for_both_host_keys() {
    let (Some(jump), Some(node)) = (Sshd::start(""), Sshd::start("")) else { return };
    let config = format!(
        "Host jump\n  HostName 127.0.0.1\n  Port {}\n  User root\n  IdentityFile {}\n  UserKnownHostsFile {}\n",
        jump.address.port(),
        jump.file("user_key").display(),
        jump.file("known_hosts").display(),
    );
    fs::write(node.file("ssh_config"), config).unwrap();
    let asked = Scripted::default().trusting(true);
    let target = Target { jump: Some("jump".into()), ..node.stranger() };
    let connection = Connection::open(&target, &Credentials::default(), &operator(asked.clone())).await.unwrap();
    connection.run(&Program::new("true"), Limits::default()).await.unwrap();
    let offers: Vec<_> = asked.offers().into_iter().map(|offer| (offer.fingerprint, offer.hop)).collect();
    assert_eq!(offers, [(jump.fingerprint(), true), (node.fingerprint(), false)]);
    connection.close().await.unwrap();
    // A changed key on the way stops the login, too.
    keygen(&jump.file("former"), "", "ed25519");
    let former = fs::read_to_string(jump.file("former.pub")).unwrap();
    let place = format!("[127.0.0.1]:{}", jump.address.port());
    fs::write(jump.file("known_hosts"), format!("{place} {former}")).unwrap();
    let error = Connection::open(&target, &Credentials::default(), &operator(asked)).await.unwrap_err();
    assert!(matches!(&error, Error::HostKeyChanged { host, .. } if *host == place), "{error:?}");
}

#[tokio::test]
async fn a_dead_node_behind_a_jump_host_is_unreachable() {
    let (Some(jump), Some(node)) = (Sshd::start(""), Sshd::start("")) else { return };
    let config = format!(
        "Host jump\n  HostName 127.0.0.1\n  Port {}\n  User root\n  IdentityFile {}\n  UserKnownHostsFile {}\n",
        jump.address.port(),
        jump.file("user_key").display(),
        jump.file("known_hosts").display(),
    );
    jump.target();
    fs::write(node.file("ssh_config"), config).unwrap();
    let target = Target { jump: Some("jump".into()), port: Some(1), ..node.target() };
    let error = Connection::open(&target, &key_only(), &nobody()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn control_master_auto_does_not_fool_a_fresh_login() {
    let Some(server) = Sshd::start("") else { return };
    let socket = server.file("cm");
    let config = format!("ControlMaster auto\nControlPath {}\nControlPersist 30\n", socket.display());
    fs::write(server.file("ssh_config"), config).unwrap();
    let target = server.target();
    // The operator's own master is open already.
    let own = Command::new("ssh")
        .arg("-F")
        .arg(server.file("ssh_config"))
        .args(["-o", &format!("UserKnownHostsFile={}", server.file("known_hosts").display()), "-i"])
        .arg(server.file("user_key"))
        .args(["-p", &server.address.port().to_string(), "root@127.0.0.1", "true"])
        .status()
        .unwrap();
    assert!(own.success() && socket.exists());
    let connection = Connection::open(&target, &key_only(), &nobody()).await.unwrap();
    assert_eq!(server.logins(), 2, "the tool's master is its own");
    fresh_run(&target, &key_only(), &nobody(), &Program::new("true"), Limits::default()).await.unwrap();
    assert_eq!(server.logins(), 3);
    // And when the key no longer opens the node, every open master is worth nothing.
    fs::write(server.file("authorized_keys"), "").unwrap();
    let proof = fresh_run(&target, &key_only(), &nobody(), &Program::new("true"), Limits::default()).await;
    assert!(matches!(proof, Err(Error::Auth { .. })), "{proof:?}");
    connection.run(&Program::new("true"), Limits::default()).await.unwrap();
    Command::new("ssh").args(["-O", "exit", "-S"]).arg(&socket).arg("x").output().unwrap();
}

#[tokio::test]
async fn ipv6_literals_work_with_and_without_brackets() {
    let Some(server) = Sshd::start_at(IpAddr::V6(Ipv6Addr::LOCALHOST), "") else { return };
    for address in ["::1", "[::1]"] {
        let target = Target { address: address.into(), ..server.target() };
        Connection::open(&target, &key_only(), &nobody()).await.unwrap();
    }
}

#[tokio::test]
async fn nobody_listening_is_unreachable_at_once() {
    let Some(server) = Sshd::start("") else { return };
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let started = Instant::now();
    let target = Target { port: Some(free), ..server.target() };
    let error = Connection::open(&target, &key_only(), &nobody()).await.unwrap_err();
    let Error::Unreachable { detail, .. } = &error else { panic!("{error:?}") };
    assert!(detail.contains("Connection refused"), "{detail}");
    assert!(started.elapsed() < Duration::from_secs(2), "refused is final");
    let error = Connection::open(&Target::new("no-such-host.invalid"), &key_only(), &nobody()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_lost_connection_is_told_from_a_failed_program() {
    let Some(server) = Sshd::start("") else { return };
    let connection = Connection::open(&server.target(), &key_only(), &nobody()).await.unwrap();
    // The program ends the sshd process of its own connection.
    let program = Program::new(
        "pid=$$; while read -r _ name _ parent _ </proc/$pid/stat && [ \"$name\" != '(sshd)' ]; do pid=$parent; done; kill -9 $pid; sleep 60",
    );
    let error = connection.run(&program, Limits::default()).await.unwrap_err();
    assert!(matches!(error, Error::Lost(_)), "{error:?}");
    let error = connection.run(&Program::new("true"), Limits::default()).await.unwrap_err();
    assert!(matches!(error, Error::Lost(_)), "{error:?}");
}

#[tokio::test]
async fn an_abandoned_master_ends_within_a_minute() {
    let Some(server) = Sshd::start("") else { return };
    let connection = Connection::open(&server.target(), &key_only(), &nobody()).await.unwrap();
    // What a killed process leaves: the master, and nobody to end it.
    std::mem::forget(connection);
    let port = server.address.port().to_string();
    let masters = || {
        let running = Command::new("pgrep").args(["-f", &format!("ssh .*-p {port} .*-M")]).output().unwrap();
        String::from_utf8(running.stdout).unwrap()
    };
    assert_ne!(masters(), "");
    let started = Instant::now();
    while !masters().is_empty() {
        assert!(started.elapsed() < Duration::from_secs(75), "still there: {}", masters());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(started.elapsed() > Duration::from_secs(30), "it waits for further use");
}
