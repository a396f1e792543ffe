//! What a command found, node by node: values and exit codes, no layout. [`document`] is the same for every format.

pub mod document;
pub mod framework;
pub mod redact;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::matrix::Account;
use crate::controls::{CATALOGUE, Severity, Status, Verdict};
use crate::error::{Error, Kind};
use crate::plan::Plan;
use crate::plan::upgrade::Meaning;
use crate::profile::policy::{Policy, Standing, Waiver};

/// Results of one command, in the order in which the nodes were named.
#[derive(Debug)]
pub struct Report {
    /// The verb, as typed.
    pub command: Command,
    /// One result per node.
    pub nodes: Vec<NodeReport>,
}

/// The verb decides what counts as success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Every difference counts, and a plan that must not run is a refusal.
    Plan,
    /// Differences of at least this severity count.
    Check {
        /// `--fail-on`; `None` lets no difference fail.
        fail_on: Option<Severity>,
    },
}

/// Result of one node.
#[derive(Debug)]
pub struct NodeReport {
    /// Name in the site, or the address as typed.
    pub node: String,
    /// Address that was contacted, or the capture file.
    pub address: String,
    /// What was found, or why nothing could be.
    pub result: Result<Judged, Failure>,
}

/// A node that could be read.
#[derive(Debug)]
pub struct Judged {
    /// PVE release as the node says it.
    pub release: Option<String>,
    /// The plan, with refusals and notes.
    pub plan: Plan,
    /// Every judged control in catalogue order.
    pub controls: Vec<ControlResult>,
    /// The site's waivers that are about this node and a judged control.
    pub waivers: Vec<WaiverResult>,
    /// What changes meaning at an upgrade, where that was asked.
    pub upgrade: Vec<Meaning>,
    /// Why nothing is said of an upgrade, where that was asked.
    pub upgrade_note: Option<String>,
    /// PVE's accounts and what they may do, where that was asked for and read.
    pub access: Option<Vec<Account>>,
}

/// A waiver, and what it does on one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaiverResult {
    /// As the site says it.
    pub waiver: Waiver,
    /// How it stands today.
    pub standing: Standing,
    /// Whether the node deviates from the waived control.
    pub needed: bool,
}

/// What became of a node that was planned for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NodeResult {
    /// Name in the site, or the address as typed.
    pub node: String,
    /// committed, failed, refused, nothing-to-do, not-begun.
    pub outcome: &'static str,
    /// Id of the newest committed run; of a node that failed or was not begun, the one before that.
    pub run: Option<String>,
    /// Tokens that were made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<String>,
    /// This node's part of the exit code.
    pub exit_code: u8,
}

/// One control on one node.
#[derive(Debug)]
pub struct ControlResult {
    /// Stable id.
    pub id: String,
    /// What is required.
    pub title: &'static str,
    /// How bad a difference is.
    pub severity: Severity,
    /// 1, 2 or 3.
    pub level: u8,
    /// Where its values were set, e.g. `baseline:31-37`.
    pub origins: String,
    /// The judgement.
    pub verdict: Verdict,
}

/// A node of which nothing can be said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Failure {
    /// In which state the node is.
    pub state: String,
    /// Why.
    pub cause: String,
    /// One thing to do.
    pub hint: String,
    /// Exit code of this node.
    pub exit_code: u8,
}

/// Numbers of the summary line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// Steps in the plan.
    pub changes: usize,
    /// Controls that found the node right.
    pub right: usize,
    /// Controls that found a difference.
    pub differing: usize,
    /// Controls that could not tell.
    pub unknown: usize,
    /// Controls that make no sense on this node.
    pub not_applicable: usize,
    /// Controls whose wish would harm this node.
    pub refused: usize,
    /// Deviations that a waiver accepts.
    pub waived: usize,
    /// Differences that need a person.
    pub by_hand: usize,
}

impl Report {
    /// The highest code of all nodes.
    pub fn exit_code(&self) -> u8 {
        self.nodes.iter().map(|node| node.exit_code(self.command)).max().unwrap_or(0)
    }
}

impl NodeReport {
    /// The code this node alone would give.
    pub fn exit_code(&self, command: Command) -> u8 {
        match (&self.result, command) {
            (Err(failure), _) => failure.exit_code,
            (Ok(judged), Command::Plan) if !judged.plan.refusals.is_empty() => Kind::Refused.exit_code(),
            (Ok(judged), Command::Plan) => u8::from(judged.controls.iter().any(|control| !control.is_right())),
            (Ok(judged), Command::Check { fail_on }) => {
                let expired = judged.waivers.iter().any(WaiverResult::is_expired);
                u8::from(expired || judged.controls.iter().any(|control| control.fails(fail_on)))
            }
        }
    }
}

impl ControlResult {
    /// Nothing is to be done: it is right, makes no sense here, or is accepted as it is.
    pub const fn is_right(&self) -> bool {
        matches!(self.verdict.status, Status::Compliant | Status::NotApplicable { .. } | Status::Waived { .. })
    }

    /// An unknown control always fails: what could not be read is not right.
    pub fn fails(&self, fail_on: Option<Severity>) -> bool {
        match self.verdict.status {
            Status::Compliant | Status::NotApplicable { .. } | Status::Waived { .. } => false,
            Status::Unknown { .. } => true,
            Status::Differs { .. } | Status::Refused { .. } => fail_on.is_some_and(|level| self.severity >= level),
        }
    }
}

impl Judged {
    /// Joins a plan with the catalogue's words and the policy's origins.
    pub fn new(plan: Plan, policy: &Policy, release: Option<String>) -> Self {
        let controls: Vec<ControlResult> = plan
            .verdicts
            .iter()
            .filter_map(|(id, verdict)| {
                let meta = CATALOGUE.iter().map(|control| control.meta()).find(|meta| meta.id == id)?;
                Some(ControlResult {
                    id: id.clone(),
                    title: meta.title,
                    severity: meta.severity,
                    level: meta.level,
                    origins: origins(policy, id),
                    verdict: verdict.clone(),
                })
            })
            .collect();
        let waivers = waivers(policy, &controls);
        Self { release, plan, controls, waivers, upgrade: Vec::new(), upgrade_note: None, access: None }
    }

    /// Counts.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary { changes: self.plan.changes.len(), ..Summary::default() };
        for control in &self.controls {
            match &control.verdict.status {
                Status::Compliant => summary.right += 1,
                Status::Differs { advice, .. } => {
                    summary.differing += 1;
                    summary.by_hand += usize::from(advice.is_some());
                }
                Status::Unknown { .. } => summary.unknown += 1,
                Status::NotApplicable { .. } => summary.not_applicable += 1,
                Status::Refused { .. } => summary.refused += 1,
                Status::Waived { .. } => summary.waived += 1,
            }
        }
        summary
    }

    /// Where the values of a control were set.
    pub fn origins_of(&self, id: &str) -> &str {
        self.controls.iter().find(|control| control.id == id).map_or("", |control| control.origins.as_str())
    }
}

impl WaiverResult {
    /// An expired waiver is a finding of its own, whatever its control says: somebody must decide again.
    pub const fn is_expired(&self) -> bool {
        matches!(self.standing, Standing::Expired { .. })
    }
}

fn waivers(policy: &Policy, controls: &[ControlResult]) -> Vec<WaiverResult> {
    let judged = |waiver: &Waiver| controls.iter().find(|control| control.id == waiver.control);
    let result = |waiver: &Waiver| {
        let control = judged(waiver)?;
        let needed = !matches!(control.verdict.status, Status::Compliant | Status::NotApplicable { .. });
        Some(WaiverResult { waiver: waiver.clone(), standing: waiver.standing(policy.today), needed })
    };
    policy.waivers().filter_map(result).collect()
}

impl Failure {
    /// What a person is told of an error.
    pub fn of(error: &Error, node: &str) -> Self {
        let state = if error.state.is_empty() { format!("nothing was changed on {node}") } else { error.state.clone() };
        Self {
            state,
            cause: format!("{:#}", error.cause),
            hint: error.hint_text().to_owned(),
            exit_code: error.kind.exit_code(),
        }
    }
}

/// Files and lines that set the values of a control, near lines as ranges: `baseline:31-37, strict.toml:4`.
fn origins(policy: &Policy, id: &str) -> String {
    let mut lines: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (key, origin) in policy.origins.iter() {
        let inside = key.strip_prefix(id).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        if inside {
            lines.entry(&origin.file).or_default().push(origin.line);
        }
    }
    let files = lines.into_iter().map(|(file, lines)| format!("{file}:{}", ranges(lines)));
    files.collect::<Vec<_>>().join(", ")
}

/// Lines with no more than a comment between them are one range.
fn ranges(mut lines: Vec<usize>) -> String {
    const GAP: usize = 4;
    lines.sort_unstable();
    lines.dedup();
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for line in lines {
        match ranges.last_mut() {
            Some((_, end)) if line - *end <= GAP => *end = line,
            _ => ranges.push((line, line)),
        }
    }
    let shown = ranges.iter().map(|(from, to)| if from == to { from.to_string() } else { format!("{from}-{to}") });
    shown.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::plan::testing;
    use crate::profile::policy::{Origin, Scope};
    use jiff::civil::date;

    fn judged(verdicts: Vec<Verdict>, severity: Severity) -> Judged {
        let control = |verdict| ControlResult {
            id: "a.b".into(),
            title: "t",
            severity,
            level: 1,
            origins: String::new(),
            verdict,
        };
        let controls = verdicts.into_iter().map(control).collect();
        let plan = testing::empty_plan();
        Judged {
            release: None,
            plan,
            controls,
            waivers: Vec::new(),
            upgrade: Vec::new(),
            upgrade_note: None,
            access: None,
        }
    }

    fn code(command: Command, verdicts: Vec<Verdict>) -> u8 {
        let result = Ok(judged(verdicts, Severity::Medium));
        NodeReport { node: "n".into(), address: "a".into(), result }.exit_code(command)
    }

    #[test]
    fn near_lines_become_ranges() {
        let mut policy = testing::policy();
        for (key, file, line) in [
            ("ssh.limits.a", "baseline", 5),
            ("ssh.limits.b", "baseline", 4),
            ("ssh.limits.c", "baseline", 12),
            ("ssh.limits.d", "own.toml", 2),
            ("ssh.limitsx", "baseline", 1),
        ] {
            Arc::make_mut(&mut policy.origins).insert(key.into(), Origin { file: file.into(), line });
        }
        assert_eq!(origins(&policy, "ssh.limits"), "baseline:4-5,12, own.toml:2");
    }

    #[test]
    fn an_unknown_control_is_never_success() {
        for command in
            [Command::Plan, Command::Check { fail_on: None }, Command::Check { fail_on: Some(Severity::High) }]
        {
            assert_eq!(code(command, vec![Verdict::compliant(vec![]), Verdict::unknown("x")]), 1, "{command:?}");
            assert_eq!(code(command, vec![Verdict::compliant(vec![]), Verdict::not_applicable("x")]), 0);
        }
    }

    #[test]
    fn fail_on_sets_the_bar_for_differences() {
        let differs = || vec![Verdict::differs(vec![], vec![])];
        assert_eq!(code(Command::Check { fail_on: Some(Severity::Low) }, differs()), 1);
        assert_eq!(code(Command::Check { fail_on: Some(Severity::Medium) }, differs()), 1);
        assert_eq!(code(Command::Check { fail_on: Some(Severity::High) }, differs()), 0);
        assert_eq!(code(Command::Check { fail_on: None }, differs()), 0);
        assert_eq!(code(Command::Plan, differs()), 1);
    }

    #[test]
    fn a_waived_control_counts_neither_way_and_an_expired_waiver_always_fails() {
        let until = |expires| Waiver {
            control: "a.b".into(),
            scope: Scope::Node("n".into()),
            owner: "o".into(),
            reason: "r".into(),
            expires,
        };
        let waived = Status::Waived { deviation: "x".into(), waiver: until(date(2026, 12, 31)) };
        let verdict = Verdict { status: waived, evidence: vec![] };
        for command in [Command::Plan, Command::Check { fail_on: Some(Severity::Low) }] {
            assert_eq!(code(command, vec![verdict.clone()]), 0, "{command:?}");
        }
        let mut judged = judged(vec![Verdict::compliant(vec![])], Severity::Low);
        let expired = until(date(2026, 5, 31));
        judged.waivers =
            vec![WaiverResult { standing: expired.standing(date(2026, 6, 1)), waiver: expired, needed: false }];
        let node = NodeReport { node: "n".into(), address: "a".into(), result: Ok(judged) };
        assert_eq!(node.exit_code(Command::Check { fail_on: None }), 1);
        assert_eq!(node.exit_code(Command::Plan), 0, "nothing is to be changed");
    }

    #[test]
    fn the_highest_code_of_all_nodes_wins() {
        let node = |result| NodeReport { node: "n".into(), address: "a".into(), result };
        let failure = Failure::of(&Error::msg(Kind::Unreachable, "no route"), "pve2");
        assert_eq!(failure.state, "nothing was changed on pve2");
        let nodes = vec![node(Ok(judged(vec![Verdict::unknown("x")], Severity::Low))), node(Err(failure))];
        assert_eq!(Report { command: Command::Plan, nodes }.exit_code(), 3);
    }
}
