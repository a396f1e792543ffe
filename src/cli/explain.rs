//! `pve-harden explain [CONTROL]`.

use super::args::Explain;
use super::output::Output;
use crate::controls::CATALOGUE;
use crate::error::Result;
use crate::plan;
use crate::render::explain;

/// Lists the catalogue, or explains one control.
pub fn run(args: &Explain, output: Output) -> Result<u8> {
    let text = match &args.control {
        None => explain::list(CATALOGUE, output.stdout),
        Some(id) => {
            let control = CATALOGUE.iter().find(|control| control.meta().id == id);
            explain::control(control.ok_or_else(|| plan::unknown(CATALOGUE, id))?.meta(), output.stdout)
        }
    };
    output.result(&text).map(|()| 0)
}
