//! `pve-harden completions SHELL`.

use clap::CommandFactory as _;

use super::args::{Cli, Completions};
use super::output::Output;
use crate::error::{Error, Kind, Result};

/// Prints the script.
pub fn run(args: &Completions, output: Output) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "pve-harden", &mut script);
    let script = String::from_utf8(script).map_err(|error| Error::new(Kind::Internal, error))?;
    output.result(&script).map(|()| 0)
}
