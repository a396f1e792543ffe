//! The seal: one digest over everything a plan says and will do.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Plan;
use crate::change::Action;
use crate::error::{Error, Kind, Result};

/// SHA-256 in hex over the plan without its seal. Secrets are not in the serialized plan; their values enter as a
/// digest salted with the digest of the rest, so that another password is another plan and the seal gives nothing to
/// look up.
pub fn seal(plan: &Plan) -> Result<String> {
    /// Everything but the seal; destructured so that a new field cannot be forgotten.
    #[derive(Serialize)]
    struct Sealed<'a>(
        &'a str,
        &'a [crate::change::Change],
        &'a [crate::facts::Versioned],
        &'a std::collections::BTreeMap<String, super::Expect>,
        &'a [(String, crate::controls::Verdict)],
        &'a [super::drift::Drift],
        &'a [String],
        &'a [super::Refusal],
        &'a [super::Proof],
        &'a crate::profile::policy::Digests,
    );
    let Plan {
        node,
        seal: _,
        changes,
        brings,
        expects,
        verdicts,
        drift,
        notes,
        refusals,
        proofs,
        reach,
        firewall_questions,
        digests,
    } = plan;
    let sealed = Sealed(node, changes, brings, expects, verdicts, drift, notes, refusals, proofs, digests);
    let document = serde_json::to_vec(&sealed).map_err(|why| Error::new(Kind::Internal, why))?;
    let public = Sha256::digest(&document);
    let mut seal = Sha256::new_with_prefix(b"pve-harden plan 1\0");
    seal.update(public);
    if reach.is_some() {
        let asked = serde_json::to_vec(&(reach, firewall_questions)).map_err(|why| Error::new(Kind::Internal, why))?;
        seal.update(Sha256::digest(&asked));
    }
    for secret in changes.iter().filter_map(|change| secret(&change.action)) {
        seal.update(Sha256::new_with_prefix(public).chain_update(secret.as_bytes()).finalize());
    }
    Ok(hex(&seal.finalize()))
}

/// The secret an action carries.
fn secret(action: &Action) -> Option<&str> {
    match action {
        Action::UserPassword { hash, .. } => Some(hash.expose()),
        Action::Certificate { step } => step.secret().map(crate::secret::Secret::expose),
        Action::File(_)
        | Action::Directory { .. }
        | Action::Packages { .. }
        | Action::PamProfiles { .. }
        | Action::Group { .. }
        | Action::User { .. }
        | Action::UserGroups { .. }
        | Action::UserLock { .. }
        | Action::UserShell { .. }
        | Action::UserAging { .. }
        | Action::Sysctl { .. }
        | Action::PveAccess { .. }
        | Action::Token { .. }
        | Action::Unit { .. } => None,
    }
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// SHA-256 of a text in lower-case hex, as the node reports file contents.
pub fn digest(content: &str) -> String {
    hex(&Sha256::digest(content.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Change, Stage};
    use crate::secret::Secret;

    fn plan(hash: &str, note: &str) -> Plan {
        let action = Action::UserPassword { name: "ops".into(), hash: Secret::new(hash) };
        Plan {
            node: "pve1".into(),
            seal: String::new(),
            changes: vec![Change {
                controls: vec!["accounts.admin".into()],
                stage: Stage::Accounts,
                summary: "password".into(),
                interrupts: None,
                action,
            }],
            brings: vec![],
            expects: std::collections::BTreeMap::new(),
            verdicts: vec![],
            drift: vec![],
            notes: vec![note.into()],
            refusals: vec![],
            proofs: vec![],
            reach: None,
            firewall_questions: Vec::new(),
            digests: crate::profile::policy::Digests::default(),
        }
    }

    #[test]
    fn the_same_plan_has_the_same_seal_whatever_seal_it_carries() {
        let mut other = plan("$y$a", "n");
        other.seal = "something".into();
        assert_eq!(seal(&plan("$y$a", "n")).unwrap(), seal(&other).unwrap());
    }

    #[test]
    fn a_word_or_a_secret_changes_the_seal() {
        let first = seal(&plan("$y$a", "n")).unwrap();
        assert_ne!(first, seal(&plan("$y$a", "m")).unwrap());
        assert_ne!(first, seal(&plan("$y$b", "n")).unwrap());
    }
}
