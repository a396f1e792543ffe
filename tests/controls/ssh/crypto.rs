//! `ssh.crypto`.

use pve_harden::controls::Status;

use super::{Node, OTHER, PEER};
use crate::controls::{control, policy, refusal};

#[test]
fn names_this_openssh_does_not_know_are_left_out() {
    let Some(mut node) = Node::standalone() else { return };
    node.policy.profile.ssh.crypto.kex.insert(0, "quantum-oatmeal".into());
    node.settle();
    assert!(!node.value(OTHER, "kexalgorithms").contains("oatmeal"));
}

#[test]
fn a_cluster_keeps_a_name_that_both_releases_know() {
    let Some(mut node) = Node::clustered() else { return };
    let algorithms = ["mlkem768x25519-sha256".to_owned()];
    node.policy.profile.ssh.crypto.kex = algorithms.to_vec();
    let mut facts = node.facts();
    facts.sshd.algorithms.get_mut("kex").unwrap().extend(algorithms);
    let verdict = control("ssh.crypto").evaluate(&facts, &node.policy);
    assert!(refusal(&verdict).contains("OpenSSH 9.2"));

    let peers = facts.cluster.known().unwrap().peers.clone();
    assert_eq!(peers.len(), 2);
    for peer in &peers {
        facts.sshd.peer_versions.insert(*peer.addresses.first().unwrap(), (10, 0));
    }
    let verdict = control("ssh.crypto").evaluate(&facts, &node.policy);
    assert!(!matches!(verdict.status, Status::Refused { .. }), "every member knows it: {verdict:?}");
    let pve3 = *peers[1].addresses.first().unwrap();
    facts.sshd.peer_versions.insert(pve3, (9, 2));
    let verdict = control("ssh.crypto").evaluate(&facts, &node.policy);
    assert!(refusal(&verdict).contains(&format!("OpenSSH 9.2 of {} does not", peers[1].name)), "{verdict:?}");
    facts.sshd.peer_versions.remove(&pve3);
    let verdict = control("ssh.crypto").evaluate(&facts, &node.policy);
    assert!(refusal(&verdict).contains(&format!("{} could not be asked", peers[1].name)), "{verdict:?}");
}

/// OpenSSH's names for key exchanges that quantum computers do not undo later.
fn lasts(name: &str) -> bool {
    name.starts_with("sntrup761x25519-") || name.starts_with("mlkem768x25519-")
}

#[test]
fn strict_offers_only_key_exchanges_that_last() {
    let Some(mut node) = Node::clustered() else { return };
    // Members of PVE 8 among them: nobody could be asked.
    assert!(node.base.sshd.peer_versions.is_empty());
    node.settle();
    let offered = node.value(OTHER, "kexalgorithms");
    assert!(offered.split(',').all(lasts) && offered.contains("sntrup761x25519-sha512@openssh.com"), "{offered}");
    assert_eq!(node.value(PEER, "kexalgorithms"), offered, "sshd has one list for everybody");

    let baseline = policy("baseline").profile.ssh.crypto.kex;
    assert!(baseline.iter().any(|name| name == "curve25519-sha256") && lasts(&baseline[0]), "{baseline:?}");
}

#[test]
fn lists_that_cut_pve_off_are_refused() {
    let Some(mut node) = Node::standalone() else { return };
    node.policy.profile.ssh.crypto.host_key_algorithms = vec!["ssh-ed25519".into()];
    assert!(refusal(&node.judge("ssh.crypto")).contains("rsa-sha2"));
    node.policy = policy("strict");
    node.policy.profile.ssh.crypto.ciphers = vec!["chacha20-poly1305@openssh.com".into()];
    assert!(refusal(&node.judge("ssh.crypto")).contains("AES"));
}

#[test]
fn short_keys_that_are_in_use_are_not_cut_off() {
    let Some(mut node) = Node::clustered() else { return };
    node.policy.profile.ssh.crypto.required_rsa_size = 4096;
    let why = refusal(&node.judge("ssh.crypto")).to_owned();
    assert!(why.contains("bits"), "{why}");
}

#[test]
fn peers_sign_with_rsa_whatever_everybody_else_may_use() {
    let Some(mut node) = Node::clustered() else { return };
    node.policy.profile.ssh.crypto.pubkey_accepted_algorithms = vec!["ssh-ed25519".into()];
    node.settle();
    assert_eq!(node.value(OTHER, "pubkeyacceptedalgorithms"), "ssh-ed25519");
    assert_eq!(node.value(PEER, "pubkeyacceptedalgorithms"), "ssh-ed25519,rsa-sha2-512,rsa-sha2-256");
}
