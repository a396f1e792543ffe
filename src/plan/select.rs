//! Which controls a command is about.

use std::collections::BTreeSet;

use globset::Glob;

use crate::controls::{CATALOGUE, Control, Meta};
use crate::error::{Error, Kind, Result};
use crate::profile::policy::Policy;

/// The controls named with `--control`, or all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// `None` selects everything.
    ids: Option<BTreeSet<String>>,
    /// Only controls up to this level.
    level: Option<u8>,
}

impl Selection {
    /// Every control.
    pub const fn all() -> Self {
        Self { ids: None, level: None }
    }

    /// Control ids or globs (`ssh.*`) as typed; none means all. A pattern that matches no control is a usage error
    /// that names the nearest id.
    pub fn parse(patterns: &[String]) -> Result<Self> {
        Self::parse_in(CATALOGUE, patterns)
    }

    pub(crate) fn parse_in(catalogue: &[&dyn Control], patterns: &[String]) -> Result<Self> {
        if patterns.is_empty() {
            return Ok(Self::all());
        }
        let mut ids = BTreeSet::new();
        for pattern in patterns {
            let glob = Glob::new(pattern)
                .map_err(|why| Error::msg(Kind::Usage, format!("`--control {pattern}`: {why}")))?
                .compile_matcher();
            let matching: Vec<_> =
                catalogue.iter().map(|control| control.meta().id).filter(|id| glob.is_match(id)).collect();
            if matching.is_empty() {
                return Err(unknown(catalogue, pattern));
            }
            ids.extend(matching.into_iter().map(str::to_owned));
        }
        Ok(Self { ids: Some(ids), level: None })
    }

    /// Narrows it to controls of at most this level: 2 contains 1.
    #[must_use]
    pub const fn up_to(mut self, level: Option<u8>) -> Self {
        self.level = level;
        self
    }

    /// Whether this control is selected, by id and by level.
    pub fn takes(&self, meta: &Meta) -> bool {
        self.contains(meta.id) && self.level.is_none_or(|level| meta.level <= level)
    }

    /// Whether the control with this id is selected, whatever its level.
    pub fn contains(&self, id: &str) -> bool {
        self.ids.as_ref().is_none_or(|ids| ids.contains(id))
    }

    /// Whether only some controls are selected.
    pub const fn is_partial(&self) -> bool {
        self.ids.is_some() || self.level.is_some()
    }

    /// Refuses a selection of which the profile enables nothing: an empty plan would read as "all is well".
    pub fn require_enabled(&self, policy: &Policy) -> Result<()> {
        if !self.is_partial() || CATALOGUE.iter().any(|control| self.takes(control.meta()) && control.enabled(policy)) {
            return Ok(());
        }
        let Some(ids) = &self.ids else {
            return Err(Error::msg(Kind::Usage, "the profile enables no control of this level"));
        };
        if let Some(level) = self.level
            && CATALOGUE.iter().any(|control| self.contains(control.meta().id) && control.enabled(policy))
        {
            let why = format!("every control that is asked for is above level {level}");
            return Err(Error::msg(Kind::Usage, why).hint("leave --level out, or give a higher one"));
        }
        let names = ids.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ");
        Err(Error::msg(Kind::Usage, format!("the profile does not enable {names}"))
            .hint("set `enabled = true` in a profile of your own, or see `pve-harden profile show`"))
    }
}

/// The usage error for a control that does not exist.
pub fn unknown(catalogue: &[&dyn Control], name: &str) -> Error {
    let error = Error::msg(Kind::Usage, format!("no control matches `{name}`"));
    match nearest(catalogue, name) {
        Some(id) => error.hint(format!("did you mean `{id}`? `pve-harden explain` lists every control")),
        None => error.hint("`pve-harden explain` lists every control"),
    }
}

fn nearest(catalogue: &[&dyn Control], name: &str) -> Option<&'static str> {
    catalogue
        .iter()
        .map(|control| control.meta().id)
        .map(|id| (strsim::normalized_damerau_levenshtein(id, name), id))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, id)| id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controls::Verdict;
    use crate::plan::testing::Fake;

    fn parse(patterns: &[&str]) -> Result<Selection> {
        let fakes = ["ssh.limits", "ssh.crypto", "password.hash"].map(|id| Fake::new(id, Verdict::compliant(vec![])));
        let catalogue: Vec<&dyn Control> = fakes.iter().map(|fake| fake as &dyn Control).collect();
        let patterns: Vec<_> = patterns.iter().map(ToString::to_string).collect();
        Selection::parse_in(&catalogue, &patterns)
    }

    #[test]
    fn nothing_typed_selects_everything() {
        assert!(parse(&[]).unwrap().contains("anything"));
    }

    #[test]
    fn a_glob_selects_its_family_only() {
        let selection = parse(&["ssh.*"]).unwrap();
        assert!(selection.contains("ssh.limits") && selection.contains("ssh.crypto"));
        assert!(!selection.contains("password.hash"));
    }

    #[test]
    fn several_patterns_add_up_even_when_they_overlap() {
        let selection = parse(&["ssh.limits", "ssh.*", "password.hash"]).unwrap();
        assert!(selection.contains("ssh.crypto") && selection.contains("password.hash"));
    }

    #[test]
    fn an_unknown_id_is_a_usage_error_with_the_nearest_id() {
        let error = parse(&["ssh.limit"]).unwrap_err();
        assert_eq!(error.kind, Kind::Usage);
        assert_eq!(error.to_string(), "no control matches `ssh.limit`");
        assert!(error.hint_text().contains("did you mean `ssh.limits`?"), "{}", error.hint_text());
    }

    #[test]
    fn one_pattern_without_a_match_spoils_the_others() {
        assert_eq!(parse(&["ssh.*", "nosuch.*"]).unwrap_err().kind, Kind::Usage);
    }

    #[test]
    fn a_broken_glob_is_a_usage_error() {
        assert_eq!(parse(&["ssh.["]).unwrap_err().kind, Kind::Usage);
    }
}
