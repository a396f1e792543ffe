//! The two streams: results on standard output, everything else on standard error.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anstream::{AutoStream, ColorChoice};

use super::args::Global;
use crate::error::{Error, Kind, Result};
use crate::render::Palette;

/// Where things go, and whether they may be coloured.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// For results.
    pub stdout: Palette,
    /// For messages.
    pub stderr: Palette,
    /// `-v` given so often.
    pub verbose: u8,
}

impl Output {
    /// Colour on a terminal, unless `NO_COLOR` or `--no-color` say otherwise.
    pub fn new(global: &Global) -> Self {
        let coloured = |choice: ColorChoice| Palette::new(!global.no_color && choice != ColorChoice::Never);
        Self {
            stdout: coloured(AutoStream::choice(&io::stdout())),
            stderr: coloured(AutoStream::choice(&io::stderr())),
            verbose: global.verbose,
        }
    }

    /// Prints a result. A reader that went away wanted no more; that is no failure.
    pub fn result(self, text: &str) -> Result<()> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Error::new(Kind::Internal, error).hint("standard output cannot be written"))
            }
            _ => Ok(()),
        }
    }

    /// Says something on standard error; a closed one loses it.
    pub fn say(self, text: &str) {
        say(text);
    }
}

/// Says something on standard error; a closed one loses it.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Writes a file as a whole or not at all, readable by its owner alone.
pub fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    write_with_mode(path, content, 0o600)
}

/// Writes a file without secrets as a whole or not at all, with the mode the operator's own umask gives.
pub fn write_shared(path: &Path, content: &[u8]) -> Result<()> {
    write_with_mode(path, content, 0o666 & !super::operators_umask().as_raw_mode())
}

fn write_with_mode(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(content)?;
        file.as_file().set_permissions(Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|error| {
        Error::msg(Kind::Usage, format!("{} cannot be written: {error}", path.display()))
            .hint("name a file in a folder you may write to")
    })
}
