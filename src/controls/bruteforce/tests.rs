use std::collections::BTreeMap;

use super::FAIL2BAN;
use super::files::{JAILS, jails, never_banned};
use crate::controls::testing::{advice, baseline, changes, put, put_text};
use crate::controls::{Control as _, Status};
use crate::facts::{Facts, Listener, Reading, Unit};
use crate::profile::policy::Policy;

fn policy() -> Policy {
    let mut policy = baseline();
    policy.site.management = vec!["10.77.0.0/24".parse().unwrap()];
    policy
}

fn node() -> Facts {
    let mut facts = Facts::cluster_of_three();
    for path in FAIL2BAN.reads(&policy()) {
        if matches!(facts.file(&path), Reading::NotAsked) {
            put(&mut facts, &path, Reading::Absent);
        }
    }
    let Reading::Known(units) = &mut facts.units else { panic!("no units") };
    let unit = Unit { load: "not-found".into(), active: "inactive".into(), file_state: String::new() };
    units.insert("fail2ban.service".into(), unit);
    facts.watch.fail2ban = Reading::Absent;
    facts.watch.web_users = Reading::Known(BTreeMap::new());
    facts
}

fn refusal(facts: &Facts, policy: &Policy) -> String {
    match FAIL2BAN.evaluate(facts, policy).status {
        Status::Refused { why } => why,
        other => panic!("expected a refusal, not {other:?}"),
    }
}

#[test]
fn every_member_and_the_operator_are_never_banned() {
    let facts = node();
    let verdict = FAIL2BAN.evaluate(&facts, &policy());
    let text = changes(&verdict)
        .iter()
        .find_map(|change| match &change.action {
            crate::change::Action::File(file) if file.path == JAILS => Some(file.after.clone().unwrap().content),
            _ => None,
        })
        .unwrap();
    let exempt = never_banned(&text);
    assert_eq!(exempt.keys().copied().collect::<Vec<_>>(), ["proxmox", "sshd"]);
    let operator = facts.session.known().unwrap().operator.unwrap();
    for address in facts.peer_addresses().into_iter().chain([operator]) {
        for (jail, nets) in &exempt {
            assert!(nets.iter().any(|net| net.contains(&address)), "{jail} may ban {address}");
        }
    }
    assert!(!exempt["sshd"].iter().any(|net| net.contains(&"203.0.113.1".parse::<std::net::IpAddr>().unwrap())));
}

#[test]
fn an_operator_from_elsewhere_is_refused() {
    let mut facts = node();
    let Reading::Known(session) = &mut facts.session else { panic!("no session") };
    session.operator = Some("198.51.100.7".parse().unwrap());
    assert!(refusal(&facts, &policy()).starts_with("you come from 198.51.100.7, which fail2ban could ban"));
    let mut wider = policy();
    wider.profile.bruteforce.fail2ban.also = vec!["198.51.100.7/32".parse().unwrap()];
    assert!(!changes(&FAIL2BAN.evaluate(&facts, &wider)).is_empty());
    wider.profile.bruteforce.fail2ban.also = vec!["0.0.0.0/0".parse().unwrap()];
    assert!(refusal(&facts, &wider).contains("every address"));
}

#[test]
fn without_management_networks_nobody_could_be_exempt() {
    let verdict = FAIL2BAN.evaluate(&node(), &baseline());
    assert!(changes(&verdict).is_empty() && advice(&verdict).contains("management = ["), "{verdict:?}");
}

#[test]
fn a_reverse_proxy_is_refused_unless_told() {
    type Spoil = fn(&mut Facts);
    let signs: [(&str, Spoil); 3] = [
        ("PROXY_REAL_IP_HEADER=X-Real-IP", |facts| {
            put_text(facts, crate::pve::pveproxy::PATH, "PROXY_REAL_IP_HEADER=\"X-Real-IP\"\n");
        }),
        ("nginx listens on port 443", |facts| {
            let Reading::Known(listeners) = &mut facts.listeners else { panic!("no sockets") };
            listeners.push(Listener {
                protocol: "tcp".into(),
                address: "0.0.0.0".parse().unwrap(),
                interface: None,
                port: 443,
                process: Some("nginx".into()),
            });
        }),
        ("every web login comes from 192.0.2.9 (a@pve, b@pve)", |facts| {
            let people = ["a@pve", "b@pve"].map(str::to_owned).into();
            facts.watch.web_users = Reading::Known([("192.0.2.9".parse().unwrap(), people)].into());
        }),
    ];
    for (sign, spoil) in signs {
        let mut facts = node();
        spoil(&mut facts);
        assert!(refusal(&facts, &policy()).contains(sign), "{sign}");
        let mut told = policy();
        told.profile.bruteforce.fail2ban.reverse_proxies = vec!["192.0.2.9/32".parse().unwrap()];
        let verdict = FAIL2BAN.evaluate(&facts, &told);
        assert!(!changes(&verdict).is_empty(), "{sign}");
        assert!(verdict.evidence.iter().any(|line| line.found.contains("not covered")), "{sign}");
        let mut none = policy();
        none.profile.bruteforce.fail2ban.detect_proxy = false;
        assert!(!changes(&FAIL2BAN.evaluate(&facts, &none)).is_empty(), "{sign}");
    }
    // One person alone, two addresses, or an address that is never banned: no proxy.
    for users in [
        &[("192.0.2.9", &["a@pve"][..])][..],
        &[("192.0.2.9", &["a@pve"]), ("192.0.2.8", &["b@pve"])],
        &[("10.77.0.9", &["a@pve", "b@pve"])],
    ] {
        let mut facts = node();
        let users = users
            .iter()
            .map(|(address, names)| (address.parse().unwrap(), names.iter().map(|it| (*it).to_owned()).collect()));
        facts.watch.web_users = Reading::Known(users.collect());
        assert!(!changes(&FAIL2BAN.evaluate(&facts, &policy())).is_empty());
    }
}

#[test]
fn the_jails_say_everything_themselves() {
    let policy = policy();
    let want = &policy.profile.bruteforce.fail2ban;
    let text =
        jails(want, &[22, 2222], &["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()], "iptables-multiport");
    insta::assert_snapshot!(text, @"
    # Written by pve-harden (bruteforce.fail2ban). Never banned: management networks, members of the cluster, the node.

    [sshd]
    enabled = true
    filter = pve-harden-sshd
    backend = systemd
    journalmatch = _COMM=sshd _UID=0 + _COMM=sshd-session _UID=0 + _COMM=sshd-auth _UID=0
    port = 22,2222
    maxretry = 5
    findtime = 600
    bantime = 3600
    usedns = no
    banaction = iptables-multiport
    ignoreip = 10.0.0.0/8 ::1

    [proxmox]
    enabled = true
    filter = pve-harden-web
    backend = systemd
    journalmatch = _SYSTEMD_UNIT=pvedaemon.service _UID=0
    port = 8006
    maxretry = 5
    findtime = 600
    bantime = 3600
    usedns = no
    banaction = iptables-multiport
    ignoreip = 10.0.0.0/8 ::1
    ");
}
