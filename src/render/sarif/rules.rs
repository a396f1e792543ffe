//! The rules: one per control, and those of findings that belong to no control.

use serde::Serialize;

use super::{Message, Relationship, message, taxa};
use crate::controls::Severity;
use crate::report::document::{Document, Explained, WaiverState};

/// The finding about a waiver that is over.
pub(super) const EXPIRED: &str = "waiver.expired";
/// What changes meaning at an upgrade.
pub(super) const UPGRADE: &str = "upgrade.pve9";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rule {
    pub(super) id: String,
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

/// Every rule that a result may name.
pub(super) fn rules(document: &Document) -> Vec<Rule> {
    let mut rules: Vec<Rule> = document.catalogue.iter().map(|explained| rule(explained, document)).collect();
    if document.nodes.iter().any(|node| node.waivers.iter().any(|waiver| waiver.state == WaiverState::Expired)) {
        rules.push(expired_rule());
    }
    if document.nodes.iter().any(|node| !node.upgrade.is_empty()) {
        rules.push(upgrade_rule());
    }
    rules
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

fn upgrade_rule() -> Rule {
    let text = "What the node, the profile and the site mean on PVE 9";
    Rule {
        id: UPGRADE.into(),
        name: pascal(UPGRADE),
        short_description: message(text),
        full_description: message(
            "An upgrade from PVE 8 changes what some of the configuration means, without a word.",
        ),
        help: message("Prepare it before the upgrade; after it, `pve-harden plan` shows what to apply again."),
        default_configuration: Configuration { level: "note" },
        relationships: Vec::new(),
        properties: Properties { tags: vec!["security".into(), "upgrade".into()], security_severity: "3.0" },
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

pub(super) const fn level_of(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "note",
        Severity::Medium => "warning",
        Severity::High => "error",
    }
}
