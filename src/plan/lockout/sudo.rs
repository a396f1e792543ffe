//! Whether an administrator will be able to become root.

use std::collections::BTreeSet;

use super::planned::{Account, Planned};
use crate::facts::PasswordState;

const DROPINS: &str = "/etc/sudoers.d/";

/// The right to run everything as root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Grant {
    nopasswd: bool,
}

/// Why this account will not become root through sudo.
pub fn refused(planned: &Planned<'_>, user: &str, account: &Account) -> Option<String> {
    let today = planned.sudo_today(user);
    match planned.has_package("sudo") {
        Ok(true) => {}
        Ok(false) => return Some("sudo is not installed and the plan does not install it".into()),
        Err(_) if today.is_some() => {}
        Err(why) => return Some(format!("whether sudo is installed cannot be told: {why}")),
    }
    let grant = match planned_grant(planned, user) {
        Ok(Some(grant)) => Some(grant),
        Ok(None) => today
            .filter(|rights| rights.all_as_root && !rules_change(planned))
            .map(|rights| Grant { nopasswd: rights.nopasswd }),
        Err(why) => return Some(why),
    };
    match grant {
        None => Some("no sudoers rule lets it run everything as root".into()),
        Some(Grant { nopasswd: true }) => None,
        Some(Grant { nopasswd: false }) => no_password(account),
    }
}

fn no_password(account: &Account) -> Option<String> {
    match &account.shadow {
        Ok(aging) if matches!(aging.password, PasswordState::Hash(_)) => None,
        Ok(_) => Some("sudo asks for a password and it has none".into()),
        Err(why) => Some(format!("sudo asks for a password, and whether it has one cannot be told: {why}")),
    }
}

/// Whether the plan takes an existing rule away, so that today's rights say nothing about tomorrow's.
fn rules_change(planned: &Planned<'_>) -> bool {
    planned.written_below("/etc/sudoers").any(|(path, _)| planned.exists_today(path))
}

/// What the planned drop-ins grant; `Err` when sudo would not read one of them.
fn planned_grant(planned: &Planned<'_>, user: &str) -> Result<Option<Grant>, String> {
    let mut grant = None;
    for (path, image) in planned.written_below(DROPINS) {
        let Some(image) = image else { continue };
        let Some(found) = granted(&image.content, user, &planned.groups_of(user)) else { continue };
        let name = path.trim_start_matches(DROPINS);
        if name.contains('.') || name.ends_with('~') || name.contains('/') {
            return Err(format!("sudo does not read {path}: names with a dot or a final ~ are left out"));
        }
        if image.mode & 0o022 != 0 || image.owner != "root" {
            return Err(format!("sudo does not read {path}: it must belong to root and be writable by nobody else"));
        }
        grant = Some(found);
    }
    if grant.is_some() {
        let main = planned.text("/etc/sudoers").ok().flatten();
        let included = |line: &str| {
            let line = line.trim();
            (line.starts_with("@includedir") || line.starts_with("#includedir")) && line.contains("/etc/sudoers.d")
        };
        if main.is_some_and(|text| !text.lines().any(included)) {
            return Err("/etc/sudoers has no `@includedir /etc/sudoers.d`, so the planned rule is never read".into());
        }
    }
    Ok(grant)
}

/// The last rule for this account that covers every command as root (sudoers(5): the last match wins). Aliases are
/// not followed: a rule that needs them grants nothing here.
fn granted(content: &str, user: &str, groups: &BTreeSet<&str>) -> Option<Grant> {
    let joined = content.replace("\\\n", " ");
    joined.lines().filter_map(|line| rule(line, user, groups)).next_back()
}

fn rule(line: &str, user: &str, groups: &BTreeSet<&str>) -> Option<Grant> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') || line.starts_with('@') || line.starts_with("Defaults") {
        return None;
    }
    let (subjects, rest) = line.split_once(char::is_whitespace)?;
    let concerns = |subject: &str| match subject.strip_prefix('%') {
        Some(group) => groups.contains(group),
        None => subject == user || subject == "ALL",
    };
    let (hosts, mut commands) = rest.split_once('=')?;
    if !subjects.split(',').any(concerns) || hosts.trim() != "ALL" {
        return None;
    }
    commands = commands.trim();
    if let Some(runas) = commands.strip_prefix('(') {
        let (who, rest) = runas.split_once(')')?;
        let users = who.split(':').next().unwrap_or_default();
        if !users.split(',').any(|name| matches!(name.trim(), "ALL" | "root")) {
            return None;
        }
        commands = rest.trim();
    }
    let mut nopasswd = false;
    while let Some((tag, rest)) = commands.split_once(':') {
        match tag.trim() {
            "NOPASSWD" => nopasswd = true,
            "PASSWD" => nopasswd = false,
            tag if !tag.is_empty() && tag.chars().all(|c| c.is_ascii_uppercase() || c == '_') => {}
            _ => break,
        }
        commands = rest.trim();
    }
    (commands.trim() == "ALL").then_some(Grant { nopasswd })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grant(content: &str) -> Option<bool> {
        granted(content, "ops", &BTreeSet::from(["ops", "pve-admins"])).map(|grant| grant.nopasswd)
    }

    #[test]
    fn rules_are_read_as_sudoers_says() {
        for (content, expected) in [
            ("%pve-admins ALL=(ALL:ALL) NOPASSWD: ALL\n", Some(true)),
            ("%pve-admins ALL=(ALL:ALL) ALL\n", Some(false)),
            ("ops ALL = (root) NOPASSWD:SETENV: ALL\n", Some(true)),
            ("ops ALL=ALL\n", Some(false)),
            ("other,ops ALL=(ALL) ALL\n", Some(false)),
            ("%pve-admins \\\n ALL=(ALL) ALL\n", Some(false)),
            ("ops ALL=(ALL) NOPASSWD: ALL\n%pve-admins ALL=(ALL) ALL\n", Some(false)),
            ("%wheel ALL=(ALL) ALL\n", None),
            ("ops ALL=(www-data) ALL\n", None),
            ("ops otherhost=(ALL) ALL\n", None),
            ("ops ALL=(ALL) /usr/bin/apt\n", None),
            ("# ops ALL=(ALL) ALL\n", None),
            ("Defaults:ops !authenticate\n", None),
        ] {
            assert_eq!(grant(content), expected, "{content}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(content in ".{0,300}") {
            let _ = grant(&content);
        }
    }
}
