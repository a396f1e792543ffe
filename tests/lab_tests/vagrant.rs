//! `vagrant/`: the Vagrantfile is valid, and its provisioning script makes a PVE node of a Debian one and trusts one key only.

use std::path::Path;
use std::process::Command;

use sha2::Digest as _;

use crate::support::lab::{Lab, Said, feed};

#[test]
fn the_vagrantfile_is_valid() {
    if Command::new("vagrant").arg("--version").output().is_err() {
        // `make prerequisites` leaves it to the person: not every release of Debian and Ubuntu has it.
        eprintln!("SKIPPED: vagrant is missing");
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vagrant");
    let state = tempfile::tempdir().unwrap();
    for (release, nodes, valid) in [("9", "1", true), ("9", "3", true), ("8", "3", true), ("7", "1", false)] {
        let mut command = Command::new("vagrant");
        // Providers are plugins and hypervisors that a machine with this repository need not have.
        command.args(["validate", "--ignore-provider"]).current_dir(&folder).env("PVE", release).env("NODES", nodes);
        command.env("VAGRANT_HOME", state.path().join("home")).env("VAGRANT_DOTFILE_PATH", state.path().join("dot"));
        command.env("HOME", state.path()).env("VAGRANT_CHECKPOINT_DISABLE", "1");
        let said = Said::of(&command.output().unwrap());
        assert_eq!(said.status == 0, valid, "PVE={release} NODES={nodes}\n{}\n{}", said.stdout, said.stderr);
        assert!(!valid || said.stdout.contains("Vagrantfile validated successfully"), "{}", said.stdout);
    }
}

#[test]
fn the_provisioning_script_trusts_one_key_only() {
    for (program, package) in [("apt-ftparchive", "apt-utils"), ("gpg", "gnupg")] {
        if Command::new(program).arg("--version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "{program} is missing (package {package})");
            eprintln!("SKIPPED: {program} is missing (package {package})");
            return;
        }
    }
    let Some(lab) = Lab::up("vagrant-prov", &["deb1"], &["--plain"]) else { return };
    let repository = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab_tests/vagrant_repository.sh");
    let repository_made = Command::new(program).arg(repository.path()).arg("trixie").output().unwrap();
    assert!(repository_made.status.success(), "{}", String::from_utf8_lossy(&repository_made.stderr));
    let archive = Command::new("tar").arg("-c").arg("-C").arg(repository.path()).arg(".").output().unwrap();
    feed(
        &lab,
        "deb1",
        "mkdir -m 0755 /srv/pve && tar -x --no-same-owner -C /srv/pve && chmod 0755 /srv/pve",
        &archive.stdout,
    );
    feed(&lab, "deb1", "cat >/root/pve.sh", include_bytes!("../../vagrant/provision/pve.sh"));

    let digest = format!("{:x}", sha2::Sha256::digest(std::fs::read(repository.path().join("key.gpg")).unwrap()));
    let address = lab.address("deb1");
    let provision = |more: &str| {
        let settings = format!("ADDRESS={address} MIRROR=file:/srv/pve KEY_URL=file:///srv/pve/key.gpg {more}");
        lab.exec("deb1", &format!("{settings} sh /root/pve.sh"))
    };
    let trusted = "/usr/share/keyrings/proxmox-archive-keyring.gpg";
    let before = lab.on("deb1", &format!("ls /etc/apt/sources.list.d; sha256sum {trusted} || true"));
    // The key it pins is Proxmox's, and this is another one; so is a key whose digest is off by one digit.
    let off = format!("{}{}", &digest[..63], if digest.ends_with('0') { '1' } else { '0' });
    for more in [String::new(), "PVE=9".into(), format!("KEY_SHA256={off}")] {
        let said = provision(&more);
        assert_eq!(said.status, 1, "{more}\n{}\n{}", said.stdout, said.stderr);
        assert!(said.stderr.contains("is not the one this script knows; nothing was installed"), "{}", said.stderr);
    }
    assert_eq!(lab.on("deb1", &format!("ls /etc/apt/sources.list.d; sha256sum {trusted} || true")), before);
    assert_ne!(lab.exec("deb1", "dpkg-query -W proxmox-ve").status, 0);
    // A release that this Debian is not.
    assert!(provision("PVE=8").stderr.contains("PVE 8 needs Debian bookworm"));

    provision(&format!("KEY_SHA256={digest}")).exits(0);
    assert_eq!(lab.on("deb1", "dpkg-query -W -f '${Status}' proxmox-ve"), "install ok installed");
    assert_eq!(lab.on("deb1", "getent hosts deb1").split_whitespace().next(), Some(address.as_str()));
    let once = lab.on("deb1", "cat /etc/hosts /etc/apt/sources.list.d/* /etc/ssh/sshd_config.d/*");
    provision(&format!("KEY_SHA256={digest}")).exits(0);
    assert_eq!(lab.on("deb1", "cat /etc/hosts /etc/apt/sources.list.d/* /etc/ssh/sshd_config.d/*"), once);
}
