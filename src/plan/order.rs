//! The order of steps: stage first, then what a step needs to find when it runs.

use crate::change::{Action, Change, Stage, UnitVerb};

/// Sorts in place. Steps of equal rank keep the order in which the catalogue emitted them.
pub fn arrange(changes: &mut [Change]) {
    changes.sort_by(|a, b| key(a).cmp(&key(b)));
}

fn key(change: &Change) -> (Stage, u8, &str) {
    let path = match &change.action {
        Action::Directory { path, .. } => path.as_str(),
        _ => "",
    };
    // Files of the packages' stage are there before the package starts its daemon.
    let last = change.stage == Stage::Packages && matches!(change.action, Action::Packages { .. });
    (change.stage, if last { u8::MAX } else { rank(&change.action) }, path)
}

/// A person's group exists before the person, the person before the home's content, the key and the password before
/// the sudoers rule that relies on them; PAM profiles find their configuration files; a unit finds all its files; what
/// takes rights away comes after what gives them.
fn rank(action: &Action) -> u8 {
    match action {
        Action::Packages { .. } => 0,
        Action::Group { .. } => 1,
        Action::User { .. } => 2,
        Action::UserShell { .. } => 3,
        Action::UserGroups { leave, .. } if leave.is_empty() => 4,
        Action::UserPassword { .. } => 5,
        Action::Directory { .. } => 6,
        Action::File(file) if file.path.starts_with("/etc/sudoers") => 8,
        Action::File(file) if file.after.is_some() => 7,
        Action::File(_) => 9,
        Action::PamProfiles { .. } => 10,
        Action::UserAging { .. } | Action::Sysctl { .. } => 11,
        Action::UserGroups { .. } => 12,
        Action::UserLock { locked: false, .. } => 13,
        Action::UserLock { locked: true, .. } => 14,
        Action::PveAccess { steps } => 20 + steps.first().map_or(0, |step| step.call.rank()),
        Action::Certificate { step } => step.rank(),
        Action::Token { .. } => 40,
        Action::Unit { verb: UnitVerb::EnableNow | UnitVerb::DisableNow, .. } => 15,
        Action::Unit { .. } => 16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{FileChange, FileImage};
    use crate::secret::Secret;

    fn change(stage: Stage, summary: &str, action: Action) -> Change {
        Change { controls: vec!["c".into()], stage, summary: summary.into(), interrupts: None, action }
    }

    fn file(path: &str) -> Action {
        let after = Some(FileImage::root("", 0o644));
        Action::File(FileChange { path: path.into(), before: None, after, validate: None })
    }

    fn summaries(mut changes: Vec<Change>) -> Vec<String> {
        arrange(&mut changes);
        changes.into_iter().map(|change| change.summary).collect()
    }

    #[test]
    fn stages_first() {
        let changes = Stage::ALL.iter().rev().map(|stage| change(*stage, stage.name(), file("/x"))).collect();
        assert_eq!(summaries(changes), ["packages", "accounts", "pve-access", "services", "firewall", "ssh", "tokens"]);
    }

    #[test]
    fn a_new_administrator_is_built_from_group_to_sudo_and_a_leaver_goes_last() {
        let name = || "ops".to_owned();
        let accounts = |summary, action| change(Stage::Accounts, summary, action);
        let directory = |path: &str| Action::Directory { path: path.into(), mode: 0o700, owner: name(), group: name() };
        let changes = vec![
            accounts("lock", Action::UserLock { name: "gone".into(), locked: true }),
            accounts("sudoers", file("/etc/sudoers.d/pve-harden")),
            accounts("keys", file("/home/ops/.ssh/authorized_keys")),
            accounts("ssh folder", directory("/home/ops/.ssh")),
            accounts("home", directory("/home/ops")),
            accounts("password", Action::UserPassword { name: name(), hash: Secret::new("x") }),
            accounts(
                "user",
                Action::User {
                    name: name(),
                    full_name: String::new(),
                    shell: "/bin/bash".into(),
                    home: "/home/ops".into(),
                    groups: vec![],
                },
            ),
            accounts("group", Action::Group { name: "pve-admins".into(), system: false }),
        ];
        assert_eq!(summaries(changes), ["group", "user", "password", "home", "ssh folder", "keys", "sudoers", "lock"]);
    }

    #[test]
    fn a_package_finds_its_files_when_it_starts() {
        let packages = |summary, action| change(Stage::Packages, summary, action);
        let directory =
            Action::Directory { path: "/etc/x".into(), mode: 0o755, owner: "root".into(), group: "root".into() };
        let changes = vec![
            packages("package", Action::Packages { install: vec!["x".into()] }),
            packages("file", file("/etc/x/y")),
            packages("folder", directory),
        ];
        assert_eq!(summaries(changes), ["folder", "file", "package"]);
    }

    #[test]
    fn files_then_pam_profiles_then_units() {
        let services = |summary, action| change(Stage::Services, summary, action);
        let changes = vec![
            services("unit", Action::Unit { unit: "x.service".into(), verb: UnitVerb::TryRestart }),
            services("pam", Action::PamProfiles { enable: vec!["x".into()], disable: vec![] }),
            services("first file", file("/usr/share/pam-configs/x")),
            services("second file", file("/etc/security/faillock.conf")),
        ];
        assert_eq!(summaries(changes), ["first file", "second file", "pam", "unit"]);
    }
}
