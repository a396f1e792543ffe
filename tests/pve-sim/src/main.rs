//! Stand-in for Proxmox VE's own programs, for the test lab only.
//!
//! One binary, called by many names: on a lab node `/usr/sbin/pveum`, `/usr/bin/pmxcfs` and the others are symbolic
//! links to it, where the real packages put their programs. It answers as recordings of the real programs do.
//! It is written from the outside: it shares no code and no parser with pve-harden, so that a misunderstanding
//! in one of the two shows as a disagreement.
//!
//! | room | stands for |
//! |---|---|
//! | `install` | what the packages and the installer leave on a fresh node |
//! | `pmxcfs` | the cluster file system on /etc/pve |
//! | `corosync` | membership and votes |
//! | `pvecm` | the cluster's command line, certificates, root's SSH |
//! | `acme` | accounts, orders and the certificate of port 8006, with Debian's uacme |
//! | `access` | users, realms, permissions, passwords, tickets |
//! | `api` | the calls behind `pvesh`, `pveum` and port 8006, checked against PVE's schema |
//! | `cli` | `pvesh`, `pveum`, `pvenode` and the small ones |
//! | `firewall` | what pve-firewall says of itself |
//! | `tasks` | workers behind API calls, and the lists of them |
//! | `pvedaemon`, `pveproxy` | the two halves of the web service |
//! | `idle` | daemons of which only the presence counts |

mod access;
mod acme;
mod api;
mod applet;
mod cfs_lock;
mod cli;
mod console;
mod corosync;
mod daemon;
mod die;
mod files;
mod firewall;
mod host;
mod idle;
mod install;
mod node;
mod percent;
mod pmxcfs;
mod pvecm;
mod pvedaemon;
mod pveproxy;
mod random;
mod release;
mod syslog;
mod tasks;

use std::path::Path;
use std::process::ExitCode;

use applet::Applet;
use die::Die;

fn main() -> ExitCode {
    let mut words = std::env::args();
    let called = words.next().unwrap_or_default();
    let mut name = base_name(&called).to_owned();
    let mut arguments: Vec<String> = words.collect();
    if name == "pve-sim" {
        if arguments.first().is_some_and(|word| word == "install") {
            return finish(install::run(&arguments).map(|()| 0));
        }
        if arguments.first().is_some_and(|word| word == "install-proxmox-firewall") {
            return finish(install::proxmox_firewall(Path::new("/")).map(|()| 0));
        }
        if arguments.first().is_some_and(|word| word == "setup-sshd-config") {
            return finish(pvecm::ssh::open_root_login(&host::Host::this()).map(|_| 0));
        }
        if arguments.first().is_some_and(|word| word == "pve-firewall-module") {
            return finish(firewall::module::run(&arguments[1..]));
        }
        if let ["acme-authorization", url] = arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            return ExitCode::from(acme::authorization(url));
        }
        if arguments.is_empty() {
            console::complain("usage: pve-sim install …, or pve-sim PROGRAM [ARGUMENT…]");
            return ExitCode::from(2);
        }
        name = arguments.remove(0);
        if name == "read-words" && !arguments.is_empty() {
            name = arguments.remove(0);
            arguments = words_of(std::io::stdin());
        }
    }
    if let Some(Applet { run, .. }) = applet::find(&name) {
        finish(run(&arguments))
    } else {
        console::complain(format!("pve-sim: no stand-in for '{name}'"));
        ExitCode::from(127)
    }
}

/// Words that end with a NUL byte each.
fn words_of(mut input: impl std::io::Read) -> Vec<String> {
    let mut bytes = Vec::new();
    let _ = input.read_to_end(&mut bytes);
    let mut words: Vec<String> =
        bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    words.pop();
    words
}

fn base_name(path: &str) -> &str {
    Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or(path)
}

/// The exit status; an error prints as Perl's `die` does and gives 255.
fn finish(outcome: anyhow::Result<u8>) -> ExitCode {
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let text = format!("{error:#}");
            if !text.is_empty() {
                console::complain(text.trim_end());
            }
            ExitCode::from(error.downcast_ref::<Die>().map_or(255, |die| die.code))
        }
    }
}
