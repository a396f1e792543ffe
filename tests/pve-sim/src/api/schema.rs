//! Parameters of API calls, checked against PVE's own schema.

use std::sync::OnceLock;

use regex::Regex;
use serde_json::{Map, Value, json};

use super::error::ApiError;
use crate::access::names::{is_plain, is_pool, is_realm, list, token_parts, user_error};
use crate::access::roles::Catalogue;
use crate::firewall::{address, names, options};
use crate::release::Release;

/// Named parameters.
pub type Parameters = Map<String, Value>;

const TEXT: &str = include_str!("../../data/api-schema-9.1.json");

/// Calls that the lab needs beyond the part of the schema that is kept here.
const MORE_PATHS: [&str; 1] = ["/cluster/resources"];

/// The properties of a method's parameters; none when there is no such path or method.
pub fn properties(path: &str, method: &str, release: Release) -> Option<Map<String, Value>> {
    let entry = all().get(path)?.get(method)?;
    let found = entry.pointer("/parameters/properties").and_then(Value::as_object);
    let mut properties = found.cloned().unwrap_or_default();
    // Came after the schema was taken, and never to release 8.
    if entry["name"] == "update_token_info" && release == Release::Pve9 {
        properties.insert("regenerate".to_owned(), json!({"type": "boolean", "optional": 1, "default": 0}));
    }
    Some(properties)
}

/// The pattern that fits a path, such as `/access/users/{userid}`, and the values of its places.
pub fn pattern(path: &str) -> Option<(&'static str, Parameters)> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let mut best: Option<(&'static str, Parameters)> = None;
    for known in all().keys() {
        let wanted: Vec<&str> = known.split('/').filter(|part| !part.is_empty()).collect();
        // The entry of a set is a network, with a slash of its own.
        let tail = (wanted.last() == Some(&"{cidr}") && parts.len() > wanted.len())
            .then(|| parts[wanted.len() - 1..].join("/"));
        let parts: Vec<&str> = match &tail {
            Some(tail) => parts[..wanted.len() - 1].iter().copied().chain([tail.as_str()]).collect(),
            None => parts.clone(),
        };
        if wanted.len() != parts.len() {
            continue;
        }
        let mut places = Parameters::new();
        let fits = wanted.iter().zip(&parts).all(|(want, part)| {
            match want.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(name) => {
                    places.insert(name.to_owned(), Value::from(*part));
                    true
                }
                None => want == part,
            }
        });
        if fits && best.as_ref().is_none_or(|(_, before)| places.len() < before.len()) {
            best = Some((known, places));
        }
    }
    best
}

fn all() -> &'static Map<String, Value> {
    static PARSED: OnceLock<Map<String, Value>> = OnceLock::new();
    PARSED.get_or_init(|| {
        let mut schema: Value = serde_json::from_str(TEXT).unwrap_or_default();
        match schema.get_mut("paths").map(Value::take) {
            Some(Value::Object(mut paths)) => {
                let plain = json!({"GET": {"parameters": {"properties": {"type": {"type": "string", "optional": 1}}}}});
                paths.extend(MORE_PATHS.map(|path| (path.to_owned(), plain.clone())));
                paths.extend(super::guests::schema().map(|(path, calls)| (path.to_owned(), calls)));
                paths
            }
            _ => Map::new(),
        }
    })
}

/// Checks parameters. Types are made right where the real program does: booleans become 0 and 1.
pub fn check(properties: &Map<String, Value>, given: &mut Parameters, release: Release) -> Result<(), ApiError> {
    let mut wrong = Vec::new();
    for (name, value) in given.iter_mut() {
        match property(properties, name) {
            None => wrong.push((
                name.clone(),
                "property is not defined in schema and the schema does not allow additional properties".to_owned(),
            )),
            Some(rules) => {
                if let Err(message) = check_value(rules, value, release) {
                    wrong.push((name.clone(), message));
                }
            }
        }
    }
    for (name, rules) in properties {
        let optional = rules.get("optional").is_some_and(|flag| flag == 1);
        if !optional && !given.contains_key(name) {
            wrong.push((name.clone(), "property is missing and it is not optional".to_owned()));
        }
        if let Some(needed) = rules.get("requires").and_then(Value::as_str)
            && given.contains_key(name)
            && !given.contains_key(needed)
        {
            wrong.push((name.clone(), format!("missing property - '{needed}' requires this property")));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(ApiError::Parameters(wrong)) }
}

/// The rules of a parameter; `acmedomain[n]` stands for `acmedomain0` and so on.
pub fn property<'s>(properties: &'s Map<String, Value>, name: &str) -> Option<&'s Value> {
    properties.get(name).or_else(|| {
        let stem = name.trim_end_matches(|letter: char| letter.is_ascii_digit());
        (stem != name).then(|| properties.get(&format!("{stem}[n]")))?
    })
}

fn check_value(rules: &Value, value: &mut Value, release: Release) -> Result<(), String> {
    let text = match &*value {
        Value::String(text) => text.clone(),
        Value::Bool(flag) => u8::from(*flag).to_string(),
        other => other.to_string(),
    };
    match rules.get("type").and_then(Value::as_str).unwrap_or("string") {
        "boolean" => {
            let number = boolean(&text).ok_or_else(|| format!("type check ('boolean') failed - got '{text}'"))?;
            *value = Value::from(number);
        }
        "integer" | "number" => check_number(rules, &text)?,
        _ => check_text(rules, &text, release)?,
    }
    Ok(())
}

fn boolean(text: &str) -> Option<u8> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => Some(1),
        "0" | "off" | "no" | "false" => Some(0),
        _ => None,
    }
}

fn check_number(rules: &Value, text: &str) -> Result<(), String> {
    let kind = rules.get("type").and_then(Value::as_str).unwrap_or("integer");
    let number: f64 = text.parse().map_err(|_| format!("type check ('{kind}') failed - got '{text}'"))?;
    if kind == "integer" && text.parse::<i64>().is_err() {
        return Err(format!("type check ('integer') failed - got '{text}'"));
    }
    if let Some(least) = rules.get("minimum").and_then(Value::as_f64)
        && number < least
    {
        return Err(format!("value must have a minimum value of {least}"));
    }
    if let Some(most) = rules.get("maximum").and_then(Value::as_f64)
        && number > most
    {
        return Err(format!("value must have a maximum value of {most}"));
    }
    Ok(())
}

fn check_text(rules: &Value, text: &str, release: Release) -> Result<(), String> {
    let length = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
    let bound = |name: &str| rules.get(name).and_then(Value::as_u64);
    if let Some(least) = bound("minLength")
        && length < least
    {
        return Err(format!("value must be at least {least} characters long"));
    }
    if let Some(most) = bound("maxLength")
        && length > most
    {
        return Err(format!("value may only be {most} characters long"));
    }
    if let Some(choices) = rules.get("enum").and_then(Value::as_array)
        && !choices.iter().any(|choice| choice.as_str() == Some(text))
    {
        let all: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
        return Err(format!("value '{text}' does not have a value in the enumeration '{}'", all.join(", ")));
    }
    if let Some(pattern) = rules.get("pattern").and_then(Value::as_str)
        && !fits(pattern, text)
    {
        return Err("value does not match the regex pattern".to_owned());
    }
    match rules.get("format") {
        Some(Value::String(name)) => {
            check_format(name, text, release).map_err(|message| format!("invalid format - {message}\n"))
        }
        Some(Value::Object(parts)) => {
            check_parts(parts, text, release).map_err(|message| format!("invalid format - format error\n{message}\n"))
        }
        _ => Ok(()),
    }
}

/// Perl's `(?^:…)` groups become plain groups.
fn fits(pattern: &str, text: &str) -> bool {
    Regex::new(&format!("^(?:{})$", pattern.replace("(?^:", "(?:"))).is_ok_and(|rule| rule.is_match(text))
}

fn check_format(name: &str, text: &str, release: Release) -> Result<(), String> {
    if let Some(of_one) = name.strip_suffix("-list") {
        return list(text).try_for_each(|one| check_format(of_one, one, release));
    }
    match name {
        "pve-userid" => user_error(text).map_or(Ok(()), Err),
        "pve-groupid" if !is_plain(text) => Err(format!("group name '{text}' contains invalid characters")),
        "pve-roleid" if !is_plain(text) => Err(format!("role name '{text}' contains invalid characters")),
        "pve-poolid" if !is_pool(text) => Err(format!("pool name '{text}' contains invalid characters")),
        "pve-priv" if !Catalogue::of(release).privileges.contains(text) => Err(format!("invalid privilege '{text}'")),
        "pve-tokenid" if token_parts(text).is_none() => {
            Err(format!("value '{text}' does not look like a valid token ID"))
        }
        "pve-realm" if !is_realm(text) => Err(format!("value '{text}' does not look like a valid realm")),
        "pve-configid" if !is_realm(text) => Err(format!("invalid configuration ID '{text}'")),
        "email-opt" if !text.is_empty() && !text.contains('@') => {
            Err("value does not look like a valid email address".to_owned())
        }
        "pve-node" if !text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-') => {
            Err("value does not look like a valid node name".to_owned())
        }
        "pve-tfa-config" => check_tfa(text),
        "ipv4" if text.parse::<std::net::Ipv4Addr>().is_err() => {
            Err("value does not look like a valid IPv4 address".to_owned())
        }
        _ => check_firewall_format(name, text),
    }
}

/// Formats of firewall rules.
fn check_firewall_format(name: &str, text: &str) -> Result<(), String> {
    match name {
        "IPorCIDR" => address::ip_or_cidr(text).map(drop),
        "IPorCIDRorAlias" if address::scoped(text, &address::ALIAS_SCOPES).is_none() => {
            address::ip_or_cidr(text).map(drop)
        }
        "pve-fw-addr-spec" => address::address_list(text).map(drop),
        "pve-fw-sport-spec" => address::port_list(text, false).map(drop),
        "pve-fw-dport-spec" => address::port_list(text, true).map(drop),
        "pve-fw-protocol-spec" if !text.is_empty() && !names::is_protocol(text) => {
            Err(format!("unknown protocol '{text}'"))
        }
        "pve-fw-icmp-type-spec" if !text.is_empty() && !names::is_icmp_type(text) && !names::is_icmp6_type(text) => {
            Err(format!("invalid icmp-type value '{text}'"))
        }
        "pve-fw-conntrack-helper" => options::helpers(text),
        _ => Ok(()),
    }
}

/// `type=oath,step=30,digits=6`
fn check_tfa(text: &str) -> Result<(), String> {
    let kind = text.split(',').find_map(|part| part.strip_prefix("type="));
    match kind {
        Some("yubico" | "oath") => Ok(()),
        Some(other) => Err(format!(
            "format error\ntfa.type: value '{other}' does not have a value in the enumeration 'yubico, oath'"
        )),
        None => Err("format error\ntfa.type: property is missing and it is not optional".to_owned()),
    }
}

/// `key=value` parts with rules each; one of them may go without its key.
fn check_parts(rules: &Map<String, Value>, text: &str, release: Release) -> Result<(), String> {
    let default = rules.iter().find(|(_, rule)| rule.get("default_key").is_some()).map(|(name, _)| name.as_str());
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) if rules.contains_key(name) => (name, value),
            Some((name, _)) => {
                return Err(format!(
                    "{name}: property is not defined in schema and the schema does not allow additional properties"
                ));
            }
            None => (
                default
                    .ok_or_else(|| format!("value without key, but schema does not define a default key: {part}"))?,
                part,
            ),
        };
        if let Some(rule) = rules.get(name) {
            check_value(rule, &mut Value::from(value), release).map_err(|message| format!("{name}: {message}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(path: &str, method: &str, given: &Value) -> Result<Parameters, ApiError> {
        let mut given = given.as_object().cloned().unwrap_or_default();
        let properties = properties(path, method, Release::Pve9).ok_or(ApiError::NoHandler)?;
        check(&properties, &mut given, Release::Pve9)?;
        Ok(given)
    }

    #[test]
    fn messages_are_those_recorded() {
        let table = [
            (
                "/access/users",
                serde_json::json!({"userid": "erin@pve", "expire": "2025-12-31"}),
                "expire: type check ('integer') failed - got '2025-12-31'",
            ),
            (
                "/access/users",
                serde_json::json!({"userid": "carol@pve", "password": "short"}),
                "password: value must be at least 8 characters long",
            ),
            (
                "/access/users",
                serde_json::json!({"userid": "alice"}),
                "userid: invalid format - value 'alice' does not look like a valid user name\n",
            ),
            (
                "/access/roles",
                serde_json::json!({"roleid": "R", "privs": "VM.Monitor"}),
                "privs: invalid format - invalid privilege 'VM.Monitor'\n",
            ),
            (
                "/access/users",
                serde_json::json!({"userid": "a@pve", "expire": "-1"}),
                "expire: value must have a minimum value of 0",
            ),
        ];
        for (path, given, expected) in table {
            let message = checked(path, "POST", &given).err().map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(message, format!("400 Parameter verification failed.\n{expected}"));
        }
    }

    #[test]
    fn booleans_become_numbers() -> Result<(), ApiError> {
        let given = checked("/access/users", "POST", &serde_json::json!({"userid": "a@pve", "enable": "yes"}))?;
        assert_eq!(given["enable"], Value::from(1));
        Ok(())
    }

    #[test]
    fn a_path_finds_its_pattern_and_places() {
        let (known, places) = pattern("/access/users/alice@pve/token/ci").unwrap_or_default();
        assert_eq!(known, "/access/users/{userid}/token/{tokenid}");
        assert_eq!(places["tokenid"], "ci");
        assert!(pattern("/access/token/alice@pve!mon").is_none());
    }
}
