//! session.* on recorded nodes. What pam-auth-update makes of the profile was recorded in Debian 12 and 13.

use super::*;
use crate::change::{Action, Change};
use crate::controls::testing::{advice, baseline, carry_out, changes, patch, put_text, story, unreadable};
use crate::controls::{Control, Status};
use crate::facts::Facts;

const TIMEOUT_SH: &str = "/etc/profile.d/pve-harden-timeout.sh";
const UMASK_SH: &str = "/etc/profile.d/pve-harden-umask.sh";
const SUDO: &str = "session required pam_limits.so\n@include common-auth\n@include common-account\n\
                    @include common-session-noninteractive\n";

type Recorded = [(&'static str, &'static str); 4];

const DEBIAN_13: Recorded = [
    ("/etc/pam.d/common-session", include_str!("../../../tests/controls/pam/pve9/umask/common-session")),
    (
        "/etc/pam.d/common-session-noninteractive",
        include_str!("../../../tests/controls/pam/pve9/umask/common-session-noninteractive"),
    ),
    ("/var/lib/pam/session", include_str!("../../../tests/controls/pam/pve9/umask/saved-session")),
    (
        "/var/lib/pam/session-noninteractive",
        include_str!("../../../tests/controls/pam/pve9/umask/saved-session-noninteractive"),
    ),
];
const DEBIAN_12: Recorded = [
    ("/etc/pam.d/common-session", include_str!("../../../tests/controls/pam/pve8/umask/common-session")),
    (
        "/etc/pam.d/common-session-noninteractive",
        include_str!("../../../tests/controls/pam/pve8/umask/common-session-noninteractive"),
    ),
    ("/var/lib/pam/session", include_str!("../../../tests/controls/pam/pve8/umask/saved-session")),
    (
        "/var/lib/pam/session-noninteractive",
        include_str!("../../../tests/controls/pam/pve8/umask/saved-session-noninteractive"),
    ),
];

fn fresh() -> [(&'static str, Facts, Recorded); 2] {
    let mut nodes = [("pve9", Facts::fresh_pve9(), DEBIAN_13), ("pve8", Facts::fresh_pve8(), DEBIAN_12)];
    for (_, facts, _) in &mut nodes {
        put_text(facts, "/etc/pam.d/sudo", SUDO);
    }
    nodes
}

fn hardened(mut facts: Facts, recorded: &Recorded) -> Facts {
    for control in [&TIMEOUT as &dyn Control, &UMASK] {
        let verdict = control.evaluate(&facts, &baseline());
        carry_out(&mut facts, &verdict);
    }
    for (path, text) in recorded {
        put_text(&mut facts, path, text);
    }
    facts
}

fn hardened_pve9() -> Facts {
    let [(_, facts, recorded), _] = fresh();
    hardened(facts, &recorded)
}

macro_rules! snapshot {
    ($id:expr, $name:expr, $verdict:expr) => {
        insta::with_settings!({
            snapshot_path => format!("../../../tests/controls/session.{}", $id),
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, { insta::assert_snapshot!($name, story(&$verdict)) });
    };
}

#[test]
fn differs() {
    for (node, facts, _) in fresh() {
        snapshot!("timeout", format!("differs-{node}"), TIMEOUT.evaluate(&facts, &baseline()));
        snapshot!("umask", format!("differs-{node}"), UMASK.evaluate(&facts, &baseline()));
    }
}

#[test]
fn compliant_after_it_was_done() {
    for (node, facts, recorded) in fresh() {
        let facts = hardened(facts, &recorded);
        for (name, control) in [("timeout", &TIMEOUT as &dyn Control), ("umask", &UMASK)] {
            let verdict = control.evaluate(&facts, &baseline());
            assert_eq!(verdict.status, Status::Compliant, "{}", story(&verdict));
            snapshot!(name, format!("compliant-{node}"), verdict);
        }
    }
}

#[test]
fn unreadable_is_unknown() {
    for path in [TIMEOUT_SH, "/etc/bash.bashrc", "/etc/profile", "/etc/profile.d"] {
        unreadable(&TIMEOUT, hardened_pve9(), path);
    }
    for path in [UMASK_SH, "/etc/bash.bashrc", "/etc/profile.d", "/etc/login.defs", "/etc/pam.d/sudo", "/etc/sudoers"] {
        unreadable(&UMASK, hardened_pve9(), path);
    }
}

#[test]
fn both_controls_write_the_same_bash_bashrc() {
    let facts = Facts::fresh_pve9();
    let image = |verdict: &crate::controls::Verdict| {
        changes(verdict).iter().find_map(|change| match &change.action {
            Action::File(file) if file.path == "/etc/bash.bashrc" => Some(file.clone()),
            _ => None,
        })
    };
    let one = image(&TIMEOUT.evaluate(&facts, &baseline()));
    assert!(one.is_some());
    assert_eq!(one, image(&UMASK.evaluate(&facts, &baseline())));
}

#[test]
fn another_timeout_is_named_and_never_fought() {
    let mut facts = Facts::fresh_pve9();
    put_text(&mut facts, "/etc/profile.d/tmout.sh", "# TMOUT=1\nreadonly TMOUT=600 ; export TMOUT\n");
    let verdict = TIMEOUT.evaluate(&facts, &baseline());
    assert_eq!(changes(&verdict), []);
    assert_eq!(advice(&verdict), "take the lines that set TMOUT out of /etc/profile.d/tmout.sh and run again");
}

#[test]
fn login_defs_decides_for_root_only_where_nothing_follows() {
    let mut facts = Facts::fresh_pve9();
    let umask = |facts: &Facts| UMASK.evaluate(facts, &baseline()).evidence[1].found.clone();
    assert_eq!(umask(&facts), "the caller's");
    patch(&mut facts, "/etc/login.defs", "USERGROUPS_ENAB yes", "UMASK 027\nUSERGROUPS_ENAB yes");
    assert_eq!(umask(&facts), "027");
    let mut facts = hardened_pve9();
    patch(&mut facts, "/etc/login.defs", "USERGROUPS_ENAB yes", "UMASK 027\nUSERGROUPS_ENAB yes");
    assert_eq!(UMASK.evaluate(&facts, &baseline()).status, Status::Compliant);
}

#[test]
fn what_reaches_root_past_pam_is_named() {
    let mut facts = hardened_pve9();
    patch(&mut facts, "/etc/profile", "export PATH\n", "export PATH\numask 027\n");
    put_text(&mut facts, "/etc/sudoers.d/cis", "Defaults use_pty,umask=0077\nDefaults umask=0022\n");
    let verdict = UMASK.evaluate(&facts, &baseline());
    assert_eq!(
        advice(&verdict),
        "take \"umask 027\" out of /etc/profile: it is for root, too; take umask out of \"Defaults use_pty,umask=0077\" \
         in /etc/sudoers.d/cis: it holds for root"
    );
}

#[test]
fn a_stack_changed_by_hand_is_left_to_its_owner() {
    let mut facts = Facts::fresh_pve9();
    patch(
        &mut facts,
        "/etc/pam.d/common-session",
        "session\trequired\tpam_unix.so",
        "session optional pam_exec.so x\nsession\trequired\tpam_unix.so",
    );
    let verdict = UMASK.evaluate(&facts, &baseline());
    assert!(advice(&verdict).contains("pam_exec.so x"), "{}", story(&verdict));
    assert!(changes(&verdict).iter().all(|change: &Change| matches!(change.action, Action::File(_))));
}

#[test]
fn values_that_mean_nothing_are_refused() {
    let mut policy = baseline();
    policy.profile.session.timeout.seconds = 0;
    assert!(matches!(TIMEOUT.evaluate(&hardened_pve9(), &policy).status, Status::Refused { .. }));
    for umask in ["", "27", "0999", "$(id)", "1777"] {
        policy.profile.session.umask.umask = umask.into();
        assert!(matches!(UMASK.evaluate(&hardened_pve9(), &policy).status, Status::Refused { .. }), "{umask}");
    }
}
