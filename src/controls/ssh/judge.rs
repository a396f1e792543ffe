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
    let (file, file_change) = control.named_file(&node)?.unzip();
    evidence.extend(file);
    let mut changes: Vec<_> = file_change.flatten().into_iter().collect();
    if wrong.is_empty() && !target.differs(control) && !target.lacks_include() {
        evidence.extend(stricter(control, &target));
        return Ok(Verdict::outcome(changes, None, evidence));
    }
    evidence.extend(describe_files(control, &target));
    let beaten = beaten(&wrong, &target, facts);
    let advice = advice(&beaten, !target.has_changes());
    if target.has_changes() {
        changes.extend(target.changes(control.meta().id));
    }
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

/// One line per setting, value and requirement, with everybody whom it concerns; what is wrong comes first.
fn findings(control: &dyn SshControl, node: &Node, cases: &Cases) -> Result<Findings, String> {
    let mut groups: Vec<Group> = Vec::new();
    for (case, settings) in cases {
        for want in control.wants(node, case) {
            let fit = want.fit(settings);
            if fit == Fit::Missing {
                return Err(format!("`sshd -T -C {}` does not print {}", case.spec(), want.keyword));
            }
            let found = settings.get(want.keyword).cloned().unwrap_or_default();
            match groups.iter_mut().find(|group| group.want == want && group.found == found) {
                Some(group) => group.cases.push(case),
                None => groups.push(Group { want, found, good: fit.good(), cases: vec![case] }),
            }
        }
    }
    groups.sort_by_key(|group| group.good);
    let describe = |group: &Group| {
        let said = format!("{} {}", group.want.keyword, group.found);
        let who = if group.cases.len() == cases.len() { EVERYBODY.into() } else { source(node, &group.cases) };
        Evidence::new(who, said, wanted(node.policy, &group.want))
    };
    let evidence = groups.iter().map(describe).collect();
    groups.retain(|group| !group.good);
    Ok(Findings {
        evidence,
        wrong: groups.into_iter().map(|Group { want, found, .. }| Wrong { want, found }).collect(),
    })
}

const EVERYBODY: &str = "sshd -T -C: everybody who was asked about";

/// Cases in which sshd says the same of one setting.
struct Group<'a> {
    want: Want,
    found: String,
    good: bool,
    cases: Vec<&'a SshdCase>,
}

/// `sshd -T -C: root from peers (10.0.0.2, 10.0.0.3); others from outside (203.0.113.1)`.
fn source(node: &Node, cases: &[&SshdCase]) -> String {
    let mut people: Vec<(String, Vec<String>)> = Vec::new();
    for case in cases {
        let (name, address) = (name(node, case), case.address.to_string());
        match people.iter_mut().find(|(other, _)| *other == name) {
            Some((_, addresses)) => addresses.push(address),
            None => people.push((name, vec![address])),
        }
    }
    let shown: Vec<String> =
        people.into_iter().map(|(name, addresses)| format!("{name} ({})", addresses.join(", "))).collect();
    format!("sshd -T -C: {}", shown.join("; "))
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
        CaseKind::RootPeer => "root from peers".into(),
        CaseKind::RootOperator if node.is_peer(case.address) => "root from peers".into(),
        CaseKind::RootOperator => "root from your address".into(),
        CaseKind::Admin => format!("admin {}", case.user),
        CaseKind::OtherOutside => "others from outside".into(),
    }
}

fn stricter(control: &dyn SshControl, target: &Target) -> Vec<Evidence> {
    let left = |keyword: &str| Evidence {
        source: dropin::PATH.into(),
        found: format!("{keyword} is left out: the node's own value is stricter"),
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
        return Some(format!("these lines win over {}; take them out: {}", dropin::PATH, beaten.join(", ")));
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
