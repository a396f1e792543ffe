//! Groups, users and pools.

use std::collections::{BTreeMap, BTreeSet};

use super::{Outcome, Target, extras, list, meant};
use crate::change::access::{AccessCall, UserSettings};
use crate::profile::policy::{AccessMode, WantedPool, WantedUser, end_of};
use crate::pve::domains::Realm;
use crate::pve::user_cfg::{Pool, User};

pub(super) fn groups(target: &Target<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let Target { config, policy, .. } = *target;
    for wanted in &policy.group {
        let group = wanted.id.clone();
        let comment = wanted.comment.clone();
        let found = config.groups.get(&group);
        let shown = found.map_or_else(|| "not there".into(), |found| format!("there, comment \"{}\"", found.comment));
        outcome.finding(format!("user.cfg: group {group}"), shown, as_wanted(comment.as_ref()));
        match (found, comment) {
            (None, comment) => {
                outcome.change(config, AccessCall::GroupAdd { group, comment: comment.unwrap_or_default() });
            }
            (Some(found), Some(comment)) if found.comment != comment => {
                outcome.change(config, AccessCall::GroupModify { group, comment });
            }
            (Some(_), _) => {}
        }
    }
    for name in extras(policy.groups.mode, config.groups.keys(), &policy.group, |group| &group.id) {
        let used = policy.user.iter().any(|user| user.groups.contains(name))
            || policy.acl.iter().any(|acl| acl.groups.contains(name));
        if used {
            outcome.refusals.push(format!("group {name} is not listed, and a user or a right names it: list it"));
            continue;
        }
        outcome.finding(format!("user.cfg: group {name}"), list(&config.groups[name].members), "not listed");
        outcome.change(config, AccessCall::GroupDelete { group: name.clone() });
    }
    outcome
}

fn as_wanted(comment: Option<&String>) -> String {
    comment.map_or_else(|| "there".into(), |comment| format!("there, comment \"{comment}\""))
}

pub(super) fn users(target: &Target<'_>, realms: &BTreeMap<String, Realm>) -> Outcome {
    let mut outcome = Outcome::default();
    let Target { config, policy, .. } = *target;
    if policy.users.mode == AccessMode::Exact && policy.user.is_empty() {
        outcome.refusals.push("access.users is exact and lists nobody: every user would be removed".into());
        return outcome;
    }
    for wanted in &policy.user {
        if let Some(why) = misfit(target, realms, wanted) {
            outcome.refusals.push(why);
            continue;
        }
        user(target, wanted, &mut outcome);
    }
    for name in extras(policy.users.mode, config.users.keys(), &policy.user, |user| &user.id) {
        if target.protected.contains(name) {
            continue;
        }
        outcome.finding(format!("user.cfg: user {name}"), "there", "not listed");
        outcome.change(config, AccessCall::UserDelete { user: name.clone() });
    }
    outcome
}

/// Why a user cannot be made as wanted.
fn misfit(target: &Target<'_>, realms: &BTreeMap<String, Realm>, wanted: &WantedUser) -> Option<String> {
    let (id, realm) = (&wanted.id, wanted.id.rsplit_once('@').map_or("", |(_, realm)| realm));
    if !realms.contains_key(realm) {
        let near = meant(realm, realms.keys());
        return Some(format!("user {id}: there is no realm {realm}, nobody could log in{near}"));
    }
    let Target { config, policy, .. } = *target;
    let asked = wanted.groups.iter().chain(wanted.temporary_groups.iter().map(|membership| &membership.group));
    let listed: BTreeSet<&String> = policy.group.iter().map(|group| &group.id).collect();
    let mut missing = asked.filter(|group| !listed.contains(group) && !config.groups.contains_key(*group));
    missing.next().map(|group| {
        let near = meant(group, config.groups.keys().chain(listed.iter().copied()));
        format!("user {id}: there is no group {group}{near}")
    })
}

fn user(target: &Target<'_>, wanted: &WantedUser, outcome: &mut Outcome) {
    let Target { config, .. } = *target;
    let found = config.users.get(&wanted.id);
    let groups = groups_of(target, wanted, outcome);
    let settings = settings(found.unwrap_or(&User { enabled: true, ..User::default() }), wanted);
    let shown = found.map_or_else(|| "not there".to_owned(), |user| described(user, &config.groups_of(&wanted.id)));
    let mut after = found.cloned().unwrap_or_default();
    after.enabled = wanted.enabled.unwrap_or_else(|| found.is_none_or(|user| user.enabled));
    after.expires = settings.expires.unwrap_or(after.expires);
    outcome.finding(format!("user.cfg: user {}", wanted.id), shown, described(&after, &groups));
    let regroup = (groups != config.groups_of(&wanted.id)).then_some(groups);
    let settings = UserSettings { groups: regroup, ..settings };
    let user = wanted.id.clone();
    match found {
        None => outcome.change(config, AccessCall::UserAdd { user, settings }),
        Some(_) if !settings.is_empty() => outcome.change(config, AccessCall::UserModify { user, settings }),
        Some(_) => {}
    }
}

fn groups_of(target: &Target<'_>, wanted: &WantedUser, outcome: &mut Outcome) -> BTreeSet<String> {
    let there = target.config.groups_of(&wanted.id);
    let mut groups: BTreeSet<String> = wanted.groups.iter().cloned().collect();
    if target.policy.users.mode == AccessMode::Merge {
        groups.extend(there.iter().cloned());
    }
    for membership in &wanted.temporary_groups {
        if target.is_over(&membership.until) {
            groups.remove(&membership.group);
            if there.contains(&membership.group) {
                outcome
                    .translated
                    .push(format!("{} leaves {}: it was until {}", wanted.id, membership.group, membership.until));
            }
        } else {
            groups.insert(membership.group.clone());
        }
    }
    groups
}

/// What becomes different of a user's own fields.
fn settings(found: &User, wanted: &WantedUser) -> UserSettings {
    let text = |wanted: &Option<String>, found: &String| wanted.clone().filter(|wanted| wanted != found);
    let expires = wanted.until.as_deref().and_then(|day| end_of(day).ok());
    UserSettings {
        enabled: wanted.enabled.filter(|enabled| *enabled != found.enabled),
        expires: expires.filter(|expires| *expires != found.expires),
        first_name: text(&wanted.first_name, &found.first_name),
        last_name: text(&wanted.last_name, &found.last_name),
        email: text(&wanted.email, &found.email),
        comment: text(&wanted.comment, &found.comment),
        groups: None,
        append: false,
    }
}

fn described(user: &User, groups: &BTreeSet<String>) -> String {
    let enabled = if user.enabled { "enabled" } else { "disabled" };
    let groups = if groups.is_empty() { String::new() } else { format!(", groups {}", list(groups)) };
    let expires =
        if user.expires == 0 { String::new() } else { format!(", expires {}", super::super::day(user.expires)) };
    format!("{enabled}{expires}{groups}")
}

pub(super) fn pools(target: &Target<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let Target { config, policy, .. } = *target;
    // An outer pool is made before the ones inside it.
    let wanted: BTreeMap<&String, &WantedPool> = policy.pool.iter().map(|pool| (&pool.id, pool)).collect();
    for (name, wanted) in wanted {
        let parent = name.rsplit_once('/').map(|(parent, _)| parent.to_owned());
        let listed = |parent: &String| policy.pool.iter().any(|pool| pool.id == *parent);
        if let Some(parent) = parent.filter(|parent| !listed(parent) && !config.pools.contains_key(parent)) {
            outcome.refusals.push(format!("pool {name}: there is no pool {parent} around it"));
            continue;
        }
        pool(target, wanted, &mut outcome);
    }
    let mut extra = extras(policy.pools.mode, config.pools.keys(), &policy.pool, |pool| &pool.id);
    extra.reverse();
    for name in extra {
        if policy.pool.iter().any(|pool| pool.id.starts_with(&format!("{name}/"))) {
            outcome.advice.push(format!("pool {name} is not listed and stays, because a listed pool lies inside it"));
            continue;
        }
        let Pool { guests, storages, .. } = config.pools[name].clone();
        outcome.finding(format!("user.cfg: pool {name}"), "there", "not listed");
        if !guests.is_empty() || !storages.is_empty() {
            outcome.change(config, AccessCall::PoolLeave { pool: name.clone(), guests, storages });
        }
        outcome.change(config, AccessCall::PoolDelete { pool: name.clone() });
    }
    outcome
}

fn pool(target: &Target<'_>, wanted: &WantedPool, outcome: &mut Outcome) {
    let Target { config, policy, .. } = *target;
    let name = &wanted.id;
    let found = config.pools.get(name);
    let empty = Pool::default();
    let there = found.unwrap_or(&empty);
    let guests: BTreeSet<u64> = wanted.guests.iter().map(|id| u64::from(*id)).collect();
    let storages: BTreeSet<String> = wanted.storages.iter().cloned().collect();
    let shown = found.map_or_else(|| "not there".into(), |pool| members(&pool.guests, &pool.storages));
    outcome.finding(format!("user.cfg: pool {name}"), shown, members(&guests, &storages));
    let comment = wanted.comment.clone().filter(|comment| *comment != there.comment);
    match (found, comment) {
        (None, comment) => {
            outcome.change(config, AccessCall::PoolAdd { pool: name.clone(), comment: comment.unwrap_or_default() });
        }
        (Some(_), Some(comment)) => outcome.change(config, AccessCall::PoolModify { pool: name.clone(), comment }),
        (Some(_), None) => {}
    }
    let elsewhere =
        |guest: &&u64| config.pools.iter().any(|(other, pool)| other != name && pool.guests.contains(guest));
    if let Some(guest) = guests.iter().find(elsewhere) {
        outcome.refusals.push(format!("pool {name}: guest {guest} is in another pool, and a guest is in one only"));
        return;
    }
    let (new, more): (BTreeSet<u64>, BTreeSet<String>) =
        (guests.difference(&there.guests).copied().collect(), storages.difference(&there.storages).cloned().collect());
    if !new.is_empty() || !more.is_empty() {
        outcome.change(config, AccessCall::PoolJoin { pool: name.clone(), guests: new, storages: more });
    }
    let (gone, less): (BTreeSet<u64>, BTreeSet<String>) =
        (there.guests.difference(&guests).copied().collect(), there.storages.difference(&storages).cloned().collect());
    if policy.pools.mode == AccessMode::Exact && (!gone.is_empty() || !less.is_empty()) {
        outcome.change(config, AccessCall::PoolLeave { pool: name.clone(), guests: gone, storages: less });
    }
}

fn members(guests: &BTreeSet<u64>, storages: &BTreeSet<String>) -> String {
    let members: Vec<String> = guests.iter().map(ToString::to_string).chain(storages.iter().cloned()).collect();
    if members.is_empty() { "without members".into() } else { members.join(", ") }
}
