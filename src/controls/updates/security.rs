//! `updates.security`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::change::{Action, Change, Stage, UnitVerb};
use crate::controls::conf::{self, wanted};
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::Facts;
use crate::facts::gather::Request;
use crate::profile::policy::Policy;

/// The control.
pub struct Security;
/// `updates.security`.
pub const SECURITY: Security = Security;

const ID: &str = "updates.security";
const PACKAGE: &str = "unattended-upgrades";
/// Sorts after the package's own `50unattended-upgrades` and what people usually add: the last file counts.
const PATH: &str = "/etc/apt/apt.conf.d/99zz-pve-harden-updates";
const TIMERS: [&str; 2] = ["apt-daily.timer", "apt-daily-upgrade.timer"];
const ORIGINS: &str = "Unattended-Upgrade::Origins-Pattern::";
const SETTINGS: [(&str, &str); 4] = [
    ("APT::Periodic::Update-Package-Lists", "1"),
    ("APT::Periodic::Unattended-Upgrade", "1"),
    ("APT::Periodic::AutocleanInterval", "7"),
    ("Unattended-Upgrade::Automatic-Reboot", "false"),
];

static META: Meta = Meta {
    id: ID,
    title: "Debian's security updates install by themselves, and never reboot the node",
    why: "Most holes that are used are known and have an update; the update that waits for somebody's free evening \
          does not help.",
    checked: "apt's settings as apt-config prints them after all files, the origins included; the package; that both \
              timers are enabled and active. An enabled timer that was stopped fetches nothing.",
    naive: "Proxmox' packages are not among the origins, and should not be: a new pve-manager restarts daemons and a new \
            kernel owes a reboot, which a person does node by node. Automatic-Reboot would fence a node of an HA \
            cluster. Reading the files instead of apt-config misses a later file that switches everything off.",
    references: &[
        Reference::Guide("1.1.3"),
        Reference::Cis13("1.2.2"),
        Reference::Cis12("1.2.2"),
        Reference::Man("unattended-upgrade(8)"),
        Reference::Man("apt.conf(5)"),
    ],
    level: 1,
    severity: Severity::High,
};

impl Control for Security {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.updates.security.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        vec!["/etc/apt/apt.conf.d".into(), PATH.into()]
    }

    fn ask(&self, _: &Policy, request: &mut Request) {
        request.units.extend(TIMERS.map(str::to_owned));
    }

    fn packages(&self) -> &'static [&'static str] {
        &[PACKAGE]
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        let origins = &policy.profile.updates.security.origins;
        if let Some(bad) = origins.iter().find(|origin| origin.contains(['"', '\\', ';', '\n'])) {
            return Verdict::refused(format!("{ID}: \"{}\" is no origin", bad.escape_debug()));
        }
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let config = facts.os.apt_config.required("apt's settings")?;
    let packages = facts.packages.required("installed packages")?;
    let (mut evidence, mut changes) = (Vec::new(), Vec::new());
    let installed = packages.get(PACKAGE).is_some_and(|package| package.installed);
    evidence.push(Evidence::new(
        format!("package {PACKAGE}"),
        if installed { "installed" } else { "missing" },
        "installed",
    ));
    if !installed {
        changes.push(change(
            Stage::Packages,
            format!("install {PACKAGE}"),
            Action::Packages { install: vec![PACKAGE.into()] },
        ));
    }
    if !settings_are_right(config, policy, &mut evidence) {
        let text = text(&policy.profile.updates.security.origins);
        changes.extend(conf::own(facts, ID, PATH, &text, "security updates every day, never a reboot")?);
        if installed && changes.is_empty() {
            let advice =
                format!("a file of /etc/apt/apt.conf.d that sorts after {PATH} says otherwise: see `apt-config dump`");
            return Ok(Verdict::advise(advice, evidence));
        }
    }
    timers(facts, installed, &mut evidence, &mut changes)?;
    let found = "not covered: upgrade Proxmox' packages by hand, node by node".into();
    evidence.push(Evidence { source: "Proxmox packages".into(), found, wanted: None });
    Ok(Verdict::outcome(changes, None, evidence))
}

fn settings_are_right(config: &BTreeMap<String, Vec<String>>, policy: &Policy, evidence: &mut Vec<Evidence>) -> bool {
    let mut right = true;
    for (name, want) in SETTINGS {
        let found = config.get(name).and_then(|values| values.last()).map_or("not set", String::as_str);
        // apt's default for a reboot is not to.
        let good = found == want || (want == "false" && found == "not set");
        right &= good;
        evidence.push(Evidence::new(name, found, want));
    }
    let wanted_origins = &policy.profile.updates.security.origins;
    let found = config.get(ORIGINS).map_or(&[][..], Vec::as_slice);
    let good = wanted_origins.iter().all(|origin| found.contains(origin))
        && found.iter().all(|origin| wanted_origins.contains(origin));
    let text = if found.is_empty() { "none".to_owned() } else { found.join(" | ") };
    evidence.push(Evidence::new(ORIGINS, text, wanted(policy, "updates.security.origins", wanted_origins.join(" | "))));
    right && good
}

/// The package's timers exist with apt; the package only gives them something to do.
fn timers(
    facts: &Facts,
    installed: bool,
    evidence: &mut Vec<Evidence>,
    changes: &mut Vec<Change>,
) -> Result<(), String> {
    for name in TIMERS {
        let unit = facts.unit(name)?;
        let on = unit.active == "active" && unit.file_state == "enabled";
        evidence.push(Evidence::new(name, format!("{}, {}", unit.active, unit.file_state), "active, enabled"));
        if !on && (installed || unit.load != "not-found") {
            let action = Action::Unit { unit: name.into(), verb: UnitVerb::EnableNow };
            changes.push(change(Stage::Services, format!("enable and start {name}"), action));
        }
    }
    Ok(())
}

fn change(stage: Stage, summary: String, action: Action) -> Change {
    Change { controls: vec![ID.into()], stage, summary, interrupts: None, action }
}

fn text(origins: &[String]) -> String {
    let mut text = "// Written by pve-harden (updates.security).\n".to_owned();
    for (name, value) in SETTINGS {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name} \"{value}\";");
    }
    // Lists of several files add up; this one stands alone.
    text.push_str("#clear Unattended-Upgrade::Origins-Pattern;\n#clear Unattended-Upgrade::Allowed-Origins;\nUnattended-Upgrade::Origins-Pattern {\n");
    for origin in origins {
        let _ = writeln!(text, "    \"{origin}\";");
    }
    text.push_str("};\n");
    text
}
