//! The typed reading of a node. Pure: a [`Capture`](crate::transport::capture::Capture) goes in, [`Facts`] come out,
//! nothing is judged here.

mod access;
mod accounts;
mod apt;
mod cluster;
mod files;
pub mod fixture;
pub mod gather;
mod history;
pub mod network;
pub mod os;
mod pam;
mod reading;
mod sections;
pub mod sshd;
pub mod standing;
mod system;
#[cfg(test)]
mod tests;

pub use access::{AccessFacts, Factors};
pub use apt::{Simulation, Versioned};
#[cfg(test)]
pub(crate) use pam::parse as pam_services;
pub use reading::Reading;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::pve::ha::HaStatus;
use crate::pve::tasks::Task;
use crate::transport::capture::Capture;

/// Reads a capture. Never fails: what is missing, unreadable or nonsense is said by each [`Reading`].
pub fn parse(capture: &Capture) -> Facts {
    let sections = sections::Sections(capture);
    let mut notes = Vec::new();
    let mut files = files::parse(capture, &mut notes);
    let runs = history::runs(&mut files);
    let listed = files::listed(sections, &files);
    let packages = system::packages(sections);
    let pve = system::release(&packages, &files);
    let addresses = system::addresses(sections);
    let node_name = system::node_name(sections);
    let pmxcfs_mounted = system::pmxcfs_mounted(sections);
    let cluster = cluster::Sources {
        sections,
        files: &files,
        is_pve: !matches!(pve, Reading::Absent),
        mounted: pmxcfs_mounted == Reading::Known(true),
        node_name: node_name.known().map(String::as_str),
        own: addresses.known().map_or(&[], Vec::as_slice),
    }
    .cluster();
    let names = node_name
        .known()
        .into_iter()
        .chain(cluster.known().into_iter().flat_map(|it| it.peers.iter().map(|peer| &peer.name)));
    files::absent_host_fw(sections, &mut files, names);
    let network =
        network::Sources { sections, files: &files, node_name: node_name.known().map(String::as_str) }.network();
    Facts {
        access: access::parse(sections, &files, &pve, &pmxcfs_mounted),
        session: system::session(sections),
        taken: system::taken(sections),
        pve,
        node_name,
        cluster,
        addresses,
        pmxcfs_mounted,
        accounts: accounts::parse(sections, &files),
        sudo: accounts::sudo(sections),
        sshd: sshd::parse(sections, &files, &mut notes),
        pam: pam::parse(&files),
        packages,
        simulation: apt::simulation(sections),
        network,
        os: os::parse(sections),
        units: system::units(sections),
        listeners: system::listeners(sections),
        listed,
        files,
        tasks: standing::tasks(sections),
        root_logins: history::root_logins(sections, &mut notes),
        logins: history::logins(sections),
        package_events: history::package_events(sections),
        runs,
        notes,
    }
}

/// A file's content. Directories, links, secrets and what is no text are unreadable as text.
fn text_of(files: &BTreeMap<String, Reading<FileFact>>, path: &str) -> Reading<String> {
    match files.get(path) {
        None | Some(Reading::NotAsked) => Reading::NotAsked,
        Some(Reading::Known(fact)) => match (&fact.kind, &fact.content) {
            (_, Some(content)) => Reading::Known(content.clone()),
            (FileKind::Symlink(target), None) => {
                let target = target_of(path, target);
                match files.get(&target) {
                    Some(Reading::Known(FileFact { content: Some(content), .. })) => Reading::Known(content.clone()),
                    _ => Reading::Unreadable(format!("{path}: the target of this link was not read")),
                }
            }
            (FileKind::Regular, None) => Reading::Unreadable(format!("{path}: too large, secret, or no text")),
            _ => Reading::Unreadable(format!("{path}: not a regular file")),
        },
        Some(Reading::Absent) => Reading::Absent,
        Some(Reading::Unreadable(why)) => Reading::Unreadable(why.clone()),
    }
}

/// Where a link leads, by words alone.
fn target_of(path: &str, target: &str) -> String {
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let joined = if target.starts_with('/') { target.to_owned() } else { format!("{parent}/{target}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Everything the controls may know of a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// How the tool is logged in.
    pub session: Reading<Session>,
    /// When the node was read, by the node's own clock.
    pub taken: Reading<Timestamp>,
    /// PVE's release; absent on a host that is not PVE.
    pub pve: Reading<PveRelease>,
    /// `hostname` in short form, which is the node's name in the cluster.
    pub node_name: Reading<String>,
    /// Absent on a standalone node.
    pub cluster: Reading<Cluster>,
    /// All addresses of the node's interfaces with their prefix length.
    pub addresses: Reading<Vec<IpNet>>,
    /// Whether /etc/pve is the mounted cluster file system.
    pub pmxcfs_mounted: Reading<bool>,
    /// PVE's users and rights.
    #[serde(default)]
    pub access: AccessFacts,
    /// /etc/passwd, /etc/group and what may be told of /etc/shadow.
    pub accounts: Accounts,
    /// `sudo -l -U NAME` per account that is asked for; absent without sudo.
    pub sudo: BTreeMap<String, Reading<SudoRights>>,
    /// sshd's effective settings and their files.
    pub sshd: Sshd,
    /// PAM services, file name → lines of the stack with includes resolved, in order.
    pub pam: BTreeMap<String, Reading<PamStack>>,
    /// Installed Debian packages.
    pub packages: Reading<BTreeMap<String, Package>>,
    /// What apt would do to install the packages that are missing.
    #[serde(default)]
    pub simulation: Reading<Simulation>,
    /// The operating system beneath PVE.
    #[serde(default)]
    pub os: os::Os,
    /// systemd units that were asked for.
    pub units: Reading<BTreeMap<String, Unit>>,
    /// Listening sockets.
    pub listeners: Reading<Vec<Listener>>,
    /// Connections, the live firewall, port 8006, guests' network cards.
    #[serde(default)]
    pub network: network::Network,
    /// Files and directories by path, with content unless it is secret or too large.
    pub files: BTreeMap<String, Reading<FileFact>>,
    /// Directories of which every entry is among `files`, hidden ones excepted; with `/*.EXTENSION` behind, of which every
    /// such entry is.
    pub listed: BTreeSet<String>,
    /// Worker tasks that run on this node.
    #[serde(default)]
    pub tasks: Reading<Vec<Task>>,
    /// Successful root logins over SSH of the last 30 days.
    pub root_logins: Reading<Vec<RootLogin>>,
    /// The last login over SSH of each other person from each address, of the last 30 days.
    #[serde(default)]
    pub logins: Reading<Vec<Login>>,
    /// What dpkg installed, upgraded and removed, oldest first; the last few hundred entries.
    #[serde(default)]
    pub package_events: Reading<Vec<PackageEvent>>,
    /// Runs this tool left on the node, newest last.
    pub runs: Reading<Vec<RunFact>>,
    /// Processes that forward or otherwise use root SSH and other named observations, for notes in the plan.
    pub notes: Vec<String>,
}

impl Facts {
    /// The reading of a path; absent when its directory was listed and does not hold it, [`Reading::NotAsked`] when
    /// the capture tells nothing of it.
    pub fn file(&self, path: &str) -> &Reading<FileFact> {
        const NOT_ASKED: &Reading<FileFact> = &Reading::NotAsked;
        const ABSENT: &Reading<FileFact> = &Reading::Absent;
        self.files.get(path).unwrap_or_else(|| match path.rsplit_once('/') {
            // A shell's `*` leaves hidden files out.
            Some((directory, name)) if !name.starts_with('.') => {
                let by_extension = |(_, extension)| self.listed.contains(&format!("{directory}/*.{extension}"));
                let all = self.listed.contains(directory);
                if all || name.rsplit_once('.').is_some_and(by_extension) { ABSENT } else { NOT_ASKED }
            }
            _ => NOT_ASKED,
        })
    }

    /// A file's content, a link followed one step; unreadable when there is a file but no text to judge.
    pub fn text(&self, path: &str) -> Reading<String> {
        text_of(&self.files, path)
    }

    /// What the cluster's high availability is about; absent where it was never used.
    pub fn ha(&self) -> Reading<HaStatus> {
        self.text("/etc/pve/ha/manager_status").and_then(|text| crate::pve::ha::status(&text))
    }

    /// Networks from which peers may come with addresses that no file of this node tells: datacenter.cfg's migration and
    /// replication networks.
    pub fn peer_networks(&self) -> BTreeSet<IpNet> {
        let Some(cluster) = self.cluster.known() else { return BTreeSet::new() };
        let datacenter = self.text("/etc/pve/datacenter.cfg");
        let settings = datacenter.known().map(|text| crate::pve::datacenter::parse(text)).unwrap_or_default();
        let replication = settings.get("replication").and_then(|value| crate::pve::datacenter::network(value).ok()?);
        cluster.migration_network.into_iter().chain(replication).collect()
    }

    /// Every other member's addresses: all corosync links, `.members`, and addresses in the migration network.
    pub fn peer_addresses(&self) -> BTreeSet<IpAddr> {
        self.cluster
            .known()
            .map(|cluster| cluster.peers.iter().flat_map(|peer| peer.addresses.iter().copied()).collect())
            .unwrap_or_default()
    }
}

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

/// Account databases.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounts {
    /// /etc/passwd by name.
    pub users: Reading<BTreeMap<String, User>>,
    /// /etc/group by name.
    pub groups: Reading<BTreeMap<String, Group>>,
    /// /etc/shadow by name, without the hashes.
    pub shadow: Reading<BTreeMap<String, Shadow>>,
    /// Names with a running session (loginctl or /run/utmp).
    pub connected: Reading<BTreeSet<String>>,
    /// `authorized_keys` of the accounts that were asked for, by account name.
    pub authorized_keys: BTreeMap<String, Reading<AuthorizedKeys>>,
    /// Where the key file of an account that was asked for lies, or would lie once the account is made.
    #[serde(default)]
    pub key_places: BTreeMap<String, Reading<KeyPlace>>,
    /// What [`Shadow::hash_digest`] is salted with.
    pub digest_salt: Reading<String>,
}

/// A line of /etc/passwd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Numeric id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// GECOS.
    pub gecos: String,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

/// A line of /etc/group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Numeric id.
    pub gid: u32,
    /// Supplementary members.
    pub members: BTreeSet<String>,
}

/// What crosses the wire of a line of /etc/shadow: never the hash, but what can be judged of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shadow {
    /// What kind of password there is.
    pub password: PasswordState,
    /// Last change in days since 1970; 0 forces a change at the next login.
    pub last_change: Option<i64>,
    /// Minimum days.
    pub min_days: Option<i64>,
    /// Maximum days.
    pub max_days: Option<i64>,
    /// Warning days.
    pub warn_days: Option<i64>,
    /// Inactive days.
    pub inactive_days: Option<i64>,
    /// Account expiry in days since 1970.
    pub expires: Option<i64>,
    /// SHA-256 (lower-case hex) of [`Accounts::digest_salt`] followed by the hash field; the tool chooses the salt for
    /// each capture, so that "is it the hash of the site" can be answered without the hash crossing the wire.
    pub hash_digest: Option<String>,
}

impl Accounts {
    /// Whether the account's password field is this crypt(5) hash; `None` when it cannot be told.
    pub fn has_hash(&self, name: &str, hash: &str) -> Option<bool> {
        use sha2::{Digest as _, Sha256};
        let shadow = self.shadow.known()?.get(name)?;
        if !matches!(shadow.password, PasswordState::Hash(_)) {
            return Some(false);
        }
        let (salt, digest) = (self.digest_salt.known()?, shadow.hash_digest.as_ref()?);
        Some(files::hex(&Sha256::new().chain_update(salt).chain_update(hash).finalize()) == *digest)
    }
}

/// Kind of password field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PasswordState {
    /// A usable hash with its crypt(5) prefix, e.g. "y" for yescrypt.
    Hash(String),
    /// A hash behind `!`.
    Locked(String),
    /// `*`, `!` or `!!`: no password can match.
    None,
    /// Empty: no password is needed.
    Empty,
}

/// `sudo -l -U NAME`, reduced to the question the guard asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SudoRights {
    /// May run every command as root.
    pub all_as_root: bool,
    /// Without a password.
    pub nopasswd: bool,
    /// The lines as sudo printed them.
    pub lines: Vec<String>,
}

/// Public keys of one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizedKeys {
    /// The file that was read, after following links.
    pub path: String,
    /// Whether that file lies on a local disk, not on pmxcfs.
    pub local: bool,
    /// Lines that are keys.
    pub lines: Vec<String>,
}

/// The place of an account's `~/.ssh/authorized_keys`, which need not be there yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPlace {
    /// The home as passwd has it; /home/NAME for an account that does not exist.
    pub home: String,
    /// The nearest part of the path that exists, links followed.
    pub exists: String,
    /// Its file system, as `stat -f` names it.
    pub file_system: String,
    /// Whether that is a local disk, not pmxcfs or the network.
    pub local: bool,
}

/// sshd.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sshd {
    /// (major, minor) of OpenSSH, e.g. (10, 0).
    pub version: Reading<(u32, u32)>,
    /// `sshd -T` without `-C`: keyword → value, as printed, lower case; repeated keywords are joined by newlines.
    pub global: Reading<SshdSettings>,
    /// `sshd -T -C CASE` per case.
    pub cases: BTreeMap<SshdCase, Reading<SshdSettings>>,
    /// Whether the main file has an Include of `sshd_config.d` at its head, outside any Match.
    pub includes_dropins: Reading<bool>,
    /// Algorithms this sshd knows, by `ssh -Q` name (kex, cipher, mac, `HostKeyAlgorithms`); the probe names them.
    pub algorithms: BTreeMap<String, BTreeSet<String>>,
    /// (major, minor) of the OpenSSH that answered at another member's address; only members that were online and
    /// answered, and only when asked for.
    #[serde(default)]
    pub peer_versions: BTreeMap<IpAddr, (u32, u32)>,
    /// Public host keys: path of the private key → `SHA256:…`.
    #[serde(default)]
    pub host_keys: BTreeMap<String, String>,
}

/// `sshd -T` output.
pub type SshdSettings = BTreeMap<String, String>;

/// Who connects from where; one question to `sshd -T -C`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SshdCase {
    /// What the case stands for.
    pub who: CaseKind,
    /// Login name.
    pub user: String,
    /// Source address.
    pub address: IpAddr,
}

impl SshdCase {
    /// The argument of `sshd -C`. The host name is not looked up: `Match Host` sees the address.
    pub fn spec(&self) -> String {
        format!("user={},host={},addr={}", self.user, self.address, self.address)
    }
}

/// Meaning of an [`SshdCase`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaseKind {
    /// root from an address that is neither a peer nor in a management network.
    RootOutside,
    /// root from a cluster peer.
    RootPeer,
    /// root from the operator's own address.
    RootOperator,
    /// An administrator of the site from the operator's address or a management network.
    Admin,
    /// Any other account from outside.
    OtherOutside,
}

impl CaseKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::RootOutside, Self::RootPeer, Self::RootOperator, Self::Admin, Self::OtherOutside];

    /// The word of the capture program.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RootOutside => "root-outside",
            Self::RootPeer => "root-peer",
            Self::RootOperator => "root-operator",
            Self::Admin => "admin",
            Self::OtherOutside => "other-outside",
        }
    }

    /// The kind of a word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A PAM service with its includes resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PamStack {
    /// Rules in order.
    pub rules: Vec<PamRule>,
}

/// One rule of a PAM stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PamRule {
    /// auth, account, password or session.
    pub facility: String,
    /// required, sufficient, `[success=1 default=ignore]`, …
    pub control: String,
    /// `pam_unix.so`.
    pub module: String,
    /// Arguments.
    pub arguments: Vec<String>,
    /// File the rule stands in.
    pub file: String,
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

/// A login over SSH.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// Account.
    pub user: String,
    /// Source address.
    pub from: IpAddr,
    /// Most recent, seconds since 1970.
    pub last: i64,
}

/// A line of dpkg's log.
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
}
