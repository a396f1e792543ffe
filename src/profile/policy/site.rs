//! Who and where: nodes, management networks, people.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Sink, Waiver};
use crate::secret::Secret;

/// The site: who and where.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Site {
    /// Path of the file, when there is one.
    pub path: Option<PathBuf>,
    /// Default profiles.
    pub profiles: Vec<String>,
    /// Networks from which nodes are administered.
    pub management: Vec<IpNet>,
    /// Nodes.
    pub hosts: Vec<Host>,
    /// Administrators.
    pub admins: Vec<Admin>,
    /// Administrators that left: planned as lock, key and group removal.
    pub removed_admins: Vec<String>,
    /// Mail address that root@pam shall have.
    pub contact: Option<String>,
    /// Whom to reach, and how, when a node is in trouble; shown in reports.
    pub emergency_contact: Option<String>,
    /// Accepted deviations.
    pub waivers: Vec<Waiver>,
    /// Where generated secrets go.
    pub sinks: Vec<Sink>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Host {
    /// Name in the site, or the address when it was given on the command line.
    pub name: String,
    /// Address or name to connect to, or an alias of the ssh config.
    pub address: String,
    /// Login name, when fixed.
    pub user: Option<String>,
    /// Port; `None` leaves it to `ssh_config`.
    pub port: Option<u16>,
    /// Private key file.
    pub identity: Option<PathBuf>,
    /// `ProxyJump`.
    pub jump: Option<String>,
    /// Pinned host key fingerprint, `SHA256:…`.
    pub host_key: Option<String>,
    /// Groups for `--limit`.
    pub groups: Vec<String>,
}

/// A person who administers the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Linux login name.
    pub name: String,
    /// GECOS full name.
    pub full_name: String,
    /// Further Linux groups that exist on the node, e.g. `adm`; the sudo group comes from the profile.
    pub groups: Vec<String>,
    /// OpenSSH public key lines, key files already read.
    pub keys: Vec<String>,
    /// How this person becomes root.
    pub sudo: Sudo,
    /// Where the password comes from; `None` leaves the account without one.
    pub password: Option<AdminPassword>,
}

/// How an administrator becomes root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sudo {
    /// `NOPASSWD: ALL`.
    Nopasswd,
    /// Own password, then ALL.
    Password,
}

/// Source of an administrator's password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminPassword {
    /// A crypt(5) hash in the site file or the environment.
    Hash(Secret),
    /// Asked for when the account is made.
    Prompt,
    /// Generated when the account is made, and written to this file (0600).
    Generate(PathBuf),
}

/// A management address to stand for "an admin's machine" in questions to sshd: the operator's own, else the first
/// host address of the first management network.
pub fn admin_probe_address(site: &Site, operator: Option<IpAddr>) -> Option<IpAddr> {
    operator.or_else(|| site.management.first().and_then(|net| net.hosts().next()))
}
