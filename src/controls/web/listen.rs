//! `web.listen`.

use crate::change::{Action, Change, FileChange, FileImage, Stage, UnitVerb};
use crate::controls::conf::{self, included, wanted};
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::{Facts, Listener};
use crate::profile::policy::{Policy, UnusedService};
use crate::pve::pveproxy::PATH;

use super::file::File;

/// The control.
pub struct Listen;
/// `web.listen`.
pub const LISTEN: Listen = Listen;

const ID: &str = "web.listen";
/// The unit of port 3128.
pub(super) const SPICEPROXY: &str = "spiceproxy.service";
const DROPIN: &str = "/etc/systemd/system/spiceproxy.service.d/pve-harden.conf";
const FOLDER: &str = "/etc/systemd/system/spiceproxy.service.d";
/// pve-guests.service wants spiceproxy at every boot, whether it is enabled or not; a condition that never holds keeps
/// it off (`systemd.unit(5)`).
const NEVER: &str = "\
# Written by pve-harden: no guest has a SPICE display. Remove this file and run `systemctl enable --now spiceproxy` to get
# it back.
[Unit]
ConditionPathExists=!/usr/bin/spiceproxy
";

static META: Meta = Meta {
    id: ID,
    title: "Where 8006 and 3128 listen is known, and spiceproxy runs only where it is used",
    why: "What does not listen cannot be attacked. 3128 is open on every node, and most sites never open a SPICE console.",
    checked: "The listening sockets of ports 8006 and 3128, LISTEN_IP in /etc/default/pveproxy, and for spiceproxy the \
              guests of the whole cluster (a `vga: qxl` display) and the console that datacenter.cfg chooses.",
    naive: "LISTEN_IP on a cluster node cuts it off from the others, which reach its 8006 on whatever network they find \
            it; PVE advises against it, and it needs a restart that drops every console. So it is reported and never \
            set: a firewall does the same without binding the daemon. `systemctl disable spiceproxy` lasts until the \
            next boot, as pve-guests.service starts it again; a condition in a drop-in keeps it off.",
    references: &[
        Reference::Man("pveproxy(8)"),
        Reference::Man("spiceproxy(8)"),
        Reference::Source("pve-common src/PVE/Daemon.pm create_reusable_socket"),
        Reference::Source("pve-manager services/pve-guests.service"),
    ],
    level: 1,
    severity: Severity::Low,
};

impl Control for Listen {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.web.listen.enabled
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        [PATH, DROPIN, FOLDER, "/etc/pve/datacenter.cfg"].map(str::to_owned).into()
    }
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let listeners = facts.listeners.required("listening sockets")?;
    let file = File::read(facts)?;
    let clustered = facts.cluster.certain()?.is_some();
    let mut evidence = vec![
        Evidence { source: "tcp/8006".into(), found: addresses(listeners, 8006), wanted: None },
        Evidence { source: "tcp/3128".into(), found: addresses(listeners, 3128), wanted: None },
    ];
    let mut advice = file.repair();
    if let Some(address) = file.settings.value("LISTEN_IP") {
        let source = format!("LISTEN_IP in {PATH}");
        let want = if clustered { "unset on a cluster node" } else { "as it is" };
        evidence.push(Evidence::new(source, address, want));
        if clustered {
            let text = "take LISTEN_IP out and restart pveproxy and spiceproxy when consoles may drop";
            advice = advice.or_else(|| Some(format!("{PATH}: {text}")));
        }
    }
    if !listeners.iter().any(|listener| listener.protocol == "tcp" && listener.port == 8006) {
        advice = advice.or_else(|| Some("nothing listens on 8006: see `journalctl -u pveproxy`".into()));
    }
    let changes = match policy.profile.web.listen.spiceproxy {
        UnusedService::Leave => Vec::new(),
        UnusedService::StopUnused => spiceproxy(facts, policy, &mut evidence)?,
    };
    Ok(Verdict::outcome(changes, advice, evidence))
}

fn addresses(listeners: &[Listener], port: u16) -> String {
    let found = listeners.iter().filter(|listener| listener.protocol == "tcp" && listener.port == port);
    let mut words: Vec<String> = found
        .map(
            |listener| {
                if listener.address.is_unspecified() { "every address".into() } else { listener.address.to_string() }
            },
        )
        .collect();
    words.dedup();
    if words.is_empty() { "nothing listens".into() } else { words.join(", ") }
}

fn spiceproxy(facts: &Facts, policy: &Policy, evidence: &mut Vec<Evidence>) -> Result<Vec<Change>, String> {
    let unit = facts.unit(SPICEPROXY)?;
    let want = |text: &str| wanted(policy, "web.listen.spiceproxy", text);
    if let Some(user) = spice_user(facts)? {
        evidence.push(Evidence::new(SPICEPROXY, user, want("stays, it is used")));
        return Ok(Vec::new());
    }
    evidence.push(Evidence::new(SPICEPROXY, format!("{}, no guest has a SPICE display", unit.active), want("off")));
    let mut changes = Vec::new();
    if unit.load != "loaded" {
        return Ok(changes);
    }
    let change = |summary: &str, interrupts: Option<&str>, action| Change {
        controls: vec![ID.into()],
        stage: Stage::Firewall,
        summary: summary.into(),
        interrupts: interrupts.map(str::to_owned),
        action,
    };
    changes.extend(conf::directory(facts, ID, FOLDER)?.map(|it| Change { stage: Stage::Firewall, ..it }));
    if conf::text(facts, DROPIN)? != Some(NEVER) {
        let before = conf::text(facts, DROPIN)?.map(|text| FileImage::root(text, 0o644));
        let file =
            FileChange { path: DROPIN.into(), before, after: Some(FileImage::root(NEVER, 0o644)), validate: None };
        changes.push(change("spiceproxy stays off at boot", None, Action::File(file)));
    }
    if unit.active == "active" || unit.file_state == "enabled" {
        let action = Action::Unit { unit: SPICEPROXY.into(), verb: UnitVerb::DisableNow };
        changes.push(change("stop spiceproxy", Some("open SPICE consoles drop"), action));
    }
    Ok(changes)
}

/// Whether this run turns spiceproxy off.
pub(super) fn stops_spiceproxy(facts: &Facts, policy: &Policy) -> bool {
    let listen = &policy.profile.web.listen;
    let asked = included(policy, ID, listen.enabled) && listen.spiceproxy == UnusedService::StopUnused;
    asked && spice_user(facts) == Ok(None)
}

/// What needs spiceproxy, if anything: a display, or consoles that open as SPICE.
fn spice_user(facts: &Facts) -> Result<Option<String>, String> {
    let guests = facts.network.guests.required("guests")?;
    if let Some(guest) = guests.iter().find(|guest| guest.spice) {
        return Ok(Some(format!("guest {} on {} has a SPICE display", guest.id, guest.node)));
    }
    let datacenter = facts.text("/etc/pve/datacenter.cfg");
    let settings = datacenter.certain()?.map(|text| crate::pve::datacenter::parse(text)).unwrap_or_default();
    Ok((settings.get("console").map(String::as_str) == Some("vv"))
        .then(|| "datacenter.cfg opens consoles as SPICE".into()))
}
