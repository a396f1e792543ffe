//! rpcbind: needed by NFS, useless without.

use crate::change::{Action, Change, Stage, UnitVerb};
use crate::facts::Facts;
use crate::facts::network::NfsUse;
use crate::pve::storage;

/// Socket first: a service that is stopped alone is started by the next packet.
const UNITS: [&str; 2] = ["rpcbind.socket", "rpcbind.service"];

/// What uses NFS on this node, if anything.
pub fn nfs_use(facts: &Facts) -> Result<Option<String>, String> {
    let text = facts.text("/etc/pve/storage.cfg");
    let storages = text.certain()?.map(|text| storage::parse(text)).unwrap_or_default();
    if let Some(storage) = storages.iter().find(|storage| storage.kind == "nfs") {
        return Ok(Some(format!("storage {}", storage.id)));
    }
    let found = match facts.network.nfs.required("NFS mounts and exports")?.first() {
        Some(NfsUse::Mount(path)) => Some(format!("mounted at {path}")),
        Some(NfsUse::Fstab(path)) => Some(format!("{path} in /etc/fstab")),
        Some(NfsUse::Export(path)) => Some(format!("{path} is exported")),
        None => None,
    };
    let units = facts.units.required("systemd's units")?;
    let server = units.get("nfs-server.service").is_some_and(|unit| unit.active == "active");
    Ok(found.or_else(|| server.then(|| "nfs-server.service runs".into())))
}

/// The changes that turn it off.
pub fn off(facts: &Facts, id: &str) -> Result<Vec<Change>, String> {
    let units = facts.units.required("systemd's units")?;
    let runs = |name: &&&str| {
        units
            .get(**name)
            .is_some_and(|unit| unit.load == "loaded" && (unit.active == "active" || unit.file_state == "enabled"))
    };
    Ok(UNITS
        .iter()
        .filter(runs)
        .map(|name| Change {
            controls: vec![id.to_owned()],
            stage: Stage::Services,
            summary: format!("stop {name}: nothing here uses NFS"),
            interrupts: None,
            action: Action::Unit { unit: (*name).to_owned(), verb: UnitVerb::DisableNow },
        })
        .collect())
}
