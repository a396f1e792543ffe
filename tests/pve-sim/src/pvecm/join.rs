//! `pvecm add`: joining a cluster, as far as it changes the joining node's SSH.

use anyhow::bail;

use super::ssh;
use crate::console::{complain, say};
use crate::host::Host;

/// Runs `pvecm add HOST`. What the real program does to SSH before it asks the cluster is done;
/// the cluster itself is not asked: the members of a lab cluster are there from the start.
pub fn run(host: &Host, peer: &str) -> anyhow::Result<u8> {
    let mut errors = Vec::new();
    for (path, what) in [
        ("/etc/corosync/authkey", "authentication key '/etc/corosync/authkey' already exists"),
        ("/etc/pve/corosync.conf", "cluster config '/etc/pve/corosync.conf' already exists"),
    ] {
        if host.path(path).is_file() {
            errors.push(format!("* {what}"));
        }
    }
    if !errors.is_empty() {
        complain(format!("detected the following error(s):\n{}", errors.join("\n")));
        bail!("Check if node may join a cluster failed!");
    }
    ssh::open_root_login(host)?;
    ssh::root_key_and_config(host)?;
    ssh::link_authorized_keys(host)?;
    say(format!("Establishing API connection with host '{peer}'"));
    bail!("pve-sim: a join is played up to here; root's SSH is as a joining node has it")
}
