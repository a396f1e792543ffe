//! `pve-harden man DIR`.

use std::io;

use clap::CommandFactory as _;
use clap_mangen::roff::{Roff, bold, roman};

use super::args::{Cli, Man};
use crate::controls::{CATALOGUE, Meta};
use crate::error::{Error, Kind, Result};
use crate::render::explain;
use crate::report::document::source;

/// Writes one page per verb, and one about the controls.
pub fn run(args: &Man) -> Result<u8> {
    let write = || -> io::Result<()> {
        std::fs::create_dir_all(&args.dir)?;
        clap_mangen::generate_to(Cli::command(), &args.dir)?;
        std::fs::write(args.dir.join("pve-harden-controls.7"), controls())
    };
    write().map(|()| 0).map_err(|error| {
        Error::msg(Kind::Usage, format!("manual pages cannot be written to {}: {error}", args.dir.display()))
            .hint("name a folder you may write to")
    })
}

/// The catalogue as a page of section 7.
fn controls() -> String {
    let mut page = Roff::new();
    page.control("TH", ["pve-harden-controls", "7", "", concat!("pve-harden ", env!("CARGO_PKG_VERSION"))]);
    page.control("SH", ["NAME"]).text([roman("pve-harden-controls - what pve-harden judges, and why")]);
    page.control("SH", ["DESCRIPTION"]).text([roman(
        "Level 1 is for everyone, 2 is stricter, 3 has real drawbacks. Profiles decide which are enabled. \
         `pve-harden explain CONTROL` prints the same.",
    )]);
    page.control("SH", ["CONTROLS"]);
    for control in CATALOGUE {
        chapter(&mut page, control.meta());
    }
    page.control("SH", ["SEE ALSO"]).text([
        bold("pve-harden"),
        roman("(1), "),
        bold("pve-harden-explain"),
        roman("(1)"),
    ]);
    page.to_roff()
}

fn chapter(page: &mut Roff, meta: &Meta) {
    let rank = format!("Level {}, severity {}.", meta.level, explain::severity(meta.severity));
    page.control("SS", [meta.id]).text([bold(meta.title), roman(". "), roman(rank)]);
    for (heading, body) in [("Why:", meta.why), ("Checked:", meta.checked), ("Done naively:", meta.naive)] {
        page.control("PP", []).text([bold(heading), roman(" "), roman(body)]);
    }
    let references: Vec<String> = meta.references.iter().map(|reference| source(*reference)).collect();
    page.control("PP", []).text([bold("References:"), roman(" "), roman(references.join("; "))]);
}
