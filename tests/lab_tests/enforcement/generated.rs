//! Generated configurations: what the model says of a packet is what the kernel does with it.

use std::collections::BTreeMap;

use pve_harden::firewall::{Direction, Protocol, Question, Verdict};
use pve_harden::pve::firewall::Backend;

use super::probe::{Kind, Packet, Probe};
use super::{Files, load, nftables};
use crate::firewall::pairs::{Configuration, World, all};
use crate::support::lab::Lab;

/// Ephemeral source ports, a new one for each packet.
const FIRST_PORT: u16 = 33_000;

/// A packet as the question describes it, from a source port of its own.
fn packet(question: &Question, sport: u16) -> Packet {
    let dport = question.port.unwrap_or_default();
    let kind = match question.protocol {
        Protocol::Tcp => Kind::Tcp { sport, dport },
        Protocol::Udp => Kind::Udp { sport, dport },
        Protocol::Icmp(kind) => Kind::Icmp(kind),
        Protocol::Other(proto) => Kind::Other(proto),
    };
    Packet {
        outward: question.direction == Direction::Out,
        source: question.source,
        destination: question.destination,
        kind,
    }
}

/// Gives the node the addresses of the generator's world, and `outside` the way to them.
fn settle(lab: &Lab, world: &World) {
    let [four, six] = &world.node;
    lab.on(
        "pve1",
        &format!(
            "ip addr add {four} dev vmbr0; ip -6 addr add {six} dev vmbr0 nodad; sed -i 's/^[0-9.]*\\( .*pve1\\)/{}\\1/' /etc/hosts; pve-firewall localnet | grep -q 'IP address: {}$'",
            four.addr(),
            four.addr()
        ),
    );
    let ways = format!("ip route add {} dev eth0 && ip -6 route add {} dev eth0", four.trunc(), six.trunc());
    lab.lab(["outside", "--", "sh", "-c", &ways]).exits(0);
}

/// The pairs of one configuration on which model and kernel differ.
fn differences(lab: &Lab, probe: &Probe<'_>, configuration: &Configuration, ports: u16) -> Vec<String> {
    let files = Files {
        cluster: configuration.cluster.clone(),
        host: configuration.host.clone(),
        corosync: configuration.corosync.clone().unwrap_or_default(),
    };
    match configuration.backend {
        Backend::Iptables => load(lab, "pve1", &files),
        Backend::Nftables => nftables::load(lab, "pve1", &files, configuration.packets[0].2.starts_with("no rules")),
    }
    let packets: Vec<Packet> =
        configuration.packets.iter().zip(ports..).map(|((question, ..), sport)| packet(question, sport)).collect();
    let passed = probe.passed(&packets);
    let wrong = configuration
        .packets
        .iter()
        .zip(passed)
        .filter(|((_, verdict, _), passed)| (*verdict == Verdict::Accept) != *passed);
    let lines = wrong
        .map(|((question, verdict, by), passed)| format!("{question:?}\n  model: {verdict} by {by}; passed: {passed}"));
    lines.collect()
}

fn agrees(lab: &Lab, configurations: Vec<Configuration>, at_least: u16) {
    settle(lab, &World::default());
    let probe = Probe::new(lab, "pve1");
    let mut report = BTreeMap::new();
    let mut pairs = 0;
    for configuration in configurations {
        let wrong = differences(lab, &probe, &configuration, FIRST_PORT + pairs);
        pairs += u16::try_from(configuration.packets.len()).unwrap();
        if !wrong.is_empty() {
            let files = format!("{}\n--- host.fw\n{}", configuration.cluster, configuration.host);
            report.insert(configuration.id, format!("{}\n{files}", wrong.join("\n")));
        }
    }
    assert!(pairs >= at_least, "only {pairs} pairs");
    let shown: Vec<String> = report.iter().take(5).map(|(id, text)| format!("== {id}\n{text}")).collect();
    assert!(report.is_empty(), "{} configurations differ\n{}", report.len(), shown.join("\n"));
}

fn of(backend: Backend) -> Vec<Configuration> {
    all(&World::default()).into_iter().filter(|one| one.backend == backend).collect()
}

#[test]
fn the_model_of_iptables_agrees_with_packets() {
    let Some(lab) = Lab::up("fw-pairs", &["pve1"], &[]) else { return };
    agrees(&lab, of(Backend::Iptables), 500);
}

#[test]
fn the_model_of_nftables_agrees_with_packets() {
    let Some(lab) = Lab::up("fw-pairs-nft", &["pve1"], &[]) else { return };
    nftables::install(&lab, "pve1");
    agrees(&lab, of(Backend::Nftables), 200);
}
