//! The JSON document of `plan` and `check`: the same as the text, versioned.

use serde_json::{Map, Value, json};

use super::{diff, redact};
use crate::change::{Action, Change, FileImage};
use crate::controls::{Evidence, Status};
use crate::plan::{Plan, seal};
use crate::report::{Command, ControlResult, NodeReport, NodeResult, Report, VERSION};

/// One pretty-printed document with a final newline.
pub fn document(report: &Report) -> String {
    format!("{:#}\n", value(report))
}

/// As [`document`], for `apply`: the plans, and what became of each.
pub fn applied(report: &Report, results: &[NodeResult]) -> String {
    let mut document = value(report);
    document["command"] = json!("apply");
    let planned = report.nodes.iter().filter_map(|node| node.result.as_ref().err()).map(|failure| failure.exit_code);
    document["exit-code"] = json!(planned.chain(results.iter().map(|result| result.exit_code)).max().unwrap_or(0));
    document["results"] = json!(results);
    format!("{document:#}\n")
}

fn value(report: &Report) -> Value {
    json!({
        "version": VERSION,
        "tool": format!("pve-harden {}", env!("CARGO_PKG_VERSION")),
        "command": match report.command {
            Command::Plan => "plan",
            Command::Check { .. } => "check",
        },
        "exit-code": report.exit_code(),
        "nodes": report.nodes.iter().map(|one| node(one, report.command)).collect::<Vec<_>>(),
    })
}

fn node(report: &NodeReport, command: Command) -> Value {
    let mut value = Map::new();
    value.insert("node".into(), json!(report.node));
    value.insert("address".into(), json!(report.address));
    value.insert("exit-code".into(), json!(report.exit_code(command)));
    match &report.result {
        Err(failure) => {
            value.insert("failure".into(), json!(failure));
        }
        Ok(judged) => {
            value.insert("release".into(), json!(judged.release));
            value.insert("summary".into(), json!(judged.summary()));
            value.insert("controls".into(), judged.controls.iter().map(control).collect());
            if command == Command::Plan {
                value.insert("plan".into(), plan(&judged.plan));
            }
        }
    }
    Value::Object(value)
}

fn control(control: &ControlResult) -> Value {
    let (status, why) = match &control.verdict.status {
        Status::Compliant => ("compliant", None),
        Status::Differs { advice, .. } => ("differs", advice.as_ref()),
        Status::Unknown { why } => ("unknown", Some(why)),
        Status::NotApplicable { why } => ("not-applicable", Some(why)),
        Status::Refused { why } => ("refused", Some(why)),
    };
    json!({
        "id": control.id,
        "title": control.title,
        "severity": control.severity,
        "level": control.level,
        "status": status,
        "why": why.map(|why| redact::secrets(why)),
        "origins": control.origins,
        "evidence": control.verdict.evidence.iter().map(evidence).collect::<Vec<_>>(),
    })
}

fn evidence(evidence: &Evidence) -> Value {
    json!({
        "source": evidence.source,
        "found": redact::secrets(&evidence.found),
        "wanted": evidence.wanted.as_ref().map(|wanted| redact::secrets(wanted)),
    })
}

fn plan(plan: &Plan) -> Value {
    let Plan { node: _, seal, changes, brings, expects, verdicts: _, notes, refusals, proofs, digests } = plan;
    json!({
        "seal": seal,
        "digests": digests,
        "changes": changes.iter().map(change).collect::<Vec<_>>(),
        "brings": brings,
        "expects": expects,
        "proofs": proofs,
        "notes": notes,
        "refusals": refusals,
    })
}

fn change(change: &Change) -> Value {
    let action = match &change.action {
        Action::File(file) => json!({
            "do": "file",
            "path": file.path,
            "before": file.before.as_ref().map(image),
            "after": file.after.as_ref().map(image),
            "diff": diff::text(file),
        }),
        other => json!(other),
    };
    json!({
        "stage": change.stage,
        "controls": change.controls,
        "summary": change.summary,
        "interrupts": change.interrupts,
        "action": action,
    })
}

/// What a file is, without what it says.
fn image(image: &FileImage) -> Value {
    json!({
        "sha256": seal::digest(&image.content),
        "mode": format!("{:04o}", image.mode),
        "owner": image.owner,
        "group": image.group,
    })
}
