//! PVE's users and rights: user.cfg, domains.cfg, which tokens have a secret, kinds of second factors.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
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
    /// Users of the realm pve who have a password; only when asked for.
    #[serde(default)]
    pub passwords: Reading<BTreeSet<String>>,
    /// Logins of the last 30 days at this node's port 8006 by user; only when asked for.
    #[serde(default)]
    pub web_logins: Reading<BTreeMap<String, WebLogin>>,
}

/// Second factors of one user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factors {
    /// `totp`, `webauthn`, `u2f`, `yubico`, `recovery` → how many; recovery keys count once.
    pub kinds: BTreeMap<String, u32>,
    /// Locked after wrong codes.
    pub locked: bool,
}

/// What the logs say of somebody's logins at port 8006. PVE writes who logged in and not how: by password, by `OpenID`, or
/// by a ticket, which browsers renew every 15 minutes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebLogin {
    /// Last one, seconds since 1970.
    pub last: i64,
    /// At least one came from the login page, which browsers show (`/api2/extjs`).
    pub page: bool,
    /// At least one came by `/api2/json`: a program's, or a ticket's renewal.
    pub api: bool,
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
        realms: match (shared(), sections.text("access.realms")) {
            (Reading::Known(_), Reading::Known(text)) => Reading::Known(domains::parse(text)),
            _ => read("/etc/pve/domains.cfg").map(|(_, text)| domains::parse(&text)),
        },
        secrets: sections.text("access.tokens").map(tokens),
        factors: sections.parse("access.factors", factors),
        passwords: sections.text("access.passwords").map(users_with_password),
        web_logins: sections.text("access.web-logins").map(web_logins),
    }
}

fn users_with_password(text: &str) -> BTreeSet<String> {
    text.lines().map(|name| format!("{name}@pve")).filter(|user| names::is_user(user)).collect()
}

/// A login and the request that brought it are of the same second, give or take one.
fn web_logins(text: &str) -> BTreeMap<String, WebLogin> {
    let (mut page, mut api) = (BTreeSet::new(), BTreeSet::new());
    for (door, at) in text.lines().filter_map(|line| ticket(line.strip_prefix("ticket ")?)) {
        if door == "extjs" {
            page.insert(at)
        } else {
            api.insert(at)
        };
    }
    let near = |seconds: &BTreeSet<i64>, at: i64| seconds.range(at - 1..=at + 1).next().is_some();
    let mut all: BTreeMap<String, WebLogin> = BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("login ")) {
        let Some((at, user)) = line.split_once(' ') else { continue };
        let Some(at) = at.parse::<i64>().ok().filter(|at| (1..i64::MAX).contains(at)) else { continue };
        if names::is_user(user) {
            let login = all.entry(user.to_owned()).or_default();
            login.last = login.last.max(at);
            login.page |= near(&page, at);
            login.api |= near(&api, at);
        }
    }
    all
}

/// `ADDRESS - USER [21/11/2026:23:01:05 +0000] "POST /api2/json/access/ticket HTTP/1.1" 200 800`: door and second of a
/// request that was granted.
fn ticket(line: &str) -> Option<(&str, i64)> {
    let (_, rest) = line.split_once(" [")?;
    let (time, rest) = rest.split_once("] \"POST /api2/")?;
    let (door, rest) = rest.split_once("/access/ticket HTTP")?;
    let (_, status) = rest.split_once("\" ")?;
    let at = Timestamp::strptime("%d/%m/%Y:%H:%M:%S %z", time).ok().filter(|_| status.starts_with("200 "))?;
    Some((door, at.as_second()))
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
    use proptest::prelude::*;

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
    fn a_login_is_told_by_the_door_that_it_came_through() {
        let all = web_logins(
            "login 1795302065 ann@pve\nlogin 1795302900 ann@pve\nlogin 1795302170 bot@pve\nlogin 1795309999 far@pve\n\
             login x ann@pve\nlogin 1795302065 no user\nlogin 9223372036854775807 edge@pve\nnonsense\n\
             ticket ::ffff:192.0.2.1 - - [21/11/2026:23:01:04 +0000] \"POST /api2/extjs/access/ticket HTTP/1.1\" 200 800\n\
             ticket ::ffff:192.0.2.1 - ann@pve [21/11/2026:23:15:00 +0000] \"POST /api2/json/access/ticket HTTP/1.1\" 200 800\n\
             ticket ::ffff:192.0.2.9 - - [22/11/2026:00:02:50 +0100] \"POST /api2/json/access/ticket HTTP/1.1\" 200 800\n\
             ticket ::ffff:192.0.2.9 - - [22/11/2026:01:13:19 +0000] \"POST /api2/json/access/ticket HTTP/1.1\" 401 -\n",
        );
        let told: Vec<String> =
            all.iter().map(|(user, it)| format!("{user} {} {} {}", it.last, it.page, it.api)).collect();
        assert_eq!(
            told,
            ["ann@pve 1795302900 true true", "bot@pve 1795302170 false true", "far@pve 1795309999 false false"]
        );
    }

    proptest! {
        #[test]
        fn any_log_is_read_without_a_panic(text in "((login|ticket) (\\PC|[0-9/:+ \\[\\]\"]){0,60}\n){0,4}") {
            let _ = web_logins(&text);
        }
    }

    /// The form of tfa.cfg in the transcripts (proxmox-tfa `src/api/mod.rs`).
    #[test]
    fn a_factor_that_is_disabled_or_used_up_is_none() {
        let totp =
            |more: &str| format!(r#"{{"id":"x","description":"d {{[",{more}"created":1,"entry":"otpauth://x"}}"#);
        let recovery =
            |entries: &str| format!(r#""recovery":{{"secret":"SENTINEL","entries":[{entries}],"created":1}}"#);
        let text = format!(
            r#"{{"users":{{"a@pve":{{"totp":[{},{}],{}}},"b@pve":{{"totp":[{}],{}}},"c@pam":{{"webauthn":[{{"id":"y","description":"","created":1,"enable":true,"entry":{{"enable":false}}}}],"totp-locked":true}},"d@pve":{{"totp-locked":false}}}}}}"#,
            totp(""),
            totp(r#""enable":false,"#),
            recovery(r#"null,"SENTINEL""#),
            totp(r#""enable": false,"#),
            recovery("null,null"),
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tfa.cfg");
        std::fs::write(&file, text).unwrap();
        let program = include_str!("remote/access.sh");
        let program = program.split("realms_without_keys() {").next().unwrap();
        let program = format!("{program}\nfactor_kinds {}", file.display());
        let said = std::process::Command::new("sh").arg("-c").arg(program).output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        assert_eq!(said, "a@pve\ttotp\t1\na@pve\trecovery\t1\nc@pam\twebauthn\t1\nc@pam\ttotp-locked\t1\n");
        assert!(factors(&said).is_ok());
    }

    #[test]
    fn keys_of_realms_stay_on_the_node() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("domains.cfg");
        let text =
            "openid: sso\n\tclient-id x\n\tclient-key SENTINEL a\n\npve: pve\n\ttfa type=yubico,key=SENTINEL,id=7\n";
        std::fs::write(&file, text).unwrap();
        let program = include_str!("remote/access.sh").split("read_access() {").next().unwrap();
        let program = program.replace("/etc/pve/domains.cfg", &file.display().to_string());
        let said = std::process::Command::new("sh").arg("-c").arg(program + "\nrealms_without_keys").output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        assert_eq!(said, text.replace("SENTINEL a", "***").replace("SENTINEL", "***"));
        let common = include_str!("remote/common.sh").replace("/etc/pve/domains.cfg", &file.display().to_string());
        let secret = |text: &str| {
            std::fs::write(&file, text).unwrap();
            let ask = format!("{common}\nsecret_path '{}'", file.display());
            std::process::Command::new("sh").arg("-c").arg(ask).status().unwrap().success()
        };
        assert!(secret(text) && !secret("pve: pve\n\ttfa type=oath\n"));
    }

    #[test]
    fn names_of_the_realm_pve() {
        assert_eq!(users_with_password("ann\n\na b\n"), ["ann@pve".to_owned()].into());
    }

    #[test]
    fn what_is_no_token_id_is_no_token() {
        assert_eq!(tokens("a@pve!ci\n5625fe8e-cb54\n"), ["a@pve!ci".to_owned()].into());
    }
}
