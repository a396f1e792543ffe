//! One case per refusal: the same fresh node and proper site, with one thing wrong.

use super::*;
use crate::change::{FileChange, FileImage, SshdExpectation, Stage, Validate};
use crate::facts::{
    AuthorizedKeys, CaseKind, Cluster, Group, Package, Session, Shadow, SshdCase, SshdSettings, SudoRights, User,
};
use crate::plan::testing::{KEY, OTHER_KEY, change, directory, new_file, policy, regular};
use crate::profile::policy::Sudo;
use crate::secret::Secret;

const TODAY: i64 = 20_400;

struct Case {
    facts: Facts,
    policy: Policy,
    operator: Operator,
    changes: Vec<Change>,
}

fn user(name: &str, uid: u32, shell: &str) -> (String, User) {
    let home = if name == "root" { "/root".into() } else { format!("/home/{name}") };
    let user = User { name: name.into(), uid, gid: uid, gecos: String::new(), home, shell: shell.into() };
    (name.into(), user)
}

fn shadow(password: PasswordState) -> Shadow {
    Shadow {
        password,
        last_change: Some(TODAY - 10),
        min_days: Some(0),
        max_days: Some(99_999),
        warn_days: Some(7),
        inactive_days: None,
        expires: None,
        hash_digest: None,
    }
}

fn group(gid: u32) -> Group {
    Group { gid, members: BTreeSet::new() }
}

fn settings(pairs: &[(&str, &str)]) -> SshdSettings {
    pairs.iter().map(|(keyword, value)| ((*keyword).into(), (*value).into())).collect()
}

fn admin_case() -> SshdCase {
    SshdCase { who: CaseKind::Admin, user: "ops".into(), address: "192.0.2.7".parse().unwrap() }
}

/// A fresh node: root logged in from a management network, nobody else.
fn fresh_facts() -> Facts {
    let mut facts = Facts {
        session: Reading::Known(Session {
            user: "root".into(),
            through_sudo: false,
            operator: Some("192.0.2.7".parse().unwrap()),
            server: None,
            server_port: Some(22),
        }),
        taken: Reading::Known(jiff::Timestamp::from_second(TODAY * 86_400 + 3_600).unwrap()),
        cluster: Reading::Absent,
        pmxcfs_mounted: Reading::Known(true),
        packages: Reading::Known(BTreeMap::new()),
        ..Facts::default()
    };
    facts.accounts.users = Reading::Known([user("root", 0, "/bin/bash")].into());
    facts.accounts.groups = Reading::Known([("root".into(), group(0))].into());
    facts.accounts.shadow = Reading::Known([("root".into(), shadow(PasswordState::Hash("y".into())))].into());
    facts.accounts.connected = Reading::Known(["root".to_owned()].into());
    let sshd = settings(&[
        ("usepam", "yes"),
        ("pubkeyauthentication", "yes"),
        ("strictmodes", "yes"),
        ("authorizedkeysfile", ".ssh/authorized_keys .ssh/authorized_keys2"),
        ("authenticationmethods", "any"),
        ("forcecommand", "none"),
        ("chrootdirectory", "none"),
    ]);
    facts.sshd.global = Reading::Known(sshd.clone());
    facts.sshd.cases.insert(admin_case(), Reading::Known(sshd));
    for path in ["/home/ops", "/home/ops/.ssh", "/home/ops/.ssh/authorized_keys", "/etc/sudoers.d/pve-harden"] {
        facts.files.insert(path.into(), Reading::Absent);
    }
    facts
}

fn make_ops() -> Vec<Change> {
    let accounts = |action| change("accounts.admin", Stage::Accounts, action);
    let keys = FileImage { content: format!("{KEY}\n"), mode: 0o600, owner: "ops".into(), group: "ops".into() };
    vec![
        change("accounts.admin", Stage::Packages, Action::Packages { install: vec!["sudo".into()] }),
        accounts(Action::Group { name: "pve-admins".into(), system: false }),
        accounts(Action::User {
            name: "ops".into(),
            full_name: "Ops".into(),
            shell: "/bin/bash".into(),
            home: "/home/ops".into(),
            groups: vec!["pve-admins".into()],
        }),
        accounts(Action::Directory {
            path: "/home/ops/.ssh".into(),
            mode: 0o700,
            owner: "ops".into(),
            group: "ops".into(),
        }),
        accounts(Action::File(FileChange {
            path: "/home/ops/.ssh/authorized_keys".into(),
            before: None,
            after: Some(keys),
            validate: None,
        })),
        accounts(new_file("/etc/sudoers.d/pve-harden", "%pve-admins ALL=(ALL:ALL) NOPASSWD: ALL\n", 0o440)),
    ]
}

/// An sshd drop-in that makes these settings effective for the administrator.
fn sshd_dropin(pairs: &[(&str, &str)]) -> Change {
    let expect = vec![SshdExpectation { case: admin_case().spec(), settings: settings(pairs) }];
    let file = FileChange {
        path: "/etc/ssh/sshd_config.d/00-x.conf".into(),
        before: None,
        after: Some(FileImage::root("", 0o600)),
        validate: Some(Validate::Sshd { expect }),
    };
    change("ssh.limits", Stage::Ssh, Action::File(file))
}

fn fingerprint(line: &str) -> String {
    ssh_key::PublicKey::from_openssh(line).unwrap().fingerprint(ssh_key::HashAlg::Sha256).to_string()
}

fn fresh() -> Case {
    let mut changes = make_ops();
    changes.push(sshd_dropin(&[("maxauthtries", "4")]));
    let key_fingerprints = [fingerprint(KEY)].into();
    Case {
        facts: fresh_facts(),
        policy: policy(),
        operator: Operator { key_fingerprints, ..Operator::default() },
        changes,
    }
}

/// A node where ops exists already and only sshd changes.
fn settled() -> Case {
    let mut case = fresh();
    case.changes = vec![sshd_dropin(&[("maxauthtries", "4")])];
    let facts = &mut case.facts;
    let root = fresh_facts().accounts;
    let mut users = root.users.known().unwrap().clone();
    users.extend([user("ops", 1000, "/bin/bash")]);
    facts.accounts.users = Reading::Known(users);
    let groups = [
        ("ops".to_owned(), group(1000)),
        ("pve-admins".to_owned(), Group { gid: 1001, members: ["ops".to_owned()].into() }),
    ];
    facts.accounts.groups = Reading::Known(groups.into());
    facts.accounts.shadow = Reading::Known([("ops".into(), shadow(PasswordState::None))].into());
    let sudo = Package { version: "1".into(), installed: true };
    facts.packages = Reading::Known([("sudo".to_owned(), sudo)].into());
    let rights = SudoRights { all_as_root: true, nopasswd: true, lines: vec![] };
    facts.sudo.insert("ops".into(), Reading::Known(rights));
    let keys = AuthorizedKeys {
        path: "/home/ops/.ssh/authorized_keys".into(),
        local: true,
        lines: vec![KEY.into()],
        changed: None,
    };
    facts.accounts.authorized_keys.insert("ops".into(), Reading::Known(keys));
    facts.files.insert("/home/ops".into(), directory(0o755, "ops"));
    facts.files.insert("/home/ops/.ssh".into(), directory(0o700, "ops"));
    facts.files.insert("/home/ops/.ssh/authorized_keys".into(), regular(KEY, 0o600, "ops"));
    case
}

fn ask(case: &Case) -> Vec<Refusal> {
    refusals(&case.facts, &case.policy, &case.operator, &case.changes)
}

#[track_caller]
fn refused(mut case: Case, spoil: impl FnOnce(&mut Case), expected: &str) {
    assert_eq!(ask(&case), [], "the case must be fine before it is spoiled");
    spoil(&mut case);
    let reasons: Vec<_> = ask(&case).into_iter().map(|refusal| refusal.reason).collect();
    assert_eq!(reasons.len(), 1, "{reasons:#?}");
    assert!(reasons[0].contains(expected), "{}\ndoes not contain\n{expected}", reasons[0]);
}

fn shadow_of(case: &mut Case, change: impl FnOnce(&mut Shadow)) {
    let Reading::Known(lines) = &mut case.facts.accounts.shadow else { unreachable!() };
    change(lines.get_mut("ops").unwrap());
}

fn sshd_says(case: &mut Case, keyword: &str, value: &str) {
    let Some(Reading::Known(found)) = case.facts.sshd.cases.get_mut(&admin_case()) else { unreachable!() };
    found.insert(keyword.into(), value.into());
}

fn planned_file<'a>(case: &'a mut Case, path: &str) -> &'a mut FileImage {
    case.changes
        .iter_mut()
        .find_map(|change| match &mut change.action {
            Action::File(file) if file.path == path => file.after.as_mut(),
            _ => None,
        })
        .unwrap()
}

const SUDOERS: &str = "/etc/sudoers.d/pve-harden";
const KEYS: &str = "/home/ops/.ssh/authorized_keys";

#[test]
fn a_fresh_node_with_a_proper_site_is_not_refused_and_ops_proves_the_way_in() {
    let case = fresh();
    assert_eq!(ask(&case), []);
    let prover = proving_admin(&case.facts, &case.policy, &case.operator, &case.changes);
    assert_eq!(prover.as_deref(), Some("ops"));
    assert!(shut_out(&case.facts, &case.policy, &case.operator, &case.changes).is_empty());
}

#[test]
fn a_plan_without_changes_is_never_refused() {
    let mut case = fresh();
    case.changes.clear();
    case.policy.site.admins.clear();
    assert_eq!(ask(&case), []);
}

#[test]
fn no_administrator_in_the_site() {
    refused(fresh(), |case| case.policy.site.admins.clear(), "root would be the only login left");
}

#[test]
fn the_account_is_not_made() {
    refused(fresh(), |case| case.changes.retain(|change| change.stage == Stage::Ssh), "does not exist and the plan");
}

#[test]
fn the_key_is_not_written() {
    let without = |case: &mut Case| {
        case.changes.retain(|change| !matches!(&change.action, Action::File(file) if file.path == KEYS));
    };
    refused(fresh(), without, "it has no key in /home/ops/.ssh/authorized_keys");
}

#[test]
fn a_key_that_is_none() {
    refused(fresh(), |case| planned_file(case, KEYS).content = "ssh-ed25519 garbage\n".into(), "not a key");
}

#[test]
fn a_key_bound_to_one_command() {
    let spoil = |case: &mut Case| planned_file(case, KEYS).content = format!("command=\"/bin/true\" {KEY}\n");
    refused(fresh(), spoil, "one command only");
}

#[test]
fn a_key_bound_to_other_addresses() {
    let spoil = |case: &mut Case| planned_file(case, KEYS).content = format!("from=\"198.51.100.1\" {KEY}\n");
    refused(fresh(), spoil, "not accepted from 192.0.2.7");
}

#[test]
fn the_operator_holds_another_key_only() {
    let spoil = |case: &mut Case| case.operator.key_fingerprints = [fingerprint(OTHER_KEY)].into();
    refused(fresh(), spoil, "holds no private key");
    let mut manual = fresh();
    spoil(&mut manual);
    manual.operator.confirm_manual = true;
    assert_eq!(ask(&manual), []);
    assert_eq!(proving_admin(&manual.facts, &manual.policy, &manual.operator, &manual.changes), None);
}

#[test]
fn an_operators_ssh_that_shares_no_algorithm_with_the_planned_sshd() {
    let list = |names: &str| names.split(',').map(str::to_owned).collect();
    for (keyword, planned, offered, expected) in [
        ("kexalgorithms", "mlkem768x25519-sha256", "curve25519-sha256,sntrup761x25519-sha512", "no key exchange"),
        ("ciphers", "aes256-gcm@openssh.com", "aes128-cbc", "no cipher"),
        ("hostkeyalgorithms", "ssh-ed25519", "ssh-rsa", "no kind of host key"),
    ] {
        let mut case = settled();
        case.changes = vec![sshd_dropin(&[(keyword, planned)])];
        let spoil = |case: &mut Case| case.operator.algorithms = [(keyword.to_owned(), list(offered))].into();
        refused(case, spoil, expected);
        let mut case = settled();
        case.changes = vec![sshd_dropin(&[(keyword, planned)])];
        assert_eq!(ask(&case), [], "nothing was asked");
        case.operator.algorithms = [(keyword.to_owned(), list(&format!("{offered},{planned}")))].into();
        assert_eq!(ask(&case), [], "{keyword}: one name is enough");
        spoil(&mut case);
        case.operator.confirm_manual = true;
        assert_eq!(ask(&case), [], "somebody else confirms");
    }
}

#[test]
fn the_operator_outside_the_management_networks() {
    let elsewhere = |case: &mut Case| {
        let Reading::Known(session) = &mut case.facts.session else { unreachable!() };
        session.operator = Some("203.0.113.5".parse().unwrap());
    };
    refused(fresh(), elsewhere, "outside the management networks (192.0.2.0/24)");
    let mut anywhere = fresh();
    elsewhere(&mut anywhere);
    anywhere.policy.site.management.clear();
    assert_eq!(ask(&anywhere), []);
}

#[test]
fn access_lists_that_miss_the_administrator() {
    for (keyword, value, expected) in [
        ("allowusers", "root\nbob", "AllowUsers does not name it"),
        ("allowusers", "ops@198.51.100.0/24", "AllowUsers does not name it"),
        ("denyusers", "o*", "DenyUsers names it"),
        ("allowgroups", "root wheel", "AllowGroups names none of its groups"),
        ("denygroups", "pve-admins", "DenyGroups names one of its groups"),
    ] {
        refused(fresh(), |case| sshd_says(case, keyword, value), expected);
    }
}

#[test]
fn access_lists_that_name_the_administrator_are_fine() {
    for (keyword, value) in
        [("allowusers", "bob\nops@192.0.2.*"), ("allowgroups", "pve-admins"), ("denyusers", "bob"), ("denygroups", "x")]
    {
        let mut case = fresh();
        sshd_says(&mut case, keyword, value);
        assert_eq!(ask(&case), [], "{keyword} {value}");
    }
}

#[test]
fn sshd_settings_that_stop_a_key_login() {
    for (keyword, value, expected) in [
        ("pubkeyauthentication", "no", "PubkeyAuthentication no"),
        ("authenticationmethods", "publickey,password", "more than a key"),
        ("forcecommand", "/bin/menu", "forcecommand /bin/menu"),
        ("chrootdirectory", "/srv", "chrootdirectory /srv"),
        ("authorizedkeysfile", "/etc/ssh/keys/%u", "/etc/ssh/keys/ops"),
        ("authorizedkeysfile", "none", "AuthorizedKeysFile none"),
        ("pubkeyacceptedalgorithms", "rsa-sha2-512", "does not accept ssh-ed25519 keys"),
    ] {
        refused(fresh(), |case| sshd_says(case, keyword, value), expected);
    }
}

#[test]
fn what_the_plan_makes_effective_counts_more_than_what_sshd_says_today() {
    let spoil = |case: &mut Case| case.changes.push(sshd_dropin(&[("allowgroups", "wheel")]));
    refused(fresh(), spoil, "AllowGroups names none");
    let mut mended = fresh();
    sshd_says(&mut mended, "pubkeyauthentication", "no");
    mended.changes.push(sshd_dropin(&[("pubkeyauthentication", "yes")]));
    assert_eq!(ask(&mended), []);
}

#[test]
fn unreadable_sshd_settings_are_a_no() {
    let spoil = |case: &mut Case| {
        case.facts.sshd.cases.insert(admin_case(), Reading::Unreadable("sshd -T failed".into()));
    };
    refused(fresh(), spoil, "cannot be told: sshd's effective settings: sshd -T failed");
}

#[test]
fn unreadable_accounts_are_a_no() {
    let spoil = |case: &mut Case| case.facts.accounts.users = Reading::Unreadable("truncated".into());
    refused(fresh(), spoil, "cannot be told: /etc/passwd: truncated");
}

#[test]
fn an_expired_account() {
    refused(settled(), |case| shadow_of(case, |line| line.expires = Some(TODAY)), "is expired");
}

#[test]
fn a_login_that_ends_soon() {
    let soon = "in 30 days no administrator could log in any more";
    refused(settled(), |case| shadow_of(case, |line| line.expires = Some(TODAY + 30)), soon);
    let aged = |line: &mut Shadow| (line.last_change, line.max_days) = (Some(TODAY - 340), Some(365));
    refused(settled(), |case| shadow_of(case, aged), "its password gets older than 365 days on 2025-12-03");
    let planned = |case: &mut Case| {
        shadow_of(case, |line| line.last_change = Some(TODAY - 340));
        case.changes.push(change("password.aging", Stage::Services, aging("ops", 365)));
    };
    refused(settled(), planned, soon);
    let short = |case: &mut Case| {
        let text = "PASS_MAX_DAYS\t99999\n# PASS_MAX_DAYS 7\nPASS_MAX_DAYS\t14\n";
        case.facts.files.insert("/etc/login.defs".into(), regular(text, 0o644, "root"));
    };
    refused(fresh(), short, "older than 14 days");
}

#[test]
fn the_way_out_of_a_login_that_ends_soon() {
    let mut case = settled();
    shadow_of(&mut case, |line| (line.last_change, line.max_days) = (Some(TODAY - 340), Some(365)));
    insta::assert_snapshot!(ask(&case)[0].way_out, @"`passwd ops` sets a new password; or name a further administrator in the site");
    shadow_of(&mut case, |line| (line.max_days, line.expires) = (Some(-1), Some(TODAY + 3)));
    insta::assert_snapshot!(ask(&case)[0].way_out, @"`chage -E -1 ops` takes the expiry date away; or name a further administrator in the site");
}

#[test]
fn a_login_that_lasts_is_fine() {
    for days in [(Some(TODAY - 334), Some(365), None), (Some(TODAY), Some(365), Some(TODAY + 31))] {
        let mut case = settled();
        shadow_of(&mut case, |line| (line.last_change, line.max_days, line.expires) = days);
        assert_eq!(ask(&case), [], "{days:?}");
    }
}

#[test]
fn a_plan_that_takes_the_end_away_is_fine() {
    let mut case = settled();
    shadow_of(&mut case, |line| (line.last_change, line.max_days) = (Some(TODAY - 400), Some(365)));
    case.changes.push(change("password.aging", Stage::Services, aging("ops", -1)));
    assert_eq!(ask(&case), []);
}

#[test]
fn one_login_that_ends_soon_is_told_when_another_lasts() {
    let mut case = settled();
    let mut bob = case.policy.site.admins[0].clone();
    bob.name = "bob".into();
    case.policy.site.admins.push(bob);
    shadow_of(&mut case, |line| line.expires = Some(TODAY + 5));
    assert_eq!(ask(&case).len(), 1, "bob does not exist");
    let soon = soon_shut_out(&case.facts, &case.policy, &case.operator, &case.changes);
    assert_eq!(soon.into_iter().collect::<Vec<_>>(), [("ops".into(), "the account expires on 2025-11-13".into())]);
}

fn aging(name: &str, max_days: i64) -> Action {
    Action::UserAging { name: name.into(), min_days: 1, max_days, warn_days: 7, inactive_days: -1 }
}

#[test]
fn a_forced_password_change() {
    refused(settled(), |case| shadow_of(case, |line| line.last_change = Some(0)), "must change its password");
}

#[test]
fn aging_that_makes_the_password_too_old() {
    let spoil = |case: &mut Case| {
        shadow_of(case, |line| line.last_change = Some(TODAY - 400));
        case.changes.push(change("password.aging", Stage::Services, aging("ops", 365)));
    };
    refused(settled(), spoil, "older than 365 days");
}

#[test]
fn a_locked_account_matters_without_pam_only() {
    let lock = |case: &mut Case| shadow_of(case, |line| line.password = PasswordState::Locked("y".into()));
    let mut with_pam = settled();
    lock(&mut with_pam);
    assert_eq!(ask(&with_pam), []);
    let mut hashed = settled();
    shadow_of(&mut hashed, |line| line.password = PasswordState::Hash("y".into()));
    sshd_says(&mut hashed, "usepam", "no");
    refused(hashed, lock, "UsePAM no");
}

#[test]
fn a_planned_lock_of_the_only_administrator() {
    let spoil = |case: &mut Case| {
        let lock = Action::UserLock { name: "ops".into(), locked: true };
        case.changes.push(change("accounts.admin", Stage::Accounts, lock));
    };
    refused(settled(), spoil, "the account is expired");
}

#[test]
fn a_shell_that_is_no_shell() {
    let spoil = |case: &mut Case| {
        let shell = Action::UserShell { name: "ops".into(), shell: "/usr/sbin/nologin".into() };
        case.changes.push(change("x", Stage::Accounts, shell));
    };
    refused(settled(), spoil, "login shell is /usr/sbin/nologin");
}

#[test]
fn etc_nologin() {
    let spoil = |case: &mut Case| {
        case.facts.files.insert("/etc/nologin".into(), regular("maintenance", 0o644, "root"));
    };
    refused(settled(), spoil, "/etc/nologin is there");
}

#[test]
fn permissions_that_make_sshd_ignore_the_key() {
    for (path, reading, expected) in [
        ("/home/ops", directory(0o775, "ops"), "/home/ops is writable by others (0775)"),
        ("/home/ops", directory(0o755, "bob"), "/home/ops belongs to bob"),
        ("/home/ops/.ssh", directory(0o707, "ops"), "/home/ops/.ssh is writable by others"),
        (KEYS, regular(KEY, 0o664, "ops"), "authorized_keys is writable by others"),
        ("/home/ops", Reading::Unreadable("denied".into()), "cannot be told: denied"),
    ] {
        let spoil = |case: &mut Case| {
            case.facts.files.insert(path.into(), reading);
        };
        refused(settled(), spoil, expected);
    }
}

#[test]
fn strict_modes_off_ignores_permissions() {
    let mut case = settled();
    case.facts.files.insert("/home/ops".into(), directory(0o777, "ops"));
    sshd_says(&mut case, "strictmodes", "no");
    assert_eq!(ask(&case), []);
}

#[test]
fn keys_on_the_cluster_file_system_do_not_count() {
    let spoil = |case: &mut Case| {
        let keys =
            AuthorizedKeys { path: "/etc/pve/priv/x".into(), local: false, lines: vec![KEY.into()], changed: None };
        case.facts.accounts.authorized_keys.insert("ops".into(), Reading::Known(keys));
    };
    refused(settled(), spoil, "not on local disk");
}

#[test]
fn a_sudoers_rule_that_does_not_make_root() {
    for (content, expected) in [
        ("%wheel ALL=(ALL) NOPASSWD: ALL\n", "no sudoers rule"),
        ("%pve-admins ALL=(ALL) NOPASSWD: /usr/bin/apt\n", "no sudoers rule"),
        ("%pve-admins ALL=(ALL:ALL) ALL\n", "sudo asks for a password and it has none"),
    ] {
        refused(fresh(), |case| planned_file(case, SUDOERS).content = content.into(), expected);
    }
    refused(fresh(), |case| planned_file(case, SUDOERS).mode = 0o666, "sudo does not read");
    let main = |case: &mut Case| {
        case.facts.files.insert("/etc/sudoers".into(), regular("root ALL=(ALL:ALL) ALL\n", 0o440, "root"));
    };
    refused(fresh(), main, "@includedir");
}

#[test]
fn sudo_with_a_password_that_the_plan_sets_is_fine() {
    let mut case = fresh();
    case.policy.site.admins[0].sudo = Sudo::Password;
    planned_file(&mut case, SUDOERS).content = "%pve-admins ALL=(ALL:ALL) ALL\n".into();
    let password = Action::UserPassword { name: "ops".into(), hash: Secret::new("$y$x") };
    case.changes.push(change("accounts.admin", Stage::Accounts, password));
    assert_eq!(ask(&case), []);
}

#[test]
fn sudo_missing() {
    refused(fresh(), |case| case.changes.retain(|change| change.stage != Stage::Packages), "sudo is not installed");
}

#[test]
fn taking_the_rule_away_on_which_todays_rights_rest() {
    let spoil = |case: &mut Case| {
        case.facts.files.insert(SUDOERS.into(), regular("x", 0o440, "root"));
        let removal =
            FileChange { path: SUDOERS.into(), before: Some(FileImage::root("x", 0o440)), after: None, validate: None };
        case.changes.push(change("x", Stage::Accounts, Action::File(removal)));
    };
    refused(settled(), spoil, "no sudoers rule");
}

fn leave(case: &mut Case, name: &str) {
    let lock = Action::UserLock { name: name.into(), locked: true };
    case.changes.push(change("accounts.admin", Stage::Accounts, lock));
}

#[test]
fn removing_who_is_connected() {
    let mut case = settled();
    let Reading::Known(session) = &mut case.facts.session else { unreachable!() };
    session.user = "bob".into();
    refused(case, |case| leave(case, "bob"), "the account this run is logged in as");
    let mut case = settled();
    case.facts.accounts.connected = Reading::Known(["eve".to_owned()].into());
    refused(case, |case| leave(case, "eve"), "eve, who is logged in on the node now");
    let mut case = settled();
    case.facts.accounts.connected = Reading::Unreadable("no logind".into());
    refused(case, |case| leave(case, "eve"), "cannot be told: no logind");
    let mut gone = settled();
    leave(&mut gone, "eve");
    assert_eq!(ask(&gone), []);
}

#[test]
fn locking_root() {
    refused(settled(), |case| leave(case, "root"), "would lock root");
}

#[test]
fn writing_to_the_cluster_without_quorum() {
    let cluster = |quorate| Cluster { name: "lab".into(), quorate, peers: vec![], migration_network: None };
    let write = || change("x", Stage::Firewall, new_file("/etc/pve/firewall/cluster.fw", "", 0o640));
    let mut case = settled();
    case.changes.push(write());
    case.facts.cluster = Reading::Known(cluster(true));
    refused(case, |case| case.facts.cluster = Reading::Known(cluster(false)), "no quorum");
    let mut case = settled();
    case.changes.push(write());
    refused(case, |case| case.facts.pmxcfs_mounted = Reading::Known(false), "/etc/pve is not mounted");
    let mut case = settled();
    case.changes.push(write());
    refused(case, |case| case.facts.cluster = Reading::Unreadable("?".into()), "cannot be told");
}

#[test]
fn one_able_administrator_is_enough_and_the_other_is_named() {
    let mut case = settled();
    let mut bob = case.policy.site.admins[0].clone();
    bob.name = "bob".into();
    case.policy.site.admins.push(bob);
    assert_eq!(ask(&case), []);
    let out = shut_out(&case.facts, &case.policy, &case.operator, &case.changes);
    assert_eq!(out.keys().collect::<Vec<_>>(), ["bob"]);
}

#[test]
fn whoever_fail2ban_could_ban_is_refused() {
    let jails = |exempt: &str| {
        let text = format!("[sshd]\nignoreip = 127.0.0.0/8 192.0.2.0/24\n[proxmox]\nignoreip = {exempt}\n");
        let action = new_file(crate::controls::bruteforce::JAILS, &text, 0o644);
        change("bruteforce.fail2ban", Stage::Packages, action)
    };
    let said = |exempt: &str| {
        let facts = fresh_facts();
        let mut changes = make_ops();
        changes.push(jails(exempt));
        let planned = Planned::of(&facts, &changes).unwrap();
        ban::refusals(&planned, &facts, Some("192.0.2.7".parse().unwrap())).map(|refusal| refusal.reason)
    };
    assert_eq!(said("192.0.2.0/24"), None);
    assert_eq!(said("192.0.2.7"), None);
    for exempt in ["", "127.0.0.0/8", "nonsense"] {
        let reason = said(exempt).unwrap();
        assert_eq!(reason, "fail2ban could ban you at 192.0.2.7: some wrong logins, and the node answers no more");
    }
}
