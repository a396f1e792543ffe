//! What a rotation, a new token and a revocation do, decided before anything is done.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;

use super::lifetime::{Notes, Stage, current, owner_of};
use super::model::grouped;
use super::tokens::family;
use super::wanted::Target;
use crate::change::access::AccessCall;
use crate::profile::policy::{AccessMode, AccessPolicy, WantedAcl};
use crate::pve::names;
use crate::pve::user_cfg::{Grant, Token, UserConfig};

const DAY: u64 = 86_400;

/// A token to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Making {
    /// `user@realm!token`.
    pub id: String,
    /// Seconds since 1970.
    pub expires: u64,
    /// The same, from the moment it is made.
    pub days: u64,
    /// Rights of its own.
    pub separated: bool,
    /// Purpose and owner.
    pub purpose: String,
    /// Dates of its comment.
    pub made: Option<Date>,
    /// The same, when it takes another one's place.
    pub rotated: Option<Date>,
    /// Its rights.
    pub rights: Vec<AccessCall>,
    /// Tokens that nobody has a secret of: left by a rotation that was cut.
    pub leftovers: Vec<String>,
}

impl Making {
    /// Its comment at a stage.
    pub fn comment(&self, stage: Stage) -> String {
        Notes { made: self.made, rotated: self.rotated, stage }.join(&self.purpose)
    }
}

/// What is to be done for a listed token that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// It is made.
    Make(Making),
    /// Making it was cut after its secret had reached the sink.
    Finish {
        /// The token.
        id: String,
        /// Its comment when all is done.
        comment: String,
    },
}

/// What is to be done for a family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// A new one next to the old.
    Overlap {
        /// The new one.
        new: Making,
        /// The one it takes the place of.
        old: String,
    },
    /// A rotation was cut after its secret had reached the sink: what is left to do.
    Finish {
        /// The new one.
        new: String,
        /// Its comment when all is done.
        comment: String,
        /// The one it takes the place of, when it is still there.
        old: Option<String>,
    },
    /// Nothing can be done without a person.
    Stuck(String),
}

/// What is known when a rotation is decided.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// user.cfg.
    pub config: &'a UserConfig,
    /// What is wanted.
    pub policy: &'a AccessPolicy,
    /// The node's clock, seconds since 1970.
    pub now: u64,
    /// What the sink holds now.
    pub sink: InSink<'a>,
}

/// What lies in the sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InSink<'a> {
    /// A command's sink cannot be read.
    Unknown,
    /// Nothing, or the secret of this token.
    Holds(Option<&'a str>),
}

/// Decides the rotation of the family of a token.
pub fn rotation(ask: &Ask<'_>, id: &str) -> Rotation {
    if let Some(why) = refusal(id) {
        return Rotation::Stuck(why);
    }
    let (leftovers, storing) = unfinished(ask.config, id);
    if let Some(new) = storing.last() {
        let finish = || finished(ask, new);
        match ask.sink {
            InSink::Holds(Some(there)) if there == *new => return finish(),
            InSink::Holds(_) => {}
            InSink::Unknown => {
                return Rotation::Stuck(format!(
                    "a rotation was cut while the secret of {new} was given to the sink's command, and whether it \
                     arrived is not known: look there, then `pve-harden token revoke` the one that is not in use"
                ));
            }
        }
    }
    let Some(old) = current(ask.config, id) else {
        return Rotation::Stuck(format!("there is no token {}", family(id)));
    };
    let Some(token) = ask.config.tokens.get(old) else { return Rotation::Stuck(format!("there is no token {old}")) };
    let today = date(ask.now);
    let (base, notes) = Notes::split(&token.comment);
    let wanted = ask.policy.token.iter().find(|wanted| family(&wanted.id) == family(id));
    let new_id = free_name(ask.config, family(id), today);
    let rights = rights_of(ask.config, old, &new_id);
    let days = days(ask.policy, wanted.and_then(|wanted| wanted.days));
    let new = Making {
        expires: ask.now + days * DAY,
        days,
        separated: token.separated,
        purpose: wanted.map_or_else(|| base.to_owned(), crate::profile::policy::WantedToken::comment),
        made: notes.made,
        rotated: Some(today),
        rights,
        leftovers: leftovers.iter().chain(&storing).map(|id| (*id).to_owned()).collect(),
        id: new_id,
    };
    Rotation::Overlap { new, old: old.to_owned() }
}

fn finished(ask: &Ask<'_>, new: &str) -> Rotation {
    let old = current(ask.config, new).map(str::to_owned);
    Rotation::Finish { new: new.to_owned(), comment: comment_in_use(ask.config, new), old }
}

fn comment_in_use(config: &UserConfig, id: &str) -> String {
    let comment = config.tokens.get(id).map(|token| {
        let (base, notes) = Notes::split(&token.comment);
        Notes { stage: Stage::InUse, ..notes }.join(base)
    });
    comment.unwrap_or_default()
}

/// Tokens that are never made or rotated.
pub fn refusal(id: &str) -> Option<String> {
    if names::token(id).is_none() {
        return Some(format!("{id:?} is no token: USER@REALM!TOKEN"));
    }
    (owner_of(id) == names::ROOT).then(|| {
        "a token of root@pam skips every second factor, and nothing limits its user: make an account of its own".into()
    })
}

/// Members of a family that were never proved, and those whose secret was being stored.
fn unfinished<'a>(config: &'a UserConfig, id: &str) -> (Vec<&'a str>, Vec<&'a str>) {
    let members = config.tokens.iter().filter(|(other, _)| family(other) == family(id));
    let mut found = (Vec::new(), Vec::new());
    for (other, token) in members {
        match Notes::split(&token.comment).1.stage {
            Stage::NotProved => found.0.push(other.as_str()),
            Stage::Storing => found.1.push(other.as_str()),
            Stage::InUse => {}
        }
    }
    found
}

/// A listed token that is not there; `sink` is what lies in its sink.
pub fn making(target: &Target<'_>, id: &str, sink: InSink<'_>) -> Result<Beginning, String> {
    if let Some(why) = refusal(id) {
        return Err(why);
    }
    let wanted = target.policy.token.iter().find(|wanted| wanted.id == id);
    let wanted =
        wanted.ok_or_else(|| format!("{id} is not listed: add it as [[access.token]] with owner and purpose"))?;
    let user = owner_of(id);
    if !target.config.users.contains_key(user) {
        return Err(format!("{user} is not there yet: `pve-harden apply` makes it"));
    }
    let (mut leftovers, storing) = unfinished(target.config, id);
    if let Some(there) = current(target.config, id) {
        return Err(format!("{there} is there already: `pve-harden token rotate {id}`"));
    }
    match (storing.last(), sink) {
        (Some(new), InSink::Holds(Some(there))) if there == *new => {
            let comment = comment_in_use(target.config, new);
            return Ok(Beginning::Finish { id: (*new).to_owned(), comment });
        }
        (Some(new), InSink::Unknown) => {
            return Err(format!(
                "the secret of {new} was on its way to its sink when a command was cut: look there, and if it is not \
                 there `pve-harden token revoke {new}`"
            ));
        }
        _ => leftovers.extend(storing),
    }
    let separated = wanted.privilege_separation.unwrap_or(true);
    let mut with = target.config.clone();
    // They are deleted first, and PVE drops their rights with them.
    with.acl.retain(|grant, _| !leftovers.contains(&grant.subject.as_str()));
    with.tokens.insert(id.to_owned(), Token { expires: 0, separated, comment: String::new() });
    let policy = alone(target.policy, id);
    let outcome = Target { config: &with, policy: &policy, rights_are_exact: false, ..*target }.acls();
    if let Some(why) = outcome.refusals.first() {
        return Err(why.clone());
    }
    let days = days(target.policy, wanted.days);
    Ok(Beginning::Make(Making {
        id: id.to_owned(),
        expires: target.now + days * DAY,
        days,
        separated,
        purpose: wanted.comment(),
        made: Some(date(target.now)),
        rotated: None,
        rights: outcome.build.into_iter().map(|step| step.call).collect(),
        leftovers: leftovers.into_iter().map(str::to_owned).collect(),
    }))
}

/// The policy with the rights of one token only.
fn alone(policy: &AccessPolicy, id: &str) -> AccessPolicy {
    let mut policy = policy.clone();
    policy.acls.mode = AccessMode::Merge;
    policy.acl.retain(|acl| acl.tokens.iter().any(|token| token == id));
    for acl in &mut policy.acl {
        *acl = WantedAcl { groups: Vec::new(), users: Vec::new(), tokens: vec![id.to_owned()], ..acl.clone() };
    }
    policy
}

fn days(policy: &AccessPolicy, wanted: Option<u32>) -> u64 {
    u64::from(wanted.unwrap_or(policy.tokens.default_days).min(policy.tokens.max_days).max(1))
}

/// The rights of one token for another one.
fn rights_of(config: &UserConfig, old: &str, new: &str) -> Vec<AccessCall> {
    let mut calls = Vec::new();
    for propagate in [true, false] {
        let own = config.acl.iter().filter(|(grant, with)| grant.subject == old && **with == propagate);
        let copied = own.map(|(grant, _)| Grant { subject: new.to_owned(), ..grant.clone() });
        calls.extend(grouped(copied).into_iter().map(|grants| AccessCall::AclSet { grants, propagate }));
    }
    calls
}

/// `svc@pve!ci-20261122`, or with a number when that is taken.
fn free_name(config: &UserConfig, family: &str, today: Date) -> String {
    let day = today.strftime("%Y%m%d");
    let plain = format!("{family}-{day}");
    let counted = (2..100).map(|count| format!("{plain}-{count}"));
    std::iter::once(plain.clone()).chain(counted).find(|id| !config.tokens.contains_key(id)).unwrap_or(plain)
}

/// The day of a second since 1970, UTC.
pub fn date(at: u64) -> Date {
    let time = i64::try_from(at).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
    time.unwrap_or_default().to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// A policy in which a listed token stands for its whole family: a rotation changes the name, not the wish.
pub fn resolved(policy: &AccessPolicy, config: &UserConfig) -> AccessPolicy {
    let mut families: BTreeMap<&str, BTreeSet<&String>> = BTreeMap::new();
    for id in config.tokens.keys() {
        families.entry(family(id)).or_default().insert(id);
    }
    let members = |id: &String| -> Vec<String> {
        if policy.token.iter().all(|token| token.id != *id) {
            return vec![id.clone()];
        }
        families.get(id.as_str()).map_or_else(|| vec![id.clone()], |all| all.iter().map(|id| (*id).clone()).collect())
    };
    let mut resolved = policy.clone();
    resolved.token = policy
        .token
        .iter()
        .flat_map(|token| {
            members(&token.id).into_iter().map(|id| crate::profile::policy::WantedToken { id, ..token.clone() })
        })
        .collect();
    for acl in &mut resolved.acl {
        acl.tokens = acl.tokens.iter().flat_map(members).collect();
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::coming::Coming;
    use crate::profile::policy::{Policy, Site, WantedToken};
    use crate::pve::privileges::Catalogue;
    use crate::pve::user_cfg::parse;

    const NOW: u64 = 1_795_305_600; // 2026-11-22

    fn policy() -> AccessPolicy {
        let mut access = Policy::from_embedded("baseline", Site::default()).unwrap().profile.access;
        access.token = vec![WantedToken {
            id: "svc@pve!ci".into(),
            owner: "o".into(),
            purpose: "p".into(),
            ..WantedToken::default()
        }];
        access.acl = vec![WantedAcl {
            path: "/vms".into(),
            role: "PVEAuditor".into(),
            users: vec!["svc@pve".into()],
            tokens: vec!["svc@pve!ci".into()],
            ..WantedAcl::default()
        }];
        access
    }

    fn config(tokens: &str) -> UserConfig {
        parse(
            &format!(
                "user:svc@pve:1:0::::::\n{tokens}acl:1:/vms:svc@pve!ci,svc@pve:PVEAuditor:\nacl:0:/:svc@pve!ci:PVEAuditor:\n"
            ),
            Catalogue::of(9),
        )
    }

    fn decided(tokens: &str, sink: InSink<'_>) -> Rotation {
        let (config, policy) = (config(tokens), policy());
        rotation(&Ask { config: &config, policy: &policy, now: NOW, sink }, "svc@pve!ci")
    }

    #[test]
    fn a_rotation_makes_a_second_token_with_the_same_rights() {
        let Rotation::Overlap { new, old } =
            decided("token:svc@pve!ci:1:1:p; owner o [made 2026-01-01]:\n", InSink::Holds(None))
        else {
            panic!()
        };
        assert_eq!((old.as_str(), new.id.as_str()), ("svc@pve!ci", "svc@pve!ci-20261122"));
        assert_eq!(new.comment(Stage::InUse), "p; owner o [made 2026-01-01, rotated 2026-11-22]");
        assert_eq!(new.expires, NOW + 90 * DAY);
        let words: Vec<String> = new.rights.iter().map(|call| call.words().join(" ")).collect();
        assert_eq!(
            words,
            [
                "acl modify /vms --roles=PVEAuditor --tokens=svc@pve!ci-20261122 --propagate=1",
                "acl modify / --roles=PVEAuditor --tokens=svc@pve!ci-20261122 --propagate=0",
            ]
        );
    }

    #[test]
    fn what_a_cut_rotation_left_is_told_by_comment_and_sink() {
        let old = "token:svc@pve!ci:1:1:x:\n";
        let pending = format!("{old}token:svc@pve!ci-20261122:1:1:p; owner o [rotated 2026-11-22, not proved]:\n");
        let Rotation::Overlap { new, old: from } = decided(&pending, InSink::Unknown) else { panic!() };
        assert_eq!((new.id.as_str(), from.as_str()), ("svc@pve!ci-20261122-2", "svc@pve!ci"));
        assert_eq!(new.leftovers, ["svc@pve!ci-20261122"]);

        let storing = pending.replace("not proved", "storing");
        let Rotation::Finish { new, comment, old: from } =
            decided(&storing, InSink::Holds(Some("svc@pve!ci-20261122")))
        else {
            panic!()
        };
        assert_eq!((new.as_str(), from.as_deref()), ("svc@pve!ci-20261122", Some("svc@pve!ci")));
        assert_eq!(comment, "p; owner o [rotated 2026-11-22]");
        let Rotation::Overlap { new, .. } = decided(&storing, InSink::Holds(Some("svc@pve!ci"))) else { panic!() };
        assert_eq!(new.leftovers, ["svc@pve!ci-20261122"], "its secret never arrived");
        assert!(matches!(decided(&storing, InSink::Unknown), Rotation::Stuck(_)));
        assert!(matches!(decided("", InSink::Holds(None)), Rotation::Stuck(_)));
    }

    #[test]
    fn the_newest_secret_is_the_current_one() {
        let config = config(
            "token:svc@pve!ci:1:1:x:\ntoken:svc@pve!ci-20260101:1:1:x [rotated 2026-01-01]:\n\
             token:svc@pve!ci-20261122:1:1:x [rotated 2026-11-22, not proved]:\ntoken:svc@pve!other:1:1::\n",
        );
        assert_eq!(current(&config, "svc@pve!ci"), Some("svc@pve!ci-20260101"));
    }

    #[test]
    fn root_and_what_is_no_token_are_refused() {
        for id in ["root@pam!ci", "ci", "svc@pve", "svc@pve!x y"] {
            assert!(refusal(id).is_some(), "{id}");
        }
    }

    #[test]
    fn a_missing_token_gets_its_own_rights_an_end_and_separation() {
        let (config, policy) = (config(""), policy());
        let protected = BTreeSet::new();
        let target = Target {
            config: &config,
            catalogue: Catalogue::of(9),
            policy: &policy,
            now: NOW,
            protected: &protected,
            rights_are_exact: true,
            coming: &Coming::new(),
        };
        let made = |target: &Target<'_>, id: &str, sink| making(target, id, sink);
        let nothing = InSink::Holds(None);
        let Beginning::Make(new) = made(&target, "svc@pve!ci", nothing).unwrap() else { panic!() };
        assert!(new.separated && new.expires == NOW + 90 * DAY);
        let words: Vec<String> = new.rights.iter().map(|call| call.words().join(" ")).collect();
        assert_eq!(words, ["acl modify /vms --roles=PVEAuditor --tokens=svc@pve!ci --propagate=1"]);
        assert!(made(&target, "svc@pve!other", nothing).unwrap_err().contains("is not listed"));
        let there = self::config("token:svc@pve!ci-20260101:1:1:x:\n");
        let there = Target { config: &there, ..target };
        assert!(made(&there, "svc@pve!ci", nothing).unwrap_err().contains("token rotate"));

        // Cut while its secret was on the way: it is told from what lies in the sink.
        let cut = self::config("token:svc@pve!ci:1:1:p; owner o [made 2026-11-22, storing]:\n");
        let cut = Target { config: &cut, ..target };
        assert_eq!(
            made(&cut, "svc@pve!ci", InSink::Holds(Some("svc@pve!ci"))).unwrap(),
            Beginning::Finish { id: "svc@pve!ci".into(), comment: "p; owner o [made 2026-11-22]".into() }
        );
        assert!(made(&cut, "svc@pve!ci", InSink::Unknown).unwrap_err().contains("look there"));
        let Beginning::Make(again) = made(&cut, "svc@pve!ci", nothing).unwrap() else { panic!() };
        assert_eq!((again.leftovers.as_slice(), &again.rights), (&["svc@pve!ci".to_owned()][..], &new.rights));
    }

    #[test]
    fn a_listed_token_stands_for_its_family() {
        let config = config("token:svc@pve!ci-20261122:1:1:x:\n");
        let resolved = resolved(&policy(), &config);
        assert_eq!(resolved.token.iter().map(|token| token.id.as_str()).collect::<Vec<_>>(), ["svc@pve!ci-20261122"]);
        assert_eq!(resolved.acl[0].tokens, ["svc@pve!ci-20261122"]);
        assert_eq!(super::resolved(&policy(), &UserConfig::default()), policy());
    }
}
