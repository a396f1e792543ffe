//! `pve-harden man DIR`.

use std::io;

use clap::CommandFactory as _;

use super::args::{Cli, Man};
use crate::controls::CATALOGUE;
use crate::error::{Error, Kind, Result};
use crate::render::manual;

/// Writes one page per verb, and one about the controls.
pub fn run(args: &Man) -> Result<u8> {
    let write = || -> io::Result<()> {
        std::fs::create_dir_all(&args.dir)?;
        clap_mangen::generate_to(Cli::command(), &args.dir)?;
        std::fs::write(args.dir.join("pve-harden-controls.7"), manual::controls(CATALOGUE))
    };
    write().map(|()| 0).map_err(|error| {
        Error::msg(Kind::Usage, format!("manual pages cannot be written to {}: {error}", args.dir.display()))
            .hint("name a folder you may write to")
    })
}
