//! The generated pairs, put to a real pve-firewall: `make test-oracle`. What pve-sim says of a share of them is asked in
//! the lab.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::process::{Command, Stdio};

use ipnet::IpNet;
use pve_harden::apply::questions::PROGRAM;
use pve_harden::firewall::{Direction, Model, Protocol, Question, Verdict};
use pve_harden::pve::firewall::Backend;
use serde_json::{Value, json};

use super::pairs::{Configuration, World, all, many, model_of};

/// Every `d/NAME` of the archive is a folder of questions.
const ASK: &str = "d=$(mktemp -d) && trap 'rm -rf \"$d\"' EXIT && tar -xf - -C \"$d\" && for folder in \"$d\"/0*; do \
    echo \"== ${folder##*/}\"; timeout 120 perl \"$d/questions.pl\" \"$folder\" || echo \"status $?\"; done";

const COMPILE: &str = "d=$(mktemp -d) && trap 'rm -rf \"$d\"' EXIT && tar -xf - -C \"$d\" && cd \"$d\" && \
    timeout 500 perl compile.pl [0-9]*";

/// A machine with a pve-firewall; `shell` are the words before a shell script.
pub struct Oracle {
    shell: Vec<String>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Told {
    /// Pairs with an answer.
    pub answered: usize,
    /// Pairs that it cannot play, with the reasons.
    pub silent: usize,
    /// What it said on the way.
    pub reasons: String,
    /// Where it says something else.
    pub differences: Vec<String>,
}

impl Oracle {
    /// `words` and a script make a command.
    pub fn new(words: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { shell: words.into_iter().map(Into::into).collect() }
    }

    fn run(&self, script: &str, input: &[u8]) -> (i32, String, String) {
        let mut command = Command::new(&self.shell[0]);
        command.args(&self.shell[1..]).arg(script);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a shell");
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        let _ = writer.join();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }

    /// The generator's world with this machine's name and address in it.
    pub fn world(&self) -> World {
        let (status, said, error) = self.run("pve-firewall localnet", b"");
        assert_eq!(status, 0, "pve-firewall localnet: {said}{error}");
        let line =
            |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{said}"));
        let own: IpAddr = line("local IP address: ").parse().unwrap();
        let network: IpNet = line("network auto detect: ").parse().unwrap();
        let mut world = World { name: line("local hostname: ").into(), own, ..World::default() };
        world.node[usize::from(own.is_ipv6())] = IpNet::new(own, network.prefix_len()).unwrap();
        world.others.extend(network.hosts().filter(|address| *address != own).take(1));
        world
    }

    /// What its compiler makes of each: `{"v4":{CHAIN:[LINE]},"v6":…,"sets":{NAME:[LINE]}}`.
    fn compiled(&self, configurations: &[Configuration]) -> Vec<Value> {
        let mut archive = tar::Builder::new(Vec::new());
        pack(&mut archive, "compile.pl", include_str!("compile.pl"));
        for one in configurations {
            files(&mut archive, one);
        }
        let (status, said, reasons) = self.run(COMPILE, &archive.into_inner().unwrap());
        assert_eq!(status, 0, "{said}{reasons}");
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Puts the pairs of `configurations` that a simulator plays: IPv4, TCP and UDP, by the rules of iptables.
    pub fn ask(&self, configurations: &[Configuration]) -> Told {
        let mut archive = tar::Builder::new(Vec::new());
        pack(&mut archive, "questions.pl", PROGRAM);
        let mut asked = Vec::new();
        for one in configurations.iter().filter(|one| one.backend == Backend::Iptables) {
            let packets: Vec<_> = one.packets.iter().filter(|(question, ..)| plays(question)).collect();
            files(&mut archive, one);
            let questions: String = packets.iter().map(|(question, verdict, _)| line(question, *verdict)).collect();
            pack(&mut archive, &format!("{}/questions", one.id), &questions);
            asked.push((one, packets));
        }
        let (status, said, reasons) = self.run(ASK, &archive.into_inner().unwrap());
        assert_eq!(status, 0, "{said}{reasons}");
        let mut told = Told { reasons, ..Told::default() };
        let mut parts = said.split("== ").skip(1);
        for (one, packets) in asked {
            let mut words = parts.next().unwrap_or_default().lines();
            assert_eq!(words.next(), Some(one.id.as_str()), "{said}\n{}", told.reasons);
            for (question, verdict, by) in packets {
                match words.next() {
                    Some("?") => told.silent += 1,
                    Some(word @ ("ACCEPT" | "DROP" | "REJECT")) => {
                        told.answered += 1;
                        if (word == "ACCEPT") != (*verdict == Verdict::Accept) {
                            let files = format!("{}\n--- host.fw\n{}", one.cluster, one.host);
                            let line =
                                format!("{}: {question:?}\n  model: {verdict} by {by}; PVE: {word}\n{files}", one.id);
                            told.differences.push(line);
                        }
                    }
                    other => panic!("{}: {other:?}\n{}", one.id, told.reasons),
                }
            }
        }
        told
    }
}

/// cluster.fw, host.fw and corosync.conf.
fn files(archive: &mut tar::Builder<Vec<u8>>, one: &Configuration) {
    pack(archive, &format!("{}/cluster.fw", one.id), &one.cluster);
    pack(archive, &format!("{}/host.fw", one.id), &one.host);
    if let Some(text) = &one.corosync {
        pack(archive, &format!("{}/corosync.conf", one.id), text);
    }
}

fn pack(archive: &mut tar::Builder<Vec<u8>>, name: &str, text: &str) {
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len() as u64);
    header.set_mode(0o600);
    archive.append_data(&mut header, name, text.as_bytes()).unwrap();
}

fn plays(question: &Question) -> bool {
    question.destination.is_ipv4() && matches!(question.protocol, Protocol::Tcp | Protocol::Udp)
}

fn line(question: &Question, verdict: Verdict) -> String {
    let zones = if question.direction == Direction::In { "outside host" } else { "host outside" };
    let protocol = if question.protocol == Protocol::Tcp { "tcp" } else { "udp" };
    let (source, destination) = (question.source, question.destination);
    let mut text = String::new();
    let _ = writeln!(text, "{verdict} {zones} {protocol} {source} {destination} {}", question.port.unwrap_or_default());
    text
}

/// A set with exceptions, one of them inside the network that PVE adds by itself: the kernel lets the smallest network
/// decide, and PVE's simulator the first, or it dies.
fn exceptions(world: &World) -> Configuration {
    let network = world.node[usize::from(world.own.is_ipv6())];
    let neighbour = *world.others.iter().rfind(|address| network.contains(*address)).unwrap();
    let cluster = format!(
        "[OPTIONS]\n\nenable: 1\n\n[IPSET management]\n\n!{neighbour}\n192.0.2.0/24\n!192.0.2.128/25\n192.0.2.130\n"
    );
    let model = model_of(world, Backend::Iptables, &cluster, "", None);
    let sources =
        [neighbour, "192.0.2.7".parse().unwrap(), "192.0.2.129".parse().unwrap(), "192.0.2.130".parse().unwrap()];
    let wanted = [Verdict::Drop, Verdict::Accept, Verdict::Drop, Verdict::Accept];
    let ask = |(source, wanted): (IpAddr, Verdict)| {
        let question = Question::to_node(source, world.own, Protocol::Tcp, 8006);
        let answer = model.ask(&question);
        assert_eq!(answer.verdict, wanted, "{source}: {}", answer.by);
        (question, answer.verdict, answer.by.to_string())
    };
    let packets = sources.into_iter().zip(wanted).map(ask).collect();
    let backend = Backend::Iptables;
    Configuration { id: "000".into(), backend, cluster, host: String::new(), corosync: None, packets }
}

/// What a share of the pairs gets from it; every answer is the model's.
#[track_caller]
pub fn agrees(oracle: &Oracle, every: usize) -> Told {
    let world = oracle.world();
    let told = oracle.ask(&[exceptions(&world)]);
    assert_eq!((told.answered, told.silent, told.differences.len()), (4, 0, 0), "{told:#?}");
    let configurations: Vec<_> = all(&world).into_iter().step_by(every).collect();
    let told = oracle.ask(&configurations);
    let shown: Vec<&str> = told.differences.iter().take(3).map(String::as_str).collect();
    assert!(told.differences.is_empty(), "{} pairs differ\n{}", told.differences.len(), shown.join("\n"));
    told
}

/// `PVE_ORACLE` is how `make test-oracle` names the machine: words before a shell script, `ssh root@pve1` or `sh -c`.
#[test]
fn a_real_pve_firewall_agrees_with_the_model() {
    let Ok(words) = std::env::var("PVE_ORACLE") else { return };
    let told = agrees(&Oracle::new(words.split_whitespace()), 1);
    let _ = writeln!(
        std::io::stderr(),
        "PVE's own simulator agrees with the model on {} pairs and cannot play {} others",
        told.answered,
        told.silent
    );
    assert!(told.answered >= 200, "only {} answers\n{}", told.answered, told.reasons);
}

/// Every rule and set, of both families: more configurations than the simulator could be asked about.
#[test]
fn a_real_pve_firewall_compiles_the_rules_of_the_model() {
    let Ok(words) = std::env::var("PVE_ORACLE") else { return };
    let oracle = Oracle::new(words.split_whitespace());
    let world = oracle.world();
    let configurations = many(&world, 999);
    let compiled = oracle.compiled(&configurations);
    assert_eq!(compiled.len(), configurations.len());
    let mut rules = 0;
    for (one, theirs) in configurations.iter().zip(compiled) {
        let model = model_of(&world, Backend::Iptables, &one.cluster, &one.host, one.corosync.as_deref());
        let ours = compiled_by(&model);
        if !model.is_on() {
            assert_eq!(theirs["v4"].get("PVEFW-HOST-IN"), None, "{}: {:?}", one.id, model.why_not());
            continue;
        }
        for family in ["v4", "v6", "sets"] {
            let names = |value: &Value| value[family].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            assert_eq!(names(&ours), names(&theirs), "{} {family}\n{}", one.id, one.cluster);
            for name in names(&ours) {
                let (ours, theirs) = (&ours[family][&name], &theirs[family][&name]);
                assert_eq!(ours, theirs, "{} {family} {name}\n{}\n--- host.fw\n{}", one.id, one.cluster, one.host);
                rules += ours.as_array().unwrap().len();
            }
        }
    }
    assert!(rules > 100_000, "{rules}");
    let _ = writeln!(
        std::io::stderr(),
        "PVE's own compiler makes the model's {rules} lines of {} configurations",
        configurations.len()
    );
}

fn compiled_by(model: &Model) -> Value {
    let mut all = json!({"v4": {}, "v6": {}, "sets": {}});
    for (family, v6) in [("v4", false), ("v6", true)] {
        let Some(rules) = model.compile(v6) else { continue };
        for chain in &rules.chains {
            let lines: Vec<String> =
                chain.rules.iter().map(|rule| format!("-A {} {}", chain.name, rule.text)).collect();
            all[family][&chain.name] = json!(lines);
        }
        for (name, set) in &rules.sets {
            all["sets"][name] = json!(set.text);
        }
    }
    all
}
