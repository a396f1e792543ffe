//! Several controls, one change: what two controls want of the same object becomes one step, and what they want
//! differently is a defect of the catalogue.

use std::collections::BTreeMap;
use std::mem::{Discriminant, discriminant};

use crate::change::{Action, Change, FileChange, SshdExpectation, Stage, UnitVerb, Validate};
use crate::error::{Error, Kind, Result};

/// One change per object, in the order in which the objects were first named.
pub fn merge(changes: impl IntoIterator<Item = Change>) -> Result<Vec<Change>> {
    let mut merged: Vec<Change> = Vec::new();
    for change in changes {
        match merged.iter_mut().find(|other| object(other) == object(&change)) {
            Some(other) => combine(other, change)?,
            None => merged.push(change),
        }
    }
    Ok(merged)
}

/// What a change is about; changes about the same object become one.
fn object(change: &Change) -> (Discriminant<Action>, &str, Option<(Stage, bool)>) {
    let mut unit = None;
    let name = match &change.action {
        Action::File(file) => &file.path,
        Action::Directory { path, .. } => path,
        Action::Packages { .. } | Action::PamProfiles { .. } | Action::Sysctl { .. } => "",
        // Each control has its own objects.
        Action::PveAccess { .. } => &change.summary,
        Action::Certificate { step } => step.object(),
        Action::Token { token } => &token.id,
        Action::Group { name, .. }
        | Action::User { name, .. }
        | Action::UserGroups { name, .. }
        | Action::UserPassword { name, .. }
        | Action::UserLock { name, .. }
        | Action::UserShell { name, .. }
        | Action::UserAging { name, .. } => name,
        Action::Unit { unit: name, verb } => {
            unit = Some((change.stage, lifts(*verb)));
            name
        }
    };
    (discriminant(&change.action), name, unit)
}

/// Enabling and disabling settle whether a unit runs; reload and restart only whether it reads its files again. A
/// running unit that is enabled needs both, so they stay two steps.
const fn lifts(verb: UnitVerb) -> bool {
    matches!(verb, UnitVerb::EnableNow | UnitVerb::DisableNow)
}

fn combine(into: &mut Change, from: Change) -> Result<()> {
    if into.stage != from.stage {
        return Err(conflict(into, &from, "in different stages"));
    }
    let agreed = match (&mut into.action, &from.action) {
        (Action::File(a), Action::File(b)) => combine_files(a, b),
        (Action::Packages { install: a }, Action::Packages { install: b }) => {
            union(a, b);
            true
        }
        (
            Action::PamProfiles { enable: on, disable: off },
            Action::PamProfiles { enable: more_on, disable: more_off },
        ) => {
            union(on, more_on);
            union(off, more_off);
            !on.iter().any(|name| off.contains(name))
        }
        (Action::UserGroups { join, leave, .. }, Action::UserGroups { join: more, leave: less, .. }) => {
            union(join, more);
            union(leave, less);
            !join.iter().any(|group| leave.contains(group))
        }
        (Action::Sysctl { set: a }, Action::Sysctl { set: b }) => {
            let agreed = a.iter().all(|(name, value)| b.get(name).is_none_or(|other| other == value));
            a.extend(b.clone());
            agreed
        }
        (Action::Unit { verb: a, .. }, Action::Unit { verb: b, .. }) => combine_verbs(a, *b),
        (a, b) => a == b,
    };
    if !agreed {
        return Err(conflict(into, &from, "differently"));
    }
    into.summary = summary(&into.action, &into.summary, &from.summary);
    union(&mut into.controls, &from.controls);
    into.interrupts = match (into.interrupts.take(), from.interrupts) {
        (Some(a), Some(b)) if a != b => Some(format!("{a}; {b}")),
        (a, b) => a.or(b),
    };
    Ok(())
}

fn combine_files(a: &mut FileChange, b: &FileChange) -> bool {
    a.before == b.before && a.after == b.after && combine_checks(&mut a.validate, b.validate.as_ref())
}

fn combine_checks(a: &mut Option<Validate>, b: Option<&Validate>) -> bool {
    match (a, b) {
        (_, None) | (Some(Validate::Sudoers), Some(Validate::Sudoers)) => true,
        (a @ None, Some(b)) => {
            *a = Some(b.clone());
            true
        }
        (Some(Validate::Sshd { expect: a }), Some(Validate::Sshd { expect: b })) => combine_cases(a, b),
        _ => false,
    }
}

fn combine_cases(into: &mut Vec<SshdExpectation>, from: &[SshdExpectation]) -> bool {
    let mut cases: BTreeMap<String, SshdExpectation> =
        std::mem::take(into).into_iter().map(|case| (case.case.clone(), case)).collect();
    let mut agreed = true;
    for more in from {
        let case = cases
            .entry(more.case.clone())
            .or_insert_with(|| SshdExpectation { case: more.case.clone(), settings: BTreeMap::new() });
        for (keyword, value) in &more.settings {
            agreed &= case.settings.insert(keyword.clone(), value.clone()).is_none_or(|old| old == *value);
        }
    }
    *into = cases.into_values().collect();
    agreed
}

fn combine_verbs(a: &mut UnitVerb, b: UnitVerb) -> bool {
    match (*a, b) {
        (UnitVerb::Reload, UnitVerb::TryRestart) => {
            *a = b;
            true
        }
        (UnitVerb::TryRestart, UnitVerb::Reload) => true,
        (x, y) => x == y,
    }
}

fn summary(action: &Action, a: &str, b: &str) -> String {
    match action {
        Action::Packages { install } => format!("install {}", install.join(", ")),
        Action::PamProfiles { enable, disable } => {
            let on = (!enable.is_empty()).then(|| format!("enable {}", enable.join(", ")));
            let off = (!disable.is_empty()).then(|| format!("disable {}", disable.join(", ")));
            format!("PAM profiles: {}", on.into_iter().chain(off).collect::<Vec<_>>().join("; "))
        }
        _ if a == b || b.is_empty() => a.into(),
        _ => format!("{a}; {b}"),
    }
}

fn union(into: &mut Vec<String>, from: &[String]) {
    for item in from {
        if !into.contains(item) {
            into.push(item.clone());
        }
    }
}

fn conflict(a: &Change, b: &Change, how: &str) -> Error {
    let object = a.action.touches().first().map_or_else(|| a.summary.clone(), ToString::to_string);
    Error::msg(
        Kind::Internal,
        format!("controls {} and {} want {object} {how}", a.controls.join(", "), b.controls.join(", ")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::FileImage;

    fn change(control: &str, stage: Stage, action: Action) -> Change {
        Change { controls: vec![control.into()], stage, summary: format!("by {control}"), interrupts: None, action }
    }

    fn file(content: &str, validate: Option<Validate>) -> Action {
        Action::File(FileChange {
            path: "/etc/x".into(),
            before: None,
            after: Some(FileImage::root(content, 0o644)),
            validate,
        })
    }

    fn sshd(case: &str, keyword: &str, value: &str) -> Validate {
        let settings = BTreeMap::from([(keyword.to_owned(), value.to_owned())]);
        Validate::Sshd { expect: vec![SshdExpectation { case: case.into(), settings }] }
    }

    fn unit(verb: UnitVerb) -> Action {
        Action::Unit { unit: "ssh.service".into(), verb }
    }

    #[test]
    fn the_same_file_of_two_controls_is_one_change_with_both_checks() {
        let merged = merge([
            change("ssh.a", Stage::Ssh, file("x", Some(sshd("user=root", "permitrootlogin", "no")))),
            change("ssh.b", Stage::Ssh, file("x", Some(sshd("user=root", "maxauthtries", "4")))),
        ])
        .unwrap();
        assert_eq!(merged.len(), 1);
        assert_eq!(merged[0].controls, ["ssh.a", "ssh.b"]);
        let Action::File(FileChange { validate: Some(Validate::Sshd { expect }), .. }) = &merged[0].action else {
            panic!("{merged:?}")
        };
        assert_eq!(expect.len(), 1);
        assert_eq!(expect[0].settings.keys().collect::<Vec<_>>(), ["maxauthtries", "permitrootlogin"]);
    }

    #[test]
    fn two_contents_for_one_path_are_a_defect() {
        let error =
            merge([change("a", Stage::Ssh, file("x", None)), change("b", Stage::Ssh, file("y", None))]).unwrap_err();
        assert_eq!(error.kind, Kind::Internal);
        assert_eq!(error.to_string(), "controls a and b want /etc/x differently");
    }

    #[test]
    fn contradicting_expectations_are_a_defect() {
        let error = merge([
            change("a", Stage::Ssh, file("x", Some(sshd("c", "k", "1")))),
            change("b", Stage::Ssh, file("x", Some(sshd("c", "k", "2")))),
        ])
        .unwrap_err();
        assert_eq!(error.kind, Kind::Internal);
    }

    #[test]
    fn one_path_in_two_stages_is_a_defect() {
        let changes = [change("a", Stage::Services, file("x", None)), change("b", Stage::Ssh, file("x", None))];
        assert_eq!(merge(changes).unwrap_err().kind, Kind::Internal);
    }

    #[test]
    fn installs_become_one_transaction() {
        let install = |names: &[&str]| Action::Packages { install: names.iter().map(ToString::to_string).collect() };
        let merged = merge([
            change("a", Stage::Packages, install(&["sudo"])),
            change("b", Stage::Packages, install(&["libpam-pwquality", "sudo"])),
        ])
        .unwrap();
        assert_eq!(merged.len(), 1);
        assert_eq!(merged[0].action, install(&["sudo", "libpam-pwquality"]));
        assert_eq!(merged[0].summary, "install sudo, libpam-pwquality");
    }

    #[test]
    fn a_pam_profile_cannot_be_enabled_and_disabled() {
        let pam = |on: &[&str], off: &[&str]| Action::PamProfiles {
            enable: on.iter().map(ToString::to_string).collect(),
            disable: off.iter().map(ToString::to_string).collect(),
        };
        let merged =
            merge([change("a", Stage::Services, pam(&["x"], &[])), change("b", Stage::Services, pam(&["y"], &["z"]))])
                .unwrap();
        assert_eq!(merged[0].action, pam(&["x", "y"], &["z"]));
        let clash =
            merge([change("a", Stage::Services, pam(&["x"], &[])), change("b", Stage::Services, pam(&[], &["x"]))]);
        assert_eq!(clash.unwrap_err().kind, Kind::Internal);
    }

    #[test]
    fn the_stronger_of_reload_and_restart_stays() {
        for (first, second) in [(UnitVerb::Reload, UnitVerb::TryRestart), (UnitVerb::TryRestart, UnitVerb::Reload)] {
            let merged = merge([change("a", Stage::Ssh, unit(first)), change("b", Stage::Ssh, unit(second))]).unwrap();
            assert_eq!(merged.len(), 1);
            assert_eq!(merged[0].action, unit(UnitVerb::TryRestart));
        }
    }

    #[test]
    fn enabling_does_not_swallow_a_restart_and_contradicts_disabling() {
        let two = merge([
            change("a", Stage::Ssh, unit(UnitVerb::EnableNow)),
            change("b", Stage::Ssh, unit(UnitVerb::TryRestart)),
        ]);
        assert_eq!(two.unwrap().len(), 2);
        let clash = merge([
            change("a", Stage::Ssh, unit(UnitVerb::EnableNow)),
            change("b", Stage::Ssh, unit(UnitVerb::DisableNow)),
        ]);
        assert_eq!(clash.unwrap_err().kind, Kind::Internal);
    }
}
