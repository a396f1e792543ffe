//! From edits to a verdict.

use crate::change::{Action, Change, FileChange, FileImage, Stage};
use crate::controls::{Evidence, Status, Verdict};
use crate::facts::Facts;
use crate::profile::policy::{FirewallMode, Policy};
use crate::pve::firewall::{FirewallFile, managed_id};

use super::node::{CLUSTER_FW, Files, Node};
use super::{FirewallControl, active};

pub fn evaluate(control: &dyn FirewallControl, facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let node = Node::read(facts, policy)?;
    let evidence = control.evidence(&node);
    if let Some(status) = control.obstacle(&node).or_else(|| refused_file(&node)) {
        return Ok(Verdict { status, evidence });
    }
    let planned = planned(&node);
    if let Some(why) = control.harm(&node, &planned) {
        return Ok(Verdict { status: Status::Refused { why }, evidence });
    }
    let mut changes = control.more(&node);
    if differs(control, &node) {
        changes.extend(file_changes(&node, &planned, control.meta().id));
    }
    let advice = control.advice(&node, &planned);
    Ok(Verdict::outcome(changes, advice, evidence))
}

/// Both files after the edits of every control of this run that nothing keeps from it.
pub fn planned(node: &Node<'_>) -> Files {
    let decided: Vec<_> = active(node.policy).filter(|control| control.obstacle(node).is_none()).collect();
    edited(node, &decided)
}

fn edited(node: &Node<'_>, controls: &[&'static dyn FirewallControl]) -> Files {
    let mut files = node.files.clone();
    if node.policy.profile.firewall.mode == FirewallMode::Exact {
        let (cluster, host) = (without_strangers(&files.cluster), without_strangers(&files.host));
        files = Files::parse(&cluster, &host);
    }
    for control in controls {
        control.edit_cluster(node, &mut files.cluster);
    }
    // The node's rules may use names that cluster.fw has only now.
    files = Files::parse(&files.cluster.print(), &files.host.print());
    for control in controls {
        control.edit_host(node, &mut files.host);
    }
    Files::parse(&files.cluster.print(), &files.host.print())
}

/// A file's text without the rules that this tool did not write.
fn without_strangers(file: &FirewallFile) -> String {
    let ours = |comment: &Option<String>| comment.as_deref().and_then(managed_id).is_some();
    let strangers: Vec<usize> =
        file.config().rules.iter().filter(|rule| !ours(&rule.comment)).map(|rule| rule.line).collect();
    let text = file.print();
    let lines = text.split_inclusive('\n').enumerate();
    lines.filter(|(at, _)| !strangers.contains(&(at + 1))).map(|(_, line)| line).collect()
}

fn differs(control: &dyn FirewallControl, node: &Node<'_>) -> bool {
    let control = super::FAMILY.into_iter().find(|other| other.meta().id == control.meta().id);
    let alone = edited(node, &control.into_iter().collect::<Vec<_>>());
    alone.cluster.print() != node.files.cluster.print() || alone.host.print() != node.files.host.print()
}

/// A file that proxmox-firewall refuses is a person's to repair: no edit of ours would become live.
fn refused_file(node: &Node<'_>) -> Option<Status> {
    let files: [(&str, &FirewallFile); 2] = [("cluster.fw", &node.files.cluster), ("host.fw", &node.files.host)];
    let (name, problem) = files.into_iter().find_map(|(name, file)| Some((name, file.refused()?)))?;
    let advice = format!(
        "{name} line {}: {}; the node keeps the rules it has until the line is repaired",
        problem.line, problem.message
    );
    Some(Status::Differs { changes: Vec::new(), advice: Some(advice) })
}

/// The node's own file first: the datacenter's may be the one that turns everything on.
fn file_changes(node: &Node<'_>, planned: &Files, id: &str) -> Vec<Change> {
    let files = [
        (node.host_path(), &node.images.1, planned.host.print(), "the node's firewall options and rules"),
        (CLUSTER_FW.to_owned(), &node.images.0, planned.cluster.print(), "the datacenter's firewall"),
    ];
    files
        .into_iter()
        .filter(|(_, before, text, _)| before.as_ref().map_or("", |image| image.content.as_str()) != text)
        .map(|(path, before, content, summary)| {
            // pmxcfs gives every file this mode and owner.
            let after = FileImage { content, mode: 0o640, owner: "root".into(), group: "www-data".into() };
            let after =
                before.as_ref().map_or(after.clone(), |image| FileImage { content: after.content, ..image.clone() });
            let file = FileChange { path, before: before.clone(), after: Some(after), validate: None };
            Change {
                controls: vec![id.to_owned()],
                stage: Stage::Firewall,
                summary: summary.to_owned(),
                interrupts: None,
                action: Action::File(file),
            }
        })
        .collect()
}

/// Lines that PVE leaves out, as evidence.
pub fn problems(name: &str, file: &FirewallFile) -> Vec<Evidence> {
    let line = |problem: &crate::pve::firewall::Problem| {
        let source = format!("{name} line {}", problem.line);
        Evidence::new(source, problem.text.clone(), format!("a line that PVE understands: {}", problem.message))
    };
    file.problems().iter().map(line).collect()
}
