//! What is loaded, what a compilation would change in it, and loading it: through iptables, ipset and ebtables, as the
//! real daemon does. A digest in each chain tells whether it is up to date.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use regex::Regex;
use sha1::{Digest as _, Sha1};

use super::compile::{Chains, Compiled};

/// Where the real daemon leaves what it loads.
const STATUS: &str = "/var/lib/pve-firewall";

/// SHA-1 of a chain's commands, as base64 without padding.
fn digest<'c>(commands: impl IntoIterator<Item = &'c String>) -> String {
    let mut hash = Sha1::new();
    for command in commands {
        hash.update(command.as_bytes());
    }
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(hash.finalize())
}

fn sorted_digest(commands: &[String]) -> String {
    let mut sorted: Vec<&String> = commands.iter().collect();
    sorted.sort();
    digest(sorted)
}

/// A program of this machine; its output.
fn run(program: &str, arguments: &[&str], input: Option<&str>) -> Result<String, String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("command '{program}' failed: {error}"))?;
    if let (Some(mut pipe), Some(text)) = (child.stdin.take(), input) {
        let _ = pipe.write_all(text.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| format!("command '{program}' failed: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.lines().find(|line| !line.starts_with('#') && !line.is_empty()).unwrap_or("failed").to_owned())
}

/// Chains of a table with their digests, and the built-in chains that lead to them.
#[derive(Clone, Debug, Default)]
struct Table {
    chains: BTreeMap<String, String>,
    hooks: BTreeSet<String>,
}

fn is_ours(chain: &str) -> bool {
    let pattern = r"^(?:PVEFW-\S+|(?:tap|veth)\d+i\d+-(?:IN|OUT)|fwbr\d+(?:v\d+)?-(?:FW|IN|OUT|IPS)|GROUP-[A-Za-z][A-Za-z0-9_-]+-(?:IN|OUT))$";
    Regex::new(pattern).is_ok_and(|rule| rule.is_match(chain))
}

fn read_table(save: &str, wanted: &str) -> Table {
    let mut found = Table::default();
    let mut table = "";
    for line in save.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if table != wanted {
        } else if let Some(chain) = line.strip_prefix(':').and_then(|rest| rest.split(' ').next()) {
            if is_ours(chain) {
                found.chains.insert(chain.to_owned(), "unknown".to_owned());
            }
        } else if let Some(rest) = line.strip_prefix("-A ") {
            let chain = rest.split(' ').next().unwrap_or_default();
            let signature = rest.split_once("--comment \"PVESIG:").and_then(|(_, rest)| rest.split('"').next());
            if let Some(signature) = signature.filter(|_| is_ours(chain)) {
                found.chains.insert(chain.to_owned(), signature.to_owned());
            } else if rest == format!("{chain} -j PVEFW-{chain}") {
                found.hooks.insert(chain.to_owned());
            }
        }
    }
    found
}

/// A chain of the bridge.
#[derive(Clone, Debug, Default)]
struct Bridge {
    policy: Option<String>,
    rules: Vec<String>,
}

fn read_bridge(save: &str) -> BTreeMap<String, Bridge> {
    let mut found: BTreeMap<String, Bridge> = BTreeMap::new();
    let mut table = "";
    for line in save.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if table != "filter" {
        } else if let Some((chain, policy)) = line.strip_prefix(':').and_then(|rest| rest.split_once(' ')) {
            found.entry(chain.to_owned()).or_default().policy = Some(policy.to_owned());
        } else if let Some(chain) = line.strip_prefix("-A ").and_then(|rest| rest.split(' ').next()) {
            found.entry(chain.to_owned()).or_default().rules.push(line.trim_end().to_owned());
        }
    }
    found
}

fn read_sets(save: &str) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in save.lines() {
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        let Some(name) = words.nth(1).filter(|name| name.starts_with("PVEFW-")) else { continue };
        // The kernel's random start value is not ours to compare.
        let mut kept: Vec<&str> = line.split(' ').collect();
        if let Some(at) = kept.iter().position(|word| *word == "initval") {
            kept.drain(at..(at + 2).min(kept.len()));
        }
        found.entry(name.to_owned()).or_default().push(kept.join(" ").trim_end().to_owned());
    }
    found.into_iter().map(|(name, lines)| (name, sorted_digest(&lines))).collect()
}

/// What is loaded.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    filter4: Table,
    raw4: Table,
    filter6: Table,
    raw6: Table,
    sets: BTreeMap<String, String>,
    bridge: BTreeMap<String, Bridge>,
}

/// What loading would do.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    filter4: String,
    raw4: String,
    filter6: String,
    raw6: String,
    sets_before: String,
    sets_after: String,
    bridge: String,
    changed: [bool; 6],
    /// The parts as `pve-firewall compile` prints them.
    pub listing: String,
}

impl Plan {
    /// Whether anything is to do.
    pub fn has_changes(&self) -> bool {
        self.changed.contains(&true)
    }
}

impl Loaded {
    /// Asks the kernel.
    pub fn read() -> Result<Self, String> {
        let (four, six) = (run("iptables-save", &[], None)?, run("ip6tables-save", &[], None)?);
        Ok(Self {
            filter4: read_table(&four, "filter"),
            raw4: read_table(&four, "raw"),
            filter6: read_table(&six, "filter"),
            raw6: read_table(&six, "raw"),
            sets: read_sets(&run("ipset", &["save"], None)?),
            bridge: read_bridge(&run("ebtables-save", &[], None)?),
        })
    }

    /// Whether any of our chains or sets is there.
    pub fn is_empty(&self) -> bool {
        [&self.filter4, &self.raw4, &self.filter6, &self.raw6].iter().all(|table| table.chains.is_empty())
            && self.sets.is_empty()
            && !self.bridge.keys().any(|chain| is_ours(chain))
    }

    /// What it takes to come from here to there.
    pub fn plan(&self, wanted: &Compiled) -> Plan {
        let mut plan = Plan::default();
        plan.listing.push_str("ipset cmdlist:\n");
        plan.sets(&self.sets, &wanted.sets);
        plan.listing.push_str("\niptables cmdlist:\n");
        (plan.filter4, plan.changed[1]) = table(&self.filter4, &wanted.filter4, "filter", &mut plan.listing);
        plan.listing.push_str("\nip6tables cmdlist:\n");
        (plan.filter6, plan.changed[2]) = table(&self.filter6, &wanted.filter6, "filter", &mut plan.listing);
        plan.listing.push_str("\nebtables cmdlist:\n");
        plan.bridge(&self.bridge, &wanted.layer2);
        plan.listing.push_str("\niptables table raw cmdlist:\n");
        (plan.raw4, plan.changed[4]) = table(&self.raw4, &wanted.raw4, "raw", &mut plan.listing);
        plan.listing.push_str("\nip6tables table raw cmdlist:\n");
        (plan.raw6, plan.changed[5]) = table(&self.raw6, &wanted.raw6, "raw", &mut plan.listing);
        plan
    }
}

/// `create`, `update`, `exists`; listed with the commands.
fn state(
    chain: &str,
    old: Option<&String>,
    signature: &str,
    commands: &[String],
    listing: &mut String,
) -> &'static str {
    let state = match old {
        None => "create",
        Some(old) if old == signature => "exists",
        Some(_) => "update",
    };
    let _ = writeln!(listing, "{state} {chain} ({signature})");
    for command in commands {
        let _ = writeln!(listing, "\t{command}");
    }
    state
}

fn table(loaded: &Table, wanted: &Chains, name: &str, listing: &mut String) -> (String, bool) {
    let mut text = format!("*{name}\n");
    let empty = text.len();
    let mut fill = String::new();
    for (chain, commands) in wanted {
        let signature = digest(commands);
        let state = state(chain, loaded.chains.get(chain), &signature, commands, listing);
        if state == "create" {
            let _ = writeln!(text, ":{chain} - [0:0]");
        }
        if state != "exists" {
            let _ = writeln!(fill, "-F {chain}");
            for command in commands {
                let _ = writeln!(fill, "{command}");
            }
            let _ = writeln!(fill, "-A {chain} -m comment --comment \"PVESIG:{signature}\"");
        }
    }
    for hook in ["INPUT", "OUTPUT", "FORWARD", "PREROUTING"] {
        if wanted.contains_key(&format!("PVEFW-{hook}")) && !loaded.hooks.contains(hook) {
            let _ = writeln!(text, "-A {hook} -j PVEFW-{hook}");
        }
    }
    text.push_str(&fill);
    let stale: Vec<&String> = loaded.chains.keys().filter(|chain| !wanted.contains_key(*chain)).collect();
    for chain in &stale {
        let _ = writeln!(listing, "delete {chain} ({})", loaded.chains[*chain]);
        let _ = writeln!(text, "-F {chain}");
    }
    for chain in stale {
        let kept = ["INPUT", "OUTPUT", "FORWARD", "PREROUTING"].iter().any(|hook| *chain == format!("PVEFW-{hook}"));
        if !kept {
            let _ = writeln!(text, "-X {chain}");
        }
    }
    let changed = text.len() > empty;
    text.push_str("COMMIT\n");
    (text, changed)
}

impl Plan {
    fn sets(&mut self, loaded: &BTreeMap<String, String>, wanted: &Chains) {
        let mut swaps = String::new();
        for name in loaded.keys().filter(|name| name.ends_with("_swap")) {
            let _ = writeln!(self.sets_before, "destroy {name}");
        }
        for (name, commands) in wanted {
            match state(name, loaded.get(name), &sorted_digest(commands), commands, &mut self.listing) {
                "create" => self.sets_before.extend(commands.iter().map(|command| format!("{command}\n"))),
                "update" => {
                    let swap = format!("{name}_swap");
                    swaps.extend(commands.iter().map(|command| command.replacen(name.as_str(), &swap, 1) + "\n"));
                    let _ = writeln!(swaps, "swap {swap} {name}\nflush {swap}\ndestroy {swap}");
                }
                _ => {}
            }
        }
        self.sets_before.push_str(&swaps);
        for (name, signature) in loaded.iter().filter(|(name, _)| !wanted.contains_key(*name)) {
            let _ = writeln!(self.listing, "delete {name} ({signature})");
            let _ = writeln!(self.sets_after, "flush {name}\ndestroy {name}");
        }
        self.changed[0] = !self.sets_before.is_empty() || !self.sets_after.is_empty();
    }

    /// ebtables is loaded whole: chains of others are repeated as they are.
    fn bridge(&mut self, loaded: &BTreeMap<String, Bridge>, wanted: &Chains) {
        const JUMP: &str = "-A FORWARD -j PVEFW-FORWARD";
        let mut all: BTreeMap<&String, (&str, &Vec<String>)> = BTreeMap::new();
        for (chain, commands) in wanted {
            let old = loaded.get(chain);
            let signature = old.map(|old| digest(&old.rules));
            if state(chain, signature.as_ref(), &digest(commands), commands, &mut self.listing) != "exists" {
                self.changed[3] = true;
            }
            all.insert(chain, (old.and_then(|old| old.policy.as_deref()).unwrap_or("ACCEPT"), commands));
        }
        for (chain, old) in loaded.iter().filter(|(chain, _)| !wanted.contains_key(*chain)) {
            let ours = is_ours(chain);
            let what = if ours { "delete" } else { "ignore" };
            let _ = writeln!(self.listing, "{what} {chain} ({})", digest(&old.rules));
            self.changed[3] |= ours;
            if !ours {
                all.insert(chain, (old.policy.as_deref().unwrap_or("ACCEPT"), &old.rules));
            }
        }
        let mut text = "*filter\n".to_owned();
        let mut jump = wanted.contains_key("PVEFW-FORWARD");
        for (chain, (policy, _)) in &all {
            let _ = writeln!(text, ":{chain} {policy}");
        }
        for (chain, (_, commands)) in &all {
            for command in *commands {
                if *chain == "FORWARD" && command == JUMP {
                    if !jump {
                        continue;
                    }
                    jump = false;
                }
                let _ = writeln!(text, "{command}");
            }
        }
        if jump {
            let _ = writeln!(text, "{JUMP}");
        }
        self.bridge = text;
    }

    /// Loads it. Sets come first and go last, because rules name them.
    pub fn load(&self) -> Result<(), String> {
        let _ = std::fs::create_dir_all(STATUS);
        self.part(0, "ipset", &["restore"], &self.sets_before, "ipsetcmdlist1", "ipset_restore_cmdlist")?;
        let filter = ["-T", "filter", "-n"];
        let raw = ["-T", "raw", "-n"];
        self.part(1, "iptables-restore", &filter, &self.filter4, "ip4cmdlist", "iptables_restore_cmdlist")?;
        self.part(4, "iptables-restore", &raw, &self.raw4, "ip4cmdlistraw", "iptables_restore_cmdlist")?;
        self.part(2, "ip6tables-restore", &filter, &self.filter6, "ip6cmdlist", "iptables_restore_cmdlist")?;
        self.part(5, "ip6tables-restore", &raw, &self.raw6, "ip6cmdlistraw", "iptables_restore_cmdlist")?;
        self.part(0, "ipset", &["restore"], &self.sets_after, "ipsetcmdlist2", "ipset_restore_cmdlist")?;
        self.part(3, "ebtables-restore", &[], &self.bridge, "ebtablescmdlist", "ebtables_restore_cmdlist")
    }

    fn part(
        &self,
        index: usize,
        program: &str,
        arguments: &[&str],
        text: &str,
        file: &str,
        what: &str,
    ) -> Result<(), String> {
        if !self.changed[index] || text.is_empty() {
            return Ok(());
        }
        let _ = std::fs::write(format!("{STATUS}/{file}"), text);
        run(program, arguments, Some(text)).map(drop).map_err(|error| format!("{what}: {error}"))
    }
}

/// Takes everything out again.
pub fn remove(loaded: &Loaded) -> Result<(), String> {
    for (program, table, name) in [
        ("iptables-restore", &loaded.filter4, "filter"),
        ("ip6tables-restore", &loaded.filter6, "filter"),
        ("iptables-restore", &loaded.raw4, "raw"),
        ("ip6tables-restore", &loaded.raw6, "raw"),
    ] {
        if table.chains.is_empty() && table.hooks.is_empty() {
            continue;
        }
        let mut text = format!("*{name}\n");
        for hook in &table.hooks {
            let _ = writeln!(text, "-D {hook} -j PVEFW-{hook}");
        }
        for (flag, chain) in ["-F", "-X"].iter().flat_map(|flag| table.chains.keys().map(move |chain| (flag, chain))) {
            let _ = writeln!(text, "{flag} {chain}");
        }
        text.push_str("COMMIT\n");
        run(program, &["-T", name, "-n"], Some(&text)).map_err(|error| format!("iptables_restore_cmdlist: {error}"))?;
    }
    let plan = Loaded { sets: loaded.sets.clone(), bridge: loaded.bridge.clone(), ..Loaded::default() }
        .plan(&Compiled::default());
    plan.load()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loaded_chains_are_recognized_by_their_digest() {
        let save = "*filter\n:INPUT ACCEPT [0:0]\n:PVEFW-INPUT - [0:0]\n-A INPUT -j PVEFW-INPUT\n-A PVEFW-INPUT -j PVEFW-HOST-IN\n-A PVEFW-INPUT -m comment --comment \"PVESIG:+5iMmLaxKXynOB/+5xibfx7WhFk\"\nCOMMIT\n";
        let loaded = Loaded { filter4: read_table(save, "filter"), ..Loaded::default() };
        let mut wanted = Compiled::default();
        wanted.filter4.insert("PVEFW-INPUT".to_owned(), vec!["-A PVEFW-INPUT -j PVEFW-HOST-IN".to_owned()]);
        assert!(!loaded.plan(&wanted).has_changes());
        wanted.filter4.clear();
        assert!(loaded.plan(&wanted).has_changes());
    }

    #[test]
    fn a_changed_set_is_swapped() {
        let save = "create PVEFW-0-a-v4 hash:net family inet hashsize 64 maxelem 64 bucketsize 12 initval 0x1\nadd PVEFW-0-a-v4 10.0.0.0/8\n";
        let loaded = Loaded { sets: read_sets(save), ..Loaded::default() };
        let mut wanted = Compiled::default();
        let create = "create PVEFW-0-a-v4 hash:net family inet hashsize 64 maxelem 64 bucketsize 12".to_owned();
        let commands = vec![create, "add PVEFW-0-a-v4 10.0.0.0/8".to_owned()];
        wanted.sets.insert("PVEFW-0-a-v4".to_owned(), commands);
        assert!(!loaded.plan(&wanted).has_changes());
        if let Some(commands) = wanted.sets.get_mut("PVEFW-0-a-v4") {
            commands.push("add PVEFW-0-a-v4 192.0.2.7".to_owned());
        }
        assert!(loaded.plan(&wanted).sets_before.contains("swap PVEFW-0-a-v4_swap PVEFW-0-a-v4"));
    }
}
