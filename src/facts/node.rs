//! What a node is, runs and holds.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// The login that read the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Login name.
    pub user: String,
    /// Whether `sudo` was needed to become root.
    pub through_sudo: bool,
    /// The operator's address as the node sees it (`SSH_CONNECTION`); absent in a local capture.
    pub operator: Option<IpAddr>,
    /// The node's own address of this connection.
    pub server: Option<IpAddr>,
    /// The port sshd answered on.
    pub server_port: Option<u16>,
}

/// `pveversion`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PveRelease {
    /// 8, 9, …
    pub major: u32,
    /// Minor release.
    pub minor: u32,
    /// As the node says it, e.g. "9.2.11".
    pub text: String,
    /// Debian's `VERSION_ID`, e.g. 13.
    pub debian: u32,
}

/// Cluster membership from corosync.conf and /etc/pve/.members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// `totem.cluster_name`.
    pub name: String,
    /// Whether this node has quorum.
    pub quorate: bool,
    /// The other members.
    pub peers: Vec<Peer>,
    /// datacenter.cfg `migration: network=…`.
    pub migration_network: Option<IpNet>,
}

/// Another member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Node name.
    pub name: String,
    /// Every address: `ring0_addr…ring7_addr`, `.members` ip, and resolved names.
    pub addresses: BTreeSet<IpAddr>,
    /// `.members` online flag.
    pub online: bool,
}

/// An installed package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Version.
    pub version: String,
    /// dpkg's three-letter state says "installed".
    pub installed: bool,
}

/// A systemd unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// loaded, not-found, masked.
    pub load: String,
    /// active, inactive, failed.
    pub active: String,
    /// enabled, disabled, static, masked, …
    pub file_state: String,
}

/// A listening socket (`ss -tulpnH`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// tcp or udp.
    pub protocol: String,
    /// Bound address; unspecified addresses mean all.
    pub address: IpAddr,
    /// Bound interface, for link-local and `SO_BINDTODEVICE` sockets.
    pub interface: Option<String>,
    /// Port.
    pub port: u16,
    /// Process name, if told.
    pub process: Option<String>,
}

/// Metadata of a path, and its content where it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFact {
    /// Kind of file.
    pub kind: FileKind,
    /// Permission bits.
    pub mode: u32,
    /// Owning user.
    pub owner: String,
    /// Owning group.
    pub group: String,
    /// Lower-case hex SHA-256 of the content; none for directories and links.
    pub digest: Option<String>,
    /// Content; none when it was not asked for, is not UTF-8, or was cut out as secret on the node.
    pub content: Option<String>,
    /// Seconds since 1970.
    pub modified: Option<i64>,
}

/// Kind of file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link and where it points.
    Symlink(String),
    /// A device, socket or pipe.
    Other,
}

/// A successful login of root over SSH, counted per source and method.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootLogin {
    /// Source address.
    pub from: IpAddr,
    /// publickey, password, keyboard-interactive/pam.
    pub method: String,
    /// Key fingerprint, for public keys.
    pub key: Option<String>,
    /// How often.
    pub count: u32,
    /// Last time, seconds since 1970.
    pub last: i64,
}

/// A run recorded under /var/lib/pve-harden/runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFact {
    /// Run id.
    pub id: String,
    /// new, open, undoing, undone, committed, refused or rolled-back.
    pub outcome: String,
    /// meta.json as written by the run.
    pub meta: serde_json::Value,
    /// state.json as written at commit: managed object → digest.
    pub state: Option<serde_json::Value>,
    /// When state.json was written, seconds since 1970: what the run itself did is over.
    #[serde(default)]
    pub closed: Option<i64>,
}

/// A login over SSH.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// Account.
    pub user: String,
    /// Source address.
    pub from: IpAddr,
    /// When, seconds since 1970.
    pub at: i64,
}

/// A line of dpkg's log, with what apt remembers of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageEvent {
    /// Seconds since 1970.
    pub at: i64,
    /// `install`, `upgrade`, `remove` or `purge`.
    pub verb: String,
    /// Package without its architecture.
    pub package: String,
    /// Version before.
    pub from: String,
    /// Version after.
    pub to: String,
    /// The command line that apt wrote down for this time.
    #[serde(default)]
    pub command: Option<String>,
    /// Who was behind it, when that was not root (`Requested-By`).
    #[serde(default)]
    pub by: Option<String>,
}
