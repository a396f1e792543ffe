//! `pvesh`: any API call from the command line.

use serde_json::{Map, Value};

use super::options::read;
use super::{connect, fail, output};
use crate::access::user_cfg::ROOT;
use crate::api::{ApiError, Call, schema};
use crate::applet::Arguments;
use crate::console::complain;
use crate::host::Host;

/// Runs `pvesh get|set|create|delete PATH [OPTION…]`.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let host = Host::this();
    connect(&host)?;
    Ok(run_on(&host, arguments))
}

/// Runs `pvesh` on a node.
pub fn run_on(host: &Host, arguments: &[String]) -> u8 {
    let mut words = arguments.to_vec();
    let silent = words.iter().position(|word| matches!(word.as_str(), "--nooutput" | "-nooutput"));
    if let Some(index) = silent {
        words.remove(index);
    }
    let (Some(verb), Some(path)) = (words.first().cloned(), words.get(1).cloned()) else {
        complain("ERROR: no command specified\nUSAGE: pvesh <COMMAND> [ARGS] [OPTIONS]");
        return 255;
    };
    if verb == "get" && path == "/cluster/acme/meta" {
        return crate::acme::meta(&words[2..]);
    }
    let method = match verb.as_str() {
        "get" => "GET",
        "set" => "PUT",
        "create" => "POST",
        "delete" => "DELETE",
        other => {
            complain(format!("ERROR: unknown command 'pvesh {other}'\nUSAGE: pvesh <COMMAND> [ARGS] [OPTIONS]"));
            return 255;
        }
    };
    let found = schema::pattern(&path)
        .and_then(|(pattern, places)| Some((pattern, places, schema::properties(pattern, method, host.release)?)));
    let Some((pattern, places, mut properties)) = found else {
        complain(format!("No '{verb}' handler defined for '{path}'"));
        return 1;
    };
    for place in places.keys() {
        properties.remove(place);
    }
    let usage = usage(&verb, &properties);
    let (given, format) = match read(&words[2..], &properties, &[], &[], true) {
        Ok(read) => read,
        Err(misuse) => {
            complain(format!("{}\n{usage}", misuse.text()));
            return 255;
        }
    };
    match (Call { host, user: ROOT, remote: None }).run(method, &path, given) {
        Ok(answer) => {
            if silent.is_none() {
                output::print(pattern, &answer, &format);
            }
            0
        }
        Err(ApiError::NoHandler) => {
            complain(format!("pve-sim does not play '{verb}' on '{path}'"));
            1
        }
        Err(error) => fail(&error, &usage),
    }
}

fn usage(verb: &str, properties: &Map<String, Value>) -> String {
    let required: Vec<String> = properties
        .iter()
        .filter(|(_, rules)| rules.get("optional").is_none_or(|flag| flag != 1))
        .map(|(name, rules)| format!("--{name} <{}>", rules.get("type").and_then(Value::as_str).unwrap_or("string")))
        .collect();
    let required = if required.is_empty() { String::new() } else { format!(" {}", required.join(" ")) };
    format!("pvesh {verb} <api_path>{required} [OPTIONS] [FORMAT_OPTIONS]")
}
