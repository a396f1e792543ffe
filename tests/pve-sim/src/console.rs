//! Writing for the caller of a program: results on stdout, messages on stderr.
//!
//! A closed pipe (`pveum role list | head`) is not an error here, as it is none for the real programs.

use std::io::Write as _;

/// Writes `text` and a line break to stdout.
pub fn say(text: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", text.as_ref());
}

/// Writes `text` to stdout as it is.
pub fn put(text: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_ref().as_bytes());
    let _ = out.flush();
}

/// Writes `text` and a line break to stderr.
pub fn complain(text: impl AsRef<str>) {
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "{}", text.as_ref());
}
