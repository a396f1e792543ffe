//! The typed reading of a node. Pure: a [`Capture`](crate::transport::capture::Capture) goes in, [`Facts`] come out,
//! nothing is judged here.

mod access;
mod accounts;
mod apt;
pub mod cert;
mod cluster;
mod files;
pub mod fixture;
pub mod gather;
mod history;
mod logins;
pub mod network;
mod node;
pub mod os;
mod pam;
mod people;
mod reading;
mod sections;
pub mod sshd;
pub mod standing;
mod system;
#[cfg(test)]
mod tests;
pub mod timeline;
pub mod watch;

pub use access::{AccessFacts, Factors, WebLogin};
pub use apt::{Simulation, Versioned};
pub use logins::{CaseKind, PamRule, PamStack, Sshd, SshdCase, SshdSettings};
pub use node::{
    Cluster, FileFact, FileKind, Listener, Login, Package, PackageEvent, Peer, PveRelease, RootLogin, RunFact, Session,
    Unit,
};
#[cfg(test)]
pub(crate) use pam::parse as pam_services;
pub use people::{Accounts, AuthorizedKeys, Group, KeyPlace, PasswordState, Shadow, SudoRights, User};
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
    files::absent_of_nodes(sections, &mut files, names);
    let cert = cert::parse(sections, &files, node_name.known().map(String::as_str));
    let network =
        network::Sources { sections, files: &files, node_name: node_name.known().map(String::as_str) }.network();
    Facts {
        cert,
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
        watch: watch::parse(sections),
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
    /// Port 8006's certificate and ACME.
    #[serde(default)]
    pub cert: cert::CertFacts,
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
    /// What watches the node.
    #[serde(default)]
    pub watch: watch::Watch,
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

    /// A unit by its full name; one that the node does not have is known too, its `load` being `not-found`. The error says
    /// to people that systemd's units could not be read, or that the capture does not contain this one.
    pub fn unit(&self, name: &str) -> Result<&Unit, String> {
        let units = self.units.required("systemd's units")?;
        units.get(name).ok_or_else(|| format!("{name}: the capture does not contain it"))
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
