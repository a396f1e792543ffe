//! The binary itself and its many names.

use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::Context as _;

use super::below;
use crate::applet::{APPLETS, Applet};
use crate::files::lay_out;
use crate::release::{MARKER, Release};

const BINARY: &str = "/usr/lib/pve-sim/pve-sim";

/// Copies this program into the node and links every name to it.
pub fn install(root: &Path, release: Release) -> anyhow::Result<()> {
    let own = std::env::current_exe().context("own path")?;
    let program = std::fs::read(&own).with_context(|| format!("reading {}", own.display()))?;
    lay_out(&below(root, BINARY), &program, 0o755)?;
    lay_out(&below(root, MARKER), format!("{}\n", release.major()).as_bytes(), 0o644)?;
    link(root, "/usr/bin/pve-sim")?;
    for program in ["pvesh", "pveum"] {
        let module = include_str!("module.pm").replace("PROGRAM", program);
        lay_out(&below(root, &format!("/usr/share/perl5/PVE/CLI/{program}.pm")), module.as_bytes(), 0o644)?;
    }
    for applet in APPLETS {
        link(root, &applet.path())?;
    }
    Ok(())
}

/// Links one name to the program that is there already.
pub fn install_one(root: &Path, applet: &Applet) -> anyhow::Result<()> {
    std::fs::create_dir_all(below(root, applet.folder))?;
    link(root, &applet.path())
}

fn link(root: &Path, path: &str) -> anyhow::Result<()> {
    let at = below(root, path);
    let _ = std::fs::remove_file(&at);
    symlink(BINARY, &at).with_context(|| format!("linking {}", at.display()))
}
