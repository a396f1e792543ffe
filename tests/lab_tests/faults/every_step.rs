//! The tool killed, and its link cut, at every line of the journal.

use std::process::Stdio;

use super::{Node, end, start};
use crate::support::lab::Said;

/// Lines of the journal of a run that nothing disturbs; afterwards the node is as before.
fn lines_of_a_good_run(node: &Node) -> usize {
    Said::of(&node.apply(&[]).output().unwrap()).exits(0);
    let lines = node.journal().lines().count();
    assert_eq!(node.assert_safe("good run"), "committed");
    lines
}

/// The last line tells of the commit. At the one before it the login that confirms is already on its way.
fn assert_possible(outcome: &str, line: usize, lines: usize) {
    assert!(
        if line == lines { outcome == "committed" } else { outcome == "undone" || line + 1 == lines },
        "{line}: {outcome}"
    );
}

#[test]
fn the_tool_is_killed_at_every_line() {
    // Some sixty runs: `make fault-tests` asks for it.
    if std::env::var_os("LAB_EVERY_STEP").is_none() {
        return;
    }
    let Some(node) = Node::up("faults-kill") else { return };
    let lines = lines_of_a_good_run(&node);
    assert!(lines > 25, "{lines} lines");
    for line in 1..=lines {
        node.hold_at(line);
        let mut command = node.apply(&[]);
        let mut tool = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        node.wait_until_held(&mut tool);
        tool.kill().unwrap();
        tool.wait().unwrap();
        node.release_in_a_hurry();
        let outcome = node.assert_safe(&format!("killed at line {line} of {lines}"));
        assert_possible(&outcome, line, lines);
    }
}

#[test]
fn the_link_is_cut_at_every_line() {
    // Some sixty runs: `make fault-tests` asks for it.
    if std::env::var_os("LAB_EVERY_STEP").is_none() {
        return;
    }
    let Some(node) = Node::up("faults-cut") else { return };
    let lines = lines_of_a_good_run(&node);
    for line in 1..=lines {
        node.hold_at(line);
        let mut tool = start(node.apply(&[]));
        node.wait_until_held(&mut tool);
        node.lab.lab(["cut", node.name]).exits(0);
        node.release_in_a_hurry();
        node.wait_until_settled();
        let outcome = node.outcome();
        node.lab.lab(["mend", node.name]).exits(0);
        let said = end(tool);
        let when = format!("cut at line {line} of {lines}");
        let expected = if outcome == "committed" { 0 } else { 5 };
        assert_eq!(said.status, expected, "{when}: {outcome}\n{}\n{}", said.stderr, node.journal());
        assert_possible(&node.assert_safe(&when), line, lines);
    }
}
