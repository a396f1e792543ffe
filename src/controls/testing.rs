//! Nodes for the tests of controls: recorded ones, with files changed.

use crate::change::{Action, Change};
use crate::controls::{Control, Status, Verdict};
use crate::facts::{Facts, FileFact, FileKind, Reading};
use crate::profile::policy::{Policy, Site};

/// The shipped baseline with an empty site.
pub fn baseline() -> Policy {
    Policy::from_embedded("baseline", Site::default()).unwrap()
}

/// A root-owned text file.
pub fn regular(content: &str, mode: u32) -> Reading<FileFact> {
    Reading::Known(FileFact {
        kind: FileKind::Regular,
        mode,
        owner: "root".into(),
        group: "root".into(),
        digest: None,
        content: Some(content.into()),
        modified: None,
    })
}

/// Puts a file's new reading into the facts, and reads the PAM services again.
pub fn put(facts: &mut Facts, path: &str, reading: Reading<FileFact>) {
    facts.files.insert(path.into(), reading);
    facts.pam = crate::facts::pam_services(&facts.files);
}

/// Puts a text file there.
pub fn put_text(facts: &mut Facts, path: &str, content: &str) {
    put(facts, path, regular(content, 0o644));
}

/// Replaces text in a file that must contain it.
pub fn patch(facts: &mut Facts, path: &str, from: &str, to: &str) {
    let old = facts.file(path).known().and_then(|fact| fact.content.clone()).unwrap();
    assert!(old.contains(from), "{path} does not contain {from:?}");
    put_text(facts, path, &old.replace(from, to));
}

/// Installs packages in the facts.
pub fn install(facts: &mut Facts, names: &[&str]) {
    let Reading::Known(packages) = &mut facts.packages else { panic!("packages were not read") };
    for name in names {
        packages.insert((*name).into(), crate::facts::Package { version: "1".into(), installed: true });
    }
}

/// The changes of a verdict; none when it is not "differs".
pub fn changes(verdict: &Verdict) -> &[Change] {
    match &verdict.status {
        Status::Differs { changes, .. } => changes,
        _ => &[],
    }
}

/// The advice of a verdict.
pub fn advice(verdict: &Verdict) -> &str {
    match &verdict.status {
        Status::Differs { advice: Some(advice), .. } => advice,
        _ => "",
    }
}

/// Carries the files of a verdict out; what the programs on the node do is put by the test.
pub fn carry_out(facts: &mut Facts, verdict: &Verdict) {
    for change in changes(verdict) {
        if let Action::File(file) = &change.action {
            let reading = file.after.as_ref().map_or(Reading::Absent, |after| regular(&after.content, after.mode));
            put(facts, &file.path, reading);
        }
    }
}

/// One line per change, and the files they write.
pub fn story(verdict: &Verdict) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    match &verdict.status {
        Status::Compliant => out.push_str("compliant\n"),
        Status::Differs { .. } => out.push_str("differs\n"),
        Status::Unknown { why } => writeln!(out, "unknown: {why}").unwrap(),
        Status::NotApplicable { why } => writeln!(out, "not applicable: {why}").unwrap(),
        Status::Refused { why } => writeln!(out, "refused: {why}").unwrap(),
        Status::Waived { deviation, .. } => writeln!(out, "waived: {deviation}").unwrap(),
    }
    for evidence in &verdict.evidence {
        let wanted = evidence.wanted.as_deref().unwrap_or("-");
        writeln!(out, "  {}: {} | {wanted}", evidence.source, evidence.found).unwrap();
    }
    for change in changes(verdict) {
        writeln!(out, "{} {}", change.stage, change.summary).unwrap();
        match &change.action {
            Action::File(file) => out.push_str(&diff(file)),
            other => writeln!(out, "  {}", serde_json::to_string(other).unwrap()).unwrap(),
        }
    }
    if !advice(verdict).is_empty() {
        writeln!(out, "advice: {}", advice(verdict)).unwrap();
    }
    out
}

fn diff(file: &crate::change::FileChange) -> String {
    let text = |image: &Option<crate::change::FileImage>| image.as_ref().map(|i| i.content.clone()).unwrap_or_default();
    let (before, after) = (text(&file.before), text(&file.after));
    let mode = file.after.as_ref().map_or(0, |after| after.mode);
    let diff = similar::TextDiff::from_lines(&before, &after);
    format!("  {} {mode:04o}\n{}", file.path, diff.unified_diff().context_radius(1))
}

/// A control must not be sure of a node of which it cannot read this file.
pub fn unreadable(control: &dyn Control, mut facts: Facts, path: &str) {
    put(&mut facts, path, Reading::Unreadable("permission denied".into()));
    let verdict = control.evaluate(&facts, &baseline());
    assert!(matches!(verdict.status, Status::Unknown { .. }), "{path}: {}", story(&verdict));
}
