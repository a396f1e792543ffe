//! Runs of a node, and what a rollback would bring back.

use std::fmt::Write as _;

use serde_json::json;

use super::style::{Palette, Tone};
use crate::apply::history::{Record, Rollback};
use crate::sanitize;

/// A block per run, oldest first.
pub fn text(node: &str, records: &[Record], palette: Palette) -> String {
    let mut text = String::new();
    if records.is_empty() {
        return format!("{node}: no runs\n");
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
    text
}

/// One versioned JSON document.
pub fn json(node: &str, records: &[Record]) -> String {
    let document = json!({ "version": 1, "node": node, "runs": records });
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
                let _ = writeln!(text, "  {} {}", sanitize::line(&step.kind), sanitize::line(&step.subject));
            }
        }
        let installed = run.installed();
        if !installed.is_empty() {
            let _ = writeln!(text, "  these packages stay: {}", sanitize::line(&installed.join(" ")));
        }
    }
    text
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
