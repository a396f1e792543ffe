//! Listed tokens that are not there: what `apply` makes, or why it cannot.

use std::collections::{BTreeMap, BTreeSet};

use super::lifetime::{current, owner_of};
use super::rotation::{self, Beginning, InSink};
use super::tokens::family;
use super::wanted::Target;
use crate::change::access::AccessCall;
use crate::change::token::NewToken;
use crate::profile::policy::{Sink, WantedToken};
use crate::pve::user_cfg::User;

/// What a token that is not there becomes, by its id.
pub type Coming = BTreeMap<String, Result<NewToken, String>>;

/// Where the secrets can go, and what the same plan makes before the tokens.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// The site's sinks.
    pub sinks: &'a [Sink],
    /// Listed users that are missing are made.
    pub users: bool,
    /// Listed roles that are missing are made.
    pub roles: bool,
}

/// Decides for every listed token of which no member of its family is in use. `target.policy` is the list as written.
pub fn coming(target: &Target<'_>, around: Around<'_>) -> Coming {
    let listed = &target.policy.token;
    let missing = listed.iter().filter(|token| current(target.config, &token.id).is_none());
    missing.map(|token| (token.id.clone(), one(target, around, token))).collect()
}

fn one(target: &Target<'_>, around: Around<'_>, token: &WantedToken) -> Result<NewToken, String> {
    let id = &token.id;
    let Some(name) = &token.sink else {
        return Err(format!(
            "the token {id} is not there: say where its secret goes (`sink = \"NAME\"` in its [[access.token]]) and \
             `apply` makes it, or use `pve-harden token new --sink NAME`"
        ));
    };
    let Some(sink) = around.sinks.iter().find(|sink| sink.name == *name) else {
        let near = crate::profile::nearest(name, around.sinks.iter().map(|sink| sink.name.as_str()));
        let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        return Err(format!("the token {id} is not there, and the site has no sink {name} for its secret{near}"));
    };
    if let Some(other) = shares_place(target, token, sink) {
        return Err(format!(
            "the token {id} is not there: sink {name} has room for one secret, and {other} uses it, too; write {{token}} in \
             its path, or give one of them a sink of its own"
        ));
    }
    let user = with_user(target, around, id)?;
    let mut config = target.config.clone();
    config.users.insert(owner_of(id).to_owned(), user);
    let target = Target { config: &config, ..*target };
    let Beginning::Make(making) = rotation::making(&target, id, InSink::Holds(None))? else {
        return Err(format!("the token {id} is neither there nor missing"));
    };
    if let Some(role) = missing_role(&target, around, &making.rights) {
        return Err(format!("the token {id} waits for the role {role}, which is not there yet"));
    }
    Ok(NewToken {
        id: making.id,
        comment: making.purpose,
        days: making.days,
        separated: making.separated,
        sink: name.clone(),
        rights: making.rights,
    })
}

/// A token of another family whose secret would lie in the same place.
fn shares_place<'a>(target: &Target<'a>, token: &WantedToken, sink: &Sink) -> Option<&'a str> {
    let own = family(&token.id);
    let others = target.policy.token.iter().filter(|other| family(&other.id) != own && other.sink == token.sink);
    let mut same = others.filter(|other| sink.kind.is_one_place(own, family(&other.id)));
    same.next().map(|other| other.id.as_str())
}

/// The token's user as it will be: PVE answers no request of one that is missing, disabled or over.
fn with_user(target: &Target<'_>, around: Around<'_>, id: &str) -> Result<User, String> {
    let name = owner_of(id);
    let listed = target.policy.user.iter().find(|user| user.id == name).filter(|_| around.users);
    let found = target.config.users.get(name);
    let Some(mut user) = found.cloned().or_else(|| listed.map(|_| User { enabled: true, ..User::default() })) else {
        return Err(format!("the token {id} waits for the user {name}, who is not there yet"));
    };
    if let Some(enabled) = listed.and_then(|listed| listed.enabled) {
        user.enabled = enabled;
    }
    let until = listed.and_then(|listed| listed.until.as_deref());
    user.expires = until.and_then(|until| crate::profile::policy::end_of(until).ok()).unwrap_or(user.expires);
    if !user.enabled || (user.expires != 0 && user.expires <= target.now) {
        return Err(format!("the token {id} is not there, and is not made: {name} is disabled or has expired"));
    }
    Ok(user)
}

fn missing_role(target: &Target<'_>, around: Around<'_>, rights: &[AccessCall]) -> Option<String> {
    let roles = rights.iter().filter_map(|call| match call {
        AccessCall::AclSet { grants, .. } => Some(&grants.roles),
        _ => None,
    });
    let roles: BTreeSet<&String> = roles.flatten().collect();
    let there = |role: &str| {
        target.config.roles.contains_key(role)
            || target.catalogue.built_in.contains_key(role)
            || (around.roles && target.policy.role.iter().any(|listed| listed.id == role))
    };
    roles.into_iter().find(|role| !there(role)).cloned()
}

/// Whether one of these takes the place of this token or of another member of its family.
pub fn comes(coming: &Coming, id: &str) -> bool {
    coming.iter().any(|(new, decided)| decided.is_ok() && family(new) == family(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::policy::{Policy, SinkKind, Site, WantedAcl, WantedRole, WantedUser};
    use crate::pve::privileges::Catalogue;
    use crate::pve::user_cfg::parse;

    const NOW: u64 = 1_795_305_600;

    fn sinks() -> Vec<Sink> {
        let env = |name: &str, path: &str| Sink {
            name: name.into(),
            kind: SinkKind::Env { path: path.into(), variable: None },
        };
        vec![env("env", "tokens.env"), env("each", "{token}.env")]
    }

    fn decided(config: &str, change: impl FnOnce(&mut Vec<WantedToken>, &mut Vec<WantedUser>)) -> Coming {
        let mut policy = Policy::from_embedded("baseline", Site::default()).unwrap().profile.access;
        let token = |id: &str, sink: Option<&str>| WantedToken {
            id: id.into(),
            owner: "o".into(),
            purpose: "p".into(),
            sink: sink.map(Into::into),
            ..WantedToken::default()
        };
        policy.token = vec![token("svc@pve!ci", Some("env")), token("svc@pve!ro", None)];
        policy.role = vec![WantedRole { id: "R".into(), privileges: vec!["VM.Audit".into()] }];
        let acl = |path: &str, role: &str| WantedAcl {
            path: path.into(),
            role: role.into(),
            tokens: vec!["svc@pve!ci".into()],
            ..WantedAcl::default()
        };
        policy.acl = vec![acl("/vms", "PVEAuditor"), acl("/pool/x", "R")];
        let mut users = Vec::new();
        change(&mut policy.token, &mut users);
        policy.user = users;
        let config = parse(config, Catalogue::of(9));
        let (sinks, protected) = (sinks(), BTreeSet::new());
        let target = Target {
            config: &config,
            catalogue: Catalogue::of(9),
            policy: &policy,
            now: NOW,
            protected: &protected,
            rights_are_exact: false,
            coming: &Coming::new(),
        };
        coming(&target, Around { sinks: &sinks, users: true, roles: true })
    }

    fn why(coming: &Coming, id: &str) -> String {
        coming[id].clone().unwrap_err()
    }

    #[test]
    fn a_token_with_a_sink_is_made_with_its_rights() {
        let coming = decided("user:svc@pve:1:0:::::\n", |_, _| {});
        let new = coming["svc@pve!ci"].clone().unwrap();
        assert_eq!((new.sink.as_str(), new.days, new.separated, new.comment.as_str()), ("env", 90, true, "p; owner o"));
        let rights: Vec<String> = new.rights.iter().map(|call| call.words().join(" ")).collect();
        assert_eq!(
            rights,
            [
                "acl modify /pool/x --roles=R --tokens=svc@pve!ci --propagate=1",
                "acl modify /vms --roles=PVEAuditor --tokens=svc@pve!ci --propagate=1",
            ]
        );
        assert!(why(&coming, "svc@pve!ro").contains("say where its secret goes"));
        assert!(comes(&coming, "svc@pve!ci-20261122") && !comes(&coming, "svc@pve!ro"));
    }

    #[test]
    fn what_is_in_use_does_not_come_and_what_was_cut_does() {
        let user = "user:svc@pve:1:0:::::\n";
        let rotated = format!("{user}token:svc@pve!ci-20260101:1:1:x:\n");
        assert!(!decided(&rotated, |_, _| {}).contains_key("svc@pve!ci"));
        let cut = format!(
            "{user}token:svc@pve!ci:1:1:p; owner o [made 2026-11-22, not proved]:\nacl:1:/vms:svc@pve!ci:PVEAuditor:\n"
        );
        assert_eq!(
            decided(&cut, |_, _| {})["svc@pve!ci"].clone().unwrap().rights.len(),
            2,
            "they go with what is deleted"
        );
    }

    #[test]
    fn a_user_who_could_not_use_it_gets_none() {
        let listed = |enabled| {
            move |_: &mut Vec<WantedToken>, users: &mut Vec<WantedUser>| {
                users.push(WantedUser { id: "svc@pve".into(), enabled, ..WantedUser::default() });
            }
        };
        assert!(why(&decided("", |_, _| {}), "svc@pve!ci").contains("waits for the user svc@pve"));
        assert!(decided("", listed(None))["svc@pve!ci"].is_ok());
        assert!(why(&decided("user:svc@pve:0:0:::::\n", |_, _| {}), "svc@pve!ci").contains("disabled"));
        assert!(decided("user:svc@pve:0:0:::::\n", listed(Some(true)))["svc@pve!ci"].is_ok());
        assert!(why(&decided("user:svc@pve:1:7:::::\n", |_, _| {}), "svc@pve!ci").contains("expired"));
    }

    #[test]
    fn a_sink_is_there_and_has_room_for_each() {
        let user = "user:svc@pve:1:0:::::\n";
        let with = |sinks: [&'static str; 2]| {
            decided(user, move |tokens, _| {
                for (token, sink) in tokens.iter_mut().zip(sinks) {
                    token.sink = Some(sink.into());
                }
            })
        };
        assert!(
            why(&with(["envv", "each"]), "svc@pve!ci").ends_with("has no sink envv for its secret; did you mean env?")
        );
        assert!(why(&with(["env", "env"]), "svc@pve!ro").contains("svc@pve!ci uses it, too"));
        assert!(with(["each", "each"]).values().all(Result::is_ok));
    }
}
