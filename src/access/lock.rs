//! Taking away what somebody may do, at once, and giving back what can be given back.
//!
//! A disabled account is refused at the next request, whatever ticket it shows: `auth_handler` (pve-manager
//! `PVE/HTTPServer.pm`) calls `check_user_enabled` after `verify_ticket`, and so does `verify_token` (pve-access-control
//! `AccessControl.pm`). Single tickets cannot be revoked; they last two hours.

use std::collections::BTreeSet;

use super::effective::Effective;
use super::model;
use crate::change::access::{AccessCall, AccessStep, Locked, Right, UserSettings};
use crate::pve::names;
use crate::pve::privileges::Catalogue;
use crate::pve::user_cfg::{Grant, UserConfig};

/// Calls that lock a user, what they find, and the reason when they must not be made.
pub fn lock(
    config: &UserConfig,
    catalogue: &Catalogue,
    user: &str,
    now: u64,
) -> Result<(Vec<AccessStep>, Locked), String> {
    if user == names::ROOT {
        return Err("root@pam is never locked: PVE and every rescue need it".into());
    }
    let account = config.users.get(user).ok_or_else(|| format!("there is no user {user} in PVE"))?;
    if is_administrator(config, catalogue, user, now) && !others(config, catalogue, user, now) {
        return Err(format!("{user} is the last one who may change rights in PVE"));
    }
    let groups = config.groups_of(user);
    let prefix = format!("{user}!");
    let tokens: Vec<String> = config.tokens.keys().filter(|token| token.starts_with(&prefix)).cloned().collect();
    let grants: Vec<(Grant, bool)> = config
        .acl
        .iter()
        .filter(|(grant, _)| grant.subject == user)
        .map(|(grant, with)| (grant.clone(), *with))
        .collect();
    let rights = rights(&grants);
    let mut calls = Vec::new();
    if account.enabled || !groups.is_empty() {
        let settings = UserSettings {
            enabled: account.enabled.then_some(false),
            groups: (!groups.is_empty()).then(BTreeSet::new),
            ..UserSettings::default()
        };
        calls.push(AccessCall::UserModify { user: user.into(), settings });
    }
    calls.extend(tokens.iter().map(|token| AccessCall::TokenDelete { token: token.clone() }));
    calls.extend(rights.iter().map(|right| AccessCall::AclDelete { grants: right.grants.clone() }));
    let locked = Locked { user: user.into(), enabled: account.enabled, groups, rights, tokens, linux: None };
    Ok((steps(config, calls), locked))
}

/// What is locked of a user, from the records of runs, oldest first, each with whether it gave back: locks since the
/// last unlock come together, because a second one finds only what came after the first.
pub fn record(runs: impl IntoIterator<Item = (bool, Locked)>, user: &str) -> Option<Locked> {
    let mut found: Option<Locked> = None;
    for (gave_back, run) in runs.into_iter().filter(|(_, run)| run.user == user) {
        found = match found {
            _ if gave_back => None,
            None => Some(run),
            Some(before) => Some(Locked {
                enabled: before.enabled || run.enabled,
                groups: before.groups.union(&run.groups).cloned().collect(),
                rights: before.rights.into_iter().chain(run.rights).collect(),
                tokens: before.tokens.into_iter().chain(run.tokens).collect(),
                linux: before.linux.or(run.linux),
                user: run.user,
            }),
        };
    }
    found
}

/// Calls that give back what a lock took, as far as it still exists; and what does not.
pub fn unlock(config: &UserConfig, locked: &Locked) -> Result<(Vec<AccessStep>, Vec<String>), String> {
    let user = &locked.user;
    let account = config.users.get(user).ok_or_else(|| format!("there is no user {user} in PVE any more"))?;
    let (groups, gone): (BTreeSet<String>, BTreeSet<String>) =
        locked.groups.iter().cloned().partition(|group| config.groups.contains_key(group));
    let mut lost: Vec<String> = locked.tokens.iter().map(|token| format!("the token {token} was revoked")).collect();
    lost.extend(gone.iter().map(|group| format!("the group {group} is no longer there")));
    let missing: BTreeSet<String> = groups.difference(&config.groups_of(user)).cloned().collect();
    let mut calls = Vec::new();
    let enabled = (locked.enabled && !account.enabled).then_some(true);
    if enabled.is_some() || !missing.is_empty() {
        let append = !missing.is_empty();
        let settings = UserSettings { enabled, groups: append.then_some(missing), append, ..UserSettings::default() };
        calls.push(AccessCall::UserModify { user: user.clone(), settings });
    }
    for Right { grants, propagate } in &locked.rights {
        let (known, unknown): (BTreeSet<String>, BTreeSet<String>) =
            grants.roles.iter().cloned().partition(|role| has_role(config, role));
        lost.extend(unknown.iter().map(|role| format!("the role {role} is no longer there")));
        let there = |role: &String| {
            let grant = Grant { path: grants.path.clone(), subject: user.clone(), role: role.clone() };
            config.acl.get(&grant) == Some(propagate)
        };
        let roles: BTreeSet<String> = known.into_iter().filter(|role| !there(role)).collect();
        if !roles.is_empty() {
            let grants = crate::change::access::Grants { roles, ..grants.clone() };
            calls.push(AccessCall::AclSet { grants, propagate: *propagate });
        }
    }
    Ok((steps(config, calls), lost))
}

/// Built-in roles are the releases'; which one a record was made with does not matter for one that is named in it.
fn has_role(config: &UserConfig, role: &str) -> bool {
    config.roles.contains_key(role) || [8, 9].iter().any(|major| Catalogue::of(*major).built_in.contains_key(role))
}

/// Each call with what takes it back, given what the calls before it made.
fn steps(config: &UserConfig, calls: Vec<AccessCall>) -> Vec<AccessStep> {
    let mut now = config.clone();
    let with_undo = |call: AccessCall| {
        let step = model::step(&now, call);
        model::apply(&mut now, &step.call);
        step
    };
    calls.into_iter().map(with_undo).collect()
}

fn rights(grants: &[(Grant, bool)]) -> Vec<Right> {
    let of = |propagate: bool| {
        let some = grants.iter().filter(move |(_, with)| *with == propagate).map(|(grant, _)| grant.clone());
        model::grouped(some).into_iter().map(move |grants| Right { grants, propagate })
    };
    of(true).chain(of(false)).collect()
}

/// May change rights everywhere, and log in to do so.
fn is_administrator(config: &UserConfig, catalogue: &Catalogue, user: &str, now: u64) -> bool {
    let able = config.users.get(user).is_some_and(|it| it.enabled && (it.expires == 0 || it.expires > now));
    able && Effective::new(config, catalogue).privileges(user, "/").contains_key("Permissions.Modify")
}

fn others(config: &UserConfig, catalogue: &Catalogue, user: &str, now: u64) -> bool {
    config.users.keys().any(|other| other != user && is_administrator(config, catalogue, other, now))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pve::user_cfg::parse;

    const START: &str = "user:root@pam:1:0:::::\nuser:eve o'x@pve:1:0:::::\nuser:eve@pam:1:0:::::\nuser:b@pve:1:0:::::\n\
        token:eve@pam!ci:0:1::\ntoken:eve@pam!ro:0:0::\ntoken:b@pve!ci:0:1::\ngroup:ops:eve@pam,b@pve::\nrole:R:VM.Audit:\n\
        acl:1:/:eve@pam:Administrator:\nacl:0:/vms:eve@pam:R,PVEAuditor:\nacl:1:/vms:eve@pam!ci:R:\nacl:1:/vms:b@pve:R:\n\
        acl:1:/pool/x:@ops:R:\n";

    fn config(text: &str) -> UserConfig {
        parse(text, Catalogue::of(9))
    }

    fn locked(config: &UserConfig, user: &str) -> Result<(UserConfig, Vec<AccessStep>, Locked), String> {
        let (steps, locked) = lock(config, Catalogue::of(9), user, 10)?;
        let mut after = config.clone();
        for step in &steps {
            model::apply(&mut after, &step.call);
        }
        Ok((after, steps, locked))
    }

    #[test]
    fn nothing_is_left_of_a_locked_user() {
        let before = config(START);
        let (after, steps, record) = locked(&before, "eve@pam").unwrap();
        assert!(!after.users["eve@pam"].enabled);
        assert_eq!(after.groups_of("eve@pam"), BTreeSet::new());
        assert!(!after.tokens.keys().any(|token| token.starts_with("eve@pam!")));
        assert!(!after.acl.keys().any(|grant| grant.subject.starts_with("eve@pam")));
        assert!(after.tokens.contains_key("b@pve!ci") && after.groups_of("b@pve").contains("ops"));
        assert!(matches!(&steps[0].call, AccessCall::UserModify { .. }), "the account goes first");
        assert_eq!(steps.iter().filter(|step| step.lost.is_some()).count(), 2, "both tokens are lost, and it is said");
        assert_eq!(record.tokens, ["eve@pam!ci", "eve@pam!ro"]);
        assert_eq!(locked(&after, "eve@pam").unwrap().1, [], "a second time nothing is to be done");
    }

    #[test]
    fn everything_but_the_tokens_comes_back() {
        let before = config(START);
        let (mut now, _, record) = locked(&before, "eve@pam").unwrap();
        let record: Locked = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
        let (steps, lost) = unlock(&now, &record).unwrap();
        for step in steps {
            model::apply(&mut now, &step.call);
        }
        assert_eq!(lost.len(), 2);
        let mut expected = before.clone();
        expected.tokens.retain(|token, _| !token.starts_with("eve@pam!"));
        expected.acl.retain(|grant, _| grant.subject != "eve@pam!ci");
        assert_eq!(now, expected);
        assert_eq!(unlock(&now, &record).unwrap().0, []);
    }

    #[test]
    fn two_locks_are_given_back_as_one_and_only_once() {
        let before = config(START);
        let (mut now, _, first) = locked(&before, "eve@pam").unwrap();
        let groups = Some(["ops".to_owned()].into());
        let settings = UserSettings { groups, append: true, ..UserSettings::default() };
        model::apply(&mut now, &AccessCall::UserModify { user: "eve@pam".into(), settings });
        let (now, _, second) = locked(&now, "eve@pam").unwrap();
        let (_, _, other) = locked(&now, "b@pve").unwrap();
        let runs = [(false, first.clone()), (false, second.clone()), (false, other)];
        let both = record(runs.clone(), "eve@pam").unwrap();
        assert!(both.enabled && !second.enabled);
        assert_eq!((both.rights, both.tokens), (first.rights.clone(), first.tokens.clone()));
        assert_eq!(record(runs.into_iter().chain([(true, first)]), "eve@pam"), None);
    }

    #[test]
    fn what_is_gone_meanwhile_is_named() {
        let (mut now, _, record) = locked(&config(START), "eve@pam").unwrap();
        now.groups.remove("ops");
        now.roles.remove("R");
        let (steps, lost) = unlock(&now, &record).unwrap();
        assert!(
            lost.iter().any(|it| it.contains("group ops")) && lost.iter().any(|it| it.contains("role R")),
            "{lost:?}"
        );
        assert!(steps.iter().all(|step| !step.call.words().iter().any(|word| word == "--roles=R")));
    }

    #[test]
    fn root_and_the_last_administrator_are_never_locked() {
        assert!(locked(&config(START), "root@pam").is_err());
        assert!(locked(&config(START), "nobody@pve").is_err());
        let closed = START.replace("user:root@pam:1", "user:root@pam:0");
        assert!(locked(&config(&closed), "eve@pam").unwrap_err().contains("last one"));
        let second = format!("{closed}acl:1:/:b@pve:Administrator:\n");
        assert!(locked(&config(&second), "eve@pam").is_ok());
        let expired = second.replace("user:b@pve:1:0", "user:b@pve:1:5");
        assert!(locked(&config(&expired), "eve@pam").is_err(), "who has expired administers nothing");
    }

    proptest! {
        /// Undoing each call, newest first, gives back everything but tokens, wherever a lock was cut.
        #[test]
        fn cut_anywhere_the_undo_gives_it_back(cut in 0_usize..8) {
            let before = config(START);
            let (_, steps, _) = locked(&before, "eve@pam").unwrap();
            let mut now = before.clone();
            for step in &steps[..cut.min(steps.len())] {
                model::apply(&mut now, &step.call);
            }
            for step in steps[..cut.min(steps.len())].iter().rev() {
                for call in &step.undo {
                    model::apply(&mut now, call);
                }
            }
            let mut expected = before.clone();
            expected.tokens.retain(|token, _| now.tokens.contains_key(token));
            expected.acl.retain(|grant, _| !grant.subject.contains('!') || now.acl.contains_key(grant));
            prop_assert_eq!(now, expected);
        }
    }
}
