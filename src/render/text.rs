//! The text of `plan`.

use std::fmt::Write as _;

use super::check::drifted;
use super::style::{Palette, Tone};
use super::{action, diff, fleet, reach, redact};
use crate::change::{Action, Change};
use crate::controls::Status;
use crate::plan::Versioned;
use crate::profile::policy::Waiver;
use crate::report::{Judged, NodeReport, Report, Summary, WaiverResult};
use crate::sanitize;

/// The whole result. Nodes that failed are messages, not results; with several nodes they are listed at the end.
pub fn report(report: &Report, palette: Palette) -> String {
    let nodes: Vec<String> = fleet::groups(report).iter().map(|group| together(group, palette)).collect();
    let mut text = nodes.join("\n");
    if report.nodes.len() > 1 {
        let _ = write!(text, "\n{}\n", palette.paint(Tone::Heading, "all nodes"));
        for node in &report.nodes {
            let _ = writeln!(text, "  {}", summary_line(node, palette));
        }
    }
    text
}

/// Nodes for which the same is to be done: the steps once, remarks once where they are the same, too.
fn together(group: &fleet::Group<'_>, palette: Palette) -> String {
    let (first, judged) = group.nodes[0];
    if group.nodes.len() == 1 {
        return node(first, judged, palette);
    }
    let mut text = format!("{}\n", palette.paint(Tone::Heading, &fleet::heading(group)));
    text.push_str(&steps(judged, &group.changes, palette));
    let mut said: Vec<(Vec<&NodeReport>, String)> = Vec::new();
    for (node, judged) in &group.nodes {
        let remarks = remarks(judged, palette);
        match said.iter_mut().find(|(_, text)| *text == remarks) {
            Some((nodes, _)) => nodes.push(node),
            None => said.push((vec![node], remarks)),
        }
    }
    let everywhere = said.len() == 1;
    for (nodes, remarks) in said.iter().filter(|(_, remarks)| !remarks.is_empty()) {
        if !everywhere {
            let _ = write!(text, "\n{}", palette.paint(Tone::Place, &format!("-- {}", fleet::names(nodes))));
        }
        text.push_str(remarks);
    }
    text
}

/// One node with its heading and summary line.
pub fn node(report: &NodeReport, judged: &Judged, palette: Palette) -> String {
    let heading = heading(report, judged, palette);
    format!("{heading}\n{}{}\n", plan(judged, palette), summary_line(report, palette))
}

fn heading(report: &NodeReport, judged: &Judged, palette: Palette) -> String {
    let release = judged.release.as_ref().map(|release| format!(", PVE {release}")).unwrap_or_default();
    let text = format!("{} ({}{release})", report.node, report.address);
    palette.paint(Tone::Heading, &sanitize::line(&text))
}

/// Steps by stage, then what a person must know or do.
fn plan(judged: &Judged, palette: Palette) -> String {
    let mut text = steps(judged, &judged.plan.changes, palette);
    text.push_str(&remarks(judged, palette));
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

fn steps(judged: &Judged, changes: &[Change], palette: Palette) -> String {
    let mut text = String::new();
    let mut stage = None;
    let mut controls: &[String] = &[];
    for change in changes {
        if stage != Some(change.stage) {
            let _ = write!(text, "\n{}\n", palette.paint(Tone::Heading, &format!("== {}", change.stage)));
            stage = Some(change.stage);
            controls = &[];
        }
        if controls != change.controls {
            let _ = writeln!(text, "{}", palette.paint(Tone::Place, &wanted_by(judged, &change.controls)));
            controls = &change.controls;
        }
        text.push_str(&step(change, &judged.plan.brings, palette));
    }
    text
}

/// What a person must know or do.
fn remarks(judged: &Judged, palette: Palette) -> String {
    let mut text = judged.plan.reach.as_ref().map(|table| reach::table(table, palette)).unwrap_or_default();
    text.push_str(&by_hand(judged, palette));
    text.push_str(&refusals(judged, palette));
    text.push_str(&waivers(judged, palette));
    text.push_str(&notes(judged, palette));
    text
}

fn wanted_by(judged: &Judged, controls: &[String]) -> String {
    let name = |id: &String| match judged.origins_of(id) {
        "" => id.clone(),
        origins => format!("{id} ({})", sanitize::line(origins)),
    };
    format!("# {}", controls.iter().map(name).collect::<Vec<_>>().join("\n# "))
}

fn step(change: &Change, brings: &[Versioned], palette: Palette) -> String {
    let lines = match &change.action {
        Action::File(file) => diff::lines(file).iter().map(|line| diff::shown(line, palette)).collect(),
        other => action::lines(other, brings, palette),
    };
    let mut text = lines.join("\n") + "\n";
    if let Some(interrupts) = &change.interrupts {
        let _ = writeln!(text, "{}", palette.paint(Tone::Warn, &format!("! {}", sanitize::line(interrupts))));
    }
    text
}

/// What the plan leaves to a person, and what it could not judge.
fn by_hand(judged: &Judged, palette: Palette) -> String {
    let mut text = String::new();
    for control in &judged.controls {
        let (word, why) = match &control.verdict.status {
            Status::Unknown { why } => ("unknown", why),
            Status::Differs { advice: Some(advice), .. } => ("by hand", advice),
            _ => continue,
        };
        if text.is_empty() {
            let _ = write!(text, "\n{}\n", palette.paint(Tone::Heading, "not done by this plan"));
        }
        let why = redact::secrets(why);
        let _ = writeln!(text, "  - {} {}: {}", palette.paint(Tone::Warn, word), control.id, sanitize::line(&why));
    }
    text
}

fn refusals(judged: &Judged, palette: Palette) -> String {
    if judged.plan.refusals.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{}\n", palette.paint(Tone::Bad, "refused: this plan will not be applied"));
    for refusal in &judged.plan.refusals {
        let _ = writeln!(text, "  - {}", sanitize::line(&refusal.reason));
        let _ = writeln!(text, "    way out: {}", sanitize::line(&refusal.way_out));
    }
    text
}

/// What is left as it is because the site accepts it, and waivers that are over.
fn waivers(judged: &Judged, palette: Palette) -> String {
    let mut text = String::new();
    for control in &judged.controls {
        if let Status::Waived { deviation, waiver } = &control.verdict.status {
            let Waiver { owner, reason, expires, .. } = waiver;
            let deviation = redact::secrets(deviation);
            let said = format!("{}: {deviation}; accepted by {owner} until {expires}: {reason}", control.id);
            let _ = writeln!(text, "  - {} {}", palette.paint(Tone::Faint, "waived"), sanitize::line(&said));
        }
    }
    for WaiverResult { waiver, .. } in judged.waivers.iter().filter(|result| result.is_expired()) {
        let Waiver { control, owner, expires, .. } = waiver;
        let said = format!("{control}: the waiver of {owner} ended on {expires} and is no longer honoured");
        let _ = writeln!(text, "  - {} {}", palette.paint(Tone::Bad, "expired"), sanitize::line(&said));
    }
    if text.is_empty() { text } else { format!("\n{}\n{text}", palette.paint(Tone::Heading, "waivers")) }
}

fn notes(judged: &Judged, palette: Palette) -> String {
    if judged.plan.notes.is_empty() && judged.plan.drift.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{}\n", palette.paint(Tone::Heading, "notes"));
    for drift in &judged.plan.drift {
        let _ = writeln!(text, "  - {} since the last run: {}", drift.control, drifted(drift));
    }
    for note in &judged.plan.notes {
        let _ = writeln!(text, "  - {}", sanitize::line(note));
    }
    text
}

/// `pve1: 9 changes, 4 already right, 1 unknown`.
pub fn summary_line(report: &NodeReport, palette: Palette) -> String {
    let node = sanitize::line(&report.node);
    match &report.result {
        Err(failure) => format!("{node}: {}", palette.paint(Tone::Bad, &sanitize::line(&failure.cause))),
        Ok(judged) => {
            let refused = if judged.plan.refusals.is_empty() { "" } else { "; refused" };
            format!("{node}: {}{}", counts(judged.summary()), palette.paint(Tone::Bad, refused))
        }
    }
}

fn counts(summary: Summary) -> String {
    let Summary { changes, right, differing: _, unknown, not_applicable, refused, by_hand, waived } = summary;
    let plural = if changes == 1 { "" } else { "s" };
    let head = format!("{changes} change{plural}, {right} already right, {unknown} unknown");
    with_rest(
        head,
        &[(by_hand, "by hand"), (waived, "waived"), (not_applicable, "not applicable"), (refused, "refused")],
    )
}

fn with_rest(mut head: String, rest: &[(usize, &str)]) -> String {
    for (count, word) in rest.iter().filter(|(count, _)| *count > 0) {
        let _ = write!(head, ", {count} {word}");
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{FileChange, FileImage, Stage};
    use crate::controls::{Evidence, Severity, Verdict};
    use crate::error::{Error, Kind};
    use crate::plan::{Refusal, testing};
    use crate::render::json;
    use crate::report::{Command, ControlResult, Failure};

    fn control(id: &str, verdict: Verdict) -> ControlResult {
        ControlResult {
            id: id.into(),
            title: "what is required",
            severity: Severity::High,
            level: 1,
            origins: "baseline:3-5".into(),
            verdict,
        }
    }

    fn judged() -> Judged {
        let mut plan = testing::empty_plan();
        let file = FileChange {
            path: "/etc/ssh/sshd_config.d/00-pve-harden.conf".into(),
            before: None,
            after: Some(FileImage::root("PermitRootLogin no\n", 0o600)),
            validate: None,
        };
        let package = Action::Packages { install: vec!["sudo".into()] };
        plan.changes = vec![
            testing::change("accounts.admin", Stage::Packages, package),
            testing::change("ssh.root-login", Stage::Ssh, Action::File(file)),
        ];
        plan.changes[1].interrupts = Some("new logins wait for a second".into());
        plan.notes = vec!["packages to be installed: sudo".into()];
        let evidence = vec![Evidence::new("sshd -T", "permitrootlogin yes\x1b[2J", "no")];
        let controls = vec![
            control("accounts.admin", Verdict::differs(vec![], vec![])),
            control("ssh.root-login", Verdict::differs(vec![], evidence)),
            control("ssh.limits", Verdict::compliant(vec![])),
            control("ssh.crypto", Verdict::unknown("sshd -T failed")),
            control("accounts.root-password", Verdict::advise("set a new one: $6$saltsalt$secretsecret", vec![])),
            control("password.hash", Verdict::not_applicable("no such file")),
        ];
        Judged {
            release: Some("9.1.2".into()),
            plan,
            controls,
            waivers: Vec::new(),
            upgrade: Vec::new(),
            upgrade_note: None,
            access: None,
        }
    }

    fn node_of(result: Result<Judged, Failure>) -> NodeReport {
        NodeReport { node: "pve1".into(), address: "192.0.2.11".into(), result }
    }

    fn shown(judged: Judged) -> String {
        report(&Report { command: Command::Plan, nodes: vec![node_of(Ok(judged))] }, Palette::PLAIN)
    }

    #[test]
    fn a_plan_reads_from_top_to_bottom() {
        insta::assert_snapshot!(shown(judged()), @r"
        pve1 (192.0.2.11, PVE 9.1.2)

        == packages
        # accounts.admin (baseline:3-5)
        + package sudo

        == ssh
        # ssh.root-login (baseline:3-5)
        --- /dev/null
        +++ /etc/ssh/sshd_config.d/00-pve-harden.conf
        \ new file, 0600 root:root
        @@ -0,0 +1 @@
        +PermitRootLogin no
        ! new logins wait for a second

        not done by this plan
          - unknown ssh.crypto: sshd -T failed
          - by hand accounts.root-password: set a new one: ***

        notes
          - packages to be installed: sudo

        pve1: 2 changes, 1 already right, 1 unknown, 1 by hand, 1 not applicable
        ");
    }

    #[test]
    fn a_refused_plan_says_why_and_the_way_out() {
        let mut judged = judged();
        judged.plan.changes.clear();
        judged.plan.notes.clear();
        judged.controls.clear();
        judged.plan.refusals = vec![Refusal { reason: "nobody could log in".into(), way_out: "add a key".into() }];
        insta::assert_snapshot!(shown(judged), @r"
        pve1 (192.0.2.11, PVE 9.1.2)

        refused: this plan will not be applied
          - nobody could log in
            way out: add a key

        pve1: 0 changes, 0 already right, 0 unknown; refused
        ");
    }

    #[test]
    fn several_nodes_end_with_one_line_each() {
        let error = Error::msg(Kind::Unreachable, "no route to host").untouched("pve2");
        let mut second = node_of(Err(Failure::of(&error, "pve2")));
        second.node = "pve2".into();
        let mut first = judged();
        first.plan.changes.clear();
        first.plan.notes.clear();
        first.controls.truncate(0);
        let both = Report { command: Command::Plan, nodes: vec![node_of(Ok(first)), second] };
        insta::assert_snapshot!(report(&both, Palette::PLAIN), @r"
        pve1 (192.0.2.11, PVE 9.1.2)
        pve1: 0 changes, 0 already right, 0 unknown

        all nodes
          pve1: 0 changes, 0 already right, 0 unknown
          pve2: no route to host
        ");
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "the whole document is the point")]
    fn the_json_document_carries_the_same() {
        let report = Report { command: Command::Plan, nodes: vec![node_of(Ok(judged()))] };
        insta::assert_snapshot!(json::document(&report), @r#"
        {
          "command": "plan",
          "exit-code": 1,
          "nodes": [
            {
              "address": "192.0.2.11",
              "controls": [
                {
                  "evidence": [],
                  "fix": {
                    "by": "person",
                    "hint": "by hand; `pve-harden explain accounts.admin` says what is wanted and why"
                  },
                  "id": "accounts.admin",
                  "level": 1,
                  "origins": "baseline:3-5",
                  "severity": "high",
                  "status": "differs",
                  "title": "what is required",
                  "why": null
                },
                {
                  "evidence": [
                    {
                      "found": "permitrootlogin yes\u001b[2J",
                      "source": "sshd -T",
                      "wanted": "no"
                    }
                  ],
                  "fix": {
                    "by": "person",
                    "hint": "by hand; `pve-harden explain ssh.root-login` says what is wanted and why"
                  },
                  "id": "ssh.root-login",
                  "level": 1,
                  "origins": "baseline:3-5",
                  "severity": "high",
                  "status": "differs",
                  "title": "what is required",
                  "why": null
                },
                {
                  "evidence": [],
                  "id": "ssh.limits",
                  "level": 1,
                  "origins": "baseline:3-5",
                  "severity": "high",
                  "status": "pass",
                  "title": "what is required",
                  "why": null
                },
                {
                  "evidence": [],
                  "fix": {
                    "by": "person",
                    "hint": "remove the cause, then check again; what cannot be read is never right"
                  },
                  "id": "ssh.crypto",
                  "level": 1,
                  "origins": "baseline:3-5",
                  "severity": "high",
                  "status": "unknown",
                  "title": "what is required",
                  "why": "sshd -T failed"
                },
                {
                  "evidence": [],
                  "fix": {
                    "by": "person",
                    "hint": "by hand; `pve-harden explain accounts.root-password` says what is wanted and why"
                  },
                  "id": "accounts.root-password",
                  "level": 1,
                  "origins": "baseline:3-5",
                  "severity": "high",
                  "status": "differs",
                  "title": "what is required",
                  "why": "set a new one: ***"
                },
                {
                  "evidence": [],
                  "id": "password.hash",
                  "level": 1,
                  "origins": "baseline:3-5",
                  "severity": "high",
                  "status": "not-applicable",
                  "title": "what is required",
                  "why": "no such file"
                }
              ],
              "exit-code": 1,
              "node": "pve1",
              "plan": {
                "brings": [],
                "changes": [
                  {
                    "action": {
                      "do": "packages",
                      "install": [
                        "sudo"
                      ]
                    },
                    "controls": [
                      "accounts.admin"
                    ],
                    "interrupts": null,
                    "stage": "packages",
                    "summary": "accounts.admin step"
                  },
                  {
                    "action": {
                      "after": {
                        "group": "root",
                        "mode": "0600",
                        "owner": "root",
                        "sha256": "44c91857f34b1ec68e246ebcbad66c4b9380b41c3490c719bdfd6696ba7b40b5"
                      },
                      "before": null,
                      "diff": "--- /dev/null\n+++ /etc/ssh/sshd_config.d/00-pve-harden.conf\n\\ new file, 0600 root:root\n@@ -0,0 +1 @@\n+PermitRootLogin no\n",
                      "do": "file",
                      "path": "/etc/ssh/sshd_config.d/00-pve-harden.conf"
                    },
                    "controls": [
                      "ssh.root-login"
                    ],
                    "interrupts": "new logins wait for a second",
                    "stage": "ssh",
                    "summary": "ssh.root-login step"
                  }
                ],
                "digests": {
                  "profile": "",
                  "site": ""
                },
                "drift": [],
                "expects": {},
                "notes": [
                  "packages to be installed: sudo"
                ],
                "proofs": [],
                "refusals": [],
                "seal": "0000000000000000000000000000000000000000000000000000000000000000"
              },
              "release": "9.1.2",
              "summary": {
                "by-hand": 1,
                "changes": 2,
                "differing": 3,
                "not-applicable": 1,
                "refused": 0,
                "right": 1,
                "unknown": 1,
                "waived": 0
              }
            }
          ],
          "tool": "pve-harden 0.1.0",
          "version": 1
        }
        "#);
    }

    #[test]
    fn neither_format_shows_a_secret_or_drives_a_terminal() {
        let report = Report { command: Command::Check { fail_on: None }, nodes: vec![node_of(Ok(judged()))] };
        for text in [super::report(&report, Palette::PLAIN), json::document(&report)] {
            assert!(!text.contains("secretsecret") && !text.contains('\x1b'), "{text}");
        }
    }
}
