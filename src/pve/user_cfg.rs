//! `/etc/pve/user.cfg`: users, groups, pools, own roles, tokens (without their secrets) and ACLs, as
//! pve-access-control's `AccessControl.pm` (`parse_user_config`, `write_user_config`) reads and writes them.
//!
//! PVE rewrites the whole file at every change: what it does not understand is gone afterwards. Such parts are kept
//! apart here, so that they can be shown before.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::names;
use super::privileges::Catalogue;

/// Parsed user.cfg.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserConfig {
    /// `user@realm` → user.
    pub users: BTreeMap<String, User>,
    /// Group → members and comment.
    pub groups: BTreeMap<String, Group>,
    /// Pool → members and comment.
    pub pools: BTreeMap<String, Pool>,
    /// Own roles → privileges that this release has.
    pub roles: BTreeMap<String, BTreeSet<String>>,
    /// `user@realm!token` → token.
    pub tokens: BTreeMap<String, Token>,
    /// Rights: path, subject and role → whether it also holds below the path.
    #[serde(with = "grants")]
    pub acl: BTreeMap<Grant, bool>,
    /// What PVE's next write deletes.
    pub dropped: Vec<Dropped>,
}

/// A user record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// May log in.
    pub enabled: bool,
    /// Seconds since 1970; 0 means never.
    pub expires: u64,
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Mail address.
    pub email: String,
    /// Comment.
    pub comment: String,
}

/// A group record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Members, also ones that do not exist.
    pub members: BTreeSet<String>,
    /// Comment.
    pub comment: String,
}

/// A pool record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Guests by number.
    pub guests: BTreeSet<u64>,
    /// Storages.
    pub storages: BTreeSet<String>,
    /// Comment.
    pub comment: String,
}

/// A token record; the secret is elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Seconds since 1970; 0 means never.
    pub expires: u64,
    /// Has rights of its own only, and never more than its user.
    pub separated: bool,
    /// Comment.
    pub comment: String,
}

/// A right on a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Grant {
    /// ACL path, e.g. `/vms/100`.
    pub path: String,
    /// `user@realm`, `user@realm!token` or `@group`.
    pub subject: String,
    /// Role.
    pub role: String,
}

/// A part of the file that the next write leaves out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Line, from 1.
    pub line: usize,
    /// The line or the part of it, as it stands there.
    pub text: String,
    /// Why PVE does not use it.
    pub why: String,
}

/// JSON has no keys of several parts.
mod grants {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::Grant;

    pub fn serialize<S: Serializer>(acl: &BTreeMap<Grant, bool>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(acl)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<Grant, bool>, D::Error> {
        Vec::<(Grant, bool)>::deserialize(from).map(|all| all.into_iter().collect())
    }
}

impl UserConfig {
    /// The privileges of a role, own or built in; `None` when there is no such role.
    pub fn role<'a>(&'a self, name: &str, catalogue: &'a Catalogue) -> Option<Vec<&'a str>> {
        match catalogue.built_in.get(name) {
            Some(privileges) => Some(privileges.iter().copied().collect()),
            None => self.roles.get(name).map(|privileges| privileges.iter().map(String::as_str).collect()),
        }
    }

    /// Groups of a user.
    pub fn groups_of(&self, user: &str) -> BTreeSet<String> {
        let of = self.groups.iter().filter(|(_, group)| group.members.contains(user));
        of.map(|(name, _)| name.clone()).collect()
    }

    /// Whether the subject of an ACL entry exists.
    pub fn exists(&self, subject: &str) -> bool {
        match subject.strip_prefix('@') {
            Some(group) => self.groups.contains_key(group),
            None => self.users.contains_key(subject) || self.tokens.contains_key(subject),
        }
    }
}

/// Parses user.cfg as a release does. root@pam is always there and enabled unless a record says otherwise.
pub fn parse(text: &str, catalogue: &Catalogue) -> UserConfig {
    let mut config = UserConfig::default();
    config.users.insert(names::ROOT.into(), User { enabled: true, ..User::default() });
    let mut reader = Reader { config, catalogue, line: 0 };
    for (index, line) in text.lines().enumerate() {
        reader.line = index + 1;
        let line = line.trim();
        if !line.is_empty()
            && let Err(why) = reader.record(line)
        {
            reader.drop(line, &why);
        }
    }
    reader.config
}

struct Reader<'a> {
    config: UserConfig,
    catalogue: &'a Catalogue,
    line: usize,
}

impl Reader<'_> {
    fn drop(&mut self, text: &str, why: &str) {
        self.config.dropped.push(Dropped { line: self.line, text: text.into(), why: why.into() });
    }

    fn record(&mut self, line: &str) -> Result<(), String> {
        let fields: Vec<&str> = line.split(':').map(str::trim).collect();
        let field = |index: usize| fields.get(index).copied().unwrap_or_default();
        match field(0) {
            "user" => self.user(field(1), &fields),
            "group" => self.group(field(1), field(2), field(3)),
            "role" => self.role(field(1), field(2)),
            "token" => self.token(field(1), field(2), field(3), field(4)),
            "acl" => self.acl(flag(field(1)), field(2), field(3), field(4)),
            "pool" => self.pool(field(1), field(2), field(3), field(4)),
            _ => Err("no record of this kind".into()),
        }
    }

    fn user(&mut self, name: &str, fields: &[&str]) -> Result<(), String> {
        if !names::is_user(name) {
            return Err("no user name".into());
        }
        let field = |index: usize| fields.get(index).copied().unwrap_or_default();
        let user = User {
            enabled: flag(field(2)),
            expires: epoch(field(3))?,
            first_name: decode(field(4)),
            last_name: decode(field(5)),
            email: field(6).into(),
            comment: decode(field(7)),
        };
        self.config.users.insert(name.into(), user);
        Ok(())
    }

    fn group(&mut self, name: &str, members: &str, comment: &str) -> Result<(), String> {
        if !names::is_word(name) {
            return Err("no group name".into());
        }
        let (good, bad): (Vec<&str>, Vec<&str>) = list(members).partition(|member| names::is_user(member));
        for member in bad {
            self.drop(member, "no user name");
        }
        let group = self.config.groups.entry(name.into()).or_default();
        group.members.extend(good.into_iter().map(str::to_owned));
        if !comment.is_empty() {
            group.comment = decode(comment);
        }
        Ok(())
    }

    fn role(&mut self, name: &str, privileges: &str) -> Result<(), String> {
        if !names::is_word(name) {
            return Err("no role name".into());
        }
        if self.catalogue.built_in.contains_key(name) {
            return Err("a built-in role".into());
        }
        let known = |privilege: &&str| self.catalogue.privileges.contains(*privilege);
        let (good, bad): (Vec<&str>, Vec<&str>) = list(privileges).partition(known);
        self.config.roles.entry(name.into()).or_default().extend(good.into_iter().map(str::to_owned));
        for privilege in bad {
            self.drop(privilege, "this release has no such privilege");
        }
        Ok(())
    }

    fn token(&mut self, id: &str, expires: &str, separated: &str, comment: &str) -> Result<(), String> {
        let Some((user, _)) = names::token(id) else { return Err("no token id".into()) };
        let token = Token { expires: epoch(expires)?, separated: flag(separated), comment: decode(comment) };
        if !self.config.users.contains_key(user) {
            return Err("the user does not exist".into());
        }
        self.config.tokens.insert(id.into(), token);
        Ok(())
    }

    fn acl(&mut self, propagate: bool, path: &str, subjects: &str, roles: &str) -> Result<(), String> {
        let Some(path) = names::normalized(path) else { return Err("no path".into()) };
        for role in list(roles) {
            let known = self.config.roles.contains_key(role) || self.catalogue.built_in.contains_key(role);
            if !known {
                self.drop(role, "the role does not exist");
                continue;
            }
            for subject in list(subjects) {
                if let Some(why) = self.unfit(subject) {
                    self.drop(subject, why);
                    continue;
                }
                let grant = Grant { path: path.clone(), subject: subject.into(), role: role.into() };
                self.config.acl.insert(grant, propagate);
            }
        }
        Ok(())
    }

    /// Why PVE does not keep a subject. Users and groups that do not exist are kept.
    fn unfit(&self, subject: &str) -> Option<&'static str> {
        match subject.strip_prefix('@') {
            Some(group) if names::is_word(group) => None,
            _ if subject == names::ROOT => Some("PVE stores no rights of root@pam"),
            _ if self.config.tokens.contains_key(subject) => None,
            _ if names::token(subject).is_some() && !self.config.users.contains_key(subject) => {
                Some("the token does not exist")
            }
            _ if names::is_user(subject) => None,
            _ => Some("neither a user nor a group"),
        }
    }

    fn pool(&mut self, name: &str, comment: &str, guests: &str, storages: &str) -> Result<(), String> {
        if !names::is_pool(name) {
            return Err("no pool name".into());
        }
        let mut parent = name;
        while let Some((above, _)) = parent.rsplit_once('/') {
            self.config.pools.entry(above.into()).or_default();
            parent = above;
        }
        let taken: BTreeSet<u64> = self.config.pools.values().flat_map(|pool| pool.guests.iter().copied()).collect();
        let mut pool = self.config.pools.remove(name).unwrap_or_default();
        for guest in list(guests) {
            match guest.parse::<u64>().ok().filter(|_| guest.bytes().all(|byte| byte.is_ascii_digit())) {
                None => self.drop(guest, "no guest number"),
                Some(id) if taken.contains(&id) && !pool.guests.contains(&id) => {
                    self.drop(guest, "the guest is in another pool");
                }
                Some(id) => {
                    pool.guests.insert(id);
                }
            }
        }
        for storage in list(storages) {
            if names::is_storage(storage) {
                pool.storages.insert(storage.into());
            } else {
                self.drop(storage, "no storage name");
            }
        }
        if !comment.is_empty() {
            pool.comment = decode(comment);
        }
        self.config.pools.insert(name.into(), pool);
        Ok(())
    }
}

/// `split_list` of pve-common: commas, semicolons, white space, NUL.
fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| matches!(c, ',' | ';' | '\0') || c.is_ascii_whitespace()).filter(|word| !word.is_empty())
}

fn flag(text: &str) -> bool {
    !matches!(text, "" | "0")
}

/// An absent time is 0; anything but digits makes PVE drop the record.
fn epoch(text: &str) -> Result<u64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| "the time of expiry is no number".into())
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

    /// A recorded hand edit; what PVE said of its lines and what its next write left are in the same transcript.
    const HAND_EDITED: &str = "# comment\nuser:root@pam:1:0:::a@b.c::\nuser:mon@pve:1:0::::::\n\
        user:bad user@pve:1:0:::::\nuser:x@pve:1:2025-12-31:::::\ngroup:ops:mon@pve,ghost@pve::\n\
        role:OldMon:VM.Monitor,VM.Audit:\nrole:Alien:Foo.Bar:\nacl:1:/:@ops:OldMon:\nacl:1:/:@nogroup:OldMon:\n\
        acl:1:/:mon@pve:PVEPowerAdmin:\nacl:1:/bogus:mon@pve:PVEAuditor:\nacl:1:/:root@pam:PVEAuditor:\n\
        minpwlen:12:\nfoo bar\n";

    /// The file after PVE's next write, and the group that caused it.
    const REWRITTEN: &str = "user:mon@pve:1:0::::::\nuser:root@pam:1:0:::a@b.c:::\n\ngroup:ops:ghost@pve,mon@pve::\n\
        group:trigger:::\n\n\nrole:Alien::\nrole:OldMon:VM.Audit:\n\nacl:1:/:@nogroup,@ops:OldMon:\n\
        acl:1:/bogus:mon@pve:PVEAuditor:\n";

    fn parse_9(text: &str) -> UserConfig {
        parse(text, Catalogue::of(9))
    }

    #[test]
    fn what_the_next_write_deletes_is_named_and_the_rest_equals_what_it_leaves() {
        let mut config = parse_9(HAND_EDITED);
        let dropped: Vec<(usize, &str)> = config.dropped.iter().map(|part| (part.line, part.text.as_str())).collect();
        assert_eq!(
            dropped,
            [
                (1, "# comment"),
                (4, "user:bad user@pve:1:0:::::"),
                (5, "user:x@pve:1:2025-12-31:::::"),
                (7, "VM.Monitor"),
                (8, "Foo.Bar"),
                (11, "PVEPowerAdmin"),
                (13, "root@pam"),
                (14, "minpwlen:12:"),
                (15, "foo bar"),
            ]
        );
        config.groups.insert("trigger".into(), Group::default());
        config.dropped.clear();
        assert_eq!(config, parse_9(REWRITTEN));
    }

    #[test]
    fn a_privilege_of_release_8_is_no_loss_there() {
        let config = parse(HAND_EDITED, Catalogue::of(8));
        assert_eq!(Vec::from_iter(&config.roles["OldMon"]), ["VM.Audit", "VM.Monitor"]);
        assert!(config.dropped.iter().all(|part| part.text != "VM.Monitor"));
    }

    #[test]
    fn records() {
        let config = parse_9(
            "user:alice@pve:0:1893456000:A:B:a@e.org:a%3Ab %c3%bc %zz::\r\ntoken:alice@pve!ci:0:1:mon%0Aitor:\n\
             acl:0:vms/1/:alice@pve!ci:PVEAuditor:\npool:prod/web:x y:101,102,x:store1 s:\ntoken:bob@pve!ci:0:1::\n",
        );
        let alice = &config.users["alice@pve"];
        assert_eq!((alice.enabled, alice.expires, alice.comment.as_str()), (false, 1_893_456_000, "a:b ü %zz"));
        assert_eq!((alice.first_name.as_str(), alice.last_name.as_str()), ("A", "B"));
        assert!(config.users["root@pam"].enabled);
        assert_eq!(config.tokens["alice@pve!ci"].comment, "mon\nitor");
        let (grant, propagate) = config.acl.iter().next().unwrap();
        assert_eq!((grant.path.as_str(), grant.subject.as_str(), *propagate), ("/vms/1", "alice@pve!ci", false));
        assert_eq!(config.pools["prod/web"].guests, [101, 102].into());
        assert_eq!(config.pools["prod/web"].storages, ["store1".to_owned()].into());
        assert!(config.pools.contains_key("prod"), "a parent is there although no line names it");
        assert_eq!(
            config.dropped.iter().map(|part| part.text.as_str()).collect::<Vec<_>>(),
            ["x", "s", "token:bob@pve!ci:0:1::"]
        );
    }

    proptest! {
        #[test]
        fn arbitrary_text_does_not_panic(text in "(\\PC|[:@!%,/\n]|user|acl|token|group|role|pool)*") {
            let config = parse_9(&text);
            prop_assert!(config.users.contains_key("root@pam"));
        }

        #[test]
        fn json_keeps_every_part(text in "((user|group|pool|role|token):(a@pve|b@pve!ci|g|PVEAuditor|[a-z]{1,3})(:[a-z0-9,@]{0,9}){0,4}\n|acl:[01]:/[a-z/]{0,6}:(@g|a@pve):PVEAuditor:\n){0,9}") {
            let config = parse_9(&text);
            let json = serde_json::to_string(&config).unwrap();
            prop_assert_eq!(serde_json::from_str::<UserConfig>(&json).unwrap(), config);
        }
    }
}
