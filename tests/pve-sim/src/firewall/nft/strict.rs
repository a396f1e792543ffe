//! The other parser: one bad line refuses the whole file, and the rules that are loaded stay. What it takes is handed to
//! the patient one in words that both take.

use std::net::IpAddr;

use crate::firewall::address::{ALIAS_SCOPES, scoped};
use crate::firewall::config::{Config, Scope, parse};
use crate::firewall::names::log_level;

const SWITCHES: [&str; 9] = [
    "enable",
    "ebtables",
    "nosmurfs",
    "tcpflags",
    "ndp",
    "log_nf_conntrack",
    "nf_conntrack_allow_invalid",
    "protection_synflood",
    "nftables",
];

/// Reads a file.
///
/// # Errors
/// The message of the line that refuses it.
pub fn read(text: &str, scope: Scope, cluster: Option<&Config>) -> Result<Config, String> {
    let mut section = String::new();
    let mut plain = String::new();
    for line in text.lines() {
        let line = line.trim();
        let shown = if line.starts_with('#') || line.is_empty() {
            line.to_owned()
        } else if line.starts_with('[') {
            section = heading(line, scope)?;
            line.to_owned()
        } else {
            match section.as_str() {
                "" => return Err(format!("config line with no section: {line:?}")),
                "options" => option(line)?,
                "aliases" => alias(line)?,
                "ipset" => entry(line)?,
                _ => rule(line)?,
            }
        };
        plain += &shown;
        plain.push('\n');
    }
    Ok(parse(&plain, "", scope, cluster, 0).0)
}

fn heading(line: &str, scope: Scope) -> Result<String, String> {
    let inner = line.trim_start_matches('[').split(']').next().unwrap_or_default().to_lowercase();
    let kind = inner.split_whitespace().next().unwrap_or_default().to_owned();
    let known = match kind.as_str() {
        "options" | "rules" => true,
        "aliases" | "ipset" => scope != Scope::Host,
        "group" => scope == Scope::Cluster,
        _ => false,
    };
    if known { Ok(kind) } else { Err(format!("invalid section {line:?}")) }
}

fn option(line: &str) -> Result<String, String> {
    let Some((name, value)) = line.split_once(':') else { return Err(format!("expected key: value, got {line:?}")) };
    let (name, value) = (name.trim(), value.trim());
    if SWITCHES.contains(&name) {
        let on = match value.to_lowercase().as_str() {
            "1" | "on" | "yes" | "true" => 1,
            "0" | "off" | "no" | "false" => 0,
            _ => return Err(format!("invalid value: string {value:?}, expected a boolean-like value")),
        };
        return Ok(format!("{name}: {on}"));
    }
    if name.starts_with("policy_") && !["ACCEPT", "REJECT", "DROP"].contains(&value.to_uppercase().as_str()) {
        return Err(format!("invalid verdict {value:?}, expected one of 'ACCEPT', 'REJECT' or 'DROP'"));
    }
    if name.contains("log_level") {
        level(value)?;
    }
    Ok(line.to_owned())
}

fn level(word: &str) -> Result<(), String> {
    let word = word.to_lowercase();
    if word == "nolog" || log_level(&word).is_some() { Ok(()) } else { Err(format!("invalid log level {word:?}")) }
}

fn is_network(text: &str) -> bool {
    text.split('-').all(|end| end.parse::<IpAddr>().is_ok() || end.parse::<ipnet::IpNet>().is_ok())
}

fn alias(line: &str) -> Result<String, String> {
    let words: Vec<&str> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
    match words.as_slice() {
        [_, cidr] if is_network(cidr) => Ok(line.to_owned()),
        _ => Err(format!("invalid alias {line:?}")),
    }
}

fn entry(line: &str) -> Result<String, String> {
    let text = line.split('#').next().unwrap_or_default().trim().trim_start_matches('!').trim();
    if is_network(text) || scoped(text, &ALIAS_SCOPES).is_some() {
        return Ok(line.to_owned());
    }
    Err(format!("Invalid address in IPSet: {text}"))
}

fn rule(line: &str) -> Result<String, String> {
    let text = line.split('#').next().unwrap_or_default();
    let words: Vec<&str> = text.trim_start_matches('|').split_whitespace().collect();
    let first = words.first().copied().unwrap_or_default();
    if !["IN", "OUT", "FORWARD", "GROUP"].contains(&first.to_uppercase().as_str()) {
        return Err(format!("invalid direction: {first:?}, expect 'IN', 'OUT' or 'FORWARD'"));
    }
    for pair in words.windows(2) {
        let [name, value] = pair else { continue };
        match name.trim_start_matches('-') {
            "log" => level(value)?,
            "dport" | "sport" => ports(value)?,
            _ => {}
        }
    }
    Ok(line.to_owned())
}

fn ports(text: &str) -> Result<(), String> {
    let wrong = |port: &&str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_err();
    match text.split([',', ':']).find(wrong) {
        Some(port) => Err(format!("invalid port specification: {port}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What proxmox-firewall 1.2.3 was recorded to say of such lines.
    #[test]
    fn files_are_refused_as_recorded() {
        for (text, wanted) in [
            ("[OPTIONS]\nenable: yes\n", None),
            ("[OPTIONS]\r\nenable: 1\r\n", None),
            ("[OPTIONS]\nenable: 1\nfoo: 1\n", None),
            (
                "[OPTIONS]\npolicy_in: BLOCK\n",
                Some("invalid verdict \"BLOCK\", expected one of 'ACCEPT', 'REJECT' or 'DROP'"),
            ),
            ("enable: 1\n", Some("config line with no section: \"enable: 1\"")),
            ("[FOO]\n", Some("invalid section \"[FOO]\"")),
            ("[RULES]\nIN ACCEPT -p tcp -dport 99999\n", Some("invalid port specification: 99999")),
            ("[IPSET management]\n10.0.0.300\n", Some("Invalid address in IPSet: 10.0.0.300")),
            ("[RULES]\nallow tcp from any\n", Some("invalid direction: \"allow\", expect 'IN', 'OUT' or 'FORWARD'")),
            ("[RULES]\nIN ACCEPT -p tcp -log loud\n", Some("invalid log level \"loud\"")),
            (
                "[OPTIONS]\nenable: 1700000000\n",
                Some("invalid value: string \"1700000000\", expected a boolean-like value"),
            ),
        ] {
            assert_eq!(read(text, Scope::Cluster, None).err().as_deref(), wanted, "{text}");
        }
        let on = read("[OPTIONS]\r\nenable: yes\r\n", Scope::Cluster, None);
        assert!(on.is_ok_and(|config| config.is_on("enable")));
    }
}
