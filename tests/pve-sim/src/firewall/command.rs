//! `pve-firewall`: what it says of the rules.

use std::fmt::Write as _;

use super::compile::{Compiled, compile};
use super::config::Notice;
use super::daemon::{self, locked};
use super::kernel::Loaded;
use super::node::{Node, cluster_config};
use super::simulate;
use crate::applet::Arguments;
use crate::console::{complain, put, say};
use crate::die::Die;
use crate::host::Host;

/// Runs a command.
pub fn run(host: &Host, arguments: &Arguments) -> anyhow::Result<u8> {
    let rest = arguments.get(1..).unwrap_or_default();
    match arguments.first().map_or("", String::as_str) {
        "status" => say(locked(host, || status(host)).map_err(died)?),
        "compile" => put(locked(host, || listing(host)).map_err(died)?),
        "localnet" => put(localnet(host)),
        "simulate" => return simulate::run(host, rest),
        "start" | "stop" | "restart" => return daemon::run(arguments),
        _ => {
            complain("ERROR: no command specified\nUSAGE: pve-firewall <COMMAND> [ARGS] [OPTIONS]");
            return Ok(255);
        }
    }
    Ok(0)
}

/// A message that ends the program.
fn died(message: String) -> anyhow::Error {
    Die::new(255, message).into()
}

/// Prints what reading and compiling said. The command line shows everything, the API only what Perl warns of.
pub fn tell(notices: &[Notice], everything: bool) {
    for notice in notices {
        match notice {
            Notice::Warning(text) => complain(text),
            Notice::Rule(text) | Notice::Entry(text) if everything => complain(text),
            Notice::Rule(_) | Notice::Entry(_) => {}
        }
    }
}

/// What is loaded; nothing where the node is only a folder.
fn loaded(host: &Host) -> Result<Loaded, String> {
    if host.is_this_machine() { Loaded::read() } else { Ok(Loaded::default()) }
}

fn compiled(node: &Node) -> Result<Compiled, String> {
    let compiled = compile(node)?;
    for warning in &compiled.warnings {
        complain(warning);
    }
    Ok(compiled)
}

/// `Status: enabled/running (pending changes)`
fn status(host: &Host) -> Result<String, String> {
    let running =
        host.is_this_machine() && crate::daemon::running_pid(std::path::Path::new(daemon::PID_FILE)).is_some();
    let (cluster, notices) = cluster_config(host);
    let enabled = if cluster.is_on("enable") { "enabled" } else { "disabled" };
    if !running {
        tell(&notices, true);
        return Ok(format!("Status: {enabled}/stopped"));
    }
    let node = Node::read(host);
    tell(&node.notices, true);
    let pending = loaded(host)?.plan(&compiled(&node)?).has_changes();
    Ok(format!("Status: {enabled}/running{}", if pending { " (pending changes)" } else { "" }))
}

/// All chains and sets, and whether they differ from what is loaded.
fn listing(host: &Host) -> Result<String, String> {
    let node = Node::read(host);
    tell(&node.notices, true);
    let plan = loaded(host)?.plan(&compiled(&node)?);
    let mut text = plan.listing.clone();
    text.push_str(if plan.has_changes() { "detected changes\n" } else { "no changes\n" });
    if !node.cluster.is_on("enable") {
        text.push_str("firewall disabled\n");
    }
    Ok(text)
}

/// What is taken for the local network, and the peers of the cluster.
fn localnet(host: &Host) -> String {
    let node = Node::read(host);
    let Some(address) = node.address else {
        return format!("local hostname: {}\n", node.name);
    };
    tell(&cluster_config(host).1, false);
    let detected = node.local_network.map_or_else(|| "127.0.0.0/8".to_owned(), |net| net.to_string());
    let mut text =
        format!("local hostname: {}\nlocal IP address: {address}\nnetwork auto detect: {detected}\n", node.name);
    let _ = match node.cluster.aliases.get("local_network") {
        Some(alias) => writeln!(text, "using user defined local_network: {}", alias.cidr),
        None => writeln!(text, "using detected local_network: {detected}"),
    };
    if let Some(conf) = &node.corosync {
        text.push_str("\naccepting corosync traffic from/to:\n");
        let mut peers: Vec<_> = conf.nodes.iter().filter(|peer| peer.name != node.name).collect();
        peers.sort_by_key(|peer| &peer.name);
        let lines: String = peers
            .iter()
            .flat_map(|peer| peer.addresses().map(|(link, ip)| format!(" - {}: {ip} (link: {link})\n", peer.name)))
            .collect();
        text.push_str(if lines.is_empty() { " - no nodes found\n" } else { &lines });
    }
    text
}
