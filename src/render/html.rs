//! One self-contained page: no network, no inline handler, nothing of a node but as escaped text.
//!
//! The content policy allows exactly the style and the script below, by their digests, and nothing else.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::check::{covers, drifted, worst_first};
use super::{explain, permissions};
use crate::access::matrix::{Account, Kind};
use crate::plan::drift::Drift;
use crate::report::document::{Control, Document, Explained, FixedBy, Node, State, WaiverEntry, WaiverState};
use crate::report::framework::{Requirement, View};
use crate::sanitize;

const STYLE: &str = include_str!("html.css");
const SCRIPT: &str = include_str!("html.js");

/// The page.
pub fn document(document: &Document) -> String {
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'",
        source(STYLE),
        source(SCRIPT)
    );
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                title { "pve-harden check" @for node in &document.nodes { " · " (line(&node.node)) } }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (head(document))
                main {
                    (filter(document))
                    @if let Some(view) = &document.framework { (framework(view)) }
                    @for node in &document.nodes { (section(node, document)) }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// A CSP source expression for an inline element with this text.
fn source(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

fn line(text: &str) -> String {
    sanitize::line(text).into_owned()
}

fn text(text: &str) -> String {
    sanitize::text(text).into_owned()
}

fn head(document: &Document) -> Markup {
    let generated = document.generated.map(|time| time.strftime("%Y-%m-%d %H:%M UTC").to_string());
    let count = |state: State| controls(document).filter(|control| control.status == state).count();
    let states = [State::Differs, State::Refused, State::Unknown, State::Waived, State::NotApplicable, State::Pass];
    let unread = document.nodes.iter().filter(|node| node.failure.is_some()).count();
    html! {
        header {
            h1 { "Hardening of " (document.nodes.len()) " Proxmox VE node" @if document.nodes.len() != 1 { "s" } }
            p.faint {
                @if let Some(generated) = generated { (generated) " · " }
                (document.tool) " · profile " (line(&document.profiles.join(" + ")))
                " · exit code " (document.exit_code)
            }
            @if let Some(contact) = &document.emergency_contact {
                p { "In an emergency: " b { (line(contact)) } }
            }
            ul.totals {
                @for state in states.into_iter().filter(|state| count(*state) > 0) {
                    li class=(class(state)) { b.state { (count(state)) } (state.word()) }
                }
                @if unread > 0 { li { b.bad { (unread) } "not read" } }
            }
        }
    }
}

fn controls(document: &Document) -> impl Iterator<Item = &Control> {
    document.nodes.iter().flat_map(|node| &node.controls)
}

/// Hidden until the script, which makes it work, has run.
fn filter(document: &Document) -> Markup {
    let nodes: BTreeSet<&str> = document.nodes.iter().map(|node| node.node.as_str()).collect();
    let families: BTreeSet<&str> = controls(document).map(Control::family).collect();
    let states: BTreeSet<&str> = controls(document).map(|control| control.status.word()).collect();
    html! {
        form #filter .filter hidden {
            @for (name, all, choices) in
                [("node", "every node", nodes), ("state", "every state", states), ("family", "every family", families)]
            {
                label {
                    (name)
                    select name=(name) {
                        option value="" { (all) }
                        @for choice in choices { option value=(line(choice)) { (line(choice)) } }
                    }
                }
            }
            @if document.nodes.iter().any(|node| node.access.is_some()) {
                label {
                    "access"
                    input type="search" name="access" placeholder="account, group, role or path" autocomplete="off";
                }
            }
            button #open type="button" { "Open all" }
            button #close type="button" { "Close all" }
        }
    }
}

fn section(node: &Node, document: &Document) -> Markup {
    html! {
        section data-node=(line(&node.node)) {
            h2 { (line(&node.node)) }
            p.faint {
                (line(&node.address))
                @if let Some(release) = &node.release { " · PVE " (line(release)) }
                " · exit code " (node.exit_code)
            }
            @if let Some(failure) = &node.failure {
                p.bad { (text(&failure.cause)) }
                p { (text(&failure.state)) }
                p.hint { (text(&failure.hint)) }
            }
            @if !node.waivers.is_empty() { (waivers(&node.waivers)) }
            @for control in worst_first(&node.controls) { (entry(control, &node.drift, document.explained(&control.id))) }
            @if !node.upgrade.is_empty() {
                h3 { "What PVE 9 makes of it" }
                ul {
                    @for one in &node.upgrade { li { b { (line(&one.subject)) } ": " (line(&one.change)) p.hint { (line(&one.todo)) } } }
                }
            }
            @if let Some(note) = &node.upgrade_note { p { (line(note)) } }
            @if let Some(accounts) = &node.access { (access(node, accounts, document)) }
        }
    }
}

fn entry(control: &Control, drift: &[Drift], explained: Option<&Explained>) -> Markup {
    html! {
        details class=(class(control.status)) data-state=(control.status.word()) data-family=(control.family()) {
            summary {
                span.state { (control.status.word()) }
                code { (control.id) }
                span.title { (line(&control.title)) }
                span.faint { (explain::severity(control.severity)) " · level " (control.level) }
            }
            div.body {
                @if let Some(why) = &control.why { p { (text(why)) } }
                @if let Some(waiver) = &control.waiver {
                    p { "Accepted by " (line(&waiver.owner)) ", " (waiver.standing()) ": " (text(&waiver.reason)) }
                }
                @if let Some(explained) = explained { h3 { "Why" } p { (explained.why) } }
                (evidence(control))
                @for one in drift.iter().filter(|one| one.control == control.id && control.is_finding()) {
                    p { "Since the last run: " (drifted(one)) }
                }
                (fix(control))
                @if let Some(explained) = explained { (background(explained, control)) }
            }
        }
    }
}

fn evidence(control: &Control) -> Markup {
    html! {
        @if !control.evidence.is_empty() {
            h3 { "Evidence" }
            div.scroll {
                table {
                    thead { tr { th { "asked" } th { "found" } th { "wanted" } } }
                    tbody {
                        @for seen in &control.evidence {
                            tr {
                                td.found { (text(&seen.source)) }
                                td.found { (text(&seen.found)) }
                                td.found { (text(seen.wanted.as_deref().unwrap_or_default())) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn fix(control: &Control) -> Markup {
    html! {
        @if let Some(fix) = &control.fix {
            h3 { "Fix" }
            p.hint { (text(&fix.hint)) }
            @if fix.by == FixedBy::Apply {
                ol { @for step in &fix.steps { li { (text(step)) } } }
                p.faint { "`pve-harden plan` shows the exact diff, `pve-harden apply` does it." }
            }
        }
    }
}

fn background(explained: &Explained, control: &Control) -> Markup {
    html! {
        h3 { "How it is checked" } p { (explained.checked) }
        h3 { "What breaks when done naively" } p { (explained.naive) }
        h3 { "References" }
        ul { @for reference in &explained.references { li { (reference) } } }
        @if !control.origins.is_empty() { p.faint { "set in " (line(&control.origins)) } }
    }
}

fn waivers(waivers: &[WaiverEntry]) -> Markup {
    let tone = |waiver: &WaiverEntry| match waiver.state {
        WaiverState::Expired => "bad",
        WaiverState::Ending => "warn",
        WaiverState::Holds => "faint",
    };
    html! {
        h3 { "Waivers" }
        div.scroll {
            table {
                thead { tr { th { "control" } th { "where" } th { "owner" } th { "reason" } th { "until" } } }
                tbody {
                    @for waiver in waivers {
                        tr {
                            td { code { (waiver.control) } }
                            td { (line(&waiver.place())) }
                            td { (line(&waiver.owner)) }
                            td { (text(&waiver.reason)) }
                            td class=(tone(waiver)) {
                                (waiver.standing())
                                @if !waiver.needed { "; the node does not deviate" }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn framework(view: &View) -> Markup {
    html! {
        section {
            h2 { (view.title) }
            p.faint { "Sources: " (view.source) }
            div.scroll {
                table.requirements {
                    thead { tr { th { "requirement" } th { "coverage" } th { "by" } th { "nodes" } th { "outside, or how" } } }
                    tbody {
                        @for one in &view.requirements {
                            tr {
                                td { b { (one.id) } " " (one.title) }
                                td data-label="coverage" { (covers(one.coverage).0) }
                                td data-label="by" {
                                    @for id in &one.controls { code { (id) } " " }
                                    @for command in &one.commands { code { "pve-harden " (command) } " " }
                                }
                                td data-label="nodes" { @for node in &one.nodes { p { (line(&node.node)) ": " (node.words()) } } }
                                (rest(one))
                            }
                        }
                    }
                }
            }
        }
    }
}

fn rest(one: &Requirement) -> Markup {
    html! {
        @if let Some(outside) = &one.outside { td data-label="outside" { (outside) } }
        @else { td data-label="note" { (one.note.as_deref().unwrap_or_default()) } }
    }
}

/// Members of a cluster share user.cfg: it is shown with the first of them.
fn access(node: &Node, accounts: &[Account], document: &Document) -> Markup {
    let earlier = document.nodes.iter().take_while(|other| !std::ptr::eq(*other, node));
    let same = earlier.into_iter().find(|other| other.access.as_deref() == Some(accounts));
    html! {
        div.access data-family="access" {
            h3 { "Who may do what" }
            @if let Some(same) = same { p { "The same accounts and rights as on " (line(&same.node)) "." } }
            @else { (matrix(accounts)) }
        }
    }
}

fn matrix(accounts: &[Account]) -> Markup {
    html! {
        p.faint { span.shown { (accounts.len()) } " of " (accounts.len()) " accounts" }
        div.scroll {
            table {
                thead { tr { th { "account" } th { "for" } th { "state" } th { "second factors" } th { "rights" } } }
                tbody {
                    @for account in accounts {
                        tr data-account {
                            td { code { (line(&account.account)) } }
                            td { (line(&account.purpose)) }
                            td class=(if account.enabled { "" } else { "faint" }) { (line(&permissions::standing(account))) }
                            td {
                                @if account.kind == Kind::User { (line(&permissions::factors(account))) }
                            }
                            td {
                                @if account.grants.is_empty() { span.faint { "none" } }
                                @for held in &account.grants {
                                    p class=(if account.is_mighty() { "warn" } else { "" }) { (line(&permissions::right(held))) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

const fn class(state: State) -> &'static str {
    match state {
        State::NotApplicable => "not-applicable",
        other => other.word(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing;

    #[test]
    fn the_page_needs_nothing_from_outside() {
        let page = document(&testing::document());
        for outside in ["http://", "https://", "src=", "href=", "@import", "url(", "style=", "onclick", "onload"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert_eq!(page.matches("<script").count(), 1);
        assert!(page.contains(&format!("script-src &#39;{}&#39;", source(SCRIPT))) || page.contains(&source(SCRIPT)));
    }

    #[test]
    fn every_control_says_why_what_was_seen_and_how_it_becomes_right() {
        let page = document(&testing::document());
        assert_eq!(page.matches("<details").count(), 7);
        for part in
            ["olga@pve!ci", "Administrator on / through @admins", "PVEAuditor on /vms/100, there only", "totp 1"]
        {
            assert!(page.contains(part), "{part}");
        }
        for part in ["permitrootlogin yes\\x1b[2J", "apply would: ssh.root-login step", "How it is checked", "Olga"] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("secretsecret"));
    }

    #[test]
    fn the_emergency_contact_is_at_the_top() {
        let page = document(&testing::document());
        let (top, _) = page.split_once("<main>").unwrap();
        assert!(top.contains("In an emergency: <b>on call: +1 555 0100</b>"));
        let mut nobody = testing::document();
        nobody.emergency_contact = None;
        assert!(!document(&nobody).contains("In an emergency"));
    }

    #[test]
    fn a_hostile_node_changes_nothing_but_its_own_text() {
        let hostile = document(&testing::hostile());
        assert!(!hostile.contains("<script>alert"));
        assert!(!hostile.contains('\u{202e}') && !hostile.contains('\u{1b}') && !hostile.contains('\0'));
        let tags = |page: &str| page.matches('<').count();
        let plain = document(&testing::document());
        assert_eq!(tags(&hostile), tags(&plain));
        let closed = |page: &str| page.matches('"').count();
        assert_eq!(closed(&hostile), closed(&plain));
    }
}
