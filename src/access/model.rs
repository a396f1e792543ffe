//! What a call makes of a configuration, and what takes it back (pve-access-control, `API2/{User,Group,Role,ACL}.pm`;
//! pve-manager, `API2/Pool.pm`).

use std::collections::{BTreeMap, BTreeSet};

use crate::change::access::{AccessCall, AccessStep, Grants, UserSettings};
use crate::pve::names;
use crate::pve::user_cfg::{Grant, Group, Pool, User, UserConfig};

/// Lays a call over a configuration. A call that PVE would refuse changes nothing.
pub fn apply(config: &mut UserConfig, call: &AccessCall) {
    match call {
        AccessCall::RoleAdd { role, privileges } | AccessCall::RoleModify { role, privileges } => {
            config.roles.insert(role.clone(), privileges.clone());
        }
        AccessCall::RoleDelete { role } => {
            config.roles.remove(role);
            config.acl.retain(|grant, _| grant.role != *role);
        }
        AccessCall::GroupAdd { group, comment } | AccessCall::GroupModify { group, comment } => {
            config.groups.entry(group.clone()).or_default().comment.clone_from(comment);
        }
        AccessCall::GroupDelete { group } => {
            config.groups.remove(group);
            forget(config, &format!("@{group}"));
        }
        AccessCall::PoolAdd { pool, comment } | AccessCall::PoolModify { pool, comment } => {
            config.pools.entry(pool.clone()).or_default().comment.clone_from(comment);
        }
        AccessCall::PoolJoin { pool, guests, storages } => {
            let pool = config.pools.entry(pool.clone()).or_default();
            pool.guests.extend(guests);
            pool.storages.extend(storages.iter().cloned());
        }
        AccessCall::PoolLeave { pool, guests, storages } => {
            if let Some(pool) = config.pools.get_mut(pool) {
                pool.guests.retain(|guest| !guests.contains(guest));
                pool.storages.retain(|storage| !storages.contains(storage));
            }
        }
        AccessCall::PoolDelete { pool } => {
            config.pools.remove(pool);
            let path = format!("/pool/{pool}");
            config.acl.retain(|grant, _| grant.path != path);
        }
        AccessCall::UserAdd { user, settings } => {
            config.users.insert(user.clone(), User { enabled: true, ..User::default() });
            set_user(config, user, settings);
        }
        AccessCall::UserModify { user, settings } => set_user(config, user, settings),
        AccessCall::UserDelete { user } => delete_user(config, user),
        AccessCall::TokenModify { token, expires, separated, comment } => {
            if let Some(token) = config.tokens.get_mut(token) {
                set(&mut token.expires, expires.as_ref());
                set(&mut token.separated, separated.as_ref());
                set(&mut token.comment, comment.as_ref());
            }
        }
        AccessCall::TokenDelete { token } => {
            config.tokens.remove(token);
            forget(config, token);
        }
        AccessCall::AclSet { grants, propagate } => {
            config.acl.extend(each(grants).map(|grant| (grant, *propagate)));
        }
        AccessCall::AclDelete { grants } => {
            for grant in each(grants) {
                config.acl.remove(&grant);
            }
        }
        AccessCall::RealmModify { .. } => {}
        AccessCall::RootLogin { enabled } => {
            config.users.entry(names::ROOT.to_owned()).or_default().enabled = *enabled;
        }
    }
}

fn set<T: Clone>(place: &mut T, value: Option<&T>) {
    if let Some(value) = value {
        place.clone_from(value);
    }
}

fn set_user(config: &mut UserConfig, name: &str, settings: &UserSettings) {
    let UserSettings { enabled, expires, first_name, last_name, email, comment, groups, append } = settings;
    let Some(user) = config.users.get_mut(name) else { return };
    set(&mut user.enabled, enabled.as_ref());
    set(&mut user.expires, expires.as_ref());
    set(&mut user.first_name, first_name.as_ref());
    set(&mut user.last_name, last_name.as_ref());
    set(&mut user.email, email.as_ref());
    set(&mut user.comment, comment.as_ref());
    let Some(groups) = groups else { return };
    for (group, Group { members, .. }) in &mut config.groups {
        if groups.contains(group) {
            members.insert(name.into());
        } else if !append {
            members.remove(name);
        }
    }
}

fn delete_user(config: &mut UserConfig, name: &str) {
    config.users.remove(name);
    for group in config.groups.values_mut() {
        group.members.remove(name);
    }
    config.tokens.retain(|token, _| token.rsplit_once('!').is_none_or(|(user, _)| user != name));
    forget(config, name);
    let tokens = format!("{name}!");
    config.acl.retain(|grant, _| !grant.subject.starts_with(&tokens));
}

fn forget(config: &mut UserConfig, subject: &str) {
    config.acl.retain(|grant, _| grant.subject != subject);
}

/// Every single right of a call.
pub fn each(grants: &Grants) -> impl Iterator<Item = Grant> {
    let Grants { path, roles, subjects } = grants;
    let one = move |role: &str, subject: &String| Grant {
        path: path.clone(),
        subject: subject.clone(),
        role: role.to_owned(),
    };
    roles.iter().flat_map(move |role| subjects.iter().map(move |subject| one(role, subject)))
}

/// Subjects in one call; a command line has an end.
const SUBJECTS: usize = 200;

/// The fewest calls for single rights: subjects that get the same roles on one path share a call.
pub fn grouped(grants: impl IntoIterator<Item = Grant>) -> Vec<Grants> {
    let mut roles: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for Grant { path, subject, role } in grants {
        roles.entry((path, subject)).or_default().insert(role);
    }
    let mut subjects: BTreeMap<(String, BTreeSet<String>), Vec<String>> = BTreeMap::new();
    for ((path, subject), roles) in roles {
        subjects.entry((path, roles)).or_default().push(subject);
    }
    let mut calls = Vec::new();
    for ((path, roles), subjects) in subjects {
        for part in subjects.chunks(SUBJECTS) {
            let subjects = part.iter().cloned().collect();
            calls.push(Grants { path: path.clone(), roles: roles.clone(), subjects });
        }
    }
    calls
}

/// The rights of a configuration that fit, as calls that set them.
fn restored(config: &UserConfig, fits: impl Fn(&Grant) -> bool) -> Vec<AccessCall> {
    let set = |propagate: bool| {
        let some = config
            .acl
            .iter()
            .filter(|(grant, with)| **with == propagate && fits(grant) && config.exists(&grant.subject));
        let calls = grouped(some.map(|(grant, _)| grant.clone()));
        calls.into_iter().map(move |grants| AccessCall::AclSet { grants, propagate })
    };
    set(true).chain(set(false)).collect()
}

/// A call with what takes it back, given the configuration it will find.
pub fn step(before: &UserConfig, call: AccessCall) -> AccessStep {
    let (undo, lost) = undo(before, &call);
    AccessStep { call, undo, lost }
}

fn undo(before: &UserConfig, call: &AccessCall) -> (Vec<AccessCall>, Option<String>) {
    let calls = match call {
        AccessCall::RoleAdd { role, .. } => vec![AccessCall::RoleDelete { role: role.clone() }],
        AccessCall::RoleModify { role, .. } => {
            vec![AccessCall::RoleModify { role: role.clone(), privileges: privileges(before, role) }]
        }
        AccessCall::RoleDelete { role } => {
            let back = AccessCall::RoleAdd { role: role.clone(), privileges: privileges(before, role) };
            with_acl(back, before, |grant| grant.role == *role)
        }
        AccessCall::GroupAdd { group, .. } => vec![AccessCall::GroupDelete { group: group.clone() }],
        AccessCall::GroupModify { group, .. } => {
            vec![AccessCall::GroupModify { group: group.clone(), comment: group_of(before, group).comment }]
        }
        AccessCall::GroupDelete { group } => group_back(before, group),
        AccessCall::PoolAdd { pool, .. } => vec![AccessCall::PoolDelete { pool: pool.clone() }],
        AccessCall::PoolModify { pool, .. } => {
            vec![AccessCall::PoolModify { pool: pool.clone(), comment: pool_of(before, pool).comment }]
        }
        AccessCall::PoolJoin { pool, guests, storages } => {
            let (pool, guests, storages) = (pool.clone(), guests.clone(), storages.clone());
            vec![AccessCall::PoolLeave { pool, guests, storages }]
        }
        AccessCall::PoolLeave { pool, guests, storages } => {
            let (pool, guests, storages) = (pool.clone(), guests.clone(), storages.clone());
            vec![AccessCall::PoolJoin { pool, guests, storages }]
        }
        AccessCall::PoolDelete { pool } => {
            let path = format!("/pool/{pool}");
            let back = AccessCall::PoolAdd { pool: pool.clone(), comment: pool_of(before, pool).comment };
            with_acl(back, before, |grant| grant.path == path)
        }
        AccessCall::UserAdd { user, .. } => vec![AccessCall::UserDelete { user: user.clone() }],
        AccessCall::UserModify { user, settings } => {
            vec![AccessCall::UserModify { user: user.clone(), settings: settings_before(before, user, settings) }]
        }
        AccessCall::UserDelete { user } => return user_back(before, user),
        AccessCall::TokenModify { token, expires, separated, comment } => {
            let was = before.tokens.get(token).cloned().unwrap_or_default();
            vec![AccessCall::TokenModify {
                token: token.clone(),
                expires: expires.map(|_| was.expires),
                separated: separated.map(|_| was.separated),
                comment: comment.as_ref().map(|_| was.comment),
            }]
        }
        AccessCall::TokenDelete { token } => {
            return (Vec::new(), Some(format!("the token {token} and its rights cannot be brought back")));
        }
        AccessCall::AclSet { grants, propagate } => acl_back(before, grants, *propagate),
        AccessCall::AclDelete { grants } => {
            let gone: BTreeSet<Grant> = each(grants).collect();
            restored(before, |grant| gone.contains(grant))
        }
        // Realms are no part of user.cfg: whoever makes the call knows what it was.
        AccessCall::RealmModify { .. } => Vec::new(),
        AccessCall::RootLogin { .. } => {
            let enabled = before.users.get(names::ROOT).is_none_or(|root| root.enabled);
            vec![AccessCall::RootLogin { enabled }]
        }
    };
    (calls, None)
}

fn privileges(config: &UserConfig, role: &str) -> BTreeSet<String> {
    config.roles.get(role).cloned().unwrap_or_default()
}

fn group_of(config: &UserConfig, group: &str) -> Group {
    config.groups.get(group).cloned().unwrap_or_default()
}

fn pool_of(config: &UserConfig, pool: &str) -> Pool {
    config.pools.get(pool).cloned().unwrap_or_default()
}

fn with_acl(first: AccessCall, before: &UserConfig, fits: impl Fn(&Grant) -> bool) -> Vec<AccessCall> {
    std::iter::once(first).chain(restored(before, fits)).collect()
}

fn group_back(before: &UserConfig, name: &str) -> Vec<AccessCall> {
    let Group { members, comment } = group_of(before, name);
    let mut calls = vec![AccessCall::GroupAdd { group: name.to_owned(), comment }];
    let existing = members.into_iter().filter(|member| before.users.contains_key(member));
    calls.extend(existing.map(|user| {
        let groups = Some([name.to_owned()].into());
        AccessCall::UserModify { user, settings: UserSettings { groups, append: true, ..UserSettings::default() } }
    }));
    let subject = format!("@{name}");
    calls.extend(restored(before, |grant| grant.subject == subject));
    calls
}

fn settings_before(before: &UserConfig, name: &str, settings: &UserSettings) -> UserSettings {
    let was = before.users.get(name).cloned().unwrap_or_default();
    UserSettings {
        enabled: settings.enabled.map(|_| was.enabled),
        expires: settings.expires.map(|_| was.expires),
        first_name: settings.first_name.as_ref().map(|_| was.first_name),
        last_name: settings.last_name.as_ref().map(|_| was.last_name),
        email: settings.email.as_ref().map(|_| was.email),
        comment: settings.comment.as_ref().map(|_| was.comment),
        groups: settings.groups.as_ref().map(|_| before.groups_of(name)),
        append: false,
    }
}

fn user_back(before: &UserConfig, name: &str) -> (Vec<AccessCall>, Option<String>) {
    let was = before.users.get(name).cloned().unwrap_or_default();
    let settings = UserSettings {
        enabled: Some(was.enabled),
        expires: Some(was.expires),
        first_name: some(was.first_name),
        last_name: some(was.last_name),
        email: some(was.email),
        comment: some(was.comment),
        groups: Some(before.groups_of(name)).filter(|groups| !groups.is_empty()),
        append: false,
    };
    let back = AccessCall::UserAdd { user: name.to_owned(), settings };
    let calls = with_acl(back, before, |grant| grant.subject == name);
    let lost = format!("the password, the second factors and the tokens of {name} cannot be brought back");
    (calls, Some(lost))
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// Rights that were there with the other propagation get it back, the others go.
fn acl_back(before: &UserConfig, grants: &Grants, propagate: bool) -> Vec<AccessCall> {
    let (there, new): (Vec<Grant>, Vec<Grant>) = each(grants).partition(|grant| before.acl.contains_key(grant));
    let other = there.into_iter().filter(|grant| before.acl.get(grant) == Some(&!propagate));
    let deletes = grouped(new).into_iter().map(|grants| AccessCall::AclDelete { grants });
    let sets = grouped(other).into_iter().map(|grants| AccessCall::AclSet { grants, propagate: !propagate });
    deletes.chain(sets).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pve::privileges::Catalogue;
    use crate::pve::user_cfg::parse;

    const START: &str = "user:a@pve:1:0:A:B:a@e.org:it's a%3Ab::\nuser:b@pam:0:99::::::\ntoken:a@pve!ci:5:1:c:\n\
        group:g:a@pve,b@pam:two:\ngroup:h:a@pve::\npool:p::100,101:s1:\npool:p/q::::\nrole:R:VM.Audit:\nrole:S:VM.Console:\n\
        acl:1:/:a@pve,@g:R:\nacl:0:/vms:a@pve:R,S:\nacl:1:/vms:a@pve!ci:S:\nacl:1:/pool/p:@h:S:\n";

    fn set(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(ToString::to_string).collect()
    }

    fn grants(path: &str, roles: &[&str], subjects: &[&str]) -> Grants {
        Grants { path: path.into(), roles: set(roles), subjects: set(subjects) }
    }

    /// What a deletion of a user or token loses is put aside: its undo says so.
    fn round_trip(call: AccessCall) {
        let before = parse(START, Catalogue::of(9));
        let mut now = before.clone();
        let step = step(&before, call);
        apply(&mut now, &step.call);
        assert_ne!(now, before, "{:?} changes something", step.call);
        for call in &step.undo {
            apply(&mut now, call);
        }
        let mut wanted = before;
        if step.lost.is_some() {
            wanted.tokens.clear();
            wanted.acl.retain(|grant, _| !grant.subject.contains('!'));
        }
        assert_eq!(now, wanted, "{:?}", step.call);
    }

    #[test]
    fn every_call_is_taken_back_by_its_undo() {
        let new = |name: &str| name.to_owned();
        let calls = [
            AccessCall::RoleAdd { role: new("T"), privileges: set(&["VM.Audit"]) },
            AccessCall::RoleModify { role: new("R"), privileges: set(&[]) },
            AccessCall::RoleDelete { role: new("S") },
            AccessCall::GroupAdd { group: new("x"), comment: new("c") },
            AccessCall::GroupModify { group: new("g"), comment: new("") },
            AccessCall::GroupDelete { group: new("g") },
            AccessCall::PoolAdd { pool: new("x"), comment: new("c") },
            AccessCall::PoolModify { pool: new("p"), comment: new("c") },
            AccessCall::PoolJoin { pool: new("p"), guests: [7].into(), storages: set(&["s2"]) },
            AccessCall::PoolLeave { pool: new("p"), guests: [100].into(), storages: set(&["s1"]) },
            AccessCall::PoolDelete { pool: new("p/q") },
            AccessCall::UserAdd {
                user: new("n@pve"),
                settings: UserSettings { groups: Some(set(&["g"])), ..UserSettings::default() },
            },
            AccessCall::UserModify {
                user: new("a@pve"),
                settings: UserSettings {
                    enabled: Some(false),
                    expires: Some(7),
                    email: Some(new("")),
                    comment: Some(new("x")),
                    first_name: Some(new("")),
                    last_name: Some(new("")),
                    groups: Some(set(&["h"])),
                    append: false,
                },
            },
            AccessCall::UserDelete { user: new("a@pve") },
            AccessCall::TokenModify {
                token: new("a@pve!ci"),
                expires: Some(0),
                separated: Some(false),
                comment: Some(new("")),
            },
            AccessCall::TokenDelete { token: new("a@pve!ci") },
            AccessCall::AclSet { grants: grants("/vms", &["R", "S"], &["a@pve", "@g"]), propagate: true },
            AccessCall::AclDelete { grants: grants("/", &["R"], &["a@pve", "@g", "b@pam"]) },
            AccessCall::RootLogin { enabled: false },
        ];
        calls.into_iter().for_each(round_trip);
    }

    #[test]
    fn rights_share_calls() {
        let one = |path: &str, subject: &str, role: &str| Grant {
            path: path.into(),
            subject: subject.into(),
            role: role.into(),
        };
        let calls = grouped([
            one("/vms", "a@pve", "R"),
            one("/vms", "a@pve", "S"),
            one("/vms", "@g", "S"),
            one("/vms", "@g", "R"),
            one("/vms", "b@pve", "R"),
            one("/", "b@pve", "R"),
        ]);
        assert_eq!(
            calls,
            [
                grants("/", &["R"], &["b@pve"]),
                grants("/vms", &["R"], &["b@pve"]),
                grants("/vms", &["R", "S"], &["@g", "a@pve"])
            ]
        );
        let many = (0..450).map(|n| one("/", &format!("u{n}@pve"), "R"));
        assert_eq!(grouped(many).len(), 3);
    }

    proptest! {
        #[test]
        fn setting_rights_is_always_taken_back(
            path in "/|/vms|/pool/p", roles in proptest::collection::btree_set("R|S|PVEAuditor", 1..3),
            subjects in proptest::collection::btree_set("a@pve|b@pam|@g|@h|a@pve!ci", 1..4), propagate: bool,
        ) {
            let before = parse(START, Catalogue::of(9));
            let mut now = before.clone();
            let step = step(&before, AccessCall::AclSet { grants: Grants { path, roles, subjects }, propagate });
            apply(&mut now, &step.call);
            for call in &step.undo {
                apply(&mut now, call);
            }
            prop_assert_eq!(now, before);
        }
    }
}
