//! `kernel.modules`.

use std::fmt::Write as _;

use crate::controls::conf::{self, wanted};
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::Facts;
use crate::facts::gather::Request;
use crate::facts::os::Modules as Fact;
use crate::profile::policy::Policy;

use super::is_container;

/// The control.
pub struct Modules;
/// `kernel.modules`.
pub const MODULES: Modules = Modules;

const ID: &str = "kernel.modules";
const PATH: &str = "/etc/modprobe.d/pve-harden.conf";
/// What a node does not boot, mount or serve guests without, and why.
const NEEDED: [(&str, &str); 17] = [
    ("fuse", "/etc/pve is a FUSE file system"),
    ("overlay", "containers and live images need it"),
    ("squashfs", "rescue and live images need it"),
    ("vfat", "the EFI partition needs it"),
    ("fat", "the EFI partition needs it"),
    ("nls_ascii", "the EFI partition needs it"),
    ("nls_iso8859_1", "the EFI partition needs it"),
    ("ceph", "Ceph storage needs it"),
    ("rbd", "Ceph storage needs it"),
    ("nfs", "NFS storage needs it"),
    ("cifs", "CIFS storage needs it"),
    ("zfs", "ZFS storage needs it"),
    ("iscsi_tcp", "iSCSI storage needs it"),
    ("usb_storage", "rescue media and passed-through devices need it"),
    ("kvm", "guests need it"),
    ("bridge", "guests' networks need it"),
    ("vhost_net", "guests' networks need it"),
];

static META: Meta = Meta {
    id: ID,
    title: "Rare file systems, protocols and FireWire cannot be loaded",
    why: "An unprivileged user or a stick plugged in can make the kernel load drivers that hardly anybody maintains; \
          their holes are the host's, and so every guest's. A FireWire device reads and writes the host's memory by itself; an \
          adapter that is passed through to a guest is vfio-pci's and needs no driver here.",
    checked: "modprobe's own view of all its files (modprobe -c): an install line that refuses, and whether the module \
              is loaded now or there to be loaded. A container has no modules of its own.",
    naive: "A blacklist line alone only stops loading by alias; modprobe NAME still works. Lists copied from servers \
            break PVE: fuse is /etc/pve, vfat the EFI partition, overlay and squashfs live images, usb-storage rescue. \
            This tool refuses these by name.",
    references: &[Reference::Cis13("1.1.1"), Reference::Cis12("1.1.1"), Reference::Man("modprobe.d(5)")],
    level: 1,
    severity: Severity::Low,
};

impl Control for Modules {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.kernel.modules.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        vec!["/etc/modprobe.d".into(), PATH.into()]
    }

    fn ask(&self, policy: &Policy, request: &mut Request) {
        request.modules.extend(policy.profile.kernel.modules.deny.iter().map(|name| plain(name)));
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        if let Some(why) = policy.profile.kernel.modules.deny.iter().find_map(|name| refused(name)) {
            return Verdict::refused(format!("{ID}: {why}"));
        }
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }
}

/// A module's name as the kernel has it.
fn plain(name: &str) -> String {
    name.replace('-', "_")
}

fn refused(name: &str) -> Option<String> {
    let plain = plain(name);
    if plain.is_empty() || !plain.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Some(format!("\"{}\" is no kernel module", name.escape_debug()));
    }
    let (needed, why) = NEEDED.iter().find(|(needed, _)| *needed == plain)?;
    Some(format!("{needed} stays: {why}; take it out of the list"))
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let kernel = facts.os.kernel.required("the running kernel")?;
    if is_container(&kernel.virt) {
        return Ok(Verdict::not_applicable("a container loads no kernel modules; its host does"));
    }
    let modules = facts.os.modules.required("kernel modules")?;
    let deny: Vec<String> = policy.profile.kernel.modules.deny.iter().map(|name| plain(name)).collect();
    let mut evidence = Vec::new();
    let mut open = false;
    for name in &deny {
        let denied = denies(modules, name);
        open |= !denied;
        let found = match (modules.loaded.contains(name), denied) {
            (true, _) => "loaded",
            (false, true) => "refused by modprobe",
            (false, false) if modules.available.contains(name) => "can be loaded",
            (false, false) => "not built for this kernel, not refused",
        };
        let want = (!denied).then(|| wanted(policy, "kernel.modules.deny", "refused"));
        evidence.push(Evidence { source: format!("module {name}"), found: found.into(), wanted: want });
    }
    let mut changes = Vec::new();
    if open || conf::text(facts, PATH)?.is_some() {
        changes.extend(conf::directory(facts, ID, "/etc/modprobe.d")?);
        changes.extend(conf::own(facts, ID, PATH, &text(&deny), "kernel modules that modprobe refuses")?);
    }
    let loaded: Vec<&str> = deny.iter().filter(|name| modules.loaded.contains(*name)).map(String::as_str).collect();
    let mut advice = Vec::new();
    if !loaded.is_empty() {
        advice.push(format!("loaded now, gone after the next reboot unless something needs it: {}", loaded.join(", ")));
    }
    if open && changes.is_empty() {
        advice.push("another file in modprobe.d says otherwise: see `modprobe -c`".into());
    }
    Ok(Verdict::outcome(changes, (!advice.is_empty()).then(|| advice.join("; ")), evidence))
}

fn denies(modules: &Fact, name: &str) -> bool {
    modules.install.get(name).is_some_and(|command| {
        matches!(
            command.split_whitespace().next(),
            Some("/bin/false" | "/bin/true" | "/usr/bin/false" | "/usr/bin/true" | "false" | "true")
        )
    })
}

fn text(deny: &[String]) -> String {
    let mut text = "# Written by pve-harden (kernel.modules).\n".to_owned();
    for name in deny {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "install {name} /bin/false\nblacklist {name}");
    }
    text
}
