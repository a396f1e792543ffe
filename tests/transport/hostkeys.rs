//! Unknown, pinned and changed host keys.

use std::fs;

use pve_harden::transport::{Connection, Credentials, Error, HostKeyOffer, HostKeyPolicy, Target};

use super::{Scripted, nobody, operator};
use crate::support::sshd::{Sshd, fingerprint, keygen};

#[tokio::test]
async fn an_unknown_key_is_shown_asked_and_remembered() {
    let Some(server) = Sshd::start("") else { return };
    let asked = Scripted::default().trusting(true);
    let target = server.stranger();
    let connection = Connection::open(&target, &Credentials::default(), &operator(asked.clone())).await.unwrap();
    connection.close().await.unwrap();
    let offer = HostKeyOffer {
        host: format!("[127.0.0.1]:{}", server.address.port()),
        key_type: "ED25519".into(),
        fingerprint: server.fingerprint(),
        hop: false,
    };
    assert_eq!(asked.offers(), [offer]);
    // known_hosts has it now.
    Connection::open(&target, &Credentials::default(), &nobody()).await.unwrap();
}

#[tokio::test]
async fn an_unknown_key_without_a_yes_is_refused_before_any_login() {
    let Some(server) = Sshd::start("") else { return };
    for operator in [nobody(), operator(Scripted::default())] {
        let error = Connection::open(&server.stranger(), &Credentials::default(), &operator).await.unwrap_err();
        let Error::HostKeyUnknown { offered: Some(offered), .. } = &error else { panic!("{error:?}") };
        assert_eq!(*offered, format!("ED25519 {}", server.fingerprint()));
    }
    assert_eq!(server.logins(), 0);
}

#[tokio::test]
async fn accept_new_accepts_and_says_so() {
    let Some(server) = Sshd::start("") else { return };
    let asked = Scripted::default();
    let target = Target { host_keys: HostKeyPolicy::AcceptNew, ..server.stranger() };
    Connection::open(&target, &Credentials::default(), &operator(asked.clone())).await.unwrap();
    assert_eq!(asked.offers(), []);
    let notices = asked.notices.lock().unwrap().join("\n");
    assert!(notices.contains(&server.fingerprint()), "{notices}");
}

#[tokio::test]
async fn a_changed_key_is_refused_under_every_policy() {
    let Some(server) = Sshd::start("") else { return };
    keygen(&server.file("former"), "", "ed25519");
    let line =
        format!("[127.0.0.1]:{} {}", server.address.port(), fs::read_to_string(server.file("former.pub")).unwrap());
    for policy in [HostKeyPolicy::Ask, HostKeyPolicy::AcceptNew] {
        fs::write(server.file("known_hosts"), &line).unwrap();
        let target = Target { host_keys: policy, ..server.stranger() };
        let asked = operator(Scripted::default().trusting(true));
        let error = Connection::open(&target, &Credentials::default(), &asked).await.unwrap_err();
        let Error::HostKeyChanged { offered, forget: Some(forget), .. } = &error else { panic!("{error:?}") };
        assert_eq!(*offered, format!("ED25519 {}", server.fingerprint()));
        let known_hosts = server.file("known_hosts");
        let expected = format!("ssh-keygen -f {} -R '[127.0.0.1]:{}'", known_hosts.display(), server.address.port());
        assert_eq!(*forget, expected);
    }
    assert_eq!(server.logins(), 0);
}

#[tokio::test]
async fn a_pin_decides_alone() {
    let Some(server) = Sshd::start("") else { return };
    let pinned = |target: Target, pin: String| Target { host_keys: HostKeyPolicy::Pinned(pin), ..target };
    let right = pinned(server.stranger(), server.fingerprint());
    Connection::open(&right, &Credentials::default(), &nobody()).await.unwrap();
    assert!(!server.file("known_hosts").exists(), "a pin leaves known_hosts alone");
    // known_hosts knows the server's key, the pin is another: the pin wins.
    keygen(&server.file("other"), "", "ed25519");
    let wrong = pinned(server.target(), fingerprint(&server.file("other.pub")));
    let before = server.logins();
    let trusting = operator(Scripted::default().trusting(true));
    let error = Connection::open(&wrong, &Credentials::default(), &trusting).await.unwrap_err();
    assert!(matches!(&error, Error::HostKeyChanged { forget: None, .. }), "{error:?}");
    assert_eq!(server.logins(), before);
}
