//! `/nodes/{node}/config`: a description as comment lines, then `key: value` lines in order of the keys.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use sha1::{Digest as _, Sha1};

use super::{Answer, Call, Parameters, text};
use crate::access::names::list;
use crate::files::write_atomic;

#[derive(Default)]
struct Config {
    description: String,
    settings: BTreeMap<String, String>,
}

fn parse(text: &str) -> Config {
    let mut config = Config::default();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix('#') {
            let _ = writeln!(config.description, "{comment}");
        } else if let Some((key, value)) = line.split_once(':') {
            config.settings.insert(key.trim().to_owned(), value.trim().to_owned());
        }
    }
    config
}

fn written(config: &Config) -> String {
    let mut text = String::new();
    for line in config.description.lines() {
        let _ = writeln!(text, "#{line}");
    }
    for (key, value) in &config.settings {
        let _ = writeln!(text, "{key}: {value}");
    }
    text
}

/// The settings, with a digest of the file.
pub fn read(call: &Call<'_>) -> Value {
    let raw = crate::files::text(&call.host.own("config"));
    let config = parse(&raw);
    let mut row: Map<String, Value> = config.settings.into_iter().map(|(key, value)| (key, json!(value))).collect();
    if !config.description.is_empty() {
        row.insert("description".to_owned(), json!(config.description));
    }
    row.insert("digest".to_owned(), json!(format!("{:x}", Sha1::digest(raw.as_bytes()))));
    Value::Object(row)
}

/// Sets and deletes settings.
pub fn change(call: &Call<'_>, given: &Parameters) -> Answer {
    call.require("/", "Sys.Modify")?;
    let file = call.host.own("config");
    let before = crate::files::text(&file);
    let mut config = parse(&before);
    for (key, value) in given {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match key.as_str() {
            "node" | "delete" | "digest" => {}
            "description" => config.description = value,
            _ => {
                config.settings.insert(key.clone(), value);
            }
        }
    }
    for key in list(text(given, "delete")) {
        if key == "description" {
            config.description.clear();
        }
        config.settings.remove(key);
    }
    let text = written(&config);
    // The real one writes all the same; the database below would be the slowest part of ten thousand calls.
    if text != before {
        write_atomic(&file, text.as_bytes(), 0o640)?;
    }
    Ok(Value::Null)
}
