//! Own roles.

use std::collections::BTreeSet;

use super::{Outcome, Target, extras, list, meant};
use crate::change::access::AccessCall;
use crate::pve::privileges::{MONITOR, MONITOR_ON_9};

pub(super) fn roles(target: &Target<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let Target { config, catalogue, policy, .. } = *target;
    for role in &policy.role {
        let asked: BTreeSet<&str> = role.privileges.iter().map(String::as_str).collect();
        let wanted = catalogue.translated(asked.iter().copied());
        if asked.contains(MONITOR) && catalogue.major >= 9 {
            outcome.translated.push(format!(
                "{MONITOR} of {} becomes {} on {}",
                role.id,
                MONITOR_ON_9.join(" and "),
                target.release()
            ));
        }
        let known: BTreeSet<String> = catalogue.privileges.iter().map(ToString::to_string).collect();
        for unknown in wanted.difference(&known) {
            let other = if unknown.starts_with("VM.GuestAgent.") {
                format!("; {MONITOR} is what it has instead")
            } else {
                meant(unknown, known.iter())
            };
            outcome.refusals.push(format!("role {}: {} has no privilege {unknown}{other}", role.id, target.release()));
        }
        let found = config.roles.get(&role.id);
        let shown = found.map_or_else(|| "not there".into(), list);
        outcome.finding(format!("user.cfg: role {}", role.id), shown, list(&wanted));
        let (role, privileges) = (role.id.clone(), wanted);
        match found {
            None => outcome.change(config, AccessCall::RoleAdd { role, privileges }),
            Some(found) if *found != privileges => {
                outcome.change(config, AccessCall::RoleModify { role, privileges });
            }
            Some(_) => {}
        }
    }
    for name in extras(policy.roles.mode, config.roles.keys(), &policy.role, |role| &role.id) {
        drop_role(target, name, &mut outcome);
    }
    outcome
}

/// A role in use takes rights away from people when it goes, without a word from PVE.
fn drop_role(target: &Target<'_>, name: &String, outcome: &mut Outcome) {
    let listed = target.policy.acl.iter().any(|acl| acl.role == *name && !over(target, acl.until.as_ref()));
    let users: Vec<String> = target
        .config
        .acl
        .keys()
        .filter(|grant| grant.role == *name && (!target.rights_are_exact || target.protected.contains(&grant.subject)))
        .map(|grant| format!("{} on {}", grant.subject, grant.path))
        .collect();
    if listed {
        outcome.refusals.push(format!("role {name} is not listed, and [[access.acl]] uses it: list it"));
    } else if users.is_empty() {
        outcome.finding(format!("user.cfg: role {name}"), "there", "not listed");
        outcome.change(target.config, AccessCall::RoleDelete { role: name.clone() });
    } else {
        outcome.finding(format!("user.cfg: role {name}"), format!("used by {}", list(&users)), "not listed");
        outcome.advice.push(format!(
            "role {name} is not listed and stays, because {} has it: take the right away first",
            list(&users)
        ));
    }
}

fn over(target: &Target<'_>, until: Option<&String>) -> bool {
    until.is_some_and(|until| target.is_over(until))
}
