//! `vagrant/`: the Vagrantfile is valid, its provisioning scripts make a PVE node of a Debian one and trust one key only, and
//! three nodes become a cluster that is hardened as one, with nobody at a keyboard.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::Digest as _;

use crate::support::lab::{Lab, Said, feed};

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_vagrantfile_is_valid() {
    if Command::new("vagrant").arg("--version").output().is_err() {
        // `make prerequisites` leaves it to the person: not every release of Debian and Ubuntu has it.
        eprintln!("SKIPPED: vagrant is missing");
        return;
    }
    let folder = in_repository("vagrant");
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
fn the_provisioning_scripts_trust_one_key_and_follow_the_published_steps() {
    for (program, package) in [("apt-ftparchive", "apt-utils"), ("gpg", "gnupg")] {
        if Command::new(program).arg("--version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "{program} is missing (package {package})");
            eprintln!("SKIPPED: {program} is missing (package {package})");
            return;
        }
    }
    let Some(lab) = Lab::up("vagrant-prov", &["deb1"], &["--plain"]) else { return };
    let repository = tempfile::tempdir().unwrap();
    let program = in_repository("tests/lab_tests/vagrant_repository.sh");
    let repository_made = Command::new(program).arg(repository.path()).arg("trixie").output().unwrap();
    assert!(repository_made.status.success(), "{}", String::from_utf8_lossy(&repository_made.stderr));
    let archive = Command::new("tar").arg("-c").arg("-C").arg(repository.path()).arg(".").output().unwrap();
    feed(
        &lab,
        "deb1",
        "mkdir -m 0755 /srv/pve && tar -x --no-same-owner -C /srv/pve && chmod 0755 /srv/pve && dpkg -i /srv/pve/debian/*.deb >/dev/null",
        &archive.stdout,
    );
    feed(&lab, "deb1", "cat >/root/kernel.sh", include_bytes!("../../vagrant/provision/kernel.sh"));
    feed(&lab, "deb1", "cat >/root/pve.sh", include_bytes!("../../vagrant/provision/pve.sh"));
    // What a box may say, and Vagrant does.
    lab.on(
        "deb1",
        "printf 'PermitRootLogin no\nPasswordAuthentication no\n' >/etc/ssh/sshd_config.d/50-box.conf; echo '127.0.2.1 deb1 deb1' >>/etc/hosts",
    );

    let digest = format!("{:x}", sha2::Sha256::digest(std::fs::read(repository.path().join("key.gpg")).unwrap()));
    let address = lab.address("deb1");
    let kernel = |more: &str| {
        let settings =
            format!("MIRROR=file:/srv/pve KEY_URL=file:///srv/pve/key.gpg NODES='deb1={address} deb2=192.0.2.2'");
        lab.exec("deb1", &format!("{settings} {more} sh /root/kernel.sh"))
    };
    the_key_is_compared(&lab, &digest, &kernel);
    assert!(kernel("PVE=8").stderr.contains("PVE 8 needs Debian bookworm"));
    assert!(kernel("NODES=other=192.0.2.9").stderr.contains("NODES names only other=192.0.2.9"));

    kernel(&format!("KEY_SHA256={digest}")).exits(0);
    let version = |package: &str| {
        lab.exec("deb1", &format!("dpkg-query -W -f '${{db:Status-Abbrev}}${{Version}}' {package}")).stdout
    };
    assert_eq!(version("proxmox-default-kernel"), "ii 99.0");
    assert_eq!(version("lab-upgraded"), "ii 99.0", "a full upgrade comes first");
    assert_eq!(version("linux-image-amd64"), "ii 1.0", "Debian's kernel runs until the reboot");
    assert_eq!(lab.on("deb1", "getent hosts deb1").split_whitespace().next(), Some(address.as_str()));
    assert_eq!(lab.on("deb1", "getent hosts deb2").split_whitespace().next(), Some("192.0.2.2"));

    // Not before the reboot into Proxmox's kernel.
    lab.on("deb1", "mkdir /root/bin && printf '#!/bin/sh\necho 6.12.48+deb13-amd64\n' >/root/bin/uname && chmod 755 /root/bin/uname");
    let pve = || lab.exec("deb1", "PATH=/root/bin:$PATH sh /root/pve.sh");
    assert!(pve().exits(1).stderr.contains("the running kernel is 6.12.48+deb13-amd64, not Proxmox's"));
    assert_eq!(version("linux-image-amd64"), "ii 1.0");
    lab.on("deb1", "sed -i 's/6.12.*/6.14.11-4-pve/' /root/bin/uname");
    pve().exits(0);
    for package in ["proxmox-ve", "postfix", "open-iscsi", "chrony"] {
        assert_eq!(version(package), "ii 99.0", "{package}");
    }
    for package in ["linux-image-amd64", "linux-image-cloud-amd64", "linux-image-6.12.48-amd64", "os-prober"] {
        assert!(!version(package).starts_with("ii"), "{package}");
    }
    lab.on("deb1", "test ! -e /etc/apt/sources.list.d/pve-enterprise.sources");
    let sshd = lab.on("deb1", "sshd -T");
    for line in ["permitrootlogin yes", "passwordauthentication yes"] {
        assert!(sshd.lines().any(|said| said == line), "{line}\n{sshd}");
    }

    let state = || lab.on("deb1", "cat /etc/hosts /etc/apt/sources.list.d/* /etc/ssh/sshd_config.d/*; dpkg-query -W");
    let once = state();
    kernel(&format!("KEY_SHA256={digest}")).exits(0);
    pve().exits(0);
    assert_eq!(state(), once);
}

/// The key it pins is Proxmox's, and the repository's is another one; so is a key whose digest is off by one digit.
fn the_key_is_compared(lab: &Lab, digest: &str, kernel: &dyn Fn(&str) -> Said) {
    let trusted = "ls /etc/apt/sources.list.d; sha256sum /usr/share/keyrings/proxmox-archive-keyring.gpg || true";
    let before = lab.on("deb1", trusted);
    let off = format!("{}{}", &digest[..63], if digest.ends_with('0') { '1' } else { '0' });
    for more in [String::new(), "PVE=9".into(), format!("KEY_SHA256={off}")] {
        let said = kernel(&more);
        assert_eq!(said.status, 1, "{more}\n{}\n{}", said.stdout, said.stderr);
        assert!(said.stderr.contains("is not the one this script knows; nothing was installed"), "{}", said.stderr);
    }
    assert_eq!(lab.on("deb1", trusted), before);
    assert_ne!(lab.exec("deb1", "dpkg-query -W proxmox-default-kernel").status, 0);
}

const MACHINES: [&str; 3] = ["deb1", "deb2", "deb3"];

#[test]
fn three_machines_become_a_cluster_with_nobody_at_a_keyboard() {
    let Some(lab) = Lab::up("vagrant-pvecm", &MACHINES, &["--plain"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let program = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    };
    // `vagrant ssh NODE -- WORDS`: a shell as the lab's root, who needs no sudo.
    let [words @ .., _, _, _, _] = &lab.shell("")[..] else { panic!("words of lab exec") };
    let shell = words.join("' '");
    program(
        "vagrant",
        &format!(
            "#!/bin/sh\nset -eu\nnode=$2\nshift 3\n[ \"$1\" != sudo ] || shift\nexec '{shell}' \"$node\" -- sh -c \"$*\"\n"
        ),
    );
    let hardened = folder.path().join("hardened");
    let harden = program("pve-harden", &format!("#!/bin/sh\nprintf '%s ' \"$@\" >>'{}'\n", hardened.display()));
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let nodes = MACHINES.map(|name| format!("{name}={}", lab.address(name)));
    let state = folder.path().join("lab");
    let run = |script: &str| {
        let mut command = Command::new(in_repository("vagrant").join(script));
        command.args(&nodes).env("PATH", &path).env("PVE_HARDEN", &harden).env("LAB_FOLDER", &state);
        Said::of(&command.output().unwrap())
    };
    for node in MACHINES {
        feed(&lab, node, "cat >/usr/bin/pvecm && chmod 755 /usr/bin/pvecm", include_bytes!("vagrant_pvecm.sh"));
        lab.on(
            node,
            "mkdir -p /etc/pve && touch /etc/pve/.version && printf 'PermitRootLogin yes\n' >/etc/ssh/sshd_config.d/01-lab-root.conf \
             && systemctl reload-or-restart ssh && rm -rf /root/.ssh",
        );
    }

    // A node that was hardened on its own is told of before anything is made.
    lab.on("deb1", "mkdir /var/lib/pve-harden");
    assert!(run("cluster.sh").exits(1).stderr.contains("deb1: it was hardened as a node of its own"));
    lab.on("deb1", "rmdir /var/lib/pve-harden; test ! -e /etc/pve/corosync.conf");
    another_host_key_ends_the_join(&lab);

    run("cluster.sh").exits(0);
    let members: String = nodes.iter().map(|node| node.replace('=', " ") + "\n").collect();
    assert_eq!(lab.on("deb1", "cat /etc/pve/corosync.conf"), members);
    let calls = lab.on("deb1", "grep -v status /root/pvecm.calls");
    let [first, second, third] = MACHINES.map(|name| lab.address(name));
    assert_eq!(
        calls,
        format!(
            "create lab --link0 {first}\napiver\naddnode deb2 --force 1 --link0 {second}\napiver\naddnode deb3 --force 1 --link0 {third}\n"
        )
    );
    assert_eq!(lab.on("deb3", "cat /root/pvecm.calls"), format!("add {first} --use_ssh 1 --link0 {third}\n"));
    // A second run finds it made.
    let keys = lab.on("deb1", "cat /root/.ssh/authorized_keys");
    run("cluster.sh").exits(0);
    assert_eq!(
        lab.on("deb1", "grep -v status /root/pvecm.calls; cat /root/.ssh/authorized_keys"),
        format!("{calls}{keys}")
    );

    run("harden.sh").exits(0);
    let site = state.join("site.toml");
    let said = std::fs::read_to_string(hardened).unwrap();
    let place = state.display();
    assert_eq!(
        said,
        format!(
            "apply --cluster --site {place}/site.toml --known-hosts {place}/known_hosts --identity {place}/ops --yes "
        )
    );
    let loaded = pve_harden::profile::load(&[], Some(&site)).unwrap_or_else(|found| panic!("{found:?}"));
    let hosts: Vec<String> = loaded.site.hosts.iter().map(|host| format!("{}={}", host.name, host.address)).collect();
    assert_eq!(hosts, nodes);
    for node in MACHINES {
        let print = lab.on(node, "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub | cut -d' ' -f2");
        assert!(std::fs::read_to_string(&site).unwrap().contains(&format!("host-key = \"{}\"", print.trim())));
    }
}

/// pve1's key is known to the others beforehand: with another one, no join begins.
fn another_host_key_ends_the_join(lab: &Lab) {
    let step = |node: &str, words: &str| {
        let script = include_bytes!("../../vagrant/provision/cluster.sh");
        String::from_utf8(feed(lab, node, &format!("sh -s {words} 2>&1 || echo refused"), script)).unwrap()
    };
    let (first, second) = (lab.address("deb1"), lab.address("deb2"));
    assert_eq!(step("deb1", &format!("create {first}")), "");
    step("deb1", &format!("trust {}", step("deb2", "key").trim()));
    let other = step("deb3", "host-key");
    let said = step("deb2", &format!("join {first} {} {second}", other.trim()));
    assert!(said.contains("Host key verification failed") && said.ends_with("refused\n"), "{said}");
    lab.on("deb2", "test ! -e /etc/pve/corosync.conf && rm /root/.ssh/known_hosts");
    lab.on("deb1", "rm /etc/pve/corosync.conf");
    for node in ["deb1", "deb2"] {
        lab.on(node, "rm /root/pvecm.calls");
    }
}
