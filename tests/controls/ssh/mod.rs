//! The SSH controls against the real sshd: what they write must have the effect they promise, once, and for good.

mod crypto;
mod node;

use pve_harden::controls::Status;
use pve_harden::facts::{CaseKind, FileKind, Reading, SshdCase};
use pve_harden::profile::policy::{PermitRootLogin, Sudo};

use super::{admin, advice, changes, control, refusal, unknown};
use node::Node;

const MAIN: &str = "/etc/ssh/sshd_config";
const FOLDER: &str = "/etc/ssh/sshd_config.d/";
const OURS: &str = "00-pve-harden.conf";

/// The main file of a PVE ISO.
const ISO: &str = "Include /etc/ssh/sshd_config.d/*.conf\nPermitRootLogin yes\nKbdInteractiveAuthentication no\nUsePAM yes\n\
                   X11Forwarding yes\nPrintMotd no\nAcceptEnv LANG LC_*\n";

const OUTSIDE: &str = "user=root,host=203.0.113.1,addr=203.0.113.1";
const PEER: &str = "user=root,host=10.77.0.3,addr=10.77.0.3";
const OPS: &str = "user=ops,host=10.77.0.1,addr=10.77.0.1";
const OTHER: &str = "user=nobody,host=203.0.113.1,addr=203.0.113.1";

#[test]
fn a_standalone_node_settles_in_one_run() {
    let Some(mut node) = Node::standalone() else { return };
    node.settle();
    assert_eq!(node.value(OUTSIDE, "permitrootlogin"), "no");
    assert_eq!(node.value(OTHER, "passwordauthentication"), "no");
    assert_eq!(node.value(OTHER, "kbdinteractiveauthentication"), "no");
    assert_eq!(node.value(OTHER, "disableforwarding"), "yes");
    assert_eq!(node.value(OTHER, "pubkeyauthentication"), "yes");
    assert_eq!(node.value(OTHER, "authenticationmethods"), "any");
    assert!(node.value(OTHER, "hostkeyalgorithms").contains("rsa-sha2-512"));
}

#[test]
fn peers_of_a_cluster_keep_keys_and_what_migration_needs() {
    let Some(mut node) = Node::clustered() else { return };
    node.settle();
    let peer = node.sshd.ask(PEER);
    for (keyword, value) in [
        ("permitrootlogin", "without-password"),
        ("pubkeyauthentication", "yes"),
        ("passwordauthentication", "no"),
        ("disableforwarding", "no"),
        ("allowtcpforwarding", "yes"),
        ("allowstreamlocalforwarding", "yes"),
        ("x11forwarding", "no"),
        ("allowagentforwarding", "no"),
        ("permittunnel", "no"),
        ("authorizedkeysfile", ".ssh/authorized_keys .ssh/authorized_keys2"),
    ] {
        assert_eq!(peer[keyword], value, "{keyword}");
    }
    for address in node.base.peer_addresses() {
        let case = format!("user=root,host={address},addr={address}");
        assert_eq!(node.value(&case, "permitrootlogin"), "without-password", "{address}");
    }
    assert_eq!(node.value(OUTSIDE, "permitrootlogin"), "no");
    assert_eq!(node.value("user=ops,host=x,addr=10.77.0.3", "allowstreamlocalforwarding"), "no");
}

#[test]
fn everybody_but_peers_sees_the_banner() {
    let Some(mut node) = Node::clustered() else { return };
    node.settle();
    for case in [OUTSIDE, OPS, OTHER, "user=ops,host=x,addr=10.77.0.3"] {
        assert_eq!(node.value(case, "banner"), "/etc/issue.net", "{case}");
    }
    for address in node.base.peer_addresses() {
        assert_eq!(node.value(&format!("user=root,host={address},addr={address}"), "banner"), "none", "{address}");
    }
}

#[test]
fn the_rewriting_of_a_cluster_join_does_not_open_root() {
    let Some(mut node) = Node::clustered() else { return };
    node.sshd.main = ISO.replace("PermitRootLogin yes", "#PermitRootLogin prohibit-password");
    node.settle();
    // Setup.pm setup_sshd_config: s/^#?PermitRootLogin.*$/PermitRootLogin yes/m
    node.sshd.main = node.sshd.main.replace("#PermitRootLogin prohibit-password", "PermitRootLogin yes");
    assert_eq!(node.value(OUTSIDE, "permitrootlogin"), "no");
    assert_eq!(node.value(PEER, "permitrootlogin"), "without-password");
    assert_eq!(node.judge("ssh.root-login").status, Status::Compliant);
}

#[test]
fn named_networks_keep_root_with_a_key() {
    let Some(mut node) = Node::standalone() else { return };
    let nets = ["192.0.2.9/24", "2001:db8:1::10/128"];
    node.policy.profile.ssh.root_login.allow_key_from = nets.iter().map(|net| net.parse().unwrap()).collect();
    node.settle();
    for address in ["192.0.2.200", "2001:db8:1::10"] {
        assert_eq!(node.value(&format!("user=root,host=x,addr={address}"), "permitrootlogin"), "without-password");
    }
    for address in ["192.0.3.1", "2001:db8:1::11"] {
        assert_eq!(node.value(&format!("user=root,host=x,addr={address}"), "permitrootlogin"), "no");
    }
}

#[test]
fn every_address_is_no_exception() {
    let Some(mut node) = Node::standalone() else { return };
    node.policy.profile.ssh.root_login.allow_key_from = vec!["::/0".parse().unwrap()];
    assert!(refusal(&node.judge("ssh.root-login")).contains("::/0"));
}

#[test]
fn administrators_forward_tcp_only_when_the_profile_says_so() {
    let Some(mut node) = Node::standalone() else { return };
    node.policy.site.admins.push(admin("alice", Sudo::Password));
    node.policy.profile.ssh.forwarding.tcp_for_admins = true;
    node.settle();
    for user in ["ops", "alice"] {
        let settings = node.sshd.ask(&format!("user={user},host=x,addr=10.77.0.1"));
        assert_eq!(settings["disableforwarding"], "no");
        assert_eq!(settings["allowtcpforwarding"], "local");
        assert_eq!(settings["allowagentforwarding"], "no");
    }
    assert_eq!(node.value(OTHER, "disableforwarding"), "yes");

    node.policy.profile.ssh.forwarding.tcp_for_admins = false;
    node.settle();
    assert_eq!(node.value(OPS, "disableforwarding"), "yes");
}

#[test]
fn a_main_file_without_include_gets_one_at_its_head() {
    for main in ["PermitRootLogin yes\n", "PermitRootLogin yes\nMatch User x\n  X11Forwarding no\n", "# empty\n"] {
        let Some(mut node) = Node::standalone() else { return };
        node.sshd.main = main.into();
        node.settle();
        assert_eq!(node.sshd.main, format!("Include /etc/ssh/sshd_config.d/*.conf\n{main}"));
        assert_eq!(node.value(OUTSIDE, "permitrootlogin"), "no");
    }
}

#[test]
fn files_that_are_read_later_cannot_open_a_door() {
    let Some(mut node) = Node::clustered() else { return };
    node.settle();
    let open = "PermitRootLogin yes\nPasswordAuthentication yes\nDisableForwarding no\nMatch User root\n  \
                PermitRootLogin yes\n  PasswordAuthentication yes\n  DisableForwarding no\n  MaxAuthTries 20\n";
    node.sshd.dropins.insert("50-cloud-init.conf".into(), open.into());
    node.sshd.main.push_str("Match Address 0.0.0.0/0\n  PermitRootLogin yes\n  KbdInteractiveAuthentication yes\n");
    for (id, verdict) in node.verdicts() {
        assert_eq!(verdict.status, Status::Compliant, "{id}");
    }
}

#[test]
fn a_file_that_is_read_later_keeps_its_own_settings() {
    let Some(mut node) = Node::clustered() else { return };
    node.sshd.dropins.insert("50-local.conf".into(), "UseDNS yes\nVersionAddendum Debian\n".into());
    node.settle();
    assert_eq!(node.value(OUTSIDE, "usedns"), "yes");
    assert_eq!(node.value(PEER, "versionaddendum"), "Debian");
    assert_eq!(node.value(OTHER, "printmotd"), "no");
}

#[test]
fn a_global_line_that_is_read_earlier_is_beaten() {
    let Some(mut node) = Node::standalone() else { return };
    node.sshd
        .dropins
        .insert("00-aaa.conf".into(), "PermitRootLogin yes\nPasswordAuthentication yes\nMaxAuthTries 9\n".into());
    node.settle();
}

#[test]
fn an_earlier_block_wins_and_is_named() {
    let Some(mut node) = Node::standalone() else { return };
    node.sshd.dropins.insert("00-aaa.conf".into(), "# x\nMatch User root\n  PermitRootLogin yes\n".into());
    let before = node.judge("ssh.root-login");
    assert!(advice(&before).contains("/etc/ssh/sshd_config.d/00-aaa.conf:3 (`permitrootlogin yes`)"), "{before:#?}");
    node.apply();
    let after = node.judge("ssh.root-login");
    assert!(changes(&after).is_empty(), "the same file would be written again");
    assert!(advice(&after).contains("00-aaa.conf:3"));
    assert_eq!(node.judge("ssh.password-auth").status, Status::Compliant);
}

#[test]
fn an_earlier_line_that_no_block_can_beat_is_named() {
    let Some(mut node) = Node::standalone() else { return };
    node.sshd.dropins.insert("00-aaa.conf".into(), "LoginGraceTime 600\nCiphers aes128-ctr,3des-cbc\n".into());
    node.apply();
    let limits = node.judge("ssh.limits");
    assert!(changes(&limits).is_empty());
    assert!(advice(&limits).contains("00-aaa.conf:1 (`logingracetime 600`)"), "{}", advice(&limits));
    let crypto = node.judge("ssh.crypto");
    assert!(advice(&crypto).contains("00-aaa.conf:2"), "{}", advice(&crypto));
}

#[test]
fn a_later_line_for_startups_wins_and_is_named() {
    let Some(mut node) = Node::standalone() else { return };
    node.sshd.main.push_str("MaxStartups 100:30:200\n");
    let line = node.sshd.main.lines().count();
    node.apply();
    let limits = node.judge("ssh.limits");
    assert!(changes(&limits).is_empty());
    assert!(advice(&limits).contains(&format!("{MAIN}:{line} (`maxstartups 100:30:200`)")), "{}", advice(&limits));
    assert_eq!(node.judge("ssh.crypto").status, Status::Compliant);
}

#[test]
fn every_other_line_of_the_dropin_wins_over_later_ones() {
    let Some(mut node) = Node::standalone() else { return };
    node.settle();
    let later = "PermitRootLogin yes\nPasswordAuthentication yes\nKbdInteractiveAuthentication yes\n\
                 PermitEmptyPasswords yes\nPubkeyAuthentication no\nMaxAuthTries 20\nLoginGraceTime 600\n\
                 MaxSessions 100\nClientAliveInterval 1000\nClientAliveCountMax 30\nLogLevel ERROR\n\
                 DisableForwarding no\nKexAlgorithms diffie-hellman-group14-sha1\nCiphers 3des-cbc\nMACs hmac-md5\n\
                 HostKeyAlgorithms ssh-rsa\nRequiredRSASize 1024\n";
    node.sshd.dropins.insert("90-later.conf".into(), later.into());
    for (id, verdict) in node.verdicts() {
        assert_eq!(verdict.status, Status::Compliant, "{id}: {:#?}", verdict.evidence);
    }
}

#[test]
fn the_nodes_own_stricter_values_stay() {
    let Some(mut node) = Node::standalone() else { return };
    node.policy.profile.ssh.root_login.permit = PermitRootLogin::ProhibitPassword;
    node.sshd.main = ISO
        .replace("PermitRootLogin yes", "PermitRootLogin no\nMaxAuthTries 2\nLoginGraceTime 20\nMaxStartups 5:50:20");
    node.settle();
    assert_eq!(node.value(OUTSIDE, "permitrootlogin"), "no");
    assert_eq!(node.value(OTHER, "maxauthtries"), "2");
    assert_eq!(node.value(OTHER, "logingracetime"), "20");
    assert_eq!(node.value(OTHER, "maxstartups"), "5:50:20");
    // A looser main file does not go unseen because a value was left to it.
    node.sshd.main = ISO.into();
    node.settle();
    assert_eq!(node.value(OUTSIDE, "permitrootlogin"), "without-password");
    assert_eq!(node.value(OTHER, "maxauthtries"), "3");
}

#[test]
fn a_limit_that_the_profile_raises_is_raised() {
    let Some(mut node) = Node::standalone() else { return };
    node.settle();
    node.policy.profile.ssh.limits.max_sessions = 20;
    node.settle();
    assert_eq!(node.value(OTHER, "maxsessions"), "20");
}

#[test]
fn the_encrypted_channel_asks_whether_somebody_is_there() {
    let Some(mut node) = Node::clustered() else { return };
    node.settle();
    for case in [OTHER, PEER] {
        let value = |keyword| node.value(case, keyword);
        assert_eq!((value("tcpkeepalive"), value("compression")), ("no".into(), "no".into()), "{case}");
        let patience =
            ["clientaliveinterval", "clientalivecountmax"].map(|keyword| value(keyword).parse::<u32>().unwrap());
        assert_eq!(patience[0] * patience[1], 180, "as patient as baseline");
    }
    // true leaves what the node's own files say.
    node.policy.profile.ssh.limits.compression = true;
    node.sshd.main = format!("Compression no\n{}", node.sshd.main);
    node.settle();
    assert_eq!(node.value(OTHER, "compression"), "no");
}

#[test]
fn peers_keep_sessions_where_everybody_else_has_few() {
    let Some(mut node) = Node::clustered() else { return };
    node.policy.profile.ssh.limits.max_sessions = 4;
    node.settle();
    assert_eq!(node.value(PEER, "maxsessions"), "10");
    assert_eq!(node.value(OTHER, "maxsessions"), "4");
}

#[test]
fn a_cluster_refuses_to_drop_its_own_connections() {
    let Some(mut node) = Node::clustered() else { return };
    node.policy.profile.ssh.limits.max_startups = "4:50:10".into();
    assert!(refusal(&node.judge("ssh.limits")).contains("migrations"));
    node.base.cluster = Reading::Absent;
    assert!(!changes(&node.judge("ssh.limits")).is_empty());
}

#[test]
fn what_means_never_is_no_limit() {
    let Some(mut node) = Node::standalone() else { return };
    node.policy.profile.ssh.limits.client_alive_interval = 0;
    assert!(refusal(&node.judge("ssh.limits")).contains("client-alive-interval"));
}

#[test]
fn text_cannot_break_out_of_its_line() {
    let Some(mut node) = Node::standalone() else { return };
    node.policy.profile.ssh.limits.log_level = "INFO\nPermitRootLogin yes".into();
    refusal(&node.judge("ssh.limits"));
    node.policy.profile.ssh.limits.log_level = "INFO".into();
    node.policy.profile.ssh.limits.max_startups = "10:30:60\nPermitRootLogin yes".into();
    refusal(&node.judge("ssh.limits"));
    let mut node = Node::standalone().unwrap();
    node.policy.profile.ssh.crypto.macs.push("x\nPermitRootLogin yes".into());
    node.policy.site.admins.push(admin("x\nPermitRootLogin yes", Sudo::Password));
    node.settle();
    assert!(!node.sshd.dropins[OURS].contains("PermitRootLogin yes"));
}

#[test]
fn an_edited_dropin_is_put_back() {
    let Some(mut node) = Node::clustered() else { return };
    node.settle();
    let good = node.sshd.dropins[OURS].clone();
    for bad in [
        good.replace("PermitRootLogin no", "PermitRootLogin yes"),
        good.replace("# ssh.root-login\n", ""),
        good.replace("MaxAuthTries 3", "MaxAuthTries 2"),
        format!("{good}\nPermitEmptyPasswords yes\n"),
        format!("AllowUsers mallory\n{good}"),
        good.replace("Match all", "Match User nobody"),
        good.clone() + "# ssh.root-login\nMatch User mallory\n  PermitRootLogin yes\n",
    ] {
        assert_ne!(bad, good);
        node.sshd.dropins.insert(OURS.into(), bad);
        node.settle();
        assert_eq!(node.sshd.dropins[OURS], good);
    }
}

#[test]
fn sections_of_controls_that_are_left_out_stay() {
    let Some(mut node) = Node::clustered() else { return };
    node.leave_out_all_but("ssh.root-login");
    node.settle();
    let alone = node.sshd.dropins[OURS].clone();
    assert!(!alone.contains("# ssh.limits"), "{alone}");
    assert_eq!(node.value(OTHER, "passwordauthentication"), "yes");

    node.leave_out_all_but("ssh.limits");
    node.settle();
    let two = node.sshd.dropins[OURS].clone();
    assert!(two.contains("# ssh.limits\n") && two.contains("# ssh.root-login: cluster peers\n"), "{two}");
    assert_eq!(node.value(OUTSIDE, "permitrootlogin"), "no");
    assert_eq!(node.value(PEER, "permitrootlogin"), "without-password");
    assert_eq!(node.value(OTHER, "passwordauthentication"), "yes");

    // Another policy for what is left out changes nothing of it.
    node.policy.profile.ssh.root_login.permit = PermitRootLogin::ProhibitPassword;
    assert_eq!(node.judge("ssh.limits").status, Status::Compliant);
    node.policy.profile.ssh.limits.max_auth_tries = 2;
    node.settle();
    assert_eq!(node.value(OUTSIDE, "permitrootlogin"), "no");
    assert_eq!(node.value(OTHER, "maxauthtries"), "2");
}

#[test]
fn lines_of_a_control_that_cannot_be_judged_stay_as_they_are() {
    let Some(mut node) = Node::clustered() else { return };
    node.settle();
    let good = node.sshd.dropins[OURS].clone();
    node.policy.profile.ssh.crypto.required_rsa_size = 8192;
    refusal(&node.judge("ssh.crypto"));
    node.policy.profile.ssh.limits.max_auth_tries = 2;
    node.apply();
    assert_eq!(node.sshd.dropins[OURS], good.replace("MaxAuthTries 3", "MaxAuthTries 2"));

    let Some(mut node) = Node::clustered() else { return };
    node.policy.profile.ssh.crypto.required_rsa_size = 8192;
    node.apply();
    assert!(!node.sshd.dropins[OURS].contains("ssh.crypto"));
}

#[test]
fn the_order_of_a_list_is_no_difference() {
    let Some(mut node) = Node::standalone() else { return };
    let mut ciphers = node.policy.profile.ssh.crypto.ciphers.clone();
    ciphers.reverse();
    node.sshd.main = format!("{ISO}Ciphers {}\n", ciphers.join(","));
    let crypto = node.judge("ssh.crypto");
    assert!(crypto.evidence.iter().all(|line| !line.found.contains("left out")), "{:#?}", crypto.evidence);
    node.settle();
}

#[test]
fn the_section_of_a_control_that_was_switched_off_goes() {
    let Some(mut node) = Node::standalone() else { return };
    node.settle();
    node.policy.profile.ssh.limits.enabled = false;
    node.settle();
    assert!(!node.sshd.dropins[OURS].contains("ssh.limits"));
    assert_eq!(node.value(OTHER, "maxauthtries"), "6");
}

#[test]
fn a_node_that_is_right_by_its_own_files_is_left_alone() {
    let Some(mut node) = Node::standalone() else { return };
    node.sshd.main = ISO.replace("PermitRootLogin yes", "PermitRootLogin no");
    assert_eq!(node.judge("ssh.root-login").status, Status::Compliant);
}

#[test]
fn a_new_member_is_let_in() {
    let Some(mut node) = Node::clustered() else { return };
    node.settle();
    let Reading::Known(cluster) = &mut node.base.cluster else { panic!("no cluster") };
    cluster.peers[0].addresses.insert("10.77.0.99".parse().unwrap());
    let case = SshdCase { who: CaseKind::RootPeer, user: "root".into(), address: "10.77.0.99".parse().unwrap() };
    assert!(unknown(&node.judge("ssh.root-login")).contains("10.77.0.99"), "a peer nobody asked about");
    node.base.sshd.cases.insert(case, Reading::NotAsked);
    node.settle();
    assert_eq!(node.value("user=root,host=x,addr=10.77.0.99", "permitrootlogin"), "without-password");
}

#[test]
fn passwords_stay_while_nobody_has_a_key() {
    let Some(mut node) = Node::standalone() else { return };
    node.policy.site.admins[0].keys.clear();
    assert!(refusal(&node.judge("ssh.password-auth")).contains("public key"));
}

#[test]
fn a_link_in_place_of_the_dropin_is_not_judged() {
    let Some(node) = Node::standalone() else { return };
    let mut facts = node.facts();
    let Reading::Known(mut link) = facts.files[MAIN].clone() else { panic!("no main file") };
    link.kind = FileKind::Symlink("/tmp/x".into());
    facts.files.insert(format!("{FOLDER}{OURS}"), Reading::Known(link));
    assert!(unknown(&control("ssh.limits").evaluate(&facts, &node.policy)).contains("not a regular file"));
}
