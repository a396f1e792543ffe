//! The operating system beneath PVE (`remote/os.sh`).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Reading;
use super::sections::{Sections, shown};

/// Kernel, modules, processor, apt's settings, clock and mounts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Os {
    /// Running kernel settings that were asked for, by name.
    pub sysctl: Reading<BTreeMap<String, Sysctl>>,
    /// Kernel modules that were asked for.
    pub modules: Reading<Modules>,
    /// The running kernel and what the machine says of itself.
    pub kernel: Reading<Kernel>,
    /// The clock.
    pub clock: Reading<Clock>,
    /// `apt-config dump`, of the groups that matter here: name → values in order. Lists end in `::`.
    pub apt_config: Reading<BTreeMap<String, Vec<String>>>,
    /// What an upgrade would bring, where that was asked.
    pub pending: Reading<Pending>,
}

/// One running kernel setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sysctl {
    /// This kernel has no such setting.
    Missing,
    /// Its value, blanks joined, and whether it can be changed here (not in a container).
    Value {
        /// As /proc/sys shows it.
        value: String,
        /// Writable.
        writable: bool,
    },
}

/// Kernel modules; names with `_`, as /proc/modules has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Modules {
    /// Loaded now.
    pub loaded: BTreeSet<String>,
    /// There to be loaded.
    pub available: BTreeSet<String>,
    /// The running kernel has no modules on disk: a container, or a kernel that was just replaced.
    pub no_modules: bool,
    /// `install` lines of modprobe.d: module → command.
    pub install: BTreeMap<String, String>,
    /// `blacklist` lines of modprobe.d.
    pub blacklist: BTreeSet<String>,
}

/// The running kernel and its machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// `uname -r`.
    pub release: String,
    /// `systemd-detect-virt`: `none` on bare metal, `systemd-nspawn`, `kvm`, …; empty when it cannot be told.
    pub virt: String,
    /// The processor says that a hypervisor runs beneath.
    pub hypervisor: bool,
    /// A package asked for a reboot.
    pub reboot_required: bool,
    /// `vendor_id` of the first processor.
    pub vendor: Option<String>,
    /// `microcode` of the first processor.
    pub microcode: Option<String>,
    /// /sys/devices/system/cpu/vulnerabilities.
    pub vulnerabilities: BTreeMap<String, String>,
    /// /sys/kernel/security/lockdown, e.g. `none [integrity] confidentiality`.
    pub lockdown: Option<String>,
    /// Started by UEFI.
    pub efi: bool,
    /// Secure Boot is on; absent where it cannot be told.
    pub secure_boot: Option<bool>,
    /// The kernel enforces `AppArmor`.
    pub apparmor: Option<bool>,
    /// /sys/kernel/mm/ksm/run and `pages_sharing`.
    pub ksm: Option<(u64, u64)>,
    /// Memory available, KiB.
    pub available_kib: Option<u64>,
    /// Mount points that matter → file system type and those of `nodev`, `nosuid`, `noexec`, `ro` that are set; of several
    /// mounts on one place the last.
    pub mounts: BTreeMap<String, (String, BTreeSet<String>)>,
}

/// The clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// systemd says that the clock follows the network.
    pub synchronized: Option<bool>,
    /// chrony's sources: state (`*` in use, `+` combined, `?` unreachable, …) and address.
    pub sources: Vec<(String, String)>,
}

/// What `apt-get dist-upgrade` would do, by the lists the node has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Package → where the new version comes from, e.g. `Debian-Security:13/stable-security`.
    pub packages: BTreeMap<String, String>,
    /// When the newest list was fetched, seconds since 1970.
    pub lists: Option<i64>,
}

pub(super) fn parse(sections: Sections<'_>) -> Os {
    Os {
        sysctl: sections.parse("os.sysctl", sysctl),
        modules: sections.parse("os.modules", |text| Ok(modules(text))),
        kernel: sections.parse("os.kernel", kernel),
        clock: sections.parse("os.clock", |text| Ok(clock(text))),
        apt_config: sections.parse("os.apt", apt_config),
        pending: sections.parse("os.pending", pending),
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim().is_empty())
}

fn sysctl(text: &str) -> Result<BTreeMap<String, Sysctl>, String> {
    lines(text)
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let &[name, access, value] = fields.as_slice() else { return Err(format!("no setting: {}", shown(line))) };
            let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
            let fact = match access {
                "-" => Sysctl::Missing,
                "rw" | "ro" => Sysctl::Value { value, writable: access == "rw" },
                _ => return Err(format!("no setting: {}", shown(line))),
            };
            Ok((name.to_owned(), fact))
        })
        .collect()
}

fn modules(text: &str) -> Modules {
    let mut found = Modules::default();
    for line in lines(text) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "loaded" => drop(found.loaded.insert(rest.to_owned())),
            "file" => drop(found.available.insert(rest.to_owned())),
            "no-modules" => found.no_modules = true,
            "blacklist" => drop(found.blacklist.insert(rest.to_owned())),
            "install" => {
                let (name, command) = rest.split_once(' ').unwrap_or((rest, ""));
                found.install.insert(name.to_owned(), command.trim().to_owned());
            }
            _ => {}
        }
    }
    found
}

fn kernel(text: &str) -> Result<Kernel, String> {
    let mut found = Kernel::default();
    for line in lines(text) {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        match word {
            "release" => rest.clone_into(&mut found.release),
            "virtual" => rest.clone_into(&mut found.virt),
            "hypervisor" => found.hypervisor = true,
            "reboot-required" => found.reboot_required = true,
            "vendor" => found.vendor = Some(rest.to_owned()),
            "microcode" => found.microcode = Some(rest.to_owned()),
            "lockdown" => found.lockdown = Some(rest.to_owned()),
            "efi" => found.efi = true,
            "secure-boot" => found.secure_boot = Some(rest == "1"),
            "apparmor" => found.apparmor = Some(rest == "Y"),
            "available-kib" => found.available_kib = rest.parse().ok(),
            "ksm" => {
                let mut numbers = rest.split(' ').map(|word| word.parse::<u64>().ok());
                found.ksm = numbers.next().flatten().map(|run| (run, numbers.next().flatten().unwrap_or_default()));
            }
            "vulnerability" => {
                let (name, state) = rest.split_once(' ').unwrap_or((rest, ""));
                found.vulnerabilities.insert(name.to_owned(), state.trim().to_owned());
            }
            "mount" => mount(&mut found, rest),
            _ => {}
        }
    }
    if found.release.is_empty() { Err("no kernel release".into()) } else { Ok(found) }
}

fn mount(found: &mut Kernel, rest: &str) {
    let words: Vec<&str> = rest.split(' ').collect();
    let [place, kind, options @ ..] = words.as_slice() else { return };
    let options = options.first().map_or("", |word| *word);
    let options = options.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    found.mounts.insert((*place).to_owned(), ((*kind).to_owned(), options));
}

fn clock(text: &str) -> Clock {
    let mut found = Clock::default();
    for line in lines(text) {
        if let Some(answer) = line.strip_prefix("NTPSynchronized=") {
            found.synchronized = Some(answer.trim() == "yes");
        } else if let Some((state, address)) = line.strip_prefix("source ").and_then(|rest| rest.split_once(' ')) {
            found.sources.push((state.to_owned(), address.to_owned()));
        }
    }
    found
}

/// Lines `Name::Of::It "value";`.
fn apt_config(text: &str) -> Result<BTreeMap<String, Vec<String>>, String> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in lines(text) {
        let parsed = line.strip_suffix(';').and_then(|line| line.split_once(' '));
        let value = parsed.and_then(|(_, value)| value.strip_prefix('"')?.strip_suffix('"'));
        let (Some((name, _)), Some(value)) = (parsed, value) else {
            return Err(format!("no setting of apt: {}", shown(line)));
        };
        found.entry(name.to_owned()).or_default().push(value.to_owned());
    }
    Ok(found)
}

/// Lines `Inst NAME [OLD] (NEW ORIGIN, ORIGIN [ARCH])`, `E: …`, and `lists SECONDS`.
fn pending(text: &str) -> Result<Pending, String> {
    let mut found = Pending::default();
    for line in lines(text) {
        if line.starts_with("E: ") {
            return Err(shown(line));
        }
        if let Some(seconds) = line.strip_prefix("lists ") {
            found.lists = seconds.trim().parse().ok();
        } else if let Some(rest) = line.strip_prefix("Inst ") {
            let name = rest.split(' ').next().unwrap_or_default();
            let inside =
                rest.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(inside, _)| inside);
            let origin = inside.split_once(' ').map_or("", |(_, rest)| rest);
            let origin = origin.rsplit_once(" [").map_or(origin, |(origin, _)| origin);
            found.packages.insert(name.to_owned(), origin.to_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kernel_settings_say_whether_they_can_be_set() {
        let found = sysctl("kernel.a\trw\t1\nkernel.b\tro\t4  4 1 7 \nx.y\t-\t\n").unwrap();
        assert_eq!(found["kernel.a"], Sysctl::Value { value: "1".into(), writable: true });
        assert_eq!(found["kernel.b"], Sysctl::Value { value: "4 4 1 7".into(), writable: false });
        assert_eq!(found["x.y"], Sysctl::Missing);
        assert!(sysctl("nonsense").is_err());
    }

    #[test]
    fn modprobe_s_view_is_kept_by_module() {
        let found = modules("loaded udf\nfile cramfs\ninstall cramfs /bin/false\nblacklist udf\nno-modules\n");
        assert!(found.loaded.contains("udf") && found.available.contains("cramfs") && found.no_modules);
        assert_eq!(found.install["cramfs"], "/bin/false");
        assert!(found.blacklist.contains("udf"));
    }

    #[test]
    fn the_machine_says_what_it_is() {
        let text = "release 6.14.8-2-pve\nvirtual none\nreboot-required\nvendor GenuineIntel\nmicrocode 0x1\n\
                    vulnerability meltdown Not affected \nlockdown none [integrity] confidentiality\nefi\nsecure-boot 1\n\
                    apparmor Y\nksm 1 4096\navailable-kib 1000\nmount /tmp tmpfs nodev,nosuid\nmount /home ext4 \n";
        let found = kernel(text).unwrap();
        assert_eq!((found.release.as_str(), found.virt.as_str()), ("6.14.8-2-pve", "none"));
        assert!(found.reboot_required && found.efi && !found.hypervisor);
        assert_eq!((found.secure_boot, found.apparmor, found.ksm), (Some(true), Some(true), Some((1, 4096))));
        assert_eq!(found.vulnerabilities["meltdown"], "Not affected");
        assert_eq!(found.mounts["/tmp"], ("tmpfs".into(), ["nodev", "nosuid"].map(String::from).into()));
        assert_eq!(found.mounts["/home"].1, BTreeSet::new());
        assert!(kernel("virtual none\n").is_err());
    }

    #[test]
    fn apt_s_answers_are_read_as_printed() {
        let found = apt_config("APT::Periodic::Unattended-Upgrade \"1\";\nUnattended-Upgrade::Origins-Pattern:: \"a\";\nUnattended-Upgrade::Origins-Pattern:: \"b\";\n").unwrap();
        assert_eq!(found["Unattended-Upgrade::Origins-Pattern::"], ["a", "b"]);
        assert!(apt_config("what \"is\n").is_err());
        let found = pending(
            "Inst jq [1.6] (1.7 Debian-Security:13/stable-security [amd64]) []\nInst new (1 Debian:13/stable, X:1 [all])\nlists 17\n",
        )
        .unwrap();
        assert_eq!(found.packages["jq"], "Debian-Security:13/stable-security");
        assert_eq!(found.packages["new"], "Debian:13/stable, X:1");
        assert_eq!(found.lists, Some(17));
        assert!(pending("E: broken\n").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(text in "(?s).{0,200}") {
            let _ = (sysctl(&text), modules(&text), kernel(&text), clock(&text), apt_config(&text), pending(&text));
        }

        #[test]
        fn nor_do_nearly_right_lines(text in "((Inst|mount|ksm|install|source|release|E:|lists)[ a-z0-9()\\[\\]\t\",;]{0,12}\n){0,6}") {
            let _ = (sysctl(&text), modules(&text), kernel(&text), clock(&text), apt_config(&text), pending(&text));
        }
    }
}
