//! bruteforce.*, logs.* and audit.*: what they say of a fresh node, after what they ask for, and with what they depend on unreadable.

use pve_harden::controls::Status;
use pve_harden::controls::bruteforce::{JAILS, never_banned};
use pve_harden::facts::watch::{Audit, Fail2ban, Jail, Journald};
use pve_harden::facts::{Facts, Reading};
use pve_harden::profile::policy::Policy;

use super::system::{known, refused, three, unit};
use super::{asked, control, refusal};

/// A shipped profile without the places where its values stand, which move.
fn policy(profile: &str) -> Policy {
    let mut policy = super::policy(profile);
    policy.origins = std::sync::Arc::default();
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
    assert_eq!(says(&facts), Status::Compliant);
    for (name, value) in [("MaxLevelStore", "warning"), ("SystemMaxUse", "64G"), ("Storage", "none")] {
        let mut facts = facts.clone();
        known(&mut facts.watch.journald).settings.insert(name.into(), (value.into(), "x".into()));
        assert_ne!(says(&facts), Status::Compliant, "{name}");
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

/// A machine with a kernel of its own and without auditd.
fn machine(policy: &Policy) -> Facts {
    let mut facts = node(Facts::fresh_pve9(), policy);
    facts.os.kernel = Reading::Known(pve_harden::facts::os::Kernel { virt: "none".into(), ..Default::default() });
    for name in ["auditd.service", "pve-harden-audit.service"] {
        let mut absent = unit("inactive", "");
        absent.load = "not-found".into();
        known(&mut facts.units).insert(name.into(), absent);
    }
    facts.watch.audit = Reading::Absent;
    for written in &policy.profile.audit.rules.watch {
        let path = written.trim_end_matches('/');
        let image = pve_harden::change::FileImage::root("x\n", 0o644);
        let fact = match path {
            "/etc/sudoers" | "/etc/sudoers.d" => Reading::Absent,
            _ if written.ends_with('/') => Reading::Known(super::model::directory(0o755, "root", "root")),
            _ => Reading::Known(super::model::regular(&image)),
        };
        facts.files.insert(path.into(), fact);
    }
    facts.files.insert("/etc/audit".into(), Reading::Absent);
    facts
}

/// auditd with its files as they are now: auditctl shows a rule much as it was written.
fn start_auditd(facts: &mut Facts) {
    for name in ["auditd.service", "pve-harden-audit.service"] {
        known(&mut facts.units).insert(name.into(), unit("active", "enabled"));
    }
    let texts = ["/etc/audit/rules.d/pve-harden.rules", "/etc/audit/rules.d/pve-harden-pve.rules"]
        .map(|path| facts.text(path).known().cloned().unwrap_or_default());
    let rules = texts.iter().flat_map(|text| text.lines()).filter(|line| line.starts_with("-a ")).map(str::to_owned);
    facts.watch.audit = Reading::Known(Audit {
        enabled: true,
        failure: Some(1),
        backlog_wait: Some(0),
        rules: rules.collect(),
        ..Audit::default()
    });
}

/// A machine after its first run.
fn audited(policy: &Policy) -> Facts {
    let facts = machine(policy);
    let verdict = control("audit.rules").evaluate(&facts, policy);
    let mut after = super::model::apply(&facts, super::changes(&verdict));
    start_auditd(&mut after);
    after
}

fn audit_conf(facts: &mut Facts, text: &str) {
    let image = pve_harden::change::FileImage::root(text, 0o640);
    facts.files.insert("/etc/audit/auditd.conf".into(), Reading::Known(super::model::regular(&image)));
}

#[test]
fn audit_rules() {
    let policy = policy("strict");
    three("audit.rules", &machine(&policy), &policy, start_auditd, |facts| facts.watch.audit = refused());
    let mut facts = machine(&policy);
    known(&mut facts.os.kernel).virt = "systemd-nspawn".into();
    let verdict = control("audit.rules").evaluate(&facts, &policy);
    assert!(matches!(verdict.status, Status::NotApplicable { .. }), "{verdict:?}");
}

fn audit_advice(facts: &Facts, policy: &Policy) -> (Vec<String>, Option<String>) {
    match control("audit.rules").evaluate(facts, policy).status {
        Status::Differs { changes, advice } => (changes.into_iter().map(|change| change.summary).collect(), advice),
        Status::Compliant => (Vec::new(), None),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_audit_log_neither_stops_the_node_nor_itself() {
    let policy = policy("strict");
    let mut facts = audited(&policy);
    let debian = "max_log_file = 8\nnum_logs = 5\nmax_log_file_action = ROTATE\nspace_left_action = SYSLOG\n";
    audit_conf(
        &mut facts,
        &format!("{debian}admin_space_left_action = syslog\ndisk_full_action = exec /usr/local/bin/x\n"),
    );
    assert_eq!(audit_advice(&facts, &policy).0, [""; 0]);
    for (line, wanted) in [
        ("admin_space_left_action = SUSPEND", "admin_space_left_action = ROTATE"),
        ("disk_full_action = halt", "disk_full_action = ROTATE"),
        ("disk_error_action = Single", "disk_error_action = SYSLOG"),
        ("max_log_file_action = keep_logs", "max_log_file_action = ROTATE"),
        ("max_log_file = 800", "max_log_file = 8"),
        ("num_logs = 1", "num_logs = 5"),
    ] {
        audit_conf(&mut facts, &format!("{debian}{line}\n"));
        let verdict = control("audit.rules").evaluate(&facts, &policy);
        let after = super::model::apply(&facts, super::changes(&verdict));
        let text = after.text("/etc/audit/auditd.conf").known().cloned().unwrap();
        assert_eq!(text.lines().last(), Some(wanted), "{text}");
        assert_eq!(super::changes(&verdict).len(), 2, "{verdict:?}");
        assert_eq!(audit_advice(&after, &policy).0, [""; 0], "{text}");
    }
}

#[test]
fn rules_are_judged_as_the_kernel_has_them() {
    let policy = policy("strict");
    let right = audited(&policy);
    let reload = ["auditd reads its files and loads its rules again"];
    let spoils: [fn(&mut Audit); 4] = [
        |audit: &mut Audit| audit.rules.retain(|rule| !rule.contains("/etc/shadow")),
        |audit: &mut Audit| audit.enabled = false,
        |audit: &mut Audit| audit.failure = Some(2),
        |audit: &mut Audit| audit.backlog_wait = Some(60_000),
    ];
    for spoil in spoils {
        let mut facts = right.clone();
        spoil(known(&mut facts.watch.audit));
        let (changes, advice) = audit_advice(&facts, &policy);
        assert_eq!((changes.as_slice(), advice.is_some()), (&reload.map(str::to_owned)[..], true));
        known(&mut facts.watch.audit).locked = true;
        let (changes, advice) = audit_advice(&facts, &policy);
        assert!(changes.is_empty() && advice.unwrap().contains("-e 2"));
    }
    // Somebody else's rules are enough; of /etc/pve nobody can tell when they were loaded.
    let mut facts = right.clone();
    facts.files.insert("/etc/audit/rules.d/pve-harden.rules".into(), Reading::Absent);
    assert_eq!(audit_advice(&facts, &policy).0, [""; 0]);
    known(&mut facts.units).insert("pve-harden-audit.service".into(), unit("inactive", "enabled"));
    assert_eq!(audit_advice(&facts, &policy).0, ["the rules of /etc/pve are loaded each time that it is mounted"]);
}

#[test]
fn what_cannot_be_a_rule_is_refused() {
    let mut policy = policy("strict");
    let facts = machine(&policy);
    for path in ["/var/log", "/etc/x -k y", "relative"] {
        policy.profile.audit.rules.watch = vec![path.into()];
        assert!(refusal(&control("audit.rules").evaluate(&facts, &policy)).contains("audit.rules"), "{path}");
    }
}
