//! From PVE 8 to 9: what an upgrade leaves, which is /etc, /etc/pve and accounts, on the new release's userland.
use crate::support::lab::{Lab, feed};

/// What stays: files that the run manages, sshd's own, accounts, PAM's stack, the runs, and /etc/pve.
const KEEP: &str = include_str!("upgrade_keep.sh");
/// Puts it on the new node; /etc/pve through pmxcfs. Packages that were there are there in their new versions.
const PUT: &str = include_str!("upgrade_put.sh");

#[test]
fn a_hardened_node_survives_the_upgrade_from_8_to_9() {
    let Some(lab) = Lab::up("upgrade-eight", &["pve1"], &["--pve", "8"]) else { return };
    lab.on("pve1", "printf 'role:WebDev:VM.Audit,VM.Console,VM.Monitor:\\n' >>/etc/pve/user.cfg");
    an_operator_with_an_old_ssh_is_refused(&lab);
    lab.harden(&["apply", "pve1", "--yes", "--profile", "strict"]).exits(0);
    let before = lab.harden(&["check", "pve1", "--profile", "strict", "--against", "pve9", "--fail-on", "never"]);
    for part in ["role WebDev: VM.Monitor does not exist on PVE 9", "ssh.crypto: OpenSSH 10 has mlkem768x25519-sha256"]
    {
        assert!(before.stdout.contains(part), "{part}\n{}\n{}", before.stdout, before.stderr);
    }
    let kept = feed(&lab, "pve1", KEEP, b"");
    let known = lab.site.with_file_name("known_hosts");
    let known_before = std::fs::read(&known).unwrap();

    lab.lab(["down", "pve1"]).exits(0);
    lab.lab(["up", "pve1", "--pve", "9"]).exits(0);
    feed(&lab, "pve1", PUT, &kept);
    // The host keys are the old ones, so that nobody is asked anything.
    std::fs::write(&known, known_before).unwrap();

    // The old drop-in in the new sshd: it starts, and keeps what it kept.
    assert!(lab.on("pve1", "sshd -t && systemctl restart ssh && cat /etc/debian_version").starts_with("13"));
    assert_eq!(lab.ssh("pve1", &[], "sudo -n id -u").exits(0).stdout.trim(), "0");
    assert_ne!(lab.root_password_login("pve1").status, 0, "root got in by password");

    let strict = ["--profile", "strict"];
    let plan = lab.harden(&[&["plan", "pve1"][..], &strict].concat()).exits(1);
    for part in ["PVE 9.", "+KexAlgorithms mlkem768x25519-sha256,", "access.leftovers"] {
        assert!(plan.stdout.contains(part), "{part}\n{}", plan.stdout);
    }
    let drifted = lab.harden(&[&["check", "pve1"][..], &strict].concat()).exits(1);
    assert!(drifted.stdout.contains("a package: upgrade of openssh-server 1:9.2p1"), "{}", drifted.stdout);

    lab.harden(&[&["apply", "pve1", "--yes"][..], &strict].concat()).exits(0);
    let live = lab.on("pve1", "sshd -T | sed -n 's/^kexalgorithms //p'");
    assert!(live.starts_with("mlkem768x25519-sha256,"), "{live}");
    // What is left is the role: which privileges it should have instead is for a person.
    let after = lab.harden(&[&["plan", "pve1"][..], &strict].concat()).exits(1);
    assert!(after.stdout.contains("0 changes") && after.stdout.contains("access.leftovers"), "{}", after.stdout);
}

/// strict leaves only key exchanges that such an ssh does not know: nobody could confirm the run.
fn an_operator_with_an_old_ssh_is_refused(lab: &Lab) {
    let config = std::fs::read_to_string(&lab.ssh_config).unwrap();
    std::fs::write(&lab.ssh_config, format!("KexAlgorithms curve25519-sha256\n{config}")).unwrap();
    let before = lab.fingerprint("pve1");
    let said = lab.harden(&["apply", "pve1", "--yes", "--profile", "strict"]).exits(4);
    let why = "offers no key exchange that sshd would accept";
    assert!(said.stdout.contains(why), "{}\n{}", said.stdout, said.stderr);
    assert_eq!(lab.fingerprint("pve1"), before);
    std::fs::write(&lab.ssh_config, config).unwrap();
}
