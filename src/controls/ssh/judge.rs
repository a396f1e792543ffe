//! The judgement all SSH controls share.

use crate::controls::{Evidence, Status, Verdict};
use crate::facts::{CaseKind, Facts, SshdCase, SshdSettings};
use crate::profile::policy::Policy;

use super::node::Node;
use super::setter;
use super::target::Target;
use super::want::{Fit, Want};
use super::{SshControl, dropin};

type Cases<'a> = [(&'a SshdCase, &'a SshdSettings)];

pub fn evaluate(control: &dyn SshControl, facts: &Facts, policy: &Policy) -> Verdict {
    judge(control, facts, policy).unwrap_or_else(Verdict::unknown)
}

fn judge(control: &dyn SshControl, facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let node = Node::new(facts, policy)?;
    if let Some(status) = control.obstacle(&node) {
        return Ok(Verdict { status, evidence: Vec::new() });
    }
    let cases = node.cases()?;
    let target = Target::new(&node, &cases)?;
    let Findings { mut evidence, wrong } = findings(control, &node, &cases)?;
    if wrong.is_empty() && !target.differs(control) && !target.lacks_include() {
        evidence.extend(stricter(control, &target));
        return Ok(Verdict::compliant(evidence));
    }
    evidence.extend(describe_files(control, &target));
    let beaten = beaten(&wrong, &target, facts);
    let changes = if target.has_changes() { target.changes(control.meta().id) } else { Vec::new() };
    let advice = advice(&beaten, changes.is_empty());
    Ok(Verdict { status: Status::Differs { changes, advice }, evidence })
}

/// A wanted setting that is not effective, with what sshd said instead.
struct Wrong {
    want: Want,
    found: String,
}

struct Findings {
    evidence: Vec<Evidence>,
    wrong: Vec<Wrong>,
}

/// Wrong settings one by one, and one line per setting that is right everywhere.
fn findings(control: &dyn SshControl, node: &Node, cases: &Cases) -> Result<Findings, String> {
    let (mut evidence, mut wrong) = (Vec::new(), Vec::new());
    let mut right: Vec<(Want, String, Vec<String>)> = Vec::new();
    for (case, settings) in cases {
        for want in control.wants(node, case) {
            let fit = want.fit(settings);
            if fit == Fit::Missing {
                return Err(format!("`sshd -T -C {}` does not print {}", case.spec(), want.keyword));
            }
            let found = settings.get(want.keyword).cloned().unwrap_or_default();
            if fit.good() {
                match right.iter_mut().find(|(other, value, _)| other.keyword == want.keyword && *value == found) {
                    Some((_, _, who)) => who.push(name(node, case)),
                    None => right.push((want, found, vec![name(node, case)])),
                }
            } else {
                let source = format!("sshd -T -C {} ({})", case.spec(), name(node, case));
                let said = format!("{} {found}", want.keyword);
                evidence.push(Evidence::new(source, said, wanted(node.policy, &want)));
                wrong.push(Wrong { want, found });
            }
        }
    }
    for (want, found, mut who) in right {
        who.dedup();
        let source = format!("sshd -T -C, {}", who.join(", "));
        evidence.push(Evidence::new(source, format!("{} {found}", want.keyword), wanted(node.policy, &want)));
    }
    Ok(Findings { evidence, wrong })
}

/// `no (baseline:12)`.
fn wanted(policy: &Policy, want: &Want) -> String {
    match policy.origin(want.key) {
        Some(origin) => format!("{} ({origin})", want.describe()),
        None => want.describe(),
    }
}

/// Who logs in, in words.
fn name(node: &Node, case: &SshdCase) -> String {
    match case.who {
        CaseKind::RootOutside => "root from outside".into(),
        CaseKind::RootPeer => format!("root from the peer {}", case.address),
        CaseKind::RootOperator if node.is_peer(case.address) => "root from this peer".into(),
        CaseKind::RootOperator => "root from your address".into(),
        CaseKind::Admin => format!("admin {}", case.user),
        CaseKind::OtherOutside => "others from outside".into(),
    }
}

fn stricter(control: &dyn SshControl, target: &Target) -> Vec<Evidence> {
    let left = |keyword: &str| Evidence {
        source: dropin::PATH.into(),
        found: format!("{keyword} is left to the node's own files, which are stricter"),
        wanted: None,
    };
    target.stricter_already(control).into_iter().map(left).collect()
}

fn describe_files(control: &dyn SshControl, target: &Target) -> Vec<Evidence> {
    let mut evidence = stricter(control, target);
    if target.lacks_include() {
        evidence.push(Evidence::new(
            setter::MAIN,
            format!("no Include of {} before its settings", dropin::FOLDER),
            "Include as the first line",
        ));
    }
    if target.differs(control) {
        let section = format!("the section {} is missing or was edited", control.meta().id);
        evidence.push(Evidence::new(dropin::PATH, section, "as rendered from the profile"));
    }
    evidence
}

/// Lines that win over the drop-in, or would have to be looked at when the drop-in is right and the answer wrong.
fn beaten(wrong: &[Wrong], target: &Target, facts: &Facts) -> Vec<String> {
    let mut places = Vec::new();
    for Wrong { want, found } in wrong {
        let mut lines = target.winners(want.keyword, Some(found));
        if lines.is_empty() && !target.has_changes() {
            let (before, after) = setter::setters(facts, want.keyword);
            lines = before.into_iter().chain(after).collect();
        }
        places.extend(lines.iter().map(|line| format!("{} (`{} {}`)", line.place(), want.keyword, line.value)));
    }
    places.sort();
    places.dedup();
    places
}

fn advice(beaten: &[String], nothing_to_change: bool) -> Option<String> {
    if !beaten.is_empty() {
        return Some(format!(
            "sshd reads these lines before {} and they win; take them out: {}",
            dropin::PATH,
            beaten.join(", ")
        ));
    }
    nothing_to_change.then(|| {
        format!(
            "{} is as it should be, yet another setting wins: look for it in {} and in the files of {} that sort before it",
            dropin::PATH,
            setter::MAIN,
            dropin::FOLDER
        )
    })
}
