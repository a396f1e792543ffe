//! Runs of a node, and what a rollback would bring back.

use std::fmt::Write as _;

use serde_json::json;

use super::style::{Palette, Tone};
use crate::apply::history::{Record, Rollback, SavedStep};
use crate::sanitize;

/// A block per run, oldest first; what was done outside of runs follows.
pub fn text(node: &str, records: &[Record], events: &[String], palette: Palette) -> String {
    let mut text = String::new();
    if records.is_empty() {
        text = format!("{node}: no runs\n");
    }
    for record in records {
        let id = sanitize::line(&record.id);
        let _ = writeln!(text, "{}  {}", palette.paint(Tone::Heading, &id), outcome_words(&record.outcome));
        if let Some(meta) = &record.meta {
            let from = meta.from.as_deref().map(|from| format!(" from {from}")).unwrap_or_default();
            let by = format!("{} by {}{from}, as {}, pve-harden {}", meta.verb, meta.operator, meta.login, meta.tool);
            let _ = writeln!(text, "  {}", sanitize::line(&by));
            let profiles = meta.profiles.join(" + ");
            let _ = writeln!(text, "  profile {}, {} changes", sanitize::line(&profiles), meta.changes.len());
            if let Some(reason) = &meta.reason {
                let _ = writeln!(text, "  reason: {}", sanitize::line(reason));
            }
        }
        if !record.changed.is_empty() {
            let _ = writeln!(text, "  changed since: {}", sanitize::line(&record.changed.join(", ")));
        }
    }
    if !events.is_empty() {
        let _ = writeln!(text, "{}", palette.paint(Tone::Heading, "outside of runs"));
    }
    for event in events {
        let _ = writeln!(text, "  {}", sanitize::line(event));
    }
    text
}

/// One versioned JSON document.
pub fn json(node: &str, records: &[Record], events: &[String]) -> String {
    let document = json!({ "version": 1, "node": node, "runs": records, "events": events });
    format!("{document:#}\n")
}

/// What comes back, in the order in which it does.
pub fn rollback(node: &str, rollback: &Rollback<'_>, palette: Palette) -> String {
    let mut text = String::new();
    for run in &rollback.runs {
        let id = sanitize::line(&run.id);
        let _ = writeln!(text, "{}", palette.paint(Tone::Heading, &format!("{node}: run {id} is taken back")));
        for step in run.steps.iter().rev() {
            if rollback.steps.iter().any(|(id, number)| *id == run.id && *number == step.number) {
                let _ = writeln!(text, "  - {}", sanitize::line(&step_line(run, step)));
            }
        }
        let installed = run.installed();
        if !installed.is_empty() {
            let _ = writeln!(text, "  these packages stay: {}", sanitize::line(&installed.join(" ")));
        }
    }
    text
}

/// In the words of the plan; a run whose record cannot be read has the node's words only.
fn step_line(run: &Record, step: &SavedStep) -> String {
    let place = step.number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    let summary = place.and_then(|place| run.meta.as_ref()?.changes.get(place)).filter(|summary| !summary.is_empty());
    match summary {
        Some(summary) if step.subject.starts_with('/') => format!("{}: {summary}", step.subject),
        Some(summary) => summary.clone(),
        None => format!("{} {}", step.kind, step.subject),
    }
}

fn outcome_words(outcome: &str) -> String {
    match outcome {
        "open" => "waits for its confirmation".into(),
        "undone" => "was undone by the node".into(),
        "rolled-back" => "was rolled back".into(),
        "undoing" => "its undo is not finished".into(),
        other => sanitize::line(other).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::bundle::Meta;
    use crate::apply::journal;

    #[test]
    fn a_rollback_is_told_in_the_words_of_the_plan() {
        let step = |number: &str, kind: &str, subject: &str| SavedStep {
            number: number.into(),
            kind: kind.into(),
            subject: subject.into(),
        };
        let meta = serde_json::json!({
            "version": 1, "id": "r1", "verb": "apply", "node": "pve1", "operator": "o", "from": null, "login": "root",
            "tool": "1", "profiles": [], "digests": crate::profile::policy::Digests::default(), "seal": "", "reason": null,
            "started": "2026-01-01T00:00:00Z", "changes": ["install sudo", "account ops", "keys of ops"],
        });
        let run = Record {
            id: "r1".into(),
            outcome: "committed".into(),
            meta: serde_json::from_value::<Meta>(meta).ok(),
            journal: journal::parse_all("1 note installs sudo=1.9"),
            steps: vec![
                step("001", "packages", ""),
                step("002", "user", "ops Ops /bin/bash /home/ops"),
                step("003", "file", "/home/ops/.ssh/authorized_keys"),
                step("004", "unit", "ssh.service reload"),
            ],
            changed: Vec::new(),
        };
        let steps = run.steps.iter().rev().map(|step| (run.id.clone(), step.number.clone())).collect();
        let shown = rollback("pve1", &Rollback { runs: vec![&run], steps }, Palette::PLAIN);
        insta::assert_snapshot!(shown, @r"
        pve1: run r1 is taken back
          - unit ssh.service reload
          - /home/ops/.ssh/authorized_keys: keys of ops
          - account ops
          - install sudo
          these packages stay: sudo=1.9
        ");
    }
}
