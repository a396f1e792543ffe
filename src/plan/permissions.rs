//! What a plan's calls of `pveum` mean for people.

use crate::access::difference::difference;
use crate::access::model;
use crate::change::token::NewToken;
use crate::change::{Action, Change};
use crate::facts::Facts;
use crate::pve::privileges::Catalogue;
use crate::pve::user_cfg::Token;

/// More than this many lines are counted, not shown.
const SHOWN: usize = 40;

/// Who gains and loses what, and what PVE's next write deletes besides.
pub(super) fn notes(facts: &Facts, changes: &[Change]) -> Vec<String> {
    let calls: Vec<_> = changes
        .iter()
        .filter_map(|change| match &change.action {
            Action::PveAccess { steps } => Some(steps),
            _ => None,
        })
        .collect();
    let tokens: Vec<&NewToken> = changes.iter().filter_map(|change| change.action.token()).collect();
    let nothing = calls.is_empty() && tokens.is_empty();
    let (Some(before), false) = (facts.access.config.known(), nothing) else { return Vec::new() };
    let catalogue = Catalogue::of(facts.pve.known().map_or(9, |release| release.major));
    let mut after = before.clone();
    for step in calls.into_iter().flatten() {
        model::apply(&mut after, &step.call);
    }
    for NewToken { id, separated, rights, .. } in tokens {
        after.tokens.insert(id.clone(), Token { separated: *separated, ..Token::default() });
        for call in rights {
            model::apply(&mut after, call);
        }
    }
    let (found, more) = difference(before, &after, catalogue);
    let mut notes: Vec<String> = before
        .dropped
        .iter()
        .map(|part| format!("PVE's next write of user.cfg deletes line {}: {} ({})", part.line, part.text, part.why))
        .collect();
    notes.extend(found.iter().take(SHOWN).map(|difference| format!("permissions: {}", difference.line())));
    let hidden = found.len().saturating_sub(SHOWN) + more;
    if hidden > 0 {
        notes.push(format!("permissions: {hidden} more differences; `pve-harden access matrix` shows who may do what"));
    }
    notes
}
