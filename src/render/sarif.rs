//! SARIF 2.1.0 (OASIS): a rule per control, a result per control and node.

mod rules;

use std::collections::BTreeMap;

use serde::Serialize;

use self::rules::{EXPIRED, Rule, UPGRADE, level_of};
use crate::report::document::{Control, Document, Node, State, WaiverEntry, WaiverState};
use crate::report::framework::{Covers, Requirement, View};
use crate::sanitize;

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

#[derive(Serialize)]
struct Log {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    tool: Tool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    taxonomies: Vec<Taxonomy>,
    invocations: [Invocation; 1],
    results: Vec<Finding>,
    column_kind: &'static str,
}

#[derive(Serialize)]
struct Tool {
    driver: Driver,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver {
    name: &'static str,
    semantic_version: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    supported_taxonomies: Vec<Component>,
    rules: Vec<Rule>,
}

/// A framework as a standard taxonomy (SARIF 2.1.0, 3.19.3).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Taxonomy {
    name: String,
    short_description: Message,
    is_comprehensive: bool,
    taxa: Vec<Taxon>,
}

/// A requirement.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Taxon {
    id: String,
    short_description: Message,
    properties: Covered,
}

#[derive(Serialize)]
struct Covered {
    coverage: Covers,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    commands: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outside: Option<String>,
    /// Node → the worst state of the controls that answer the requirement.
    nodes: BTreeMap<String, String>,
}

/// Which taxonomy is meant.
#[derive(Clone, Serialize)]
struct Component {
    name: String,
    index: usize,
}

/// Which requirement is meant.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct TaxonReference {
    id: String,
    index: usize,
    tool_component: Component,
}

/// How a rule stands to a requirement.
#[derive(Serialize)]
struct Relationship {
    target: TaxonReference,
    kinds: [&'static str; 1],
}

#[derive(Serialize)]
struct Message {
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    execution_successful: bool,
    exit_code: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time_utc: Option<String>,
    tool_execution_notifications: Vec<Notification>,
}

#[derive(Serialize)]
struct Notification {
    level: &'static str,
    message: Message,
    locations: Vec<Location>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    rule_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule_index: Option<usize>,
    kind: &'static str,
    level: &'static str,
    message: Message,
    locations: Vec<Location>,
    partial_fingerprints: Fingerprint,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    taxa: Vec<TaxonReference>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suppressions: Vec<Suppression>,
}

#[derive(Serialize)]
struct Fingerprint {
    #[serde(rename = "nodeAndControl/v1")]
    node_and_control: String,
}

#[derive(Serialize)]
struct Suppression {
    kind: &'static str,
    status: &'static str,
    justification: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location {
    physical_location: PhysicalLocation,
    logical_locations: [LogicalLocation; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation {
    artifact_location: ArtifactLocation,
}

#[derive(Serialize)]
struct ArtifactLocation {
    uri: String,
}

#[derive(Serialize)]
struct LogicalLocation {
    name: String,
    kind: &'static str,
}

/// One pretty-printed log with a final newline.
pub fn document(document: &Document) -> serde_json::Result<String> {
    let failed = document.nodes.iter().filter_map(|node| Some((node, node.failure.as_ref()?)));
    let notifications = failed.map(|(node, failure)| Notification {
        level: "error",
        message: message(&format!("{}: {}; {}", failure.state, failure.cause, failure.hint)),
        locations: vec![location(node, None)],
    });
    let rules = rules::rules(document);
    let place: BTreeMap<String, usize> =
        rules.iter().enumerate().map(|(index, rule)| (rule.id.clone(), index)).collect();
    let results = document.nodes.iter().flat_map(|node| findings(node, document, &place)).collect();
    let run = Run {
        tool: Tool {
            driver: Driver {
                name: "pve-harden",
                semantic_version: env!("CARGO_PKG_VERSION"),
                supported_taxonomies: document.framework.iter().map(component).collect(),
                rules,
            },
        },
        taxonomies: document.framework.iter().map(taxonomy).collect(),
        invocations: [Invocation {
            execution_successful: document.nodes.iter().all(|node| node.failure.is_none()),
            exit_code: document.exit_code,
            end_time_utc: document.generated.map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
            tool_execution_notifications: notifications.collect(),
        }],
        results,
        column_kind: "unicodeCodePoints",
    };
    let log = Log { schema: SCHEMA, version: "2.1.0", runs: [run] };
    Ok(serde_json::to_string_pretty(&log)? + "\n")
}

fn component(view: &View) -> Component {
    Component { name: view.name.clone(), index: 0 }
}

fn taxonomy(view: &View) -> Taxonomy {
    let taxon = |one: &Requirement| Taxon {
        id: one.id.clone(),
        short_description: message(&one.title),
        properties: Covered {
            coverage: one.coverage,
            commands: one.commands.clone(),
            outside: one.outside.clone(),
            nodes: one.nodes.iter().map(|at| (sanitize::line(&at.node).into_owned(), at.words())).collect(),
        },
    };
    Taxonomy {
        name: view.name.clone(),
        short_description: message(&view.title),
        is_comprehensive: false,
        taxa: view.requirements.iter().map(taxon).collect(),
    }
}

/// The requirements that a control answers.
fn taxa(control: &str, document: &Document) -> Vec<TaxonReference> {
    let of = |view: &View| -> Vec<TaxonReference> {
        let rows = view.requirements.iter().enumerate();
        let answered = rows.filter(|(_, one)| one.controls.iter().any(|id| id == control));
        let reference = |(index, one): (usize, &Requirement)| TaxonReference {
            id: one.id.clone(),
            index,
            tool_component: component(view),
        };
        answered.map(reference).collect()
    };
    document.framework.as_ref().map(of).unwrap_or_default()
}

fn findings(node: &Node, document: &Document, rules: &BTreeMap<String, usize>) -> Vec<Finding> {
    let index = |id: &str| rules.get(id).copied();
    let controls =
        node.controls.iter().map(|control| finding(node, control, index(&control.id), taxa(&control.id, document)));
    let other = |id: &str, what: &str, level: &'static str, text: &str| Finding {
        rule_id: id.into(),
        rule_index: index(id),
        kind: "fail",
        level,
        message: message(text),
        locations: vec![location(node, None)],
        partial_fingerprints: fingerprint(node, &format!("{id} {what}")),
        taxa: Vec::new(),
        suppressions: Vec::new(),
    };
    let expired = node.waivers.iter().filter(|waiver| waiver.state == WaiverState::Expired).map(|waiver| {
        let text = format!("{}: the waiver {}; {}", waiver.control, waiver.standing(), accepted(waiver));
        other(EXPIRED, &waiver.control, "warning", &text)
    });
    let upgrade = node.upgrade.iter().map(|one| {
        let text = format!("{}: {}\nhint: {}", one.subject, one.change, one.todo);
        other(UPGRADE, &one.subject, "note", &text)
    });
    controls.chain(expired).chain(upgrade).collect()
}

fn finding(node: &Node, control: &Control, rule_index: Option<usize>, taxa: Vec<TaxonReference>) -> Finding {
    // Everything but `fail` has the level `none` (SARIF 2.1.0, 3.27.10).
    let (kind, level) = match control.status {
        State::Pass => ("pass", "none"),
        State::NotApplicable => ("notApplicable", "none"),
        State::Unknown => ("open", "none"),
        State::Differs | State::Refused | State::Waived => ("fail", level_of(control.severity)),
    };
    let suppression = |waiver: &WaiverEntry| Suppression {
        kind: "external",
        status: "accepted",
        justification: sanitize::text(&accepted(waiver)).into_owned(),
    };
    Finding {
        rule_id: control.id.clone(),
        rule_index,
        kind,
        level,
        message: message(&said(control)),
        locations: vec![location(node, file(control))],
        partial_fingerprints: fingerprint(node, &control.id),
        taxa,
        suppressions: control.waiver.iter().map(suppression).collect(),
    }
}

fn said(control: &Control) -> String {
    let mut lines = vec![format!("{}: {}", control.status.word(), control.title)];
    lines.extend(control.why.clone());
    for seen in &control.evidence {
        let wanted = seen.wanted.as_ref().map(|wanted| format!(" (wanted: {wanted})")).unwrap_or_default();
        lines.push(format!("{}: {}{wanted}", seen.source, seen.found));
    }
    lines.extend(control.fix.as_ref().map(|fix| format!("hint: {}", fix.hint)));
    lines.join("\n")
}

fn accepted(waiver: &WaiverEntry) -> String {
    format!("accepted by {} for {} until {}: {}", waiver.owner, waiver.place(), waiver.expires, waiver.reason)
}

/// The first file that the evidence names.
fn file(control: &Control) -> Option<&str> {
    let sources = control.evidence.iter().map(|seen| seen.source.as_str());
    sources.filter_map(|source| source.split([' ', ':', ',']).next()).find(|word| word.starts_with('/'))
}

/// A node is shown as the folder its files lie in, the way viewers of source code expect.
fn location(node: &Node, file: Option<&str>) -> Location {
    let uri = encoded(&node.node) + &file.map_or_else(|| "/".into(), encoded);
    Location {
        physical_location: PhysicalLocation { artifact_location: ArtifactLocation { uri } },
        logical_locations: [LogicalLocation { name: sanitize::line(&node.node).into_owned(), kind: "resource" }],
    }
}

/// Percent-encoding of everything that is not unreserved or `/` (RFC 3986).
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut uri, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
        uri
    })
}

fn fingerprint(node: &Node, what: &str) -> Fingerprint {
    Fingerprint { node_and_control: sanitize::line(&format!("{} {what}", node.node)).into_owned() }
}

fn message(text: &str) -> Message {
    Message { text: sanitize::text(text).into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing;
    use serde_json::Value;

    fn log(of: &Document) -> Value {
        serde_json::from_str(&document(of).unwrap()).unwrap()
    }

    #[test]
    fn every_state_has_its_kind() {
        let log = log(&testing::document());
        let results = log["runs"][0]["results"].as_array().unwrap();
        let shown: Vec<String> = results
            .iter()
            .map(|one| {
                let suppressed = one["suppressions"].as_array().map_or(0, Vec::len);
                format!("{} {} {} {suppressed}", one["ruleId"], one["kind"], one["level"]).replace('"', "")
            })
            .collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        ssh.limits pass none 0
        ssh.root-login fail error 0
        ssh.crypto open none 0
        accounts.root-password fail note 0
        password.hash notApplicable none 0
        ssh.forwarding fail warning 1
        ssh.password-auth fail warning 0
        waiver.expired fail warning 0
        ");
        assert_eq!(log["runs"][0]["invocations"][0]["toolExecutionNotifications"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn every_result_points_at_its_rule() {
        let log = log(&testing::document());
        let run = &log["runs"][0];
        for result in run["results"].as_array().unwrap() {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
        }
    }

    #[test]
    fn what_an_upgrade_changes_is_a_note_with_a_rule_of_its_own() {
        let mut of = testing::document();
        of.nodes[0].upgrade = testing::upgrade();
        let log = log(&of);
        let run = &log["runs"][0];
        let results = run["results"].as_array().unwrap();
        let found: Vec<&Value> = results.iter().filter(|one| one["ruleId"] == UPGRADE).collect();
        assert_eq!(found.len(), 2);
        for one in &found {
            let index = usize::try_from(one["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(run["tool"]["driver"]["rules"][index]["id"], UPGRADE);
            assert_eq!((one["kind"].as_str(), one["level"].as_str()), (Some("fail"), Some("note")));
        }
        let text = found[0]["message"]["text"].as_str().unwrap();
        assert_eq!(text, "role WebDev: VM.Monitor does not exist on PVE 9\nhint: add Sys.Audit");
        assert_ne!(found[0]["partialFingerprints"], found[1]["partialFingerprints"]);
        assert!(!found[1].to_string().contains('\u{1b}'), "{}", found[1]);
    }

    #[test]
    fn a_hostile_name_is_a_harmless_uri() {
        assert_eq!(encoded("a b/<é>"), "a%20b/%3C%C3%A9%3E");
        let text = document(&testing::hostile()).unwrap();
        assert!(!text.contains('\u{202e}') && !text.contains('\u{1b}'), "{text}");
    }
}
