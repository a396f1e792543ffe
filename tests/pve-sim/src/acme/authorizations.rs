//! What the CA found wrong with an authorization, by its URL, for the Perl module `PVE::ACME`: `get_authorization` there
//! asks the CA once more, here it is told what the CA answered before.

use std::path::PathBuf;

use crate::console::say;
use crate::files::{text, write_atomic};

const FOLDER: &str = "/run/pve-sim-acme";

/// Keeps a problem's detail. Without the folder nothing is kept.
pub(super) fn keep(url: &str, detail: &str) {
    let _ = std::fs::create_dir_all(FOLDER);
    let _ = write_atomic(&file(url), detail.as_bytes(), 0o600);
}

/// `pve-sim acme-authorization URL`: prints what was wrong.
pub fn show(url: &str) -> u8 {
    let detail = text(&file(url));
    if !detail.is_empty() {
        say(detail);
    }
    0
}

fn file(url: &str) -> PathBuf {
    let name: String = url.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    PathBuf::from(FOLDER).join(name)
}
