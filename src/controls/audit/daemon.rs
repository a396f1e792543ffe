//! /etc/audit/auditd.conf: how much auditd writes, and what it does when it cannot.

use crate::change::{Action, Change, FileChange, FileImage, Stage};
use crate::controls::Evidence;
use crate::controls::conf::{self, Syntax, wanted};
use crate::facts::Facts;
use crate::profile::policy::Policy;

/// auditd.conf(5).
pub const PATH: &str = "/etc/audit/auditd.conf";

/// What auditd does when room ends or a write fails: setting, what is written where it would do harm.
const ACTIONS: [(&str, &str); 4] = [
    ("space_left_action", "SYSLOG"),
    ("admin_space_left_action", "ROTATE"),
    ("disk_full_action", "ROTATE"),
    ("disk_error_action", "SYSLOG"),
];
/// Answers that end the node's work (`halt`, `single`), or the trail until somebody notices (`suspend`).
const HARMFUL: [&str; 3] = ["suspend", "single", "halt"];
/// Debian's number of files.
const FILES: u64 = 5;

/// What a node gets that has no auditd yet; all of it is known to auditd 3.0 and 4.0.
const FRESH: &str = "# Written by pve-harden (audit.rules), for auditd.conf(5).
local_events = yes
write_logs = yes
log_file = /var/log/audit/audit.log
log_group = adm
log_format = ENRICHED
flush = INCREMENTAL_ASYNC
freq = 50
max_log_file = 8
num_logs = 5
max_log_file_action = ROTATE
priority_boost = 4
name_format = NONE
space_left = 75
space_left_action = SYSLOG
verify_email = yes
action_mail_acct = root
admin_space_left = 50
admin_space_left_action = ROTATE
disk_full_action = ROTATE
disk_error_action = SYSLOG
q_depth = 2000
overflow_action = SYSLOG
max_restarts = 10
plugin_dir = /etc/audit/plugins.d
end_of_event_timeout = 2
";

fn value<'a>(text: &'a str, key: &str) -> &'a str {
    Syntax::Pam.values(text, key).last().copied().unwrap_or_default()
}

/// Judges the file; the change that puts it right, everything else in it left as it is.
pub fn judge(facts: &Facts, policy: &Policy, id: &str, evidence: &mut Vec<Evidence>) -> Result<Option<Change>, String> {
    let found = conf::text(facts, PATH)?;
    let mut text = found.unwrap_or(FRESH).to_owned();
    let good = room(&mut text, found.unwrap_or_default(), policy, evidence);
    for (key, instead) in ACTIONS {
        let action = value(found.unwrap_or_default(), key).to_ascii_lowercase();
        let word = action.split_whitespace().next().unwrap_or_default();
        if HARMFUL.contains(&word) {
            evidence.push(Evidence::new(format!("{PATH} {key}"), word, instead.to_ascii_lowercase()));
            text = Syntax::Pam.set(&text, key, instead);
        }
    }
    if found.is_some() {
        return conf::write(facts, id, PATH, text, "auditd's log is bounded, and never stops the node or itself");
    }
    debug_assert!(!good, "no file bounds nothing");
    let file =
        FileChange { path: PATH.to_owned(), before: None, after: Some(FileImage::root(text, 0o640)), validate: None };
    Ok(Some(Change {
        controls: vec![id.to_owned()],
        stage: Stage::Services,
        summary: "auditd's log is bounded, and never stops the node or itself".into(),
        interrupts: None,
        action: Action::File(file),
    }))
}

/// The bound of all files together.
fn room(text: &mut String, found: &str, policy: &Policy, evidence: &mut Vec<Evidence>) -> bool {
    let most = u64::from(policy.profile.audit.rules.max_log_mib);
    let number = |key: &str| value(found, key).parse::<u64>().ok().filter(|number| *number > 0);
    let (size, files) = (number("max_log_file"), number("num_logs"));
    let action = value(found, "max_log_file_action").to_ascii_lowercase();
    let room = size.zip(files).map(|(size, files)| size.saturating_mul(files));
    let rotates = action == "rotate" && files.is_some_and(|files| files > 1);
    let good = rotates && room.is_some_and(|room| room <= most);
    let state = match room {
        Some(room) if rotates => format!("{room} MiB, then rotate"),
        _ if action.is_empty() => "no bound".to_owned(),
        _ => format!("max_log_file_action = {}", action.escape_debug()),
    };
    let want = wanted(policy, "audit.rules.max-log-mib", format!("{most} MiB at most, rotate"));
    evidence.push(Evidence::new(PATH, state, want));
    if !good {
        let files = files.filter(|files| (2..=most).contains(files)).unwrap_or(FILES);
        let size = size.filter(|size| size.saturating_mul(files) <= most).unwrap_or((most / files).clamp(1, 8));
        let settings = [
            ("max_log_file", size.to_string()),
            ("num_logs", files.to_string()),
            ("max_log_file_action", "ROTATE".to_owned()),
        ];
        for (key, value) in settings {
            *text = Syntax::Pam.set(text, key, &value);
        }
    }
    good
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_file_is_bounded_and_harmless() {
        for (key, instead) in ACTIONS {
            assert_eq!(value(FRESH, key), instead);
        }
        assert_eq!((value(FRESH, "max_log_file"), value(FRESH, "num_logs")), ("8", "5"));
    }
}
