//! The firewall as the shipped profile has it, through the command line: who gets in before, after, and after a rollback.

use std::path::PathBuf;
use std::time::Duration;

use crate::support::lab::{Lab, eventually};

/// The hosts of a lab that are not in the management networks: one in the node's own subnet, one behind a router.
const STRANGERS: [&str; 2] = ["neighbour", "outside"];
const STRICT: [&str; 5] = ["apply", "pve1", "--profile", "strict", "--yes"];
const MEMBERS: [&str; 3] = ["pve1", "pve2", "pve3"];

/// Which of 22 and 8006 answer somebody, by family.
pub fn reach(lab: &Lab, from: &str, node: &str) -> Vec<String> {
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

pub const ALL: [&str; 4] = ["v4:22", "v4:8006", "v6:22", "v6:8006"];
const NONE: [&str; 0] = [];

/// The site with other management networks.
fn managed_from(lab: &Lab, networks: &str) -> PathBuf {
    let site = std::fs::read_to_string(&lab.site).unwrap();
    let (_, rest) = site.split_once("\nmanagement = ").unwrap();
    let (_, rest) = rest.split_once('\n').unwrap();
    let path = lab.site.with_file_name("elsewhere.toml");
    std::fs::write(&path, format!("management = {networks}\n{rest}")).unwrap();
    path
}

fn runs(lab: &Lab, node: &str) -> usize {
    lab.on(node, "ls /var/lib/pve-harden/runs 2>/dev/null || true").lines().count()
}

#[test]
fn a_node_answers_its_management_networks_and_nobody_else() {
    let Some(mut lab) = Lab::up("fw-shipped", &["pve1"], &[]) else { return };
    for host in ["operator", "neighbour", "outside"] {
        assert_eq!(reach(&lab, host, "pve1"), ALL, "{host} before");
    }
    // PVE makes it when a rule is first saved in the web interface.
    lab.on("pve1", "rmdir /etc/pve/firewall");

    // Whoever is outside the networks that would be let in is told so before anything happens.
    let before = lab.fingerprint("pve1");
    let own_site = lab.site.clone();
    lab.site = managed_from(&lab, "[\"203.0.113.0/24\", \"2001:db8:77::/64\"]");
    let refused = lab.harden(&STRICT).exits(4);
    assert!(refused.stdout.contains("8006") && refused.stdout.contains("refused"), "{}", refused.stdout);
    assert_eq!(lab.fingerprint("pve1"), before);
    assert_eq!(lab.on("pve1", "ls -dA /etc/pve/firewall /etc/pve/local/*.fw 2>/dev/null || true"), "");
    assert_eq!(runs(&lab, "pve1"), 0);
    lab.site = own_site;

    lab.harden(&STRICT).exits(0);
    assert_eq!(reach(&lab, "operator", "pve1"), ALL);
    for host in STRANGERS {
        assert_eq!(reach(&lab, host, "pve1"), NONE, "{host} after");
    }
    assert_eq!(lab.on("pve1", "pve-firewall status").trim(), "Status: enabled/running");

    let again = lab.harden(&STRICT).exits(0);
    assert!(again.stdout.contains("pve1: 0 changes"), "{}", again.stdout);
    assert_eq!(runs(&lab, "pve1"), 1);

    lab.harden(&["rollback", "pve1", "--yes"]).exits(0);
    assert_eq!(lab.on("pve1", "ls -dA /etc/pve/firewall /etc/pve/local/*.fw 2>/dev/null || true"), "");
    for host in ["operator", "neighbour", "outside"] {
        assert_eq!(reach(&lab, host, "pve1"), ALL, "{host} after the rollback");
    }
}

/// When a member's newest run wrote a journal line, by its clock; all members share one.
fn moment(lab: &Lab, node: &str, line: &str) -> u64 {
    let journal = lab.on(node, "cat \"$(ls -d /var/lib/pve-harden/runs/*/ | tail -n 1)/journal\"");
    let found = journal.lines().find(|said| said.ends_with(line));
    found.unwrap_or_else(|| panic!("no {line:?} on {node}:\n{journal}")).split(' ').next().unwrap().parse().unwrap()
}

/// As PVE calls ssh between members, and 8006; the pairs that do not work.
fn broken_pairs(lab: &Lab) -> Vec<String> {
    let mut broken = Vec::new();
    for node in MEMBERS {
        for peer in MEMBERS.into_iter().filter(|peer| *peer != node) {
            for address in [lab.address(peer), lab.address6(peer)] {
                let host = if address.contains(':') { format!("[{address}]") } else { address.clone() };
                let script = format!(
                    "ssh -e none -o BatchMode=yes -o ConnectTimeout=10 -o HostKeyAlias={peer} \
                     -o UserKnownHostsFile=/etc/pve/nodes/{peer}/ssh_known_hosts root@{address} true && \
                     curl -gsk -m 10 -o /dev/null https://{host}:8006/"
                );
                let said = lab.exec(node, &script);
                if said.status != 0 {
                    broken.push(format!("{node} → {peer} at {address}: {}", said.stderr));
                }
            }
        }
    }
    broken
}

/// Times that a member saw another one go since corosync started.
fn losses(lab: &Lab, node: &str) -> usize {
    let said = lab.on(node, "journalctl -q -o cat -u corosync | grep -o 'Members\\[[0-9]*\\]' || true");
    let seen: Vec<&str> = said.lines().collect();
    seen.windows(2).filter(|pair| pair[1] < pair[0]).count()
}

#[test]
fn a_cluster_takes_the_firewall_up_one_after_the_other_and_keeps_its_quorum() {
    let Some(lab) = Lab::up("fw-three", &MEMBERS, &["--cluster"]) else { return };
    let controls = [
        "--profile",
        "strict",
        "--control",
        "firewall.*",
        "--control",
        "accounts.admin",
        "--control",
        "ssh.root-login",
    ];
    let command = |verb: &[&str]| lab.harden(&[verb, &controls].concat());
    // Named alone, a member cannot bind the others.
    let alone = command(&["apply", "pve1", "--yes"]).exits(4);
    assert!(alone.stdout.contains("and this command leaves out pve2, pve3"), "{}", alone.stdout);
    assert_eq!(MEMBERS.map(|node| runs(&lab, node)), [0; 3]);

    let applied = command(&["apply", "pve1", "--cluster", "--yes"]).exits(0);
    let table = applied.stdout.split("\nwhat became of them\n").nth(1).unwrap();
    assert_eq!(table.matches("  applied  run ").count(), 3, "{table}");
    // Nobody is let in before everybody is guarded and the one before was proved; the one that wrote commits last.
    let lifted = MEMBERS.map(|node| moment(&lab, node, " begin 003"));
    let proved = MEMBERS.map(|node| moment(&lab, node, " proved firewall"));
    let guarded = MEMBERS.map(|node| moment(&lab, node, " gate ready 570"));
    assert!(guarded.iter().all(|time| *time <= lifted[0]), "{guarded:?} {lifted:?}");
    assert!(proved[0] <= lifted[1] && proved[1] <= lifted[2], "{lifted:?} {proved:?}");
    let committed = MEMBERS.map(|node| moment(&lab, node, " committed ops"));
    assert!(committed[0] >= committed[1] && committed[0] >= committed[2], "{committed:?}");

    for node in MEMBERS {
        assert_eq!(lab.on(node, "pve-firewall status").trim(), "Status: enabled/running", "{node}");
        assert_eq!(losses(&lab, node), 0, "{node} lost a member");
        assert_eq!(reach(&lab, "operator", node), ALL, "{node}");
        for host in STRANGERS {
            assert_eq!(reach(&lab, host, node), NONE, "{host} → {node}");
        }
    }
    assert_eq!(broken_pairs(&lab), Vec::<String>::new());

    let again = command(&["apply", "pve1", "--cluster", "--yes"]).exits(0);
    for node in MEMBERS {
        assert!(again.stdout.contains(&format!("{node}: 0 changes")), "{}", again.stdout);
        assert_eq!(runs(&lab, node), 2, "{node}");
    }
    a_node_that_joins_is_planned_for(&lab, &controls);
}

/// A member that the others know from corosync.conf only: what they will need to let it in.
fn a_node_that_joins_is_planned_for(lab: &Lab, controls: &[&str]) {
    let (four, six) = (lab.address("pve1"), lab.address6("pve1"));
    let (four, six) = (four.rsplit_once('.').unwrap().0, six.rsplit_once(':').unwrap().0);
    lab.on(
        "pve1",
        &format!(
            "sed -e 's/^  config_version: .*/  config_version: 9/' -e '/^nodelist {{/a\\
  node {{\\n    name: pve4\\n    nodeid: 4\\n    quorum_votes: 1\\n    ring0_addr: {four}.77\\n    ring1_addr: {six}:4d\\n  }}' \
             /etc/pve/corosync.conf >/etc/pve/corosync.conf.new && mv /etc/pve/corosync.conf.new /etc/pve/corosync.conf"
        ),
    );
    eventually(Duration::from_secs(60), "pve4 is a member", || {
        lab.exec("pve1", "grep -q '\"pve4\"' /etc/pve/.members").status == 0
    });
    let planned = lab.harden(&[&["plan", "pve1"], controls].concat()).exits(1);
    for line in [
        format!("+{four}.77 # pve-harden:firewall.management member pve4"),
        format!("+{six}:4d # pve-harden:firewall.management member pve4"),
        format!("+{four}.77\n"),
        "pve4".to_owned(),
    ] {
        assert!(planned.stdout.contains(&line), "{line}\n{}", planned.stdout);
    }
    let matched = planned
        .stdout
        .lines()
        .any(|line| line.starts_with('+') && line.contains("Match") && line.contains(&format!("{four}.77")));
    assert!(matched, "{}", planned.stdout);
}
