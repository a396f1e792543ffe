//! SARIF 2.1.0 (OASIS): a rule per control, a result per control and node.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::controls::Severity;
use crate::report::document::{Control, Document, Explained, Node, State, WaiverEntry, WaiverState};
use crate::report::framework::{Covers, Requirement, View};
use crate::sanitize;

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
/// The finding about a waiver that is over.
const EXPIRED: &str = "waiver.expired";

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
#[serde(rename_all = "camelCase")]
struct Rule {
    id: String,
    name: String,
    short_description: Message,
    full_description: Message,
    help: Message,
    default_configuration: Configuration,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    relationships: Vec<Relationship>,
    properties: Properties,
}

#[derive(Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Serialize)]
struct Properties {
    tags: Vec<String>,
    /// What code scanning sorts by, 0 to 10.
    #[serde(rename = "security-severity")]
    security_severity: &'static str,
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
    let results = document.nodes.iter().flat_map(|node| findings(node, document)).collect();
    let failed = document.nodes.iter().filter_map(|node| Some((node, node.failure.as_ref()?)));
    let notifications = failed.map(|(node, failure)| Notification {
        level: "error",
        message: message(&format!("{}: {}; {}", failure.state, failure.cause, failure.hint)),
        locations: vec![location(node, None)],
    });
    let mut rules: Vec<Rule> = document.catalogue.iter().map(|explained| rule(explained, document)).collect();
    if document.nodes.iter().any(|node| node.waivers.iter().any(|waiver| waiver.state == WaiverState::Expired)) {
        rules.push(expired_rule());
    }
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

fn rule(explained: &Explained, document: &Document) -> Rule {
    let Explained { id, title, why, checked, naive, references, level, severity } = explained;
    let help = format!(
        "{why}\n\nHow it is checked: {checked}\n\nWhat breaks when done naively: {naive}\n\nReferences:\n- {}\n",
        references.join("\n- ")
    );
    let family = id.split('.').next().unwrap_or_default();
    Rule {
        id: id.clone(),
        name: pascal(id),
        short_description: message(title),
        full_description: message(why),
        help: message(&help),
        default_configuration: Configuration { level: level_of(*severity) },
        relationships: taxa(id, document)
            .into_iter()
            .map(|target| Relationship { target, kinds: ["relevant"] })
            .collect(),
        properties: Properties {
            tags: vec!["security".into(), family.into(), format!("level-{level}")],
            security_severity: match severity {
                Severity::Low => "3.0",
                Severity::Medium => "5.5",
                Severity::High => "8.0",
            },
        },
    }
}

fn expired_rule() -> Rule {
    let text = "No waiver of the site has expired";
    Rule {
        id: EXPIRED.into(),
        name: pascal(EXPIRED),
        short_description: message(text),
        full_description: message("An accepted deviation ends on its day; then somebody decides again."),
        help: message("Put the control right and remove the waiver, or renew it with a new day."),
        default_configuration: Configuration { level: "warning" },
        relationships: Vec::new(),
        properties: Properties { tags: vec!["security".into(), "waiver".into()], security_severity: "5.5" },
    }
}

/// `ssh.root-login` → `SshRootLogin`.
fn pascal(id: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_uppercase().collect::<String>() + letters.as_str()).unwrap_or_default()
    };
    id.split(['.', '-']).map(word).collect()
}

fn findings(node: &Node, document: &Document) -> Vec<Finding> {
    let rule_index = |id: &str| document.catalogue.iter().position(|explained| explained.id == id);
    let controls = node
        .controls
        .iter()
        .map(|control| finding(node, control, rule_index(&control.id), taxa(&control.id, document)));
    let expired = node.waivers.iter().filter(|waiver| waiver.state == WaiverState::Expired);
    let expired = expired.map(|waiver| Finding {
        rule_id: EXPIRED.into(),
        rule_index: Some(document.catalogue.len()),
        kind: "fail",
        level: "warning",
        message: message(&format!("{}: the waiver {}; {}", waiver.control, waiver.standing(), accepted(waiver))),
        locations: vec![location(node, None)],
        partial_fingerprints: fingerprint(node, &format!("{EXPIRED} {}", waiver.control)),
        taxa: Vec::new(),
        suppressions: Vec::new(),
    });
    controls.chain(expired).collect()
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

const fn level_of(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "note",
        Severity::Medium => "warning",
        Severity::High => "error",
    }
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
    fn a_hostile_name_is_a_harmless_uri() {
        assert_eq!(encoded("a b/<é>"), "a%20b/%3C%C3%A9%3E");
        let text = document(&testing::hostile()).unwrap();
        assert!(!text.contains('\u{202e}') && !text.contains('\u{1b}'), "{text}");
    }
}
