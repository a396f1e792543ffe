//! `pve-sim install`: turns a Debian root file system into a fresh node, as the installer and the packages leave it.

mod cluster;
mod etc;
mod keys;
mod modules;
mod programs;
mod units;

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail};
use clap::Parser;

use crate::release::Release;

/// Puts proxmox-firewall and its unit onto a node.
pub fn proxmox_firewall(root: &Path) -> anyhow::Result<()> {
    programs::install_one(root, &crate::applet::PROXMOX_FIREWALL)?;
    units::install_proxmox_firewall(root)
}

/// What a node is to be.
#[derive(Parser, Debug)]
#[command(name = "pve-sim")]
pub struct Options {
    /// Root file system of the node
    #[arg(long)]
    pub root: PathBuf,
    /// Release of Proxmox VE: 8 or 9
    #[arg(long, value_parser = release)]
    pub pve: Release,
    /// Name of the node
    #[arg(long)]
    pub node: String,
    /// IPv4 address of the node
    #[arg(long)]
    pub address: Ipv4Addr,
    /// IPv6 address of the node
    #[arg(long)]
    pub address6: Option<Ipv6Addr>,
    /// Domain of the node
    #[arg(long, default_value = "lab.test")]
    pub domain: String,
    /// Make it a member of the cluster of this name
    #[arg(long)]
    pub cluster: Option<String>,
    /// A member of the cluster, itself included: NAME=IPV4[,IPV6]; in the order of node ids
    #[arg(long = "member")]
    pub members: Vec<Member>,
    /// Folder of keys made before; keys that are missing there are added. Making a node's keys takes seconds
    #[arg(long)]
    pub key_cache: Option<PathBuf>,
}

/// A node of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Node name.
    pub name: String,
    /// Address of link 0.
    pub address: Ipv4Addr,
    /// Address of link 1.
    pub address6: Option<Ipv6Addr>,
}

impl FromStr for Member {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (name, addresses) = text.split_once('=').context("expected NAME=IPV4[,IPV6]")?;
        let (v4, v6) = match addresses.split_once(',') {
            Some((v4, v6)) => (v4, Some(v6)),
            None => (addresses, None),
        };
        Ok(Self {
            name: name.to_owned(),
            address: v4.parse().with_context(|| format!("'{v4}' is no IPv4 address"))?,
            address6: v6.map(|v6| v6.parse().with_context(|| format!("'{v6}' is no IPv6 address"))).transpose()?,
        })
    }
}

fn release(text: &str) -> anyhow::Result<Release> {
    match text {
        "8" => Ok(Release::Pve8),
        "9" => Ok(Release::Pve9),
        _ => bail!("the lab knows PVE 8 and 9"),
    }
}

/// Runs `pve-sim install`; `arguments` starts with the word `install`.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    let options = match Options::try_parse_from(arguments) {
        Ok(options) => options,
        Err(error) => {
            crate::console::complain(error.to_string());
            bail!("nothing was installed");
        }
    };
    install(&options)
}

fn install(options: &Options) -> anyhow::Result<()> {
    let root = &options.root;
    if !root.join("etc").is_dir() {
        bail!("{} is no root file system: it has no etc", root.display());
    }
    programs::install(root, options.pve)?;
    modules::install(root)?;
    units::install(root)?;
    etc::install(options)?;
    keys::install(options)?;
    if let Some(name) = &options.cluster {
        cluster::install(root, name, &options.members, options.key_cache.as_deref())?;
    }
    Ok(())
}

/// `path`, which is absolute on the node, below the node's root.
fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// corosync.conf of a cluster whose only member is `NAME=ADDRESS`.
pub fn cluster_configuration(cluster: &str, member: &str) -> anyhow::Result<String> {
    Ok(cluster::configuration(cluster, &[member.parse()?]))
}
