//! What controls need to know of PAM: a service's effective stack, what a stack does with a password, and whether
//! pam-auth-update(8) would still manage /etc/pam.d/common-*.

mod managed;
mod walk;

pub use managed::{Managed, files, managed, rivals};
pub use walk::{Answer, is_alternative, walk};

use crate::change::{Action, Change, Stage};
use crate::facts::{Facts, PamRule, PamStack, Reading};

/// The stack of a service. A service without a file uses `other` (pam.d(5)), which is how PVE's `proxmox-ve-auth`
/// works: PVE ships no file of that name. `None` when neither is there.
pub fn service<'a>(facts: &'a Facts, name: &str) -> Result<Option<(&'a PamStack, &'static str)>, String> {
    if let Some(stack) = facts.pam.get(name).unwrap_or(&Reading::Absent).certain().map_err(explained(name))? {
        return Ok(Some((stack, "")));
    }
    if matches!(facts.file(&format!("/etc/pam.d/{name}")), Reading::Known(_) | Reading::Unreadable(_)) {
        return Err(format!("/etc/pam.d/{name} is there, but could not be read as a PAM service"));
    }
    let other = facts.pam.get("other").unwrap_or(&Reading::NotAsked).certain().map_err(explained("other"))?;
    Ok(other.map(|stack| (stack, " (no file of its own: \"other\")")))
}

fn explained(name: &str) -> impl Fn(String) -> String + '_ {
    move |why| format!("PAM service {name}: {why}")
}

/// The rules of one facility: auth, account, password or session.
pub fn rules<'a>(stack: &'a PamStack, facility: &str) -> Vec<&'a PamRule> {
    stack.rules.iter().filter(|rule| rule.facility == facility).collect()
}

/// The change that enables profiles, when their files are there.
pub fn enable(id: &str, summary: &str, enable: &[&str], disable: Vec<String>) -> Change {
    let enable = enable.iter().map(ToString::to_string).collect();
    Change {
        controls: vec![id.to_owned()],
        stage: Stage::Services,
        summary: summary.to_owned(),
        interrupts: None,
        action: Action::PamProfiles { enable, disable },
    }
}

/// A rule as one line, for evidence.
pub fn line(rule: &PamRule) -> String {
    let mut line = format!("{} {} {}", rule.facility, rule.control, rule.module);
    for argument in &rule.arguments {
        line.push(' ');
        line.push_str(argument);
    }
    line
}

/// The value of an argument `name=value`; the last one counts.
pub fn argument<'a>(rule: &'a PamRule, name: &str) -> Option<&'a str> {
    rule.arguments.iter().rev().find_map(|argument| argument.strip_prefix(name)?.strip_prefix('='))
}

/// Whether a bare argument is given.
pub fn flag(rule: &PamRule, name: &str) -> bool {
    rule.arguments.iter().any(|argument| argument == name)
}
