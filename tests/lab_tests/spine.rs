//! The main job: a fresh node becomes a hardened node, nobody is locked out, and the second run finds nothing to do.

use crate::support::lab::Lab;

/// What `sshd -T -C` says for a login, one keyword.
fn sshd_says(lab: &Lab, node: &str, user: &str, address: &str, keyword: &str) -> String {
    let script = format!("sshd -T -C user={user},host={address},addr={address} | sed -n 's/^{keyword} //p'");
    lab.on(node, &script).trim().to_owned()
}

/// root's door is closed for the operator, whatever is tried; the admin's is open.
fn assert_hardened(lab: &Lab, node: &str) {
    assert_ne!(lab.root_password_login(node).status, 0, "root got in by password");
    let own_key = lab.admin_key();
    let with_key = ["-i", own_key.to_str().unwrap(), "-o", "IdentitiesOnly=yes", "-o", "PubkeyAuthentication=yes"];
    let key = std::fs::read_to_string(own_key.with_extension("pub")).unwrap();
    // Even root's own authorized key does not open root's door from outside.
    lab.on(node, &format!("set -e; cp /etc/pve/priv/authorized_keys /root/keys.before; printf '%s\\n' '{}' >>/etc/pve/priv/authorized_keys; ls /root >&2", key.trim()));
    let said = lab.ssh(&format!("{node}-root"), &with_key, "id -u");
    lab.on(node, "cat /root/keys.before >/etc/pve/priv/authorized_keys; rm /root/keys.before");
    assert_ne!(said.status, 0, "root got in by key");
    let passwords = ["-o", "PreferredAuthentications=password,keyboard-interactive", "-o", "PubkeyAuthentication=no"];
    let refused = lab.ssh(node, &passwords, "true");
    assert!(refused.stderr.contains("Permission denied (publickey)"), "{}", refused.stderr);
    assert_eq!(lab.ssh(node, &[], "sudo -n id -u").exits(0).stdout.trim(), "0");
    assert_eq!(sshd_says(lab, node, "root", "203.0.113.1", "permitrootlogin"), "no");
    assert_eq!(sshd_says(lab, node, "root", "203.0.113.1", "passwordauthentication"), "no");
    assert_eq!(sshd_says(lab, node, "ops", "203.0.113.1", "kbdinteractiveauthentication"), "no");
}

/// Files that changed since the marker, logs and what a login itself leaves aside.
fn written_since(lab: &Lab, node: &str, marker: &str) -> String {
    lab.on(
        node,
        &format!(
            "find / -xdev \\( -path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /var/log -o -path /etc/pve -o -path /var/lib/pve-cluster -o -path /var/lib/rrdcached \\) -prune -o -newer {marker} ! -path {marker} -print | grep -v -e '^/var/lib/sudo' -e '^/var/lib/systemd' -e '^/$' -e '^/root$' -e '^/var/tmp$' -e '^/var/tmp/systemd-private-' || true"
        ),
    )
}

fn fresh_to_hardened(test: &str, options: &[&str]) {
    let Some(lab) = Lab::up(test, &["pve1"], options) else { return };
    lab.root_password_login("pve1").exits(0);
    let planned = lab.harden(&["plan", "pve1"]).exits(1);
    assert!(planned.stdout.contains("+PermitRootLogin no"), "{}", planned.stdout);
    lab.harden(&["apply", "pve1", "--yes", "--reason", "first run"]).exits(0);
    assert_hardened(&lab, "pve1");

    assert_eq!(lab.on("pve1", "stat -c %a /home/ops").trim(), "700");
    assert_ne!(lab.exec("pve1", "getent passwd pve-harden-proof").status, 0, "the account of a proof is left");
    lab.on("pve1", "touch /root/marker && sleep 0.01");
    let again = lab.harden(&["apply", "pve1", "--yes"]).exits(0);
    assert!(again.stdout.contains("0 changes"), "{}", again.stdout);
    assert_eq!(written_since(&lab, "pve1", "/root/marker"), "", "the second run wrote");
    lab.harden(&["check", "pve1"]);

    let history = lab.harden(&["history", "pve1", "--format", "json"]).exits(0);
    let history: serde_json::Value = serde_json::from_str(&history.stdout).unwrap();
    assert_eq!(history["runs"][0]["outcome"], "committed");
    assert_eq!(history["runs"][0]["meta"]["reason"], "first run");
}

#[test]
fn a_fresh_pve_9_node_becomes_a_hardened_node() {
    fresh_to_hardened("spine-nine", &[]);
}

#[test]
fn a_fresh_pve_8_node_becomes_a_hardened_node() {
    fresh_to_hardened("spine-eight", &["--pve", "8"]);
}

#[test]
fn a_hardened_cluster_keeps_the_root_ssh_its_members_need() {
    let nodes = ["pve1", "pve2", "pve3"];
    let Some(lab) = Lab::up("spine-cluster", &nodes, &["--cluster"]) else { return };
    lab.harden(&["apply", "pve1", "pve2", "pve3", "--yes"]).exits(0);
    for node in nodes {
        assert_hardened(&lab, node);
        for peer in nodes.iter().filter(|peer| **peer != node) {
            let address = lab.address(peer);
            lab.on(
                node,
                &format!("ssh -e none -o BatchMode=yes -o HostKeyAlias={peer} -o UserKnownHostsFile=/etc/pve/nodes/{peer}/ssh_known_hosts -o GlobalKnownHostsFile=none root@{address} true"),
            );
            assert_eq!(sshd_says(&lab, node, "root", &address, "permitrootlogin"), "without-password");
        }
    }
    lab.harden(&["plan"]).exits(0);
    // What the members' sshd are is read in the same program, where a control asks for it.
    let file = lab.site.with_file_name("pve1.json");
    lab.harden(&["capture", "pve1", "--profile", "strict", "-o", file.to_str().unwrap()]).exits(0);
    let capture: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let peers = capture["sections"]["sshd.peers"]["body"]["text"].as_str().unwrap();
    for peer in &nodes[1..] {
        assert!(peers.contains(&format!("{} OpenSSH_10.", lab.address(peer))), "{peers}");
    }
}

#[test]
fn drift_is_found_and_put_back() {
    let Some(lab) = Lab::up("spine-drift", &["pve1"], &[]) else { return };
    lab.harden(&["apply", "pve1", "--yes"]).exits(0);
    // PVE's own hand: joining a cluster rewrites the main file. Nothing opens to the outside, so nothing is to do.
    lab.on("pve1", "/usr/lib/pve-sim/pve-sim setup-sshd-config && grep -qx 'PermitRootLogin yes' /etc/ssh/sshd_config");
    assert_hardened(&lab, "pve1");
    lab.harden(&["plan", "pve1", "--control", "ssh.*"]).exits(0);
    // A line in a file that sorts before ours wins nothing over the Match blocks of ours.
    lab.on("pve1", "printf 'PermitRootLogin yes\n' >/etc/ssh/sshd_config.d/00-a.conf && systemctl reload ssh");
    assert_hardened(&lab, "pve1");
    // A Match block there does: it is found, its file is named, and taking it away is left to a person.
    lab.on(
        "pve1",
        "printf 'Match User root\n PermitRootLogin yes\n' >/etc/ssh/sshd_config.d/00-a.conf && systemctl reload ssh",
    );
    let found = lab.harden(&["plan", "pve1"]).exits(1);
    assert!(found.stdout.contains("00-a.conf"), "{}", found.stdout);
    lab.on("pve1", "rm /etc/ssh/sshd_config.d/00-a.conf && systemctl reload ssh");
    for (what, script) in [
        ("a removed drop-in", "rm /etc/ssh/sshd_config.d/00-pve-harden.conf && systemctl reload ssh"),
        ("a removed package", "DEBIAN_FRONTEND=noninteractive apt-get -q -y remove libpam-pwquality"),
        ("an edited faillock.conf", "sed -i 's/^deny = .*/deny = 50/' /etc/security/faillock.conf"),
        (
            "another key of the admin",
            "echo 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMkquuxQnvv95BXKwuuKwtWk/a3qC8lrdi/PQIJeop3L x' >>/home/ops/.ssh/authorized_keys",
        ),
    ] {
        lab.on("pve1", script);
        let found = lab.harden(&["plan", "pve1"]);
        assert_eq!(found.status, 1, "{what}: {} {}", found.stdout, found.stderr);
        lab.harden(&["apply", "pve1", "--yes"]).exits(0);
        lab.harden(&["plan", "pve1"]).exits(0);
        assert_hardened(&lab, "pve1");
    }
    // Nobody but root at the console can become root any more: that is said, and nothing is guessed.
    lab.on("pve1", "printf '# nothing\n' >/etc/sudoers.d/pve-harden-admins");
    let found = lab.harden(&["plan", "pve1"]).exits(3);
    assert!(found.stderr.contains("sudo"), "{}", found.stderr);
}
