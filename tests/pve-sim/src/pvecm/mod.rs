//! `pvecm`: the cluster's command line, and what PVE does to SSH and certificates behind it.

mod certificates;
mod commands;
mod join;
pub mod ssh;
mod updatecerts;

use crate::applet::Arguments;
use crate::die::Die;
use crate::host::Host;

/// Runs `pvecm`.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let host = Host::this();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["updatecerts", options @ ..] => updatecerts::run(&host, options),
        ["status"] => commands::status(&host),
        ["nodes"] => commands::nodes(&host),
        ["add", peer, ..] => join::run(&host, peer),
        ["create", name] => commands::create(&host, name),
        ["apiver"] => {
            crate::console::say("1");
            Ok(0)
        }
        [] | ["help", ..] => {
            crate::console::complain("ERROR: no command specified\nUSAGE: pvecm <COMMAND> [ARGS] [OPTIONS]");
            Ok(255)
        }
        [other, ..] => Err(Die::new(255, format!("ERROR: unknown command 'pvecm {other}'")).into()),
    }
}
