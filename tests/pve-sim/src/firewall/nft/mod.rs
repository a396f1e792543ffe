//! proxmox-firewall: takes the node's own traffic over where its host.fw says `nftables: 1`. Guests, SDN and helpers of the
//! connection tracker are not played, and `compile` prints what `nft -f -` reads where the real one prints JSON.

mod compile;
mod strict;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::config::{Config, Scope};
use super::daemon::NFT_OFF;
use super::node::network_of;
use crate::applet::Arguments;
use crate::console::{complain, put};
use crate::files::text;
use crate::host::Host;
use crate::syslog::{Severity, Syslog};
use compile::{Input, TABLE, commands};

const SKELETON: &str = include_str!("skeleton.nft");
const TICK: Duration = Duration::from_secs(5);
const REFUSED: &str = "cannot execute nftables commands";
const LOG: Syslog = Syslog::new("proxmox-firewall");

/// `proxmox-firewall compile|skeleton|localnet|start`
pub fn run(arguments: &Arguments) -> Result<u8> {
    let host = Host::this();
    match arguments.first().map_or("help", String::as_str) {
        "skeleton" => put(SKELETON),
        "start" => serve(&host)?,
        "localnet" => {
            put("Management IPSet:\n");
            for net in networks(&host) {
                put(format!("{net}\n"));
            }
        }
        "compile" => match files(&host) {
            Ok((cluster, own)) => put(compiled(&host, &cluster, &own)),
            Err(message) => {
                complain(format!("Error: {message}"));
                return Ok(1);
            }
        },
        _ => put("USAGE:\n  proxmox-firewall <COMMAND>\n"),
    }
    Ok(0)
}

fn serve(host: &Host) -> Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let end = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, end.clone())?;
    }
    while !end.load(Ordering::Relaxed) {
        if host.path(NFT_OFF).exists() {
            remove();
        } else if let Err(message) = update(host) {
            LOG.log(Severity::Error, &format!("error updating firewall rules: {message}"));
        }
        let next = Instant::now() + TICK;
        while Instant::now() < next && !end.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    remove();
    Ok(())
}

/// Both files, as the strict parser takes them.
fn files(host: &Host) -> Result<(Config, Config), String> {
    let cluster = strict::read(&text(&host.pve("firewall/cluster.fw")), Scope::Cluster, None)?;
    let own = strict::read(&text(&host.own("host.fw")), Scope::Host, Some(&cluster))?;
    Ok((cluster, own))
}

fn networks(host: &Host) -> Vec<ipnet::IpNet> {
    host.address().and_then(network_of).into_iter().collect()
}

fn compiled(host: &Host, cluster: &Config, own: &Config) -> String {
    let old_groups = loaded_groups();
    commands(&Input { cluster, host: own, networks: networks(host), old_groups })
}

fn update(host: &Host) -> Result<(), String> {
    let (cluster, own) = files(host)?;
    if !cluster.is_on("enable") || own.is_off("enable") {
        remove();
        return Ok(());
    }
    nft(SKELETON)?;
    if own.is_on("protection_synflood") {
        // The real program writes a limit that nft does not read.
        return Err(REFUSED.to_owned());
    }
    nft(&compiled(host, &cluster, &own))
}

fn loaded_groups() -> Vec<String> {
    let arguments: Vec<&str> = ["list", "table"].into_iter().chain(TABLE.split(' ')).collect();
    let Ok(output) = Command::new("nft").args(arguments).stderr(Stdio::null()).output() else { return Vec::new() };
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let chains = listed.lines().filter_map(|line| line.trim().strip_prefix("chain ")?.strip_suffix(" {"));
    chains.filter(|chain| chain.starts_with("group-")).map(str::to_owned).collect()
}

/// Fails silently where there is none.
fn remove() {
    let _ = nft(&format!("delete table {TABLE}\n"));
}

fn nft(commands: &str) -> Result<(), String> {
    let failed = || REFUSED.to_owned();
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|_| failed())?;
    if let Some(mut pipe) = child.stdin.take() {
        let _ = pipe.write_all(commands.as_bytes());
    }
    if child.wait().is_ok_and(|status| status.success()) { Ok(()) } else { Err(failed()) }
}
