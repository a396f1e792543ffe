//! alerts.*: what they say of a node as it came, after their own changes, and with something unreadable.

use pve_harden::change::{Action, FileChange, FileImage, UnitVerb};
use pve_harden::controls::{Status, Verdict};
use pve_harden::facts::{Facts, Reading, Unit};
use pve_harden::profile::policy::Policy;

use super::fixtures::{refused, snapshot, three_states};
use super::{advice, asked, changes, control, model, policy, show};

const TARGETS: &str = "/etc/pve/notifications.cfg";

fn site(profile: &str) -> Policy {
    let mut policy = policy(profile);
    policy.site.contact = Some("ops@example.org".into());
    policy.site.emergency_contact = Some("on call: +1 555 0100".into());
    policy
}

fn judged(facts: &Facts, policy: &Policy) -> Verdict {
    control("alerts.contact").evaluate(facts, policy)
}

#[test]
fn alerts_contact() {
    let blind = |facts: &mut Facts| drop(facts.files.insert(TARGETS.into(), refused()));
    three_states("alerts.contact", Facts::fresh_pve9(), &site("strict"), blind);
}

#[test]
fn nobody_is_reached_without_an_address_or_a_target() {
    let policy = policy("strict");
    let mut facts = asked(Facts::fresh_pve8(), &policy);
    let Reading::Known(users) = &mut facts.access.config else { panic!("no users") };
    users.users.get_mut("root@pam").unwrap().email = "mail@example.invalid".into();
    let text = "sendmail: mail-to-root\n\tdisable 1\n\nwebhook: hook\n\tmethod post\n\tdisable 0\n";
    facts.files.insert(TARGETS.into(), Reading::Known(model::regular(&FileImage::root(text, 0o640))));
    let verdict = judged(&facts, &policy);
    let line = policy.origin("alerts.contact.emergency-contact").unwrap().to_string();
    snapshot("alerts.contact", "differs-nobody", &show::verdict(&verdict).replace(&line, "strict"));
    assert!(changes(&verdict).is_empty());
    for word in ["contact =", "no notification target", "emergency-contact"] {
        assert!(advice(&verdict).contains(word), "{word}");
    }
}

#[test]
fn an_own_target_needs_no_address_of_roots() {
    let policy = policy("baseline");
    let mut facts = asked(Facts::fresh_pve9(), &policy);
    let text = "smtp: relay\n\tmailto team@example.org\n\tserver mail.example.org\n\nmatcher: default-matcher\n\ttarget relay\n";
    facts.files.insert(TARGETS.into(), Reading::Known(model::regular(&FileImage::root(text, 0o640))));
    assert_eq!(judged(&facts, &policy).status, Status::Compliant);
    let shown = show::verdict(&judged(&facts, &policy));
    assert!(shown.contains("relay: smtp, to team@example.org"), "{shown}");
    assert!(shown.contains("mail-to-root: sendmail, no matcher"), "{shown}");
}

const UNIT: &str = "pve-harden-alerts.service";

/// A node with everything asked and the service's unit in this state.
fn node(policy: &Policy, active: &str, file_state: &str) -> Facts {
    let mut facts = asked(Facts::fresh_pve9(), policy);
    unit(&mut facts, active, file_state);
    let templates = "/usr/share/pve-manager/templates/default";
    facts.files.insert(templates.into(), Reading::Known(model::directory(0o755, "root", "root")));
    facts
}

fn unit(facts: &mut Facts, active: &str, file_state: &str) {
    let Reading::Known(units) = &mut facts.units else { panic!("no units") };
    let load = if file_state.is_empty() { "not-found" } else { "loaded" };
    let unit = Unit { load: load.into(), active: active.into(), file_state: file_state.into() };
    units.insert(UNIT.into(), unit);
}

/// A verdict without the contents of its files.
fn outline(verdict: &Verdict) -> String {
    let mut short = verdict.clone();
    if let Status::Differs { changes, .. } = &mut short.status {
        for change in changes {
            if let Action::File(FileChange { after: Some(after), path, .. }) = &mut change.action
                && path.rsplit_once('.').is_none_or(|(_, kind)| kind != "json")
            {
                after.content = "…\n".into();
            }
        }
    }
    show::verdict(&short)
}

fn events(facts: &Facts, policy: &Policy) -> Verdict {
    control("alerts.events").evaluate(facts, policy)
}

#[test]
fn alerts_events() {
    let policy = policy("strict");
    let facts = node(&policy, "inactive", "");
    let first = events(&facts, &policy);
    snapshot("alerts.events", "differs", &outline(&first));
    let mut after = model::apply(&facts, changes(&first));
    unit(&mut after, "active", "enabled");
    let second = events(&after, &policy);
    snapshot("alerts.events", "compliant", &outline(&second));
    assert_eq!(second.status, Status::Compliant);

    let mut drifted = after.clone();
    let path = "/usr/local/lib/pve-harden/alerts/events.py";
    drifted.files.insert(path.into(), Reading::Known(model::regular(&FileImage::root("pass\n", 0o644))));
    let again = changes(&events(&drifted, &policy)).to_vec();
    assert_eq!(again.len(), 2, "the file, and a restart: {again:?}");
    assert!(matches!(&again[1].action, Action::Unit { verb: UnitVerb::TryRestart, .. }));

    after.units = refused();
    let third = events(&after, &policy);
    snapshot("alerts.events", "unreadable", &outline(&third));
    assert!(matches!(third.status, Status::Unknown { .. }));
}

#[test]
fn an_address_that_others_can_read_is_a_finding() {
    let policy = policy("strict");
    let mut facts = node(&policy, "inactive", "");
    let before = events(&facts, &policy);
    assert!(matches!(before.status, Status::Differs { advice: None, .. }));
    for (mode, fine) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
        let mut file = model::regular(&FileImage::root("", mode));
        file.content = None;
        facts.files.insert("/etc/pve-harden/alerts-webhook".into(), Reading::Known(file));
        let verdict = events(&facts, &policy);
        assert_eq!(matches!(verdict.status, Status::Differs { advice: None, .. }), fine, "{mode:o}");
    }
}

/// The service itself is Python; its own tests judge real lines, hostile ones, and ten thousand at once.
#[test]
fn the_service_understands_real_lines_and_survives_hostile_ones() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/controls/alerts_service.py");
    let done = std::process::Command::new("python3").args(["-B", script]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
