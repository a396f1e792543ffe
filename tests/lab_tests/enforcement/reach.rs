//! Hand-written configurations: who reaches ports 22 and 8006, when rules take effect, and what they leave alone.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Files, load};
use crate::support::lab::{Lab, eventually};

/// The management network of the lab's site: the operator and nobody else.
fn management(lab: &Lab) -> [String; 2] {
    let (four, six) = (lab.address("pve1"), lab.address6("pve1"));
    let four = four.rsplit_once('.').unwrap().0;
    let six = six.rsplit_once("::").unwrap().0;
    [format!("{four}.0/28"), format!("{six}::/124")]
}

fn reach(lab: &Lab, from: &str, node: &str) -> Vec<String> {
    let mut open = Vec::new();
    for (family, address) in [("v4", lab.address(node)), ("v6", lab.address6(node))] {
        for port in [22, 8006] {
            if lab.connects(from, &address, port) {
                open.push(format!("{family}:{port}"));
            }
        }
    }
    open
}

const ALL: [&str; 4] = ["v4:22", "v4:8006", "v6:22", "v6:8006"];
const NONE: [&str; 0] = [];

#[test]
fn only_the_management_networks_reach_22_and_8006() {
    let Some(lab) = Lab::up("fw-reach", &["pve1"], &[]) else { return };
    for host in ["operator", "neighbour", "outside"] {
        assert_eq!(reach(&lab, host, "pve1"), ALL, "{host} before");
    }
    let [four, six] = management(&lab);
    let sets = format!("[IPSET management]\n\n{four}\n{six}\n");
    load(&lab, "pve1", &Files { cluster: format!("[OPTIONS]\n\nenable: 1\n\n{sets}"), ..Files::default() });
    assert_eq!(reach(&lab, "operator", "pve1"), ALL);
    assert_eq!(reach(&lab, "outside", "pve1"), NONE);
    // The node's own subnet is let in although nobody named it; of IPv6 there is none.
    assert_eq!(reach(&lab, "neighbour", "pve1"), ["v4:22", "v4:8006"]);

    let own = lab.address("pve1");
    let narrowed = format!("[OPTIONS]\n\nenable: 1\n\n[ALIASES]\n\nlocal_network {own}\n\n{sets}");
    load(&lab, "pve1", &Files { cluster: narrowed.clone(), ..Files::default() });
    assert_eq!(reach(&lab, "operator", "pve1"), ALL);
    assert_eq!(reach(&lab, "neighbour", "pve1"), NONE);
    assert_eq!(reach(&lab, "outside", "pve1"), NONE);

    // The host's own file comes first, and can switch all of it off for this node.
    let host = "[OPTIONS]\n\n[RULES]\n\nIN ACCEPT -p tcp -dport 8006\nIN DROP -p tcp -dport 22\n".to_owned();
    load(&lab, "pve1", &Files { cluster: narrowed.clone(), host, ..Files::default() });
    assert_eq!(reach(&lab, "outside", "pve1"), ["v4:8006", "v6:8006"]);
    assert_eq!(reach(&lab, "operator", "pve1"), ["v4:8006", "v6:8006"]);
    load(&lab, "pve1", &Files { cluster: narrowed, host: "[OPTIONS]\n\nenable: 0\n".to_owned(), ..Files::default() });
    assert_eq!(reach(&lab, "outside", "pve1"), ALL);
}

/// A line that an `nc`-like session from the operator's side echoes through the node's sshd banner exchange.
struct Session {
    child: std::process::Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Session {
    /// root's SSH session that answers lines.
    fn open(lab: &Lab) -> Self {
        let askpass = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(askpass.path(), format!("#!/bin/sh\necho '{}'\n", lab.root_password())).unwrap();
        std::fs::set_permissions(askpass.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let askpass = askpass.into_temp_path();
        let mut child = Command::new("ssh")
            .arg("-F")
            .arg(&lab.ssh_config)
            .args(["-o", "ControlPath=none", "-T", "pve1-root", "cat"])
            .env("SSH_ASKPASS", &askpass)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut session = Self { child, lines };
        session.is_alive();
        session
    }

    #[track_caller]
    fn is_alive(&mut self) {
        writeln!(self.child.stdin.as_mut().unwrap(), "still here").unwrap();
        assert_eq!(self.lines.next().unwrap().unwrap(), "still here");
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[test]
fn rules_come_with_the_tick_and_spare_what_is_established() {
    let Some(lab) = Lab::up("fw-tick", &["pve1"], &[]) else { return };
    let address = lab.address("pve1");
    let count = || lab.on("pve1", "iptables -S | grep -c PVEFW || true").trim().to_owned();
    // Tracking starts with the first rules; the session below is one that the kernel knows.
    let open = "[OPTIONS]\n\nenable: 1\npolicy_in: ACCEPT\n".to_owned();
    load(&lab, "pve1", &Files { cluster: open, ..Files::default() });
    let mut session = Session::open(&lab);

    // A lock-out, written right after a tick so that the next one is far.
    let locked_out = format!("[OPTIONS]\nenable: 1\n[ALIASES]\nlocal_network {address}\n");
    lab.on(
        "pve1",
        &format!(
            "pve-firewall restart; sleep 0.5; printf '{}' >/etc/pve/firewall/cluster.fw",
            locked_out.replace('\n', "\\n")
        ),
    );
    assert_eq!(lab.on("pve1", "pve-firewall status").trim(), "Status: enabled/running (pending changes)");
    assert!(lab.connects("operator", &address, 22), "a proof before the tick passes");
    let started = Instant::now();
    eventually(Duration::from_secs(12), "the rules are live", || {
        lab.on("pve1", "pve-firewall status").trim() == "Status: enabled/running"
    });
    assert!(started.elapsed() > Duration::from_secs(4), "sooner than a tick: {:?}", started.elapsed());
    assert!(!lab.connects("operator", &address, 22));
    session.is_alive();

    // Carriage returns switch it off; the unit stays active.
    lab.on("pve1", "sed -i 's/$/\\r/' /etc/pve/firewall/cluster.fw");
    eventually(Duration::from_secs(12), "the rules are gone", || count() == "0");
    assert_eq!(lab.on("pve1", "pve-firewall status 2>/dev/null").trim(), "Status: disabled/running");
    assert!(lab.connects("operator", &address, 22));

    // A trial is live at once.
    lab.on("pve1", "pvesh set /cluster/firewall/options --enable 2");
    assert_ne!(count(), "0");
    // Stopping clears the kernel, needs no configuration, and a mask keeps it so.
    lab.on("pve1", "systemctl mask --runtime --now pve-firewall");
    assert_eq!(count(), "0");
    assert_ne!(lab.exec("pve1", "systemctl start pve-firewall").status, 0);
    assert_eq!(lab.on("pve1", "pve-firewall status").trim(), "Status: enabled/stopped");
    lab.on("pve1", "systemctl unmask --runtime pve-firewall && systemctl start pve-firewall");
    eventually(Duration::from_secs(3), "a start loads at once", || count() != "0");
}

#[test]
fn members_of_a_cluster_keep_each_other() {
    let nodes = ["pve1", "pve2", "pve3"];
    let Some(lab) = Lab::up("fw-cluster", &nodes, &["--cluster"]) else { return };
    let [four, six] = management(&lab);
    let sets = format!("[IPSET management]\n\n{four}\n{six}\n");
    let all_live = |what: &str| {
        for node in nodes {
            eventually(Duration::from_secs(13), what, || {
                lab.on(node, "pve-firewall status").trim() == "Status: enabled/running"
            });
        }
    };
    let peers_reach = |port: u16| {
        nodes.iter().all(|node| {
            nodes.iter().filter(|peer| *peer != node).all(|peer| {
                let attempt = format!("timeout 2 bash -c 'exec 3<>/dev/tcp/{}/{port}'", lab.address(peer));
                lab.exec(node, &attempt).status == 0
            })
        })
    };
    load(&lab, "pve1", &Files { cluster: format!("[OPTIONS]\n\nenable: 1\n\n{sets}"), ..Files::default() });
    all_live("one file binds every member");
    assert!(peers_reach(22) && peers_reach(8006));
    for node in nodes {
        assert_eq!(reach(&lab, "outside", node), NONE, "{node}");
    }
    // Narrowed to nothing useful, members do not pass as neighbours any more.
    let narrowed = format!("[OPTIONS]\n\nenable: 1\n\n[ALIASES]\n\nlocal_network 127.0.0.1\n\n{sets}");
    load(&lab, "pve1", &Files { cluster: narrowed, ..Files::default() });
    all_live("the narrowed file binds every member");
    assert!(!peers_reach(22));
}
