//! The JSON document of `plan` and `check`: the same as the text, versioned.

use serde_json::{Value, json};

use super::diff;
use crate::change::{Action, Change, FileImage};
use crate::plan::{Plan, seal};
use crate::report::document::Document;
use crate::report::{NodeResult, Report};

/// One pretty-printed document with a final newline.
pub fn document(report: &Report) -> String {
    format!("{:#}\n", value(report))
}

/// The document of `check`.
pub fn checked(document: &Document) -> String {
    format!("{:#}\n", json!(document))
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

/// The document with each node's plan.
fn value(report: &Report) -> Value {
    let mut document = json!(Document::new(report, None));
    for (place, node) in report.nodes.iter().enumerate() {
        if let Ok(judged) = &node.result {
            document["nodes"][place]["plan"] = plan(&judged.plan);
        }
    }
    document
}

fn plan(plan: &Plan) -> Value {
    let Plan {
        node: _,
        seal,
        changes,
        brings,
        expects,
        verdicts: _,
        drift,
        notes,
        refusals,
        proofs,
        reach,
        firewall_questions: _,
        digests,
    } = plan;
    let mut document = json!({
        "seal": seal,
        "digests": digests,
        "changes": changes.iter().map(change).collect::<Vec<_>>(),
        "brings": brings,
        "expects": expects,
        "proofs": proofs,
        "drift": drift,
        "notes": notes,
        "refusals": refusals,
    });
    if let Some(reach) = reach {
        document["reachability"] = json!(reach);
    }
    document
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
