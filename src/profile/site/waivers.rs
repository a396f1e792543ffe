//! `[[waiver]]`.

use std::collections::BTreeMap;

use jiff::civil::Date;
use toml::Spanned;

use super::Reader;
use super::file::{Day, WaiverEntry};
use crate::profile::diagnostic::Diagnostic;
use crate::profile::policy::{Host, Scope, Waiver};
use crate::profile::schema::layer_shape;
use crate::profile::shape::nearest;
use crate::profile::source::{At, printable};

impl Reader<'_> {
    pub(super) fn waivers(&mut self, entries: &[Spanned<WaiverEntry>], hosts: &[Host]) -> Vec<Waiver> {
        let controls = control_ids();
        let mut seen = BTreeMap::new();
        let mut waivers = Vec::new();
        for entry in entries {
            let written = entry.get_ref();
            // What is missing was reported already.
            let (Some(control), Some(owner), Some(reason), Some(expires)) =
                (&written.control, &written.owner, &written.reason, &written.expires)
            else {
                continue;
            };
            let known = self.control(control, &controls);
            let scope = self.scope(entry, hosts);
            let said = [("owner", owner), ("reason", reason)].map(|(key, text)| self.said(key, text));
            let day = self.day(expires);
            let (true, Some(scope), [true, true], Some(expires)) = (known, scope, said, day) else { continue };
            let key = format!("{} {scope:?}", control.get_ref());
            if let Some(first) = seen.insert(key, self.source.line(control.span().start)) {
                let found = Diagnostic::error("this control is waived here already").at(self.at(&control.span()));
                self.found.push(found.expected(format!("first in line {first}")));
                continue;
            }
            let text = |value: &Spanned<String>| value.get_ref().trim().to_owned();
            waivers.push(Waiver { control: text(control), scope, owner: text(owner), reason: text(reason), expires });
        }
        waivers
    }

    /// The controls named, each with its place.
    pub(super) fn waived(&self, entries: &[Spanned<WaiverEntry>]) -> Vec<(String, At)> {
        let named = entries.iter().filter_map(|entry| entry.get_ref().control.as_ref());
        named.map(|control| (control.get_ref().clone(), self.at(&control.span()))).collect()
    }

    fn control(&mut self, control: &Spanned<String>, controls: &[String]) -> bool {
        let id = control.get_ref();
        if controls.contains(id) {
            return true;
        }
        let mut found = if id.contains(['*', '?', '[', '{']) {
            Diagnostic::error("a waiver names one control; patterns are refused")
                .help("write one [[waiver]] for each control whose deviation you accept")
        } else {
            let near = nearest(id, controls.iter().map(String::as_str));
            let help = near.map_or_else(
                || "`pve-harden explain` lists every control".to_owned(),
                |near| format!("did you mean `{near}`? `pve-harden explain` lists every control"),
            );
            Diagnostic::error(format!("there is no control `{}`", printable(id))).help(help)
        };
        found = found.at(self.at(&control.span()));
        self.found.push(found);
        false
    }

    /// A waiver without a place would hold everywhere, also on nodes that come later.
    fn scope(&mut self, entry: &Spanned<WaiverEntry>, hosts: &[Host]) -> Option<Scope> {
        const HELP: &str = "write `node = \"…\"` or `group = \"…\"`: a waiver never holds for everything";
        let WaiverEntry { node, group, .. } = entry.get_ref();
        let (scope, name, known) = match (node, group) {
            (Some(node), None) => {
                let known = hosts.iter().any(|host| host.name == *node.get_ref());
                (Scope::Node(node.get_ref().clone()), node, known)
            }
            (None, Some(group)) => {
                let known = hosts.iter().any(|host| host.groups.contains(group.get_ref()));
                (Scope::Group(group.get_ref().clone()), group, known)
            }
            (both, _) => {
                let what = if both.is_some() { "`node` and `group` exclude each other" } else { "where does it hold?" };
                let found = Diagnostic::error(what).at(self.at(&entry.span()));
                self.found.push(found.help(HELP));
                return None;
            }
        };
        if !known {
            let kind = if matches!(scope, Scope::Node(_)) { "node" } else { "group" };
            let found = Diagnostic::error(format!("no host of this site is {kind} {}", printable(name.get_ref())));
            self.found.push(found.at(self.at(&name.span())));
        }
        known.then_some(scope)
    }

    fn said(&mut self, key: &str, text: &Spanned<String>) -> bool {
        let empty = text.get_ref().trim().is_empty();
        if empty {
            self.error(format!("`{key}` says nothing"), &text.span());
        }
        !empty
    }

    fn day(&mut self, written: &Spanned<Day>) -> Option<Date> {
        // `Date` would take the date of a date-time and drop the rest.
        let text = written.get_ref().0.trim().to_owned();
        let day = (text.len() == 10).then(|| text.parse::<Date>().ok()).flatten();
        if day.is_none() {
            let found = Diagnostic::error("this is not a day").at(self.at(&written.span()));
            self.found.push(found.expected("expected the last day on which it holds, e.g. 2026-12-31"));
        }
        day
    }
}

/// Every control has a table of its own in a profile, with `enabled`.
fn control_ids() -> Vec<String> {
    let leaves = layer_shape().leaves();
    leaves.iter().filter_map(|leaf| leaf.strip_suffix(".enabled")).map(str::to_owned).collect()
}
