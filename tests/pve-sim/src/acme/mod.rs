//! ACME as PVE does it: accounts and plugins in /etc/pve/priv/acme, orders for the node's domains, the certificate in the
//! node's folder. Debian's `uacme` speaks the protocol; words, files and their order are PVE's
//! (PVE/CLI/pvenode.pm, PVE/API2/ACME.pm, ACMEAccount.pm, PVE/CertHelpers.pm).

mod account;
mod authorizations;
mod certificate;
mod dns01;
mod http01;
mod plugin;
mod uacme;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::Value;

use crate::console::{complain, say};
use crate::host::Host;

pub use authorizations::show as authorization;

/// Runs `pvenode acme …` and `pvenode cert …`; none when it is neither.
pub fn run(host: &Host, words: &[String]) -> Option<u8> {
    let plain: Vec<&str> = words.iter().map(String::as_str).collect();
    let rest = |from: usize| Given::of(words.get(from..).unwrap_or_default());
    let done = match plain.as_slice() {
        ["acme", "account", "register", ..] => account::register(host, &rest(3)),
        ["acme", "account", "update", ..] => account::update(host, &rest(3)),
        ["acme", "account", "list", ..] => account::list(host),
        ["acme", "account", "info", ..] => account::info(host, &rest(3)),
        ["acme", "cert", "order", ..] => certificate::order(host, &rest(3), false),
        ["acme", "cert", "renew", ..] => certificate::order(host, &rest(3), true),
        ["acme", "plugin", "add", ..] => plugin::set(host, &rest(3), true),
        ["acme", "plugin", "set", ..] => plugin::set(host, &rest(3), false),
        ["acme", "plugin", "remove", ..] => plugin::remove(host, &rest(3)),
        ["acme", "plugin", "list", ..] => Ok(0),
        ["cert", "set", ..] => certificate::upload(host, &rest(2)),
        ["cert", "delete", ..] => certificate::delete(host),
        _ => return None,
    };
    Some(done.unwrap_or_else(|error| {
        complain(format!("{error:#}"));
        255
    }))
}

/// `pvesh get /cluster/acme/meta --directory URL`.
pub fn meta(words: &[String]) -> u8 {
    let given = Given::of(words);
    match given.option("directory").context("no directory").and_then(uacme::directory) {
        Ok(directory) => {
            say(directory.get("meta").unwrap_or(&Value::Null).to_string());
            0
        }
        Err(error) => {
            complain(format!("{error:#}"));
            1
        }
    }
}

/// Words of a command line: places, and options with their values.
struct Given {
    places: Vec<String>,
    options: BTreeMap<String, String>,
}

impl Given {
    fn of(words: &[String]) -> Self {
        let mut given = Self { places: Vec::new(), options: BTreeMap::new() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.strip_prefix("--").map(|option| option.split_once('=')) {
                Some(Some((name, value))) => drop(given.options.insert(name.to_owned(), value.to_owned())),
                Some(None) => {
                    let name = word.trim_start_matches('-').to_owned();
                    given.options.insert(name, words.next().cloned().unwrap_or_default());
                }
                None => given.places.push(word.clone()),
            }
        }
        given
    }

    fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    fn flag(&self, name: &str) -> bool {
        self.option(name).is_some_and(|value| value == "1")
    }

    fn place(&self, index: usize) -> Option<&str> {
        self.places.get(index).map(String::as_str)
    }
}

/// PVE's folder of accounts and plugins.
fn folder(host: &Host) -> anyhow::Result<PathBuf> {
    let folder = host.pve("priv/acme");
    if !folder.is_dir() {
        std::fs::create_dir(&folder)?;
    }
    Ok(folder)
}

/// How pvenode ends after a task: the error in one line, and again as the task's status (PVE/RESTEnvironment.pm).
fn task(outcome: anyhow::Result<()>) -> u8 {
    match outcome {
        Ok(()) => {
            say("Task OK");
            0
        }
        Err(error) => {
            let line = format!("{error:#}").replace('\n', " ");
            complain(&line);
            say(format!("Task {line}"));
            255
        }
    }
}
