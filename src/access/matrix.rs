//! Who has which role where, account by account.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pve::names;
use crate::pve::privileges::ADMINISTRATOR;
use crate::pve::user_cfg::{Grant, UserConfig};

/// Second factors by user: kind → how many.
pub type Factors = BTreeMap<String, BTreeMap<String, u32>>;

/// A user or token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Account {
    /// `user@realm` or `user@realm!token`.
    pub account: String,
    /// User or token.
    pub kind: Kind,
    /// Comment: whose it is and for what.
    pub purpose: String,
    /// May log in; of a token, its user.
    pub enabled: bool,
    /// Seconds since 1970; none for never.
    pub expires: Option<u64>,
    /// Groups of a user.
    pub groups: BTreeSet<String>,
    /// Tokens of a user.
    pub tokens: BTreeSet<String>,
    /// A token's rights: its own, or every right of its user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separated: Option<bool>,
    /// Second factors of a user; none when they were not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_factors: Option<BTreeMap<String, u32>>,
    /// Roles by path.
    pub grants: Vec<Held>,
}

/// What an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A person or service.
    User,
    /// An API token.
    Token,
}

/// A role on a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Held {
    /// ACL path.
    pub path: String,
    /// Role.
    pub role: String,
    /// `@group`, or none for an entry of the account's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// Also below the path.
    pub propagate: bool,
}

impl Account {
    /// Whether it may do everything: Administrator on `/` and below.
    pub fn is_mighty(&self) -> bool {
        self.grants.iter().any(|held| held.path == "/" && held.role == ADMINISTRATOR && held.propagate)
    }
}

/// Every account with what it holds, users before their tokens.
pub fn matrix(config: &UserConfig, factors: Option<&Factors>) -> Vec<Account> {
    let mut held: BTreeMap<&str, Vec<Held>> = BTreeMap::new();
    for (Grant { path, subject, role }, propagate) in &config.acl {
        let entry = |via: Option<String>| Held { path: path.clone(), role: role.clone(), via, propagate: *propagate };
        match subject.strip_prefix('@') {
            Some(group) => {
                for member in config.groups.get(group).into_iter().flat_map(|group| &group.members) {
                    held.entry(member).or_default().push(entry(Some(subject.clone())));
                }
            }
            None => held.entry(subject).or_default().push(entry(None)),
        }
    }
    let mut groups: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (name, group) in &config.groups {
        for member in &group.members {
            groups.entry(member).or_default().insert(name.clone());
        }
    }
    let mut accounts = Vec::new();
    for (name, user) in &config.users {
        let prefix = format!("{name}!");
        let tokens: Vec<_> = config.tokens.iter().filter(|(id, _)| id.starts_with(&prefix)).collect();
        let own = if name == names::ROOT { everything() } else { sorted(held.remove(name.as_str())) };
        accounts.push(Account {
            account: name.clone(),
            kind: Kind::User,
            purpose: purpose(&user.comment, &[&user.first_name, &user.last_name]),
            enabled: user.enabled,
            expires: Some(user.expires).filter(|at| *at != 0),
            groups: groups.remove(name.as_str()).unwrap_or_default(),
            tokens: tokens.iter().map(|(id, _)| (*id).clone()).collect(),
            separated: None,
            second_factors: factors.map(|all| all.get(name).cloned().unwrap_or_default()),
            grants: own.clone(),
        });
        accounts.extend(tokens.into_iter().map(|(id, token)| Account {
            account: id.clone(),
            kind: Kind::Token,
            purpose: token.comment.clone(),
            enabled: user.enabled,
            expires: Some(token.expires).filter(|at| *at != 0),
            groups: BTreeSet::new(),
            tokens: BTreeSet::new(),
            separated: Some(token.separated),
            second_factors: None,
            grants: if token.separated { sorted(held.remove(id.as_str())) } else { own.clone() },
        }));
    }
    accounts
}

fn everything() -> Vec<Held> {
    vec![Held { path: "/".into(), role: ADMINISTRATOR.into(), via: None, propagate: true }]
}

fn sorted(held: Option<Vec<Held>>) -> Vec<Held> {
    let mut held = held.unwrap_or_default();
    held.sort();
    held
}

fn purpose(comment: &str, names: &[&String]) -> String {
    if !comment.is_empty() {
        return comment.to_owned();
    }
    names.iter().filter(|name| !name.is_empty()).map(|name| name.as_str()).collect::<Vec<_>>().join(" ")
}
