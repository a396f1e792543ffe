//! Whom a realm refuses that enforces a second factor (pve-access-control, `AccessControl.pm`,
//! `authenticate_2nd_new_do`): everybody of the realm without any factor at the password already ("missing required 2nd
//! keys"), and everybody with other factors only at the second step ("realm requires totp authentication"). Recovery keys
//! are let through. Tokens need no factor.

use std::collections::BTreeMap;

use super::now;
use crate::access::day;
use crate::facts::{Factors, Facts, WebLogin};
use crate::pve::names;

/// Somebody who is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// `user@realm`.
    pub user: String,
    /// What is missing, and what is known of logins.
    pub why: String,
}

impl Refused {
    /// For people.
    pub fn shown(&self) -> String {
        format!("{} ({})", self.user, self.why)
    }
}

/// The names alone, for people.
pub fn listed(refused: &[Refused]) -> String {
    let names: Vec<&str> = refused.iter().map(|one| one.user.as_str()).collect();
    if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
}

/// Who of a realm is refused where it enforces `kind` ("totp", "yubico"): every enabled user who has not expired and could
/// log in with a password. What cannot be told about somebody counts as refused.
pub fn refused(facts: &Facts, realm: &str, kind: &str) -> Result<Vec<Refused>, String> {
    let config = facts.access.config.required("/etc/pve/user.cfg")?;
    let none = BTreeMap::new();
    // Without tfa.cfg nobody has one.
    let factors = facts.access.factors.certain()?.unwrap_or(&none);
    let now = now(facts)?;
    let able = config.users.iter().filter(|(_, user)| user.enabled && (user.expires == 0 || user.expires > now));
    let of_realm = able.map(|(name, _)| name).filter(|name| name.rsplit_once('@').is_some_and(|(_, of)| of == realm));
    let passwords = facts.access.passwords.known();
    // A user of PVE's own realm without a password has never got as far as a second factor.
    let with_password = of_realm.filter(|name| realm != "pve" || passwords.is_none_or(|some| some.contains(*name)));
    let lacking = with_password.filter_map(|name| {
        let why = lacks(factors.get(name), kind)?;
        let tokens = config.tokens.keys().any(|id| names::token(id).is_some_and(|(user, _)| user == name));
        let tokens = if tokens { "; its tokens go on working" } else { "" };
        Some(Refused { user: name.clone(), why: format!("{why}; {}{tokens}", last_login(facts, name)) })
    });
    Ok(lacking.collect())
}

/// What somebody lacks.
fn lacks(factors: Option<&Factors>, kind: &str) -> Option<String> {
    let Some(factors) = factors.filter(|factors| !factors.kinds.is_empty()) else {
        return Some("has no second factor".into());
    };
    let has = |kind: &str| factors.kinds.contains_key(kind);
    let locked = kind == "totp" && factors.locked;
    if has("recovery") || (has(kind) && !locked) {
        return None;
    }
    if locked {
        return Some("TOTP is locked after wrong codes".into());
    }
    let others: Vec<&str> = factors.kinds.keys().map(String::as_str).collect();
    Some(format!("has {} only", others.join(", ")))
}

/// PVE's logs tell who logged in and by which door, and neither how nor with what program; this node's, no other's.
fn last_login(facts: &Facts, user: &str) -> String {
    let Ok(logins) = facts.access.web_logins.certain() else {
        return "whether a program logs in so is not known".into();
    };
    match logins.and_then(|logins| logins.get(user)) {
        None => "no login here in 30 days".into(),
        Some(WebLogin { last, page, api }) => {
            let at = day(u64::try_from(*last).unwrap_or(0));
            match (page, api) {
                (true, _) => format!("logged in on {at}, at the login page"),
                (false, true) => format!("logged in on {at}, never at the login page here: most likely a program"),
                (false, false) => format!("logged in on {at}"),
            }
        }
    }
}
