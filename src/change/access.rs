//! Calls of `pveum`, PVE's own program for users, roles and rights: the closed set that this tool makes.
//!
//! PVE holds the lock on user.cfg, checks every value and tells its cluster; writing the file ourselves would do
//! neither. Each call is a process of 0.4 s, so that one call does as much as PVE lets it do.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

const ROOT: &str = "root@pam";

/// A call, and the calls that take it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessStep {
    /// What is done.
    pub call: AccessCall,
    /// What undoes it, in this order, computed from the state before.
    pub undo: Vec<AccessCall>,
    /// What cannot be brought back, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "kebab-case")]
pub enum AccessCall {
    /// `role add`.
    RoleAdd {
        /// Role.
        role: String,
        /// Privileges.
        privileges: BTreeSet<String>,
    },
    /// `role modify`: the privileges become these.
    RoleModify {
        /// Role.
        role: String,
        /// Privileges.
        privileges: BTreeSet<String>,
    },
    /// `role delete`. PVE leaves its ACL entries, which the next write drops.
    RoleDelete {
        /// Role.
        role: String,
    },
    /// `group add`.
    GroupAdd {
        /// Group.
        group: String,
        /// Comment.
        comment: String,
    },
    /// `group modify`.
    GroupModify {
        /// Group.
        group: String,
        /// Comment.
        comment: String,
    },
    /// `group delete`; its ACL entries go with it.
    GroupDelete {
        /// Group.
        group: String,
    },
    /// `pool add`.
    PoolAdd {
        /// Pool.
        pool: String,
        /// Comment.
        comment: String,
    },
    /// `pool modify --comment`.
    PoolModify {
        /// Pool.
        pool: String,
        /// Comment.
        comment: String,
    },
    /// `pool modify --vms --storage`.
    PoolJoin {
        /// Pool.
        pool: String,
        /// Guests.
        guests: BTreeSet<u64>,
        /// Storages.
        storages: BTreeSet<String>,
    },
    /// The same with `--delete`.
    PoolLeave {
        /// Pool.
        pool: String,
        /// Guests.
        guests: BTreeSet<u64>,
        /// Storages.
        storages: BTreeSet<String>,
    },
    /// `pool delete`; PVE refuses a pool with members, and its ACL entries go with it.
    PoolDelete {
        /// Pool.
        pool: String,
    },
    /// `user add`.
    UserAdd {
        /// User.
        user: String,
        /// Its settings.
        #[serde(flatten)]
        settings: UserSettings,
    },
    /// `user modify`.
    UserModify {
        /// User.
        user: String,
        /// What becomes different.
        #[serde(flatten)]
        settings: UserSettings,
    },
    /// `user delete`; its groups, ACL entries, tokens, password and second factors go with it.
    UserDelete {
        /// User.
        user: String,
    },
    /// `user token modify`.
    TokenModify {
        /// `user@realm!token`.
        token: String,
        /// Seconds since 1970, 0 for never.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires: Option<u64>,
        /// Rights of its own only.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        separated: Option<bool>,
        /// Comment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<String>,
    },
    /// `user token delete`; its ACL entries are dropped by the next write.
    TokenDelete {
        /// `user@realm!token`.
        token: String,
    },
    /// `acl modify`.
    AclSet {
        /// Where, whom, what.
        #[serde(flatten)]
        grants: Grants,
        /// Also below the path.
        propagate: bool,
    },
    /// `acl delete`.
    AclDelete {
        /// Where, whom, what.
        #[serde(flatten)]
        grants: Grants,
    },
    /// `realm modify`.
    RealmModify {
        /// Realm.
        realm: String,
        /// Comment; empty takes it away.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<String>,
        /// The realm that the login page offers first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        default: Option<bool>,
        /// Other settings by PVE's name; empty takes one away. Never a secret.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        settings: BTreeMap<String, String>,
    },
    /// `user modify root@pam --enable`, nothing else of root@pam.
    RootLogin {
        /// May log in to the web interface and the API.
        enabled: bool,
    },
}

/// What `user add` and `user modify` set; what is not given stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserSettings {
    /// May log in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Seconds since 1970, 0 for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// First name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// Last name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    /// Mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Comment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Exactly these groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<BTreeSet<String>>,
    /// These groups are added, the others stay.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub append: bool,
}

impl UserSettings {
    /// Nothing would become different.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Every one of these subjects, every one of these roles, one path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Grants {
    /// ACL path.
    pub path: String,
    /// Roles.
    pub roles: BTreeSet<String>,
    /// `user@realm`, `@group`, `user@realm!token`.
    pub subjects: BTreeSet<String>,
}

/// What a lock found of a user: kept with its run, so that it can be given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locked {
    /// `user@realm`.
    pub user: String,
    /// Was enabled.
    pub enabled: bool,
    /// Groups.
    pub groups: BTreeSet<String>,
    /// Own ACL entries.
    pub rights: Vec<Right>,
    /// Tokens, which are gone for good.
    pub tokens: Vec<String>,
    /// The Linux account that was locked with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linux: Option<String>,
}

/// ACL entries of one path with one propagation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Right {
    /// Where, whom, what.
    #[serde(flatten)]
    pub grants: Grants,
    /// Also below the path.
    pub propagate: bool,
}

impl AccessCall {
    /// Order in which calls find what they need: what others refer to comes first and goes last.
    pub const fn rank(&self) -> u8 {
        match self {
            Self::RealmModify { .. } => 0,
            Self::RoleAdd { .. } | Self::RoleModify { .. } => 1,
            Self::GroupAdd { .. } | Self::GroupModify { .. } => 2,
            Self::PoolAdd { .. } | Self::PoolModify { .. } | Self::PoolJoin { .. } => 3,
            Self::UserAdd { .. } | Self::UserModify { .. } => 4,
            Self::TokenModify { .. } => 5,
            Self::AclSet { .. } => 6,
            Self::AclDelete { .. } => 7,
            Self::TokenDelete { .. } => 8,
            Self::UserDelete { .. } => 9,
            Self::GroupDelete { .. } => 10,
            Self::PoolLeave { .. } | Self::PoolDelete { .. } => 11,
            Self::RoleDelete { .. } => 12,
            Self::RootLogin { .. } => 13,
        }
    }

    /// Whether it takes something away.
    pub const fn removes(&self) -> bool {
        self.rank() >= 7
    }

    /// The words after `pveum`. Values stand behind `=`, so that none can pass for an option.
    pub fn words(&self) -> Vec<String> {
        let mut words = Words::default();
        match self {
            Self::RoleAdd { role, privileges } => words.verb("role add", &[role]).list("privs", privileges),
            Self::RoleModify { role, privileges } => words.verb("role modify", &[role]).list("privs", privileges),
            Self::RoleDelete { role } => words.verb("role delete", &[role]),
            Self::GroupAdd { group, comment } => words.verb("group add", &[group]).text("comment", comment),
            Self::GroupModify { group, comment } => words.verb("group modify", &[group]).value("comment", comment),
            Self::GroupDelete { group } => words.verb("group delete", &[group]),
            Self::PoolAdd { pool, comment } => words.verb("pool add", &[pool]).text("comment", comment),
            Self::PoolModify { pool, comment } => words.verb("pool modify", &[pool]).value("comment", comment),
            Self::PoolJoin { pool, guests, storages } => members(&mut words, pool, guests, storages),
            Self::PoolLeave { pool, guests, storages } => {
                members(&mut words, pool, guests, storages).value("delete", "1")
            }
            Self::PoolDelete { pool } => words.verb("pool delete", &[pool]),
            Self::UserAdd { user, settings } => words.verb("user add", &[user]).settings(settings),
            Self::UserModify { user, settings } => words.verb("user modify", &[user]).settings(settings),
            Self::UserDelete { user } => words.verb("user delete", &[user]),
            Self::TokenModify { token, expires, separated, comment } => {
                let words = words.token("user token modify", token);
                let words = words.optional("expire", expires.map(|at| at.to_string()).as_deref());
                words.optional("privsep", separated.map(digit)).optional("comment", comment.as_deref())
            }
            Self::TokenDelete { token } => words.token("user token delete", token),
            Self::AclSet { grants, propagate } => {
                words.verb("acl modify", &[&grants.path]).grants(grants).value("propagate", digit(*propagate))
            }
            Self::AclDelete { grants } => words.verb("acl delete", &[&grants.path]).grants(grants),
            Self::RealmModify { realm, comment, default, settings } => {
                let emptied = comment.as_ref().filter(|text| text.is_empty()).map(|_| "comment");
                let gone = settings.iter().filter(|(_, value)| value.is_empty()).map(|(name, _)| name.as_str());
                let gone: BTreeSet<String> = emptied.into_iter().chain(gone).map(str::to_owned).collect();
                let words = words.verb("realm modify", &[realm]);
                let mut words = words.optional("comment", comment.as_deref().filter(|text| !text.is_empty()));
                words = words.optional("default", default.map(digit));
                for (name, value) in settings {
                    words = words.text(name, value);
                }
                words.some("delete", &gone)
            }
            Self::RootLogin { enabled } => {
                words.verb("user modify", &[&ROOT.to_owned()]).value("enable", digit(*enabled))
            }
        };
        words.0
    }

    /// Names that stand as words of their own, where a leading dash would be an option.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::RoleAdd { role, .. } | Self::RoleModify { role, .. } | Self::RoleDelete { role } => vec![role],
            Self::GroupAdd { group, .. } | Self::GroupModify { group, .. } | Self::GroupDelete { group } => vec![group],
            Self::PoolAdd { pool, .. }
            | Self::PoolModify { pool, .. }
            | Self::PoolJoin { pool, .. }
            | Self::PoolLeave { pool, .. }
            | Self::PoolDelete { pool } => vec![pool],
            Self::UserAdd { user, .. } | Self::UserModify { user, .. } | Self::UserDelete { user } => vec![user],
            Self::TokenModify { token, .. } | Self::TokenDelete { token } => token.rsplit('!').collect(),
            Self::AclSet { grants, .. } | Self::AclDelete { grants } => vec![&grants.path],
            Self::RealmModify { realm, .. } => vec![realm],
            Self::RootLogin { .. } => Vec::new(),
        }
    }
}

fn members<'a>(
    words: &'a mut Words,
    pool: &String,
    guests: &BTreeSet<u64>,
    storages: &BTreeSet<String>,
) -> &'a mut Words {
    let guests: BTreeSet<String> = guests.iter().map(ToString::to_string).collect();
    words.verb("pool modify", &[pool]).some("vms", &guests).some("storage", storages)
}

const fn digit(flag: bool) -> &'static str {
    if flag { "1" } else { "0" }
}

#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    fn verb(&mut self, verb: &str, names: &[&String]) -> &mut Self {
        self.0.extend(verb.split(' ').map(str::to_owned).chain(names.iter().map(ToString::to_string)));
        self
    }

    fn token(&mut self, verb: &str, token: &str) -> &mut Self {
        let (user, name) = token.rsplit_once('!').unwrap_or((token, ""));
        self.verb(verb, &[&user.to_owned(), &name.to_owned()])
    }

    fn value(&mut self, option: &str, value: &str) -> &mut Self {
        self.0.push(format!("--{option}={value}"));
        self
    }

    /// Nothing when there is no value.
    fn optional(&mut self, option: &str, value: Option<&str>) -> &mut Self {
        if let Some(value) = value {
            self.value(option, value);
        }
        self
    }

    /// Nothing when it is empty.
    fn text(&mut self, option: &str, value: &str) -> &mut Self {
        self.optional(option, Some(value).filter(|value| !value.is_empty()))
    }

    fn list(&mut self, option: &str, items: &BTreeSet<String>) -> &mut Self {
        self.value(option, &items.iter().map(String::as_str).collect::<Vec<_>>().join(","))
    }

    fn some(&mut self, option: &str, items: &BTreeSet<String>) -> &mut Self {
        if items.is_empty() { self } else { self.list(option, items) }
    }

    fn settings(&mut self, settings: &UserSettings) -> &mut Self {
        let UserSettings { enabled, expires, first_name, last_name, email, comment, groups, append } = settings;
        self.optional("enable", enabled.map(digit));
        self.optional("expire", expires.map(|at| at.to_string()).as_deref());
        self.optional("firstname", first_name.as_deref());
        self.optional("lastname", last_name.as_deref());
        self.optional("email", email.as_deref());
        self.optional("comment", comment.as_deref());
        if let Some(groups) = groups {
            self.list("groups", groups);
            self.optional("append", append.then_some("1"));
        }
        self
    }

    fn grants(&mut self, grants: &Grants) -> &mut Self {
        let of = |fits: fn(&str) -> bool| -> BTreeSet<String> {
            grants
                .subjects
                .iter()
                .filter(|subject| fits(subject))
                .map(|name| name.trim_start_matches('@').into())
                .collect()
        };
        self.list("roles", &grants.roles);
        self.some("users", &of(|name| !name.starts_with('@') && !is_token(name)));
        self.some("groups", &of(|name| name.starts_with('@')));
        self.some("tokens", &of(|name| !name.starts_with('@') && is_token(name)))
    }
}

/// A user's name may hold a `!`, too: the one of a token stands behind the realm.
fn is_token(subject: &str) -> bool {
    subject.rsplit_once('@').is_some_and(|(_, realm)| realm.contains('!'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn one_call_serves_subjects_of_every_kind() {
        let grants = Grants {
            path: "/vms".into(),
            roles: set(&["B", "A"]),
            subjects: set(&["a!b@pve", "@ops", "svc@pve!ci", "@web", "z@pam"]),
        };
        assert_eq!(
            AccessCall::AclSet { grants: grants.clone(), propagate: false }.words(),
            [
                "acl",
                "modify",
                "/vms",
                "--roles=A,B",
                "--users=a!b@pve,z@pam",
                "--groups=ops,web",
                "--tokens=svc@pve!ci",
                "--propagate=0"
            ]
        );
        assert_eq!(AccessCall::AclDelete { grants }.words()[..4], ["acl", "delete", "/vms", "--roles=A,B"]);
    }

    #[test]
    fn a_value_cannot_pass_for_an_option() {
        let settings = UserSettings {
            comment: Some("--enable=0 'x'\n".into()),
            groups: Some(set(&[])),
            enabled: Some(false),
            ..UserSettings::default()
        };
        assert_eq!(
            AccessCall::UserModify { user: "a@pve".into(), settings }.words(),
            ["user", "modify", "a@pve", "--enable=0", "--comment=--enable=0 'x'\n", "--groups="]
        );
    }

    #[test]
    fn a_comment_is_taken_away() {
        let call = AccessCall::RealmModify {
            realm: "pve".into(),
            comment: Some(String::new()),
            default: None,
            settings: BTreeMap::new(),
        };
        assert_eq!(call.words(), ["realm", "modify", "pve", "--delete=comment"]);
        let token = "svc@pve!ci".to_owned();
        let call = AccessCall::TokenModify { token, expires: Some(0), separated: Some(true), comment: None };
        assert_eq!(call.words(), ["user", "token", "modify", "svc@pve", "ci", "--expire=0", "--privsep=1"]);
    }
}
