//! The firewall as far as it is told, not enforced: its state and the network that it takes for local.

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use ipnet::IpNet;

use crate::daemon;
use crate::host::Host;

/// Process id file of the daemon.
pub const PID_FILE: &str = "/run/pve-firewall.pid";

/// `Status: disabled/running`
pub fn status(host: &Host) -> String {
    let enabled = is_enabled(&crate::files::text(&host.pve("firewall/cluster.fw")));
    let running = daemon::running_pid(Path::new(PID_FILE)).is_some();
    format!("Status: {}/{}", if enabled { "enabled" } else { "disabled" }, if running { "running" } else { "stopped" })
}

/// Whether the datacenter's options say `enable: 1`, or any other number but zero. A carriage return spoils a line.
fn is_enabled(text: &str) -> bool {
    let mut in_options = false;
    let mut enabled = false;
    for line in text.split('\n').map(|line| line.split('#').next().unwrap_or_default().trim_end_matches([' ', '\t'])) {
        if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            in_options = section.eq_ignore_ascii_case("options");
        } else if let (true, Some(value)) = (in_options, line.trim_start().strip_prefix("enable:")) {
            enabled = value.trim_start_matches([' ', '\t']).parse::<u64>().is_ok_and(|number| number > 0);
        }
    }
    enabled
}

/// The four lines of `pve-firewall localnet`.
pub fn localnet(host: &Host) -> String {
    let Some(address) = host.address() else {
        return format!("local hostname: {}\n", host.name);
    };
    let network = network_of(address).map_or_else(|| address.to_string(), |net| net.to_string());
    format!(
        "local hostname: {}\nlocal IP address: {address}\nnetwork auto detect: {network}\nusing detected local_network: {network}\n",
        host.name
    )
}

/// The network of an address of this node, as the kernel has it.
fn network_of(address: IpAddr) -> Option<IpNet> {
    let output = Command::new("ip").args(["-o", "addr", "show"]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace()
        .filter_map(|word| word.parse::<IpNet>().ok())
        .find(|net| net.addr() == address)
        .map(|net| net.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_number_in_the_options_enables() {
        assert!(is_enabled("[OPTIONS]\n\nenable: 1\n"));
        assert!(!is_enabled("[OPTIONS]\n\nenable: yes\n"));
        assert!(!is_enabled("[OPTIONS]\r\n\r\nenable: 1\r\n"));
        assert!(!is_enabled("[RULES]\nenable: 1\n"));
        assert!(!is_enabled(""));
    }
}
