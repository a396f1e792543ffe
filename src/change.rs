//! The closed set of things this tool can do to a node, as plain data.
//!
//! A control decides *that* something changes and emits [`Change`]s; the plan orders and seals them; only `apply`
//! executes them, and every kind of [`Action`] knows what it touches so that it can be undone.

pub mod access;
pub mod certificate;
pub mod token;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::secret::Secret;
use access::{AccessCall, AccessStep};
use certificate::CertStep;
use token::NewToken;

/// Order in which changes run. The way in that the operator will use afterwards is built and proved before the old
/// one is closed, so SSH comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Debian packages.
    Packages,
    /// Linux accounts, keys, sudo. Followed by the proof of the new administrator's login.
    Accounts,
    /// PVE users, roles, ACLs, tokens.
    PveAccess,
    /// PAM, limits, services, kernel, logs.
    Services,
    /// PVE firewall and the web interface.
    Firewall,
    /// sshd.
    Ssh,
    /// API tokens and their secrets, once everything else is confirmed.
    Tokens,
}

impl Stage {
    /// Every stage in order.
    pub const ALL: [Self; 7] =
        [Self::Packages, Self::Accounts, Self::PveAccess, Self::Services, Self::Firewall, Self::Ssh, Self::Tokens];

    /// The word used in journals and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Packages => "packages",
            Self::Accounts => "accounts",
            Self::PveAccess => "pve-access",
            Self::Services => "services",
            Self::Firewall => "firewall",
            Self::Ssh => "ssh",
            Self::Tokens => "tokens",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One reversible step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Ids of the controls that want it; more than one when they share a file.
    pub controls: Vec<String>,
    /// When it runs.
    pub stage: Stage,
    /// One line for people: what will be different.
    pub summary: String,
    /// Something a person will notice while it runs, e.g. "open consoles drop".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupts: Option<String>,
    /// What is done.
    pub action: Action,
}

/// What a change does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Action {
    /// Writes or removes one regular file, atomically.
    File(FileChange),
    /// Makes a directory with this mode and owner (or corrects them).
    Directory {
        /// Absolute path.
        path: String,
        /// Permission bits.
        mode: u32,
        /// Owning user.
        owner: String,
        /// Owning group.
        group: String,
    },
    /// `apt-get install` of exactly these, simulated first, refused when anything else would be removed or upgraded.
    Packages {
        /// Debian package names.
        install: Vec<String>,
    },
    /// `pam-auth-update --package`, changing /etc/pam.d/common-* and /var/lib/pam as one object.
    PamProfiles {
        /// Names of files in /usr/share/pam-configs to enable.
        enable: Vec<String>,
        /// Names to disable.
        disable: Vec<String>,
    },
    /// `groupadd`.
    Group {
        /// Group name.
        name: String,
        /// Use the system GID range.
        system: bool,
    },
    /// `useradd -m`.
    User {
        /// Login name.
        name: String,
        /// GECOS full name.
        full_name: String,
        /// Login shell.
        shell: String,
        /// Home directory.
        home: String,
        /// Supplementary groups.
        groups: Vec<String>,
    },
    /// `gpasswd -a` / `gpasswd -d`.
    UserGroups {
        /// Login name.
        name: String,
        /// Groups to join.
        join: Vec<String>,
        /// Groups to leave.
        leave: Vec<String>,
    },
    /// `chpasswd -e`, the hash on standard input.
    UserPassword {
        /// Login name.
        name: String,
        /// crypt(5) hash.
        hash: Secret,
    },
    /// `usermod -L -e 1` or `usermod -U -e ''`.
    UserLock {
        /// Login name.
        name: String,
        /// Lock (true) or unlock.
        locked: bool,
    },
    /// `usermod -s`.
    UserShell {
        /// Login name.
        name: String,
        /// Login shell.
        shell: String,
    },
    /// `chage`; days, -1 means never.
    UserAging {
        /// Login name.
        name: String,
        /// Minimum days between changes.
        min_days: i64,
        /// Maximum days.
        max_days: i64,
        /// Warning days.
        warn_days: i64,
        /// Days after expiry until the account is disabled.
        inactive_days: i64,
    },
    /// Running kernel settings (/proc/sys); what lasts over a reboot is a file's matter.
    Sysctl {
        /// sysctl(8) name → value.
        set: BTreeMap<String, String>,
    },
    /// Calls of `pveum` on users, groups, roles, pools, tokens, ACLs and realms, one after the other.
    PveAccess {
        /// The calls, each with what takes it back.
        steps: Vec<AccessStep>,
    },
    /// A step towards port 8006's certificate.
    Certificate {
        /// What is done.
        step: CertStep,
    },
    /// Makes an API token once the run is confirmed; no step of the run.
    Token {
        /// The token.
        token: NewToken,
    },
    /// One systemctl verb on one unit, after the files of the same stage are in place.
    Unit {
        /// Unit name with suffix.
        unit: String,
        /// What to do with it.
        verb: UnitVerb,
    },
}

/// What [`Action::Unit`] may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnitVerb {
    /// `systemctl reload`.
    Reload,
    /// `systemctl try-restart`.
    TryRestart,
    /// `systemctl enable --now`.
    EnableNow,
    /// `systemctl disable --now`.
    DisableNow,
}

/// One file's new content and how it is judged before it is live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Absolute path on the node.
    pub path: String,
    /// The state read from the node; the diff and the digest come from here.
    pub before: Option<FileImage>,
    /// The wanted state; `None` removes the file.
    pub after: Option<FileImage>,
    /// Check to pass before the file becomes live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate: Option<Validate>,
}

/// Content and metadata of a regular file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileImage {
    /// Content; configuration files are text, invalid UTF-8 is refused before a plan is made.
    pub content: String,
    /// Permission bits.
    pub mode: u32,
    /// Owning user.
    pub owner: String,
    /// Owning group.
    pub group: String,
}

impl FileImage {
    /// A root:root file.
    pub fn root(content: impl Into<String>, mode: u32) -> Self {
        Self { content: content.into(), mode, owner: "root".into(), group: "root".into() }
    }
}

/// Checks that run on the node on the *candidate* file, before it replaces the live one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Validate {
    /// `visudo -cf`.
    Sudoers,
    /// `sshd -t` and `sshd -T -C` per case on a candidate configuration that includes the new file.
    Sshd {
        /// Settings that must be effective per case.
        expect: Vec<SshdExpectation>,
    },
}

/// What `sshd -T -C CASE` must print, lower-case keyword → value as sshd prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshdExpectation {
    /// `sshd -C` connection specification, e.g. `user=root,host=pve2,addr=10.0.0.2`.
    pub case: String,
    /// Keyword → value.
    pub settings: BTreeMap<String, String>,
}

/// How far a change reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// One node.
    Node,
    /// Every node that shares /etc/pve: planned and applied once in a cluster, bound by its quorum.
    Cluster,
}

impl Change {
    /// Follows from the action; no control can say otherwise.
    pub fn scope(&self) -> Scope {
        self.action.scope()
    }
}

impl Action {
    /// Whether this reaches the whole cluster: pmxcfs shares all of /etc/pve, and there `nodes/NAME` (`local` is a
    /// link to the own one) is about one node alone (pmxcfs(8)).
    pub fn scope(&self) -> Scope {
        match self {
            Self::File(FileChange { path, .. }) | Self::Directory { path, .. } => scope_of(path),
            Self::PveAccess { .. } | Self::Token { .. } => Scope::Cluster,
            Self::Certificate { step } => {
                if step.is_shared() {
                    Scope::Cluster
                } else {
                    Scope::Node
                }
            }
            Self::Packages { .. }
            | Self::PamProfiles { .. }
            | Self::Group { .. }
            | Self::User { .. }
            | Self::UserGroups { .. }
            | Self::UserPassword { .. }
            | Self::UserLock { .. }
            | Self::UserShell { .. }
            | Self::UserAging { .. }
            | Self::Sysctl { .. }
            | Self::Unit { .. } => Scope::Node,
        }
    }

    /// The token it makes.
    pub const fn token(&self) -> Option<&NewToken> {
        if let Self::Token { token } = self { Some(token) } else { None }
    }

    /// Paths whose content this action changes; the plan binds their digests. Account and PAM databases are listed
    /// by their main files.
    pub fn touches(&self) -> Vec<&str> {
        match self {
            Self::File(f) => vec![&f.path],
            Self::Directory { path, .. } => vec![path],
            Self::Packages { .. } => vec!["/var/lib/dpkg/status"],
            Self::PamProfiles { .. } => vec![
                "/etc/pam.d/common-auth",
                "/etc/pam.d/common-account",
                "/etc/pam.d/common-password",
                "/etc/pam.d/common-session",
                "/etc/pam.d/common-session-noninteractive",
            ],
            Self::Group { .. }
            | Self::User { .. }
            | Self::UserGroups { .. }
            | Self::UserPassword { .. }
            | Self::UserLock { .. }
            | Self::UserShell { .. }
            | Self::UserAging { .. } => vec!["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"],
            Self::PveAccess { steps } => access_files(steps),
            Self::Certificate { step } => step.path().into_iter().collect(),
            Self::Sysctl { .. } | Self::Token { .. } | Self::Unit { .. } => vec![],
        }
    }
}

/// Realms have a file of their own.
fn access_files(steps: &[AccessStep]) -> Vec<&'static str> {
    let realms = |step: &AccessStep| matches!(step.call, AccessCall::RealmModify { .. });
    let some = [
        (steps.iter().any(|step| !realms(step)), "/etc/pve/user.cfg"),
        (steps.iter().any(realms), "/etc/pve/domains.cfg"),
    ];
    some.into_iter().filter(|(touched, _)| *touched).map(|(_, path)| path).collect()
}

fn scope_of(path: &str) -> Scope {
    match path.strip_prefix("/etc/pve/") {
        Some(shared) if !shared.starts_with("nodes/") && !shared.starts_with("local/") => Scope::Cluster,
        _ => Scope::Node,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_nodes_share_is_of_the_cluster() {
        for (path, scope) in [
            ("/etc/pve/firewall/cluster.fw", Scope::Cluster),
            ("/etc/pve/user.cfg", Scope::Cluster),
            ("/etc/pve/priv/authorized_keys", Scope::Cluster),
            ("/etc/pve/nodes/pve1/host.fw", Scope::Node),
            ("/etc/pve/local/host.fw", Scope::Node),
            ("/etc/pvelib", Scope::Node),
            ("/etc/default/pveproxy", Scope::Node),
        ] {
            let file = FileChange { path: path.into(), before: None, after: None, validate: None };
            assert_eq!(Action::File(file).scope(), scope, "{path}");
        }
    }
}
