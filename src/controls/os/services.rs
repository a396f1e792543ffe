//! `os.services`.

use crate::change::{Action, Change, Stage, UnitVerb};
use crate::controls::conf::wanted;
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::Facts;
use crate::facts::gather::Request;
use crate::profile::policy::Policy;

/// The control.
pub struct Services;
/// `os.services`.
pub const SERVICES: Services = Services;

const ID: &str = "os.services";
/// Beginnings of units that PVE, its storage or the way in need.
const NEEDED: [&str; 26] = [
    "pve",
    "proxmox",
    "qmeventd",
    "spiceproxy",
    "corosync",
    "watchdog-mux",
    "ssh",
    "systemd-",
    "dbus",
    "cron",
    "chrony",
    "postfix",
    "rpcbind",
    "nfs-",
    "rpc-",
    "rsync",
    "open-iscsi",
    "iscsid",
    "multipath",
    "zfs",
    "lvm2",
    "ceph",
    "lxc",
    "ksmtuned",
    "networking",
    "ifupdown2",
];

static META: Meta = Meta {
    id: ID,
    title: "Services that have no place on a hypervisor do not run",
    why: "Every daemon that answers the network is a way to root of the host, and so of every guest.",
    checked: "The state of each forbidden unit: neither active nor enabled. A unit that does not exist is right.",
    naive: "General lists remove rpcbind (NFS storage, see network.listen), rsync and postfix (PVE sends its mails with \
            it), open-iscsi and zfs-zed. This tool refuses to stop what PVE needs, whatever a profile says, and never \
            removes a package.",
    references: &[Reference::Cis13("2.1"), Reference::Cis12("2.1"), Reference::Source("pve-manager debian/control")],
    level: 1,
    severity: Severity::Medium,
};

impl Control for Services {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.os.services.enabled
    }

    fn ask(&self, policy: &Policy, request: &mut Request) {
        request.units.extend(policy.profile.os.services.forbid.iter().cloned());
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        if let Some(why) = policy.profile.os.services.forbid.iter().find_map(|unit| refused(unit)) {
            return Verdict::refused(format!("{ID}: {why}"));
        }
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }
}

fn refused(unit: &str) -> Option<String> {
    let good = unit.contains('.') && unit.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-@:".contains(&byte));
    if !good || unit.starts_with('-') {
        return Some(format!("\"{}\" is no unit", unit.escape_debug()));
    }
    let needed = NEEDED.iter().any(|beginning| unit.starts_with(beginning));
    needed.then(|| format!("{unit} stays: PVE or its storage needs it; take it out of the list"))
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let units = facts.units.required("systemd's units")?;
    let (mut changes, mut evidence, mut right) = (Vec::new(), Vec::new(), 0);
    for name in &policy.profile.os.services.forbid {
        let unit = units.get(name).ok_or_else(|| format!("{name}: the capture does not contain it"))?;
        let runs = matches!(unit.active.as_str(), "active" | "activating" | "reloading");
        let starts = matches!(unit.file_state.as_str(), "enabled" | "enabled-runtime" | "alias" | "linked");
        if unit.load == "not-found" || !(runs || starts) {
            right += 1;
            continue;
        }
        let want = wanted(policy, "os.services.forbid", "neither runs nor starts");
        evidence.push(Evidence::new(name.as_str(), format!("{}, {}", unit.active, unit.file_state), want));
        changes.push(Change {
            controls: vec![ID.into()],
            stage: Stage::Services,
            summary: format!("stop {name} and keep it from starting"),
            interrupts: runs.then(|| format!("{name} stops")),
            action: Action::Unit { unit: name.clone(), verb: UnitVerb::DisableNow },
        });
    }
    if right > 0 {
        let found = format!("{right} of {} units are absent or off", policy.profile.os.services.forbid.len());
        evidence.push(Evidence { source: "systemctl show".into(), found, wanted: None });
    }
    Ok(Verdict::outcome(changes, None, evidence))
}
