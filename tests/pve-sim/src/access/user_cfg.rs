//! `user.cfg`: users, tokens, groups, pools, roles and the permission tree.
//!
//! Reading drops what it does not understand, with a warning each; writing makes the whole file anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::names::{is_plain, is_pool, list, normal_path, token_parts, user_parts};
use super::roles::Catalogue;
use crate::percent::decode;

/// An API token of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token {
    /// Seconds since 1970; 0 for never.
    pub expire: u64,
    /// Whether it has rights of its own only.
    pub privsep: bool,
    /// Free text.
    pub comment: String,
}

/// A user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Whether it may log in.
    pub enable: bool,
    /// Seconds since 1970; 0 for never. None for root@pam before it was ever written.
    pub expire: Option<u64>,
    /// First name.
    pub firstname: String,
    /// Last name.
    pub lastname: String,
    /// Mail address.
    pub email: String,
    /// Free text.
    pub comment: String,
    /// `x` with second factors.
    pub keys: String,
    /// API tokens by name.
    pub tokens: BTreeMap<String, Token>,
}

/// A group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// User ids, of users that do not exist also.
    pub users: BTreeSet<String>,
    /// Free text.
    pub comment: String,
}

/// A pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// Free text.
    pub comment: String,
    /// Guests.
    pub vms: BTreeSet<String>,
    /// Storages.
    pub storage: BTreeSet<String>,
}

/// Who a permission is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A group.
    Group(String),
    /// A user.
    User(String),
    /// A token.
    Token(String),
}

impl Subject {
    /// As in the file.
    pub fn written(&self) -> String {
        match self {
            Self::Group(name) => format!("@{name}"),
            Self::User(name) | Self::Token(name) => name.clone(),
        }
    }

    /// `user`, `group` or `token`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Group(_) => "group",
            Self::User(_) => "user",
            Self::Token(_) => "token",
        }
    }

    /// The name alone.
    pub fn id(&self) -> &str {
        match self {
            Self::Group(name) | Self::User(name) | Self::Token(name) => name,
        }
    }
}

/// Roles of a subject on a path, each with its propagation.
pub type Grants = BTreeMap<Subject, BTreeMap<String, bool>>;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserCfg {
    /// By user id; root@pam is always there.
    pub users: BTreeMap<String, User>,
    /// By name.
    pub groups: BTreeMap<String, Group>,
    /// By name, parents of nested ones included.
    pub pools: BTreeMap<String, Pool>,
    /// Own roles.
    pub roles: BTreeMap<String, BTreeSet<String>>,
    /// Permissions by path.
    pub acl: BTreeMap<String, Grants>,
}

/// The user who is always there.
pub const ROOT: &str = "root@pam";

impl UserCfg {
    /// Reads a file. The warnings are those that the real program prints.
    pub fn parse(text: &str, catalogue: &Catalogue) -> (Self, Vec<String>) {
        let mut reader = Reader {
            cfg: Self {
                users: BTreeMap::from([(ROOT.to_owned(), User { enable: true, ..User::default() })]),
                groups: BTreeMap::new(),
                pools: BTreeMap::new(),
                roles: BTreeMap::new(),
                acl: BTreeMap::new(),
            },
            catalogue,
            warnings: Vec::new(),
        };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let fields: Vec<&str> = line.split(':').map(str::trim).collect();
            let field = |index: usize| fields.get(index).copied().unwrap_or_default();
            match field(0) {
                "user" => reader.user(&field),
                "token" => reader.token(&field),
                "group" => reader.group(&field),
                "pool" => reader.pool(&field),
                "role" => reader.role(&field),
                "acl" => reader.acl(&field),
                _ => reader.ignore(&format!("config line: {line}")),
            }
        }
        (reader.cfg, reader.warnings)
    }

    /// Whether a role exists.
    pub fn has_role(&self, role: &str, catalogue: &Catalogue) -> bool {
        catalogue.built_in.contains_key(role) || self.roles.contains_key(role)
    }

    /// The file as the real program writes it.
    pub fn written(&self) -> String {
        let mut text = String::new();
        for (id, user) in &self.users {
            let _ = writeln!(
                text,
                "user:{id}:{}:{}:{}:{}:{}:{}:{}:",
                u8::from(user.enable),
                user.expire.unwrap_or(0),
                encode(&user.firstname),
                encode(&user.lastname),
                user.email,
                encode(&user.comment),
                user.keys,
            );
            for (name, token) in &user.tokens {
                let _ = writeln!(
                    text,
                    "token:{id}!{name}:{}:{}:{}:",
                    token.expire,
                    u8::from(token.privsep),
                    encode(&token.comment)
                );
            }
        }
        text.push('\n');
        for (name, group) in &self.groups {
            let _ = writeln!(text, "group:{name}:{}:{}:", joined(&group.users), encode(&group.comment));
        }
        text.push('\n');
        for (name, pool) in &self.pools {
            let _ = writeln!(
                text,
                "pool:{name}:{}:{}:{}:",
                encode(&pool.comment),
                joined(&pool.vms),
                joined(&pool.storage)
            );
        }
        text.push('\n');
        for (name, privileges) in &self.roles {
            let _ = writeln!(text, "role:{name}:{}:", joined(privileges));
        }
        text.push('\n');
        for (path, grants) in &self.acl {
            write_grants(&mut text, path, grants);
        }
        text
    }
}

/// Subjects with the same roles share a line; root@pam's permissions are not written.
fn write_grants(text: &mut String, path: &str, grants: &Grants) {
    for propagate in [false, true] {
        let mut lines: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (subject, roles) in grants {
            if *subject == Subject::User(ROOT.to_owned()) {
                continue;
            }
            let here: Vec<&str> =
                roles.iter().filter(|(_, spread)| **spread == propagate).map(|(role, _)| role.as_str()).collect();
            if !here.is_empty() {
                lines.entry(here.join(",")).or_default().insert(subject.written());
            }
        }
        for (roles, subjects) in lines {
            let _ = writeln!(text, "acl:{}:{path}:{}:{roles}:", u8::from(propagate), joined(&subjects));
        }
    }
}

fn joined(set: &BTreeSet<String>) -> String {
    set.iter().map(String::as_str).collect::<Vec<_>>().join(",")
}

struct Reader<'a> {
    cfg: UserCfg,
    catalogue: &'a Catalogue,
    warnings: Vec<String>,
}

impl Reader<'_> {
    fn ignore(&mut self, what: &str) {
        self.warnings.push(format!("user config - ignore {what}"));
    }

    fn user<'t>(&mut self, field: &dyn Fn(usize) -> &'t str) {
        let id = field(1);
        if user_parts(id).is_none() {
            return self.ignore(&format!("user '{id}' - invalid user name"));
        }
        let Some(expire) = seconds(field(3)) else {
            return self.ignore(&format!("user '{id}' - (illegal characters in expire '{}')", field(3)));
        };
        self.cfg.users.insert(
            id.to_owned(),
            User {
                enable: truth(field(2)),
                expire: Some(expire),
                firstname: decode(field(4)),
                lastname: decode(field(5)),
                email: field(6).to_owned(),
                comment: decode(field(7)),
                keys: field(8).to_owned(),
                tokens: BTreeMap::new(),
            },
        );
    }

    fn token<'t>(&mut self, field: &dyn Fn(usize) -> &'t str) {
        let id = field(1);
        let Some((user, name)) = token_parts(id) else {
            return self.ignore(&format!("invalid tokenid '{id}'"));
        };
        let Some(expire) = seconds(field(2)) else {
            return self.ignore(&format!("token '{id}' - (illegal characters in expire '{}')", field(2)));
        };
        let token = Token { expire, privsep: truth(field(3)), comment: decode(field(4)) };
        match self.cfg.users.get_mut(user) {
            Some(user) => {
                user.tokens.insert(name.to_owned(), token);
            }
            None => self.ignore(&format!("token '{id}' - user does not exist")),
        }
    }

    fn group<'t>(&mut self, field: &dyn Fn(usize) -> &'t str) {
        let name = field(1);
        if !is_plain(name) {
            return self.ignore(&format!("group '{name}' - invalid characters in group name"));
        }
        let mut members = BTreeSet::new();
        for user in list(field(2)) {
            let valid = user_parts(user).is_some();
            if !valid || !self.cfg.users.contains_key(user) {
                self.ignore(&format!("invalid group member '{user}'"));
            }
            if valid {
                members.insert(user.to_owned());
            }
        }
        let group = self.cfg.groups.entry(name.to_owned()).or_default();
        group.users.extend(members);
        if !field(3).is_empty() {
            group.comment = decode(field(3));
        }
    }

    fn pool<'t>(&mut self, field: &dyn Fn(usize) -> &'t str) {
        let name = field(1);
        if !is_pool(name) {
            return self.ignore(&format!("pool '{name}' - invalid characters in pool name"));
        }
        let mut parent = name;
        while let Some((above, _)) = parent.rsplit_once('/') {
            self.cfg.pools.entry(above.to_owned()).or_default();
            parent = above;
        }
        let pool = self.cfg.pools.entry(name.to_owned()).or_default();
        if !field(2).is_empty() {
            pool.comment = decode(field(2));
        }
        pool.vms.extend(list(field(3)).map(str::to_owned));
        pool.storage.extend(list(field(4)).map(str::to_owned));
    }

    fn role<'t>(&mut self, field: &dyn Fn(usize) -> &'t str) {
        let name = field(1);
        if !is_plain(name) {
            return self.ignore(&format!("role '{name}' - invalid characters in role name"));
        }
        let mut privileges = BTreeSet::new();
        for privilege in list(field(2)) {
            if self.catalogue.privileges.contains(privilege) {
                privileges.insert(privilege.to_owned());
            } else {
                self.ignore(&format!("invalid privilege '{privilege}'"));
            }
        }
        if !self.catalogue.built_in.contains_key(name) {
            self.cfg.roles.entry(name.to_owned()).or_default().extend(privileges);
        }
    }

    fn acl<'t>(&mut self, field: &dyn Fn(usize) -> &'t str) {
        let Some(path) = normal_path(field(2)) else {
            return self.ignore(&format!("invalid path in acl '{}'", field(2)));
        };
        let propagate = truth(field(1));
        for role in list(field(4)) {
            if !is_plain(role) {
                self.ignore(&format!("invalid role name '{role}' in acl"));
                continue;
            }
            if !self.cfg.has_role(role, self.catalogue) {
                self.ignore(&format!("invalid acl role '{role}'"));
                continue;
            }
            for text in list(field(3)) {
                if let Some(subject) = self.subject(text) {
                    let grants = self.cfg.acl.entry(path.clone()).or_default();
                    grants.entry(subject).or_default().insert(role.to_owned(), propagate);
                }
            }
        }
    }

    /// A permission for a group or user that does not exist is kept; for a token it is not.
    fn subject(&mut self, text: &str) -> Option<Subject> {
        if let Some(group) = text.strip_prefix('@').filter(|group| is_plain(group)) {
            if !self.cfg.groups.contains_key(group) {
                self.ignore(&format!("invalid acl group '{group}'"));
            }
            return Some(Subject::Group(group.to_owned()));
        }
        if let Some((user, name)) = token_parts(text) {
            if self.cfg.users.get(user).is_some_and(|user| user.tokens.contains_key(name)) {
                return Some(Subject::Token(text.to_owned()));
            }
            self.ignore(&format!("invalid acl token '{text}'"));
            return None;
        }
        if user_parts(text).is_some() {
            if !self.cfg.users.contains_key(text) {
                self.ignore(&format!("invalid acl member '{text}'"));
            }
            return Some(Subject::User(text.to_owned()));
        }
        self.warnings.push(format!("user config - invalid user/group '{text}' in acl"));
        None
    }
}

fn truth(text: &str) -> bool {
    !matches!(text, "" | "0")
}

fn seconds(text: &str) -> Option<u64> {
    if text.is_empty() {
        return Some(0);
    }
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Escapes what would break a line: control characters, `%`, `:`, and everything beyond ASCII.
fn encode(text: &str) -> String {
    let mut written = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_control() || !byte.is_ascii() || matches!(byte, b'%' | b':') {
            let _ = write!(written, "%{byte:02X}");
        } else {
            written.push(char::from(byte));
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Release;

    const HAND_EDITED: &str = "# comment\nuser:root@pam:1:0:::a@b.c::\nuser:mon@pve:1:0::::::\nuser:bad user@pve:1:0:::::\nuser:x@pve:1:2025-12-31:::::\ngroup:ops:mon@pve,ghost@pve::\nrole:OldMon:VM.Monitor,VM.Audit:\nrole:Alien:Foo.Bar:\nacl:1:/:@ops:OldMon:\nacl:1:/:@nogroup:OldMon:\nacl:1:/:mon@pve:PVEPowerAdmin:\nacl:1:/bogus:mon@pve:PVEAuditor:\nacl:1:/:root@pam:PVEAuditor:\nminpwlen:12:\nfoo bar\n";

    /// Warnings and result are those of the real program for the same file.
    #[test]
    fn a_hand_edited_file_loses_what_is_not_understood() {
        let (mut cfg, warnings) = UserCfg::parse(HAND_EDITED, &Catalogue::of(Release::Pve9));
        insta::assert_snapshot!(warnings.join("\n"), @r"
        user config - ignore config line: # comment
        user config - ignore user 'bad user@pve' - invalid user name
        user config - ignore user 'x@pve' - (illegal characters in expire '2025-12-31')
        user config - ignore invalid group member 'ghost@pve'
        user config - ignore invalid privilege 'VM.Monitor'
        user config - ignore invalid privilege 'Foo.Bar'
        user config - ignore invalid acl group 'nogroup'
        user config - ignore invalid acl role 'PVEPowerAdmin'
        user config - ignore config line: minpwlen:12:
        user config - ignore config line: foo bar
        ");
        cfg.groups.insert("trigger".to_owned(), Group::default());
        insta::assert_snapshot!(cfg.written(), @r"
        user:mon@pve:1:0::::::
        user:root@pam:1:0:::a@b.c:::

        group:ops:ghost@pve,mon@pve::
        group:trigger:::


        role:Alien::
        role:OldMon:VM.Audit:

        acl:1:/:@nogroup,@ops:OldMon:
        acl:1:/bogus:mon@pve:PVEAuditor:
        ");
    }

    #[test]
    fn comments_are_escaped_as_recorded() {
        assert_eq!(encode("a:b %41 ünï, \"q\""), "a%3Ab %2541 %C3%BCn%C3%AF, \"q\"");
        assert_eq!(decode("a%3Ab %2541 %C3%BCn%C3%AF, \"q\""), "a:b %41 ünï, \"q\"");
    }

    #[test]
    fn release_8_keeps_the_monitor_privilege() {
        let (cfg, _) = UserCfg::parse(HAND_EDITED, &Catalogue::of(Release::Pve8));
        assert!(cfg.written().contains("role:OldMon:VM.Audit,VM.Monitor:"));
    }

    proptest::proptest! {
        #[test]
        fn what_was_written_reads_back_the_same(text in "((user|token|group|acl|role|pool):[a-z@!:,/ %0-1]{0,30}\n){0,8}") {
            let catalogue = Catalogue::of(Release::Pve9);
            let (first, _) = UserCfg::parse(&text, &catalogue);
            let (second, _) = UserCfg::parse(&first.written(), &catalogue);
            proptest::prop_assert_eq!(first.written(), second.written());
        }
    }
}
