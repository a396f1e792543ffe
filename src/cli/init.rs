//! `pve-harden init`: writes a first site file, from flags or from answers on a terminal.

mod ask;
mod draft;

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::output::Output;
use crate::error::{Error, Kind, Result};
use crate::profile::policy::Sudo;
use crate::sanitize;
use ask::{Ask, Terminal};
use draft::Draft;

/// `init`.
#[derive(Debug, Default, Args)]
pub struct InitArgs {
    /// A node, repeatable: [NAME=][user@]address[:port]
    #[arg(long, value_name = "HOST")]
    pub host: Vec<String>,
    /// Network you administer from, repeatable, e.g. 192.0.2.0/24
    #[arg(long, value_name = "CIDR")]
    pub management: Vec<String>,
    /// Linux name of the first administrator
    #[arg(long, value_name = "NAME")]
    pub admin: Option<String>,
    /// Public key file of this administrator, repeatable
    #[arg(long, value_name = "FILE")]
    pub key_file: Vec<PathBuf>,
    /// How the administrator becomes root: nopasswd, or password (asked for when the account is made); without a terminal nopasswd
    #[arg(long, value_name = "MODE", value_parser = parse_sudo)]
    pub sudo: Option<Sudo>,
    /// File to write
    #[arg(long, short, value_name = "FILE", default_value = "site.toml")]
    pub output: PathBuf,
    /// Replace an existing file
    #[arg(long)]
    pub force: bool,
}

fn parse_sudo(text: &str) -> Result<Sudo, String> {
    match text {
        "nopasswd" => Ok(Sudo::Nopasswd),
        "password" => Ok(Sudo::Password),
        _ => Err("expected nopasswd or password".into()),
    }
}

/// Asks what the flags leave open, when there is somebody to ask, and writes the file. The value is the exit code.
pub fn run(args: InitArgs, output: Output) -> Result<u8> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let somebody = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let mut terminal = somebody.then(Terminal::default);
    let said = run_with(args, terminal.as_mut().map(|t| t as &mut dyn Ask), home.as_deref())?;
    output.result(&said).map(|()| 0)
}

/// As [`run`], with whoever answers and the home folder given. The value is what to say.
pub fn run_with(mut args: InitArgs, ask: Option<&mut dyn Ask>, home: Option<&Path>) -> Result<String> {
    let shown = sanitize::line(&args.output.to_string_lossy()).into_owned();
    if !args.force && args.output.symlink_metadata().is_ok() {
        let error = Error::msg(Kind::Usage, format!("{shown} exists already")).state("nothing was written");
        return Err(error.hint("name another file with --output, or replace it with --force"));
    }
    match ask {
        Some(ask) => ask::fill(&mut args, ask, home)?,
        None => require_flags(&args)?,
    }
    let text = Draft::from_args(&args)?.render()?;
    save(&args.output, &text, args.force)?;
    Ok(format!(
        "{shown} is written.\n\
         Next: a fresh node knows root's password only. Put PVE_ROOT_PASS='…' into {} (chmod 600), or wait to be asked.\n\
         Then: pve-harden plan{}\n",
        sanitize::line(&args.output.with_file_name(".env").to_string_lossy()),
        if args.output == Path::new("site.toml") { String::new() } else { format!(" --site {shown}") },
    ))
}

fn require_flags(args: &InitArgs) -> Result<()> {
    let flags = [
        ("--host", args.host.is_empty()),
        ("--management", args.management.is_empty()),
        ("--admin", args.admin.is_none()),
        ("--key-file", args.key_file.is_empty()),
    ];
    let missing: Vec<&str> = flags.into_iter().filter(|(_, open)| *open).map(|(flag, _)| flag).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let error = Error::msg(Kind::Usage, format!("there is no terminal to ask on: give {}", missing.join(", ")));
    Err(error.state("nothing was written").hint(
        "e.g. pve-harden init --host pve1=192.0.2.10 --management 192.0.2.0/24 --admin ops --key-file ~/.ssh/id_ed25519.pub",
    ))
}

/// Writes beside the target and renames, so that nobody ever sees half a file; mode 0600.
fn save(path: &Path, text: &str, force: bool) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        let outcome = if force { file.persist(path) } else { file.persist_noclobber(path) };
        outcome.map(|_| ()).map_err(|e| e.error)
    });
    written.map_err(|why| {
        let shown = sanitize::line(&path.to_string_lossy()).into_owned();
        Error::new(Kind::Usage, anyhow::Error::new(why).context(format!("{shown} could not be written")))
            .state("nothing was written")
            .hint("name a file in a folder of your own with --output")
    })
}

#[cfg(test)]
mod tests;
