//! Packages: what apt would do is known before it is done, and nothing is removed or upgraded on the way.

use crate::support::lab::Lab;

/// A package of the node's own that cannot be there together with sudo.
const BLOCKER: &str = "set -e; d=$(mktemp -d); mkdir -p $d/x/DEBIAN
printf '%s\n' 'Package: pvh-blocker' 'Version: 1.0' 'Architecture: all' 'Maintainer: t <t@example.invalid>' \
    'Conflicts: sudo' 'Description: t' >$d/x/DEBIAN/control
dpkg-deb -b $d/x $d/blocker.deb && dpkg -i $d/blocker.deb && rm -r $d";

/// Somebody else holds dpkg's lock, as unattended-upgrades would.
const HOLD_LOCK: &str = r#"systemd-run -q --unit=holder perl -MFcntl -e 'open F,">>","/var/lib/dpkg/lock-frontend"; my $l=pack("ssqql",F_WRLCK,0,0,0,0); fcntl(F,F_SETLK,$l) or die; sleep 300'
for try in $(seq 100); do ! grep -q ":$(stat -c %i /var/lib/dpkg/lock-frontend) " /proc/locks || exit 0; sleep 0.1; done; exit 1"#;

fn installed(lab: &Lab, package: &str) -> bool {
    lab.exec("pve1", &format!("dpkg-query -W -f '${{db:Status-Status}}' {package} | grep -qx installed")).status == 0
}

#[test]
fn an_installation_that_would_remove_something_is_refused() {
    let Some(lab) = Lab::up("packages-remove", &["pve1"], &[]) else { return };
    lab.on("pve1", BLOCKER);
    let before = lab.fingerprint("pve1");

    // Without lists the plan cannot know; the step itself refuses and the run is undone.
    let planned = lab.harden(&["plan", "pve1"]).exits(1);
    assert!(planned.stdout.contains("the node's package lists do not have"), "{}", planned.stdout);
    assert!(planned.stdout.contains("+ package sudo\n"), "{}", planned.stdout);
    let undone = lab.harden(&["apply", "pve1", "--yes"]).exits(5);
    assert!(undone.stderr.contains("Remv pvh-blocker"), "{}", undone.stderr);
    lab.root_password_login("pve1").exits(0);

    // The lists are there now.
    for verb in [&["plan", "pve1"][..], &["apply", "pve1", "--yes"]] {
        let refused = lab.harden(verb).exits(4);
        assert!(refused.stdout.contains("would remove pvh-blocker 1.0"), "{}", refused.stdout);
    }
    assert!(installed(&lab, "pvh-blocker") && !installed(&lab, "sudo"));
    assert_eq!(lab.fingerprint("pve1"), before);
}

#[test]
fn a_plan_names_every_package_and_an_enterprise_repository_does_not_stop_it() {
    let Some(lab) = Lab::up("packages-401", &["pve1"], &[]) else { return };
    let update = lab.exec("pve1", "apt-get update 2>&1").exits(100);
    assert!(update.stdout.contains("401  Unauthorized"), "{}", update.stdout);
    lab.on("pve1", "touch /root/marker && sleep 0.01");
    let planned = lab.harden(&["plan", "pve1", "--profile", "strict"]).exits(1);
    for line in ["+ package sudo 1.", "+ package cracklib-runtime ", "+ package libcrack2 "] {
        assert!(planned.stdout.contains(line), "{line}: {}", planned.stdout);
    }
    assert!(planned.stdout.contains(" (dependency)\n"), "{}", planned.stdout);
    let written = "find /var/lib/apt /var/cache/apt /var/lib/dpkg -newer /root/marker";
    assert_eq!(lab.on("pve1", written), "", "a plan wrote");
    lab.on("pve1", "rm /root/marker; rm -r /var/lib/apt/lists/*");
    lab.harden(&["apply", "pve1", "--yes"]).exits(0);
    assert!(installed(&lab, "sudo"));
}

#[test]
fn a_held_dpkg_lock_ends_the_run_and_changes_nothing() {
    let Some(lab) = Lab::up("packages-lock", &["pve1"], &[]) else { return };
    let before = lab.fingerprint("pve1");
    lab.on("pve1", HOLD_LOCK);
    let undone = lab.harden(&["apply", "pve1", "--yes"]).exits(5);
    assert!(undone.stderr.contains("dpkg frontend lock"), "{}", undone.stderr);
    assert!(!installed(&lab, "sudo"));
    lab.root_password_login("pve1").exits(0);
    assert_eq!(lab.fingerprint("pve1"), before);
}

/// What apt itself would fetch from Proxmox' servers, on which each component has its own.
fn channels(lab: &Lab, node: &str) -> String {
    lab.on(node, "apt-get update --print-uris | sed -n \"s|^'\\(.*proxmox.com/debian/.*\\)/dists/.*|\\1|p\" | sort -u")
}

#[test]
fn a_channel_that_is_named_is_switched_to_and_back() {
    let Some(lab) = Lab::up("packages-channel", &["pve1"], &[]) else { return };
    lab.lab(["up", "pve2", "--pve", "8"]).exits(0);
    let profile = lab.site.with_file_name("channel.toml");
    let text = "extends = \"baseline\"\n[updates.repositories]\nproxmox = \"no-subscription\"\n";
    std::fs::write(&profile, text).unwrap();
    let controls = ["--control", "updates.repositories", "--control", "accounts.admin"];
    for node in ["pve1", "pve2"] {
        let command = |verb: &[&str]| {
            lab.harden(&[&[verb[0], node, "--profile", profile.to_str().unwrap()], &verb[1..], &controls].concat())
        };
        let before = channels(&lab, node);
        assert!(before.contains("https://enterprise.proxmox.com/debian/pve\n"), "{before}");
        let own = "cat /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources 2>/dev/null; true";
        let debian = lab.on(node, own);
        command(&["apply", "--yes"]).exits(0);
        let after = channels(&lab, node);
        assert!(after.contains("http://download.proxmox.com/debian/pve\n"), "{after}");
        assert!(!after.contains("enterprise.proxmox.com"), "{after}");
        assert_eq!(lab.on(node, own), debian);
        let again = command(&["plan"]).exits(0);
        assert!(again.stdout.contains("0 changes"), "{}", again.stdout);
        lab.harden(&["rollback", node, "--yes"]).exits(0);
        assert_eq!(channels(&lab, node), before);
    }
}
