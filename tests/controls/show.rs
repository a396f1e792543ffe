//! A verdict as text, for snapshots that people review.

use std::fmt::Write as _;

use pve_harden::change::{Action, Change, FileChange, Validate};
use pve_harden::controls::{Status, Verdict};

/// Everything a verdict says.
pub fn verdict(verdict: &Verdict) -> String {
    let mut text = String::new();
    let (word, why) = match &verdict.status {
        Status::Compliant => ("compliant", None),
        Status::Differs { advice, .. } => ("differs", advice.as_ref()),
        Status::Unknown { why } => ("unknown", Some(why)),
        Status::NotApplicable { why } => ("not applicable", Some(why)),
        Status::Refused { why } => ("refused", Some(why)),
        Status::Waived { deviation, .. } => ("waived", Some(deviation)),
    };
    let _ = writeln!(text, "{word}{}", why.map(|why| format!(": {why}")).unwrap_or_default());
    for evidence in &verdict.evidence {
        let _ = write!(text, "- {}: {}", evidence.source, evidence.found);
        let _ = writeln!(text, "{}", evidence.wanted.as_ref().map(|it| format!(" → {it}")).unwrap_or_default());
    }
    if let Status::Differs { changes, .. } = &verdict.status {
        for change in changes {
            write_change(&mut text, change);
        }
    }
    text
}

fn write_change(text: &mut String, change: &Change) {
    let _ = writeln!(text, "\n{}: {} [{}]", change.stage, change.summary, change.controls.join(", "));
    match &change.action {
        Action::File(file) => write_file(text, file),
        other => {
            let _ = writeln!(text, "  {}", serde_json::to_string(other).unwrap());
        }
    }
}

fn write_file(text: &mut String, file: &FileChange) {
    let before = if file.before.is_some() { "present" } else { "absent" };
    match &file.after {
        None => {
            let _ = writeln!(text, "  {} removed", file.path);
        }
        Some(image) => {
            let _ = writeln!(text, "  {} ({before}) {:04o} {}:{}", file.path, image.mode, image.owner, image.group);
            for line in image.content.lines() {
                let _ = writeln!(text, "  |{}{line}", if line.is_empty() { "" } else { " " });
            }
        }
    }
    if let Some(Validate::Sshd { expect }) = &file.validate {
        for case in expect {
            let settings: Vec<_> = case.settings.iter().map(|(key, value)| format!("{key} {value}")).collect();
            let _ = writeln!(text, "  sshd -T -C {}: {}", case.case, settings.join("; "));
        }
    }
}
