//! What a node is for still works after the whole strict profile.

use std::time::Duration;

use crate::support::lab::{Lab, eventually};

const MEMBERS: [&str; 2] = ["pve1", "pve2"];
const PATIENCE: Duration = Duration::from_secs(120);

/// The units that NFS brings to a client under their names, because the lab's image has no NFS: a socket that answers
/// on port 111, and the target that pulls it in.
const NFS: &str = "set -e; cd /etc/systemd/system
printf '[Socket]\\nListenStream=111\\n[Install]\\nWantedBy=sockets.target\\n' >rpcbind.socket
printf '[Service]\\nExecStart=/bin/sleep infinity\\n' >rpcbind.service
printf '[Unit]\\nWants=rpcbind.socket\\nAfter=rpcbind.socket\\n[Install]\\nWantedBy=multi-user.target\\n' >nfs-client.target
systemctl daemon-reload; systemctl -q enable --now rpcbind.socket nfs-client.target";
const STORAGE: &str = "printf '\\nnfs: far\\n\\texport /srv/far\\n\\tpath /mnt/pve/far\\n\\tserver 192.0.2.9\\n\\tcontent iso\\n' >>/etc/pve/storage.cfg";

/// Each way in which root makes files on a node; the umask of none may be narrow (a container's root would be 0750).
fn trees_of_root(lab: &Lab, node: &str, peer: &str) -> Vec<String> {
    let address = lab.address(node);
    // The administrator is the run's own.
    if lab.exec(node, "id ops").status == 0 {
        lab.ssh(node, &[], "sudo -n mkdir -p /srv/by-sudo/etc").exits(0);
        lab.ssh(node, &[], "bash -lc 'sudo -n mkdir -p /srv/by-login/etc'").exits(0);
        lab.ssh(node, &[], "sudo -n -i mkdir -p /srv/by-root-shell/etc").exits(0);
    }
    lab.on(node, "mkdir -p /srv/by-service/etc; systemd-run -q --wait -p PAMName=cron mkdir -p /srv/by-cron/etc");
    lab.on(peer, &format!("{} 'mkdir -p /srv/by-peer/etc'", ssh_to(node, &address)));
    let said = lab.on(node, "stat -c '%a %n' /srv/by-*/etc /srv/by-*");
    said.lines().map(str::to_owned).collect()
}

/// As PVE calls ssh between members (`PVE::SSHInfo`).
fn ssh_to(node: &str, address: &str) -> String {
    format!(
        "ssh -e none -o BatchMode=yes -o ConnectTimeout=20 -o HostKeyAlias={node} \
         -o UserKnownHostsFile=/etc/pve/nodes/{node}/ssh_known_hosts root@{address}"
    )
}

fn works(lab: &Lab, when: &str) {
    for (node, peer) in [("pve1", "pve2"), ("pve2", "pve1")] {
        for tree in trees_of_root(lab, node, peer) {
            assert!(tree.starts_with("755 "), "{when}, {node}: {tree}");
        }
        lab.on(node, "rm -r /srv/by-*");
        let address = lab.address(node);
        lab.on(peer, &format!("curl -sk -m 20 -o /dev/null https://{address}:8006/"));
        // Heartbeats came in within the last seconds: corosync's ports are open both ways.
        eventually(PATIENCE, &format!("{when}, {node} with quorum"), || {
            lab.exec(
                node,
                "grep -q '\"quorate\": *1' /etc/pve/.members && touch /etc/pve/quorate && rm /etc/pve/quorate",
            )
            .status
                == 0
        });
        let nfs = "systemctl is-active rpcbind.socket nfs-client.target && systemctl is-enabled rpcbind.socket nfs-client.target &&
            timeout 20 bash -c 'exec 3<>/dev/tcp/127.0.0.1/111'";
        assert_eq!(lab.on(node, nfs), "active\nactive\nenabled\nenabled\n", "{when}, {node}");
    }
}

/// Times that a member saw another one go since corosync started.
fn losses(lab: &Lab, node: &str) -> usize {
    let said = lab.on(node, "journalctl -q -o cat -u corosync | grep -o 'Members\\[[0-9]*\\]' || true");
    let seen: Vec<&str> = said.lines().collect();
    seen.windows(2).filter(|pair| pair[1] < pair[0]).count()
}

#[test]
fn after_the_whole_strict_profile_a_cluster_still_does_its_work() {
    let Some(lab) = Lab::up("strict", &MEMBERS, &["--cluster"]) else { return };
    for node in MEMBERS {
        lab.on(node, NFS);
    }
    // Without a storage that needs it rpcbind would go.
    let unused = lab.harden(&["plan", "pve1", "--profile", "strict", "--control", "network.listen"]);
    assert!(unused.stdout.contains("rpcbind.socket is disabled and stopped"), "{}", unused.stdout);
    lab.on("pve1", STORAGE);
    works(&lab, "before");

    let command = |verb: &str| lab.harden(&[verb, "pve1", "--cluster", "--profile", "strict", "--yes"]);
    let applied = command("apply").exits(0);
    let table = applied.stdout.split("\nwhat became of them\n").nth(1).unwrap();
    assert_eq!(table.matches("  applied  run ").count(), 2, "{table}");
    works(&lab, "after");
    for node in MEMBERS {
        assert_eq!(losses(&lab, node), 0, "{node} lost a member");
        // A container has no audit trail: nothing was installed for one.
        assert_ne!(lab.exec(node, "dpkg-query -W auditd").status, 0, "{node}");
    }

    let again = command("apply").exits(0);
    for node in MEMBERS {
        assert!(again.stdout.contains(&format!("{node}: 0 changes")), "{}", again.stdout);
    }

    // The cluster's firewall was a run of its own, after that of each member.
    for node in ["pve2", "pve1", "pve2", "pve1"] {
        lab.harden(&["rollback", node, "--yes"]).exits(0);
    }
    for node in MEMBERS {
        lab.root_password_login(node).exits(0);
    }
    works(&lab, "after the rollback");
}
