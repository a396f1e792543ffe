//! The first content of an empty database: what the installer of a fresh node left.

use std::path::Path;

use anyhow::{Context as _, anyhow};

use super::store::{Kind, ROOT, Store};

/// Files of a fresh /etc/pve, laid out by the installer.
pub const SEED: &str = "/var/lib/pve-sim/seed";
/// corosync's own copy of the cluster configuration.
pub const COROSYNC_CONF: &str = "/etc/corosync/corosync.conf";

/// Fills a new database with the files below `seed` and the cluster configuration; leaves any other alone.
pub fn plant(store: &mut Store, seed: &Path, corosync_conf: &Path) -> anyhow::Result<()> {
    if !store.is_new().map_err(|error| anyhow!("reading the database: {error:?}"))? {
        return Ok(());
    }
    copy_folder(store, ROOT, seed)?;
    if let Ok(conf) = std::fs::read(corosync_conf) {
        put_file(store, ROOT, "corosync.conf", &conf)?;
    }
    Ok(())
}

fn copy_folder(store: &mut Store, parent: u64, from: &Path) -> anyhow::Result<()> {
    let Ok(listing) = std::fs::read_dir(from) else {
        return Ok(());
    };
    for file in listing {
        let file = file.with_context(|| format!("reading {}", from.display()))?;
        let name = file.file_name().to_string_lossy().into_owned();
        if file.file_type()?.is_dir() {
            let folder = match store.child(parent, &name) {
                Ok(entry) => entry,
                Err(_) => {
                    store.create(parent, &name, Kind::Folder).map_err(|error| anyhow!("creating {name}: {error:?}"))?
                }
            };
            copy_folder(store, folder.inode, &file.path())?;
        } else {
            put_file(store, parent, &name, &std::fs::read(file.path())?)?;
        }
    }
    Ok(())
}

/// Another member may plant the same moment: what it made is kept.
fn put_file(store: &mut Store, parent: u64, name: &str, content: &[u8]) -> anyhow::Result<()> {
    match store.create(parent, name, Kind::File) {
        Ok(entry) => store.write(entry.inode, 0, content).map_err(|error| anyhow!("writing {name}: {error:?}")),
        Err(error) if error == fuser::Errno::EEXIST => Ok(()),
        Err(error) => Err(anyhow!("creating {name}: {error:?}")),
    }
}
