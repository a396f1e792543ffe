//! bruteforce.*: what it says of a fresh node, after what it asks for, and with what it depends on unreadable.

use pve_harden::controls::bruteforce::{JAILS, never_banned};
use pve_harden::facts::watch::{Fail2ban, Jail};
use pve_harden::facts::{Facts, Reading};
use pve_harden::profile::policy::Policy;

use super::system::{known, refused, three, unit};
use super::{asked, policy};

/// A node as PVE's ISO leaves it, with everything asked.
fn node(facts: Facts, policy: &Policy) -> Facts {
    let mut facts = asked(facts, policy);
    let mut absent = unit("inactive", "");
    absent.load = "not-found".into();
    known(&mut facts.units).insert("fail2ban.service".into(), absent);
    facts.watch.fail2ban = Reading::Absent;
    facts.watch.web_users = Reading::Known([("10.77.0.1".parse().unwrap(), ["root@pam".to_owned()].into())].into());
    facts
}

/// fail2ban with its files as they are now.
fn start_fail2ban(facts: &mut Facts) {
    known(&mut facts.units).insert("fail2ban.service".into(), unit("active", "enabled"));
    let text = facts.text(JAILS).known().unwrap().clone();
    let value =
        |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = ")).unwrap().to_owned();
    let jail = |name: &str, matches: &str, pattern: &str| Jail {
        backend: "systemd".into(),
        enabled: true,
        settings: ["maxretry", "findtime", "bantime"].map(|key| (key.to_owned(), value(key))).into(),
        ignored: never_banned(&text)[name].iter().copied().collect(),
        matches: matches.split(" + ").map(|term| term.split(' ').map(str::to_owned).collect()).collect(),
        patterns: vec![pattern.into()],
        actions: vec!["nftables".into()],
    };
    let ssh = "_COMM=sshd _UID=0 + _COMM=sshd-session _UID=0 + _COMM=sshd-auth _UID=0";
    let sshd = jail("sshd", ssh, "^Failed");
    let web = jail("proxmox", "_SYSTEMD_UNIT=pvedaemon.service _UID=0", "^authentication failure; rhost=<ADDR>");
    let running = [("sshd", &sshd), ("proxmox", &web)].map(|(name, jail)| (name.to_owned(), jail.ignored.clone()));
    facts.watch.fail2ban = Reading::Known(Fail2ban {
        problem: None,
        running: running.into(),
        jails: [("sshd".to_owned(), sshd), ("proxmox".to_owned(), web)].into(),
    });
}

#[test]
fn fail2ban() {
    let policy = policy("strict");
    let facts = node(Facts::cluster_of_three(), &policy);
    three("bruteforce.fail2ban", &facts, &policy, start_fail2ban, |facts| facts.watch.fail2ban = refused());
}
