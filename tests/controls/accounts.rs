//! `accounts.*`: people who come, change and leave, and what is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use pve_harden::change::{Action, Change, FileImage, Stage};
use pve_harden::controls::{Status, Verdict};
use pve_harden::facts::{AuthorizedKeys, Facts, Group, KeyPlace, PasswordState, Reading, Shadow, SudoRights, User};
use pve_harden::profile::policy::{AdminPassword, Policy, Sudo};
use pve_harden::secret::Secret;

use super::model::{apply, directory, regular};
use super::{KEY, OTHER_KEY, admin, advice, asked, changes, control, policy, refusal, unknown};

const ADMIN: &str = "accounts.admin";

fn judge(facts: &Facts, policy: &Policy) -> Verdict {
    control(ADMIN).evaluate(&asked(facts.clone(), policy), policy)
}

/// A fresh node on which the policy was applied.
fn settled(policy: &Policy) -> Facts {
    let facts = asked(Facts::fresh_pve9(), policy);
    let first = judge(&facts, policy);
    let mut after = apply(&facts, changes(&first));
    for person in &policy.site.admins {
        after.sudo.insert(person.name.clone(), Reading::NotAsked);
    }
    let after = apply(&after, &[]);
    assert_eq!(judge(&after, policy).status, Status::Compliant);
    after
}

fn summaries(verdict: &Verdict) -> Vec<String> {
    changes(verdict).iter().map(|change| change.summary.clone()).collect()
}

fn shadow<'a>(facts: &'a mut Facts, name: &str) -> &'a mut Shadow {
    let Reading::Known(shadow) = &mut facts.accounts.shadow else { panic!("no shadow") };
    shadow.get_mut(name).unwrap()
}

fn users(facts: &mut Facts) -> &mut BTreeMap<String, User> {
    let Reading::Known(users) = &mut facts.accounts.users else { panic!("no users") };
    users
}

fn groups(facts: &mut Facts) -> &mut BTreeMap<String, Group> {
    let Reading::Known(groups) = &mut facts.accounts.groups else { panic!("no groups") };
    groups
}

fn put(facts: &mut Facts, path: &str, content: &str, mode: u32, owner: &str) {
    let image = FileImage { content: content.into(), mode, owner: owner.into(), group: owner.into() };
    facts.files.insert(path.into(), Reading::Known(regular(&image)));
}

/// An account beside the site's.
fn add_account(facts: &mut Facts, name: &str, uid: u32) {
    let user = User {
        name: name.into(),
        uid,
        gid: uid,
        gecos: String::new(),
        home: format!("/home/{name}"),
        shell: "/bin/bash".into(),
    };
    users(facts).insert(name.into(), user);
    groups(facts).insert(name.into(), Group { gid: uid, members: BTreeSet::default() });
    let like = shadow(facts, "ops").clone();
    let Reading::Known(shadows) = &mut facts.accounts.shadow else { panic!("no shadow") };
    shadows.insert(name.into(), Shadow { password: PasswordState::Hash("y".into()), ..like });
}

fn join(facts: &mut Facts, name: &str, group: &str) {
    groups(facts).get_mut(group).unwrap().members.insert(name.into());
}

#[test]
fn the_account_stands_before_anything_that_needs_it() {
    let verdict = judge(&Facts::fresh_pve9(), &policy("baseline"));
    let position = |test: fn(&Change) -> bool| changes(&verdict).iter().position(test).unwrap();
    let group = position(|change| matches!(change.action, Action::Group { .. }));
    let user = position(|change| matches!(change.action, Action::User { .. }));
    let folder = position(|change| matches!(change.action, Action::Directory { .. }));
    let keys =
        position(|change| matches!(&change.action, Action::File(file) if file.path.ends_with("/authorized_keys")));
    assert!(group < user && user < folder && folder < keys);
    assert!(changes(&verdict).iter().all(|change| change.stage <= Stage::Accounts));
}

#[test]
fn a_second_run_finds_nothing_to_do_for_mixed_people() {
    let mut policy = policy("baseline");
    policy.site.admins.push(admin("alice", Sudo::Password));
    policy.site.admins[1].password = Some(AdminPassword::Hash(Secret::new("$y$j9T$abc$def")));
    settled(&policy);
}

#[test]
fn visudo_accepts_the_dropin() {
    let visudo = "/usr/sbin/visudo";
    if !std::path::Path::new(visudo).is_file() {
        crate::support::skip("needs visudo (apt install sudo)");
        return;
    }
    let mut policy = policy("baseline");
    policy.site.admins.push(admin("alice", Sudo::Password));
    for timeout in [0, 1, 60, 90, 900] {
        policy.profile.accounts.admin.sudo_timeout = timeout;
        let verdict = judge(&Facts::fresh_pve9(), &policy);
        let content = changes(&verdict)
            .iter()
            .find_map(|change| match &change.action {
                Action::File(file) if file.path.starts_with("/etc/sudoers.d/") => file.after.clone(),
                _ => None,
            })
            .unwrap()
            .content;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("candidate");
        std::fs::write(&path, &content).unwrap();
        let status = Command::new(visudo).arg("-cqf").arg(&path).stdin(Stdio::null()).status().unwrap();
        assert!(status.success(), "{content}");
        assert!(content.contains("\nops ALL=(ALL:ALL) NOPASSWD: ALL\n") && !content.contains("\nalice "));
    }
}

#[test]
fn keys_nobody_named_are_taken_away() {
    let policy = policy("baseline");
    let mut facts = settled(&policy);
    put(&mut facts, "/home/ops/.ssh/authorized_keys", &format!("{KEY}\n{OTHER_KEY}\n"), 0o600, "ops");
    put(&mut facts, "/home/ops/.ssh/authorized_keys2", OTHER_KEY, 0o600, "ops");
    let verdict = judge(&facts, &policy);
    assert_eq!(summaries(&verdict), ["keys of ops", "take away ops's second key file"]);
    let after = apply(&facts, changes(&verdict));
    let content = after.file("/home/ops/.ssh/authorized_keys").known().unwrap().content.clone().unwrap();
    assert!(content.contains(KEY) && !content.contains(OTHER_KEY));
    assert_eq!(judge(&after, &policy).status, Status::Compliant);
}

#[test]
fn the_same_key_with_options_is_another_key() {
    let policy = policy("baseline");
    let mut facts = settled(&policy);
    put(&mut facts, "/home/ops/.ssh/authorized_keys", &format!("command=\"/bin/true\" {KEY}\n"), 0o600, "ops");
    assert_eq!(summaries(&judge(&facts, &policy)), ["keys of ops"]);
}

#[test]
fn another_comment_or_order_is_no_difference() {
    let mut policy = policy("baseline");
    policy.site.admins[0].keys.push(OTHER_KEY.into());
    let mut facts = settled(&policy);
    let renamed = KEY.replace("ops@example", "laptop");
    put(&mut facts, "/home/ops/.ssh/authorized_keys", &format!("# mine\n{OTHER_KEY}\n\n{renamed}\n"), 0o600, "ops");
    assert_eq!(judge(&facts, &policy).status, Status::Compliant);
}

#[test]
fn what_sshd_would_refuse_to_read_is_repaired() {
    let policy = policy("baseline");
    let mut facts = settled(&policy);
    let home = directory(0o777, "ops", "ops");
    facts.files.insert("/home/ops".into(), Reading::Known(home));
    let folder = directory(0o755, "root", "root");
    facts.files.insert("/home/ops/.ssh".into(), Reading::Known(folder));
    put(&mut facts, "/home/ops/.ssh/authorized_keys", &format!("{KEY}\n"), 0o666, "root");
    let verdict = judge(&facts, &policy);
    assert_eq!(summaries(&verdict), ["home of ops", "ops's folder for keys", "keys of ops"]);
    let after = apply(&facts, changes(&verdict));
    assert_eq!(judge(&after, &policy).status, Status::Compliant);
    let after = after.file("/home/ops").known().unwrap();
    assert_eq!((after.mode, after.owner.as_str()), (0o755, "ops"));
}

#[test]
fn a_link_is_never_followed() {
    let policy = policy("baseline");
    for path in ["/home/ops", "/home/ops/.ssh", "/home/ops/.ssh/authorized_keys"] {
        let mut facts = settled(&policy);
        let mut link = directory(0o777, "ops", "ops");
        link.kind = pve_harden::facts::FileKind::Symlink("/etc/pve/x".into());
        facts.files.insert(path.into(), Reading::Known(link));
        assert!(refusal(&judge(&facts, &policy)).contains("symbolic link"), "{path}");
    }
}

#[test]
fn an_account_that_cannot_be_used_is_repaired() {
    let policy = policy("baseline");
    let mut facts = settled(&policy);
    users(&mut facts).get_mut("ops").unwrap().shell = "/usr/sbin/nologin".into();
    shadow(&mut facts, "ops").expires = Some(1);
    join(&mut facts, "ops", "users");
    groups(&mut facts).get_mut("pve-admins").unwrap().members.clear();
    let verdict = judge(&facts, &policy);
    assert_eq!(summaries(&verdict), ["ops joins pve-admins", "login shell of ops", "unlock ops"]);
    let after = apply(&facts, changes(&verdict));
    assert_eq!(judge(&after, &policy).status, Status::Compliant);
}

#[test]
fn a_login_that_ends_soon_is_a_finding() {
    let policy = policy("baseline");
    let mut facts = settled(&policy);
    let today = facts.taken.known().unwrap().as_second() / 86_400;
    shadow(&mut facts, "ops").expires = Some(today + 31);
    assert_eq!(judge(&facts, &policy).status, Status::Compliant);
    shadow(&mut facts, "ops").expires = Some(today + 30);
    let verdict = judge(&facts, &policy);
    assert!(advice(&verdict).contains("`chage -E -1 ops`") && changes(&verdict).is_empty(), "{verdict:?}");
    let line = shadow(&mut facts, "ops");
    (line.expires, line.max_days, line.last_change) = (None, Some(365), Some(today - 335));
    assert!(advice(&judge(&facts, &policy)).contains("`passwd ops` sets a new password"));
}

#[test]
fn a_demanded_new_password_is_a_finding() {
    let policy = policy("baseline");
    let mut facts = settled(&policy);
    shadow(&mut facts, "ops").last_change = Some(0);
    let verdict = judge(&facts, &policy);
    assert!(changes(&verdict).is_empty());
    assert!(advice(&verdict).contains("chage"));
}

mod passwords {
    use super::*;

    fn with(password: AdminPassword) -> Policy {
        let mut policy = policy("baseline");
        policy.site.admins[0].sudo = Sudo::Password;
        policy.site.admins[0].password = Some(password);
        policy
    }

    #[test]
    fn the_sites_hash_is_compared_without_being_seen() {
        let policy = with(AdminPassword::Hash(Secret::new("$y$j9T$abc$def")));
        let mut facts = settled(&policy);
        let other = with(AdminPassword::Hash(Secret::new("$y$j9T$abc$xyz")));
        let verdict = judge(&facts, &other);
        assert_eq!(summaries(&verdict), ["password of ops, from the site's hash"]);
        assert!(!format!("{verdict:?}{}", serde_json::to_string(&verdict).unwrap()).contains("$y$j9T"));
        shadow(&mut facts, "ops").hash_digest = None;
        assert!(unknown(&judge(&facts, &policy)).contains("digest"));
    }

    #[test]
    fn a_password_that_is_asked_for_is_set_once() {
        let policy = with(AdminPassword::Prompt);
        let facts = asked(Facts::fresh_pve9(), &policy);
        let ops = &policy.site.admins[0];
        assert!(pve_harden::controls::accounts::needs_password(&facts, ops));
        let verdict = judge(&facts, &policy);
        assert!(summaries(&verdict).contains(&"password of ops, asked for at apply".to_owned()));

        let mut after = settled(&with(AdminPassword::Hash(Secret::new("$y$j9T$abc$def"))));
        assert!(!pve_harden::controls::accounts::needs_password(&after, ops));
        assert_eq!(judge(&after, &policy).status, Status::Compliant);
        shadow(&mut after, "ops").password = PasswordState::None;
        assert!(pve_harden::controls::accounts::needs_password(&after, ops));
    }

    #[test]
    fn an_empty_password_is_taken_away() {
        let policy = policy("baseline");
        let mut facts = settled(&policy);
        shadow(&mut facts, "ops").password = PasswordState::Empty;
        let verdict = judge(&facts, &policy);
        assert_eq!(summaries(&verdict), ["take away the empty password of ops"]);
        assert_eq!(judge(&apply(&facts, changes(&verdict)), &policy).status, Status::Compliant);
    }
}

mod leavers {
    use super::*;

    /// `bob` was an administrator and is named as gone.
    fn gone() -> (Facts, Policy) {
        let mut policy = policy("baseline");
        let mut facts = settled(&policy);
        policy.site.removed_admins = vec!["bob".into()];
        add_account(&mut facts, "bob", 1005);
        join(&mut facts, "bob", "pve-admins");
        join(&mut facts, "bob", "sudo");
        put(&mut facts, "/home/bob/.ssh/authorized_keys", OTHER_KEY, 0o600, "bob");
        (facts, policy)
    }

    #[test]
    fn who_left_is_locked_without_keys_and_groups() {
        let (facts, policy) = gone();
        let verdict = judge(&facts, &policy);
        assert_eq!(summaries(&verdict), ["lock bob", "take away the keys of bob", "bob leaves pve-admins, sudo"]);
        let after = apply(&facts, changes(&verdict));
        assert_eq!(judge(&after, &policy).status, Status::Compliant);
        assert!(after.accounts.users.known().unwrap().contains_key("bob"), "the account keeps its files");
    }

    #[test]
    fn nobody_is_locked_while_logged_in() {
        let (mut facts, policy) = gone();
        let Reading::Known(connected) = &mut facts.accounts.connected else { panic!("no sessions") };
        connected.insert("bob".into());
        assert!(refusal(&judge(&facts, &policy)).contains("logged in"));

        let (mut facts, policy) = gone();
        let Reading::Known(session) = &mut facts.session else { panic!("no session") };
        session.user = "bob".into();
        assert!(refusal(&judge(&facts, &policy)).contains("you are logged in"));

        let (mut facts, policy) = gone();
        facts.accounts.connected = Reading::Unreadable("no utmp".into());
        assert!(unknown(&judge(&facts, &policy)).contains("logged in"));
    }

    #[test]
    fn root_and_present_administrators_never_leave() {
        let (facts, mut policy) = gone();
        policy.site.removed_admins = vec!["root".into()];
        assert!(refusal(&judge(&facts, &policy)).contains("console"));
        policy.site.removed_admins = vec!["ops".into()];
        assert!(refusal(&judge(&facts, &policy)).contains("both"));
    }

    #[test]
    fn the_last_administrator_never_leaves() {
        let (facts, mut policy) = gone();
        policy.site.removed_admins = vec!["ops".into()];
        policy.site.admins.clear();
        assert!(refusal(&judge(&facts, &policy)).contains("no administrator"));
    }

    #[test]
    fn who_was_never_here_needs_nothing() {
        let (facts, mut policy) = gone();
        policy.site.removed_admins = vec!["carol".into()];
        assert!(!summaries(&judge(&facts, &policy)).iter().any(|summary| summary.contains("carol")));
    }
}

#[test]
fn a_stranger_in_the_group_is_a_finding_for_a_person() {
    let policy = policy("baseline");
    let mut facts = settled(&policy);
    add_account(&mut facts, "mallory", 1006);
    join(&mut facts, "mallory", "pve-admins");
    let verdict = judge(&facts, &policy);
    assert!(changes(&verdict).is_empty());
    assert!(advice(&verdict).contains("mallory"));

    groups(&mut facts).get_mut("pve-admins").unwrap().members.remove("mallory");
    let gid = groups(&mut facts)["pve-admins"].gid;
    users(&mut facts).get_mut("mallory").unwrap().gid = gid;
    assert!(advice(&judge(&facts, &policy)).contains("mallory"), "a primary group counts, too");
}

#[test]
fn names_that_belong_to_somebody_else_are_refused() {
    for name in ["root", "www-data", "nobody", "Ops", "-x", "a b", "x\ny", ""] {
        let mut policy = policy("baseline");
        policy.site.admins[0].name = name.into();
        refusal(&judge(&Facts::fresh_pve9(), &policy));
    }
    let mut policy = policy("baseline");
    policy.site.admins[0].name = "staff".into();
    assert!(refusal(&judge(&Facts::fresh_pve9(), &policy)).contains("a group `staff` exists"));
}

#[test]
fn a_second_root_is_no_administrator() {
    let policy = policy("baseline");
    let mut facts = settled(&policy);
    users(&mut facts).get_mut("ops").unwrap().uid = 0;
    assert!(refusal(&judge(&facts, &policy)).contains("system account"));
}

#[test]
fn keys_that_hang_on_the_network_are_refused() {
    let policy = policy("baseline");
    let mut facts = settled(&policy);
    let keys =
        AuthorizedKeys { path: "/mnt/nfs/ops/keys".into(), local: false, lines: vec![KEY.into()], changed: None };
    facts.accounts.authorized_keys.insert("ops".into(), Reading::Known(keys));
    assert!(refusal(&judge(&facts, &policy)).contains("not a local disk"));
}

#[test]
fn keys_that_would_come_to_lie_off_the_disk_are_refused() {
    let policy = policy("baseline");
    let place = |local, home: &str| {
        let mut facts = Facts::fresh_pve9();
        let (exists, file_system) = (home.rsplit_once('/').unwrap().0.to_owned(), "nfs".to_owned());
        let place = KeyPlace { home: home.into(), exists, file_system, local };
        facts.accounts.key_places.insert("ops".into(), Reading::Known(place));
        facts
    };
    let verdict = judge(&place(false, "/home/ops"), &policy);
    assert!(refusal(&verdict).contains("would lie on /home (nfs), which is not a local disk"), "{verdict:?}");
    assert!(unknown(&judge(&place(true, "/srv/ops"), &policy)).contains("was not asked for"));
    let mut blind = Facts::fresh_pve9();
    blind.accounts.key_places.insert("ops".into(), Reading::NotAsked);
    assert!(unknown(&judge(&blind, &policy)).contains("the file system below /home/ops"));
}

#[test]
fn keys_in_a_file_sshd_does_not_read_are_refused() {
    let policy = policy("baseline");
    let mut facts = Facts::fresh_pve9();
    for reading in facts.sshd.cases.values_mut() {
        if let Reading::Known(settings) = reading {
            settings.insert("authorizedkeysfile".into(), "/etc/ssh/keys/%u".into());
        }
    }
    assert!(refusal(&judge(&facts, &policy)).contains("/etc/ssh/keys/%u"));
    for reading in facts.sshd.cases.values_mut() {
        if let Reading::Known(settings) = reading {
            settings.insert("authorizedkeysfile".into(), "/etc/ssh/keys/%u %h/.ssh/authorized_keys".into());
        }
    }
    assert!(!changes(&judge(&facts, &policy)).is_empty());
}

#[test]
fn what_sudo_says_counts_more_than_its_file() {
    let policy = policy("baseline");
    let mut facts = settled(&policy);
    let rights = SudoRights { all_as_root: false, nopasswd: false, lines: vec!["(root) !ALL".into()] };
    facts.sudo.insert("ops".into(), Reading::Known(rights));
    let verdict = judge(&facts, &policy);
    assert!(changes(&verdict).is_empty());
    assert!(advice(&verdict).contains("@includedir"));
    facts.sudo.insert("ops".into(), Reading::Unreadable("timed out".into()));
    assert!(unknown(&judge(&facts, &policy)).contains("timed out"));
}

#[test]
fn further_groups_are_joined_and_must_exist() {
    let mut policy = policy("baseline");
    policy.site.admins[0].groups = vec!["adm".into()];
    let facts = settled(&policy);
    assert!(facts.accounts.groups.known().unwrap()["adm"].members.contains("ops"));
    policy.site.admins[0].groups = vec!["amd".into()];
    assert!(refusal(&judge(&facts, &policy)).contains("`amd`"));
}

mod root_password {
    use super::*;

    type Tweak = fn(&mut Facts);

    fn judge(tweak: impl FnOnce(&mut Facts)) -> Verdict {
        let mut facts = Facts::fresh_pve9();
        tweak(&mut facts);
        control("accounts.root-password").evaluate(&facts, &policy("baseline"))
    }

    #[test]
    fn every_way_to_lose_the_way_in_is_a_finding_and_nothing_is_changed() {
        let tweaks: [(&str, Tweak); 7] = [
            ("passwd -u root", |facts| shadow(facts, "root").password = PasswordState::Locked("y".into())),
            ("set one with `passwd`", |facts| shadow(facts, "root").password = PasswordState::None),
            ("now", |facts| shadow(facts, "root").password = PasswordState::Empty),
            ("chage -E -1 root", |facts| shadow(facts, "root").expires = Some(1)),
            ("chage -M 99999 root", |facts| shadow(facts, "root").max_days = Some(90)),
            ("usermod -s", |facts| users(facts).get_mut("root").unwrap().shell = "/usr/sbin/nologin".into()),
            ("safe", |facts| shadow(facts, "root").last_change = None),
        ];
        for (words, tweak) in tweaks {
            let verdict = judge(tweak);
            assert!(changes(&verdict).is_empty());
            assert!(advice(&verdict).contains(words), "{words}: {}", advice(&verdict));
        }
    }

    #[test]
    fn days_after_the_limit_count_and_the_limit_does_not() {
        let aged = |days: i64| {
            judge(move |facts| {
                let today = facts.taken.known().unwrap().as_second().div_euclid(86_400);
                shadow(facts, "root").last_change = Some(today - days);
            })
        };
        assert_eq!(aged(180).status, Status::Compliant);
        assert!(advice(&aged(181)).contains("new one"));
    }
}
