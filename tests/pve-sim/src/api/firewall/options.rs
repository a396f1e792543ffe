//! `…/firewall/options`

use serde_json::{Map, Value, json};

use super::{File, check_digest, digest};
use crate::access::names::list;
use crate::api::{Answer, ApiError, Call, Parameters, number, schema, text};
use crate::firewall::config::{Config, now};
use crate::firewall::daemon;

fn as_row(config: &Config) -> Map<String, Value> {
    config.options.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Reads or sets options.
pub fn handle(call: &Call<'_>, file: &File, method: &str, path: &str, given: &Parameters) -> Answer {
    if method == "GET" {
        let mut row = as_row(&file.config(call));
        let digest = digest([&row]);
        row.insert("digest".to_owned(), json!(digest));
        return Ok(Value::Object(row));
    }
    let known = schema::properties(path, "PUT", call.host.release).ok_or(ApiError::NoHandler)?;
    let is_option = |name: &str| known.contains_key(name) && !matches!(name, "delete" | "digest" | "node");
    // A datacenter's firewall that is only tried out goes off again by itself.
    let trial = file.node.is_none() && number(given, "enable").is_some_and(|enable| enable > 1);
    file.change(call, |config, _| {
        check_digest(given, &[as_row(config)])?;
        for name in list(text(given, "delete")) {
            if !is_option(name) {
                return Err(ApiError::parameter("delete", format!("no such option '{name}'")));
            }
            config.options.remove(name);
        }
        for (name, value) in given.iter().filter(|(name, _)| is_option(name)) {
            let value = if name == "enable" && trial { Value::from(now()) } else { value.clone() };
            config.options.insert(name.clone(), value);
        }
        Ok(())
    })?;
    if trial && call.host.is_this_machine() {
        daemon::update(call.host).map_err(ApiError::failed)?;
    }
    Ok(Value::Null)
}
