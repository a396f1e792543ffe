//! `pvenode`: settings of this node.

use super::options::read;
use super::{connect, fail};
use crate::access::user_cfg::ROOT;
use crate::api::{Call, schema};
use crate::applet::Arguments;
use crate::console::{complain, put};
use crate::host::Host;

const PATH: &str = "/nodes/{node}/config";

/// Runs `pvenode config get|set`, `pvenode acme …` and `pvenode cert …`.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let host = Host::this();
    connect(&host)?;
    Ok(run_on(&host, arguments))
}

fn run_on(host: &Host, arguments: &[String]) -> u8 {
    if let Some(status) = crate::acme::run(host, arguments) {
        return status;
    }
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (method, verb) = match words.as_slice() {
        ["config", "get", ..] => ("GET", "get"),
        ["config", "set", ..] => ("PUT", "set"),
        [] => {
            complain("ERROR: no command specified\nUSAGE: pvenode <COMMAND> [ARGS] [OPTIONS]");
            return 255;
        }
        other => {
            complain(format!(
                "ERROR: unknown command 'pvenode {}'\nUSAGE: pvenode <COMMAND> [ARGS] [OPTIONS]",
                other.join(" ")
            ));
            return 255;
        }
    };
    let usage = format!("pvenode config {verb}  [OPTIONS]");
    let mut properties = schema::properties(PATH, method, host.release).unwrap_or_default();
    properties.remove("node");
    let given = match read(&arguments[2..], &properties, &[], &[], false) {
        Ok((given, _)) => given,
        Err(misuse) => {
            complain(format!("{}\n{usage}", misuse.text()));
            return 255;
        }
    };
    let path = format!("/nodes/{}/config", host.name);
    match (Call { host, user: ROOT, remote: None }).run(method, &path, given) {
        Ok(_) => {
            if method == "GET" {
                put(crate::files::text(&host.own("config")));
            }
            0
        }
        Err(error) => fail(&error, &usage),
    }
}
