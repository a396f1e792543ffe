//! password.* on recorded nodes. What the package and pam-auth-update make of common-password was recorded in
//! Debian 12 and 13.

use super::rulebook::{DIRECTORY, MAIN, OURS};
use super::*;
use crate::change::{Action, FileChange};
use crate::controls::testing::{
    advice, baseline, carry_out, changes, install, patch, put, put_text, regular, story, unreadable,
};
use crate::controls::{Control, Status};
use crate::facts::{PasswordState, Reading, Shadow};
use crate::profile::policy::{Admin, Policy, Sudo};

const COMMON: &str = "/etc/pam.d/common-password";
const LOGIN_DEFS: &str = "/etc/login.defs";

/// The files of one release: with quality alone, and with history, too.
struct Recorded {
    quality: [&'static str; 2],
    all: [&'static str; 2],
}

const DEBIAN_13: Recorded = Recorded {
    quality: [
        include_str!("../../../tests/controls/pam/pve9/quality/common-password"),
        include_str!("../../../tests/controls/pam/pve9/quality/saved-password"),
    ],
    all: [
        include_str!("../../../tests/controls/pam/pve9/all/common-password"),
        include_str!("../../../tests/controls/pam/pve9/all/saved-password"),
    ],
};
const DEBIAN_12: Recorded = Recorded {
    quality: [
        include_str!("../../../tests/controls/pam/pve8/quality/common-password"),
        include_str!("../../../tests/controls/pam/pve8/quality/saved-password"),
    ],
    all: [
        include_str!("../../../tests/controls/pam/pve8/all/common-password"),
        include_str!("../../../tests/controls/pam/pve8/all/saved-password"),
    ],
};

fn record(facts: &mut Facts, [common, saved]: [&str; 2]) {
    put_text(facts, COMMON, common);
    put_text(facts, "/var/lib/pam/password", saved);
}

fn admin(name: &str, password: bool) -> Admin {
    let password = password.then(|| crate::profile::policy::AdminPassword::Prompt);
    Admin {
        name: name.into(),
        full_name: String::new(),
        keys: Vec::new(),
        sudo: Sudo::Nopasswd,
        password,
        groups: Vec::new(),
    }
}

fn policy(admins: Vec<Admin>) -> Policy {
    let mut policy = baseline();
    policy.site.admins = admins;
    policy
}

fn shadow(facts: &mut Facts, name: &str, password: PasswordState, changed: Option<i64>, max: Option<i64>) {
    let Reading::Known(all) = &mut facts.accounts.shadow else { panic!("shadow was not read") };
    let line = Shadow {
        password,
        last_change: changed,
        min_days: Some(0),
        max_days: max,
        warn_days: Some(7),
        inactive_days: None,
        expires: None,
        hash_digest: None,
    };
    all.insert(name.into(), line);
}

fn today(facts: &Facts) -> i64 {
    facts.taken.known().unwrap().as_second() / 86_400
}

/// Everything done, as a second run finds it.
fn hardened(mut facts: Facts, recorded: &Recorded) -> Facts {
    put(&mut facts, "/etc/security/opasswd", regular("", 0o600));
    for control in [&QUALITY as &dyn Control, &HISTORY, &AGING, &HASH] {
        let verdict = control.evaluate(&facts, &baseline());
        carry_out(&mut facts, &verdict);
    }
    install(&mut facts, &["libpam-pwquality", "cracklib-runtime"]);
    put(&mut facts, DIRECTORY, directory());
    record(&mut facts, recorded.all);
    facts
}

fn directory() -> Reading<crate::facts::FileFact> {
    regular("", 0o755).map(|fact| crate::facts::FileFact {
        kind: crate::facts::FileKind::Directory,
        content: None,
        ..fact
    })
}

fn controls() -> [(&'static str, &'static dyn Control); 4] {
    [("quality", &QUALITY), ("history", &HISTORY), ("aging", &AGING), ("hash", &HASH)]
}

macro_rules! snapshot {
    ($id:expr, $name:expr, $verdict:expr) => {
        insta::with_settings!({
            snapshot_path => format!("../../../tests/controls/{}", $id),
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, { insta::assert_snapshot!($name, story(&$verdict)) });
    };
}

fn fresh() -> [(&'static str, Facts, Recorded); 2] {
    [("pve9", Facts::fresh_pve9(), DEBIAN_13), ("pve8", Facts::fresh_pve8(), DEBIAN_12)]
}

#[test]
fn differs() {
    for (node, mut facts, _) in fresh() {
        put(&mut facts, "/etc/security/opasswd", regular("", 0o600));
        for (name, control) in controls() {
            let verdict = control.evaluate(&facts, &policy(vec![admin("ops", true)]));
            snapshot!(format!("password.{name}"), format!("differs-{node}"), verdict);
        }
    }
}

#[test]
fn compliant_after_it_was_done() {
    for (node, facts, recorded) in fresh() {
        let facts = hardened(facts, &recorded);
        for (name, control) in controls() {
            let verdict = control.evaluate(&facts, &baseline());
            assert_eq!(verdict.status, Status::Compliant, "{name} {node} {}", story(&verdict));
            snapshot!(format!("password.{name}"), format!("compliant-{node}"), verdict);
        }
    }
}

#[test]
fn unreadable_is_unknown() {
    let facts = || hardened(Facts::fresh_pve9(), &DEBIAN_13);
    for path in [MAIN, DIRECTORY, OURS, COMMON, "/etc/pam.d/passwd"] {
        unreadable(&QUALITY, facts(), path);
    }
    for path in ["/etc/security/pwhistory.conf", "/etc/security/opasswd", COMMON] {
        unreadable(&HISTORY, facts(), path);
    }
    for path in [LOGIN_DEFS, "/etc/default/useradd"] {
        unreadable(&AGING, facts(), path);
    }
    for path in [LOGIN_DEFS, COMMON] {
        unreadable(&HASH, facts(), path);
    }
    let mut blind = facts();
    blind.accounts.shadow = Reading::Unreadable("permission denied".into());
    for control in [&AGING as &dyn Control, &HASH] {
        assert!(matches!(control.evaluate(&blind, &baseline()).status, Status::Unknown { .. }));
    }
    let mut blind = facts();
    blind.packages = Reading::NotAsked;
    assert!(matches!(QUALITY.evaluate(&blind, &baseline()).status, Status::Unknown { .. }));
}

#[test]
fn the_main_file_overrides_our_drop_in_and_is_put_right_where_it_stands() {
    let mut facts = hardened(Facts::fresh_pve9(), &DEBIAN_13);
    put_text(&mut facts, MAIN, "# minlen = 8\nminlen = 9 # as always\ndcredit = 1\nminclass = 4\n");
    let verdict = QUALITY.evaluate(&facts, &baseline());
    let [change] = changes(&verdict) else { panic!("{}", story(&verdict)) };
    let Action::File(FileChange { path, after: Some(after), .. }) = &change.action else { panic!() };
    assert_eq!(path, MAIN);
    assert_eq!(after.content, "# minlen = 8\nminlen = 14\ndcredit = 0\nminclass = 4\n");
    carry_out(&mut facts, &verdict);
    assert_eq!(QUALITY.evaluate(&facts, &baseline()).status, Status::Compliant);
}

#[test]
fn drop_ins_are_read_in_order_and_flags_ignore_their_value() {
    let mut facts = hardened(Facts::fresh_pve9(), &DEBIAN_13);
    put_text(&mut facts, "/etc/security/pwquality.conf.d/50-site.conf", "minlen = 20\nenforce_for_root = 0\n");
    put_text(&mut facts, "/etc/security/pwquality.conf.d/60-site.conf", "maxrepeat = 0\n");
    put_text(&mut facts, "/etc/security/pwquality.conf.d/notes.txt", "minlen = 6\n");
    let verdict = QUALITY.evaluate(&facts, &baseline());
    let found: Vec<&str> = verdict.evidence.iter().map(|evidence| evidence.found.as_str()).collect();
    assert!(found.contains(&"minlen 20 (/etc/security/pwquality.conf.d/50-site.conf)"), "{found:?}");
    let [change] = changes(&verdict) else { panic!("{}", story(&verdict)) };
    let Action::File(FileChange { path, after: Some(after), .. }) = &change.action else { panic!() };
    assert_eq!(
        (path.as_str(), after.content.as_str()),
        ("/etc/security/pwquality.conf.d/60-site.conf", "maxrepeat = 3\n")
    );
}

#[test]
fn a_missing_dictionary_is_installed_and_a_weak_argument_is_named() {
    let mut facts = hardened(Facts::fresh_pve9(), &DEBIAN_13);
    let Reading::Known(packages) = &mut facts.packages else { panic!() };
    packages.remove("cracklib-runtime");
    patch(&mut facts, COMMON, "pam_pwquality.so retry=3", "pam_pwquality.so retry=3 minlen=8");
    let verdict = QUALITY.evaluate(&facts, &baseline());
    let [change] = changes(&verdict) else { panic!("{}", story(&verdict)) };
    assert_eq!(change.action, Action::Packages { install: vec!["cracklib-runtime".into()] });
    assert!(advice(&verdict).starts_with("take minlen=8 out of"), "{}", advice(&verdict));
}

#[test]
fn history_survives_without_quality() {
    let mut facts = hardened(Facts::fresh_pve9(), &DEBIAN_13);
    // As pam-auth-update writes it when pwquality is disabled.
    patch(&mut facts, COMMON, "password\trequisite\t\t\tpam_pwquality.so retry=3\n", "");
    let verdict = HISTORY.evaluate(&facts, &baseline());
    assert!(matches!(changes(&verdict), [Change { action: Action::PamProfiles { .. }, .. }]), "{}", story(&verdict));
    patch(&mut facts, COMMON, "pam_pwhistory.so use_authtok", "pam_pwhistory.so");
    assert_eq!(HISTORY.evaluate(&facts, &baseline()).status, Status::Compliant);
}

#[test]
fn debian_12_does_not_read_pwhistory_conf() {
    for (facts, recorded, status) in [(Facts::fresh_pve9(), DEBIAN_13, true), (Facts::fresh_pve8(), DEBIAN_12, false)] {
        let mut facts = hardened(facts, &recorded);
        patch(&mut facts, COMMON, " remember=24 enforce_for_root", "");
        put_text(&mut facts, "/etc/security/pwhistory.conf", "remember = 30\nenforce_for_root\n");
        assert_eq!(HISTORY.evaluate(&facts, &baseline()).status == Status::Compliant, status);
    }
}

#[test]
fn arguments_changed_by_hand_are_put_back_by_both_controls_in_the_same_way() {
    let mut facts = hardened(Facts::fresh_pve9(), &DEBIAN_13);
    patch(&mut facts, COMMON, "remember=24", "remember=2");
    patch(&mut facts, COMMON, "try_first_pass yescrypt", "try_first_pass md5");
    let (history, hash) = (HISTORY.evaluate(&facts, &baseline()), HASH.evaluate(&facts, &baseline()));
    let ([one], [other]) = (changes(&history), changes(&hash)) else { panic!("{}{}", story(&history), story(&hash)) };
    assert_eq!(one.action, other.action);
    let Action::File(FileChange { after: Some(after), .. }) = &one.action else { panic!() };
    assert_eq!(after.content, DEBIAN_13.all[0]);
}

#[test]
fn arguments_wait_while_pam_auth_update_is_about_to_rewrite_the_file() {
    let mut facts = Facts::fresh_pve9();
    patch(&mut facts, COMMON, "obscure yescrypt", "obscure md5");
    let verdict = HASH.evaluate(&facts, &baseline());
    assert!(advice(&verdict).starts_with("run apply again: yescrypt"), "{}", story(&verdict));
    assert_eq!(changes(&verdict), []);
}

#[test]
fn login_defs_is_one_image_whoever_plans_it() {
    let facts = Facts::fresh_pve8();
    let image = |verdict: &Verdict| {
        changes(verdict).iter().find_map(|change| match &change.action {
            Action::File(file) if file.path == LOGIN_DEFS => Some(file.clone()),
            _ => None,
        })
    };
    let (aging, hash) = (AGING.evaluate(&facts, &baseline()), HASH.evaluate(&facts, &baseline()));
    assert_eq!(image(&aging), image(&hash));
    assert!(image(&aging).is_some());
    let mut alone = baseline();
    alone.left_out.insert("password.aging".into());
    let after = image(&HASH.evaluate(&facts, &alone)).unwrap().after.unwrap().content;
    assert!(after.contains("PASS_MAX_DAYS\t99999") && after.contains("ENCRYPT_METHOD YESCRYPT"));
}

#[test]
fn only_the_site_s_people_with_a_password_get_a_maximum() {
    let mut facts = hardened(Facts::fresh_pve9(), &DEBIAN_13);
    let day = today(&facts);
    let hash = || PasswordState::Hash("y".into());
    shadow(&mut facts, "keys", PasswordState::None, Some(day), Some(365));
    shadow(&mut facts, "fresh", hash(), Some(day - 10), Some(99_999));
    shadow(&mut facts, "old", hash(), Some(day - 366), Some(99_999));
    shadow(&mut facts, "dateless", hash(), None, None);
    shadow(&mut facts, "stranger", hash(), Some(day), Some(99_999));
    let people = ["keys", "fresh", "old", "dateless"].map(|name| admin(name, false)).into();
    let verdict = AGING.evaluate(&facts, &policy(people));
    let aged: Vec<(&str, i64)> = changes(&verdict)
        .iter()
        .filter_map(|change| match &change.action {
            Action::UserAging { name, max_days, inactive_days, .. } => {
                assert_eq!(*inactive_days, -1, "a key would die with them");
                Some((name.as_str(), *max_days))
            }
            _ => None,
        })
        .collect();
    assert_eq!(aged, [("keys", -1), ("fresh", 365)]);
    let told = advice(&verdict);
    assert!(told.contains("old should set a new password") && told.contains("dateless should set"), "{told}");
    assert!(!told.contains("stranger") && !told.contains("root"));
}

#[test]
fn a_new_administrator_without_a_password_gets_no_maximum_from_login_defs() {
    let facts = hardened(Facts::fresh_pve9(), &DEBIAN_13);
    let verdict = AGING.evaluate(&facts, &policy(vec![admin("new", false)]));
    let [Change { action: Action::UserAging { max_days: -1, .. }, .. }] = changes(&verdict) else {
        panic!("{}", story(&verdict))
    };
    let verdict = AGING.evaluate(&Facts::fresh_pve9(), &policy(vec![admin("new", false)]));
    let untouched = changes(&verdict).iter().all(|change| !matches!(change.action, Action::UserAging { .. }));
    assert!(untouched, "useradd still gives 99999 days: {}", story(&verdict));
}

#[test]
fn stored_hashes_are_told_apart() {
    let mut facts = hardened(Facts::fresh_pve9(), &DEBIAN_13);
    shadow(&mut facts, "gui", PasswordState::Hash("5".into()), Some(1), None);
    let verdict = HASH.evaluate(&facts, &baseline());
    assert_eq!(verdict.status, Status::Compliant);
    assert_eq!(verdict.evidence.last().unwrap().found, "older hash, until the password is changed: gui");
    shadow(&mut facts, "ancient", PasswordState::Hash("1".into()), Some(1), None);
    let verdict = HASH.evaluate(&facts, &baseline());
    assert_eq!(advice(&verdict), "set new passwords: the stored hash is MD5, DES or unknown for ancient");
}

#[test]
fn a_changed_profile_is_planned_once_quality_is_there() {
    let mut facts = hardened(Facts::fresh_pve9(), &DEBIAN_13);
    record(&mut facts, DEBIAN_13.quality);
    assert_eq!(QUALITY.evaluate(&facts, &baseline()).status, Status::Compliant);
    let verdict = HISTORY.evaluate(&facts, &baseline());
    assert!(matches!(changes(&verdict), [Change { action: Action::PamProfiles { .. }, .. }]), "{}", story(&verdict));
}
