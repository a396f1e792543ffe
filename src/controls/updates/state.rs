//! `updates.microcode`, `updates.reboot-owed`, `updates.release`.

use jiff::civil::{Date, date};
use jiff::tz::TimeZone;

use crate::controls::conf::wanted;
use crate::controls::kernel::is_container;
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::Facts;
use crate::profile::policy::Policy;
use crate::pve::version::newest_kernel;

/// `updates.microcode`.
pub struct Microcode;
/// `updates.microcode`.
pub const MICROCODE: Microcode = Microcode;
/// `updates.reboot-owed`.
pub struct RebootOwed;
/// `updates.reboot-owed`.
pub const REBOOT_OWED: RebootOwed = RebootOwed;
/// `updates.release`.
pub struct Release;
/// `updates.release`.
pub const RELEASE: Release = Release;

static MICROCODE_META: Meta = Meta {
    id: "updates.microcode",
    title: "The processor gets its microcode updates",
    why: "Holes of the processor let a guest read its neighbours; vendors close many of them with microcode, which a \
          fresh node does not have.",
    checked: "The vendor in /proc/cpuinfo, the package for it, and what the kernel says of known holes in \
              /sys/devices/system/cpu/vulnerabilities. Virtual machines and containers get theirs from the host.",
    naive: "The package lies in Debian's component non-free-firmware, which a PVE installation may not have in its \
            sources; installing it changes nothing before the next reboot, and a hole listed as vulnerable may need a \
            new BIOS instead.",
    references: &[Reference::Guide("1.1.8"), Reference::Source("pve-docs sysadmin.adoc, Firmware Updates")],
    level: 1,
    severity: Severity::Medium,
};

static REBOOT_META: Meta = Meta {
    id: "updates.reboot-owed",
    title: "The newest installed kernel runs",
    why: "A kernel update that waits for its reboot has closed nothing.",
    checked: "uname -r against the newest proxmox-kernel or pve-kernel package that is installed, and the mark that \
              packages leave in /run/reboot-required.",
    naive: "This tool never reboots a node: guests have to move first, and in a cluster with HA one node goes after the other. \
            A pinned kernel (proxmox-boot-tool kernel pin) is old on purpose: waive it.",
    references: &[Reference::Guide("1.1.3"), Reference::Source("pve-docs system-booting.adoc")],
    level: 1,
    severity: Severity::Medium,
};

static RELEASE_META: Meta = Meta {
    id: "updates.release",
    title: "The PVE release still gets updates",
    why: "After its end of life nobody closes holes any more, in PVE and in the Debian beneath it.",
    checked: "The major release against a table of dates in this tool, by the node's own clock. A release that is newer than \
              the table is not judged by it.",
    naive: "A node without pending updates looks well kept: after the end of life nothing is ever pending. Upgrades go one \
            major release at a time, after `pve8to9 --full`.",
    references: &[Reference::Source("pve-docs pve-faq.adoc")],
    level: 1,
    severity: Severity::High,
};

impl Control for Microcode {
    fn meta(&self) -> &'static Meta {
        &MICROCODE_META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.updates.microcode.enabled
    }

    fn evaluate(&self, facts: &Facts, _: &Policy) -> Verdict {
        microcode(facts).unwrap_or_else(Verdict::unknown)
    }
}

fn microcode(facts: &Facts) -> Result<Verdict, String> {
    let kernel = facts.os.kernel.required("the running kernel")?;
    if is_container(&kernel.virt) || kernel.hypervisor {
        return Ok(Verdict::not_applicable("the processor is virtual: its host has the microcode"));
    }
    let package = match kernel.vendor.as_deref() {
        Some("GenuineIntel") => "intel-microcode",
        Some("AuthenticAMD") => "amd64-microcode",
        Some(other) => {
            return Ok(Verdict::not_applicable(format!("no microcode package for {}", other.escape_debug())));
        }
        None => return Err("/proc/cpuinfo names no vendor".into()),
    };
    let packages = facts.packages.required("installed packages")?;
    let installed = packages.get(package).is_some_and(|found| found.installed);
    let mut evidence =
        vec![Evidence::new(format!("package {package}"), if installed { "installed" } else { "missing" }, "installed")];
    if let Some(revision) = &kernel.microcode {
        evidence.push(Evidence {
            source: "/proc/cpuinfo".into(),
            found: format!("microcode {revision}"),
            wanted: None,
        });
    }
    for (name, state) in kernel.vulnerabilities.iter().filter(|(_, state)| state.starts_with("Vulnerable")) {
        evidence.push(Evidence { source: format!("processor hole {name}"), found: state.clone(), wanted: None });
    }
    if installed {
        return Ok(Verdict::compliant(evidence));
    }
    let advice =
        format!("install {package} (Debian's component non-free-firmware) and reboot when the guests have moved");
    Ok(Verdict::advise(advice, evidence))
}

impl Control for RebootOwed {
    fn meta(&self) -> &'static Meta {
        &REBOOT_META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.updates.reboot_owed.enabled
    }

    fn evaluate(&self, facts: &Facts, _: &Policy) -> Verdict {
        reboot_owed(facts).unwrap_or_else(Verdict::unknown)
    }
}

fn reboot_owed(facts: &Facts) -> Result<Verdict, String> {
    let kernel = facts.os.kernel.required("the running kernel")?;
    if is_container(&kernel.virt) {
        return Ok(Verdict::not_applicable("a container runs its host's kernel"));
    }
    let packages = facts.packages.required("installed packages")?;
    let installed = packages.iter().filter(|(_, package)| package.installed).map(|(name, _)| name.as_str());
    let newest = newest_kernel(installed);
    let mut advice = Vec::new();
    let mut evidence = Vec::new();
    if let Some(newest) = newest {
        evidence.push(Evidence::new(
            "uname -r",
            kernel.release.as_str(),
            format!("{newest}, the newest that is installed"),
        ));
        if kernel.release != newest {
            advice.push(format!("reboot into {newest} when its guests have moved"));
        }
    } else {
        evidence.push(Evidence {
            source: "uname -r".into(),
            found: format!("{}, no Proxmox kernel is installed", kernel.release),
            wanted: None,
        });
    }
    let mark = if kernel.reboot_required { "there" } else { "not there" };
    evidence.push(Evidence::new("/run/reboot-required", mark, "not there"));
    if kernel.reboot_required && advice.is_empty() {
        advice.push("reboot when its guests have moved".into());
    }
    Ok(Verdict::outcome(Vec::new(), advice.pop(), evidence))
}

impl Control for Release {
    fn meta(&self) -> &'static Meta {
        &RELEASE_META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.updates.release.enabled
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        release(facts, policy).unwrap_or_else(Verdict::unknown)
    }
}

/// Last day with updates, by major release (pve-docs, pve-faq.adoc: a month is named, its last day is meant). A release
/// that is not in the table has no date yet.
const END_OF_LIFE: [(u32, Date); 4] =
    [(5, date(2020, 7, 31)), (6, date(2022, 9, 30)), (7, date(2024, 7, 31)), (8, date(2026, 8, 31))];

fn release(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let release = facts.pve.required("PVE's release")?;
    let now = facts.taken.required("the node's time")?.to_zoned(TimeZone::UTC).date();
    let source = "pve-manager";
    let Some((_, end)) = END_OF_LIFE.iter().find(|(major, _)| *major == release.major) else {
        let oldest = END_OF_LIFE.iter().map(|(major, _)| *major).min().unwrap_or_default();
        if release.major < oldest {
            let evidence = vec![Evidence::new(source, release.text.as_str(), "a release that gets updates")];
            return Ok(Verdict::advise("install a supported release anew", evidence));
        }
        let found = format!("{}, no end of life is known", release.text);
        return Ok(Verdict::compliant(vec![Evidence { source: source.into(), found, wanted: None }]));
    };
    let days = (*end - now).get_days();
    let warn = i64::from(policy.profile.updates.release.warn_days);
    let want = wanted(policy, "updates.release.warn-days", format!("more than {warn} days left"));
    let evidence = vec![Evidence::new(source, format!("{}, updates until {end}", release.text), want)];
    if i64::from(days) > warn {
        return Ok(Verdict::compliant(evidence));
    }
    let next = release.major + 1;
    let state = if days < 0 { "gets no updates any more" } else { "gets no updates soon" };
    Ok(Verdict::advise(
        format!("upgrade to PVE {next}: this release {state}; `pve{}to{next} --full` first", release.major),
        evidence,
    ))
}
