//! One readable line for a call of `pveum`.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::change::access::{AccessCall, AccessStep, Grants, UserSettings};
use crate::change::token::NewToken;

/// `+` comes, `-` goes, `~` becomes different; what cannot be brought back stands behind it.
pub fn line(step: &AccessStep) -> String {
    let text = call(&step.call);
    step.lost.as_ref().map_or_else(|| text.clone(), |lost| format!("{text} ({lost})"))
}

/// The token, then its rights.
pub fn token(token: &NewToken) -> Vec<String> {
    let NewToken { id, comment, days, separated, sink, rights } = token;
    let separated = if *separated { "rights of its own" } else { "all privileges of its user" };
    let first = format!("+ token {id}: \"{comment}\", ends after {days} days, {separated}, secret to sink {sink}");
    std::iter::once(first).chain(rights.iter().map(call)).collect()
}

fn call(call: &AccessCall) -> String {
    match call {
        AccessCall::RoleAdd { role, privileges } => format!("+ role {role}: {}", list(privileges)),
        AccessCall::RoleModify { role, privileges } => format!("~ role {role}: {}", list(privileges)),
        AccessCall::RoleDelete { role } => format!("- role {role}"),
        AccessCall::GroupAdd { group, comment } => format!("+ PVE group {group}{}", remark(comment)),
        AccessCall::GroupModify { group, comment } => format!("~ PVE group {group}{}", remark(comment)),
        AccessCall::GroupDelete { group } => format!("- PVE group {group}"),
        AccessCall::PoolAdd { pool, comment } => format!("+ pool {pool}{}", remark(comment)),
        AccessCall::PoolModify { pool, comment } => format!("~ pool {pool}{}", remark(comment)),
        AccessCall::PoolJoin { pool, guests, storages } => format!("+ pool {pool}: {}", members(guests, storages)),
        AccessCall::PoolLeave { pool, guests, storages } => format!("- pool {pool}: {}", members(guests, storages)),
        AccessCall::PoolDelete { pool } => format!("- pool {pool}"),
        AccessCall::UserAdd { user, settings } => format!("+ PVE user {user}{}", of_user(settings)),
        AccessCall::UserModify { user, settings } => format!("~ PVE user {user}{}", of_user(settings)),
        AccessCall::UserDelete { user } => format!("- PVE user {user}"),
        AccessCall::TokenModify { token, expires, separated, comment } => {
            let parts = [
                expires.map(expiry),
                separated
                    .map(|on| if on { "privileges separated".into() } else { "all privileges of its user".into() }),
                comment.as_ref().map(|text| format!("comment \"{text}\"")),
            ];
            format!("~ token {token}: {}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
        }
        AccessCall::TokenDelete { token } => format!("- token {token}"),
        AccessCall::AclSet { grants, propagate } => {
            format!("+ {}, {}", right(grants), if *propagate { "and below" } else { "there only" })
        }
        AccessCall::AclDelete { grants } => format!("- {}", right(grants)),
        AccessCall::RealmModify { realm, comment, default, settings } => {
            let parts = [
                comment.as_ref().map(|text| format!("comment \"{text}\"")),
                default.map(|on| if on { "offered first".into() } else { "not offered first".to_owned() }),
            ];
            let settings = settings
                .iter()
                .filter(|(name, _)| *name != "check-connection")
                .map(|(name, value)| if value.is_empty() { format!("no {name}") } else { format!("{name} {value}") });
            format!("~ realm {realm}: {}", parts.into_iter().flatten().chain(settings).collect::<Vec<_>>().join(", "))
        }
        AccessCall::RootLogin { enabled: false } => "- web login, API and tokens of root@pam".into(),
        AccessCall::RootLogin { enabled: true } => "+ web login, API and tokens of root@pam".into(),
    }
}

fn list(words: &BTreeSet<String>) -> String {
    if words.is_empty() { "nothing".into() } else { words.iter().map(String::as_str).collect::<Vec<_>>().join(", ") }
}

fn remark(comment: &str) -> String {
    if comment.is_empty() { String::new() } else { format!(": {comment}") }
}

fn members(guests: &BTreeSet<u64>, storages: &BTreeSet<String>) -> String {
    let guests = guests.iter().map(|id| format!("guest {id}"));
    guests.chain(storages.iter().map(|id| format!("storage {id}"))).collect::<Vec<_>>().join(", ")
}

fn right(grants: &Grants) -> String {
    format!("{} on {} for {}", list(&grants.roles), grants.path, list(&grants.subjects))
}

fn of_user(settings: &UserSettings) -> String {
    let UserSettings { enabled, expires, first_name, last_name, email, comment, groups, append } = settings;
    let name: Vec<&str> = [first_name, last_name].into_iter().flatten().map(String::as_str).collect();
    let parts = [
        enabled.map(|on| if on { "enabled".to_owned() } else { "disabled".into() }),
        expires.map(expiry),
        (!name.is_empty()).then(|| format!("name \"{}\"", name.join(" "))),
        email.as_ref().map(|text| format!("mail \"{text}\"")),
        comment.as_ref().map(|text| format!("comment \"{text}\"")),
        groups.as_ref().map(|groups| format!("{} {}", if *append { "joins" } else { "groups" }, list(groups))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) }
}

fn expiry(at: u64) -> String {
    let date = i64::try_from(at).ok().and_then(|at| Timestamp::from_second(at).ok()).filter(|_| at > 0);
    date.map_or_else(|| "never expires".into(), |date| format!("expires {}", date.strftime("%Y-%m-%d %H:%M UTC")))
}
