//! `[OPTIONS]`: names and values.

use super::{Backend, FileScope, LogLevel};

/// Kinds of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    Bool,
    Number,
    /// Also without `REJECT`.
    Policy,
    Level,
    /// `log_ratelimit`.
    RateLimit,
    Helpers,
    /// Anything without blanks.
    Word,
}

/// Option, value, known to pve-firewall, known to proxmox-firewall.
type Row = (&'static str, Value, bool, bool);

const CLUSTER: &[Row] = &[
    // pve-firewall takes a time as well: enabled until a minute after it.
    ("enable", Value::Number, true, false),
    ("enable", Value::Bool, false, true),
    ("ebtables", Value::Bool, true, true),
    ("policy_in", Value::Policy, true, true),
    ("policy_out", Value::Policy, true, true),
    ("policy_forward", Value::Policy, true, true),
    ("log_ratelimit", Value::RateLimit, true, true),
];

const HOST: &[Row] = &[
    ("enable", Value::Bool, true, true),
    ("nosmurfs", Value::Bool, true, true),
    ("tcpflags", Value::Bool, true, true),
    ("ndp", Value::Bool, true, true),
    ("log_nf_conntrack", Value::Bool, true, true),
    ("nf_conntrack_allow_invalid", Value::Bool, true, true),
    ("protection_synflood", Value::Bool, true, true),
    ("nftables", Value::Bool, true, true),
    ("log_level_in", Value::Level, true, true),
    ("log_level_out", Value::Level, true, true),
    ("log_level_forward", Value::Level, true, true),
    ("tcp_flags_log_level", Value::Level, true, true),
    ("smurf_log_level", Value::Level, true, true),
    ("nf_conntrack_helpers", Value::Helpers, true, true),
    ("nf_conntrack_max", Value::Number, true, true),
    ("nf_conntrack_tcp_timeout_established", Value::Number, true, true),
    ("nf_conntrack_tcp_timeout_syn_recv", Value::Number, true, true),
    ("protection_synflood_rate", Value::Number, true, true),
    ("protection_synflood_burst", Value::Number, true, true),
    ("protection_limit", Value::Number, true, false),
];

const GUEST: &[Row] = &[
    ("enable", Value::Bool, true, true),
    ("dhcp", Value::Bool, true, true),
    ("ndp", Value::Bool, true, true),
    ("radv", Value::Bool, true, true),
    ("macfilter", Value::Bool, true, true),
    ("ipfilter", Value::Bool, true, true),
    ("ips", Value::Bool, true, false),
    ("log_level_in", Value::Level, true, true),
    ("log_level_out", Value::Level, true, true),
    ("policy_in", Value::Policy, true, true),
    ("policy_out", Value::Policy, true, true),
    ("policy_forward", Value::Policy, false, true),
    ("ips_queues", Value::Word, true, false),
    ("layer2_protocols", Value::Word, true, false),
];

const HELPERS: &[&str] = &["amanda", "ftp", "irc", "netbios-ns", "pptp", "sane", "sip", "snmp", "tftp"];

fn rows(scope: FileScope) -> &'static [Row] {
    match scope {
        FileScope::Cluster => CLUSTER,
        FileScope::Host => HOST,
        FileScope::Guest => GUEST,
    }
}

/// `parse_clusterfw_option` and its sisters: `name: value`, no blank before the colon, names and values without case.
pub(super) fn perl(line: &str, scope: FileScope) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let value = value.trim_matches(super::line::is_space);
    let exact = |row: &&Row| row.0 == "log_ratelimit" && row.0 != name;
    let (key, kind, ..) =
        rows(scope).iter().filter(|row| row.2).find(|row| row.0.eq_ignore_ascii_case(name) && !exact(row))?;
    let digits = || !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let fits = match kind {
        Value::Bool => matches!(value, "0" | "1"),
        Value::Number => digits(),
        Value::Policy => matches!(value.to_ascii_uppercase().as_str(), "ACCEPT" | "DROP" | "REJECT"),
        Value::Level => value.is_empty() || LogLevel::from_name(&value.to_ascii_lowercase()).is_some(),
        Value::RateLimit | Value::Word => !value.is_empty() && !value.contains(super::line::is_space),
        Value::Helpers => value.to_ascii_lowercase().split(',').all(|helper| HELPERS.contains(&helper)),
    };
    let taken = match kind {
        Value::Policy => value.to_ascii_uppercase(),
        Value::Level | Value::Helpers => value.to_ascii_lowercase(),
        Value::Number => {
            let short = value.trim_start_matches('0');
            if short.is_empty() { "0".to_owned() } else { short.to_owned() }
        }
        _ => value.to_owned(),
    };
    fits.then(|| ((*key).to_owned(), taken))
}

/// Options of proxmox-firewall: exact names; unknown ones are ignored (`Ok(None)`), a bad value refuses the file.
pub(super) fn strict(name: &str, value: &str, scope: FileScope) -> Result<Option<String>, String> {
    let Some((_, kind, ..)) = rows(scope).iter().find(|row| row.3 && row.0 == name) else { return Ok(None) };
    let lower = value.to_ascii_lowercase();
    let taken = match kind {
        Value::Bool => match lower.as_str() {
            "1" | "true" | "on" | "yes" => "1".into(),
            "0" | "false" | "off" | "no" => "0".into(),
            _ => return Err(format!("invalid value: string {value:?}, expected a boolean-like value")),
        },
        Value::Number => {
            value.parse::<i64>().map_err(|_| format!("invalid value: string {value:?}, expected a number"))?.to_string()
        }
        Value::Policy => match lower.as_str() {
            "accept" | "drop" | "reject" => value.to_ascii_uppercase(),
            _ => return Err(format!("invalid verdict {value:?}, expected one of 'ACCEPT', 'REJECT' or 'DROP'")),
        },
        Value::Level => match value {
            "warn" => "warning".into(),
            _ if LogLevel::from_name(value).is_some() => value.into(),
            _ => return Err(format!("invalid log level {value:?}")),
        },
        Value::RateLimit => {
            rate_limit(value)?;
            value.into()
        }
        Value::Helpers | Value::Word => value.into(),
    };
    Ok(Some(taken))
}

fn rate_limit(value: &str) -> Result<(), String> {
    let boolean = |text: &str| {
        let known = ["0", "false", "off", "no", "1", "true", "on", "yes"];
        known.iter().any(|word| word.eq_ignore_ascii_case(text)).then_some(()).ok_or(format!("not a boolean: {text:?}"))
    };
    let number = |text: &str| text.parse::<i64>().map(|_| ()).map_err(|error| error.to_string());
    value.split(',').try_for_each(|element| match element.split_once('=') {
        None => boolean(element),
        Some(("enable", value)) => boolean(value),
        Some(("burst", value)) => number(value),
        Some(("rate", value)) => match value.split_once('/') {
            None => number(value),
            Some((rate, "second" | "minute" | "hour" | "day")) => number(rate),
            Some(_) => Err("Invalid time scale provided".into()),
        },
        Some(_) => Err("Invalid value for Key found in log_ratelimit!".into()),
    })
}

/// Whether the option exists for the backend; for edits.
pub(super) fn known(name: &str, scope: FileScope, backend: Backend) -> bool {
    rows(scope).iter().any(|row| row.0 == name && if backend == Backend::Iptables { row.2 } else { row.3 })
}
