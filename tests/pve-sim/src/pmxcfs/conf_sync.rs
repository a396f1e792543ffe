//! Carrying a newer cluster configuration from /etc/pve to corosync's own copy, as pmxcfs does on each member.

use std::path::Path;
use std::time::Duration;

use super::store::Store;
use crate::corosync::conf::Configuration;
use crate::files::{text, write_atomic};
use crate::syslog::Syslog;

const LOG: Syslog = Syslog::new("pmxcfs");
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Watches the tree until the program ends.
pub fn watch(store: Store, local: &'static Path) {
    std::thread::spawn(move || {
        let mut seen = 0;
        loop {
            let version = store.file_version("corosync.conf");
            if version != seen {
                seen = version;
                carry(&store, local);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    });
}

fn carry(store: &Store, local: &Path) {
    let Ok(shared) = store.at("corosync.conf").and_then(|entry| store.read(entry.inode)) else {
        return;
    };
    let newer = Configuration::parse(&String::from_utf8_lossy(&shared));
    let present = Configuration::parse(&text(local)).unwrap_or_default();
    if newer.is_ok_and(|newer| newer.version > present.version) && write_atomic(local, &shared, 0o644).is_ok() {
        LOG.info("[dcdb] notice: wrote new corosync config '/etc/corosync/corosync.conf'");
    }
}
