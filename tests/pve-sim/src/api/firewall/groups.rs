//! `/cluster/firewall/groups`

use serde_json::{Map, Value};

use super::{File, check_digest, row, with_digest};
use crate::api::{Answer, ApiError, Call, Parameters, given_text, text};
use crate::firewall::config::{Config, Group};

/// Calls on the list of groups.
pub fn handle(call: &Call<'_>, file: &File, method: &str, given: &Parameters) -> Answer {
    match method {
        "GET" => Ok(with_digest(index(&file.config(call)))),
        "POST" => {
            file.change(call, |config, _| create(config, given))?;
            Ok(Value::Null)
        }
        _ => Err(ApiError::NoHandler),
    }
}

/// Removes a group without rules.
pub fn delete(call: &Call<'_>, file: &File, given: &Parameters) -> Answer {
    let name = text(given, "group");
    file.change(call, |config, _| {
        let group =
            config.groups.get(name).ok_or_else(|| ApiError::failed(format!("no such security group '{name}'")))?;
        if !group.rules.is_empty() {
            return Err(ApiError::failed(format!("Security group '{name}' is not empty")));
        }
        config.groups.remove(name);
        Ok(())
    })?;
    Ok(Value::Null)
}

fn index(config: &Config) -> Vec<Map<String, Value>> {
    config.groups.iter().map(|(name, group)| row([("group", name), ("comment", &group.comment)])).collect()
}

fn create(config: &mut Config, given: &Parameters) -> Result<(), ApiError> {
    let name = text(given, "group");
    if let Some(old) = given_text(given, "rename") {
        return rename(config, old, name, given);
    }
    if config.groups.contains_key(name) {
        return Err(ApiError::parameter("group", format!("Security group '{name}' already exists")));
    }
    let group = Group { comment: text(given, "comment").to_owned(), rules: Vec::new() };
    config.groups.insert(name.to_owned(), group);
    Ok(())
}

/// Rules that jump to the group follow it, those of the datacenter's file at least.
fn rename(config: &mut Config, old: &str, name: &str, given: &Parameters) -> Result<(), ApiError> {
    check_digest(given, &index(config))?;
    let Some(mut group) = config.groups.get(old).cloned() else {
        return Err(ApiError::parameter("group", format!("Security group '{old}' does not exist")));
    };
    if old != name && config.groups.contains_key(name) {
        return Err(ApiError::parameter("group", format!("Security group '{name}' does already exist")));
    }
    if let Some(comment) = given_text(given, "comment") {
        comment.clone_into(&mut group.comment);
    }
    config.groups.remove(old);
    config.groups.insert(name.to_owned(), group);
    for rule in config.rules.iter_mut().filter(|rule| rule.kind == "group" && rule.action == old) {
        name.clone_into(&mut rule.action);
    }
    Ok(())
}
