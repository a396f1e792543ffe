//! `JUnit` XML, as Jenkins' xUnit plugin defines it (junit-10.xsd): a suite per node, a case per control.

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::check::{covers, worst_first};
use super::explain;
use crate::plan::upgrade::Meaning;
use crate::report::document::{Control, Document, Node, State, WaiverEntry, WaiverState};
use crate::report::framework::{Covers, NodeStanding, Requirement, View};
use crate::sanitize;

/// What became of a case.
struct Outcome<'a> {
    /// `failure`, `error` or `skipped`; `None` is a pass.
    element: Option<&'static str>,
    kind: &'a str,
    message: String,
}

/// Class, name, outcome and text.
type Case<'a> = (String, String, Outcome<'a>, String);

/// The document. An error here is one of memory alone.
pub fn document(document: &Document) -> std::io::Result<String> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let mut suites: Vec<(String, &Node, Vec<Case<'_>>)> =
        document.nodes.iter().map(|node| (node.node.clone(), node, cases(node, document))).collect();
    let asked = document.nodes.iter().filter(|node| !node.upgrade.is_empty());
    suites.extend(asked.map(|node| (format!("{}: what PVE 9 makes of it", node.node), node, upgrade(node))));
    if let Some(view) = &document.framework {
        let readable = document.nodes.iter().filter(|node| node.failure.is_none());
        suites
            .extend(readable.map(|node| (format!("{}: {}", node.node, view.title), node, rows(node, view, document))));
    }
    let cases: Vec<&Case<'_>> = suites.iter().flat_map(|(_, _, cases)| cases).collect();
    let total = |element| cases.iter().filter(|(_, _, outcome, _)| outcome.element == Some(element)).count();
    let stamp = document.generated.map(|time| time.strftime("%Y-%m-%dT%H:%M:%S").to_string()).unwrap_or_default();
    writer
        .create_element("testsuites")
        .with_attribute(("name", document.tool.as_str()))
        .with_attribute(("tests", cases.len().to_string().as_str()))
        .with_attribute(("failures", total("failure").to_string().as_str()))
        .with_attribute(("errors", total("error").to_string().as_str()))
        .write_inner_content(|writer| {
            suites.iter().try_for_each(|(name, node, cases)| suite(writer, name, node, cases, &stamp))
        })?;
    let mut xml = String::from_utf8_lossy(&writer.into_inner()).into_owned();
    xml.push('\n');
    Ok(xml)
}

fn suite(
    writer: &mut Writer<Vec<u8>>,
    name: &str,
    node: &Node,
    cases: &[Case<'_>],
    stamp: &str,
) -> std::io::Result<()> {
    let count =
        |element| cases.iter().filter(|(_, _, outcome, _)| outcome.element == Some(element)).count().to_string();
    writer
        .create_element("testsuite")
        .with_attribute(("name", harmless(name).as_str()))
        .with_attribute(("hostname", harmless(&node.address).as_str()))
        .with_attribute(("timestamp", stamp))
        .with_attribute(("tests", cases.len().to_string().as_str()))
        .with_attribute(("failures", count("failure").as_str()))
        .with_attribute(("errors", count("error").as_str()))
        .with_attribute(("skipped", count("skipped").as_str()))
        .write_inner_content(|writer| {
            cases.iter().try_for_each(|(class, name, outcome, body)| case(writer, (class, name), outcome, body))
        })?;
    Ok(())
}

fn case(
    writer: &mut Writer<Vec<u8>>,
    (class, name): (&str, &str),
    outcome: &Outcome<'_>,
    body: &str,
) -> std::io::Result<()> {
    let element = writer
        .create_element("testcase")
        .with_attribute(("classname", harmless(class).as_str()))
        .with_attribute(("name", harmless(name).as_str()));
    let text = harmless(body);
    match outcome.element {
        None => element.write_inner_content(|writer| {
            writer.create_element("system-out").write_text_content(BytesText::new(&text)).map(|_| ())
        }),
        Some(word) => element.write_inner_content(|writer| {
            let mut inner =
                writer.create_element(word).with_attribute(("message", harmless(&outcome.message).as_str()));
            if word != "skipped" {
                inner = inner.with_attribute(("type", outcome.kind));
            }
            inner.write_text_content(BytesText::new(&text)).map(|_| ())
        }),
    }
    .map(|_| ())
}

fn cases<'a>(node: &'a Node, document: &Document) -> Vec<Case<'a>> {
    let class = |family: &str| format!("{}.{family}", node.node);
    let mut cases = Vec::new();
    if let Some(failure) = &node.failure {
        let outcome = Outcome { element: Some("error"), kind: "unreachable", message: failure.cause.clone() };
        let body = format!("{}\n{}\nhint: {}", failure.state, failure.cause, failure.hint);
        cases.push((class("node"), "can be read".into(), outcome, body));
    }
    for control in worst_first(&node.controls) {
        cases.push((class(control.family()), control.id.clone(), outcome(control, document), body(control)));
    }
    for waiver in node.waivers.iter().filter(|waiver| waiver.state == WaiverState::Expired) {
        let outcome = Outcome { element: Some("failure"), kind: "expired-waiver", message: waiver.standing() };
        cases.push((class("waiver"), waiver.control.clone(), outcome, accepted(waiver)));
    }
    cases
}

/// A case per thing that changes meaning at an upgrade. None counts for the exit code, as nothing is wrong with the node.
fn upgrade(node: &Node) -> Vec<Case<'_>> {
    let class = format!("{}.upgrade", node.node);
    let case = |one: &Meaning| {
        let outcome = Outcome { element: Some("skipped"), kind: "", message: one.change.clone() };
        (class.clone(), one.subject.clone(), outcome, format!("hint: {}", one.todo))
    };
    node.upgrade.iter().map(case).collect()
}

/// A case per requirement: the worst of its controls; what is not answered, or only by some of its controls, is skipped,
/// never passed.
fn rows<'a>(node: &Node, view: &'a View, document: &Document) -> Vec<Case<'a>> {
    let class = format!("{}.{}", node.node, view.name);
    let row = |one: &'a Requirement| {
        let judged: Vec<&Control> = node.controls.iter().filter(|control| one.controls.contains(&control.id)).collect();
        let rank = |outcome: &Outcome<'_>| match outcome.element {
            Some("failure") => 3,
            Some("error") => 2,
            None => 1,
            Some(_) => 0,
        };
        let worst = judged.iter().map(|control| (outcome(control, document), control)).max_by_key(|(one, _)| rank(one));
        let found = worst.map_or_else(
            || {
                let why = one.outside.clone().unwrap_or_else(|| "none of its controls was judged on this node".into());
                Outcome { element: Some("skipped"), kind: "", message: format!("{}: {why}", covers(one.coverage).0) }
            },
            |(Outcome { element, message, .. }, control)| {
                let gap = one.nodes.iter().find(|at| at.node == node.node).and_then(NodeStanding::gap);
                if let (None, Some(gap)) = (element, gap) {
                    return Outcome {
                        element: Some("skipped"),
                        kind: "",
                        message: format!("as far as it was asked for: {gap}"),
                    };
                }
                let message = if element.is_some() { format!("{}: {message}", control.id) } else { message };
                Outcome { element, kind: covers(one.coverage).0, message }
            },
        );
        let mut lines = vec![format!("{}: {}", covers(one.coverage).0, one.title)];
        lines.extend(judged.iter().map(|control| format!("{}: {}", control.id, control.status.word())));
        lines.extend(one.commands.iter().map(|command| format!("see `pve-harden {command}`")));
        lines.extend(one.outside.as_ref().map(|outside| format!("outside: {outside}")));
        let part = if one.coverage == Covers::Part { " (in part)" } else { "" };
        lines.extend(one.note.as_ref().map(|note| format!("note: {note}")));
        (class.clone(), format!("{} {}{part}", one.id, one.title), found, lines.join("\n"))
    };
    view.requirements.iter().map(row).collect()
}

/// What does not count for the exit code does not fail here either.
fn outcome<'a>(control: &Control, document: &Document) -> Outcome<'a> {
    let counts = document.fail_on.is_some_and(|bar| control.severity >= bar);
    let why = control.why.clone().unwrap_or_else(|| control.title.clone());
    let (element, message) = match control.status {
        State::Pass => (None, String::new()),
        State::Unknown => (Some("error"), why),
        State::Differs | State::Refused if counts => (Some("failure"), why),
        State::Differs | State::Refused => (Some("skipped"), format!("differs, below --fail-on: {why}")),
        State::Waived => (Some("skipped"), format!("waived: {why}")),
        State::NotApplicable => (Some("skipped"), format!("not applicable: {why}")),
    };
    let kind = if control.status == State::Unknown { "unknown" } else { explain::severity(control.severity) };
    Outcome { element, kind, message }
}

fn body(control: &Control) -> String {
    let mut lines = vec![control.title.clone()];
    for seen in &control.evidence {
        let wanted = seen.wanted.as_ref().map(|wanted| format!(" (wanted: {wanted})")).unwrap_or_default();
        lines.push(format!("{}: {}{wanted}", seen.source, seen.found));
    }
    lines.extend(control.fix.as_ref().map(|fix| format!("hint: {}", fix.hint)));
    lines.extend(control.waiver.as_ref().map(accepted));
    lines.join("\n")
}

fn accepted(waiver: &WaiverEntry) -> String {
    format!("waiver of {} for {}, {}: {}", waiver.owner, waiver.place(), waiver.standing(), waiver.reason)
}

/// Without the characters that XML 1.0 forbids, which are control and non-characters; they become visible instead.
fn harmless(text: &str) -> String {
    sanitize::text(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing;

    #[test]
    fn a_case_per_control() {
        insta::assert_snapshot!(document(&testing::document()).unwrap(), @r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="pve-harden 0.1.0" tests="9" failures="4" errors="2">
          <testsuite name="pve1" hostname="192.0.2.11" timestamp="2026-06-01T12:00:00" tests="8" failures="4" errors="1" skipped="2">
            <testcase classname="pve1.ssh" name="ssh.root-login">
              <failure message="what is required" type="high">what is required
        sshd -T: permitrootlogin yes\x1b[2J (wanted: no)
        hint: apply would: ssh.root-login step and 1 more step</failure>
            </testcase>
            <testcase classname="pve1.ssh" name="ssh.crypto">
              <error message="sshd -T failed" type="unknown">what is required
        hint: remove the cause, then check again; what cannot be read is never right</error>
            </testcase>
            <testcase classname="pve1.ssh" name="ssh.password-auth">
              <failure message="nobody could log in" type="medium">what is required
        hint: change the profile or the site; `pve-harden explain ssh.password-auth` says why</failure>
            </testcase>
            <testcase classname="pve1.accounts" name="accounts.root-password">
              <failure message="set a new one: ***" type="low">what is required
        sshd -T: &lt;script&gt;alert(1)&lt;/script&gt;&quot;&apos;&gt;]]&gt;&amp;amp;\x1b[2J\u{202e}\x00\u{fffe}&lt;/td&gt;{&quot;a&quot;:1}
        -- END (wanted: no)
        hint: by hand; `pve-harden explain accounts.root-password` says what is wanted and why</failure>
            </testcase>
            <testcase classname="pve1.ssh" name="ssh.forwarding">
              <skipped message="waived: 1 step left undone">what is required
        sshd -T: yes (wanted: no)
        waiver of Olga for node pve1, ends in 19 days, 2026-06-20: legacy backup client</skipped>
            </testcase>
            <testcase classname="pve1.password" name="password.hash">
              <skipped message="not applicable: no such file">what is required</skipped>
            </testcase>
            <testcase classname="pve1.ssh" name="ssh.limits">
              <system-out>what is required
        sshd -T: no (wanted: no)</system-out>
            </testcase>
            <testcase classname="pve1.waiver" name="ssh.limits">
              <failure message="expired 31 days ago, 2026-05-01" type="expired-waiver">waiver of Olga for node pve1, expired 31 days ago, 2026-05-01: legacy backup client</failure>
            </testcase>
          </testsuite>
          <testsuite name="pve2" hostname="192.0.2.11" timestamp="2026-06-01T12:00:00" tests="1" failures="0" errors="1" skipped="0">
            <testcase classname="pve2.node" name="can be read">
              <error message="no route to host" type="unreachable">nothing was changed on pve2
        no route to host
        hint: check address, port and jump host with `ssh -v`, then run the same command again</error>
            </testcase>
          </testsuite>
        </testsuites>
        "#);
    }

    #[test]
    fn what_an_upgrade_changes_is_a_suite_that_does_not_fail() {
        let mut of = testing::document();
        of.nodes[0].upgrade = testing::upgrade();
        let xml = document(&of).unwrap();
        let start = xml.find("<testsuite name=\"pve1: what").unwrap();
        let end = start + xml[start..].find("</testsuite>").unwrap();
        insta::assert_snapshot!(xml[start..end].trim_end(), @r#"
        <testsuite name="pve1: what PVE 9 makes of it" hostname="192.0.2.11" timestamp="2026-06-01T12:00:00" tests="2" failures="0" errors="0" skipped="2">
            <testcase classname="pve1.upgrade" name="role WebDev">
              <skipped message="VM.Monitor does not exist on PVE 9">hint: add Sys.Audit</skipped>
            </testcase>
            <testcase classname="pve1.upgrade" name="role &lt;script&gt;alert(1)&lt;/script&gt;&quot;&apos;&gt;]]&gt;&amp;amp;\x1b[2J\u{202e}\x00\u{fffe}&lt;/td&gt;{&quot;a&quot;:1} -- END">
              <skipped message="VM.Monitor does not exist on PVE 9">hint: add Sys.Audit</skipped>
            </testcase>
        "#);
        assert!(xml.contains("tests=\"11\" failures=\"4\" errors=\"2\""), "{xml}");
    }

    #[test]
    fn a_hostile_node_changes_nothing_but_its_own_text() {
        let hostile = document(&testing::hostile()).unwrap();
        assert!(!hostile.contains("<script"), "{hostile}");
        let elements = |xml: &str| {
            let mut reader = quick_xml::Reader::from_str(xml);
            let mut names = Vec::new();
            loop {
                match reader.read_event().unwrap() {
                    Event::Eof => return names,
                    Event::Start(start) => names.push(String::from_utf8(start.name().0.to_vec()).unwrap()),
                    _ => {}
                }
            }
        };
        assert_eq!(elements(&hostile), elements(&document(&testing::document()).unwrap()));
    }
}
