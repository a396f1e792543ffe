//! The text of `check`: a table, worst first, with evidence and one hint for each finding.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::explain;
use super::style::{Palette, Tone};
use crate::access::matrix::Kind;
use crate::controls::Severity;
use crate::plan::drift::Drift;
use crate::plan::upgrade::Meaning;
use crate::report::Summary;
use crate::report::document::{Control, Document, Node, Observation, State, WaiverEntry, WaiverState};
use crate::report::framework::{Covers, View};
use crate::sanitize;

/// Observations shown of one finding; the other formats have all of them.
const SHOWN: usize = 6;
/// Longest observation that is shown whole, in characters.
const LONGEST: usize = 240;

/// The whole result. Nodes that failed are messages, not results; with several nodes they are listed at the end.
pub fn report(document: &Document, palette: Palette) -> String {
    let mut text = match &document.framework {
        Some(view) => framework(view, document, palette),
        None => nodes(document, palette),
    };
    if let Some(contact) = &document.emergency_contact {
        let _ = writeln!(text, "\nin an emergency: {}", sanitize::line(contact));
    }
    text
}

fn nodes(document: &Document, palette: Palette) -> String {
    let readable = document.nodes.iter().filter(|node| node.failure.is_none());
    let nodes: Vec<_> = readable.map(|one| node(one, palette)).collect();
    let mut text = nodes.join("\n");
    if document.nodes.len() > 1 {
        let _ = write!(text, "\n{}\n", palette.paint(Tone::Heading, "all nodes"));
        for node in &document.nodes {
            let _ = writeln!(text, "  {}", summary_line(node, palette));
        }
    }
    text
}

fn node(node: &Node, palette: Palette) -> String {
    let release = node.release.as_ref().map(|release| format!(", PVE {release}")).unwrap_or_default();
    let heading = format!("{} ({}{release})", node.node, node.address);
    let mut text = format!("{}\n", palette.paint(Tone::Heading, &sanitize::line(&heading)));
    let width = node.controls.iter().map(|control| control.id.len()).max().unwrap_or(0);
    for control in worst_first(&node.controls) {
        text.push_str(&row(control, &node.drift, width, palette));
    }
    text.push_str(&waivers(&node.waivers, palette));
    text.push_str(&upgrade(&node.upgrade, palette));
    if let Some(note) = &node.upgrade_note {
        let _ = writeln!(text, "\n{}", sanitize::line(note));
    }
    text.push_str(&access(node));
    let _ = writeln!(text, "{}", summary_line(node, palette));
    text
}

/// Findings by severity, then what is accepted, what does not apply, and what is right; the order of the catalogue
/// inside each.
pub fn worst_first(controls: &[Control]) -> Vec<&Control> {
    let rank = |control: &&Control| {
        let severity = if control.is_finding() { Some(control.severity) } else { None };
        let state = match control.status {
            State::Refused => 0,
            State::Differs => 1,
            State::Unknown => 2,
            State::Waived => 3,
            State::NotApplicable => 4,
            State::Pass => 5,
        };
        (std::cmp::Reverse(severity), state)
    };
    let mut sorted: Vec<&Control> = controls.iter().collect();
    sorted.sort_by_key(rank);
    sorted
}

fn row(control: &Control, drift: &[Drift], width: usize, palette: Palette) -> String {
    const INDENT: &str = "      ";
    let word = control.status.word();
    let word = palette.paint(tone(control), &format!("{word:14}"));
    let severity = explain::severity(control.severity);
    let mut text = format!(
        "  {word}  {severity:6}  L{}  {:width$}  {}\n",
        control.level,
        control.id,
        sanitize::line(&control.title)
    );
    if let Some(waiver) = &control.waiver {
        let accepted = format!("accepted by {}, {}: {}", waiver.owner, waiver.standing(), waiver.reason);
        let _ = writeln!(text, "{INDENT}{}", sanitize::line(&accepted));
    }
    if let Some(why) = &control.why {
        let _ = writeln!(text, "{INDENT}{}", sanitize::line(why));
    }
    if control.is_finding() {
        for seen in control.evidence.iter().take(SHOWN) {
            let _ = writeln!(text, "{INDENT}{}", palette.paint(Tone::Faint, &observation(seen)));
        }
        if let Some(more) = control.evidence.len().checked_sub(SHOWN + 1) {
            let _ = writeln!(text, "{INDENT}… and {} more", more + 1);
        }
    }
    for one in drift.iter().filter(|one| one.control == control.id && control.is_finding()) {
        let _ = writeln!(text, "{INDENT}since the last run: {}", drifted(one));
    }
    if let Some(fix) = &control.fix {
        let _ = writeln!(text, "{INDENT}{} {}", palette.paint(Tone::Place, "hint:"), sanitize::line(&fix.hint));
    }
    text
}

/// `/etc/x: somebody: changed at …`.
pub fn drifted(drift: &Drift) -> String {
    let path = drift.path.as_ref().map(|path| format!("{path}: ")).unwrap_or_default();
    sanitize::line(&format!("{path}{}: {}", drift.by.word(), drift.because)).into_owned()
}

const fn tone(control: &Control) -> Tone {
    match (control.status, control.severity) {
        (State::Pass, _) => Tone::Good,
        (State::Waived | State::NotApplicable, _) => Tone::Faint,
        (State::Unknown, _) | (State::Differs, Severity::Low) => Tone::Warn,
        (State::Differs | State::Refused, _) => Tone::Bad,
    }
}

fn observation(seen: &Observation) -> String {
    let wanted = seen.wanted.as_ref().map(|wanted| format!(" (wanted: {})", short(wanted))).unwrap_or_default();
    sanitize::line(&format!("{}: {}{wanted}", short(&seen.source), short(&seen.found))).into_owned()
}

fn short(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// Waivers that need somebody's attention; those that hold are shown with their control.
fn waivers(waivers: &[WaiverEntry], palette: Palette) -> String {
    let mut text = String::new();
    for waiver in waivers {
        let (tone, todo) = match (waiver.state, waiver.needed) {
            (WaiverState::Expired, true) => (Tone::Bad, "decide again: put the control right, or renew it"),
            (WaiverState::Expired, false) => (Tone::Bad, "the node does not deviate: remove it"),
            (_, false) => (Tone::Warn, "the node no longer deviates: remove it"),
            (WaiverState::Ending, true) => (Tone::Warn, "decide before it ends"),
            (WaiverState::Holds, true) => continue,
        };
        if text.is_empty() {
            let _ = write!(text, "\n{}\n", palette.paint(Tone::Heading, "waivers"));
        }
        let standing = palette.paint(tone, &sanitize::line(&waiver.standing()));
        let who = format!("{} ({}, {}): {todo}", waiver.control, waiver.place(), waiver.owner);
        let _ = writeln!(text, "  - {standing}: {}", sanitize::line(&who));
    }
    text
}

/// How many may log in to PVE, and who may do everything; the matrix has a command of its own.
fn access(node: &Node) -> String {
    let Some(accounts) = &node.access else { return String::new() };
    let mighty: Vec<&str> =
        accounts.iter().filter(|one| one.enabled && one.is_mighty()).map(|one| one.account.as_str()).collect();
    let more = mighty.len().checked_sub(SHOWN).filter(|more| *more > 0);
    let more = more.map(|more| format!(" and {more} more")).unwrap_or_default();
    let names = mighty.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    let all = if names.is_empty() { "nobody".into() } else { names };
    let count = |kind| accounts.iter().filter(|one| one.kind == kind).count();
    let (users, tokens) = (count(Kind::User), count(Kind::Token));
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let text = format!(
        "access: {users} user{}, {tokens} token{}; may do everything: {all}{more} (`pve-harden access matrix` shows all)",
        plural(users),
        plural(tokens)
    );
    format!("\n{}\n", sanitize::line(&text))
}

/// What an upgrade changes, and what to do about it.
fn upgrade(changes: &[Meaning], palette: Palette) -> String {
    let mut text = String::new();
    for Meaning { subject, change, todo } in changes {
        if text.is_empty() {
            let _ = write!(text, "\n{}\n", palette.paint(Tone::Heading, "what PVE 9 makes of it"));
        }
        let _ = writeln!(text, "  - {}", sanitize::line(&format!("{subject}: {change}")));
        let _ = writeln!(text, "    {} {}", palette.paint(Tone::Place, "hint:"), sanitize::line(todo));
    }
    text
}

/// A line per requirement; below it what answers it, where the nodes stand, and what stays outside.
fn framework(view: &View, document: &Document, palette: Palette) -> String {
    let mut text = format!("{}\n", palette.paint(Tone::Heading, &view.title));
    let width = view.requirements.iter().map(|one| one.id.chars().count()).max().unwrap_or(0);
    for one in &view.requirements {
        let (word, tone) = covers(one.coverage);
        let word = palette.paint(tone, &format!("{word:8}"));
        let _ = writeln!(text, "  {word}  {:width$}  {}", one.id, one.title);
        let commands = one.commands.iter().map(|command| format!("`{command}`"));
        let answers: Vec<String> = one.controls.iter().cloned().chain(commands).collect();
        if !answers.is_empty() {
            let _ = writeln!(text, "      {}", palette.paint(Tone::Faint, &format!("by {}", answers.join(", "))));
        }
        let nodes: Vec<String> =
            one.nodes.iter().map(|node| format!("{}: {}", sanitize::line(&node.node), node.words())).collect();
        if !nodes.is_empty() {
            let _ = writeln!(text, "      {}", nodes.join(", "));
        }
        if let Some(outside) = &one.outside {
            let _ = writeln!(text, "      outside: {outside}");
        }
        if let Some(note) = &one.note {
            let _ = writeln!(text, "      note: {note}");
        }
    }
    let count = |wanted| view.requirements.iter().filter(|one| one.coverage == wanted).count();
    let (full, part, outside) = (count(Covers::Full), count(Covers::Part), count(Covers::Outside));
    let _ =
        writeln!(text, "\n{}: {full} covered, {part} in part, {outside} outside; sources: {}", view.name, view.source);
    for node in &document.nodes {
        let _ = writeln!(text, "{}", summary_line(node, palette));
    }
    text
}

/// How far, in words.
pub const fn covers(covers: Covers) -> (&'static str, Tone) {
    match covers {
        Covers::Full => ("covered", Tone::Good),
        Covers::Part => ("in part", Tone::Warn),
        Covers::Outside => ("outside", Tone::Faint),
    }
}

/// `pve1: 9 pass, 4 differ, 1 unknown`.
pub fn summary_line(node: &Node, palette: Palette) -> String {
    let name = sanitize::line(&node.node);
    match (&node.failure, node.summary) {
        (Some(failure), _) => format!("{name}: {}", palette.paint(Tone::Bad, &sanitize::line(&failure.cause))),
        (None, Some(summary)) => format!("{name}: {}", standing(summary)),
        (None, None) => name.into_owned(),
    }
}

fn standing(summary: Summary) -> String {
    let Summary { changes: _, right, differing, unknown, not_applicable, refused, by_hand: _, waived } = summary;
    let mut text = format!("{right} pass, {differing} differ, {unknown} unknown");
    for (count, word) in [(waived, "waived"), (not_applicable, "not applicable"), (refused, "refused")] {
        if count > 0 {
            let _ = write!(text, ", {count} {word}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing::document;

    #[test]
    fn a_check_is_a_table_with_the_worst_first() {
        insta::assert_snapshot!(report(&document(), Palette::PLAIN), @r#"
        pve1 (192.0.2.11, PVE 9.1.2)
          differs         high    L1  ssh.root-login          what is required
              sshd -T: permitrootlogin yes\x1b[2J (wanted: no)
              hint: apply would: ssh.root-login step and 1 more step
          unknown         high    L1  ssh.crypto              what is required
              sshd -T failed
              hint: remove the cause, then check again; what cannot be read is never right
          refused         medium  L1  ssh.password-auth       what is required
              nobody could log in
              hint: change the profile or the site; `pve-harden explain ssh.password-auth` says why
          differs         low     L1  accounts.root-password  what is required
              set a new one: ***
              sshd -T: <script>alert(1)</script>"'>]]>&amp;\x1b[2J\u{202e}\x00\u{fffe}</td>{"a":1}\n-- END (wanted: no)
              hint: by hand; `pve-harden explain accounts.root-password` says what is wanted and why
          waived          medium  L1  ssh.forwarding          what is required
              accepted by Olga, ends in 19 days, 2026-06-20: legacy backup client
              1 step left undone
          not applicable  low     L1  password.hash           what is required
              no such file
          pass            medium  L1  ssh.limits              what is required

        waivers
          - ends in 19 days, 2026-06-20: ssh.forwarding (node pve1, Olga): decide before it ends
          - expired 31 days ago, 2026-05-01: ssh.limits (node pve1, Olga): the node does not deviate: remove it

        access: 2 users, 1 token; may do everything: olga@pve, root@pam (`pve-harden access matrix` shows all)
        pve1: 1 pass, 2 differ, 1 unknown, 1 waived, 1 not applicable, 1 refused

        all nodes
          pve1: 1 pass, 2 differ, 1 unknown, 1 waived, 1 not applicable, 1 refused
          pve2: no route to host

        in an emergency: on call: +1 555 0100
        "#);
    }
}
