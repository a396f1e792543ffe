//! PVE's command lines.

mod node;
mod options;
mod output;
mod passwords;
mod pvesh;
mod pveum;
mod pveum_commands;
mod small;
mod table;

pub use node::run as pvenode;
pub use pvesh::run as pvesh;
pub use pveum::run as pveum;
pub use small::{ha_manager, pve_firewall, pvebanner, pvesubscription, pveupdate, pveversion};

use serde_json::{Map, Value};

use crate::api::{ApiError, Parameters};
use crate::console::complain;
use crate::die::Die;
use crate::host::Host;

/// Reads the options of a command without places; the words above the usage line when they are wrong.
pub fn read_options(words: &[String], properties: &Map<String, Value>) -> Result<Parameters, String> {
    options::read(words, properties, &[], &[], false).map(|(given, _)| given).map_err(|misuse| misuse.text())
}

const ECONNREFUSED: u8 = 111;

/// What each program does first: talk to pmxcfs. It answers root only, and only while it runs.
fn connect(host: &Host) -> anyhow::Result<()> {
    warn_of_locale();
    let may = rustix::process::geteuid().is_root() || std::env::var_os(crate::host::ROOT).is_some();
    let (code, reason) = if !may {
        (255, "Unknown error -1")
    } else if host.is_mounted() {
        return Ok(());
    } else {
        (ECONNREFUSED, "Connection refused")
    };
    for message in 1..=3 {
        complain(format!("ipcc_send_rec[{message}] failed: {reason}"));
    }
    Err(Die::new(code, format!("Unable to load access control list: {reason}")).into())
}

/// Perl's complaint about a locale that the node does not have, as an SSH client may send one.
fn warn_of_locale() {
    let value = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let Some(wanted) = value("LC_ALL").or_else(|| value("LANG")) else { return };
    let known = matches!(wanted.as_str(), "C" | "POSIX" | "C.UTF-8" | "C.utf8")
        || std::path::Path::new("/usr/lib/locale/locale-archive").exists();
    if known {
        return;
    }
    let shown = |name: &str| value(name).map_or_else(|| "(unset)".to_owned(), |value| format!("\"{value}\""));
    complain("perl: warning: Setting locale failed.\nperl: warning: Please check that your locale settings:");
    complain(format!("\tLANGUAGE = {},\n\tLC_ALL = {},", shown("LANGUAGE"), shown("LC_ALL")));
    complain(format!("\tLANG = {}\n    are supported and installed on your system.", shown("LANG")));
    complain("perl: warning: Falling back to the standard locale (\"C\").");
}

/// Prints a failure with the usage line that follows wrong parameters; gives the exit status.
fn fail(error: &ApiError, usage: &str) -> u8 {
    match error {
        ApiError::Parameters(_) => {
            complain(format!("{error}\n{usage}"));
            255
        }
        ApiError::Verified(_) => {
            complain(format!("{error}\n{usage}"));
            2
        }
        ApiError::Failed { code, message } => {
            complain(message.trim_end());
            *code
        }
        other => {
            complain(other.to_string());
            255
        }
    }
}
