//! Running the commands of a recording and comparing what they say with what the real programs said.
//!
//! A recording is a series of `$ COMMAND`, `[exit=N wall=…]` and the two outputs.

#![expect(clippy::expect_used, reason = "tests stop at the first surprise")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use regex::Regex;
use serde_json::Value;

/// A command and what came of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// As typed.
    pub command: String,
    /// Exit status.
    pub exit: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

/// The steps of a recording.
pub fn steps(recording: &str) -> Vec<Step> {
    let mut found: Vec<Step> = Vec::new();
    let mut part = Part::Command;
    let mut after_blank = false;
    for line in recording.lines() {
        let heading = std::mem::replace(&mut after_blank, line.is_empty()) && looks_like_heading(line);
        if let Some(command) = line.strip_prefix("$ ") {
            found.push(Step { command: command.to_owned(), ..Step::default() });
            part = Part::Command;
            continue;
        }
        let Some(step) = found.last_mut() else { continue };
        match line {
            "--stdout--" => part = Part::Stdout,
            "--stderr--" => part = Part::Stderr,
            _ if line.starts_with("[exit=") => {
                let number = line.trim_start_matches("[exit=").split(' ').next().unwrap_or_default();
                step.exit = number.parse().expect("an exit status");
                part = Part::Other;
            }
            _ if heading && step.exit != i32::MIN && part != Part::Command => {
                part = Part::Other;
            }
            _ => match part {
                Part::Command => step.command.extend(["\n", line]),
                Part::Stdout => step.stdout.extend([line, "\n"]),
                Part::Stderr => step.stderr.extend([line, "\n"]),
                Part::Other => {}
            },
        }
    }
    found
}

#[derive(PartialEq, Eq)]
enum Part {
    Command,
    Stdout,
    Stderr,
    Other,
}

/// Recordings have headings between steps; a recorded file content may have comments too.
fn looks_like_heading(line: &str) -> bool {
    line.starts_with("# ") && line != "# comment"
}

/// What makes two runs alike: times, random values, the order of lists that come out of a hash.
pub fn plain(text: &str, places: &[(&str, &str)]) -> String {
    let mut text = exchanged(text, places);
    let rules = [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
        (r"\$5\$[^:]+", "HASH"),
        (r"[A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d", "TIME"),
        (r"(?m)^real.*\n|^user\s+\d.*\n|^sys.*\n", ""),
    ];
    for (pattern, name) in rules {
        text = Regex::new(pattern).expect("a pattern").replace_all(&text, name).into_owned();
    }
    let lines = text.lines().map(|line| match serde_json::from_str::<Value>(line) {
        Ok(Value::Array(mut rows)) => {
            rows.sort_by_key(ToString::to_string);
            Value::Array(rows).to_string()
        }
        _ => line.trim_end().to_owned(),
    });
    let mut lines: Vec<String> = lines.collect();
    lines.retain(|line| !line.is_empty());
    if lines.iter().all(|line| line.ends_with(":HASH:")) {
        lines.sort();
    }
    lines.join("\n").trim().to_owned()
}

/// All names exchanged at once: what one exchange puts in is not touched by the next.
fn exchanged(text: &str, places: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    for (index, (from, _)) in places.iter().enumerate() {
        text = text.replace(from, &format!("\u{1}{index}\u{1}"));
    }
    for (index, (_, to)) in places.iter().enumerate() {
        text = text.replace(&format!("\u{1}{index}\u{1}"), to);
    }
    text
}

/// Runs the steps and gives a report of those that differ.
pub fn differences(
    recording: &str,
    places: &[(&str, &str)],
    environment: &[(&str, &Path)],
    skipped: &[&str],
) -> Vec<String> {
    differences_in(&["bash", "-c"], recording, places, environment, skipped, str::to_owned)
}

type Outcome = (Option<i32>, String, String);

/// The lines that only one of the two has.
fn difference(wanted: &Outcome, got: &Outcome) -> String {
    let mut text = format!("exit: recorded {:?}, here {:?}\n", wanted.0, got.0);
    for (name, wanted, got) in [("stdout", &wanted.1, &got.1), ("stderr", &wanted.2, &got.2)] {
        for (mark, these, those) in [('-', wanted, got), ('+', got, wanted)] {
            for line in these.lines().filter(|line| !those.lines().any(|other| other == *line)) {
                let _ = writeln!(text, "{name} {mark}{line}");
            }
        }
        if wanted != got && wanted.lines().count() == got.lines().count() {
            let _ = writeln!(text, "{name}: perhaps another order");
        }
    }
    text
}

/// As [`differences`], with the shell's own way to be started, and one more rule for what makes two runs alike.
pub fn differences_in(
    shell_words: &[&str],
    recording: &str,
    places: &[(&str, &str)],
    environment: &[(&str, &Path)],
    skipped: &[&str],
    alike: fn(&str) -> String,
) -> Vec<String> {
    let mut report = Vec::new();
    let mut unused: BTreeSet<&str> = skipped.iter().copied().collect();
    for step in steps(recording) {
        if let Some(reason) = skipped.iter().find(|part| step.command.contains(**part)) {
            unused.remove(reason);
            continue;
        }
        let command = exchanged(&step.command, places);
        let mut shell = Command::new(shell_words[0]);
        shell.args(&shell_words[1..]).arg(&command).env("LANG", "C.UTF-8").env_remove("LC_ALL");
        for (name, value) in environment {
            shell.env(name, value);
        }
        let output = shell.output().expect("bash");
        let back: Vec<(&str, &str)> = places.iter().map(|(recorded, here)| (*here, *recorded)).collect();
        let got = (
            output.status.code(),
            alike(&plain(&String::from_utf8_lossy(&output.stdout), &back)),
            alike(&plain(&String::from_utf8_lossy(&output.stderr), &back)),
        );
        let wanted = (Some(step.exit), alike(&plain(&step.stdout, &[])), alike(&plain(&step.stderr, &[])));
        if got != wanted {
            report.push(format!("$ {}\n{}", step.command, difference(&wanted, &got)));
        }
    }
    assert!(unused.is_empty(), "skipped but not in the recording: {unused:?}");
    report
}
