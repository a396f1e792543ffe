//! From actions to the lines of `steps.sh`, which `remote/apply.sh` reads twice: once to save what is there, once to
//! change it.

use std::fmt::Write as _;

use super::{access, certificate};
use crate::change::certificate::CertStep;
use crate::change::{Action, Change, FileChange, FileImage, Stage, UnitVerb, Validate};
use crate::plan::{FirewallPart, seal};
use crate::transport::quote;

/// What a run's folder holds besides the constant scripts.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// Text of `steps.sh`.
    pub script: String,
    /// Files below `data/`: name → content.
    pub data: Vec<(String, String)>,
}

/// Where the run stops and waits for a mark.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stops {
    /// A fresh login of an administrator after the accounts stage.
    pub accounts: bool,
    /// One real password authentication on the node before the last two stages.
    pub password: bool,
}

/// Numbers the changes in the order given (which must be the plan's) and writes one line for each.
pub(super) fn render(changes: &[Change], waits: Stops) -> Steps {
    let mut steps = Steps::default();
    let mut number = 0;
    for stage in Stage::ALL {
        let of_stage: Vec<&Change> = changes.iter().filter(|change| change.stage == stage).collect();
        if !of_stage.is_empty() {
            line(&mut steps.script, "stage", &[stage.name()]);
        }
        for change in of_stage {
            number += 1;
            // The CA comes in by the rules that were just written.
            if matches!(&change.action, Action::Certificate { step: CertStep::Order { .. } }) {
                steps.script.push_str("firewall_proof\n");
            }
            step(&mut steps, number, &change.action);
        }
        if stage == Stage::Accounts && waits.accounts {
            steps.script.push_str("proof accounts\n");
        }
        if stage == Stage::Services && waits.password {
            steps.script.push_str("password_proof\n");
        }
    }
    steps
}

/// Lines of one member's part in a change of cluster.fw; the gates are those of [`super::cluster`].
pub(super) fn render_part(part: &FirewallPart) -> Steps {
    let mut steps = Steps::default();
    line(&mut steps.script, "stage", &[Stage::Firewall.name()]);
    let mut number = 0;
    let mut next = || {
        number += 1;
        format!("{number:03}")
    };
    for file in &part.asleep {
        let number = next();
        host_file(&mut steps, &number, &file.path, file.after.as_ref());
    }
    if let Some(shield) = &part.shield {
        let number = next();
        host_file(&mut steps, &number, &part.host_path, Some(shield));
    }
    line(&mut steps.script, "gate", &["ready"]);
    let number = next();
    let digest = part.cluster.after.as_ref().map_or("absent".into(), |after| seal::digest(&after.content));
    if let Some(after) = &part.cluster.after {
        steps.data.push((format!("{number}.after"), after.content.clone()));
    }
    let role = if part.writer { "writer" } else { "member" };
    line(&mut steps.script, "step", &[&number, "shared-file", &part.cluster.path, &digest, role]);
    if part.shield.is_some() {
        line(&mut steps.script, "gate", &["lift"]);
    }
    if part.shield.is_some() || part.host_changes {
        let number = next();
        host_file(&mut steps, &number, &part.host_path, part.host_after.as_ref());
    }
    steps.script.push_str("firewall_proof\n");
    line(&mut steps.script, "gate", &["proved"]);
    steps
}

fn host_file(steps: &mut Steps, number: &str, path: &str, after: Option<&FileImage>) {
    let file = FileChange { path: path.to_owned(), before: None, after: after.cloned(), validate: None };
    let arguments = file_step(steps, number, &file);
    let mut words: Vec<&str> = vec![number, "file"];
    words.extend(arguments.iter().map(String::as_str));
    line(&mut steps.script, "step", &words);
}

/// Lines of a rollback: each saved step of the named runs, newest first.
pub(super) fn render_rollback(steps: &[(String, String)]) -> String {
    let mut script = String::new();
    line(&mut script, "stage", &["rollback"]);
    for (index, (run, number)) in steps.iter().enumerate() {
        line(&mut script, "step", &[&format!("{:03}", index + 1), "restore", run, number]);
    }
    script
}

fn step(steps: &mut Steps, number: usize, action: &Action) {
    let number = format!("{number:03}");
    let mode_text;
    let (kind, arguments): (&str, Vec<String>) = match action {
        Action::File(file) => ("file", file_step(steps, &number, file)),
        Action::Directory { path, mode, owner, group } => {
            mode_text = octal(*mode);
            ("directory", vec![path.clone(), mode_text, owner.clone(), group.clone()])
        }
        Action::Packages { install } => ("packages", install.clone()),
        Action::PamProfiles { enable, disable } => ("pam-profiles", pam_arguments(enable, disable)),
        Action::Group { name, system } => {
            ("group", vec![name.clone(), if *system { "system" } else { "ordinary" }.into()])
        }
        Action::User { name, full_name, shell, home, groups } => {
            ("user", vec![name.clone(), full_name.clone(), shell.clone(), home.clone(), groups.join(",")])
        }
        Action::UserGroups { name, join, leave } => {
            ("user-groups", vec![name.clone(), join.join(","), leave.join(",")])
        }
        Action::UserPassword { name, hash } => {
            steps.data.push((format!("{number}.secret"), hash.expose().to_owned()));
            ("user-password", vec![name.clone()])
        }
        Action::UserLock { name, locked } => {
            ("user-lock", vec![name.clone(), if *locked { "locked" } else { "unlocked" }.into()])
        }
        Action::UserShell { name, shell } => ("user-shell", vec![name.clone(), shell.clone()]),
        Action::UserAging { name, min_days, max_days, warn_days, inactive_days } => (
            "user-aging",
            [name.clone()]
                .into_iter()
                .chain([min_days, max_days, warn_days, inactive_days].map(ToString::to_string))
                .collect(),
        ),
        Action::Sysctl { set } => ("sysctl", set.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        Action::PveAccess { steps: calls } => {
            steps.data.extend(access::data(&number, calls));
            ("pve-access", action.touches().into_iter().map(str::to_owned).collect())
        }
        Action::Certificate { step } => {
            let (kind, words, data) = certificate::step(step);
            steps.data.extend(data.into_iter().map(|(ending, text)| (format!("{number}.{ending}"), text)));
            (kind, words)
        }
        // Refused above.
        Action::Token { token } => ("token", vec![token.id.clone()]),
        Action::Unit { unit, verb } => ("unit", vec![unit.clone(), verb_word(*verb).into()]),
    };
    let mut words: Vec<&str> = vec![&number, kind];
    words.extend(arguments.iter().map(String::as_str));
    line(&mut steps.script, "step", &words);
}

fn file_step(steps: &mut Steps, number: &str, file: &FileChange) -> Vec<String> {
    let (mode, owner, group) = match &file.after {
        Some(after) => {
            steps.data.push((format!("{number}.after"), after.content.clone()));
            (octal(after.mode), after.owner.clone(), after.group.clone())
        }
        None => (String::new(), String::new(), String::new()),
    };
    let validate = match &file.validate {
        None => "",
        Some(Validate::Sudoers) => "sudoers",
        Some(Validate::Sshd { expect }) => {
            steps.data.push((format!("{number}.sshd"), expectations(expect)));
            "sshd"
        }
    };
    vec![file.path.clone(), mode, owner, group, validate.into()]
}

fn expectations(expect: &[crate::change::SshdExpectation]) -> String {
    let mut text = String::new();
    for case in expect {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "case {}", case.case);
        for (keyword, value) in &case.settings {
            let _ = writeln!(text, "{keyword} {value}");
        }
    }
    text
}

fn pam_arguments(enable: &[String], disable: &[String]) -> Vec<String> {
    let mut arguments = Vec::new();
    for (option, names) in [("--enable", enable), ("--disable", disable)] {
        if !names.is_empty() {
            arguments.push(option.into());
            arguments.extend(names.iter().cloned());
        }
    }
    arguments
}

const fn verb_word(verb: UnitVerb) -> &'static str {
    match verb {
        UnitVerb::Reload => "reload",
        UnitVerb::TryRestart => "try-restart",
        UnitVerb::EnableNow => "enable-now",
        UnitVerb::DisableNow => "disable-now",
    }
}

fn octal(mode: u32) -> String {
    format!("{mode:04o}")
}

fn line(script: &mut String, command: &str, words: &[&str]) {
    script.push_str(command);
    for word in words {
        script.push(' ');
        script.push_str(&quote::shell(word));
    }
    script.push('\n');
}

/// Refuses what no step may do or carry, whatever made the plan: units whose stop fences or stops a cluster, and
/// paths or names that would need escaping in the journal or in state.json.
pub fn forbidden(action: &Action) -> Option<String> {
    const NEVER: [&str; 5] = ["corosync", "pve-cluster", "pve-ha-", "watchdog-mux", "reboot"];
    /// Their end takes every rule away; only an undo does that.
    const FIREWALL: [&str; 2] = ["pve-firewall", "proxmox-firewall"];
    if let Action::Unit { unit, verb } = action {
        let named = |names: &[&str]| names.iter().any(|name| unit.starts_with(name));
        let ends = matches!(verb, UnitVerb::TryRestart | UnitVerb::DisableNow);
        if named(&NEVER) || (ends && named(&FIREWALL)) {
            return Some(format!("{unit} is never restarted or stopped"));
        }
    }
    for path in action.touches() {
        if !path.starts_with('/')
            || path.contains("/../")
            || !path.chars().all(|c| c.is_ascii_graphic() && !"\"\\'`$".contains(c))
        {
            return Some(format!("{path:?} is not a path this tool writes"));
        }
    }
    if let Action::Sysctl { set } = action
        && let Some((name, value)) = set.iter().find(|(name, value)| {
            name.contains("..")
                || value.is_empty()
                || !value.chars().all(|c| c.is_ascii_alphanumeric() || " -".contains(c))
        })
    {
        return Some(format!("{name} = {value:?} is no kernel setting this tool writes"));
    }
    if let Action::User { full_name, .. } = action
        && full_name.chars().any(|c| c.is_control() || c == ':' || c == ',')
    {
        return Some(format!("{full_name:?} cannot be written as full name"));
    }
    if let Action::Token { token } = action {
        return Some(format!("the token {} is made after a run, never in it", token.id));
    }
    if let Action::PveAccess { steps } = action {
        let mut calls = steps.iter().flat_map(|step| std::iter::once(&step.call).chain(&step.undo));
        return calls.find_map(access::forbidden);
    }
    if let Action::Certificate { step } = action {
        return certificate::forbidden(step);
    }
    names(action)
        .into_iter()
        .find(|name| {
            name.is_empty()
                || name.starts_with('-')
                || !name.chars().all(|c| c.is_ascii_alphanumeric() || "._+-/@:".contains(c))
        })
        .map(|name| format!("{name:?} is not a name this tool uses"))
}

fn names(action: &Action) -> Vec<&str> {
    match action {
        Action::File(file) => file.after.iter().flat_map(|after| [after.owner.as_str(), &after.group]).collect(),
        Action::Directory { owner, group, .. } => vec![owner, group],
        Action::Packages { install } => install.iter().map(String::as_str).collect(),
        Action::PamProfiles { enable, disable } => enable.iter().chain(disable).map(String::as_str).collect(),
        Action::Group { name, .. }
        | Action::UserPassword { name, .. }
        | Action::UserLock { name, .. }
        | Action::UserAging { name, .. } => vec![name],
        Action::User { name, shell, home, groups, .. } => {
            [name, shell, home].into_iter().chain(groups).map(String::as_str).collect()
        }
        Action::UserGroups { name, join, leave } => {
            std::iter::once(name).chain(join).chain(leave).map(String::as_str).collect()
        }
        Action::UserShell { name, shell } => vec![name, shell],
        Action::Sysctl { set } => set.keys().map(String::as_str).collect(),
        // Judged by access::forbidden: PVE's names are not those of Linux.
        Action::PveAccess { .. } | Action::Certificate { .. } | Action::Token { .. } => Vec::new(),
        Action::Unit { unit, .. } => vec![unit],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use crate::secret::Secret;

    fn change(stage: Stage, action: Action) -> Change {
        Change { controls: vec!["x.y".into()], stage, summary: String::new(), interrupts: None, action }
    }

    #[test]
    fn steps_follow_the_stages_and_secrets_stay_out_of_the_script() {
        let changes = [
            change(Stage::Ssh, Action::Unit { unit: "ssh.service".into(), verb: UnitVerb::Reload }),
            change(Stage::Accounts, Action::Group { name: "pve-admins".into(), system: false }),
            change(Stage::Accounts, Action::UserPassword { name: "ops".into(), hash: Secret::new("$y$secret") }),
            change(
                Stage::Services,
                Action::File(FileChange {
                    path: "/etc/x".into(),
                    before: None,
                    after: Some(FileImage::root("it's", 0o644)),
                    validate: None,
                }),
            ),
        ];
        let steps = render(&changes, Stops { accounts: true, password: true });
        insta::assert_snapshot!(steps.script, @r"
        stage 'accounts'
        step '001' 'group' 'pve-admins' 'ordinary'
        step '002' 'user-password' 'ops'
        proof accounts
        stage 'services'
        step '003' 'file' '/etc/x' '0644' 'root' 'root' ''
        password_proof
        stage 'ssh'
        step '004' 'unit' 'ssh.service' 'reload'
        ");
        assert_eq!(steps.data, [("002.secret".into(), "$y$secret".into()), ("003.after".into(), "it's".to_owned())]);
    }

    #[test]
    fn what_fences_a_cluster_is_forbidden() {
        for unit in
            ["corosync.service", "pve-cluster.service", "pve-ha-lrm.service", "watchdog-mux.service", "reboot.target"]
        {
            let action = Action::Unit { unit: unit.into(), verb: UnitVerb::TryRestart };
            assert!(forbidden(&action).is_some(), "{unit}");
        }
        assert_eq!(forbidden(&Action::Unit { unit: "ssh.service".into(), verb: UnitVerb::Reload }), None);
    }

    #[test]
    fn the_firewall_is_started_and_never_stopped() {
        let firewall = |unit: &str, verb| forbidden(&Action::Unit { unit: unit.into(), verb });
        for unit in ["pve-firewall.service", "proxmox-firewall.service"] {
            assert!(firewall(unit, UnitVerb::DisableNow).is_some() && firewall(unit, UnitVerb::TryRestart).is_some());
            assert_eq!(firewall(unit, UnitVerb::EnableNow), None);
            assert_eq!(firewall(unit, UnitVerb::Reload), None);
        }
    }

    #[test]
    fn a_member_is_shielded_before_the_datacenter_is_enabled_and_lifted_after() {
        let image = |content: &str| FileImage {
            content: content.into(),
            mode: 0o640,
            owner: "root".into(),
            group: "www-data".into(),
        };
        let mut part = FirewallPart {
            node: "pve1".into(),
            expects: BTreeMap::new(),
            cluster: FileChange {
                path: "/etc/pve/firewall/cluster.fw".into(),
                before: None,
                after: Some(image("[OPTIONS]\n\nenable: 1\n")),
                validate: None,
            },
            writer: true,
            host_path: "/etc/pve/nodes/pve1/host.fw".into(),
            shield: Some(image("[OPTIONS]\n\nenable: 0\n")),
            host_after: None,
            host_changes: false,
            questions: Vec::new(),
            asleep: vec![FileChange {
                path: "/etc/pve/nodes/pve3/host.fw".into(),
                before: None,
                after: Some(image("[OPTIONS]\n\nenable: 0\n")),
                validate: None,
            }],
        };
        insta::assert_snapshot!(render_part(&part).script, @r"
        stage 'firewall'
        step '001' 'file' '/etc/pve/nodes/pve3/host.fw' '0640' 'root' 'www-data' ''
        step '002' 'file' '/etc/pve/nodes/pve1/host.fw' '0640' 'root' 'www-data' ''
        gate 'ready'
        step '003' 'shared-file' '/etc/pve/firewall/cluster.fw' '132dfc738ef517cdca8784f0a7fb4aa4bc22a60ab27b52c24dab4ad1c9876f86' 'writer'
        gate 'lift'
        step '004' 'file' '/etc/pve/nodes/pve1/host.fw' '' '' '' ''
        firewall_proof
        gate 'proved'
        ");
        part.writer = false;
        part.shield = None;
        part.asleep.clear();
        insta::assert_snapshot!(render_part(&part).script, @r"
        stage 'firewall'
        gate 'ready'
        step '001' 'shared-file' '/etc/pve/firewall/cluster.fw' '132dfc738ef517cdca8784f0a7fb4aa4bc22a60ab27b52c24dab4ad1c9876f86' 'member'
        firewall_proof
        gate 'proved'
        ");
    }

    #[test]
    fn odd_paths_and_names_are_forbidden() {
        for path in ["etc/x", "/etc/a\nb", "/etc/\"x", "/etc/../x", "/etc/a b"] {
            let action =
                Action::Directory { path: path.into(), mode: 0o755, owner: "root".into(), group: "root".into() };
            assert!(forbidden(&action).is_some(), "{path}");
        }
        assert!(forbidden(&Action::Group { name: "-x".into(), system: false }).is_some());
    }
}
