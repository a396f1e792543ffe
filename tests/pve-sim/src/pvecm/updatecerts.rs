//! `pvecm updatecerts`: brings a node's files in /etc/pve up to date. pveproxy runs it at each start.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::{certificates, ssh};
use crate::cfs_lock::locked;
use crate::console::{complain, say};
use crate::die::Die;
use crate::files::write_atomic;
use crate::host::Host;

const LONGEST_WAIT: Duration = Duration::from_secs(80);
const CRON: &str = "# cluster wide vzdump cron schedule\n# Automatically generated file - do not edit\n\nPATH=\"/usr/sbin:/usr/bin:/sbin:/bin\"\n\n";
/// Members that boot at the same moment take turns, so that none loses another's key: a cluster whose members joined
/// one by one never needs that.
const LOCK: &str = "updatecerts";
const ATTEMPTS: usize = 6;
/// Folders of a node.
const OWN_FOLDERS: [&str; 5] = ["", "lxc", "qemu-server", "openvz", "priv"];
/// Folders of files that PVE watches.
const WATCHED: [&str; 8] =
    ["firewall", "ha", "mapping", "priv/acme", "priv/lock", "sdn", "sdn/fabrics", "virtual-guest"];

/// Runs `pvecm updatecerts [--force] [--silent] [--unmerge-known-hosts]`.
pub fn run(host: &Host, options: &[&str]) -> anyhow::Result<u8> {
    let mut force = false;
    let mut silent = false;
    for option in options {
        match option.trim_start_matches('-') {
            "force" | "f" => force = true,
            "silent" => silent = true,
            "unmerge-known-hosts" | "1" => {}
            other => {
                complain(format!("Unknown option: {other}\n400 unable to parse option\npvecm updatecerts  [OPTIONS]"));
                return Ok(255);
            }
        }
    }
    ssh::root_key_and_config(host)?;
    let deadline = Instant::now() + LONGEST_WAIT;
    let mut told = silent;
    while !host.is_quorate() {
        if !told {
            say("waiting for pmxcfs mount to appear and get quorate...");
            told = true;
        }
        if Instant::now() > deadline {
            let text = "got timeout when trying to ensure cluster certificates and base file hierarchy is set up - no quorum (yet) or hung pmxcfs?";
            complain(text);
            return if silent { Ok(0) } else { Err(Die::new(255, "").into()) };
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    for _ in 1..ATTEMPTS {
        match locked(host, LOCK, || update(host, force, silent)) {
            Err(error) if error.is::<Die>() => {}
            outcome => return outcome.map(|()| 0),
        }
    }
    locked(host, LOCK, || update(host, force, silent)).map(|()| 0)
}

fn update(host: &Host, force: bool, silent: bool) -> anyhow::Result<()> {
    let step = |text: &str| {
        if !silent {
            say(text);
        }
    };
    if !host.is_mounted() {
        bail!("pve configuration filesystem (pmxcfs) not mounted");
    }
    let _ = fs::create_dir_all(host.pve("priv/lock"));
    ssh::link_authorized_keys(host)?;
    step("(re)generate node files");
    if force {
        step("generate new node certificate");
    }
    for folder in OWN_FOLDERS {
        let _ = fs::create_dir_all(host.own(folder));
    }
    let Some(address) = host.address() else {
        bail!("hostname lookup '{}' failed - failed to get address info", host.name);
    };
    certificates::make_missing(host, address, force)?;
    step("merge authorized SSH keys");
    ssh::merge_keys(host)?;
    ssh::node_known_hosts(host)?;
    let cron = host.pve("vzdump.cron");
    if !cron.is_file() {
        write_atomic(&cron, CRON.as_bytes(), 0o644)?;
    }
    let link = host.path("/etc/cron.d/vzdump");
    if !link.is_symlink() {
        let _ = fs::rename(&link, host.path("/root/etc_cron_vzdump.org"));
        let _ = symlink("/etc/pve/vzdump.cron", &link);
    }
    for folder in WATCHED {
        let _ = fs::create_dir_all(host.pve(folder));
    }
    Ok(())
}
