//! lockout.pam on recorded nodes. What pam-auth-update makes of the profiles was recorded in Debian 12 and 13.

use super::*;
use crate::change::Action;
use crate::controls::Status;
use crate::controls::testing::{advice, baseline, carry_out, changes, patch, put_text, story, unreadable};
use crate::facts::{FileFact, FileKind, Reading};

const AFTER_9: [&str; 2] = [
    include_str!("../../../tests/controls/pam/pve9/all/common-auth"),
    include_str!("../../../tests/controls/pam/pve9/all/saved-auth"),
];
const AFTER_8: [&str; 2] = [
    include_str!("../../../tests/controls/pam/pve8/all/common-auth"),
    include_str!("../../../tests/controls/pam/pve8/all/saved-auth"),
];

fn applied(mut facts: Facts, [common, saved]: [&str; 2]) -> Facts {
    let verdict = PAM.evaluate(&facts, &baseline());
    carry_out(&mut facts, &verdict);
    put_text(&mut facts, "/etc/pam.d/common-auth", common);
    put_text(&mut facts, "/var/lib/pam/auth", saved);
    facts
}

#[test]
fn differs() {
    for (name, facts) in [("differs-pve9", Facts::fresh_pve9()), ("differs-pve8", Facts::fresh_pve8())] {
        insta::with_settings!({snapshot_path => "../../../tests/controls/lockout.pam", prepend_module_to_snapshot => false}, {
            insta::assert_snapshot!(name, story(&PAM.evaluate(&facts, &baseline())));
        });
    }
}

#[test]
fn compliant_after_it_was_done() {
    let nodes = [("compliant-pve9", Facts::fresh_pve9(), AFTER_9), ("compliant-pve8", Facts::fresh_pve8(), AFTER_8)];
    for (name, facts, after) in nodes {
        let facts = applied(facts, after);
        insta::with_settings!({snapshot_path => "../../../tests/controls/lockout.pam", prepend_module_to_snapshot => false}, {
            insta::assert_snapshot!(name, story(&PAM.evaluate(&facts, &baseline())));
        });
    }
}

#[test]
fn unreadable_is_unknown() {
    for path in ["/etc/security/faillock.conf", "/etc/pam.d/login", "/etc/pam.d/sshd", "/etc/pam.d/common-auth"] {
        unreadable(&PAM, applied(Facts::fresh_pve9(), AFTER_9), path);
    }
    for path in ["/var/lib/pam/session", "/usr/share/pam-configs/pve-harden-faillock"] {
        unreadable(&PAM, Facts::fresh_pve9(), path);
    }
    let mut facts = Facts::fresh_pve9();
    facts.pam.clear();
    let verdict = PAM.evaluate(&facts, &baseline());
    assert!(matches!(verdict.status, Status::Unknown { .. }), "{}", story(&verdict));
}

#[test]
fn the_configuration_alone_is_not_enough() {
    let mut facts = Facts::fresh_pve9();
    let verdict = PAM.evaluate(&facts, &baseline());
    carry_out(&mut facts, &verdict);
    let verdict = PAM.evaluate(&facts, &baseline());
    assert!(matches!(changes(&verdict), [Change { action: Action::PamProfiles { .. }, .. }]), "{}", story(&verdict));
}

#[test]
fn sudo_is_judged_where_it_is_installed() {
    let mut facts = applied(Facts::fresh_pve9(), AFTER_9);
    put_text(&mut facts, "/etc/pam.d/sudo", "auth sufficient pam_unix.so\n@include common-account\n");
    let verdict = PAM.evaluate(&facts, &baseline());
    assert!(advice(&verdict).starts_with("/etc/pam.d/sudo does not include common-auth"), "{}", story(&verdict));
    assert_eq!(changes(&verdict), []);
}

#[test]
fn weaker_options_are_set_and_stricter_ones_stay() {
    let mut facts = applied(Facts::fresh_pve9(), AFTER_9);
    put_text(&mut facts, CONF, "deny = 3\nunlock_time = never\neven_deny_root = no\nadmin_group = wheel # us\n");
    let verdict = PAM.evaluate(&facts, &baseline());
    let [Change { action: Action::File(file), .. }] = changes(&verdict) else { panic!("{}", story(&verdict)) };
    let after = &file.after.as_ref().unwrap().content;
    assert_eq!(after, "deny = 3\nunlock_time = 900\n# even_deny_root = no\n# admin_group = wheel # us\n");
}

#[test]
fn an_argument_that_overrides_the_file_is_named() {
    let mut facts = applied(Facts::fresh_pve9(), AFTER_9);
    patch(&mut facts, "/etc/pam.d/common-auth", "pam_faillock.so preauth", "pam_faillock.so preauth deny=50");
    let verdict = PAM.evaluate(&facts, &baseline());
    assert_eq!(
        advice(&verdict),
        "take deny out of \"auth requisite pam_faillock.so preauth deny=50\" in /etc/pam.d/common-auth: it overrides \
         /etc/security/faillock.conf"
    );
}

#[test]
fn a_file_changed_by_hand_is_left_to_its_owner() {
    let mut facts = Facts::fresh_pve9();
    patch(
        &mut facts,
        "/etc/pam.d/common-auth",
        "auth\t[success=1",
        "auth optional pam_exec.so /usr/local/bin/tell\nauth\t[success=1",
    );
    let verdict = PAM.evaluate(&facts, &baseline());
    assert!(changes(&verdict).iter().all(|change| matches!(&change.action, Action::File(file) if file.path == CONF)));
    assert!(advice(&verdict).contains("pam_exec.so /usr/local/bin/tell"), "{}", advice(&verdict));
}

#[test]
fn a_hand_written_stack_that_works_passes() {
    let mut facts = applied(Facts::fresh_pve9(), AFTER_9);
    let common = "auth required pam_faillock.so preauth\nauth [success=1 default=ignore] pam_unix.so\nauth [default=die] \
                  pam_faillock.so authfail\nauth sufficient pam_faillock.so authsucc\nauth requisite pam_deny.so\n";
    put_text(&mut facts, "/etc/pam.d/common-auth", common);
    let verdict = PAM.evaluate(&facts, &baseline());
    assert_eq!(verdict.status, Status::Compliant, "{}", story(&verdict));
}

#[test]
fn the_arrangement_of_many_guides_is_seen_through() {
    // Counting in front of pam_unix, and success jumping over the only check: looks hardened, locks nobody.
    let mut facts = applied(Facts::fresh_pve9(), AFTER_9);
    let common = "auth [success=2 default=ignore] pam_unix.so\nauth optional pam_faillock.so preauth\nauth requisite \
                  pam_deny.so\nauth required pam_permit.so\n";
    put_text(&mut facts, "/etc/pam.d/common-auth", common);
    let found = PAM.evaluate(&facts, &baseline()).evidence[0].found.clone();
    assert_eq!(
        found,
        "a wrong password is not counted; a locked account gets in with its password; a right password does not reset \
         the count"
    );
}

#[test]
fn a_leftover_of_pam_tally2_is_named() {
    let mut facts = applied(Facts::fresh_pve9(), AFTER_9);
    patch(
        &mut facts,
        "/etc/pam.d/login",
        "@include common-auth",
        "auth required pam_tally2.so deny=5\n@include common-auth",
    );
    let verdict = PAM.evaluate(&facts, &baseline());
    assert!(advice(&verdict).starts_with("remove \"auth required pam_tally2.so deny=5\" from /etc/pam.d/login"));
}

#[test]
fn another_profile_with_faillock_is_switched_off() {
    let mut facts = Facts::fresh_pve9();
    let ours = "auth\t[success=1 default=ignore]\tpam_unix.so nullok\n";
    patch(&mut facts, "/etc/pam.d/common-auth", ours, &format!("auth required pam_faillock.so preauth\n{ours}"));
    patch(
        &mut facts,
        "/var/lib/pam/auth",
        "Module: unix",
        "Module: faillock\nrequired pam_faillock.so preauth\nModule: unix",
    );
    let verdict = PAM.evaluate(&facts, &baseline());
    let disabled = changes(&verdict).iter().find_map(|change| match &change.action {
        Action::PamProfiles { disable, .. } => Some(disable.clone()),
        _ => None,
    });
    assert_eq!(disabled, Some(vec!["faillock".to_owned()]), "{}", story(&verdict));
}

#[test]
fn a_lock_for_ever_is_refused() {
    let mut policy = baseline();
    policy.profile.lockout.pam.unlock_time = 0;
    let verdict = PAM.evaluate(&Facts::fresh_pve9(), &policy);
    assert!(matches!(verdict.status, Status::Refused { .. }));
}

#[test]
fn a_linked_configuration_is_not_replaced() {
    let mut facts = applied(Facts::fresh_pve9(), AFTER_9);
    let link = FileFact {
        kind: FileKind::Symlink("/etc/elsewhere".into()),
        mode: 0o777,
        owner: "root".into(),
        group: "root".into(),
        digest: None,
        content: None,
        modified: None,
    };
    facts.files.insert(CONF.into(), Reading::Known(link));
    assert!(matches!(PAM.evaluate(&facts, &baseline()).status, Status::Unknown { .. }));
}
