//! Programs that answer from a line or two of state.

use std::process::Command;

use super::connect;
use crate::applet::Arguments;
use crate::console::{complain, put, say};
use crate::files::lay_out;
use crate::firewall;
use crate::host::Host;

fn kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// `pveversion [-v]`
pub fn pveversion(arguments: &Arguments) -> anyhow::Result<u8> {
    let release = Host::this().release;
    let (version, commit) = (release.version(), release.repoid());
    if !arguments.iter().any(|word| matches!(word.as_str(), "-v" | "--verbose" | "-verbose")) {
        say(format!("pve-manager/{version}/{commit} (running kernel: {})", kernel()));
        return Ok(0);
    }
    for (name, installed) in installed_packages()? {
        let extra = match name.as_str() {
            "proxmox-ve" => format!(" (running kernel: {})", kernel()),
            "pve-manager" => format!(" (running version: {version}/{commit})"),
            _ => String::new(),
        };
        say(format!("{name}: {installed}{extra}"));
    }
    Ok(0)
}

/// Proxmox's packages in dpkg's books; proxmox-ve and pve-manager first.
fn installed_packages() -> anyhow::Result<Vec<(String, String)>> {
    const PATTERNS: [&str; 9] = [
        "proxmox-*",
        "pve-*",
        "libpve-*",
        "libproxmox-*",
        "corosync",
        "qemu-server",
        "spiceterm",
        "vncterm",
        "ifupdown2",
    ];
    let output = Command::new("dpkg-query").args(["-W", "-f=${Package} ${Version}\\n"]).args(PATTERNS).output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut found: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(_, version)| !version.is_empty())
        .map(|(name, version)| (name.to_owned(), version.to_owned()))
        .collect();
    found.sort_by_key(|(name, _)| (name != "proxmox-ve", name != "pve-manager", name.clone()));
    Ok(found)
}

/// `pvesubscription get`
pub fn pvesubscription(arguments: &Arguments) -> anyhow::Result<u8> {
    connect(&Host::this())?;
    if arguments.first().is_some_and(|word| word == "get") {
        put(
            "message: There is no subscription key\nstatus: notfound\nurl: https://www.proxmox.com/en/proxmox-virtual-environment/pricing\n",
        );
        return Ok(0);
    }
    complain("ERROR: no command specified\nUSAGE: pvesubscription <COMMAND> [ARGS] [OPTIONS]");
    Ok(255)
}

/// `pve-firewall`
pub fn pve_firewall(arguments: &Arguments) -> anyhow::Result<u8> {
    let host = Host::this();
    if !arguments.first().is_some_and(|word| matches!(word.as_str(), "start" | "stop" | "restart")) {
        connect(&host)?;
    }
    firewall::command::run(&host, arguments)
}

/// `ha-manager status`
pub fn ha_manager(arguments: &Arguments) -> anyhow::Result<u8> {
    let host = Host::this();
    connect(&host)?;
    if arguments.first().is_some_and(|word| word == "status") {
        say(if host.is_quorate() {
            "quorum OK".to_owned()
        } else {
            format!("quorum No quorum on node '{}'!", host.name)
        });
        return Ok(0);
    }
    complain("ERROR: no command specified\nUSAGE: ha-manager <COMMAND> [ARGS] [OPTIONS]");
    Ok(255)
}

/// `pvebanner`: where the web interface is, above the login prompt.
pub fn pvebanner(_arguments: &Arguments) -> anyhow::Result<u8> {
    let host = Host::this();
    let address = host.address().map_or_else(|| host.name.clone(), |ip| ip.to_string());
    let line = "-".repeat(78);
    let text = format!(
        "\n{line}\n\nWelcome to the Proxmox Virtual Environment. Please use your web browser to \nconfigure this server - connect to:\n\n  https://{address}:8006/\n\n{line}\n\n"
    );
    lay_out(&host.path("/etc/issue"), text.as_bytes(), 0o644)?;
    Ok(0)
}

/// `pveupdate`, which has nothing to fetch.
#[expect(clippy::unnecessary_wraps, reason = "the signature of all programs")]
pub fn pveupdate(_arguments: &Arguments) -> anyhow::Result<u8> {
    Ok(0)
}
