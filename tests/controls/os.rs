//! os.core-dumps and os.integrity: what they say of a node as it came, after their own changes, and with something
//! unreadable.

use pve_harden::change::{Action, FileChange, FileImage, UnitVerb};
use pve_harden::controls::{Status, Verdict};
use pve_harden::facts::{Facts, Reading, Unit};
use pve_harden::profile::policy::Policy;

use super::fixtures::{refused, snapshot, three_states};
use super::{advice, asked, changes, control, model, policy, refusal, show};

const TIMER: &str = "pve-harden-integrity.timer";
const SERVICE: &str = "pve-harden-integrity.service";
const LAST: &str = "/var/lib/aide/pve-harden.last";
const CONFIG: &str = "/etc/aide/aide.conf";

fn text(facts: &mut Facts, path: &str, text: &str) {
    facts.files.insert(path.into(), Reading::Known(model::regular(&FileImage::root(text, 0o644))));
}

fn unit(facts: &mut Facts, name: &str, active: &str, file_state: &str) {
    let Reading::Known(units) = &mut facts.units else { panic!("no units") };
    let load = if file_state.is_empty() { "not-found" } else { "loaded" };
    units.insert(name.into(), Unit { load: load.into(), active: active.into(), file_state: file_state.into() });
}

#[test]
fn core_dumps() {
    let policy = policy("strict");
    three_states("os.core-dumps", asked(Facts::fresh_pve9(), &policy), &policy, |facts| {
        facts.files.insert("/etc/security/limits.d".into(), refused());
    });
}

#[test]
fn a_later_file_that_keeps_core_dumps_is_named() {
    let policy = policy("strict");
    let judge = |facts: &Facts| control("os.core-dumps").evaluate(facts, &policy);
    let fresh = asked(Facts::fresh_pve9(), &policy);
    let mut facts = model::apply(&fresh, changes(&judge(&fresh)));
    assert_eq!(judge(&facts).status, Status::Compliant);
    text(&mut facts, "/etc/security/limits.d/zzz-database.conf", "root - core unlimited\n");
    let verdict = judge(&facts);
    assert!(changes(&verdict).is_empty());
    assert!(advice(&verdict).contains("sorts after /etc/security/limits.d/zz-pve-harden-core.conf"), "{verdict:?}");
    text(&mut facts, "/etc/security/limits.d/zzz-database.conf", "root soft core unlimited\n");
    assert_eq!(judge(&facts).status, Status::Compliant, "a soft limit is bounded by the hard one");
    text(&mut facts, "/etc/systemd/coredump.conf.d/zzz.conf", "[Coredump]\nStorage=external\n");
    assert!(advice(&judge(&facts)).contains("/etc/systemd/coredump.conf.d"));
}

/// A node with everything asked that has no timer yet.
fn node(policy: &Policy) -> Facts {
    let mut facts = asked(Facts::fresh_pve9(), policy);
    for name in [TIMER, SERVICE, "dailyaidecheck.timer"] {
        unit(&mut facts, name, "inactive", "");
    }
    facts
}

fn integrity(facts: &Facts, policy: &Policy) -> Verdict {
    control("os.integrity").evaluate(facts, policy)
}

/// The node after the control's own changes.
fn hardened(policy: &Policy) -> Facts {
    let facts = node(policy);
    let mut after = model::apply(&facts, changes(&integrity(&facts, policy)));
    unit(&mut after, TIMER, "active", "enabled");
    unit(&mut after, SERVICE, "inactive", "static");
    after
}

/// A verdict without the contents of its files, aide.conf apart.
fn outline(verdict: &Verdict) -> String {
    let mut short = verdict.clone();
    if let Status::Differs { changes, .. } = &mut short.status {
        for change in changes {
            if let Action::File(FileChange { after: Some(after), path, .. }) = &mut change.action
                && path != CONFIG
            {
                after.content = "…\n".into();
            }
        }
    }
    show::verdict(&short)
}

#[test]
fn integrity_in_three_states() {
    let policy = policy("strict");
    let line = policy.origin("os.integrity.leave-out").unwrap().to_string();
    let shown =
        |verdict: &Verdict| outline(verdict).replace(&line, "baseline").replace(&policy.today.to_string(), "TODAY");
    snapshot("os.integrity", "differs", &shown(&integrity(&node(&policy), &policy)));
    let mut after = hardened(&policy);
    text(&mut after, LAST, &format!("{} nothing abc\n", policy.today));
    let second = integrity(&after, &policy);
    snapshot("os.integrity", "compliant", &shown(&second));
    assert_eq!(second.status, Status::Compliant);

    let mut drifted = after.clone();
    text(&mut drifted, CONFIG, "# Written by pve-harden (os.integrity)\n!/usr/bin\n");
    let again = changes(&integrity(&drifted, &policy)).to_vec();
    assert_eq!(again.len(), 2, "the file, and the timer: {again:?}");
    assert!(matches!(&again[1].action, Action::Unit { verb: UnitVerb::TryRestart, .. }));

    after.units = refused();
    let third = integrity(&after, &policy);
    snapshot("os.integrity", "unreadable", &outline(&third));
    assert!(matches!(third.status, Status::Unknown { .. }));
}

#[test]
fn a_check_that_does_not_run_is_a_finding() {
    let policy = policy("strict");
    let mut facts = hardened(&policy);
    assert_eq!(integrity(&facts, &policy).status, Status::Compliant, "the first check is still to come");
    unit(&mut facts, SERVICE, "failed", "static");
    assert!(advice(&integrity(&facts, &policy)).contains("journalctl -u pve-harden-integrity.service"));
    let days = |days: i64| policy.today.saturating_sub(jiff::Span::new().days(days));
    for (last, good) in [
        (format!("{} first abc", days(0)), true),
        (format!("{} differences abc", days(3)), true),
        (format!("{} nothing abc", days(4)), false),
        (format!("{} failed", days(0)), false),
        ("yesterday nothing".to_owned(), false),
        (String::new(), false),
    ] {
        text(&mut facts, LAST, &last);
        let status = integrity(&facts, &policy).status;
        assert_eq!(status == Status::Compliant, good, "{last}: {status:?}");
    }
}

#[test]
fn somebody_elses_aide_is_left_alone() {
    let policy = policy("strict");
    let mut facts = node(&policy);
    text(&mut facts, CONFIG, "# AIDE conf of Debian\n");
    let verdict = integrity(&facts, &policy);
    assert!(changes(&verdict).is_empty());
    assert!(advice(&verdict).contains("systemctl enable --now dailyaidecheck.timer"));
    unit(&mut facts, "dailyaidecheck.timer", "active", "enabled");
    assert_eq!(integrity(&facts, &policy).status, Status::Compliant);
}

#[test]
fn what_is_left_out_is_a_path() {
    let mut policy = policy("strict");
    policy.profile.os.integrity.leave_out = vec!["/opt/agent-1.2/c++".into()];
    let verdict = integrity(&node(&policy), &policy);
    assert!(show::verdict(&verdict).contains("| !/opt/agent-1\\.2/c\\+\\+(/.*)?$\n"), "{}", show::verdict(&verdict));
    for bad in ["/", "opt", "/opt/", "/a b", "/a.*|/", "/x\n!/usr"] {
        policy.profile.os.integrity.leave_out = vec![bad.into()];
        assert!(refusal(&integrity(&node(&policy), &policy)).contains("is no path"), "{bad}");
    }
}
