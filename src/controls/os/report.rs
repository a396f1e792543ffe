//! One table of controls that only report: a person decides, or no login can change them.

use crate::controls::kernel::is_container;
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::os::Kernel;
use crate::facts::{Facts, FileKind, Reading};
use crate::profile::policy::{OsPolicy, Policy};

/// A control of the table.
pub struct ReportOnly {
    meta: &'static Meta,
    enabled: fn(&OsPolicy) -> bool,
    reads: &'static [&'static str],
    judge: fn(&Facts) -> Result<Verdict, String>,
}

impl Control for ReportOnly {
    fn meta(&self) -> &'static Meta {
        self.meta
    }

    fn enabled(&self, policy: &Policy) -> bool {
        (self.enabled)(&policy.profile.os)
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        self.reads.iter().map(|path| (*path).to_owned()).collect()
    }

    fn evaluate(&self, facts: &Facts, _: &Policy) -> Verdict {
        (self.judge)(facts).unwrap_or_else(Verdict::unknown)
    }
}

/// `os.ksm`.
pub static KSM: ReportOnly = ReportOnly {
    meta: &Meta {
        id: "os.ksm",
        title: "Guests do not share memory pages (KSM off)",
        why: "Pages merged between guests let one guest learn by timing what another has in memory.",
        checked: "/sys/kernel/mm/ksm/run and pages_sharing, the state of ksmtuned, and whether the memory that unmerging \
                  needs is available.",
        naive: "`echo 2 > run` gives every guest its own copy at once: without that much free memory the host runs out of it and \
                kills guests. Stop ksmtuned first, and look at the memory. Single guests: `allow-ksm 0`.",
        references: &[Reference::Guide("1.2.6"), Reference::Source("Linux Documentation/admin-guide/mm/ksm")],
        level: 2,
        severity: Severity::Low,
    },
    enabled: |os| os.ksm.enabled,
    reads: &[],
    judge: ksm,
};

/// `os.secure-boot`.
pub static SECURE_BOOT: ReportOnly = ReportOnly {
    meta: &Meta {
        id: "os.secure-boot",
        title: "The node starts with UEFI Secure Boot",
        why: "Without it whoever can write to the disk once owns the kernel for good.",
        checked: "The EFI variable SecureBoot; whether the node was started by UEFI at all.",
        naive: "Switching it on in the firmware before shim and signed kernels are installed leaves a node that does not \
                start; unsigned DKMS modules stop loading. PVE signs its kernels and ZFS since 8.1.",
        references: &[Reference::Guide("1.2.1.1"), Reference::Source("pve-docs system-booting.adoc")],
        level: 3,
        severity: Severity::Low,
    },
    enabled: |os| os.secure_boot.enabled,
    reads: &[],
    judge: secure_boot,
};

/// `os.lockdown`.
pub static LOCKDOWN: ReportOnly = ReportOnly {
    meta: &Meta {
        id: "os.lockdown",
        title: "The kernel is locked down (integrity)",
        why: "Root shall not be able to change the running kernel: /dev/mem, unsigned modules, kexec of any image.",
        checked: "The mode in brackets in /sys/kernel/security/lockdown, which is the running kernel's own word.",
        naive: "Guides edit /etc/default/grub alone: ZFS on UEFI starts by systemd-boot and reads /etc/kernel/cmdline, \
                followed by `proxmox-boot-tool refresh`. integrity stops unsigned modules, such as vendors' graphics \
                drivers, and MSR tools.",
        references: &[
            Reference::Guide("1.2.1.2"),
            Reference::Man("kernel_lockdown(7)"),
            Reference::Source("pve-docs system-booting.adoc"),
        ],
        level: 3,
        severity: Severity::Low,
    },
    enabled: |os| os.lockdown.enabled,
    reads: &[],
    judge: lockdown,
};

/// `os.mounts`.
pub static MOUNTS: ReportOnly = ReportOnly {
    meta: &Meta {
        id: "os.mounts",
        title: "/tmp, /dev/shm and guest storage are mounted nodev, nosuid",
        why: "A set-uid file or a device node on a place that others write is a way to root.",
        checked: "/proc/mounts for /tmp, /dev/shm and /var/lib/vz, where they are file systems of their own.",
        naive: "noexec on /var/lib/vz stops hook scripts and container templates, on /tmp the scripts of some packages. \
                Partitions are decided at installation: this is reported, never changed.",
        references: &[
            Reference::Guide("1.1.6"),
            Reference::Cis13("1.1.2"),
            Reference::Cis12("1.1.2"),
            Reference::Man("mount(8)"),
        ],
        level: 2,
        severity: Severity::Low,
    },
    enabled: |os| os.mounts.enabled,
    reads: &[],
    judge: mounts,
};

/// `os.apparmor`.
pub static APPARMOR: ReportOnly = ReportOnly {
    meta: &Meta {
        id: "os.apparmor",
        title: "AppArmor is on",
        why: "It is what keeps root of a container from the host's kernel interfaces.",
        checked: "What the running kernel says in /sys/module/apparmor/parameters/enabled.",
        naive: "Enforcing every profile on the system reaches the lxc-* profiles that PVE generates, and containers \
                stop starting. Being on is enough; PVE brings its own profiles.",
        references: &[Reference::Cis13("1.3.1"), Reference::Cis12("1.3.1"), Reference::Man("apparmor(7)")],
        level: 1,
        severity: Severity::High,
    },
    enabled: |os| os.apparmor.enabled,
    reads: &[],
    judge: apparmor,
};

/// `os.time`.
pub static TIME: ReportOnly = ReportOnly {
    meta: &Meta {
        id: "os.time",
        title: "The clock follows the network",
        why: "TOTP codes, certificates, tickets between nodes and every log line depend on it.",
        checked: "systemd's NTPSynchronized and, where chrony runs, that at least two of its sources can be reached.",
        naive: "A daemon that runs proves nothing: behind a closed firewall chrony runs with no source. Two time daemons \
                at once fight over the clock; PVE installs chrony since 7.",
        references: &[Reference::Cis13("2.3"), Reference::Cis12("2.3"), Reference::Man("chronyc(1)")],
        level: 1,
        severity: Severity::Medium,
    },
    enabled: |os| os.time.enabled,
    reads: &[],
    judge: time,
};

/// `os.cron`.
pub static CRON: ReportOnly = ReportOnly {
    meta: &Meta {
        id: "os.cron",
        title: "cron's files belong to root alone",
        why: "Whoever can write there runs whatever they like as root within a minute.",
        checked: "Owner and mode of /etc/crontab and the folders /etc/cron.*: root's, and writable by nobody else.",
        naive: "CIS also wants them unreadable (0700) and cron.allow: neither stops an attack here, and packages put the \
                modes back. What counts is who may write.",
        references: &[Reference::Cis13("2.4.1"), Reference::Cis12("2.4.1"), Reference::Man("cron(8)")],
        level: 1,
        severity: Severity::Medium,
    },
    enabled: |os| os.cron.enabled,
    reads: &[
        "/etc/crontab",
        "/etc/cron.d",
        "/etc/cron.hourly",
        "/etc/cron.daily",
        "/etc/cron.weekly",
        "/etc/cron.monthly",
        "/etc/cron.yearly",
    ],
    judge: cron,
};

/// `os.file-permissions`.
pub static FILE_PERMISSIONS: ReportOnly = ReportOnly {
    meta: &Meta {
        id: "os.file-permissions",
        title: "Account databases and host keys belong to root and leak nothing",
        why: "A readable shadow file is a list of passwords to guess; a writable passwd is root for everybody.",
        checked: "Owner and mode of passwd, group, shadow, gshadow, their backups, sshd's configuration and the private \
                  host keys.",
        naive: "chmod 0600 on everything in /etc breaks name look-ups for every daemon; shadow belongs to the group shadow \
                on Debian, and 0640 is right. Files below /etc/pve have fixed modes and refuse chmod.",
        references: &[Reference::Cis13("7.1"), Reference::Cis12("7.1"), Reference::Man("shadow(5)")],
        level: 1,
        severity: Severity::High,
    },
    enabled: |os| os.file_permissions.enabled,
    reads: &["/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-"],
    judge: file_permissions,
};

fn kernel(facts: &Facts) -> Result<&Kernel, String> {
    facts.os.kernel.required("the running kernel")
}

/// The host's matter.
fn of_the_host(kernel: &Kernel) -> Option<Verdict> {
    is_container(&kernel.virt).then(|| Verdict::not_applicable("a container: this is its host's matter"))
}

fn ksm(facts: &Facts) -> Result<Verdict, String> {
    let kernel = kernel(facts)?;
    if let Some(verdict) = of_the_host(kernel) {
        return Ok(verdict);
    }
    let Some((run, sharing)) = kernel.ksm else { return Ok(Verdict::not_applicable("this kernel has no KSM")) };
    let found = format!("run {run}, {sharing} pages shared");
    let evidence = vec![Evidence::new("/sys/kernel/mm/ksm", found, "run 0 or 2, nothing shared")];
    if run != 1 && sharing == 0 {
        return Ok(Verdict::compliant(evidence));
    }
    let needed = sharing.saturating_mul(4);
    let available = kernel.available_kib.unwrap_or_default();
    let memory = if needed < available {
        format!("{} MiB more are needed, {} MiB are available", needed / 1024, available / 1024)
    } else {
        format!(
            "NOT NOW: {} MiB are needed, only {} MiB are available; move guests away first",
            needed / 1024,
            available / 1024
        )
    };
    Ok(Verdict::advise(
        format!("systemctl disable --now ksmtuned, then echo 2 > /sys/kernel/mm/ksm/run ({memory})"),
        evidence,
    ))
}

fn secure_boot(facts: &Facts) -> Result<Verdict, String> {
    let kernel = kernel(facts)?;
    if let Some(verdict) = of_the_host(kernel) {
        return Ok(verdict);
    }
    if !kernel.efi {
        let evidence =
            vec![Evidence::new("/sys/firmware/efi", "not there: started by legacy BIOS", "UEFI with Secure Boot")];
        return Ok(Verdict::advise("legacy BIOS has no Secure Boot; consider UEFI at the next installation", evidence));
    }
    let on = kernel.secure_boot.ok_or("the EFI variable SecureBoot could not be read")?;
    let evidence = vec![Evidence::new("EFI variable SecureBoot", if on { "on" } else { "off" }, "on")];
    if on {
        return Ok(Verdict::compliant(evidence));
    }
    Ok(Verdict::advise(
        "install the shim and signed kernels as PVE's manual says (Secure Boot), then switch it on in the firmware",
        evidence,
    ))
}

fn lockdown(facts: &Facts) -> Result<Verdict, String> {
    let kernel = kernel(facts)?;
    if let Some(verdict) = of_the_host(kernel) {
        return Ok(verdict);
    }
    let state = kernel.lockdown.as_deref().ok_or("/sys/kernel/security/lockdown could not be read")?;
    let evidence = vec![Evidence::new("/sys/kernel/security/lockdown", state, "[integrity] or [confidentiality]")];
    if state.contains("[integrity]") || state.contains("[confidentiality]") {
        return Ok(Verdict::compliant(evidence));
    }
    Ok(Verdict::advise(
        "add lockdown=integrity to the kernel's command line: /etc/kernel/cmdline and proxmox-boot-tool refresh, or \
         /etc/default/grub and update-grub, whichever `proxmox-boot-tool status` says",
        evidence,
    ))
}

fn mounts(facts: &Facts) -> Result<Verdict, String> {
    let kernel = kernel(facts)?;
    let (mut evidence, mut advice) = (Vec::new(), Vec::new());
    for place in ["/tmp", "/dev/shm", "/var/lib/vz"] {
        let Some((kind, options)) = kernel.mounts.get(place) else {
            evidence.push(Evidence {
                source: place.into(),
                found: "part of a larger file system".into(),
                wanted: None,
            });
            continue;
        };
        let missing: Vec<&str> = ["nodev", "nosuid"].into_iter().filter(|option| !options.contains(*option)).collect();
        let set = options.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        evidence.push(Evidence::new(
            place,
            format!("{kind}, {}", if set.is_empty() { "no options" } else { &set }),
            "nodev, nosuid",
        ));
        if !missing.is_empty() {
            advice.push(format!("mount {place} with {}", missing.join(",")));
        }
    }
    Ok(Verdict::outcome(Vec::new(), (!advice.is_empty()).then(|| advice.join("; ")), evidence))
}

fn apparmor(facts: &Facts) -> Result<Verdict, String> {
    let kernel = kernel(facts)?;
    if let Some(verdict) = of_the_host(kernel) {
        return Ok(verdict);
    }
    let on = kernel.apparmor == Some(true);
    let found = if on { "on" } else { "off, or not built in" };
    let evidence = vec![Evidence::new("/sys/module/apparmor/parameters/enabled", found, "on")];
    if on {
        return Ok(Verdict::compliant(evidence));
    }
    Ok(Verdict::advise("take apparmor=0 off the kernel's command line and reboot", evidence))
}

fn time(facts: &Facts) -> Result<Verdict, String> {
    if let Some(verdict) = of_the_host(kernel(facts)?) {
        return Ok(verdict);
    }
    let clock = facts.os.clock.required("the clock")?;
    let synchronized = clock.synchronized.ok_or("timedatectl did not answer")?;
    let mut evidence = vec![Evidence::new(
        "timedatectl",
        format!("NTPSynchronized={}", if synchronized { "yes" } else { "no" }),
        "yes",
    )];
    let reachable = clock.sources.iter().filter(|(state, _)| state != "?" && state != "x").count();
    if !clock.sources.is_empty() {
        evidence.push(Evidence::new(
            "chronyc sources",
            format!("{reachable} of {} can be used", clock.sources.len()),
            "2 or more",
        ));
    }
    let mut advice = Vec::new();
    if !synchronized {
        advice.push("look at `chronyc sources`: the clock follows nobody");
    }
    if !clock.sources.is_empty() && reachable < 2 {
        advice.push("give chrony a second source that can be reached");
    }
    Ok(Verdict::outcome(Vec::new(), (!advice.is_empty()).then(|| advice.join("; ")), evidence))
}

fn cron(facts: &Facts) -> Result<Verdict, String> {
    owned(facts, CRON.reads.iter().map(|path| (*path, 0o7755, "root")))
}

fn file_permissions(facts: &Facts) -> Result<Verdict, String> {
    const FILES: [(&str, u32, &str); 9] = [
        ("/etc/passwd", 0o644, "root"),
        ("/etc/passwd-", 0o644, "root"),
        ("/etc/group", 0o644, "root"),
        ("/etc/group-", 0o644, "root"),
        ("/etc/shadow", 0o640, "shadow"),
        ("/etc/shadow-", 0o640, "shadow"),
        ("/etc/gshadow", 0o640, "shadow"),
        ("/etc/gshadow-", 0o640, "shadow"),
        ("/etc/ssh/sshd_config", 0o644, "root"),
    ];
    let keys = facts.files.keys().filter(|path| {
        path.strip_prefix("/etc/ssh/ssh_host_").is_some_and(|rest| rest.ends_with("_key") && !rest.contains('*'))
    });
    owned(facts, FILES.into_iter().chain(keys.map(|path| (path.as_str(), 0o600, "root"))))
}

/// Paths with the most permissive mode and the only group besides root's that may own them; absent ones are right.
fn owned<'a>(facts: &Facts, paths: impl Iterator<Item = (&'a str, u32, &'a str)>) -> Result<Verdict, String> {
    let (mut evidence, mut advice, mut right) = (Vec::new(), Vec::new(), 0);
    for (path, most, group) in paths {
        let fact = match facts.file(path) {
            Reading::Known(fact) => fact,
            Reading::Absent => continue,
            Reading::Unreadable(why) => return Err(format!("{path}: {why}")),
            Reading::NotAsked => return Err(format!("{path}: the capture does not contain it")),
        };
        let group_good = fact.group == "root" || fact.group == group;
        if fact.owner == "root" && group_good && fact.mode & !most == 0 && !matches!(fact.kind, FileKind::Symlink(_)) {
            right += 1;
            continue;
        }
        let found = format!("{:04o} {}:{}", fact.mode, fact.owner, fact.group);
        evidence.push(Evidence::new(path, found, format!("at most {:04o}, root:{group}", most & 0o777)));
        advice.push(format!("chown root:{group} {path} && chmod {:04o} {path}", most & 0o777));
    }
    if right > 0 {
        evidence.push(Evidence {
            source: "owners and modes".into(),
            found: format!("{right} paths are right"),
            wanted: None,
        });
    }
    if evidence.is_empty() {
        return Err("none of these paths is there".into());
    }
    Ok(Verdict::outcome(Vec::new(), (!advice.is_empty()).then(|| advice.join("; ")), evidence))
}
