//! `/cluster/firewall/ipset`

use serde_json::{Map, Value, json};

use super::{File, check_digest, row, with_digest};
use crate::api::{Answer, ApiError, Call, Parameters, given_text, switch, text};
use crate::firewall::address::{ALIAS_SCOPES, cleaned, ip_or_cidr, scoped};
use crate::firewall::config::{Config, Entry, Set, resolve};

/// Calls on sets and their entries.
pub fn handle(call: &Call<'_>, file: &File, method: &str, below: &str, given: &Parameters) -> Answer {
    let name = text(given, "name");
    match (method, below) {
        ("GET", "/ipset") => Ok(with_digest(index(&file.config(call)))),
        ("POST", "/ipset") => {
            file.change(call, |config, _| create(config, name, given))?;
            Ok(Value::Null)
        }
        ("GET", "/ipset/{name}") => Ok(with_digest(rows(set(&mut file.config(call), name)?))),
        ("DELETE", "/ipset/{name}") => {
            file.change(call, |config, _| {
                if !set(config, name)?.entries.is_empty() && switch(given, "force") != Some(true) {
                    return Err(ApiError::failed(format!("IPSet '{name}' is not empty")));
                }
                config.ipsets.remove(name);
                Ok(())
            })?;
            Ok(Value::Null)
        }
        ("POST", "/ipset/{name}") => {
            file.change(call, |config, _| add(config, name, given))?;
            Ok(Value::Null)
        }
        _ => entry(call, file, method, given),
    }
}

fn set<'c>(config: &'c mut Config, name: &str) -> Result<&'c mut Set, ApiError> {
    config.ipsets.get_mut(name).ok_or_else(|| ApiError::failed(format!("no such IPSet '{name}'")))
}

fn index(config: &Config) -> Vec<Map<String, Value>> {
    config.ipsets.iter().map(|(name, set)| row([("name", name), ("comment", &set.comment)])).collect()
}

fn rows(set: &Set) -> Vec<Map<String, Value>> {
    let rows = set.entries.iter().map(|entry| {
        let mut row = row([("cidr", &entry.cidr), ("comment", &entry.comment)]);
        if entry.nomatch {
            row.insert("nomatch".to_owned(), json!(1));
        }
        if let Some(message) = &entry.error {
            row.insert("errors".to_owned(), json!({"cidr": message}));
        }
        row
    });
    rows.collect()
}

fn create(config: &mut Config, name: &str, given: &Parameters) -> Result<(), ApiError> {
    if let Some(old) = given_text(given, "rename") {
        check_digest(given, &index(config))?;
        let mut set = config
            .ipsets
            .get(old)
            .cloned()
            .ok_or_else(|| ApiError::parameter("name", format!("IPSet '{old}' does not exist")))?;
        if old != name && config.ipsets.contains_key(name) {
            return Err(ApiError::parameter("name", format!("IPSet '{name}' does already exist")));
        }
        if let Some(comment) = given_text(given, "comment") {
            comment.clone_into(&mut set.comment);
        }
        config.ipsets.remove(old);
        config.ipsets.insert(name.to_owned(), set);
        return Ok(());
    }
    if config.ipsets.contains_key(name) {
        return Err(ApiError::parameter("name", format!("IPSet '{name}' already exists")));
    }
    let set = Set { comment: text(given, "comment").to_owned(), entries: Vec::new() };
    config.ipsets.insert(name.to_owned(), set);
    Ok(())
}

fn add(config: &mut Config, name: &str, given: &Parameters) -> Result<(), ApiError> {
    set(config, name)?;
    let wanted = text(given, "cidr");
    let cidr = match scoped(wanted, &ALIAS_SCOPES) {
        Some((scope, alias)) => {
            resolve(None, config, scope, alias).map_err(ApiError::failed)?;
            wanted.to_owned()
        }
        None => ip_or_cidr(&cleaned(wanted)).map_err(ApiError::failed)?.0,
    };
    let set = set(config, name)?;
    if set.entries.iter().any(|entry| entry.cidr == cidr) {
        return Err(ApiError::parameter("cidr", format!("address '{cidr}' already exists")));
    }
    if cidr.rsplit_once('/').is_some_and(|(_, prefix)| prefix.bytes().all(|byte| byte == b'0')) {
        return Err(ApiError::parameter("cidr", "a zero prefix is not allowed in ipset entries"));
    }
    let entry = Entry {
        cidr,
        nomatch: switch(given, "nomatch") == Some(true),
        comment: text(given, "comment").to_owned(),
        error: None,
    };
    set.entries.insert(0, entry);
    Ok(())
}

fn entry(call: &Call<'_>, file: &File, method: &str, given: &Parameters) -> Answer {
    let (name, cidr) = (text(given, "name"), text(given, "cidr"));
    let missing = || ApiError::parameter("cidr", "no such IP/Network");
    match method {
        "GET" => match with_digest(rows(set(&mut file.config(call), name)?)) {
            Value::Array(rows) => rows.into_iter().find(|row| row["cidr"] == cidr).ok_or_else(missing),
            _ => Err(missing()),
        },
        "PUT" => {
            file.change(call, |config, _| {
                let set = set(config, name)?;
                check_digest(given, &rows(set))?;
                let entry = set.entries.iter_mut().find(|entry| entry.cidr == cidr).ok_or_else(missing)?;
                entry.nomatch = switch(given, "nomatch") == Some(true);
                text(given, "comment").clone_into(&mut entry.comment);
                Ok(())
            })?;
            Ok(Value::Null)
        }
        "DELETE" => {
            file.change(call, |config, _| {
                let set = set(config, name)?;
                check_digest(given, &rows(set))?;
                set.entries.retain(|entry| entry.cidr != cidr);
                Ok(())
            })?;
            Ok(Value::Null)
        }
        _ => Err(ApiError::NoHandler),
    }
}
