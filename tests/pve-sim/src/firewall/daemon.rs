//! The daemon: every ten seconds what is configured is made true in the kernel. Never at once, but for an `enable` that
//! asks for a time, and for a restart.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::compile::compile;
use super::config::Notice;
use super::kernel::{Loaded, remove};
use super::node::{Node, cluster_config, host_config};
use crate::applet::Arguments;
use crate::daemon;
use crate::host::Host;
use crate::idle;
use crate::syslog::{Severity, Syslog};

/// Process id file.
pub const PID_FILE: &str = "/run/pve-firewall.pid";
/// While it exists, proxmox-firewall keeps quiet.
pub const NFT_OFF: &str = "/run/proxmox-nftables-firewall-force-disable";
/// The program that takes over where a host says `nftables: 1`.
pub const NFT_PROGRAM: &str = "/usr/libexec/proxmox/proxmox-firewall";

const TICK: Duration = Duration::from_secs(10);
const LOG: Syslog = Syslog::new("pve-firewall");
const LOCK: &str = "/run/lock/pvefw.lck";

/// `pve-firewall start|stop|restart`
pub fn run(arguments: &Arguments) -> Result<u8> {
    let pid_file = Path::new(PID_FILE);
    match arguments.first().map_or("start", String::as_str) {
        "stop" => idle::stop(pid_file),
        "restart" => {
            if let Some(pid) = daemon::running_pid(pid_file).and_then(rustix::process::Pid::from_raw) {
                rustix::process::kill_process(pid, rustix::process::Signal::HUP)?;
                return Ok(0);
            }
            start(pid_file)
        }
        _ if daemon::is_child() => serve(),
        _ => start(pid_file),
    }
}

fn start(pid_file: &Path) -> Result<u8> {
    if daemon::running_pid(pid_file).is_none() {
        daemon::start(Path::new("/usr/sbin/pve-firewall"), &["start"], pid_file, None)?;
    }
    Ok(0)
}

fn serve() -> Result<u8> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let host = Host::this();
    let end = std::sync::Arc::new(AtomicBool::new(false));
    let again = std::sync::Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, end.clone())?;
    }
    signal_hook::flag::register(SIGHUP, again.clone())?;
    LOG.info("starting server");
    daemon::ready();
    while !end.load(Ordering::Relaxed) {
        let next = Instant::now() + TICK;
        if let Err(message) = update(&host) {
            LOG.log(Severity::Error, &format!("status update error: {message}"));
        }
        while Instant::now() < next && !end.load(Ordering::Relaxed) && !again.swap(false, Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    LOG.info("server shutting down");
    LOG.info("clear PVE-generated firewall rules");
    if let Err(message) = locked(&host, || Loaded::read().and_then(|loaded| remove(&loaded))) {
        LOG.log(Severity::Error, &message);
    }
    let _ = std::fs::remove_file(PID_FILE);
    LOG.info("server stopped");
    Ok(0)
}

/// Only one at a time compiles and loads.
pub fn locked<T>(host: &Host, work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let path = host.path(LOCK);
    if let Some(folder) = path.parent() {
        let _ = std::fs::create_dir_all(folder);
    }
    let file =
        std::fs::File::create(&path).map_err(|error| format!("can't open lock '{}' - {error}", path.display()))?;
    let end = Instant::now() + Duration::from_secs(10);
    while rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
        if Instant::now() > end {
            return Err(format!("can't lock file '{LOCK}' - got timeout"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    work()
}

/// Makes the kernel have what is configured.
pub fn update(host: &Host) -> Result<(), String> {
    locked(host, || {
        let (cluster, _) = cluster_config(host);
        let (own, _) = host_config(host, &cluster);
        let nft = own.is_on("nftables") && host.path(NFT_PROGRAM).is_file();
        set_flag(&host.path(NFT_OFF), cluster.is_on("enable") && nft);
        let loaded = Loaded::read()?;
        if !cluster.is_on("enable") || nft {
            return if loaded.is_empty() { Ok(()) } else { remove(&loaded) };
        }
        let node = Node::read(host);
        for notice in &node.notices {
            if let Notice::Rule(text) = notice {
                LOG.log(Severity::Error, text);
            }
        }
        let compiled = compile(&node)?;
        enable_bridge_filter();
        loaded.plan(&compiled).load()?;
        settings(&node);
        if Loaded::read()?.plan(&compiled).has_changes() {
            return Err("unable to apply firewall changes".to_owned());
        }
        Ok(())
    })
}

/// Tells proxmox-firewall whether it may work.
fn set_flag(flag: &PathBuf, nft: bool) {
    if nft {
        let _ = std::fs::remove_file(flag);
    } else if !flag.exists() {
        let _ = std::fs::write(flag, "");
    }
}

/// A kernel without these has no bridges to filter.
fn enable_bridge_filter() {
    for name in ["bridge/bridge-nf-call-iptables", "bridge/bridge-nf-call-ip6tables", "ipv4/tcp_syncookies"] {
        let _ = std::fs::write(format!("/proc/sys/net/{name}"), "1");
    }
}

/// What a network namespace has of the connection tracker's settings.
fn settings(node: &Node) {
    let established = node.host.text("nf_conntrack_tcp_timeout_established").unwrap_or_else(|| "432000".to_owned());
    let opening = node.host.text("nf_conntrack_tcp_timeout_syn_recv").unwrap_or_else(|| "60".to_owned());
    for (name, value) in [("established", established), ("syn_recv", opening)] {
        let _ = std::fs::write(format!("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_{name}"), value);
    }
}
