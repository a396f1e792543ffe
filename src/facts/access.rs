//! PVE's users and rights: user.cfg, domains.cfg, which tokens have a secret, kinds of second factors.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::sections::Sections;
use super::{FileFact, PveRelease, Reading};
use crate::pve::domains::Realm;
use crate::pve::privileges::Catalogue;
use crate::pve::user_cfg::UserConfig;
use crate::pve::{domains, names, user_cfg};

/// PVE's users and rights, the same on every node of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessFacts {
    /// user.cfg.
    pub config: Reading<UserConfig>,
    /// domains.cfg by realm.
    pub realms: Reading<BTreeMap<String, Realm>>,
    /// Ids of tokens that have a secret.
    pub secrets: Reading<BTreeSet<String>>,
    /// Second factors by user.
    pub factors: Reading<BTreeMap<String, Factors>>,
}

/// Second factors of one user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factors {
    /// `totp`, `webauthn`, `u2f`, `yubico`, `recovery` → how many; recovery keys count once.
    pub kinds: BTreeMap<String, u32>,
    /// Locked after wrong codes.
    pub locked: bool,
}

/// What access control is read from.
pub(super) fn parse(
    sections: Sections<'_>,
    files: &BTreeMap<String, Reading<FileFact>>,
    pve: &Reading<PveRelease>,
    mounted: &Reading<bool>,
) -> AccessFacts {
    let shared = || match (pve, mounted) {
        (Reading::Known(release), Reading::Known(true)) => Reading::Known(release.major),
        (Reading::Known(_), Reading::Known(false)) => Reading::Unreadable("/etc/pve is not mounted".into()),
        (Reading::Known(_), other) => other.clone().map(|_| 0),
        (other, _) => other.clone().map(|_| 0),
    };
    // PVE takes a missing file for an empty one.
    let read = |path: &str| match (shared(), super::text_of(files, path)) {
        (Reading::Known(major), Reading::Absent) => Reading::Known((major, String::new())),
        (Reading::Known(major), text) => text.map(|text| (major, text)),
        (other, _) => other.map(|major| (major, String::new())),
    };
    AccessFacts {
        config: read("/etc/pve/user.cfg").map(|(major, text)| user_cfg::parse(&text, Catalogue::of(major))),
        realms: read("/etc/pve/domains.cfg").map(|(_, text)| domains::parse(&text)),
        secrets: sections.text("access.tokens").map(tokens),
        factors: sections.parse("access.factors", factors),
    }
}

fn tokens(text: &str) -> BTreeSet<String> {
    text.lines().filter(|line| names::token(line).is_some()).map(str::to_owned).collect()
}

fn factors(text: &str) -> Result<BTreeMap<String, Factors>, String> {
    let mut all: BTreeMap<String, Factors> = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.split('\t');
        let (Some(user), Some(kind), Some(count)) = (words.next(), words.next(), words.next()) else {
            return Err("a line that is no second factor".into());
        };
        let count: u32 = count.parse().map_err(|_| "a number of second factors that is none")?;
        let of_user = all.entry(user.to_owned()).or_default();
        if kind == "totp-locked" {
            of_user.locked = true;
        } else {
            of_user.kinds.insert(kind.to_owned(), count);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_by_user() {
        let all = factors("a@pve\ttotp\t2\na@pve\ttotp-locked\t1\nb@pam\twebauthn\t1\n").unwrap();
        assert_eq!(all["a@pve"], Factors { kinds: [("totp".to_owned(), 2)].into(), locked: true });
        assert!(!all["b@pam"].locked);
        assert!(factors("nonsense").is_err());
        assert!(factors("a@pve\ttotp\tmany").is_err());
    }

    #[test]
    fn what_is_no_token_id_is_no_token() {
        assert_eq!(tokens("a@pve!ci\n5625fe8e-cb54\n"), ["a@pve!ci".to_owned()].into());
    }
}
