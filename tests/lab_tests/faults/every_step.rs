//! The tool killed, and its link cut, at every line of the journal. Odd and even lines go to nodes of their own, so that
//! no test takes long.

use std::process::Stdio;

use super::{Node, end, start};
use crate::support::lab::Said;

/// Lines of the journal of a run that nothing disturbs; afterwards the node is as before.
fn lines_of_a_good_run(node: &Node) -> usize {
    Said::of(&node.apply(&[]).output().unwrap()).exits(0);
    let lines = node.journal().lines().count();
    assert_eq!(node.assert_safe("good run"), "committed");
    assert!(lines > 25, "{lines} lines");
    lines
}

/// The last line tells of the commit. At the one before it the login that confirms is already on its way.
fn assert_possible(outcome: &str, line: usize, lines: usize) {
    let possible = if line == lines { outcome == "committed" } else { outcome == "undone" || line + 1 == lines };
    assert!(possible, "line {line} of {lines}: {outcome}");
}

fn killed(test: &str, first: usize) {
    let Some(node) = Node::up(test) else { return };
    let lines = lines_of_a_good_run(&node);
    for line in (first..=lines).step_by(2) {
        node.hold_at(line);
        let mut command = node.apply(&[]);
        let mut tool = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        node.wait_until_held(&mut tool);
        tool.kill().unwrap();
        tool.wait().unwrap();
        node.release_in_a_hurry();
        assert_possible(&node.assert_safe(&format!("killed at line {line} of {lines}")), line, lines);
    }
}

fn cut(test: &str, first: usize) {
    let Some(node) = Node::up(test) else { return };
    let lines = lines_of_a_good_run(&node);
    for line in (first..=lines).step_by(2) {
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

#[test]
fn the_tool_is_killed_at_every_odd_line() {
    killed("faults-kill-odd", 1);
}

#[test]
fn the_tool_is_killed_at_every_even_line() {
    killed("faults-kill-even", 2);
}

#[test]
fn the_link_is_cut_at_every_odd_line() {
    cut("faults-cut-odd", 1);
}

#[test]
fn the_link_is_cut_at_every_even_line() {
    cut("faults-cut-even", 2);
}
