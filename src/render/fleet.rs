//! Several nodes at once: what is the same is shown once, and a table says what became of each.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::style::{Palette, Tone};
use crate::change::{Action, Change};
use crate::report::{Judged, NodeReport, NodeResult, Report};
use crate::sanitize;

/// Columns of a wrapped list.
const WIDTH: usize = 100;

/// Nodes for which the same is to be done.
#[derive(Debug)]
pub struct Group<'a> {
    /// In the order in which they were named.
    pub nodes: Vec<(&'a NodeReport, &'a Judged)>,
    /// What is done on each, with `NODE` for the node's own name below /etc/pve/nodes when there are several.
    pub changes: Vec<Change>,
}

/// Groups nodes by their changes; only what is the same to the letter is one. A node without changes stays alone.
pub fn groups(report: &Report) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for node in &report.nodes {
        let Ok(judged) = &node.result else { continue };
        let changes = general(&judged.plan.changes);
        let same = |group: &&mut Group<'_>| {
            let (_, first) = group.nodes[0];
            let origins = |judged: &Judged| -> Vec<(String, String)> {
                let ids = changes.iter().flat_map(|change| &change.controls);
                ids.map(|id| (id.clone(), judged.origins_of(id).to_owned())).collect()
            };
            !changes.is_empty()
                && group.changes == changes
                && first.plan.brings == judged.plan.brings
                && origins(first) == origins(judged)
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.nodes.push((node, judged)),
            None => groups.push(Group { nodes: vec![(node, judged)], changes }),
        }
    }
    for group in groups.iter_mut().filter(|group| group.nodes.len() == 1) {
        group.changes.clone_from(&group.nodes[0].1.plan.changes);
    }
    groups
}

/// The changes with `NODE` for the node's own name in paths below /etc/pve/nodes.
fn general(changes: &[Change]) -> Vec<Change> {
    let general = |path: &mut String| {
        if let Some((_, rest)) = path.strip_prefix("/etc/pve/nodes/").and_then(|rest| rest.split_once('/')) {
            *path = format!("/etc/pve/nodes/NODE/{rest}");
        }
    };
    let mut changes = changes.to_vec();
    for change in &mut changes {
        match &mut change.action {
            Action::File(file) => general(&mut file.path),
            Action::Directory { path, .. } => general(path),
            _ => {}
        }
    }
    changes
}

/// `the same on 3 nodes: pve1 (192.0.2.1), …`, wrapped.
pub fn heading(group: &Group<'_>) -> String {
    let mut text = format!("the same on {} nodes:", group.nodes.len());
    let mut column = text.chars().count();
    let last = group.nodes.len() - 1;
    for (place, (node, judged)) in group.nodes.iter().enumerate() {
        let release = judged.release.as_ref().map(|release| format!(", PVE {release}")).unwrap_or_default();
        let word = format!("{} ({}{release}){}", node.node, node.address, if place == last { "" } else { "," });
        let word = sanitize::line(&word).into_owned();
        let length = word.chars().count() + 1;
        if column + length > WIDTH {
            text.push_str("\n ");
            column = 1;
        }
        let _ = write!(text, " {word}");
        column += length;
    }
    text
}

/// Names in a row.
pub fn names(nodes: &[&NodeReport]) -> String {
    sanitize::line(&nodes.iter().map(|node| node.node.as_str()).collect::<Vec<_>>().join(", ")).into_owned()
}

/// One aligned line per node of an `apply`: what became of it. `results` are by the node's place in the report.
pub fn outcomes(report: &Report, results: &BTreeMap<usize, NodeResult>, palette: Palette) -> String {
    let rows = report.nodes.iter().enumerate().map(|(place, node)| {
        let (tone, word, more) = match (&node.result, results.get(&place)) {
            (Err(_), _) => (Tone::Bad, "not read", String::new()),
            (Ok(_), None) => (Tone::Warn, "not begun", String::new()),
            (Ok(judged), Some(result)) => outcome(judged, result),
        };
        (sanitize::line(&node.node).into_owned(), tone, word, more)
    });
    let rows: Vec<_> = rows.collect();
    let name_width = rows.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
    let word_width = rows.iter().map(|(_, _, word, _)| word.chars().count()).max().unwrap_or(0);
    let mut text = format!("\n{}\n", palette.paint(Tone::Heading, "what became of them"));
    for (name, tone, word, more) in rows {
        let line = format!("  {name:name_width$}  {}  {more}", palette.paint(tone, &format!("{word:word_width$}")));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn outcome(judged: &Judged, result: &NodeResult) -> (Tone, &'static str, String) {
    let run = result.run.as_ref().map(|run| format!("run {run}")).unwrap_or_default();
    let steps = judged.plan.changes.len();
    let untouched =
        if run.is_empty() { "nothing was changed".into() } else { format!("nothing was changed after {run}") };
    match (result.outcome, result.exit_code) {
        ("committed", code) => {
            let done = format!("{steps} change{}", if steps == 1 { "" } else { "s" });
            let done = if run.is_empty() { done } else { format!("{run}, {done}") };
            match code {
                0 => (Tone::Good, "applied", done),
                _ => (Tone::Warn, "applied", format!("{done}; not every token was made, see below")),
            }
        }
        ("nothing-to-do", _) => (Tone::Good, "nothing to do", run),
        ("not-begun", _) if run.is_empty() => (Tone::Warn, "not begun", untouched),
        ("not-begun", _) => (Tone::Warn, "not begun", format!("nothing but the cluster's firewall was changed, {run}")),
        ("refused", _) | (_, 4) => (Tone::Bad, "refused", untouched),
        (_, 5) if run.is_empty() => (Tone::Bad, "rolled back", "as it was before".into()),
        (_, 5) => (Tone::Bad, "rolled back", format!("as it was after {run}")),
        (_, 6) => (Tone::Bad, "needs hands", "see below".into()),
        _ => (Tone::Bad, "failed", untouched),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Stage;
    use crate::plan::testing;
    use crate::report::{Command, Failure};

    fn node(name: &str, changes: Vec<Change>) -> NodeReport {
        let mut plan = testing::empty_plan();
        plan.changes = changes;
        let release = Some("9.1.2".into());
        let judged = Judged {
            release,
            plan,
            controls: vec![],
            waivers: vec![],
            upgrade: vec![],
            upgrade_note: None,
            access: None,
        };
        NodeReport { node: name.into(), address: format!("{name}.example"), result: Ok(judged) }
    }

    fn file(path: &str, content: &str) -> Change {
        testing::change("x.y", Stage::Services, testing::new_file(path, content, 0o644))
    }

    fn grouped(nodes: Vec<NodeReport>) -> Vec<String> {
        let report = Report { command: Command::Plan, nodes };
        groups(&report)
            .iter()
            .map(|group| {
                let nodes: Vec<_> = group.nodes.iter().map(|(node, _)| *node).collect();
                let paths: Vec<_> = group.changes.iter().flat_map(|change| change.action.touches()).collect();
                format!("{}: {}", names(&nodes), paths.join(" "))
            })
            .collect()
    }

    #[test]
    fn only_what_is_the_same_to_the_letter_is_one() {
        let nodes = vec![
            node("a", vec![file("/etc/x", "1\n")]),
            node("b", vec![file("/etc/x", "2\n")]),
            node("c", vec![file("/etc/x", "1\n")]),
            node("d", vec![]),
            node("e", vec![]),
        ];
        assert_eq!(grouped(nodes), ["a, c: /etc/x", "b: /etc/x", "d: ", "e: "]);
    }

    #[test]
    fn a_nodes_own_folder_is_the_same_folder() {
        let own = |name: &str, content| node(name, vec![file(&format!("/etc/pve/nodes/{name}/host.fw"), content)]);
        assert_eq!(
            grouped(vec![own("a", "1"), own("b", "1"), own("c", "2")]),
            ["a, b: /etc/pve/nodes/NODE/host.fw", "c: /etc/pve/nodes/c/host.fw"]
        );
    }

    #[test]
    fn a_long_list_of_names_is_wrapped() {
        let nodes = (1..=5).map(|n| node(&format!("node{n}"), vec![file("/etc/x", "1\n")])).collect();
        let report = Report { command: Command::Plan, nodes };
        insta::assert_snapshot!(heading(&groups(&report)[0]), @r"
        the same on 5 nodes: node1 (node1.example, PVE 9.1.2), node2 (node2.example, PVE 9.1.2),
          node3 (node3.example, PVE 9.1.2), node4 (node4.example, PVE 9.1.2),
          node5 (node5.example, PVE 9.1.2)
        ");
    }

    #[test]
    fn a_run_confirmed_before_is_not_passed_over_in_silence() {
        let judged = node("pve1", vec![]).result.unwrap();
        let more = |code, run: Option<&str>| {
            let run = run.map(str::to_owned);
            let (node, tokens) = ("pve1".to_owned(), Vec::new());
            outcome(&judged, &NodeResult { node, outcome: "failed", run, tokens, exit_code: code }).2
        };
        for (code, without, with) in [
            (3, "nothing was changed", "nothing was changed after run 7"),
            (4, "nothing was changed", "nothing was changed after run 7"),
            (5, "as it was before", "as it was after run 7"),
            (6, "see below", "see below"),
        ] {
            assert_eq!((more(code, None), more(code, Some("7"))), (without.into(), with.into()), "{code}");
        }
    }

    #[test]
    fn the_table_says_what_became_of_each() {
        let mut nodes: Vec<_> = ["pve1", "pve2", "longer-name", "pve4", "pve5", "pve6", "pve7"]
            .map(|name| node(name, vec![file("/etc/x", "1\n")]))
            .into();
        nodes[5].result =
            Err(Failure { state: String::new(), cause: "no route".into(), hint: String::new(), exit_code: 3 });
        let result = |node: &str, outcome, run: Option<&str>, exit_code| NodeResult {
            node: node.into(),
            outcome,
            run: run.map(str::to_owned),
            tokens: Vec::new(),
            exit_code,
        };
        let results = BTreeMap::from([
            (0, result("pve1", "committed", Some("20251112T000000Z-0badcafe"), 0)),
            (1, result("pve2", "nothing-to-do", None, 0)),
            (2, result("longer-name", "failed", None, 5)),
            (3, result("pve4", "failed", None, 6)),
            (4, result("pve5", "not-begun", None, 0)),
            (6, result("pve7", "not-begun", Some("20251112T000000Z-0badcafe"), 0)),
        ]);
        insta::assert_snapshot!(outcomes(&Report { command: Command::Plan, nodes }, &results, Palette::PLAIN), @r"

        what became of them
          pve1         applied        run 20251112T000000Z-0badcafe, 1 change
          pve2         nothing to do
          longer-name  rolled back    as it was before
          pve4         needs hands    see below
          pve5         not begun      nothing was changed
          pve6         not read
          pve7         not begun      nothing but the cluster's firewall was changed, run 20251112T000000Z-0badcafe
        ");
    }
}
