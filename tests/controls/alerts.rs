//! alerts.*: what they say of a node as it came, after their own changes, and with something unreadable.

use pve_harden::change::FileImage;
use pve_harden::controls::{Status, Verdict};
use pve_harden::facts::{Facts, Reading};
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
    snapshot("alerts.contact", "differs-nobody", &show::verdict(&verdict));
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
