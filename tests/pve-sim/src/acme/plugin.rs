//! `pvenode acme plugin`: /etc/pve/priv/acme/plugins.cfg.

use std::fmt::Write as _;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Given, folder};
use crate::files::{text, write_atomic};
use crate::host::Host;

/// `add dns ID …` or `set ID …`.
pub(super) fn set(host: &Host, given: &Given, new: bool) -> anyhow::Result<u8> {
    let id = given.place(usize::from(new)).context("400 not enough arguments")?;
    let file = folder(host)?.join("plugins.cfg");
    let before = text(&file);
    let is_ours = |block: &&str| block.lines().next().is_some_and(|line| line == format!("dns: {id}"));
    let there = before.split("\n\n").any(|block| is_ours(&block));
    ensure!(!(new && there), "ACME plugin ID '{id}' already exists");
    ensure!(new || there, "ACME plugin ID '{id}' does not exist");
    let mut after: String = before.split("\n\n").filter(|block| !is_ours(block) && !block.trim().is_empty()).fold(
        String::new(),
        |mut all, block| {
            let _ = write!(all, "{}\n\n", block.trim_end());
            all
        },
    );
    let _ = writeln!(after, "dns: {id}");
    if let Some(api) = given.option("api") {
        let _ = writeln!(after, "\tapi {api}");
    }
    if let Some(data) = given.option("data") {
        let data = std::fs::read(data).with_context(|| format!("can't open '{data}'"))?;
        let _ = writeln!(after, "\tdata {}", URL_SAFE_NO_PAD.encode(data));
    }
    if let Some(delay) = given.option("validation-delay") {
        let _ = writeln!(after, "\tvalidation-delay {delay}");
    }
    after.push('\n');
    write_atomic(&file, after.as_bytes(), 0o600)?;
    Ok(0)
}

/// A DNS plugin as it is stored.
pub(super) struct Plugin {
    pub(super) api: String,
    pub(super) data: String,
    pub(super) delay: u32,
}

/// The plugin of this id.
pub(super) fn find(host: &Host, id: &str) -> Option<Plugin> {
    let file = text(&host.pve("priv/acme").join("plugins.cfg"));
    let block = file.split("\n\n").find(|block| block.lines().next() == Some(&format!("dns: {id}")))?;
    let setting = |name: &str| {
        block.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(' ').map(str::to_owned))
    };
    let data = URL_SAFE_NO_PAD.decode(setting("data").unwrap_or_default()).unwrap_or_default();
    Some(Plugin {
        api: setting("api").unwrap_or_default(),
        data: String::from_utf8_lossy(&data).into_owned(),
        delay: setting("validation-delay").and_then(|text| text.parse().ok()).unwrap_or(30),
    })
}

/// `remove ID`.
pub(super) fn remove(host: &Host, given: &Given) -> anyhow::Result<u8> {
    let id = given.place(0).context("400 not enough arguments")?;
    let file = folder(host)?.join("plugins.cfg");
    let before = text(&file);
    let blocks = before.split("\n\n").filter(|block| block.lines().next() != Some(&format!("dns: {id}")));
    write_atomic(&file, blocks.collect::<Vec<_>>().join("\n\n").as_bytes(), 0o600)?;
    Ok(0)
}
