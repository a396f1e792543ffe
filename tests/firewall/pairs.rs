//! Generated configurations with packets and what the model says of them, always the same for the same seed.
//!
//! `all(&World::default())` gives [`COUNT`] configurations of [`PACKETS`] packets each. [`write`] puts them into a
//! directory for programs that are not this one:
//!
//! ```text
//! DIR/000/cluster.fw       the files of configuration 000
//! DIR/000/host.fw
//! DIR/000/corosync.conf    only where the configuration has a second node
//! DIR/pairs.jsonl          a line per pair:
//!   {"configuration":"000","backend":"iptables","direction":"in","source":"192.0.2.7","destination":"10.77.0.2",
//!    "protocol":"tcp","port":22,"interface":"vmbr0","verdict":"accept","by":"cluster.fw:14 IN SSH(ACCEPT)"}
//! ```
//!
//! `backend` is the firewall that reads the files (`iptables` or `nftables`); `direction` is seen from the node;
//! `verdict` is `accept`, `drop` or `reject` for a *new* connection (TCP's SYN, one UDP datagram, one ICMP echo
//! request with `protocol` `icmp` and no `port`) from an ephemeral source port that arrives or leaves by `interface`.
//! Pairs on which the model is not sure are not in it.
//!
//! A program that sends real packets gives its node the addresses of [`World`] and sends from (or, for `out`, to) the
//! other addresses; every one of [`World::others`] must be routed by `vmbr0`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use pve_harden::firewall::{Direction, Inputs, Model, NodeAddresses, Protocol, Question, Verdict};
use pve_harden::pve::cluster::corosync;
use pve_harden::pve::firewall::{Backend, ClusterFw, HostFw};
use serde_json::json;

/// Configurations.
pub const COUNT: usize = 80;
/// Packets for each.
pub const PACKETS: usize = 12;
const SEED: u64 = 0x5eed_f12e;

/// Addresses of the node and of those who talk to it.
pub struct World {
    /// Node name.
    pub name: String,
    /// The node's addresses with their prefix lengths, one of each family; all on `vmbr0`.
    pub node: [ipnet::IpNet; 2],
    /// The one that the node's name resolves to.
    pub own: IpAddr,
    /// Another member of the cluster, in the node's subnets.
    pub peer: [IpAddr; 2],
    /// Everybody else: a neighbour in the subnet, administrators, strangers.
    pub others: Vec<IpAddr>,
}

impl Default for World {
    fn default() -> Self {
        let others = ["10.77.0.9", "192.0.2.7", "192.0.2.130", "203.0.113.5", "fd77::9", "2001:db8::7", "3fff::5"];
        Self {
            name: "pve1".into(),
            node: ["10.77.0.2/24".parse().unwrap(), "fd77::2/64".parse().unwrap()],
            own: "10.77.0.2".parse().unwrap(),
            peer: ["10.77.0.3".parse().unwrap(), "fd77::3".parse().unwrap()],
            others: others.map(|text| text.parse().unwrap()).into(),
        }
    }
}

/// Files of a node, and what is sent.
pub struct Configuration {
    /// `000`, `001`, …
    pub id: String,
    /// Who reads the files.
    pub backend: Backend,
    /// cluster.fw.
    pub cluster: String,
    /// host.fw.
    pub host: String,
    /// corosync.conf of a cluster of two.
    pub corosync: Option<String>,
    /// What is sent, what the model says, and by which rule.
    pub packets: Vec<(Question, Verdict, String)>,
}

/// Every configuration.
pub fn all(world: &World) -> Vec<Configuration> {
    many(world, COUNT)
}

/// As many as are asked for; the first ones are those of [`all`].
pub fn many(world: &World, count: usize) -> Vec<Configuration> {
    let mut random = Random(SEED);
    (0..count).map(|number| configuration(world, &mut random, number)).collect()
}

/// Writes what the head of this file describes.
pub fn write(world: &World, directory: &Path) -> std::io::Result<()> {
    let mut lines = String::new();
    for configuration in all(world) {
        let folder = directory.join(&configuration.id);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("cluster.fw"), &configuration.cluster)?;
        fs::write(folder.join("host.fw"), &configuration.host)?;
        if let Some(text) = &configuration.corosync {
            fs::write(folder.join("corosync.conf"), text)?;
        }
        for (question, verdict, by) in &configuration.packets {
            writeln!(lines, "{}", line(&configuration, question, *verdict, by)).map_err(std::io::Error::other)?;
        }
    }
    fs::write(directory.join("pairs.jsonl"), lines)
}

fn line(configuration: &Configuration, question: &Question, verdict: Verdict, by: &str) -> serde_json::Value {
    let protocol = match question.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        _ => "icmp",
    };
    json!({
        "configuration": configuration.id,
        "backend": configuration.backend,
        "direction": question.direction,
        "source": question.source,
        "destination": question.destination,
        "protocol": protocol,
        "port": question.port,
        "interface": question.interface,
        "verdict": verdict,
        "by": by,
    })
}

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    fn one<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len())]
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }
}

fn configuration(world: &World, random: &mut Random, number: usize) -> Configuration {
    let backend = if number % 4 == 3 { Backend::Nftables } else { Backend::Iptables };
    let cluster = cluster(random);
    let host = host(random);
    let corosync_conf = random.percent(40).then(|| corosync_conf(world));
    let model = model_of(world, backend, &cluster, &host, corosync_conf.as_deref());
    let mut packets = Vec::new();
    assert!(model.is_on() || !model.why_not().unwrap().contains("keeps the rules"), "{cluster}{:?}", model.why_not());
    while packets.len() < PACKETS {
        let question = packet(world, random);
        let answer = model.ask(&question);
        if answer.verdict != Verdict::Unknown {
            packets.push((question, answer.verdict, answer.by.to_string()));
        }
    }
    Configuration { id: format!("{number:03}"), backend, cluster, host, corosync: corosync_conf, packets }
}

/// The model of such files.
pub fn model_of(world: &World, backend: Backend, cluster: &str, host: &str, corosync_conf: Option<&str>) -> Model {
    let cluster = ClusterFw::parse(cluster, backend);
    let host = HostFw::parse(host, &cluster);
    let corosync_conf = corosync_conf.map(|text| corosync(text).unwrap());
    Model::new(&Inputs {
        cluster: &cluster,
        host: &host,
        node: NodeAddresses { name: world.name.clone(), resolves_to: vec![world.own], networks: world.node.to_vec() },
        corosync: corosync_conf.as_ref(),
        names: BTreeMap::default(),
        local_network: None,
        now: Some(1_800_000_000),
    })
}

fn corosync_conf(world: &World) -> String {
    let node = |name: &str, id: usize, v4: IpAddr, v6: IpAddr| {
        format!("  node {{\n    name: {name}\n    nodeid: {id}\n    ring0_addr: {v4}\n    ring1_addr: {v6}\n  }}\n")
    };
    let [v4, v6] = &world.node;
    let nodes = node(&world.name, 1, v4.addr(), v6.addr()) + &node("pve2", 2, world.peer[0], world.peer[1]);
    format!("nodelist {{\n{nodes}}}\n\ntotem {{\n  cluster_name: lab\n  version: 2\n}}\n")
}

const NETWORKS: &[&str] = &[
    "192.0.2.0/24",
    "192.0.2.7",
    "192.0.2.128/25",
    "203.0.113.0/24",
    "10.77.0.9",
    "10.77.0.3",
    "2001:db8::/32",
    "3fff::5",
    "fd77::/64",
];

fn cluster(random: &mut Random) -> String {
    let mut text = String::from("[OPTIONS]\n\n");
    let enable = if random.percent(95) { "1" } else { "0" };
    let _ = writeln!(text, "enable: {enable}");
    if random.percent(80) {
        let _ = writeln!(text, "policy_in: {}", random.one(&["DROP", "DROP", "DROP", "REJECT", "ACCEPT"]));
    }
    if random.percent(30) {
        let _ = writeln!(text, "policy_out: {}", random.one(&["ACCEPT", "DROP", "REJECT"]));
    }
    text.push_str("\n[ALIASES]\n\njump 192.0.2.7\nstrangers 203.0.113.0/24\nsix 2001:db8::/32\n");
    if random.percent(40) {
        let _ = writeln!(text, "local_network {}", random.one(&["10.77.0.2", "10.77.0.0/29", "fd77::2"]));
    }
    for set in ["management", "web", "blacklist"] {
        if random.percent(if set == "blacklist" { 15 } else { 75 }) {
            ipset(random, set, &mut text);
        }
    }
    text.push_str("\n[RULES]\n\n");
    for _ in 0..random.below(9) {
        rule(random, true, &mut text);
    }
    text.push_str("\n[group shared]\n\n");
    for _ in 0..=random.below(3) {
        rule(random, false, &mut text);
    }
    text
}

fn ipset(random: &mut Random, name: &str, text: &mut String) {
    let _ = writeln!(text, "\n[IPSET {name}]\n");
    let mut seen: Vec<&str> = Vec::new();
    for _ in 0..=random.below(3) {
        let network = random.one(NETWORKS);
        if !seen.contains(&network) {
            seen.push(network);
            let sign = if random.percent(15) { "!" } else { "" };
            let _ = writeln!(text, "{sign}{network}");
        }
    }
    if random.percent(25) && !seen.contains(&"192.0.2.7") {
        text.push_str("jump\n");
    }
}

fn rule(random: &mut Random, groups: bool, text: &mut String) {
    if random.percent(6) {
        text.push('|');
    }
    if groups && random.percent(12) {
        text.push_str("GROUP shared\n");
        return;
    }
    let action = random.one(&["ACCEPT", "ACCEPT", "ACCEPT", "DROP", "REJECT"]);
    text.push_str(if random.percent(85) { "IN " } else { "OUT " });
    let with_macro = random.percent(25);
    if with_macro {
        let _ = write!(text, "{}({action})", random.one(&["SSH", "Web", "DNS", "Ping", "SMB", "VNC", "NTP", "HTTPS"]));
    } else {
        text.push_str(action);
    }
    if groups && random.percent(10) {
        let _ = write!(text, " -i {}", random.one(&["vmbr0", "nosuch0"]));
    }
    let source = random.below(10);
    let _ = match source {
        0..4 => Ok(()),
        4 => write!(text, " -source {}", random.one(&["+web", "+dc/management", "+management"])),
        5 => write!(text, " -source {}", random.one(&["jump", "strangers", "six", "dc/jump"])),
        6 => write!(
            text,
            " -source {}",
            random.one(&["192.0.2.5-192.0.2.9", "192.0.2.7,203.0.113.5", "fd77::9,2001:db8::7"])
        ),
        _ => write!(text, " -source {}", random.one(NETWORKS)),
    };
    if random.percent(10) && source < 4 {
        let _ = write!(text, " -dest {}", random.one(&["10.77.0.2", "10.77.0.0/24", "fd77::2", "192.0.2.7"]));
    }
    if !with_macro {
        let _ = match random.below(8) {
            0 => Ok(()),
            1 => write!(text, " -p udp -dport {}", random.one(&["53", "111,123", "5404:5412", "1024:65535"])),
            2 => write!(text, " -p {}", random.one(&["tcp", "udp"])),
            3 => write!(text, " -p tcp -dport {}", random.one(&["ssh", "https", "80,443", "8006:8007"])),
            4 => write!(text, " -p tcp -dport 22 -sport 1024:65535"),
            _ => write!(text, " -p tcp -dport {}", random.one(&["22", "8006", "3128", "111", "60000:60050", "5900"])),
        };
    }
    if random.percent(8) {
        text.push_str(" -log info");
    }
    text.push_str(if random.percent(10) { " # by hand\n" } else { "\n" });
}

fn host(random: &mut Random) -> String {
    let mut text = String::from("[OPTIONS]\n\n");
    for (option, chance) in [("enable: 1", 50), ("tcpflags: 1", 40), ("nosmurfs: 0", 20), ("ndp: 0", 10)] {
        if random.percent(chance) {
            let _ = writeln!(text, "{option}");
        }
    }
    if !text.contains("enable") && random.percent(8) {
        text.push_str("enable: 0\n");
    }
    if random.percent(40) {
        text.push_str("\n[RULES]\n\n");
        for _ in 0..=random.below(2) {
            rule(random, true, &mut text);
        }
    }
    text
}

fn packet(world: &World, random: &mut Random) -> Question {
    let v6 = random.percent(30);
    let ours = world.node[usize::from(v6)].addr();
    let candidates: Vec<IpAddr> =
        world.others.iter().chain(&world.peer).copied().filter(|a| a.is_ipv6() == v6).collect();
    let theirs = candidates[random.below(candidates.len())];
    let ports =
        [22, 22, 80, 443, 53, 111, 123, 135, 445, 1900, 2049, 3128, 5405, 5406, 5900, 8006, 8006, 8007, 60000, 43];
    let port = ports[random.below(ports.len())];
    let outward = random.percent(15);
    let (protocol, port) = match random.below(20) {
        0 => (Protocol::Icmp(if v6 { 128 } else { 8 }), None),
        1..7 => (Protocol::Udp, Some(port)),
        _ => (Protocol::Tcp, Some(port)),
    };
    Question {
        direction: if outward { Direction::Out } else { Direction::In },
        source: if outward { ours } else { theirs },
        destination: if outward { theirs } else { ours },
        protocol,
        port,
        source_port: None,
        interface: Some("vmbr0".into()),
    }
}

#[test]
fn there_are_enough_pairs_of_every_kind() {
    let all = all(&World::default());
    let packets: Vec<_> = all.iter().flat_map(|configuration| &configuration.packets).collect();
    assert!(packets.len() >= 500);
    for verdict in [Verdict::Accept, Verdict::Drop, Verdict::Reject] {
        let many = packets.iter().filter(|(_, found, _)| *found == verdict).count();
        assert!(many >= 25, "{verdict}: {many}");
    }
    let by_file = packets.iter().filter(|(_, _, by)| by.contains(".fw:") && !by.contains("policy")).count();
    assert!(by_file >= 100, "{by_file}");
    let again = super::pairs::all(&World::default());
    assert!(all.iter().zip(&again).all(|(one, other)| one.cluster == other.cluster && one.packets == other.packets));
}

#[test]
fn every_rule_of_the_generator_can_be_read() {
    for configuration in all(&World::default()) {
        let cluster = ClusterFw::parse(&configuration.cluster, configuration.backend);
        assert_eq!(cluster.refused().filter(|problem| !problem.message.contains("group")), None);
    }
}

#[test]
fn the_pairs_are_written() {
    let directory = tempfile::tempdir().unwrap();
    write(&World::default(), directory.path()).unwrap();
    let lines = fs::read_to_string(directory.path().join("pairs.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), COUNT * PACKETS);
    assert!(directory.path().join("000/cluster.fw").exists());
}
