//! Turning configuration into chains and sets.

mod commands;
mod guests;
mod host;
mod layer2;
mod raw;
mod sets;

use std::collections::BTreeMap;

use super::Family;
use super::config::Config;
use super::names::log_level;
use super::node::Node;
use super::rule::Rule;

/// Chains with their commands, each `-A CHAIN …`.
pub type Chains = BTreeMap<String, Vec<String>>;

const CHAINS4: &str = include_str!("chains4.txt");
const CHAINS6: &str = include_str!("chains6.txt");

/// The mark of a packet that a group or a guest accepts.
const MARK_ON: &str = "0x80000000/0x80000000";
const MARK_OFF: &str = "0x00000000/0x80000000";

/// All that is loaded into the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    /// `filter` of IPv4.
    pub filter4: Chains,
    /// `raw` of IPv4.
    pub raw4: Chains,
    /// `filter` of IPv6.
    pub filter6: Chains,
    /// `raw` of IPv6.
    pub raw6: Chains,
    /// Sets, each with the commands that make it.
    pub sets: Chains,
    /// The bridge's chains.
    pub layer2: Chains,
    /// What was said on the way.
    pub warnings: Vec<String>,
}

/// Compiles; nothing where the datacenter's firewall is off.
///
/// # Errors
/// The message with which the real program gives up.
pub fn compile(node: &Node) -> Result<Compiled, String> {
    let mut node = node.clone();
    let limit = log_limit(&node.cluster)?;
    if !node.cluster.is_on("enable") {
        return Ok(Compiled::default());
    }
    sets::add_local_network(&mut node);
    let mut warnings = Vec::new();
    let mut built = Vec::new();
    for family in Family::BOTH {
        let mut builder = Builder { family, chains: Chains::new(), limit: limit.clone(), warnings };
        builder.filter(&mut node)?;
        warnings = builder.warnings;
        built.push(builder.chains);
    }
    let for_six = built.pop().unwrap_or_default();
    let for_four = built.pop().unwrap_or_default();
    let layer2 = if node.cluster.is_off("ebtables") { Chains::new() } else { layer2::chains(&node)? };
    Ok(Compiled {
        filter4: for_four,
        filter6: for_six,
        raw4: raw::chains(&node.host, Family::V4),
        raw6: raw::chains(&node.host, Family::V6),
        sets: sets::all(&node, &mut warnings),
        layer2,
        warnings,
    })
}

/// `-m limit …` of log rules; none when the datacenter has it off.
fn log_limit(cluster: &Config) -> Result<Option<String>, String> {
    let Some(text) = cluster.text("log_ratelimit") else {
        return Ok(Some("--limit 1/sec".to_owned()));
    };
    let (mut enable, mut rate, mut burst) = (false, "1/sec", None);
    for part in text.split(',').filter(|part| !part.is_empty()) {
        match part.split_once('=').unwrap_or(("enable", part)) {
            ("enable", value) => enable = matches!(value.to_lowercase().as_str(), "1" | "on" | "yes" | "true"),
            ("rate", value) => rate = value,
            ("burst", value) => burst = Some(value).filter(|value| *value != "0"),
            (name, _) => {
                return Err(format!(
                    "format error\n{name}: property is not defined in schema and the schema does not allow additional properties"
                ));
            }
        }
    }
    let burst = burst.map(|burst| format!(" --limit-burst {burst}")).unwrap_or_default();
    Ok(enable.then(|| format!("--limit {rate}{burst}")))
}

/// Builds the chains of one family.
struct Builder {
    family: Family,
    chains: Chains,
    limit: Option<String>,
    warnings: Vec<String>,
}

impl Builder {
    /// # Errors
    /// A name that the kernel does not take, or a chain that is there.
    fn create(&mut self, chain: &str) -> Result<(), String> {
        create(&mut self.chains, chain)
    }

    fn add(&mut self, chain: &str, matched: &str, action: &str) {
        add(&mut self.chains, chain, matched, action);
    }

    /// A rule, with a log rule in front of it where a severity is given.
    fn add_logged(&mut self, chain: &str, action: &str, log: Option<&Log<'_>>) {
        if let Some(log) = log {
            let command = format!("-A {chain}  {}", self.log_action(chain, log));
            self.chains.entry(chain.to_owned()).or_default().push(command);
        }
        self.add(chain, "", action);
    }

    fn log_action(&self, chain: &str, log: &Log<'_>) -> String {
        let limit = self.limit.as_ref().map(|limit| format!("-m limit {limit} ")).unwrap_or_default();
        format!("{limit}-j NFLOG --nflog-prefix \":{}:{}:{chain}: {}\"", log.vmid, log.level, log.message)
    }

    fn filter(&mut self, node: &mut Node) -> Result<(), String> {
        for chain in ["PVEFW-INPUT", "PVEFW-OUTPUT", "PVEFW-FORWARD"] {
            self.create(chain)?;
        }
        // Nobody knows why forwarded packets log at the severity of outgoing ones.
        let level = option_level(&node.host, "log_level_out");
        self.connection_filters("PVEFW-FORWARD", node.host.is_on("nf_conntrack_allow_invalid"), "-j ACCEPT");
        self.create("PVEFW-FWBR-IN")?;
        self.input_filters("PVEFW-FWBR-IN", node, level)?;
        self.add("PVEFW-FORWARD", "-m physdev --physdev-is-bridged --physdev-in fwln+", "-j PVEFW-FWBR-IN");
        self.create("PVEFW-FWBR-OUT")?;
        self.add("PVEFW-FORWARD", "-m physdev --physdev-is-bridged --physdev-out fwln+", "-j PVEFW-FWBR-OUT");
        self.standard_chains(&node.host)?;
        if !node.host.is_off("enable")
            && let Err(message) = self.host_chains(node)
        {
            self.warnings.push(message);
        }
        self.guests(node);
        if self.chains.contains_key("PVEFW-IPS")
            && let Some(forward) = self.chains.get_mut("PVEFW-FORWARD")
        {
            forward.insert(0, "-A PVEFW-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j PVEFW-IPS".to_owned());
        }
        Ok(())
    }

    fn standard_chains(&mut self, host: &Config) -> Result<(), String> {
        let text = match self.family {
            Family::V4 => CHAINS4,
            Family::V6 => CHAINS6,
        };
        for line in text.lines() {
            let (chain, command) = line.split_once(' ').unwrap_or_default();
            if !self.chains.contains_key(chain) {
                self.create(chain)?;
            }
            let option = match chain {
                "PVEFW-smurflog" => "smurf_log_level",
                "PVEFW-logflags" => "tcp_flags_log_level",
                _ => "",
            };
            let mut commands = Vec::new();
            if let Some(level) = option_level(host, option) {
                let log = Log { vmid: 0, level, message: "DROP: " };
                commands.push(format!("-A {chain}  {}", self.log_action(chain, &log)));
            }
            commands.push(format!("-A {chain} {command}"));
            self.chains.entry(chain.to_owned()).or_default().extend(commands);
        }
        Ok(())
    }

    fn connection_filters(&mut self, chain: &str, allow_invalid: bool, accept: &str) {
        if !allow_invalid {
            self.add(chain, "-m conntrack --ctstate INVALID", "-j DROP");
        }
        self.add(chain, "-m conntrack --ctstate RELATED,ESTABLISHED", accept);
    }

    fn input_filters(&mut self, chain: &str, node: &Node, level: Option<u8>) -> Result<(), String> {
        if node.cluster.ipsets.contains_key("blacklist") {
            if !self.chains.contains_key("PVEFW-blacklist") {
                self.create("PVEFW-blacklist")?;
                let log = level.map(|level| Log { vmid: 0, level, message: "DROP: " });
                self.add_logged("PVEFW-blacklist", "-j DROP", log.as_ref());
            }
            let set = sets::chain_name(0, "blacklist", self.family);
            self.add(chain, &format!("-m set --match-set {set} src"), "-j PVEFW-blacklist");
        }
        if !node.host.is_off("nosmurfs") && self.family == Family::V4 {
            self.add(chain, "-m conntrack --ctstate INVALID,NEW", "-j PVEFW-smurfs");
        }
        if node.host.is_on("tcpflags") {
            self.add(chain, "-p tcp", "-j PVEFW-tcpflags");
        }
        Ok(())
    }

    /// Neighbour discovery, without which IPv6 is dead.
    fn neighbour_discovery(&mut self, chain: &str, options: &Config, outgoing: bool, accept: &str) {
        if self.family != Family::V6 || options.is_off("ndp") {
            return;
        }
        let mut kinds = vec!["router-solicitation"];
        if !outgoing || options.is_on("radv") {
            kinds.push("router-advertisement");
        }
        kinds.extend(["neighbor-solicitation", "neighbor-advertisement"]);
        for kind in kinds {
            self.add(chain, &format!("-p icmpv6 --icmpv6-type {kind}"), accept);
        }
    }

    /// What happens to packets that no rule decided on.
    fn policy(&mut self, chain: &str, policy: &str, accept: &str, vmid: u32, level: Option<u8>) {
        let message = format!("policy {policy}: ");
        let log = level.map(|level| Log { vmid, level, message: &message });
        match policy {
            "DROP" => {
                self.add(chain, "", "-j PVEFW-Drop");
                self.add_logged(chain, "-j DROP", log.as_ref());
            }
            "REJECT" => {
                self.add(chain, "", "-j PVEFW-Reject");
                self.add_logged(chain, "-g PVEFW-reject", log.as_ref());
            }
            _ => {
                let target = commands::target(accept);
                self.chains.entry(chain.to_owned()).or_default().push(format!("-A {chain}  {target}"));
            }
        }
    }
}

/// A log rule's particulars.
struct Log<'m> {
    vmid: u32,
    level: u8,
    message: &'m str,
}

fn create(chains: &mut Chains, chain: &str) -> Result<(), String> {
    if chain.len() > 28 {
        return Err(format!("Invalid chain name '{chain}' (28 char max)"));
    }
    if chains.contains_key(chain) {
        return Err(format!("chain '{chain}' already exists"));
    }
    chains.insert(chain.to_owned(), Vec::new());
    Ok(())
}

fn add(chains: &mut Chains, chain: &str, matched: &str, action: &str) {
    let blank = if matched.is_empty() { "" } else { " " };
    chains.entry(chain.to_owned()).or_default().push(format!("-A {chain} {matched}{blank}{action}"));
}

/// The severity that an option asks for.
fn option_level(options: &Config, name: &str) -> Option<u8> {
    options.text(name).as_deref().and_then(log_level)
}

/// Exchanges the action where a chain has another one for it.
fn substitute(rule: &mut Rule, accept: &str) {
    match rule.action.as_str() {
        "ACCEPT" => accept.clone_into(&mut rule.action),
        "REJECT" => "PVEFW-reject".clone_into(&mut rule.action),
        _ => {}
    }
}

/// Whether a rule says anything for this family.
fn counts(rule: &Rule, family: Family) -> bool {
    rule.enable != 0 && rule.errors.is_empty() && rule.ip_version.is_none_or(|version| version == family.number())
}
