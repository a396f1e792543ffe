//! From what is there to what is wanted: the calls, the refusals, and what a person must decide. One function per kind
//! of object; none of them looks at another kind's result, so that each control stands for itself.

mod members;
mod realms;
mod rights;
mod roles;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};

use super::coming::Coming;
use crate::change::access::{AccessCall, AccessStep};
use crate::profile::policy::{AccessMode, AccessPolicy};
use crate::pve::domains::Realm;
use crate::pve::privileges::Catalogue;
use crate::pve::user_cfg::UserConfig;

/// What a wanted state is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// user.cfg.
    pub config: &'a UserConfig,
    /// Privileges and roles of the node's release.
    pub catalogue: &'a Catalogue,
    /// What is wanted.
    pub policy: &'a AccessPolicy,
    /// The node's clock, seconds since 1970.
    pub now: u64,
    /// Users that are never removed and lose no right: root@pam and the site's administrators.
    pub protected: &'a BTreeSet<String>,
    /// Whether rights that are not listed are removed, too.
    pub rights_are_exact: bool,
    /// Listed tokens that are not there; those that are made get their rights then.
    pub coming: &'a Coming,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Calls that make or change something.
    pub build: Vec<AccessStep>,
    /// Calls that take something away; they run after everything that builds.
    pub remove: Vec<AccessStep>,
    /// What cannot be done as it is written.
    pub refusals: Vec<String>,
    /// What a person must decide.
    pub advice: Vec<String>,
    /// What the release makes of a wanted value.
    pub translated: Vec<String>,
    /// Object, what was found, what is wanted.
    pub findings: Vec<(String, String, String)>,
}

impl Outcome {
    fn change(&mut self, before: &UserConfig, call: AccessCall) {
        let step = super::model::step(before, call);
        if step.call.removes() { self.remove.push(step) } else { self.build.push(step) }
    }

    fn finding(&mut self, what: impl Into<String>, found: impl Into<String>, wanted: impl Into<String>) {
        self.findings.push((what.into(), found.into(), wanted.into()));
    }

    /// The order of calls: what others need first.
    fn ordered(mut self) -> Self {
        self.build.sort_by_key(|step| step.call.rank());
        self.remove.sort_by_key(|step| step.call.rank());
        self
    }
}

impl Target<'_> {
    /// `[[access.role]]`.
    pub fn roles(&self) -> Outcome {
        roles::roles(self).ordered()
    }

    /// `[[access.group]]`.
    pub fn groups(&self) -> Outcome {
        members::groups(self).ordered()
    }

    /// `[[access.user]]` with its groups. Users of a realm that does not exist could never log in.
    pub fn users(&self, realms: &BTreeMap<String, Realm>) -> Outcome {
        members::users(self, realms).ordered()
    }

    /// `[[access.pool]]`.
    pub fn pools(&self) -> Outcome {
        members::pools(self).ordered()
    }

    /// `[[access.acl]]`.
    pub fn acls(&self) -> Outcome {
        rights::rights(self).ordered()
    }

    /// `[[access.token]]`. `secrets` are the tokens PVE keeps a secret of.
    pub fn tokens(&self, secrets: Option<&BTreeSet<String>>) -> Outcome {
        tokens::tokens(self, secrets).ordered()
    }

    /// What PVE ignores, and rights that wait for a name.
    pub fn leftovers(&self) -> Outcome {
        rights::leftovers(self)
    }

    /// Whether a temporary right is over.
    fn is_over(&self, until: &str) -> bool {
        crate::profile::policy::end_of(until).is_ok_and(|end| end != 0 && end <= self.now)
    }

    fn release(&self) -> String {
        format!("PVE {}", self.catalogue.major)
    }
}

/// `[[access.realm]]`.
pub fn realms(policy: &AccessPolicy, realms: &BTreeMap<String, Realm>) -> Outcome {
    realms::realms(policy, realms).ordered()
}

/// What is there and not listed, when the list is exact.
fn extras<'a, T>(
    mode: AccessMode,
    there: impl Iterator<Item = &'a String>,
    listed: &'a [T],
    id: impl Fn(&T) -> &String + 'a,
) -> Vec<&'a String> {
    if mode == AccessMode::Merge {
        return Vec::new();
    }
    let listed: BTreeSet<&String> = listed.iter().map(id).collect();
    there.filter(|name| !listed.contains(name)).collect()
}

/// `; did you mean X?`
fn meant<'a>(word: &str, candidates: impl Iterator<Item = &'a String>) -> String {
    let near = crate::profile::nearest(word, candidates.map(String::as_str));
    near.map(|near| format!("; did you mean {near}?")).unwrap_or_default()
}

fn list<'a>(words: impl IntoIterator<Item = &'a String>) -> String {
    let words: Vec<&str> = words.into_iter().map(String::as_str).collect();
    if words.is_empty() { "nothing".into() } else { words.join(", ") }
}

#[cfg(test)]
mod tests;
