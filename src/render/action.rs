//! One readable line for everything that is not a file: `+` comes, `-` goes, `~` becomes different, `!` happens.

use super::style::{Palette, Tone};
use crate::change::certificate::CertStep;
use crate::change::{Action, UnitVerb};
use crate::plan::Versioned;
use crate::sanitize;

/// Lines of an action; none for a file, which is shown as a diff.
/// `brings` are the packages that installations bring, with their versions, where that is known.
pub fn lines(action: &Action, brings: &[Versioned], palette: Palette) -> Vec<String> {
    plain(action, brings)
        .into_iter()
        .map(|line| {
            let tone = match line.as_bytes().first() {
                Some(b'+') => Tone::Good,
                Some(b'-') => Tone::Bad,
                _ => Tone::Warn,
            };
            palette.paint(tone, &sanitize::line(&line))
        })
        .collect()
}

fn plain(action: &Action, brings: &[Versioned]) -> Vec<String> {
    match action {
        Action::File(_) => Vec::new(),
        Action::Directory { path, mode, owner, group } => {
            vec![format!("~ directory {path}: {mode:04o} {owner}:{group}")]
        }
        Action::Packages { install } => packages(install, brings),
        Action::PamProfiles { enable, disable } => {
            let on = enable.iter().map(|name| format!("+ PAM profile {name} (pam-auth-update)"));
            on.chain(disable.iter().map(|name| format!("- PAM profile {name} (pam-auth-update)"))).collect()
        }
        Action::Group { name, system } => {
            vec![format!("+ {}group {name}", if *system { "system " } else { "" })]
        }
        Action::User { name, full_name, shell, home, groups } => {
            let person = if full_name.is_empty() { String::new() } else { format!("{full_name}, ") };
            let groups = if groups.is_empty() { String::new() } else { format!(", groups {}", groups.join(", ")) };
            vec![format!("+ account {name}: {person}shell {shell}, home {home}{groups}")]
        }
        Action::UserGroups { name, join, leave } => {
            let joins = join.iter().map(|group| format!("~ account {name}: joins group {group}"));
            joins.chain(leave.iter().map(|group| format!("~ account {name}: leaves group {group}"))).collect()
        }
        Action::UserPassword { name, .. } => vec![format!("~ account {name}: password is set (not shown)")],
        Action::UserLock { name, locked: true } => {
            vec![format!("- account {name}: locked and expired; its files stay")]
        }
        Action::UserLock { name, locked: false } => vec![format!("+ account {name}: unlocked")],
        Action::UserShell { name, shell } => vec![format!("~ account {name}: login shell {shell}")],
        Action::UserAging { name, min_days, max_days, warn_days, inactive_days } => vec![format!(
            "~ account {name}: password lasts {}, changes at least {} apart, warning {} before, disabled {} after",
            days(*max_days),
            days(*min_days),
            days(*warn_days),
            days(*inactive_days),
        )],
        Action::Sysctl { set } => {
            set.iter().map(|(name, value)| format!("~ kernel setting {name}: {value}, now")).collect()
        }
        Action::PveAccess { steps } => steps.iter().map(super::access::line).collect(),
        Action::Certificate { step } => vec![certificate(step)],
        Action::Token { token } => super::access::token(token),
        Action::Unit { unit, verb } => vec![match verb {
            UnitVerb::Reload => format!("! {unit} is reloaded"),
            UnitVerb::TryRestart => format!("! {unit} is restarted if it runs"),
            UnitVerb::EnableNow => format!("+ {unit} is enabled and started"),
            UnitVerb::DisableNow => format!("- {unit} is disabled and stopped"),
        }],
    }
}

fn certificate(step: &CertStep) -> String {
    match step {
        CertStep::Trust { path, .. } => format!("+ authority {path} (update-ca-certificates)"),
        CertStep::Account { name, directory, contact, binding, known } => {
            let bound = if binding.is_some() { ", bound to your account there (key not shown)" } else { "" };
            let sign = if *known { '~' } else { '+' };
            format!("{sign} ACME account {name} at {directory}, contact {contact}{bound}")
        }
        CertStep::Plugin { id, api, delay, known, .. } => {
            let sign = if *known { '~' } else { '+' };
            format!("{sign} ACME plugin {id}: DNS by {api}, {delay} s to spread, data (not shown)")
        }
        CertStep::Order { rehearsal, names, trusted, .. } => {
            let first = if rehearsal.is_some() { ", first at the staging CA" } else { "" };
            let chain = if *trusted { ", its chain" } else { "" };
            format!(
                "~ certificate for {}: ordered{first}, then its names{chain} and days are judged on a new connection to 8006; \
                 the old one comes back if any of it fails",
                names.join(", ")
            )
        }
        CertStep::Upload { path, names, .. } => {
            let whom = if names.is_empty() { String::new() } else { format!(" for {}", names.join(", ")) };
            format!("~ certificate{whom} and its key (not shown) to {path}")
        }
    }
}

/// What is asked for, then what comes with it.
fn packages(install: &[String], brings: &[Versioned]) -> Vec<String> {
    let version = |name: &String| brings.iter().find(|package| package.name == *name);
    let asked = install.iter().map(|name| match version(name) {
        Some(package) => format!("+ package {name} {}", package.version),
        None => format!("+ package {name}"),
    });
    let others = brings.iter().filter(|package| !install.contains(&package.name));
    asked.chain(others.map(|package| format!("+ package {} {} (dependency)", package.name, package.version))).collect()
}

fn days(days: i64) -> String {
    match days {
        i64::MIN..=-1 => "without limit".into(),
        1 => "1 day".into(),
        days => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn every_action_reads_as_a_sentence() {
        let ops = || "ops".to_owned();
        let list = |items: &[&str]| items.iter().map(ToString::to_string).collect::<Vec<_>>();
        let actions = [
            Action::Packages { install: list(&["sudo", "libpam-pwquality"]) },
            Action::Group { name: "pve-admins".into(), system: false },
            Action::User {
                name: ops(),
                full_name: "Olga P. Smith".into(),
                shell: "/bin/bash".into(),
                home: "/home/ops".into(),
                groups: list(&["pve-admins"]),
            },
            Action::Directory { path: "/home/ops/.ssh".into(), mode: 0o700, owner: ops(), group: ops() },
            Action::UserGroups { name: ops(), join: list(&["a"]), leave: list(&["b"]) },
            Action::UserPassword { name: ops(), hash: Secret::new("$y$never-shown") },
            Action::UserLock { name: "gone".into(), locked: true },
            Action::UserLock { name: "back".into(), locked: false },
            Action::UserShell { name: ops(), shell: "/bin/sh".into() },
            Action::UserAging { name: ops(), min_days: 1, max_days: 365, warn_days: 14, inactive_days: 30 },
            Action::PamProfiles { enable: list(&["pve-harden-faillock"]), disable: list(&["x"]) },
            Action::Unit { unit: "ssh.service".into(), verb: UnitVerb::Reload },
            Action::Unit { unit: "x.timer".into(), verb: UnitVerb::EnableNow },
        ];
        let text: Vec<_> = actions.iter().flat_map(|action| lines(action, &[], Palette::PLAIN)).collect();
        insta::assert_snapshot!(text.join("\n"), @r"
        + package sudo
        + package libpam-pwquality
        + group pve-admins
        + account ops: Olga P. Smith, shell /bin/bash, home /home/ops, groups pve-admins
        ~ directory /home/ops/.ssh: 0700 ops:ops
        ~ account ops: joins group a
        ~ account ops: leaves group b
        ~ account ops: password is set (not shown)
        - account gone: locked and expired; its files stay
        + account back: unlocked
        ~ account ops: login shell /bin/sh
        ~ account ops: password lasts 365 days, changes at least 1 day apart, warning 14 days before, disabled 30 days after
        + PAM profile pve-harden-faillock (pam-auth-update)
        - PAM profile x (pam-auth-update)
        ! ssh.service is reloaded
        + x.timer is enabled and started
        ");
    }

    #[test]
    fn packages_come_with_their_dependencies() {
        let package = |name: &str, version: &str| Versioned { name: name.into(), version: version.into() };
        let action = Action::Packages { install: vec!["cracklib-runtime".into(), "sudo".into()] };
        let brings = [package("file", "1:5.46-5"), package("sudo", "1.9.16p2-3"), package("cracklib-runtime", "2.9.6")];
        insta::assert_snapshot!(lines(&action, &brings, Palette::PLAIN).join("\n"), @r"
        + package cracklib-runtime 2.9.6
        + package sudo 1.9.16p2-3
        + package file 1:5.46-5 (dependency)
        ");
    }

    #[test]
    fn a_hostile_name_cannot_drive_the_terminal() {
        let action = Action::Group { name: "x\x1b[2J\n+ package evil".into(), system: false };
        assert_eq!(lines(&action, &[], Palette::PLAIN), ["+ group x\\x1b[2J\\n+ package evil"]);
    }
}
