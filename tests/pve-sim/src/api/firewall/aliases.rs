//! `/cluster/firewall/aliases`

use serde_json::{Map, Value, json};

use super::{File, check_digest, row, with_digest};
use crate::api::{Answer, ApiError, Call, Parameters, given_text, text};
use crate::firewall::config::{Alias, Config};

/// Calls on aliases.
pub fn handle(call: &Call<'_>, file: &File, method: &str, below: &str, given: &Parameters) -> Answer {
    let name = text(given, "name");
    let key = name.to_lowercase();
    match (method, below) {
        ("GET", "/aliases") => Ok(with_digest(rows(&file.config(call)))),
        ("GET", _) => {
            let config = file.config(call);
            let alias = config.aliases.get(&key).ok_or_else(|| ApiError::parameter("name", "no such alias"))?;
            Ok(Value::Object(as_row(alias)))
        }
        ("POST", _) => {
            file.change(call, |config, _| {
                if config.aliases.contains_key(&key) {
                    return Err(ApiError::parameter("name", format!("alias '{name}' already exists")));
                }
                config.aliases.insert(key.clone(), alias(name, given));
                Ok(())
            })?;
            Ok(Value::Null)
        }
        ("PUT", _) => {
            file.change(call, |config, _| update(config, name, given))?;
            Ok(Value::Null)
        }
        ("DELETE", _) => {
            file.change(call, |config, _| {
                check_digest(given, &rows(config))?;
                config.aliases.remove(&key);
                Ok(())
            })?;
            Ok(Value::Null)
        }
        _ => Err(ApiError::NoHandler),
    }
}

fn alias(name: &str, given: &Parameters) -> Alias {
    Alias {
        name: name.to_owned(),
        cidr: text(given, "cidr").to_owned(),
        family: None,
        comment: text(given, "comment").to_owned(),
    }
}

fn as_row(alias: &Alias) -> Map<String, Value> {
    let mut row = row([("name", &alias.name), ("cidr", &alias.cidr), ("comment", &alias.comment)]);
    if let Some(family) = alias.family {
        row.insert("ipversion".to_owned(), json!(family.number()));
    }
    row
}

fn rows(config: &Config) -> Vec<Map<String, Value>> {
    config.aliases.values().map(as_row).collect()
}

fn update(config: &mut Config, name: &str, given: &Parameters) -> Result<(), ApiError> {
    check_digest(given, &rows(config))?;
    let key = name.to_lowercase();
    if !config.aliases.contains_key(&key) {
        return Err(ApiError::parameter("name", "no such alias"));
    }
    let renamed = given_text(given, "rename").filter(|new| new.to_lowercase() != key);
    if let Some(new) = renamed {
        if config.aliases.contains_key(&new.to_lowercase()) {
            return Err(ApiError::parameter("name", format!("alias '{new}' already exists")));
        }
        config.aliases.remove(&key);
    }
    let name = renamed.unwrap_or(name);
    config.aliases.insert(name.to_lowercase(), alias(name, given));
    Ok(())
}
