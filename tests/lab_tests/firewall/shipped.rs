//! The firewall as the shipped profile has it, through the command line: who gets in before, after, and after a rollback.

use std::path::PathBuf;
use std::time::Duration;

use crate::support::lab::{Lab, eventually};

/// The hosts of a lab that are not in the management networks: one in the node's own subnet, one behind a router.
const STRANGERS: [&str; 2] = ["neighbour", "outside"];
const STRICT: [&str; 5] = ["apply", "pve1", "--profile", "strict", "--yes"];
const PATIENCE: Duration = Duration::from_secs(120);
const MEMBERS: [&str; 3] = ["pve1", "pve2", "pve3"];

/// Which of 22 and 8006 answer somebody, by family. All at once: what is dropped takes its time.
pub fn reach(lab: &Lab, from: &str, node: &str) -> Vec<String> {
    let ways = [("v4", lab.address(node)), ("v6", lab.address6(node))];
    let ways = ways.iter().flat_map(|(family, address)| [22, 8006].map(|port| (family, address, port)));
    std::thread::scope(|scope| {
        let asked: Vec<_> = ways
            .map(|(family, address, port)| {
                scope.spawn(move || lab.connects(from, address, port).then(|| format!("{family}:{port}")))
            })
            .collect();
        asked.into_iter().filter_map(|asked| asked.join().unwrap()).collect()
    })
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

/// As PVE calls ssh between members, and 8006: what the peer at this address does not answer.
fn broken(lab: &Lab, node: &str, peer: &str, address: &str) -> Option<String> {
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    let script = format!(
        "ssh -e none -o BatchMode=yes -o ConnectTimeout=10 -o HostKeyAlias={peer} \
         -o UserKnownHostsFile=/etc/pve/nodes/{peer}/ssh_known_hosts root@{address} true && \
         curl -gsk -m 10 -o /dev/null https://{host}:8006/"
    );
    let said = lab.exec(node, &script);
    (said.status != 0).then(|| format!("{node} → {peer} at {address}: {}", said.stderr))
}

fn broken_pairs(lab: &Lab) -> Vec<String> {
    let pairs = MEMBERS.into_iter().flat_map(|node| MEMBERS.map(|peer| (node, peer)));
    std::thread::scope(|scope| {
        let asked: Vec<_> = pairs
            .filter(|(node, peer)| node != peer)
            .flat_map(|(node, peer)| {
                [lab.address(peer), lab.address6(peer)].map(|to| scope.spawn(move || broken(lab, node, peer, &to)))
            })
            .collect();
        asked.into_iter().filter_map(|asked| asked.join().unwrap()).collect()
    })
}

/// Times that a member saw another one go since corosync started.
fn losses(lab: &Lab, node: &str) -> usize {
    let said = lab.on(node, "journalctl -q -o cat -u corosync | grep -o 'Members\\[[0-9]*\\]' || true");
    let seen: Vec<&str> = said.lines().collect();
    seen.windows(2).filter(|pair| pair[1] < pair[0]).count()
}

/// pve3 as it is before it joins: its programs do not run, and the others do not know it.
fn leave_out_pve3(lab: &Lab) {
    lab.on("pve3", "systemctl stop corosync pve-cluster");
    lab.on(
        "pve1",
        "cp /etc/pve/corosync.conf /root/three.conf && \
         perl -0pe 's/  node \\{\\n    name: pve3\\n.*?\\n  \\}\\n//s; s/config_version: .*/config_version: 8/' /root/three.conf >/etc/pve/corosync.conf.new && \
         mv /etc/pve/corosync.conf.new /etc/pve/corosync.conf",
    );
    let alone = |node: &str| lab.exec(node, "! grep -q '\"pve3\"' /etc/pve/.members").status == 0;
    eventually(PATIENCE, "two members", || alone("pve1") && alone("pve2"));
}

/// What `pvecm add` and the cluster do for a node that joins.
fn join_pve3(lab: &Lab) {
    lab.on(
        "pve1",
        "sed 's/config_version: .*/config_version: 9/' /root/three.conf >/etc/pve/corosync.conf.new && \
         mv /etc/pve/corosync.conf.new /etc/pve/corosync.conf",
    );
    lab.on("pve3", "systemctl start corosync pve-cluster && pvecm updatecerts --silent");
    let full = |node: &str| {
        let online = "[ \"$(grep -o '\"online\": 1' /etc/pve/.members | wc -l)\" = 3 ] && grep -q '\"quorate\": 1' /etc/pve/.members";
        lab.exec(node, online).status == 0
    };
    eventually(PATIENCE, "three members", || MEMBERS.iter().all(|node| full(node)));
}

#[test]
fn a_cluster_takes_the_firewall_up_one_after_the_other_and_lets_in_who_joins() {
    let Some(lab) = Lab::up("fw-three", &MEMBERS, &["--cluster"]) else { return };
    leave_out_pve3(&lab);
    let controls = ["--control", "firewall.*", "--control", "accounts.admin", "--control", "ssh.root-login"];
    let command = |verb: &[&str]| lab.harden(&[verb, &["--profile", "strict"], &controls].concat());
    // Named alone, a member cannot bind the others.
    let alone = command(&["apply", "pve1", "--yes"]).exits(4);
    assert!(alone.stdout.contains("and this command leaves out pve2"), "{}", alone.stdout);
    assert_eq!(["pve1", "pve2"].map(|node| runs(&lab, node)), [0; 2]);

    let mut before = ["pve1", "pve2"].map(|node| losses(&lab, node)).to_vec();
    let applied = command(&["apply", "pve1", "--cluster", "--yes"]).exits(0);
    let table = applied.stdout.split("\nwhat became of them\n").nth(1).unwrap();
    assert_eq!(table.matches("  applied  run ").count(), 2, "{table}");
    // Nobody is let in before everybody is guarded and the one before was proved; the one that wrote commits last.
    let [first, second] = ["pve1", "pve2"].map(|node| {
        let at = |line| moment(&lab, node, line);
        (at(" gate ready 480"), at(" begin 003"), at(" proved firewall"), at(" committed ops"))
    });
    assert!(first.0.max(second.0) <= first.1 && first.2 <= second.1 && second.3 <= first.3, "{first:?} {second:?}");
    assert_eq!(runs(&lab, "pve3"), 0);
    assert_eq!(reach(&lab, "neighbour", "pve1"), NONE);

    join_pve3(&lab);
    before.push(losses(&lab, "pve3"));
    let (four, six) = (lab.address("pve3"), lab.address6("pve3"));
    let planned = command(&["plan", "pve1"]).exits(1);
    for line in [
        format!("+{four} # pve-harden:firewall.management member pve3"),
        format!("+{six} # pve-harden:firewall.management member pve3"),
        "this command leaves out: pve2".to_owned(),
    ] {
        assert!(planned.stdout.contains(&line), "{line}\n{}", planned.stdout);
    }
    let matches = |line: &str| line.starts_with('+') && line.contains("Match") && line.contains(&four);
    assert!(planned.stdout.lines().any(matches), "{}", planned.stdout);
    assert!(broken(&lab, "pve3", "pve1", &lab.address("pve1")).is_some(), "pve3 was let in before");

    // The members let it in first, in their sshd and then in the firewall: its own run comes last.
    command(&["apply", "pve3", "--cluster", "--yes"]).exits(0);
    let spans = |nodes: &[&str], such| nodes.iter().map(|node| span(&lab, node, such)).collect::<Vec<_>>();
    let order = [spans(&["pve1", "pve2"], OWN), spans(&MEMBERS, SHARED), spans(&["pve3"], OWN)];
    let ends = |spans: &[(u64, u64)]| spans.iter().map(|span| span.1).max();
    let begins = |spans: &[(u64, u64)]| spans.iter().map(|span| span.0).min();
    assert!(order.windows(2).all(|pair| ends(&pair[0]) <= begins(&pair[1])), "{order:?}");
    assert_eq!(broken_pairs(&lab), Vec::<String>::new());
    for node in MEMBERS {
        assert_eq!(lab.on(node, "pve-firewall status").trim(), "Status: enabled/running", "{node}");
        assert_eq!(reach(&lab, "operator", node), ALL, "{node}");
        for host in STRANGERS {
            assert_eq!(reach(&lab, host, node), NONE, "{host} → {node}");
        }
    }
    assert_eq!(MEMBERS.map(|node| losses(&lab, node)).to_vec(), before, "a member was lost");

    let again = command(&["apply", "pve1", "--cluster", "--yes"]).exits(0);
    for (node, count) in [("pve1", 4), ("pve2", 4), ("pve3", 2)] {
        assert!(again.stdout.contains(&format!("{node}: 0 changes")), "{}", again.stdout);
        assert_eq!(runs(&lab, node), count, "{node}");
    }
}

/// The runs that change cluster.fw, and the others.
const SHARED: &str = "";
const OWN: &str = "!";

/// When the newest such run of a member began and when it was committed.
fn span(lab: &Lab, node: &str, such: &str) -> (u64, u64) {
    let newest = format!(
        "for run in $(ls -dr /var/lib/pve-harden/runs/*/); do {such} grep -q cluster.fw $run/meta.json && exec cat $run/journal; done; exit 1"
    );
    let journal = lab.on(node, &newest);
    let time = |line: Option<&str>| line.unwrap().split(' ').next().unwrap().parse().unwrap();
    (time(journal.lines().next()), time(journal.lines().find(|line| line.contains(" committed "))))
}
