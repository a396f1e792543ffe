//! `access.second-factors`: who has which second factor, and whom an enforcing realm refuses. Reported only: an
//! enrolment needs the person (`access enroll`).

use std::collections::BTreeMap;

use super::enforcement::{self, Refused};
use super::{FILES, now};
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::{Factors, Facts, Reading};
use crate::profile::policy::Policy;

/// `access.second-factors`.
pub const SECOND_FACTORS: SecondFactors = SecondFactors;

/// The control.
pub struct SecondFactors;

static META: Meta = Meta {
    id: "access.second-factors",
    title: "Everybody who may log in to PVE with a password has a second factor",
    why: "The web interface is a console on every guest, and PVE does not lock out after wrong passwords: a password \
          that was phished or used elsewhere is all it takes. Only second factors lock after wrong codes.",
    checked: "The kinds of factors per user in /etc/pve/priv/tfa.cfg (never the secrets) for every user of user.cfg who \
              is enabled and has not expired, and what each realm enforces in domains.cfg: whom it refuses, or would \
              refuse. Recovery keys alone are none: each works once.",
    naive: "`pveum realm modify pam --tfa type=oath` refuses, from that moment on, everybody of the realm without TOTP: \
            root@pam, people who only have a security key (WebAuthn), and scripts that log in with a password. Enrol \
            first; tokens go on working and need no factor.",
    references: &[
        Reference::Guide("2.1.3"),
        Reference::Man("pveum(1)"),
        Reference::Source("pve-access-control src/PVE/AccessControl.pm authenticate_2nd_new_do"),
    ],
    level: 2,
    severity: Severity::High,
};

impl Control for SecondFactors {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.access.second_factors.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        FILES.iter().map(ToString::to_string).collect()
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        if facts.pve == Reading::Absent {
            return Verdict::not_applicable("this host is not PVE");
        }
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let config = facts.access.config.required(FILES[0])?;
    let realms = facts.access.realms.required(FILES[1])?;
    let none = BTreeMap::new();
    // Without tfa.cfg nobody has one.
    let factors = facts.access.factors.certain()?.unwrap_or(&none);
    let now = now(facts)?;
    let except = &policy.profile.access.second_factors.except;
    let able = config.users.iter().filter(|(_, user)| user.enabled && (user.expires == 0 || user.expires > now));
    let people: Vec<&String> = able.map(|(name, _)| name).filter(|name| !except.contains(name)).collect();
    let mut evidence = Vec::new();
    let mut missing = Vec::new();
    for name in &people {
        let has = factors.get(*name);
        let lacks = !has.is_some_and(|it| it.kinds.keys().any(|kind| kind != "recovery"));
        evidence.push(Evidence {
            source: format!("tfa.cfg: {name}"),
            found: has.map_or_else(|| "none".to_owned(), told),
            wanted: lacks.then(|| "a second factor".to_owned()),
        });
        if lacks {
            missing.push((*name).as_str());
        }
    }
    let mut advice = Vec::new();
    if !missing.is_empty() {
        advice.push(format!(
            "{} enrol{} with `pve-harden access enroll USER` or in the web interface; service accounts use tokens, have no \
             password, and are named in `except`",
            missing.join(", "),
            if missing.len() == 1 { "s" } else { "" }
        ));
    }
    for (name, realm) in realms {
        let whom = |refused: &[Refused]| {
            let except = |one: &&Refused| !except.contains(&one.user);
            enforcement::listed(&refused.iter().filter(except).cloned().collect::<Vec<_>>())
        };
        let kind = realm.enforces();
        let refused = whom(&enforcement::refused(facts, name, kind.unwrap_or("totp"))?);
        let found = kind.map_or_else(
            || format!("enforces none; enforcing TOTP would refuse {refused}"),
            |kind| format!("enforces {kind}; refuses {refused}"),
        );
        evidence.push(Evidence { source: format!("domains.cfg: {name}"), found, wanted: None });
        if let Some(kind) = kind.filter(|_| refused != "nobody") {
            advice.push(format!("the realm {name} enforces {kind} and refuses {refused}: they enrol, or stay out"));
        }
    }
    Ok(Verdict::outcome(Vec::new(), (!advice.is_empty()).then(|| advice.join("; ")), evidence))
}

fn told(factors: &Factors) -> String {
    let kinds: Vec<String> = factors
        .kinds
        .iter()
        .map(|(kind, count)| if *count > 1 { format!("{kind} ({count})") } else { kind.clone() })
        .collect();
    let locked = if factors.locked { ", locked after wrong codes" } else { "" };
    if kinds.is_empty() { format!("none{locked}") } else { format!("{}{locked}", kinds.join(", ")) }
}
