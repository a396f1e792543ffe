//! ACL entries, and what PVE ignores.

use std::collections::BTreeMap;

use super::{Outcome, Target, list, meant};
use crate::access::coming::comes;
use crate::access::model::grouped;
use crate::change::access::AccessCall;
use crate::profile::policy::{AccessMode, WantedAcl};
use crate::pve::names;
use crate::pve::user_cfg::Grant;

pub(super) fn rights(target: &Target<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let Target { config, policy, .. } = *target;
    let mut wanted: BTreeMap<Grant, bool> = BTreeMap::new();
    let mut over: Vec<Grant> = Vec::new();
    let known = Known::of(target);
    for acl in &policy.acl {
        let Some(path) = names::normalized(&acl.path) else { continue };
        if let Some(why) = known.misfit(target, acl, &path) {
            outcome.refusals.push(why);
            continue;
        }
        let past = acl.until.as_ref().is_some_and(|until| target.is_over(until));
        for subject in acl.subjects() {
            let grant = Grant { path: path.clone(), subject, role: acl.role.clone() };
            if past {
                over.push(grant);
            } else if comes(target.coming, &grant.subject) {
                // It comes with its token.
            } else if names::token(&grant.subject).is_some() && !config.exists(&grant.subject) {
                outcome.advice.push(format!(
                    "{} on {} waits for the token {}, which is not there yet",
                    grant.role, grant.path, grant.subject
                ));
            } else {
                wanted.insert(grant, acl.propagate.unwrap_or(true));
            }
        }
    }
    for propagate in [true, false] {
        let missing = wanted.iter().filter(|(grant, with)| **with == propagate && config.acl.get(*grant) != Some(with));
        for grants in grouped(missing.map(|(grant, _)| grant.clone())) {
            outcome.finding(
                format!("user.cfg: {} on {}", list(&grants.roles), grants.path),
                format!("not so for {}", list(&grants.subjects)),
                if propagate { "with everything below" } else { "on the path alone" },
            );
            outcome.change(config, AccessCall::AclSet { grants, propagate });
        }
    }
    remove(target, &wanted, &over, &mut outcome);
    if outcome.findings.is_empty() {
        outcome.finding(
            "user.cfg: rights",
            format!("{} entries", config.acl.len()),
            format!("{} listed, all there", wanted.len()),
        );
    }
    outcome
}

/// What a right may name: built in or there, or listed.
struct Known<'a> {
    roles: Vec<&'a String>,
    groups: Vec<&'a String>,
    users: Vec<&'a String>,
    tokens: Vec<&'a String>,
}

impl<'a> Known<'a> {
    fn of(target: &Target<'a>) -> Self {
        let Target { config, catalogue, policy, .. } = *target;
        let exact = |mode: AccessMode| mode == AccessMode::Exact;
        let sorted = |mut names: Vec<&'a String>| {
            names.sort();
            names
        };
        // A role or group that this very policy drops cannot carry a right.
        let kept_roles = config.roles.keys().filter(|_| !exact(policy.roles.mode));
        let kept_groups = config.groups.keys().filter(|_| !exact(policy.groups.mode));
        let kept_users =
            config.users.keys().filter(|name| !exact(policy.users.mode) || target.protected.contains(*name));
        Self {
            roles: sorted(
                catalogue.built_in.keys().chain(kept_roles).chain(policy.role.iter().map(|role| &role.id)).collect(),
            ),
            groups: sorted(kept_groups.chain(policy.group.iter().map(|group| &group.id)).collect()),
            users: sorted(kept_users.chain(policy.user.iter().map(|user| &user.id)).collect()),
            tokens: sorted(config.tokens.keys().chain(policy.token.iter().map(|token| &token.id)).collect()),
        }
    }

    fn misfit(&self, target: &Target<'_>, acl: &WantedAcl, path: &str) -> Option<String> {
        let on = |what: String| format!("right on {path}: {what}");
        if !names::is_acl_path(path, target.catalogue.major) {
            return Some(on(format!("{} takes no rights there", target.release())));
        }
        if self.roles.binary_search(&&acl.role).is_err() {
            return Some(on(format!("there is no role {}{}", acl.role, meant(&acl.role, self.roles.iter().copied()))));
        }
        let missing = |names: &[String], known: &[&String], kind: &str| {
            let name = names.iter().find(|name| known.binary_search(name).is_err())?;
            Some(on(format!("there is no {kind} {name}{}", meant(name, known.iter().copied()))))
        };
        missing(&acl.groups, &self.groups, "group")
            .or_else(|| missing(&acl.users, &self.users, "user"))
            .or_else(|| missing(&acl.tokens, &self.tokens, "token"))
    }
}

fn remove(target: &Target<'_>, wanted: &BTreeMap<Grant, bool>, over: &[Grant], outcome: &mut Outcome) {
    let Target { config, policy, .. } = *target;
    let past = over.iter().filter(|grant| config.acl.contains_key(*grant) && !wanted.contains_key(*grant));
    let past: Vec<Grant> = past.cloned().collect();
    for grant in &past {
        outcome.translated.push(format!("{} on {} for {} is over and goes", grant.role, grant.path, grant.subject));
    }
    let mut gone = past;
    if policy.acls.mode == AccessMode::Exact {
        let extra = config
            .acl
            .keys()
            .filter(|grant| !wanted.contains_key(*grant) && !target.protected.contains(&grant.subject));
        gone.extend(extra.cloned());
    }
    let (removable, stuck): (Vec<Grant>, Vec<Grant>) =
        gone.into_iter().partition(|grant| config.exists(&grant.subject));
    for grants in grouped(removable) {
        outcome.finding(
            format!("user.cfg: {} on {}", list(&grants.roles), grants.path),
            format!("for {}", list(&grants.subjects)),
            "not listed",
        );
        outcome.change(config, AccessCall::AclDelete { grants });
    }
    for Grant { path, subject, role } in stuck {
        outcome.advice.push(format!(
            "{role} on {path} for {subject} is not listed, and pveum cannot remove it: {subject} does not exist"
        ));
    }
}

pub(super) fn leftovers(target: &Target<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let Target { config, .. } = *target;
    for part in &config.dropped {
        outcome.finding(format!("user.cfg, line {}", part.line), part.text.clone(), part.why.clone());
    }
    if !config.dropped.is_empty() {
        let lines: Vec<String> = config.dropped.iter().map(|part| part.line.to_string()).collect();
        let word = if lines.len() == 1 { "line" } else { "lines" };
        outcome
            .advice
            .push(format!("PVE's next write deletes what it does not use of user.cfg, {word} {}", lines.join(", ")));
    }
    for Grant { path, subject, role } in config.acl.keys().filter(|grant| !config.exists(&grant.subject)) {
        outcome.finding(format!("user.cfg: {role} on {path}"), subject.clone(), "somebody who exists");
        let heir = match subject.strip_prefix('@') {
            Some(group) => format!("whoever makes a group {group} gives it to its members"),
            None => format!("whoever makes {subject} gives it to them"),
        };
        outcome.advice.push(format!("{role} on {path} waits for {subject}, which does not exist: {heir}"));
    }
    outcome
}
