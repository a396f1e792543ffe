//! Lines of `[OPTIONS]`, which differ between the datacenter's, a host's and a guest's file.

use serde_json::Value;

use super::config::Scope;
use super::macros::HELPERS;
use super::names::log_level;

/// Seconds that the firewall stays on after an `enable` that nobody confirmed.
const UNCONFIRMED: u64 = 60;

const HOST_SWITCHES: [&str; 8] = [
    "enable",
    "nosmurfs",
    "tcpflags",
    "ndp",
    "log_nf_conntrack",
    "nf_conntrack_allow_invalid",
    "protection_synflood",
    "nftables",
];
const HOST_LEVELS: [&str; 5] =
    ["log_level_in", "log_level_out", "log_level_forward", "tcp_flags_log_level", "smurf_log_level"];
const HOST_NUMBERS: [&str; 6] = [
    "nf_conntrack_max",
    "nf_conntrack_tcp_timeout_established",
    "nf_conntrack_tcp_timeout_syn_recv",
    "protection_synflood_rate",
    "protection_synflood_burst",
    "protection_limit",
];
const GUEST_SWITCHES: [&str; 7] = ["enable", "dhcp", "ndp", "radv", "macfilter", "ipfilter", "ips"];

/// Name and value of a line; `now` in seconds decides over an `enable` that is a time.
pub fn parse(scope: Scope, line: &str, now: u64) -> Result<(String, Value), String> {
    let refused = || format!("can't parse option '{line}'");
    let (name, value) = line.split_once(':').ok_or_else(refused)?;
    // Names take any case; blanks may follow the colon but not come before it.
    let (name, value) = (name.to_lowercase(), value.trim());
    let read = match scope {
        Scope::Cluster => cluster(&name, value, now),
        Scope::Host => host(&name, value)?,
        Scope::Guest(_) => guest(&name, value),
    };
    read.map(|value| (name, value)).ok_or_else(refused)
}

fn cluster(name: &str, value: &str, now: u64) -> Option<Value> {
    match name {
        "enable" => {
            let number = number(value)?;
            let late = number > 1 && now.saturating_sub(number) > UNCONFIRMED;
            Some(Value::from(if late { 0 } else { number }))
        }
        "ebtables" => switch(value),
        "policy_in" | "policy_out" | "policy_forward" => policy(value),
        "log_ratelimit" if !value.is_empty() && !value.contains(char::is_whitespace) => Some(Value::from(value)),
        _ => None,
    }
}

fn host(name: &str, value: &str) -> Result<Option<Value>, String> {
    Ok(match name {
        _ if HOST_SWITCHES.contains(&name) => switch(value),
        _ if HOST_LEVELS.contains(&name) => level(value),
        _ if HOST_NUMBERS.contains(&name) => number(value).map(Value::from),
        "nf_conntrack_helpers" if !value.is_empty() && !value.contains(char::is_whitespace) => {
            let list = value.to_lowercase();
            helpers(&list)?;
            Some(Value::from(list))
        }
        _ => None,
    })
}

fn guest(name: &str, value: &str) -> Option<Value> {
    match name {
        _ if GUEST_SWITCHES.contains(&name) => switch(value),
        "log_level_in" | "log_level_out" => level(value),
        "policy_in" | "policy_out" => policy(value),
        "ips_queues" => {
            let (first, last) = value.split_once(':').unwrap_or((value, "0"));
            (number(first).is_some() && number(last).is_some()).then(|| Value::from(value))
        }
        "layer2_protocols" if !value.is_empty() => Some(Value::from(value)),
        _ => None,
    }
}

/// Checks a list of connection trackers.
pub fn helpers(list: &str) -> Result<(), String> {
    if list.ends_with(',') {
        return Err("extraneous commas in list".to_owned());
    }
    match list.split(',').find(|name| !HELPERS.iter().any(|(known, ..)| known == name)) {
        Some(unknown) => Err(format!("unknown helper {unknown}")),
        None => Ok(()),
    }
}

fn switch(value: &str) -> Option<Value> {
    matches!(value, "0" | "1").then(|| Value::from(u8::from(value == "1")))
}

fn number(value: &str) -> Option<u64> {
    value.bytes().all(|byte| byte.is_ascii_digit()).then(|| value.parse().ok())?
}

fn policy(value: &str) -> Option<Value> {
    let value = value.to_uppercase();
    matches!(value.as_str(), "ACCEPT" | "DROP" | "REJECT").then(|| Value::from(value))
}

fn level(value: &str) -> Option<Value> {
    let value = value.to_lowercase();
    (value.is_empty() || value == "nolog" || log_level(&value).is_some()).then(|| Value::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enable_may_be_a_deadline() {
        let enable = |line: &str| parse(Scope::Cluster, line, 1_000_000).map(|(_, value)| value);
        assert_eq!(enable("enable: 1"), Ok(Value::from(1)));
        assert_eq!(enable("ENABLE:999950"), Ok(Value::from(999_950)));
        assert_eq!(enable("enable: 999930"), Ok(Value::from(0)));
        assert_eq!(enable("enable: yes"), Err("can't parse option 'enable: yes'".to_owned()));
        assert_eq!(enable("enable : 1"), Err("can't parse option 'enable : 1'".to_owned()));
        assert!(parse(Scope::Host, "enable: 2", 0).is_err());
        assert!(parse(Scope::Host, "nf_conntrack_helpers: ftp,nosuch", 0).is_err());
    }
}
