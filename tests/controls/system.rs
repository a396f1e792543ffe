//! updates.*, kernel.* and os.*: what they say of a real machine as PVE's ISO leaves it, after what they ask for, and
//! with what they depend on unreadable.

use std::collections::BTreeMap;

use pve_harden::controls::{CATALOGUE, Status, Verdict};
use pve_harden::facts::os::{Clock, Kernel, Modules, Os, Pending, Sysctl};
use pve_harden::facts::{Facts, Package, Reading, Unit};
use pve_harden::profile::policy::Policy;

use super::fixtures::snapshot;
use super::{advice, asked, changes, control, model, policy, refusal, show};

/// Debian's values where they differ from what is wanted.
const RUNNING: [(&str, &str); 6] = [
    ("kernel.kptr_restrict", "0"),
    ("kernel.dmesg_restrict", "0"),
    ("kernel.sysrq", "438"),
    ("net.ipv4.conf.all.rp_filter", "2"),
    ("net.ipv4.conf.all.send_redirects", "1"),
    ("dev.tty.ldisc_autoload", "1"),
];

pub fn unit(active: &str, file_state: &str) -> Unit {
    Unit { load: "loaded".into(), active: active.into(), file_state: file_state.into() }
}

pub fn known<T>(reading: &mut Reading<T>) -> &mut T {
    match reading {
        Reading::Known(value) => value,
        _ => panic!("not known"),
    }
}

/// PVE's ISO on a machine of Intel's, with everything asked.
fn machine(policy: &Policy) -> Facts {
    let mut facts = asked(Facts::fresh_pve9(), policy);
    let names = policy.profile.kernel.sysctl.settings.iter().map(|line| line.split('=').next().unwrap().trim());
    let wanted = policy.profile.kernel.sysctl.settings.iter().map(|line| {
        let value = line.split('=').nth(1).unwrap().split('|').next().unwrap().trim();
        Sysctl::Value { value: value.into(), writable: true }
    });
    let mut sysctl: BTreeMap<String, Sysctl> = names.map(str::to_owned).zip(wanted).collect();
    for (name, value) in RUNNING {
        sysctl.insert(name.into(), Sysctl::Value { value: value.into(), writable: true });
    }
    let now = facts.taken.known().unwrap().as_second();
    facts.os = Os {
        sysctl: Reading::Known(sysctl),
        modules: Reading::Known(Modules {
            available: policy.profile.kernel.modules.deny.iter().cloned().collect(),
            ..Modules::default()
        }),
        kernel: Reading::Known(Kernel {
            release: "6.14.8-2-pve".into(),
            virt: "none".into(),
            vendor: Some("GenuineIntel".into()),
            microcode: Some("0x2b".into()),
            vulnerabilities: [("mds".into(), "Vulnerable: Clear CPU buffers attempted, no microcode".into())].into(),
            lockdown: Some("[none] integrity confidentiality".into()),
            efi: true,
            secure_boot: Some(false),
            apparmor: Some(false),
            ksm: Some((1, 262_144)),
            available_kib: Some(8 << 20),
            mounts: [("/tmp".to_owned(), ("tmpfs".to_owned(), ["nosuid".to_owned()].into()))].into(),
            ..Kernel::default()
        }),
        clock: Reading::Known(Clock {
            synchronized: Some(false),
            sources: vec![("?".into(), "192.0.2.1".into()), ("*".into(), "192.0.2.2".into())],
        }),
        apt_config: Reading::Known(BTreeMap::new()),
        pending: Reading::Known(Pending {
            packages: [("openssl".into(), "Debian-Security:13/stable-security".into())].into(),
            lists: Some(now - 86_400),
        }),
    };
    let units = known(&mut facts.units);
    for name in &policy.profile.os.services.forbid {
        units.insert(name.clone(), unit("inactive", "disabled"));
    }
    units.insert("avahi-daemon.service".into(), unit("active", "enabled"));
    units.insert("apt-daily.timer".into(), unit("active", "enabled"));
    units.insert("apt-daily-upgrade.timer".into(), unit("inactive", "enabled"));
    let package = Package { version: "1".into(), installed: true };
    known(&mut facts.packages).insert("proxmox-kernel-6.14.8-2-pve-signed".into(), package.clone());
    known(&mut facts.packages).insert("proxmox-kernel-6.17.2-1-pve-signed".into(), package);
    facts
}

fn judged(id: &str, state: &str, facts: &Facts, policy: &Policy) -> Verdict {
    let verdict = control(id).evaluate(facts, policy);
    snapshot(id, state, &show::verdict(&verdict));
    verdict
}

/// Differs, is right once `repair` did what it asks for, and unknown without what `blind` takes away.
pub fn three(
    id: &str,
    facts: &Facts,
    policy: &Policy,
    repair: impl FnOnce(&mut Facts),
    blind: impl FnOnce(&mut Facts),
) {
    assert!(control(id).enabled(policy), "{id}");
    let first = judged(id, "differs", facts, policy);
    assert!(matches!(first.status, Status::Differs { .. }), "{id}: {:?}", first.status);
    let mut after = model::apply(facts, changes(&first));
    repair(&mut after);
    let second = judged(id, "compliant", &after, policy);
    assert_eq!(second.status, Status::Compliant, "{id}");
    assert!(!second.evidence.is_empty(), "{id} is compliant without evidence");
    blind(&mut after);
    let third = judged(id, "unreadable", &after, policy);
    assert!(matches!(third.status, Status::Unknown { .. }), "{id}: {:?}", third.status);
}

pub fn refused<T>() -> Reading<T> {
    Reading::Unreadable("permission denied".into())
}

fn kernel(facts: &mut Facts) -> &mut Kernel {
    known(&mut facts.os.kernel)
}

#[test]
fn security_updates() {
    let policy = policy("baseline");
    let origins = policy.profile.updates.security.origins.clone();
    let repair = |facts: &mut Facts| {
        let settings = [
            ("APT::Periodic::Update-Package-Lists", "1"),
            ("APT::Periodic::Unattended-Upgrade", "1"),
            ("APT::Periodic::AutocleanInterval", "7"),
            ("Unattended-Upgrade::Automatic-Reboot", "false"),
        ];
        let config = known(&mut facts.os.apt_config);
        config.extend(settings.map(|(name, value)| (name.to_owned(), vec![value.to_owned()])));
        config.insert("Unattended-Upgrade::Origins-Pattern::".into(), origins);
        known(&mut facts.units).insert("apt-daily-upgrade.timer".into(), unit("active", "enabled"));
    };
    three("updates.security", &machine(&policy), &policy, repair, |facts| facts.os.apt_config = refused());
}

#[test]
fn repositories() {
    let policy = policy("baseline");
    let mut facts = machine(&policy);
    let path = "/etc/apt/sources.list.d/pve.sources";
    let text = |component: &str| {
        let content = format!(
            "Types: deb\nURIs: http://download.example/debian/pve\nSuites: trixie\nComponents: {component}\n\n\
             Types: deb\nURIs: http://security.example\nSuites: trixie-security\nComponents: main\n"
        );
        Reading::Known(model::regular(&pve_harden::change::FileImage::root(content, 0o644)))
    };
    facts.files.retain(|path, _| !path.starts_with("/etc/apt/sources"));
    facts = asked(facts, &policy);
    facts.files.insert(path.into(), text("pve-test"));
    let repair = |facts: &mut Facts| drop(facts.files.insert(path.into(), text("pve-no-subscription")));
    three("updates.repositories", &facts, &policy, repair, |facts| drop(facts.files.insert(path.into(), refused())));
}

/// Asked for by name, a channel is set: in the files and the form of the release, everything else byte for byte.
#[test]
fn a_channel_is_switched_to() {
    use pve_harden::profile::policy::ProxmoxRepository::{Enterprise, NoSubscription, NotTest};
    let stanza = |uri: &str, suite: &str, component: &str| {
        format!(
            "Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: {component}\nSigned-By: /usr/share/keyrings/proxmox-archive-keyring.gpg\n"
        )
    };
    let debian = "deb http://security.example bookworm-security main\n";
    let nine = stanza("https://enterprise.proxmox.com/debian/pve", "trixie", "pve-enterprise");
    let cases = [
        (
            Facts::fresh_pve9(),
            "sources",
            nine,
            stanza("https://enterprise.proxmox.com/debian/ceph-squid", "trixie", "enterprise"),
        ),
        (
            Facts::fresh_pve8(),
            "list",
            "deb https://enterprise.proxmox.com/debian/pve bookworm pve-enterprise\n".to_owned(),
            "deb https://enterprise.proxmox.com/debian/ceph-quincy bookworm enterprise\n".to_owned(),
        ),
    ];
    for (facts, form, pve, ceph) in cases {
        let mut policy = policy("baseline");
        policy.profile.updates.repositories.proxmox = NotTest;
        let mut facts = asked(facts, &policy);
        facts.files.retain(|path, _| !path.starts_with("/etc/apt/sources"));
        facts = asked(facts, &policy);
        let path = |name: &str| format!("/etc/apt/sources.list.d/{name}.{form}");
        let file = |text: &str| Reading::Known(model::regular(&pve_harden::change::FileImage::root(text, 0o644)));
        facts.files.insert(path("pve-enterprise"), file(&pve));
        facts.files.insert(path("ceph"), file(&ceph));
        facts.files.insert("/etc/apt/sources.list".into(), file(debian));
        let judge = |facts: &Facts, policy: &Policy| control("updates.repositories").evaluate(facts, policy);
        assert_eq!(judge(&facts, &policy).status, Status::Compliant);

        policy.profile.updates.repositories.proxmox = NoSubscription;
        let first = judge(&facts, &policy);
        let after = model::apply(&facts, changes(&first));
        assert_eq!(judge(&after, &policy).status, Status::Compliant, "{first:?}");
        let off = if form == "list" { format!("# {pve}") } else { format!("{pve}Enabled: no\n") };
        assert_eq!(after.text(&path("pve-enterprise")).known(), Some(&off));
        let own = after.text(&path("pve-harden-pve-no-subscription")).known().cloned().unwrap();
        assert!(own.contains("http://download.proxmox.com/debian/pve") && own.contains("/debian/ceph-"), "{own}");
        assert_eq!(after.text("/etc/apt/sources.list").known().map(String::as_str), Some(debian));

        // And back: the own file is switched off, the other channel has a file of its own again.
        policy.profile.updates.repositories.proxmox = Enterprise;
        let back = model::apply(&after, changes(&judge(&after, &policy)));
        assert_eq!(judge(&back, &policy).status, Status::Compliant);
    }
}

#[test]
fn pending_updates() {
    let policy = policy("baseline");
    let repair = |facts: &mut Facts| known(&mut facts.os.pending).packages.clear();
    three("updates.pending", &machine(&policy), &policy, repair, |facts| known(&mut facts.os.pending).lists = None);
}

#[test]
fn microcode() {
    let policy = policy("baseline");
    let repair = |facts: &mut Facts| {
        let package = Package { version: "1".into(), installed: true };
        known(&mut facts.packages).insert("intel-microcode".into(), package);
    };
    three("updates.microcode", &machine(&policy), &policy, repair, |facts| facts.os.kernel = refused());
}

#[test]
fn reboot_owed() {
    let policy = policy("baseline");
    let repair = |facts: &mut Facts| kernel(facts).release = "6.17.2-1-pve".into();
    three("updates.reboot-owed", &machine(&policy), &policy, repair, |facts| facts.packages = refused());
}

#[test]
fn release() {
    let policy = policy("baseline");
    let mut facts = machine(&policy);
    known(&mut facts.pve).major = 8;
    known(&mut facts.pve).text = "8.4.1".into();
    facts.taken = Reading::Known("2026-11-01T00:00:00Z".parse().unwrap());
    let repair = |facts: &mut Facts| facts.taken = Reading::Known("2025-01-01T00:00:00Z".parse().unwrap());
    three("updates.release", &facts, &policy, repair, |facts| facts.taken = refused());
}

#[test]
fn sysctl() {
    let policy = policy("baseline");
    three("kernel.sysctl", &machine(&policy), &policy, |_| {}, |facts| facts.os.sysctl = refused());
}

#[test]
fn in_a_container_only_the_file_is_written() {
    let policy = policy("baseline");
    let mut facts = machine(&policy);
    for value in known(&mut facts.os.sysctl).values_mut() {
        if let Sysctl::Value { writable, .. } = value {
            *writable = false;
        }
    }
    let verdict = control("kernel.sysctl").evaluate(&facts, &policy);
    assert_eq!(changes(&verdict).len(), 1, "{:?}", verdict.status);
    let again = control("kernel.sysctl").evaluate(&model::apply(&facts, changes(&verdict)), &policy);
    assert_eq!(again.status, Status::Compliant);
}

#[test]
fn a_later_file_that_says_otherwise_is_named() {
    let policy = policy("baseline");
    let facts = machine(&policy);
    let first = control("kernel.sysctl").evaluate(&facts, &policy);
    let mut after = model::apply(&facts, changes(&first));
    let content = "net/ipv4/conf/all/rp_filter = 1\n";
    let fact = model::regular(&pve_harden::change::FileImage::root(content, 0o644));
    after.files.insert("/etc/sysctl.d/zz-local.conf".into(), Reading::Known(fact));
    let verdict = control("kernel.sysctl").evaluate(&after, &policy);
    assert!(
        advice(&verdict).contains("/etc/sysctl.d/zz-local.conf: net.ipv4.conf.all.rp_filter = 1"),
        "{}",
        advice(&verdict)
    );
}

#[test]
fn a_setting_that_only_a_reboot_takes_back_is_never_set_on_a_running_node() {
    let mut policy = policy("baseline");
    policy.profile.kernel.sysctl.settings = vec!["kernel.kexec_load_disabled = 1".into()];
    let mut facts = machine(&policy);
    let value = Sysctl::Value { value: "0".into(), writable: true };
    known(&mut facts.os.sysctl).insert("kernel.kexec_load_disabled".into(), value);
    let verdict = control("kernel.sysctl").evaluate(&facts, &policy);
    assert_eq!(changes(&verdict).len(), 1, "the file alone");
    policy.profile.kernel.sysctl.settings = vec!["../../x = 1".into()];
    let verdict = control("kernel.sysctl").evaluate(&facts, &policy);
    assert!(refusal(&verdict).contains("is no setting"));
}

#[test]
fn modules() {
    let policy = policy("baseline");
    let repair = |facts: &mut Facts| {
        let deny = policy.profile.kernel.modules.deny.clone();
        known(&mut facts.os.modules).install = deny.into_iter().map(|name| (name, "/bin/false".into())).collect();
    };
    three("kernel.modules", &machine(&policy), &policy, repair, |facts| facts.os.modules = refused());
}

#[test]
fn what_a_node_needs_is_never_denied() {
    let mut policy = policy("baseline");
    let facts = machine(&policy);
    for name in ["fuse", "vfat", "usb-storage", "a;b"] {
        policy.profile.kernel.modules.deny = vec![name.into()];
        refusal(&control("kernel.modules").evaluate(&facts, &policy));
    }
    for unit in ["pve-cluster.service", "corosync.service", "ssh.service", "postfix.service", "x"] {
        policy.profile.os.services.forbid = vec![unit.into()];
        refusal(&control("os.services").evaluate(&facts, &policy));
    }
}

#[test]
fn services() {
    let policy = policy("baseline");
    three("os.services", &machine(&policy), &policy, |_| {}, |facts| facts.units = refused());
}

#[test]
fn what_is_only_reported() {
    let policy = policy("strict");
    let blind = |facts: &mut Facts| facts.os.kernel = refused();
    three("os.ksm", &machine(&policy), &policy, |facts| kernel(facts).ksm = Some((0, 0)), blind);
    three("os.secure-boot", &machine(&policy), &policy, |facts| kernel(facts).secure_boot = Some(true), blind);
    let lockdown = |facts: &mut Facts| kernel(facts).lockdown = Some("none [integrity] confidentiality".into());
    three("os.lockdown", &machine(&policy), &policy, lockdown, blind);
    let mounts =
        |facts: &mut Facts| known(&mut facts.os.kernel).mounts.get_mut("/tmp").unwrap().1.extend(["nodev".to_owned()]);
    three("os.mounts", &machine(&policy), &policy, mounts, blind);
    three("os.apparmor", &machine(&policy), &policy, |facts| kernel(facts).apparmor = Some(true), blind);
    let time = |facts: &mut Facts| {
        let clock = known(&mut facts.os.clock);
        clock.synchronized = Some(true);
        clock.sources[0].0 = "+".into();
    };
    three("os.time", &machine(&policy), &policy, time, |facts| facts.os.clock = refused());
}

#[test]
fn owners_and_modes() {
    let policy = policy("baseline");
    for (id, path, wrong, right) in
        [("os.cron", "/etc/cron.d", 0o777, 0o755), ("os.file-permissions", "/etc/shadow", 0o644, 0o640)]
    {
        let mut facts = machine(&policy);
        let mode = |facts: &mut Facts, mode: u32| {
            let mut fact = model::directory(mode, "root", "root");
            if path == "/etc/shadow" {
                fact = model::regular(&pve_harden::change::FileImage::root("", mode));
                fact.group = "shadow".into();
            }
            facts.files.insert(path.into(), Reading::Known(fact));
        };
        mode(&mut facts, wrong);
        three(
            id,
            &facts,
            &policy,
            |facts| mode(facts, right),
            |facts| drop(facts.files.insert(path.into(), refused())),
        );
    }
}

#[test]
fn a_container_leaves_its_hosts_matters_to_the_host() {
    let policy = policy("strict");
    let mut facts = machine(&policy);
    kernel(&mut facts).virt = "systemd-nspawn".into();
    for id in [
        "kernel.modules",
        "updates.microcode",
        "updates.reboot-owed",
        "os.ksm",
        "os.secure-boot",
        "os.lockdown",
        "os.apparmor",
        "os.time",
    ] {
        let verdict = control(id).evaluate(&facts, &policy);
        assert!(matches!(verdict.status, Status::NotApplicable { .. }), "{id}: {:?}", verdict.status);
    }
    assert!(CATALOGUE.len() > 30);
}
