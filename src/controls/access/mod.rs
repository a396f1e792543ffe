//! `access.*`: PVE's users, groups, roles, pools, rights, tokens and realms. What to do is computed by
//! [`crate::access::wanted`]; here it becomes verdicts.

pub mod enforcement;
mod factors;
mod metas;
mod root_web;

pub use factors::SECOND_FACTORS;
pub use root_web::{ROOT_WEB, administrators};

use std::collections::{BTreeMap, BTreeSet};

use super::{Control, Evidence, Meta, Status, Verdict};
use crate::access::coming::{self, Around, Coming};
use crate::access::rotation;
use crate::access::wanted::{self, Outcome, Target};
use crate::change::access::AccessStep;
use crate::change::token::NewToken;
use crate::change::{Action, Change, Stage};
use crate::facts::gather::Request;
use crate::facts::{Facts, Reading};
use crate::profile::policy::{AccessMode, AccessPolicy, Policy, RealmFactor, WantedRealm};
use crate::pve::names;
use crate::pve::privileges::Catalogue;

/// A control of this family.
pub struct Access {
    meta: &'static Meta,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Roles,
    Groups,
    Users,
    Pools,
    Acls,
    Tokens,
    Realms,
    Leftovers,
}

/// `access.roles`.
pub const ROLES: Access = Access { meta: &metas::ROLES, kind: Kind::Roles };
/// `access.groups`.
pub const GROUPS: Access = Access { meta: &metas::GROUPS, kind: Kind::Groups };
/// `access.users`.
pub const USERS: Access = Access { meta: &metas::USERS, kind: Kind::Users };
/// `access.pools`.
pub const POOLS: Access = Access { meta: &metas::POOLS, kind: Kind::Pools };
/// `access.acls`.
pub const ACLS: Access = Access { meta: &metas::ACLS, kind: Kind::Acls };
/// `access.tokens`.
pub const TOKENS: Access = Access { meta: &metas::TOKENS, kind: Kind::Tokens };
/// `access.realms`.
pub const REALMS: Access = Access { meta: &metas::REALMS, kind: Kind::Realms };
/// `access.leftovers`.
pub const LEFTOVERS: Access = Access { meta: &metas::LEFTOVERS, kind: Kind::Leftovers };

impl Control for Access {
    fn meta(&self) -> &'static Meta {
        self.meta
    }

    fn enabled(&self, policy: &Policy) -> bool {
        let access = &policy.profile.access;
        match self.kind {
            Kind::Roles => access.roles.enabled,
            Kind::Groups => access.groups.enabled,
            Kind::Users => access.users.enabled,
            Kind::Pools => access.pools.enabled,
            Kind::Acls => access.acls.enabled,
            Kind::Tokens => access.tokens.enabled,
            Kind::Realms => access.realms.enabled,
            Kind::Leftovers => access.leftovers.enabled,
        }
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        let files = if matches!(self.kind, Kind::Users | Kind::Realms) { &FILES[..] } else { &FILES[..1] };
        files.iter().map(ToString::to_string).collect()
    }

    fn ask(&self, policy: &Policy, request: &mut Request) {
        let enforces = |realm: &WantedRealm| realm.tfa == Some(RealmFactor::Oath);
        request.web_logins |= self.kind == Kind::Realms && policy.profile.access.realm.iter().any(enforces);
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        match &facts.pve {
            Reading::Absent => return Verdict::not_applicable("this host is not PVE"),
            Reading::Unreadable(why) => return Verdict::unknown(why.clone()),
            Reading::NotAsked => return Verdict::unknown("the release of PVE: the capture does not contain it"),
            Reading::Known(_) => {}
        }
        self.judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }
}

const FILES: [&str; 2] = ["/etc/pve/user.cfg", "/etc/pve/domains.cfg"];

impl Access {
    fn judge(&self, facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
        let access = &policy.profile.access;
        let nothing = BTreeMap::new();
        if self.kind == Kind::Realms {
            if access.realm.is_empty() {
                return Ok(Verdict::not_applicable("neither profile nor site name a realm"));
            }
            return Ok(self.verdict(enforced(facts, policy)?));
        }
        if let Some(what) = self.lists_nothing(access) {
            return Ok(Verdict::not_applicable(format!("neither profile nor site lists a {what}")));
        }
        let realms = match self.kind {
            Kind::Users if !access.user.is_empty() => facts.access.realms.required(FILES[1])?,
            _ => &nothing,
        };
        let protected = protected(policy);
        let config = facts.access.config.required(FILES[0])?;
        let resolved = rotation::resolved(access, config);
        let nothing_comes = Coming::new();
        let target = Target {
            config,
            catalogue: Catalogue::of(facts.pve.known().map_or(9, |release| release.major)),
            policy: &resolved,
            now: now(facts)?,
            protected: &protected,
            rights_are_exact: access.acls.enabled
                && access.acls.mode == AccessMode::Exact
                && !policy.left_out.contains(ACLS.meta.id),
            coming: &nothing_comes,
        };
        if !matches!(self.kind, Kind::Tokens | Kind::Acls) || !works(policy, &TOKENS) {
            return Ok(self.verdict(self.compare(&target, realms, facts)));
        }
        let around = Around { sinks: &policy.site.sinks, users: works(policy, &USERS), roles: works(policy, &ROLES) };
        let coming = coming::coming(&Target { policy: access, ..target }, around);
        let outcome = self.compare(&Target { coming: &coming, ..target }, realms, facts);
        if self.kind == Kind::Acls {
            return Ok(self.verdict(outcome));
        }
        Ok(self.with_tokens(outcome, coming.into_values().flatten()))
    }

    /// What the policy could list of this kind and does not, so that nothing is compared with anything.
    fn lists_nothing(&self, access: &AccessPolicy) -> Option<&'static str> {
        let (what, mode, listed) = match self.kind {
            Kind::Roles => ("role", access.roles.mode, access.role.len()),
            Kind::Groups => ("group", access.groups.mode, access.group.len()),
            Kind::Users => ("user", access.users.mode, access.user.len()),
            Kind::Pools => ("pool", access.pools.mode, access.pool.len()),
            Kind::Acls => ("right", access.acls.mode, access.acl.len()),
            Kind::Tokens | Kind::Realms | Kind::Leftovers => return None,
        };
        (listed == 0 && mode == AccessMode::Merge).then_some(what)
    }

    /// The verdict with the tokens that are made.
    fn with_tokens(&self, outcome: Outcome, tokens: impl Iterator<Item = NewToken>) -> Verdict {
        let made = tokens.map(|token| Change {
            controls: vec![self.meta.id.into()],
            stage: Stage::Tokens,
            summary: format!("made the token {}", token.id),
            interrupts: None,
            action: Action::Token { token },
        });
        let made: Vec<Change> = made.collect();
        let verdict = self.verdict(outcome);
        let Verdict { status, evidence } = verdict;
        match status {
            Status::Differs { mut changes, advice } => {
                changes.extend(made);
                Verdict::outcome(changes, advice, evidence)
            }
            Status::Compliant => Verdict::outcome(made, None, evidence),
            status => Verdict { status, evidence },
        }
    }

    fn compare(
        &self,
        target: &Target<'_>,
        realms: &BTreeMap<String, crate::pve::domains::Realm>,
        facts: &Facts,
    ) -> Outcome {
        match self.kind {
            Kind::Roles => target.roles(),
            Kind::Groups => target.groups(),
            Kind::Users => target.users(realms),
            Kind::Pools => target.pools(),
            Kind::Acls => target.acls(),
            Kind::Tokens => target.tokens(facts.access.secrets.known()),
            Kind::Leftovers => target.leftovers(),
            Kind::Realms => Outcome::default(),
        }
    }

    fn verdict(&self, outcome: Outcome) -> Verdict {
        let Outcome { build, remove, refusals, advice, translated, findings } = outcome;
        let mut evidence: Vec<Evidence> =
            findings.into_iter().map(|(what, found, wanted)| Evidence::new(what, found, wanted)).collect();
        if evidence.is_empty() {
            evidence.push(Evidence { source: "user.cfg".into(), found: "nothing is amiss".into(), wanted: None });
        }
        if !refusals.is_empty() {
            return Verdict { status: Status::Refused { why: refusals.join("; ") }, evidence };
        }
        let mut changes = Vec::new();
        if !build.is_empty() {
            changes.push(self.change("", build, &translated));
        }
        if !remove.is_empty() {
            let said = if changes.is_empty() { translated.as_slice() } else { &[] };
            changes.push(self.change("removed ", remove, said));
        }
        Verdict::outcome(changes, (!advice.is_empty()).then(|| advice.join("; ")), evidence)
    }

    fn change(&self, word: &str, steps: Vec<AccessStep>, translated: &[String]) -> Change {
        let kind = match self.kind {
            Kind::Roles => "roles",
            Kind::Groups => "groups",
            Kind::Users => "users",
            Kind::Pools => "pools",
            Kind::Acls | Kind::Leftovers => "rights",
            Kind::Tokens => "tokens",
            Kind::Realms => "realms",
        };
        let said = if translated.is_empty() { String::new() } else { format!(" ({})", translated.join("; ")) };
        Change {
            controls: vec![self.meta.id.into()],
            stage: Stage::PveAccess,
            summary: format!("{word}PVE {kind}{said}"),
            interrupts: None,
            action: Action::PveAccess { steps },
        }
    }
}

/// Whether this control is carried out by the plan that is made.
fn works(policy: &Policy, control: &Access) -> bool {
    control.enabled(policy) && !policy.left_out.contains(control.meta.id)
}

/// The realms with what stands against a second factor for all of one: nobody is refused whom the list does not name.
fn enforced(facts: &Facts, policy: &Policy) -> Result<Outcome, String> {
    let access = &policy.profile.access;
    let realms = facts.access.realms.required(FILES[1])?;
    let mut outcome = wanted::realms(access, realms);
    for wanted in access.realm.iter().filter(|realm| realm.tfa == Some(RealmFactor::Oath)) {
        if realms.get(&wanted.id).is_none_or(|realm| realm.enforces().is_some()) {
            continue;
        }
        let (accepted, others): (Vec<_>, Vec<_>) = enforcement::refused(facts, &wanted.id, "totp")?
            .into_iter()
            .partition(|one| wanted.may_refuse.contains(&one.user));
        if !others.is_empty() {
            let whom: Vec<String> = others.iter().map(enforcement::Refused::shown).collect();
            outcome.refusals.push(format!(
                "realm {}: with TOTP for everybody PVE would refuse {}: they enrol TOTP or recovery keys, use tokens, or are \
                 named in may-refuse",
                wanted.id,
                whom.join(", ")
            ));
        }
        if !accepted.is_empty() {
            let whom = enforcement::listed(&accepted);
            outcome.translated.push(format!("the realm {} refuses {whom} from now on, as listed", wanted.id));
        }
    }
    Ok(outcome)
}

/// root@pam, and who administers the nodes and may log in to PVE with the same account.
pub fn protected(policy: &Policy) -> BTreeSet<String> {
    let admins = policy.site.admins.iter().map(|admin| format!("{}@pam", admin.name));
    admins.chain([names::ROOT.to_owned()]).collect()
}

fn now(facts: &Facts) -> Result<u64, String> {
    let taken = facts.taken.required("the node's clock")?;
    u64::try_from(taken.as_second()).map_err(|_| "the node's clock stands before 1970".into())
}
