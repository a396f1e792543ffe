//! session.notice, ssh.banner and web.consent: one text, three places.

use pve_harden::change::{Action, Change};
use pve_harden::controls::{Status, Verdict};
use pve_harden::facts::{Facts, Reading};
use pve_harden::profile::policy::Policy;
use pve_harden::pve::datacenter;

use super::{asked, changes, control, model, policy, refusal, show};

const CONTROLS: [&str; 3] = ["session.notice", "ssh.banner", "web.consent"];
const DATACENTER: &str = "/etc/pve/datacenter.cfg";

fn judge(id: &str, facts: &Facts, policy: &Policy) -> Verdict {
    control(id).evaluate(facts, policy)
}

/// What the change makes of a file.
fn written<'a>(changes: &'a [Change], path: &str) -> &'a str {
    let content = changes.iter().find_map(|change| match &change.action {
        Action::File(file) if file.path == path => Some(file.after.as_ref()?.content.as_str()),
        _ => None,
    });
    content.unwrap_or_else(|| panic!("{path} is not written"))
}

fn datacenter_with(content: &str) -> Facts {
    let mut facts = asked(Facts::fresh_pve9(), &policy("strict"));
    let Some(Reading::Known(file)) = facts.files.get_mut(DATACENTER) else { panic!("no datacenter.cfg") };
    file.content = Some(content.into());
    facts
}

#[test]
fn a_text_that_no_console_can_show_is_refused_by_all_three() {
    let mut policy = policy("strict");
    for text in ["", " \n", "\\s on \\l", "a\tb", "\u{1b}[31mred", "a\rb"] {
        policy.profile.session.notice.text = text.into();
        for id in CONTROLS {
            let verdict = judge(id, &asked(Facts::fresh_pve9(), &policy), &policy);
            let why = refusal(&verdict);
            assert!(why.starts_with("session.notice.text: "), "{id} of {text:?}: {why}");
        }
    }
}

#[test]
fn banner_and_notice_want_the_same_file() {
    let policy = policy("strict");
    let facts = asked(Facts::fresh_pve9(), &policy);
    let of = |id| written(changes(&judge(id, &facts, &policy)), "/etc/issue.net").to_owned();
    assert_eq!(of("session.notice"), of("ssh.banner"));
}

#[test]
fn a_banner_whose_text_somebody_changed_differs() {
    let policy = policy("strict");
    let mut facts = asked(Facts::fresh_pve9(), &policy);
    facts = model::apply(&facts, changes(&judge("ssh.banner", &facts, &policy)));
    assert_eq!(judge("ssh.banner", &facts, &policy).status, Status::Compliant);
    let Some(Reading::Known(file)) = facts.files.get_mut("/etc/issue.net") else { panic!("not written") };
    file.content = Some("Debian GNU/Linux 13\n".into());
    let verdict = judge("ssh.banner", &facts, &policy);
    assert_eq!(changes(&verdict).len(), 1, "only the text: {}", show::verdict(&verdict));
}

#[test]
fn consent_keeps_the_rest_of_datacenter_cfg_and_is_base64() {
    let mut policy = policy("strict");
    policy.profile.session.notice.text = "Für Befugte.\n'\"><script>".into();
    let before = "#a note\n\nkeyboard: de\nconsent-text: Authorized use only\nmigration: secure,network=10.77.0.0/24\n";
    let facts = datacenter_with(before);
    let verdict = judge("web.consent", &facts, &policy);
    assert!(show::verdict(&verdict).contains("Authorized use only: not base64"), "{}", show::verdict(&verdict));
    let after = written(changes(&verdict), DATACENTER);
    let value = "RsO8ciBCZWZ1Z3RlLgonIj48c2NyaXB0Pg==";
    assert_eq!(after, before.replace("Authorized use only", value));
    assert_eq!(datacenter::parse(after)["consent-text"], value);
    assert_eq!(judge("web.consent", &datacenter_with(after), &policy).status, Status::Compliant);
}

#[test]
fn a_consent_text_of_somebody_else_is_shown_and_replaced() {
    let verdict = judge("web.consent", &datacenter_with("consent-text: b3Vycw==\n"), &policy("strict"));
    assert!(show::verdict(&verdict).contains("ours"), "{}", show::verdict(&verdict));
    assert!(!written(changes(&verdict), DATACENTER).contains("b3Vycw=="));
}

#[test]
fn pve_before_8_4_and_plain_debian_have_no_consent_text() {
    let policy = policy("strict");
    let mut facts = datacenter_with("");
    let Reading::Known(release) = &mut facts.pve else { panic!("no release") };
    (release.major, release.minor, release.text) = (8, 3, "8.3.5".into());
    assert!(
        matches!(&judge("web.consent", &facts, &policy).status, Status::NotApplicable { why } if why.contains("8.3.5"))
    );
    facts.pve = Reading::Absent;
    assert!(matches!(judge("web.consent", &facts, &policy).status, Status::NotApplicable { .. }));
}
