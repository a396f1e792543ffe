//! bruteforce.*, logs.* and audit.*: what they say of a fresh node, after what they ask for, and with what they depend on unreadable.

use pve_harden::controls::bruteforce::{JAILS, never_banned};
use pve_harden::facts::watch::{Audit, Fail2ban, Jail, Journald};
use pve_harden::facts::{Facts, Reading};
use pve_harden::profile::policy::Policy;

use super::system::{known, refused, three, unit};
use super::{asked, control, refusal};

/// A shipped profile without the places where its values stand, which move.
fn policy(profile: &str) -> Policy {
    let mut policy = super::policy(profile);
    policy.origins.clear();
    policy
}

/// A node as PVE's ISO leaves it, with everything asked.
fn node(facts: Facts, policy: &Policy) -> Facts {
    let mut facts = asked(facts, policy);
    let mut absent = unit("inactive", "");
    absent.load = "not-found".into();
    known(&mut facts.units).insert("fail2ban.service".into(), absent.clone());
    known(&mut facts.units).insert("rsyslog.service".into(), absent);
    known(&mut facts.units).insert("logrotate.timer".into(), unit("active", "enabled"));
    let setting = |value: &str| (value.to_owned(), "/etc/systemd/journald.conf.d/own.conf".to_owned());
    facts.watch.journald = Reading::Known(Journald {
        settings: [("Storage".into(), setting("volatile")), ("MaxRetentionSec".into(), setting("1week"))].into(),
        on_disk: false,
        max_use: None,
        oldest: facts.taken.known().map(|taken| taken.as_second() - 3 * 86_400),
    });
    for (path, text) in [
        ("/etc/logrotate.conf", "weekly\nrotate 4\n"),
        ("/etc/logrotate.d/pve", "/var/log/pveproxy/access.log {\n\trotate 7\n\tdaily\n\tcompress\n}\n"),
        ("/etc/ssl/certs/ca-certificates.crt", "trusted\n"),
    ] {
        let image = pve_harden::change::FileImage::root(text, 0o644);
        facts.files.insert(path.into(), Reading::Known(super::model::regular(&image)));
    }
    for path in ["/etc/logrotate.d", "/etc/ssl/certs"] {
        facts.files.insert(path.into(), Reading::Known(super::model::directory(0o755, "root", "root")));
    }
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

/// journald after its restart: the drop-ins of this tool are read last.
fn restart_journald(facts: &mut Facts) {
    let ours = facts.files.iter().filter(|(path, _)| path.contains("journald.conf.d/zz-pve-harden"));
    let texts: Vec<(String, String)> =
        ours.filter_map(|(path, reading)| Some((path.clone(), reading.known()?.content.clone()?))).collect();
    let journald = known(&mut facts.watch.journald);
    for (path, text) in texts {
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            journald.settings.insert(name.into(), (value.into(), path.clone()));
        }
    }
    journald.on_disk = journald.value("Storage") == Some("persistent");
    journald.max_use = journald.value("SystemMaxUse").map(|_| 4096 << 20);
}

#[test]
fn the_journal() {
    let policy = policy("baseline");
    let facts = node(Facts::fresh_pve9(), &policy);
    three("logs.journal", &facts, &policy, restart_journald, |facts| facts.watch.journald = refused());
}

#[test]
fn a_fresh_node_keeps_its_journal_and_one_that_is_silent_is_found() {
    let policy = policy("baseline");
    let mut facts = node(Facts::fresh_pve9(), &policy);
    let says = |facts: &Facts| control("logs.journal").evaluate(facts, &policy).status;
    *known(&mut facts.watch.journald) = Journald { on_disk: true, max_use: Some(1 << 30), ..Journald::default() };
    assert_eq!(says(&facts), pve_harden::controls::Status::Compliant);
    for (name, value) in [("MaxLevelStore", "warning"), ("SystemMaxUse", "64G"), ("Storage", "none")] {
        let mut facts = facts.clone();
        known(&mut facts.watch.journald).settings.insert(name.into(), (value.into(), "x".into()));
        assert_ne!(says(&facts), pve_harden::controls::Status::Compliant, "{name}");
    }
}

#[test]
fn retention() {
    let policy = policy("strict");
    let facts = node(Facts::fresh_pve9(), &policy);
    three("logs.retention", &facts, &policy, restart_journald, |facts| {
        facts.files.insert("/etc/logrotate.d/pve".into(), refused());
    });
}

#[test]
fn forwarding() {
    let mut policy = policy("strict");
    let forward = &mut policy.profile.logs.forward;
    (forward.enabled, forward.target) = (true, "logs.example.net:6514".into());
    forward.ca = "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n".into();
    let facts = node(Facts::fresh_pve9(), &policy);
    let start = |facts: &mut Facts| {
        known(&mut facts.units).insert("rsyslog.service".into(), unit("active", "enabled"));
        facts.watch.forward = Reading::Known([6514].into());
    };
    three("logs.forward", &facts, &policy, start, |facts| facts.watch.forward = refused());
    for (target, ca) in
        [("", ""), ("host", ""), ("a\"b:1", ""), ("host:0", ""), ("host:1", "-----BEGIN RSA PRIVATE KEY-----")]
    {
        let forward = &mut policy.profile.logs.forward;
        (forward.target, forward.ca) = (target.into(), ca.into());
        assert!(!refusal(&control("logs.forward").evaluate(&facts, &policy)).is_empty(), "{target}");
    }
}

/// Reported only: a person installs it and loads the rules.
#[test]
fn audit_rules() {
    let policy = policy("strict");
    let mut facts = node(Facts::fresh_pve9(), &policy);
    facts.os.kernel = Reading::Known(pve_harden::facts::os::Kernel { virt: "none".into(), ..Default::default() });
    known(&mut facts.units).insert("auditd.service".into(), unit("active", "enabled"));
    facts.watch.audit = Reading::Known(Audit { enabled: true, rules: vec!["-w /etc/ssh -p wa -k ssh".into()] });
    let set = |facts: &mut Facts, text: &str| {
        let image = pve_harden::change::FileImage::root(text, 0o640);
        let fact = Reading::Known(super::model::regular(&image));
        facts.files.insert("/etc/audit/auditd.conf".into(), fact);
    };
    set(&mut facts, "max_log_file = 8\nnum_logs = 5\nmax_log_file_action = keep_logs\nspace_left_action = HALT\n");
    let repair = |facts: &mut Facts| {
        set(facts, "max_log_file = 8\nnum_logs = 5\nmax_log_file_action = ROTATE\nspace_left_action = SYSLOG\n");
        known(&mut facts.watch.audit).rules =
            policy.profile.audit.rules.watch.iter().map(|path| format!("-w {path} -p wa -k pve-harden")).collect();
    };
    three("audit.rules", &facts, &policy, repair, |facts| facts.watch.audit = refused());
    known(&mut facts.os.kernel).virt = "systemd-nspawn".into();
    let verdict = control("audit.rules").evaluate(&facts, &policy);
    assert!(matches!(verdict.status, pve_harden::controls::Status::NotApplicable { .. }), "{verdict:?}");
}
