//! `pve-firewall simulate`: asks the compiled IPv4 rules about a packet. It understands less than the kernel does and
//! gives up at what it does not know, log rules among it.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::command::tell;
use super::compile::{Chains, compile};
use super::node::Node;
use crate::api::schema;
use crate::cli;
use crate::console::{complain, put};
use crate::die::Die;
use crate::host::Host;

const USAGE: &str = "\npve-firewall simulate  [OPTIONS]";
const ZONE: &str = r"(host|outside|vm\d+|ct\d+|([a-zA-Z][a-zA-Z0-9]{0,9})/(\S+))";

fn properties() -> Map<String, Value> {
    let zone = |default: &str| json!({"type": "string", "pattern": ZONE, "optional": 1, "default": default});
    let port = json!({"type": "integer", "optional": 1});
    let address = json!({"type": "string", "format": "ipv4", "optional": 1});
    let all = json!({
        "verbose": {"type": "boolean", "optional": 1},
        "from": zone("outside"), "to": zone("host"),
        "protocol": {"type": "string", "pattern": "(tcp|udp)", "optional": 1},
        "dport": port, "sport": port, "source": address, "dest": address,
    });
    all.as_object().cloned().unwrap_or_default()
}

/// Runs the command.
pub fn run(host: &Host, words: &[String]) -> anyhow::Result<u8> {
    let properties = properties();
    let mut given = match cli::read_options(words, &properties) {
        Ok(given) => given,
        Err(text) => {
            complain(format!("{text}{USAGE}"));
            return Ok(255);
        }
    };
    if let Err(error) = schema::check(&properties, &mut given, host.release) {
        complain(format!("{error}{USAGE}"));
        return Ok(255);
    }
    let text = |name: &str| given.get(name).and_then(Value::as_str).map(str::to_owned);
    let verbose = given.get("verbose") == Some(&Value::from(1));
    let node = Node::read(host);
    tell(&node.notices, verbose);
    let compiled = compile(&node).map_err(|message| Die::new(255, message))?;
    for warning in &compiled.warnings {
        complain(warning);
    }
    if verbose {
        put(dumped(&compiled.filter4) + &dumped(&compiled.raw4));
    }
    let packet = Packet {
        from: text("from").unwrap_or_else(|| "outside".to_owned()),
        to: text("to").unwrap_or_else(|| "host".to_owned()),
        proto: text("protocol").unwrap_or_else(|| "tcp".to_owned()),
        source: text("source"),
        dest: text("dest"),
        dport: text("dport"),
        sport: text("sport"),
    };
    put(packet.shown());
    let simulation = Simulation { chains: &compiled.filter4, sets: &compiled.sets, mark: 0 };
    match packet.decided(simulation, node.address) {
        Ok(action) => {
            put(format!("ACTION: {action}\n"));
            Ok(0)
        }
        Err(message) => Err(Die::new(255, message).into()),
    }
}

/// Perl's way to print a table of lists.
fn dumped(chains: &Chains) -> String {
    if chains.is_empty() {
        return "$VAR1 = {};\n".to_owned();
    }
    let parts: Vec<String> = chains
        .iter()
        .map(|(chain, commands)| {
            let head = format!("          '{chain}' => [");
            if commands.is_empty() {
                return format!("{head}]");
            }
            let indent = " ".repeat(head.len() + 1);
            let lines: Vec<String> = commands.iter().map(|command| format!("{indent}'{command}'")).collect();
            format!("{head}\n{}\n{}]", lines.join(",\n"), " ".repeat(head.len() - 1))
        })
        .collect();
    format!("$VAR1 = {{\n{}\n        }};\n", parts.join(",\n"))
}

/// What is sent, in the words of the command.
pub struct Packet {
    /// Zone.
    pub from: String,
    /// Zone.
    pub to: String,
    /// `tcp` or `udp`.
    pub proto: String,
    /// Address.
    pub source: Option<String>,
    /// Address.
    pub dest: Option<String>,
    /// Port.
    pub dport: Option<String>,
    /// Port; nothing looks at it.
    pub sport: Option<String>,
}

impl Packet {
    fn shown(&self) -> String {
        let rows = [
            ("from", Some(&self.from)),
            ("to", Some(&self.to)),
            ("proto", Some(&self.proto)),
            ("source", self.source.as_ref()),
            ("dest", self.dest.as_ref()),
            ("dport", self.dport.as_ref()),
            ("sport", self.sport.as_ref()),
        ];
        let lines = rows.into_iter().filter_map(|(name, value)| Some(format!("  {name:<8}: {}\n", value?)));
        format!("Test packet:\n{}", lines.collect::<String>())
    }

    /// What becomes of it.
    ///
    /// # Errors
    /// The message with which the real program gives up.
    pub fn decided(&self, mut simulation: Simulation<'_>, own: Option<IpAddr>) -> Result<String, String> {
        if self.from == self.to {
            return Err(
                "from/to needs to be different at /usr/share/perl5/PVE/FirewallSimulator.pm line 511.".to_owned()
            );
        }
        let own = own.map(|own| own.to_string());
        let of_host = |zone: &str, given: &Option<String>, other: &str| {
            let host = own.clone().filter(|_| zone == "host");
            given
                .clone()
                .or(host)
                .unwrap_or_else(|| other.to_owned())
                .parse::<Ipv4Addr>()
                .map_err(|_| "Use of invalid address".to_owned())
        };
        let (chain, iface_in, iface_out) = match (self.from.as_str(), self.to.as_str()) {
            ("host", "outside") => ("PVEFW-OUTPUT", "lo", "vmbr0"),
            ("outside", "host") => ("PVEFW-INPUT", "vmbr0", "lo"),
            (bridge, "host") if bridge.contains('/') => {
                ("PVEFW-INPUT", bridge.split('/').next().unwrap_or_default(), "lo")
            }
            ("host", bridge) if bridge.contains('/') => {
                ("PVEFW-OUTPUT", "lo", bridge.split('/').next().unwrap_or_default())
            }
            _ => return Err(format!("pve-sim does not play packets from {} to {}", self.from, self.to)),
        };
        let seen = Seen {
            proto: &self.proto,
            source: of_host(&self.from, &self.source, "100.100.1.2")?,
            dest: of_host(&self.to, &self.dest, "100.200.3.4")?,
            dport: self.dport.as_deref().and_then(|port| port.parse().ok()),
            iface_in,
            iface_out,
        };
        simulation.chain(chain, &seen).map(|action| action.unwrap_or_else(|| "ACCEPT".to_owned()))
    }
}

/// What the rules look at.
struct Seen<'p> {
    proto: &'p str,
    source: Ipv4Addr,
    dest: Ipv4Addr,
    dport: Option<u32>,
    iface_in: &'p str,
    iface_out: &'p str,
}

/// The rules, and the mark that a packet carries.
pub struct Simulation<'c> {
    /// IPv4's.
    pub chains: &'c Chains,
    /// Sets.
    pub sets: &'c Chains,
    /// Zero at first.
    pub mark: u32,
}

/// What a rule that fits says: whether it goes for good, and where.
type Verdict = Option<(bool, String)>;

impl Simulation<'_> {
    fn chain(&mut self, chain: &str, seen: &Seen<'_>) -> Result<Option<String>, String> {
        match chain {
            "PVEFW-Drop" => return Ok(Some("DROP".to_owned())),
            "PVEFW-reject" => return Ok(Some("REJECT".to_owned())),
            "PVEFW-tcpflags" => return Ok(None),
            _ => {}
        }
        let Some(commands) = self.chains.get(chain) else {
            return Err(format!("no such chain '{chain}' at /usr/share/perl5/PVE/FirewallSimulator.pm line 299."));
        };
        for command in commands {
            let rule = command.trim_start_matches("-A ").strip_prefix(chain).unwrap_or_default().trim_start();
            let Some((goes, action)) = self.rule(rule, seen)? else { continue };
            match action.as_str() {
                "ACCEPT" | "DROP" | "REJECT" => return Ok(Some(action)),
                "RETURN" => break,
                other if goes => return self.chain(other, seen),
                other => {
                    if let Some(action) = self.chain(other, seen)? {
                        return Ok(Some(action));
                    }
                }
            }
        }
        Ok(None)
    }

    fn rule(&mut self, rule: &str, seen: &Seen<'_>) -> Result<Verdict, String> {
        let mut rest = rule;
        loop {
            let words: Vec<&str> = rest.split(' ').collect();
            let (taken, fits) = match words.as_slice() {
                ["-m", "conntrack", "--ctstate", state, ..] => (4, state.contains("NEW")),
                ["-m", "addrtype", "--src-type" | "--dst-type", kind, ..] => (4, *kind == "UNICAST"),
                ["-i", name, ..] => (2, device(name, seen.iface_in)),
                ["-o", name, ..] => (2, device(name, seen.iface_out)),
                ["-p", proto @ ("tcp" | "udp" | "igmp" | "icmp"), ..] => (2, *proto == seen.proto),
                ["--dport", ports, ..] if is_ports(ports) => (2, in_ports(ports, seen)?),
                ["-s" | "-d", list, ..] if list.contains(',') => {
                    return Err("Can't call method \"overlaps\" on an undefined value at /usr/share/perl5/PVE/FirewallSimulator.pm line 203.".to_owned());
                }
                ["-s", net, ..] => (2, contains(net, seen.source)),
                ["-d", net, ..] => (2, contains(net, seen.dest)),
                ["-m", "set", "--match-set", set, side, ..] => {
                    let address = if *side == "src" { seen.source } else { seen.dest };
                    (5, self.in_set(set, address)?)
                }
                ["-m", "mark", "--mark", mark, ..] => (4, self.is_marked(mark)),
                ["-j", "MARK", "--set-mark", mark] => {
                    self.set_mark(mark);
                    (usize::MAX, false)
                }
                ["-m", "physdev", ..] | ["-j", "CONNMARK" | "NFLOG", ..] => (usize::MAX, false),
                ["-j", action] => return Ok(Some((false, (*action).to_owned()))),
                ["-g", action] => return Ok(Some((true, (*action).to_owned()))),
                _ => {
                    return Err(format!(
                        "unable to parse rule: {rest} at /usr/share/perl5/PVE/FirewallSimulator.pm line 275."
                    ));
                }
            };
            if !fits {
                return Ok(None);
            }
            rest = words.get(taken..).map_or("", |left| &rest[rest.len() - left.join(" ").len()..]);
        }
    }

    fn in_set(&self, set: &str, address: Ipv4Addr) -> Result<bool, String> {
        let commands = self.sets.get(set).ok_or_else(|| format!("no such ipset '{set}'"))?;
        for net in commands.iter().filter_map(|command| command.strip_prefix(&format!("add {set} "))) {
            if net.contains(' ') {
                return Err("implement me at /usr/share/perl5/PVE/FirewallSimulator.pm line 107.".to_owned());
            }
            if contains(net, address) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_marked(&self, text: &str) -> bool {
        let (value, mask) = mark_of(text);
        self.mark & mask == value
    }

    fn set_mark(&mut self, text: &str) {
        let (value, mask) = mark_of(text);
        self.mark = (self.mark & !mask) | value;
    }
}

fn mark_of(text: &str) -> (u32, u32) {
    let number = |text: &str| u32::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or_default();
    text.split_once('/').map_or((number(text), u32::MAX), |(value, mask)| (number(value), number(mask)))
}

fn device(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('+').map_or(pattern == name, |start| name.starts_with(start))
}

fn contains(net: &str, address: Ipv4Addr) -> bool {
    match net.parse::<IpNet>() {
        Ok(net) => net.contains(&IpAddr::V4(address)),
        Err(_) => net.parse::<Ipv4Addr>().is_ok_and(|one| one == address),
    }
}

fn is_ports(text: &str) -> bool {
    text.split(':').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

fn in_ports(text: &str, seen: &Seen<'_>) -> Result<bool, String> {
    let Some(port) = seen.dport.filter(|port| *port > 0) else {
        return Err("missing dport at /usr/share/perl5/PVE/FirewallSimulator.pm line 196.".to_owned());
    };
    let bounds: Vec<u32> = text.split(':').filter_map(|part| part.parse().ok()).collect();
    Ok(match bounds.as_slice() {
        [one] => port == *one,
        [first, last] => (*first..=*last).contains(&port),
        _ => false,
    })
}
