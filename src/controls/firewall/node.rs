//! The node as the firewall's controls see it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::change::FileImage;
use crate::facts::{Facts, FileKind, Reading};
use crate::profile::policy::{FirewallVerdict, Policy};
use crate::pve::cluster::{self, Corosync};
use crate::pve::firewall::{Backend, ClusterFw, HostFw};

/// The datacenter's file.
pub const CLUSTER_FW: &str = "/etc/pve/firewall/cluster.fw";

/// Both files.
#[derive(Clone, Debug)]
pub struct Files {
    pub cluster: ClusterFw,
    pub host: HostFw,
}

impl Files {
    pub fn parse(cluster: &str, host: &str) -> Self {
        let cluster = ClusterFw::parse(cluster, HostFw::backend_of(host));
        let host = HostFw::parse(host, &cluster);
        Self { cluster, host }
    }
}

/// What is known of the node.
pub struct Node<'a> {
    pub facts: &'a Facts,
    pub policy: &'a Policy,
    /// Its name.
    pub name: &'a str,
    /// The files as they are.
    pub files: Files,
    /// Images of the files, for the changes; none where a file is missing.
    pub images: (Option<FileImage>, Option<FileImage>),
    /// Every member's addresses by name, the node itself included; of a standalone node its own.
    pub members: BTreeMap<String, BTreeSet<IpAddr>>,
    /// The node's own address, as PVE takes it.
    pub address: IpAddr,
    /// corosync.conf, on a member of a cluster.
    pub corosync: Option<Corosync>,
}

impl<'a> Node<'a> {
    /// An error when anything is missing that every member of the family needs.
    pub fn read(facts: &'a Facts, policy: &'a Policy) -> Result<Self, String> {
        let name = facts.node_name.required("the node's name")?;
        let mounted = *facts.pmxcfs_mounted.required("whether /etc/pve is mounted")?;
        if !mounted {
            return Err("/etc/pve is not mounted: the firewall's files are not there".into());
        }
        let (cluster_image, host_image) = (image(facts, CLUSTER_FW)?, image(facts, &host_fw(name))?);
        let text = |image: &Option<FileImage>| image.as_ref().map_or("", |image| image.content.as_str()).to_owned();
        let files = Files::parse(&text(&cluster_image), &text(&host_image));
        let address = *facts.network.node_address.required("the node's own address")?;
        let corosync = corosync(facts)?;
        let members = members(facts, name, address, corosync.as_ref());
        Ok(Self { facts, policy, name, files, images: (cluster_image, host_image), members, address, corosync })
    }

    pub fn host_path(&self) -> String {
        host_fw(self.name)
    }

    pub fn backend(&self) -> Backend {
        self.files.cluster.backend()
    }

    /// Addresses of all members, the node's own included.
    pub fn member_addresses(&self) -> BTreeSet<IpAddr> {
        self.members.values().flatten().copied().collect()
    }

    /// Ports that sshd listens on.
    pub fn sshd_ports(&self) -> Vec<u16> {
        let ports = self.facts.sshd.global.known().and_then(|settings| settings.get("port"));
        let ports: Vec<u16> =
            ports.into_iter().flat_map(|ports| ports.lines()).filter_map(|port| port.parse().ok()).collect();
        if ports.is_empty() { vec![22] } else { ports }
    }

    /// Whether outgoing connections need rules once this run is done.
    pub fn closed_outwards(&self) -> bool {
        let enable = &self.policy.profile.firewall.enable;
        let active = enable.enabled && !self.policy.left_out.contains("firewall.enable");
        if active {
            return enable.policy_out != FirewallVerdict::Accept;
        }
        self.files.cluster.config().option("policy_out").is_some_and(|value| value != "ACCEPT")
    }

    /// Networks that only migration and replication name.
    pub fn peer_networks(&self) -> BTreeSet<IpNet> {
        self.facts.peer_networks().iter().map(IpNet::trunc).collect()
    }
}

fn host_fw(name: &str) -> String {
    format!("/etc/pve/nodes/{name}/host.fw")
}

fn image(facts: &Facts, path: &str) -> Result<Option<FileImage>, String> {
    let Some(fact) = facts.file(path).certain().map_err(|why| format!("{path}: {why}"))? else { return Ok(None) };
    let content = match (&fact.kind, &fact.content) {
        (FileKind::Regular, Some(content)) => content.clone(),
        (FileKind::Regular, None) => {
            return Err(format!("{path}: its content was not read: it is too large, or not text in UTF-8"));
        }
        _ => return Err(format!("{path} is not a regular file")),
    };
    Ok(Some(FileImage { content, mode: fact.mode, owner: fact.owner.clone(), group: fact.group.clone() }))
}

fn corosync(facts: &Facts) -> Result<Option<Corosync>, String> {
    if facts.cluster.certain().map_err(|why| format!("the cluster's members: {why}"))?.is_none() {
        return Ok(None);
    }
    let text = facts.text("/etc/pve/corosync.conf");
    cluster::corosync(text.required("/etc/pve/corosync.conf")?).map(Some)
}

/// From what all members share, so that each of them makes the same cluster.fw: corosync's links and `.members`. Where
/// corosync.conf has names, also what they resolve to here.
fn members(
    facts: &Facts,
    own: &str,
    address: IpAddr,
    corosync: Option<&Corosync>,
) -> BTreeMap<String, BTreeSet<IpAddr>> {
    let mut members: BTreeMap<String, BTreeSet<IpAddr>> = [(own.to_owned(), BTreeSet::from([address]))].into();
    let Some(corosync) = corosync else { return members };
    for node in &corosync.nodes {
        let name = node.name.clone().unwrap_or_default();
        let links: Vec<Option<IpAddr>> = node.links.values().map(|link| link.parse().ok()).collect();
        if links.iter().any(Option::is_none) {
            let peers = facts.cluster.known().into_iter().flat_map(|cluster| &cluster.peers);
            let resolved = peers.filter(|peer| peer.name == name).flat_map(|peer| peer.addresses.iter().copied());
            members.entry(name.clone()).or_default().extend(resolved);
        }
        members.entry(name).or_default().extend(links.into_iter().flatten());
    }
    if let Reading::Known(text) = facts.text("/etc/pve/.members")
        && let Ok(parsed) = cluster::members(&text)
    {
        for (name, member) in parsed.nodelist {
            let address = member.ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok());
            members.entry(name).or_default().extend(address);
        }
    }
    members
}
