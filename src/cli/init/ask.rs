//! Questions of `init`, and who answers them.

use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};

use dialoguer::{Input, Select};
use ipnet::IpNet;

use super::draft::read_keys;
use super::{InitArgs, parse_sudo};
use crate::error::{Error, Kind, Result};
use crate::profile::select::Target;
use crate::profile::{names, network};

/// Somebody who answers.
pub trait Ask {
    /// One line; `check` says what is wrong with an answer, which is then asked again.
    fn line(&mut self, question: &str, default: Option<&str>, check: &dyn Fn(&str) -> Option<String>)
    -> Result<String>;
    /// The index of one of these.
    fn choose(&mut self, question: &str, choices: &[String]) -> Result<usize>;
}

/// A person at a terminal.
#[derive(Debug, Default)]
pub struct Terminal;

impl Ask for Terminal {
    fn line(
        &mut self,
        question: &str,
        default: Option<&str>,
        check: &dyn Fn(&str) -> Option<String>,
    ) -> Result<String> {
        let mut input = Input::<String>::new().with_prompt(question);
        if let Some(default) = default {
            input = input.default(default.to_owned());
        }
        let judge = |answer: &String| check(answer.trim()).map_or(Ok(()), Err);
        input.validate_with(judge).interact_text().map(|answer| answer.trim().to_owned()).map_err(stopped)
    }

    fn choose(&mut self, question: &str, choices: &[String]) -> Result<usize> {
        Select::new().with_prompt(question).items(choices).default(0).interact().map_err(stopped)
    }
}

fn stopped(why: dialoguer::Error) -> Error {
    Error::new(Kind::Refused, anyhow::Error::new(why).context("the questions were not answered"))
        .state("nothing was written")
        .hint("run it again, or give the answers as flags: pve-harden init --help")
}

/// Asks for everything the flags leave open.
pub fn fill(args: &mut InitArgs, ask: &mut dyn Ask, home: Option<&Path>) -> Result<()> {
    if args.host.is_empty() {
        let answer = ask.line("Nodes ([NAME=]address, several with spaces)", None, &|text| {
            each(text, |word| {
                let target = word.split_once('=').map_or(word, |(_, target)| target);
                Target::parse(target).err().map(|e| e.to_string())
            })
        })?;
        args.host = words(&answer);
    }
    if args.management.is_empty() {
        let guess = args.host.iter().find_map(|host| own_network(host)).map(|net| net.to_string());
        let answer = ask.line("Networks you administer from (several with spaces)", guess.as_deref(), &|text| {
            each(text, |word| {
                network::parse(word)
                    .err()
                    .map(|p| [Some(p.what), p.help].into_iter().flatten().collect::<Vec<_>>().join("; "))
            })
        })?;
        args.management = words(&answer);
    }
    if args.admin.is_none() {
        let me = std::env::var("USER").ok().filter(|name| names::login_problem(name).is_none());
        args.admin = Some(ask.line("Linux name of the first administrator", me.as_deref(), &names::login_problem)?);
    }
    if args.key_file.is_empty() {
        args.key_file.push(key_file(ask, home)?);
    }
    if args.sudo.is_none() {
        let modes = ["nopasswd: the SSH key is enough", "password: sudo asks for the administrator's own password"];
        let chosen = ask.choose("How does the administrator become root?", &modes.map(str::to_owned))?;
        let word = modes.get(chosen).and_then(|mode| mode.split(':').next()).unwrap_or_default();
        args.sudo = parse_sudo(word).ok();
    }
    Ok(())
}

fn words(text: &str) -> Vec<String> {
    text.split([' ', ',', '\t']).filter(|w| !w.is_empty()).map(str::to_owned).collect()
}

fn each(text: &str, problem: impl Fn(&str) -> Option<String>) -> Option<String> {
    let words = words(text);
    if words.is_empty() {
        return Some("at least one is needed".into());
    }
    words.iter().find_map(|word| problem(word))
}

fn key_file(ask: &mut dyn Ask, home: Option<&Path>) -> Result<PathBuf> {
    let found = home.map(public_keys).unwrap_or_default();
    let mut choices: Vec<String> = found.iter().map(|p| p.to_string_lossy().into_owned()).collect();
    if !choices.is_empty() {
        choices.push("another file".into());
        let chosen = ask.choose("Public key of this administrator", &choices)?;
        if let Some(path) = found.get(chosen) {
            return Ok(path.clone());
        }
    }
    let expand = |text: &str| match (text.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(text),
    };
    let check = |text: &str| read_keys(&expand(text)).err().map(|e| format!("{e}; {}", e.hint_text()));
    ask.line("Public key file of this administrator", None, &check).map(|answer| expand(&answer))
}

/// Usable key files in ~/.ssh, Ed25519 first.
fn public_keys(home: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(home.join(".ssh")) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "pub") && read_keys(path).is_ok())
        .collect();
    files.sort_by_key(|path| (!path.to_string_lossy().contains("ed25519"), path.clone()));
    files
}

/// The network this machine would use towards a node: a private one as a whole, else the one address. Connecting a
/// UDP socket sends nothing; names are not resolved.
fn own_network(host: &str) -> Option<IpNet> {
    let target = host.split_once('=').map_or(host, |(_, target)| target);
    let address: IpAddr = Target::parse(target).ok()?.address.parse().ok()?;
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect((address, 22)).ok()?;
    let own = socket.local_addr().ok()?.ip();
    let bits = match own {
        _ if own.is_loopback() => return None,
        IpAddr::V4(v4) if v4.is_private() => 24,
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 64,
    };
    IpNet::new(own, bits).ok().map(|net| net.trunc())
}
