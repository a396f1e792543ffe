//! What a node needs to reach once outgoing connections are dropped.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::pve::storage::{self, Storage};

use super::node::Node;
use super::services::{MEMBERS, Need};

/// Rules for the other members, for what every node needs to live, and for its storages.
pub fn needs(node: &Node<'_>) -> Result<Vec<Need>, String> {
    let mut needs = Vec::new();
    if node.corosync.is_some() {
        let ports = "22,3128,5900:5999,8006,60000:60050";
        needs.push(Need::shared("other members", format!("OUT ACCEPT -dest +dc/{MEMBERS} -p tcp -dport {ports}")));
    }
    for net in node.peer_networks() {
        needs.push(Need::shared("migration network", format!("OUT ACCEPT -dest {net} -p tcp -dport 22,60000:60050")));
    }
    for (words, macro_name) in [
        ("names", "DNS"),
        ("time", "NTP"),
        ("updates", "HTTP"),
        ("updates", "HTTPS"),
        ("mail", "SMTP"),
        ("ping", "Ping"),
    ] {
        needs.push(Need::shared(words, format!("OUT {macro_name}(ACCEPT)")));
    }
    let text = node.facts.text("/etc/pve/storage.cfg");
    let text = text.certain().map_err(|why| format!("/etc/pve/storage.cfg: {why}"))?;
    let storages = text.map(|text| storage::parse(text)).unwrap_or_default();
    let rules: BTreeSet<(String, String)> = storages.iter().filter_map(rule).collect();
    needs.extend(rules.into_iter().map(|(words, body)| Need::shared(&words, body)));
    Ok(needs)
}

/// A storage's server; a rule cannot hold a DNS name, so that one leaves the destination open.
fn rule(storage: &Storage) -> Option<(String, String)> {
    let (server, port) = storage.server()?;
    let default = match storage.kind.as_str() {
        "nfs" => None,
        "cifs" => Some(445),
        "iscsi" | "iscsidirect" => Some(3260),
        "pbs" => Some(8007),
        "esxi" => Some(443),
        _ => return None,
    };
    let dest = server.parse::<IpAddr>().map_or(String::new(), |address| format!(" -dest {address}"));
    let body = match port.or(default) {
        Some(port) => format!("OUT ACCEPT{dest} -p tcp -dport {port}"),
        // NFS 3 has ports of the server's choice.
        None if dest.is_empty() => "OUT ACCEPT -p tcp -dport 111,2049".to_owned(),
        None => format!("OUT ACCEPT{dest}"),
    };
    Some((format!("storage {}", storage.id), body))
}
