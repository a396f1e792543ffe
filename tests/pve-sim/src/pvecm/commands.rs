//! `pvecm status`, `nodes` and `create`.

use std::process::Command;

use anyhow::Context as _;

use super::{ssh, updatecerts};
use crate::console::{put, say};
use crate::corosync::conf::Configuration;
use crate::corosync::tools;
use crate::die::Die;
use crate::files::{lay_out, write_atomic};
use crate::host::Host;
use crate::install;

const ENOENT: u8 = 2;

fn require_cluster(host: &Host) -> anyhow::Result<()> {
    if host.pve("corosync.conf").is_file() {
        return Ok(());
    }
    Err(Die::new(
        ENOENT,
        "Error: Corosync config '/etc/pve/corosync.conf' does not exist - is this node part of a cluster?",
    )
    .into())
}

/// `pvecm status`
pub fn status(host: &Host) -> anyhow::Result<u8> {
    require_cluster(host)?;
    let conf = Configuration::parse(&crate::files::text(&host.pve("corosync.conf"))).unwrap_or_default();
    put(format!(
        "Cluster information\n-------------------\n\
         Name:             {}\nConfig Version:   {}\nTransport:        {}\nSecure auth:      {}\n\n",
        conf.cluster,
        conf.version,
        conf.transport.as_deref().unwrap_or("knet"),
        conf.secauth.as_deref().unwrap_or("off"),
    ));
    tools::quorumtool(&vec!["-siH".to_owned()])
}

/// `pvecm nodes`
pub fn nodes(host: &Host) -> anyhow::Result<u8> {
    require_cluster(host)?;
    tools::quorumtool(&vec!["-l".to_owned()])
}

/// `pvecm create NAME`: a cluster of one.
pub fn create(host: &Host, name: &str) -> anyhow::Result<u8> {
    if host.pve("corosync.conf").is_file() {
        return Err(Die::new(255, "cluster config '/etc/pve/corosync.conf' already exists").into());
    }
    ssh::open_root_login(host)?;
    ssh::root_key_and_config(host)?;
    ssh::link_authorized_keys(host)?;
    let key = host.path("/etc/corosync/authkey");
    if !key.is_file() {
        let mut bytes = vec![0_u8; 256];
        openssl::rand::rand_bytes(&mut bytes)?;
        lay_out(&key, &bytes, 0o400)?;
    }
    let address = host.address().context("no address of this node in /etc/hosts")?;
    let conf = install::cluster_configuration(name, &format!("{}={address}", host.name))?;
    say("Writing corosync config to /etc/pve/corosync.conf");
    write_atomic(&host.pve("corosync.conf"), conf.as_bytes(), 0o640)?;
    lay_out(&host.path("/etc/corosync/corosync.conf"), conf.as_bytes(), 0o644)?;
    updatecerts::run(host, &["--silent"])?;
    say("Restart corosync and cluster filesystem");
    Command::new("systemctl").args(["restart", "corosync", "pve-cluster"]).status().context("running systemctl")?;
    Ok(0)
}
