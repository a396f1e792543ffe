//! API tokens: never their secrets.

use std::collections::BTreeSet;

use super::{Outcome, Target, extras};
use crate::access::lifetime::Notes;
use crate::access::tokens::family;
use crate::change::access::AccessCall;
use crate::profile::policy::WantedToken;
use crate::pve::names;
use crate::pve::user_cfg::Token;

const DAY: u64 = 86_400;

pub(super) fn tokens(target: &Target<'_>, secrets: Option<&BTreeSet<String>>) -> Outcome {
    let mut outcome = Outcome::default();
    let Target { config, policy, .. } = *target;
    for (id, decided) in target.coming {
        let wanted = policy.token.iter().find(|token| family(&token.id) == family(id));
        outcome.finding(
            format!("user.cfg: token {id}"),
            "not there",
            wanted.map(WantedToken::comment).unwrap_or_default(),
        );
        outcome.advice.extend(decided.as_ref().err().cloned());
    }
    let here = |wanted: &&WantedToken| !target.coming.keys().any(|id| family(id) == family(&wanted.id));
    for wanted in policy.token.iter().filter(here) {
        match config.tokens.get(&wanted.id) {
            None => missing(wanted, &mut outcome),
            Some(found) => listed(target, wanted, found, &mut outcome),
        }
    }
    let gone: BTreeSet<&String> =
        extras(policy.tokens.mode, config.tokens.keys(), &policy.token, |token| &token.id).into_iter().collect();
    for name in &gone {
        outcome.finding(format!("user.cfg: token {name}"), "there", "not listed");
        outcome.change(config, AccessCall::TokenDelete { token: (*name).clone() });
    }
    let others =
        config.tokens.iter().filter(|(id, _)| !gone.contains(id) && !policy.token.iter().any(|token| token.id == **id));
    for (id, token) in others {
        unlisted(id, token, &mut outcome);
    }
    for id in secrets.into_iter().flatten().filter(|id| !config.tokens.contains_key(*id)) {
        outcome.finding(format!("/etc/pve/priv/token.cfg: {id}"), "a secret without a token", "none");
        outcome
            .advice
            .push(format!("the secret of {id} is still in token.cfg: it works again for a new token of that name"));
    }
    if outcome.findings.is_empty() {
        outcome.finding(
            "user.cfg: tokens",
            format!("{}", config.tokens.len()),
            format!("{} listed, all as wanted", policy.token.len()),
        );
    }
    outcome
}

fn missing(wanted: &WantedToken, outcome: &mut Outcome) {
    outcome.finding(format!("user.cfg: token {}", wanted.id), "not there", wanted.comment());
    let make =
        format!("the token {} is not there: `pve-harden token new` makes it, its secret goes to its sink", wanted.id);
    outcome.advice.push(make);
}

fn listed(target: &Target<'_>, wanted: &WantedToken, found: &Token, outcome: &mut Outcome) {
    let policy = &target.policy.tokens;
    let latest = target.now + u64::from(policy.max_days) * DAY;
    let days = u64::from(wanted.days.unwrap_or(policy.default_days));
    let too_long = found.expires == 0 || found.expires > latest;
    let separated = wanted.privilege_separation.unwrap_or(true);
    let comment = wanted.comment();
    let (base, notes) = Notes::split(&found.comment);
    outcome.finding(
        format!("user.cfg: token {}", wanted.id),
        described(found),
        format!("{comment}, at most {} days{}", policy.max_days, if separated { ", rights of its own" } else { "" }),
    );
    let call = AccessCall::TokenModify {
        token: wanted.id.clone(),
        expires: too_long.then(|| target.now + days * DAY),
        separated: (found.separated != separated).then_some(separated),
        comment: (base != comment).then(|| notes.join(&comment)),
    };
    if !matches!(call, AccessCall::TokenModify { expires: None, separated: None, comment: None, .. }) {
        outcome.change(target.config, call);
    }
}

/// What is said of tokens that nobody listed.
fn unlisted(id: &str, token: &Token, outcome: &mut Outcome) {
    let root = id.strip_prefix(names::ROOT).is_some_and(|rest| rest.starts_with('!'));
    let problems: Vec<&str> = [
        (root, "it is root's: nothing limits it, and it skips second factors"),
        (token.expires == 0, "it never expires"),
        (!token.separated && !root, "it has every right of its user"),
    ]
    .into_iter()
    .filter(|(bad, _)| *bad)
    .map(|(_, problem)| problem)
    .collect();
    if !problems.is_empty() {
        outcome.finding(format!("user.cfg: token {id}"), described(token), "an end, rights of its own, not root's");
        outcome.advice.push(format!("token {id}: {}", problems.join("; ")));
    }
}

fn described(token: &Token) -> String {
    let expires =
        if token.expires == 0 { "never expires".into() } else { format!("until {}", super::super::day(token.expires)) };
    let rights = if token.separated { "rights of its own" } else { "every right of its user" };
    let comment = if token.comment.is_empty() { String::new() } else { format!(", \"{}\"", token.comment) };
    format!("{expires}, {rights}{comment}")
}
