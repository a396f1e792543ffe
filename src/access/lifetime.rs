//! What a token's comment tells of its life, and the list of tokens that follows from it.

use std::collections::BTreeSet;

use jiff::civil::Date;
use serde::Serialize;

use super::day;
use super::matrix::{Account, Held, Kind};
use super::tokens::family;
use crate::profile::policy::AccessPolicy;
use crate::pve::names;
use crate::pve::user_cfg::UserConfig;

const DAY: u64 = 86_400;

/// `purpose; owner NAME [made 2026-11-22, rotated 2026-12-22, not proved]`: PVE keeps no dates of a token itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Day of the first secret.
    pub made: Option<Date>,
    /// Day of the present secret, when it is not the first.
    pub rotated: Option<Date>,
    /// How far its making came.
    pub stage: Stage,
}

/// How far a new token came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nobody has its secret yet.
    NotProved,
    /// It works, and its secret was on the way to its sink.
    Storing,
    /// Its secret is in the sink; and every token that this tool did not make.
    #[default]
    InUse,
}

impl Stage {
    const fn word(self) -> Option<&'static str> {
        match self {
            Self::NotProved => Some("not proved"),
            Self::Storing => Some("storing"),
            Self::InUse => None,
        }
    }
}

impl Notes {
    /// A comment without its notes, and the notes.
    pub fn split(comment: &str) -> (&str, Self) {
        let none = (comment, Self::default());
        let Some(inner) = comment.strip_suffix(']') else { return none };
        let Some((base, inner)) = inner.rsplit_once('[') else { return none };
        let mut notes = Self::default();
        for word in inner.split(", ") {
            let day =
                |name: &str| word.strip_prefix(name).filter(|day| day.len() == 10).and_then(|day| day.parse().ok());
            if let Some(made) = day("made ") {
                notes.made = Some(made);
            } else if let Some(rotated) = day("rotated ") {
                notes.rotated = Some(rotated);
            } else if let Some(stage) = [Stage::NotProved, Stage::Storing].into_iter().find(|s| s.word() == Some(word))
            {
                notes.stage = stage;
            } else {
                return none;
            }
        }
        (base.trim_end(), notes)
    }

    /// The comment with these notes.
    pub fn join(&self, base: &str) -> String {
        let made = self.made.map(|made| format!("made {made}"));
        let rotated = self.rotated.map(|rotated| format!("rotated {rotated}"));
        let words: Vec<String> = [made, rotated, self.stage.word().map(str::to_owned)].into_iter().flatten().collect();
        let blank = if base.is_empty() { "" } else { " " };
        if words.is_empty() { base.to_owned() } else { format!("{base}{blank}[{}]", words.join(", ")) }
    }

    /// Day of the present secret.
    pub fn secret_from(&self) -> Option<Date> {
        self.rotated.or(self.made)
    }
}

/// A line of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// `user@realm!token`.
    pub id: String,
    /// `user@realm`.
    pub user: String,
    /// Day it was made, where this tool made it.
    pub created: Option<String>,
    /// Last second, seconds since 1970; none for never.
    pub expires: Option<u64>,
    /// Day of the last rotation, where this tool did it.
    pub rotated: Option<String>,
    /// Purpose and owner.
    pub purpose: String,
    /// Rights of its own, or every right of its user.
    pub separated: bool,
    /// Roles by path.
    pub scope: Vec<Held>,
    /// The site or a profile lists it.
    pub listed: bool,
    /// Sink of its secret.
    pub sink: Option<String>,
    /// What is to be said of it; empty when all is well.
    pub status: Vec<Status>,
}

/// What is to be said of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Its last second is over.
    Expired,
    /// Its user is disabled or over.
    UserDisabled,
    /// PVE has no secret of it.
    NoSecret,
    /// It is root's.
    Root,
    /// It never ends.
    NoExpiry,
    /// It ends within the days asked for.
    ExpiresSoon,
    /// Its secret is older than the profile allows.
    Old,
    /// It has every right of its user.
    NotSeparated,
    /// Its rotation was cut before it was proved.
    NotProved,
    /// Its rotation was cut while its secret was stored.
    Storing,
    /// A newer one of its family is there.
    Superseded,
    /// The site lists it, and it is not there.
    Missing,
}

impl Status {
    /// As people read it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::UserDisabled => "its user is disabled",
            Self::NoSecret => "no secret",
            Self::Root => "root's",
            Self::NoExpiry => "never ends",
            Self::ExpiresSoon => "ends soon",
            Self::Old => "old",
            Self::NotSeparated => "every right of its user",
            Self::NotProved => "not proved",
            Self::Storing => "storing was cut",
            Self::Superseded => "superseded",
            Self::Missing => "missing",
        }
    }
}

/// What a list is made from.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// user.cfg.
    pub config: &'a UserConfig,
    /// Its accounts.
    pub accounts: &'a [Account],
    /// Tokens PVE keeps a secret of; none when that was not read.
    pub secrets: Option<&'a BTreeSet<String>>,
    /// What is wanted.
    pub policy: &'a AccessPolicy,
    /// The node's clock, seconds since 1970.
    pub now: u64,
    /// What ends within so many days is named.
    pub within_days: u32,
}

/// Every token, and those that are wanted and not there.
pub fn list(question: &Question<'_>) -> Vec<Listed> {
    let tokens = question.accounts.iter().filter(|account| account.kind == Kind::Token);
    let mut all: Vec<Listed> = tokens.map(|account| of(question, account)).collect();
    for wanted in &question.policy.token {
        if !question.config.tokens.keys().any(|id| family(id) == family(&wanted.id)) {
            all.push(Listed {
                id: wanted.id.clone(),
                user: owner_of(&wanted.id).to_owned(),
                created: None,
                expires: None,
                rotated: None,
                purpose: wanted.comment(),
                separated: wanted.privilege_separation.unwrap_or(true),
                scope: Vec::new(),
                listed: true,
                sink: wanted.sink.clone(),
                status: vec![Status::Missing],
            });
        }
    }
    all.sort_by(|a, b| a.id.cmp(&b.id));
    all
}

fn of(question: &Question<'_>, account: &Account) -> Listed {
    let id = &account.account;
    let user = owner_of(id);
    let (base, notes) = Notes::split(&account.purpose);
    let wanted = question.policy.token.iter().find(|wanted| family(&wanted.id) == family(id));
    let separated = account.separated.unwrap_or(false);
    let mut status = Vec::new();
    let mut say = |is: bool, what: Status| {
        if is {
            status.push(what);
        }
    };
    let over = |at: Option<u64>, days: u32| at.is_some_and(|at| at <= question.now + u64::from(days) * DAY);
    let of_user = question.config.users.get(user);
    let user_over = of_user.is_some_and(|user| user.expires != 0 && user.expires <= question.now);
    say(over(account.expires, 0), Status::Expired);
    say(!account.enabled || user_over, Status::UserDisabled);
    say(question.secrets.is_some_and(|secrets| !secrets.contains(id)), Status::NoSecret);
    say(user == names::ROOT, Status::Root);
    say(account.expires.is_none(), Status::NoExpiry);
    say(!over(account.expires, 0) && over(account.expires, question.within_days), Status::ExpiresSoon);
    say(is_old(&notes, question.policy.tokens.max_days, question.now), Status::Old);
    say(!separated && user != names::ROOT, Status::NotSeparated);
    say(notes.stage == Stage::NotProved, Status::NotProved);
    say(notes.stage == Stage::Storing, Status::Storing);
    let current = current(question.config, id);
    say(notes.stage == Stage::InUse && current.is_some_and(|current| current != id), Status::Superseded);
    Listed {
        id: id.clone(),
        user: user.to_owned(),
        created: notes.made.map(|made| made.to_string()),
        expires: account.expires,
        rotated: notes.rotated.map(|rotated| rotated.to_string()),
        purpose: base.to_owned(),
        separated,
        scope: account.grants.clone(),
        listed: wanted.is_some(),
        sink: wanted.and_then(|wanted| wanted.sink.clone()),
        status,
    }
}

/// `user@realm` of a token.
pub fn owner_of(id: &str) -> &str {
    id.rsplit_once('!').map_or(id, |(user, _)| user)
}

/// Whether the secret is older than so many days.
pub fn is_old(notes: &Notes, max_days: u32, now: u64) -> bool {
    let from = notes.secret_from().and_then(|from| from.to_zoned(jiff::tz::TimeZone::UTC).ok());
    let from = from.and_then(|from| u64::try_from(from.timestamp().as_second()).ok());
    from.is_some_and(|from| from + u64::from(max_days) * DAY <= now)
}

/// The token of a family that clients shall use: of those in use the one with the newest secret.
pub fn current<'a>(config: &'a UserConfig, id: &str) -> Option<&'a str> {
    let members = config.tokens.iter().filter(|(other, _)| family(other) == family(id));
    let in_use = members.filter_map(|(other, token)| {
        let (_, notes) = Notes::split(&token.comment);
        (notes.stage == Stage::InUse).then(|| ((notes.secret_from(), other.len(), other), other.as_str()))
    });
    in_use.max_by(|(a, _), (b, _)| a.cmp(b)).map(|(_, id)| id)
}

/// As people and spreadsheets write an end.
pub fn end(expires: Option<u64>) -> String {
    expires.map_or_else(|| "never".into(), day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn notes_come_back_from_a_comment() {
        let notes =
            Notes { made: "2026-11-22".parse().ok(), rotated: "2027-01-01".parse().ok(), stage: Stage::Storing };
        let comment = notes.join("CI; owner platform");
        assert_eq!(comment, "CI; owner platform [made 2026-11-22, rotated 2027-01-01, storing]");
        assert_eq!(Notes::split(&comment), ("CI; owner platform", notes));
        for comment in ["", "x", "x [y]", "[made 2026-13-01]", "a [made 2026-11-22", "x [made 2026-11-22, y]", "x []"] {
            assert_eq!(Notes::split(comment), (comment, Notes::default()));
        }
        assert_eq!(Notes::split("[not proved]").1.stage, Stage::NotProved);
    }

    proptest! {
        #[test]
        fn any_comment_is_split_and_joined(comment in "\\PC{0,40}", bracket in "(| \\[(made 2026-11-22|storing|not proved|rotated 2026-02-30|,| ){0,4}\\])") {
            let comment = format!("{comment}{bracket}");
            let (base, notes) = Notes::split(&comment);
            let (again, same) = { let joined = notes.join(base); let (b, n) = Notes::split(&joined); (b.to_owned(), n) };
            if notes == Notes::default() {
                prop_assert_eq!(base, comment.as_str());
            } else {
                prop_assert_eq!(again, base);
                prop_assert_eq!(same, notes);
            }
        }
    }
}
