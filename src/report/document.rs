//! The document of `check` and `plan`: the one model that text, JSON, `JUnit`, SARIF and HTML are made from.
//!
//! Secrets are gone from it; everything else that a node said is there as it said it, so that each format must make it
//! harmless for its own readers.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Command, ControlResult, Failure, Judged, NodeReport, Report, Summary, WaiverResult, framework, redact};
use crate::access::matrix::Account;
use crate::controls::{CATALOGUE, Meta, Reference, Severity, Status};
use crate::plan::drift::Drift;
use crate::plan::upgrade::Meaning;
use crate::profile::policy::{Digests, Scope, Standing, Waiver};

/// Version of the document; raised when a field changes its meaning or goes away.
pub const VERSION: u32 = 1;

/// What a command found on every node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Document {
    /// Version of this format.
    pub version: u32,
    /// Program and version that wrote it.
    pub tool: String,
    /// `plan`, `check` or `apply`.
    pub command: String,
    /// The exit code of the command.
    pub exit_code: u8,
    /// When it was made, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub generated: Option<Timestamp>,
    /// Least severity of a difference that makes `check` exit 1; absent when none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fail_on: Option<Severity>,
    /// Profiles in the order they were merged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<String>,
    /// SHA-256 of the merged profile and of the site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digests: Option<PolicyDigests>,
    /// Whom to reach, and how, when a node is in trouble (the site's `emergency-contact`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emergency_contact: Option<String>,
    /// Results in the order in which the nodes were named.
    pub nodes: Vec<Node>,
    /// What the judged controls are about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub catalogue: Vec<Explained>,
    /// Requirements of others, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub framework: Option<framework::View>,
}

/// Digests of what the nodes were judged by, hex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct PolicyDigests {
    /// Merged profile.
    pub profile: String,
    /// Site.
    pub site: String,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Node {
    /// Name in the site, or the address as typed.
    pub node: String,
    /// Address that was contacted, or the capture file.
    pub address: String,
    /// The code this node alone would give.
    pub exit_code: u8,
    /// Why nothing can be said of it; then the fields below are absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// PVE release as the node says it.
    #[serde(default)]
    pub release: Option<String>,
    /// Counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// Every judged control in catalogue order.
    #[serde(default)]
    pub controls: Vec<Control>,
    /// Most likely causes of the differences since the last run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<Drift>,
    /// What changes meaning when the node is upgraded (`--against`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upgrade: Vec<Meaning>,
    /// Why nothing is said of an upgrade although `--against` asks: the node is upgraded already, or its release is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade_note: Option<String>,
    /// Waivers of the site for this node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waivers: Vec<WaiverEntry>,
    /// Who may do what in PVE, account by account; absent when user.cfg was not read or no control of it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Vec<Account>>,
}

/// One control on one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Control {
    /// Stable id, `family.name`.
    pub id: String,
    /// What is required.
    pub title: String,
    /// How bad a difference is.
    pub severity: Severity,
    /// 1, 2 or 3.
    pub level: u8,
    /// The judgement.
    pub status: State,
    /// What to know about the judgement: why it cannot be told, what a person must do, what is accepted.
    pub why: Option<String>,
    /// Files and lines that set its values.
    pub origins: String,
    /// What was read, where, and what it said.
    pub evidence: Vec<Observation>,
    /// How it becomes right; absent where nothing is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
    /// The waiver that holds, for `waived`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiver: Option<WaiverEntry>,
}

/// The judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// As the policy wants it, with evidence.
    Pass,
    /// Not as the policy wants it.
    Differs,
    /// What the policy wants would harm this node.
    Refused,
    /// It cannot be told.
    Unknown,
    /// Not as the policy wants it, and accepted by a waiver.
    Waived,
    /// Makes no sense on this node.
    NotApplicable,
}

/// One observation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Observation {
    /// What was asked.
    pub source: String,
    /// What it said; content of the node.
    pub found: String,
    /// What the policy wants.
    pub wanted: Option<String>,
}

/// How a difference goes away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Fix {
    /// Who does it.
    pub by: FixedBy,
    /// What `apply` would do, step by step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
    /// One thing to do.
    pub hint: String,
}

/// Who puts it right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FixedBy {
    /// `pve-harden apply`.
    Apply,
    /// A person.
    Person,
}

/// A waiver as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct WaiverEntry {
    /// Id of the control.
    pub control: String,
    /// The node it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The group it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Who answers for it.
    pub owner: String,
    /// Why the deviation is accepted.
    pub reason: String,
    /// The last day on which it holds.
    #[schemars(extend("format" = "date"))]
    pub expires: String,
    /// How it stands.
    pub state: WaiverState,
    /// Days left, or days since it expired.
    pub days: i32,
    /// Whether the node deviates at all.
    pub needed: bool,
}

/// How a waiver stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WaiverState {
    /// It holds.
    Holds,
    /// It holds for 30 days or less.
    Ending,
    /// It is over: a finding.
    Expired,
}

/// What a control is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Explained {
    /// Stable id.
    pub id: String,
    /// What is required.
    pub title: String,
    /// Why it matters.
    pub why: String,
    /// What is read and compared.
    pub checked: String,
    /// What goes wrong when it is done naively.
    pub naive: String,
    /// Sources.
    pub references: Vec<String>,
    /// 1, 2 or 3.
    pub level: u8,
    /// How bad a difference is.
    pub severity: Severity,
}

/// What a document says beside its nodes.
#[derive(Clone, Debug)]
pub struct Context {
    /// When it is made.
    pub generated: Timestamp,
    /// Profiles in the order they were merged.
    pub profiles: Vec<String>,
    /// Of profile and site.
    pub digests: Digests,
    /// The site's `emergency-contact`.
    pub emergency_contact: Option<String>,
}

impl Document {
    /// The document of a report; without a context it is that of `plan` and `apply`.
    pub fn new(report: &Report, context: Option<&Context>) -> Self {
        let (command, fail_on) = match report.command {
            Command::Plan => ("plan", None),
            Command::Check { fail_on } => ("check", fail_on),
        };
        Self {
            version: VERSION,
            tool: format!("pve-harden {}", env!("CARGO_PKG_VERSION")),
            command: command.into(),
            exit_code: report.exit_code(),
            generated: context.map(|context| context.generated),
            fail_on,
            profiles: context.map(|context| context.profiles.clone()).unwrap_or_default(),
            digests: context.map(|Context { digests: Digests { profile, site }, .. }| PolicyDigests {
                profile: profile.clone(),
                site: site.clone(),
            }),
            emergency_contact: context
                .and_then(|context| context.emergency_contact.as_ref())
                .map(|contact| redact::secrets(contact).into_owned()),
            nodes: report.nodes.iter().map(|one| node(one, report.command)).collect(),
            catalogue: if context.is_some() { explained(report) } else { Vec::new() },
            framework: None,
        }
    }

    /// What a judged control is about.
    pub fn explained(&self, id: &str) -> Option<&Explained> {
        self.catalogue.iter().find(|explained| explained.id == id)
    }
}

impl Control {
    /// The part of the id before the dot.
    pub fn family(&self) -> &str {
        self.id.split('.').next().unwrap_or_default()
    }

    /// Whether somebody has to act.
    pub const fn is_finding(&self) -> bool {
        matches!(self.status, State::Differs | State::Refused | State::Unknown)
    }
}

impl State {
    /// As people and documents read it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Differs => "differs",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Waived => "waived",
            Self::NotApplicable => "not applicable",
        }
    }
}

impl WaiverEntry {
    /// Where it holds, in words.
    pub fn place(&self) -> String {
        match (&self.node, &self.group) {
            (Some(node), _) => format!("node {node}"),
            (None, Some(group)) => format!("group {group}"),
            (None, None) => String::new(),
        }
    }

    /// How it stands, in words.
    pub fn standing(&self) -> String {
        let days = |days: i32| format!("{days} day{}", if days == 1 { "" } else { "s" });
        match self.state {
            WaiverState::Holds => format!("until {}", self.expires),
            WaiverState::Ending if self.days == 0 => format!("ends today, {}", self.expires),
            WaiverState::Ending => format!("ends in {}, {}", days(self.days), self.expires),
            WaiverState::Expired => format!("expired {} ago, {}", days(self.days), self.expires),
        }
    }

    fn new(result: &WaiverResult) -> Self {
        let Waiver { control, scope, owner, reason, expires } = &result.waiver;
        let (node, group) = match scope {
            Scope::Node(name) => (Some(name.clone()), None),
            Scope::Group(name) => (None, Some(name.clone())),
        };
        let (state, days) = match result.standing {
            Standing::Holds { days } => (WaiverState::Holds, days),
            Standing::Ending { days } => (WaiverState::Ending, days),
            Standing::Expired { days } => (WaiverState::Expired, days),
        };
        let (control, owner, reason) = (control.clone(), owner.clone(), reason.clone());
        Self { control, node, group, owner, reason, expires: expires.to_string(), state, days, needed: result.needed }
    }
}

fn node(report: &NodeReport, command: Command) -> Node {
    let mut node = Node {
        node: report.node.clone(),
        address: report.address.clone(),
        exit_code: report.exit_code(command),
        failure: None,
        release: None,
        summary: None,
        controls: Vec::new(),
        drift: Vec::new(),
        upgrade: Vec::new(),
        upgrade_note: None,
        waivers: Vec::new(),
        access: None,
    };
    match &report.result {
        Err(failure) => node.failure = Some(failure.clone()),
        Ok(judged) => {
            node.release.clone_from(&judged.release);
            node.summary = Some(judged.summary());
            node.controls = judged.controls.iter().map(|one| control(one, judged)).collect();
            node.drift.clone_from(&judged.plan.drift);
            node.upgrade.clone_from(&judged.upgrade);
            node.upgrade_note.clone_from(&judged.upgrade_note);
            node.waivers = judged.waivers.iter().map(WaiverEntry::new).collect();
            node.access = judged.access.as_ref().map(|accounts| accounts.iter().map(account).collect());
        }
    }
    node
}

/// A comment is free text, in which people have been seen to keep passwords' hashes.
fn account(account: &Account) -> Account {
    Account { purpose: redact::secrets(&account.purpose).into_owned(), ..account.clone() }
}

fn control(control: &ControlResult, judged: &Judged) -> Control {
    let hidden = |text: &String| redact::secrets(text).into_owned();
    let (status, why) = match &control.verdict.status {
        Status::Compliant => (State::Pass, None),
        Status::Differs { advice, .. } => (State::Differs, advice.as_ref().map(hidden)),
        Status::Unknown { why } => (State::Unknown, Some(hidden(why))),
        Status::NotApplicable { why } => (State::NotApplicable, Some(hidden(why))),
        Status::Refused { why } => (State::Refused, Some(hidden(why))),
        Status::Waived { deviation, .. } => (State::Waived, Some(hidden(deviation))),
    };
    let holds = |result: &&WaiverResult| match &control.verdict.status {
        Status::Waived { waiver, .. } => result.waiver == *waiver,
        _ => false,
    };
    Control {
        id: control.id.clone(),
        title: control.title.to_owned(),
        severity: control.severity,
        level: control.level,
        status,
        why,
        origins: control.origins.clone(),
        evidence: control.verdict.evidence.iter().map(observation).collect(),
        fix: fix(control),
        waiver: judged.waivers.iter().find(holds).map(WaiverEntry::new),
    }
}

fn observation(evidence: &crate::controls::Evidence) -> Observation {
    Observation {
        source: evidence.source.clone(),
        found: redact::secrets(&evidence.found).into_owned(),
        wanted: evidence.wanted.as_ref().map(|wanted| redact::secrets(wanted).into_owned()),
    }
}

fn fix(control: &ControlResult) -> Option<Fix> {
    let id = &control.id;
    match &control.verdict.status {
        Status::Differs { changes, advice } if !changes.is_empty() => {
            let steps: Vec<String> =
                changes.iter().map(|change| redact::secrets(&change.summary).into_owned()).collect();
            let more = match steps.len() - 1 {
                0 => String::new(),
                1 => " and 1 more step".into(),
                more => format!(" and {more} more steps"),
            };
            let also = if advice.is_some() { "; the rest is by hand" } else { "" };
            let hint = format!("apply would: {}{more}{also}", steps[0]);
            Some(Fix { by: FixedBy::Apply, steps, hint })
        }
        Status::Differs { .. } => {
            let hint = format!("by hand; `pve-harden explain {id}` says what is wanted and why");
            Some(Fix { by: FixedBy::Person, steps: Vec::new(), hint })
        }
        Status::Refused { .. } => {
            let hint = format!("change the profile or the site; `pve-harden explain {id}` says why");
            Some(Fix { by: FixedBy::Person, steps: Vec::new(), hint })
        }
        Status::Unknown { .. } => {
            let hint = "remove the cause, then check again; what cannot be read is never right".to_owned();
            Some(Fix { by: FixedBy::Person, steps: Vec::new(), hint })
        }
        Status::Compliant | Status::NotApplicable { .. } | Status::Waived { .. } => None,
    }
}

/// Every control that was judged on any node, in catalogue order.
fn explained(report: &Report) -> Vec<Explained> {
    let judged = |meta: &&Meta| {
        let nodes = report.nodes.iter().filter_map(|node| node.result.as_ref().ok());
        nodes.flat_map(|judged| &judged.controls).any(|control| control.id == meta.id)
    };
    let explained = |meta: &Meta| Explained {
        id: meta.id.into(),
        title: meta.title.into(),
        why: meta.why.into(),
        checked: meta.checked.into(),
        naive: meta.naive.into(),
        references: meta.references.iter().map(|reference| source(*reference)).collect(),
        level: meta.level,
        severity: meta.severity,
    };
    CATALOGUE.iter().map(|control| control.meta()).filter(judged).map(explained).collect()
}

/// A source in words.
pub fn source(reference: Reference) -> String {
    match reference {
        Reference::Guide(section) => format!("HomeSecExplorer Proxmox VE 9 hardening guide, section {section}"),
        Reference::Cis13(number) => format!("CIS Debian Linux 13 Benchmark v1.0.0, {number}"),
        Reference::Cis12(number) => format!("CIS Debian Linux 12 Benchmark v1.1.0, {number}"),
        Reference::Man(page) => page.to_owned(),
        Reference::Source(file) => file.to_owned(),
    }
}

/// JSON Schema of the document of `check`.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Document).to_value();
    schema["title"] = serde_json::json!("pve-harden report");
    schema["description"] = serde_json::json!("What `pve-harden check --format json` found.");
    schema
}
