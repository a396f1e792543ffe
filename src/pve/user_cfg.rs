//! `/etc/pve/user.cfg` as PVE reads it (pve-access-control, `PVE::AccessControl::parse_user_config`): colon-separated
//! records, percent-encoded comments. PVE warns about a line it cannot use and drops it at the next write; here such
//! lines are kept apart, so that they can be shown.

use std::collections::{BTreeMap, BTreeSet};

/// Parsed user.cfg.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserConfig {
    /// `user@realm` → user.
    pub users: BTreeMap<String, User>,
    /// Group → members.
    pub groups: BTreeMap<String, BTreeSet<String>>,
    /// Own roles → privileges.
    pub roles: BTreeMap<String, BTreeSet<String>>,
    /// `user@realm!token` → token.
    pub tokens: BTreeMap<String, Token>,
    /// One entry per path, subject and role.
    pub acl: BTreeSet<Grant>,
    /// Lines that PVE ignores, from 1.
    pub ignored: Vec<usize>,
}

/// A user record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// May log in.
    pub enabled: bool,
    /// Seconds since 1970; 0 means never.
    pub expires: u64,
    /// Mail address.
    pub email: String,
    /// Comment, decoded.
    pub comment: String,
}

/// A token record; the secret is elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token {
    /// Seconds since 1970; 0 means never.
    pub expires: u64,
    /// Has rights of its own only.
    pub separated: bool,
}

/// A right on a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// ACL path, e.g. `/vms/100`.
    pub path: String,
    /// `user@realm`, `user@realm!token` or `@group`.
    pub subject: String,
    /// Role.
    pub role: String,
    /// Also holds below the path.
    pub propagate: bool,
}

/// Parses user.cfg. root@pam is always there and enabled unless a record says otherwise, as in PVE.
pub fn parse(text: &str) -> UserConfig {
    let mut config = UserConfig::default();
    config.users.insert("root@pam".into(), User { enabled: true, ..User::default() });
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && record(&mut config, line).is_none() {
            config.ignored.push(index + 1);
        }
    }
    config
}

fn record(config: &mut UserConfig, line: &str) -> Option<()> {
    let fields: Vec<&str> = line.split(':').map(str::trim).collect();
    let field = |index: usize| fields.get(index).copied().unwrap_or_default();
    match field(0) {
        "user" => {
            let name = user_id(field(1))?;
            let enabled = flag(field(2));
            let user = User { enabled, expires: epoch(field(3))?, email: field(6).into(), comment: decode(field(7)) };
            config.users.insert(name, user);
        }
        "group" => {
            let name = identifier(field(1))?;
            config.groups.insert(name, list(field(2)).filter_map(user_id).collect());
        }
        "role" => {
            let name = identifier(field(1))?;
            config.roles.insert(name, list(field(2)).map(str::to_owned).collect());
        }
        "token" => {
            let (user, token) = field(1).split_once('!')?;
            let name = format!("{}!{}", user_id(user)?, identifier(token)?);
            config.tokens.insert(name, Token { expires: epoch(field(2))?, separated: flag(field(3)) });
        }
        "acl" => {
            let path = field(2).starts_with('/').then(|| field(2))?;
            for subject in list(field(3)) {
                for role in list(field(4)) {
                    let (path, subject, role) = (path.to_owned(), subject.to_owned(), role.to_owned());
                    config.acl.insert(Grant { path, subject, role, propagate: flag(field(1)) });
                }
            }
        }
        // Pools hold guests, no rights.
        "pool" => {}
        _ => return None,
    }
    Some(())
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ';', ' ']).filter(|word| !word.is_empty())
}

fn flag(text: &str) -> bool {
    !matches!(text, "" | "0")
}

/// An absent time is 0; anything but digits makes PVE drop the record.
fn epoch(text: &str) -> Option<u64> {
    if text.is_empty() { Some(0) } else { text.parse().ok() }
}

fn user_id(text: &str) -> Option<String> {
    let (name, realm) = text.rsplit_once('@')?;
    let clean =
        |word: &str| !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || c == '/' || c.is_control());
    (clean(name) && identifier(realm).is_some() && text.len() <= 64).then(|| text.to_owned())
}

fn identifier(text: &str) -> Option<String> {
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    fits.then(|| text.to_owned())
}

/// Percent-decoding of UTF-8; what does not decode stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok()).filter(|_| *first == b'%');
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The file of a recorded hand edit, with what PVE said about its lines.
    const HAND_EDITED: &str = "# comment\nuser:root@pam:1:0:::a@b.c::\nuser:mon@pve:1:0::::::\n\
        user:bad user@pve:1:0:::::\nuser:x@pve:1:2025-12-31:::::\ngroup:ops:mon@pve,gh ost::\n\
        role:OldMon:VM.Monitor,VM.Audit:\nacl:1:/:@ops,mon@pve:OldMon:\nminpwlen:12:\nfoo bar\n";

    #[test]
    fn lines_that_pve_ignores_are_named() {
        let config = parse(HAND_EDITED);
        assert_eq!(config.ignored, [1, 4, 5, 9, 10]);
        assert_eq!(config.users.keys().collect::<Vec<_>>(), ["mon@pve", "root@pam"]);
        assert_eq!(config.users["root@pam"].email, "a@b.c");
        assert_eq!(config.groups["ops"], ["mon@pve".to_owned()].into());
        assert_eq!(config.acl.len(), 2);
    }

    #[test]
    fn records() {
        let config = parse(
            "user:alice@pve:0:1893456000:A:B:a@e.org:a%3Ab %c3%bc %zz::\ntoken:alice@pve!ci:0:1::\n\
             acl:0:/vms/1:alice@pve!ci:PVEAuditor:\npool:prod:x:1:y:\n",
        );
        let alice = &config.users["alice@pve"];
        assert_eq!((alice.enabled, alice.expires, alice.comment.as_str()), (false, 1_893_456_000, "a:b ü %zz"));
        assert!(config.users["root@pam"].enabled);
        assert_eq!(config.tokens["alice@pve!ci"], Token { expires: 0, separated: true });
        assert!(config.acl.iter().all(|grant| !grant.propagate && grant.role == "PVEAuditor"));
        assert_eq!(config.ignored, Vec::<usize>::new());
    }

    proptest! {
        #[test]
        fn arbitrary_text_does_not_panic(text in "(\\PC|[:@!%,/\n]|user|acl|token|group|role)*") {
            let config = parse(&text);
            prop_assert!(config.users.contains_key("root@pam"));
        }
    }
}
