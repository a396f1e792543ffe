//! `firewall.node`.

use crate::controls::conf::wanted;
use crate::controls::{Evidence, Meta, Reference, Severity};
use crate::profile::policy::Policy;
use crate::pve::firewall::{Backend, HostFw};

use super::node::{Files, Node};
use super::{Firewall, FirewallControl, judge};

/// The control.
pub const NODE: Firewall = Firewall(&Options);

struct Options;

static META: Meta = Meta {
    id: "firewall.node",
    title: "The node's firewall drops spoofed and malformed packets, and logs as wanted",
    why: "Packets that no honest client sends (broadcast sources, impossible TCP flags, floods of half-open connections) \
          are dropped before any rule is asked.",
    checked: "The options of the node's host.fw, with PVE's defaults where one is not set.",
    naive: "`ndp: 0` ends IPv6 on the node: neighbours are not found any more. A value that PVE cannot read, like \
            `tcpflags: yes`, is dropped without a word. Synflood protection counts per source address: an office behind \
            one address shares its limit. With `nftables: 1` it ends the firewall: proxmox-firewall 1.2 writes a limit that nft \
            refuses, and none of its rules are loaded, so there it is switched off whatever the profile says. `log_level_in: info` on a public address fills the disk slowly.",
    references: &[
        Reference::Guide("1.2.4"),
        Reference::Source("pve-firewall src/PVE/Firewall.pm parse_hostfw_option"),
        Reference::Source("pve-docs pve-firewall.adoc \"Host Specific Configuration\""),
    ],
    level: 1,
    severity: Severity::Low,
};

impl FirewallControl for Options {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.firewall.node.enabled
    }

    fn edit_host(&self, node: &Node<'_>, file: &mut HostFw) {
        for want in wants(node) {
            if file.config().option(want.option).unwrap_or(want.default) != want.value {
                file.set_option(want.option, &want.value);
            }
        }
    }

    fn evidence(&self, node: &Node<'_>) -> Vec<Evidence> {
        let config = node.files.host.config();
        let option = |want: Want| {
            let found =
                config.option(want.option).map_or_else(|| format!("{} (PVE's default)", want.default), str::to_owned);
            let key = format!("firewall.node.{}", want.key);
            Evidence::new(format!("host.fw {}", want.option), found, wanted(node.policy, &key, want.value))
        };
        let mut evidence: Vec<Evidence> = wants(node).into_iter().map(option).collect();
        evidence.extend(judge::problems("host.fw", &node.files.host));
        evidence
    }

    fn advice(&self, _: &Node<'_>, planned: &Files) -> Option<String> {
        let problem = planned.host.problems().first()?;
        Some(format!(
            "host.fw line {} ({}): {}; repair the line, or remove it: PVE leaves it out",
            problem.line, problem.text, problem.message
        ))
    }
}

/// An option of host.fw.
struct Want {
    option: &'static str,
    key: &'static str,
    value: String,
    /// What PVE does without the option (pve-firewall src/PVE/Firewall.pm).
    default: &'static str,
}

fn wants(of: &Node<'_>) -> Vec<Want> {
    let node = &of.policy.profile.firewall.node;
    // proxmox-firewall loads no rules at all with it.
    let synflood = node.synflood && of.backend() == Backend::Iptables;
    let flag = |option, key, value: bool, default| Want { option, key, value: u8::from(value).to_string(), default };
    let number = |option, key, value: u32, default| Want { option, key, value: value.to_string(), default };
    let log = |option, key, value: crate::profile::policy::FirewallLog| Want {
        option,
        key,
        value: value.name().to_owned(),
        default: "nolog",
    };
    let mut wants = vec![
        flag("nosmurfs", "nosmurfs", node.nosmurfs, "1"),
        flag("tcpflags", "tcpflags", node.tcpflags, "0"),
        flag("ndp", "ndp", node.ndp, "1"),
        flag("protection_synflood", "synflood", synflood, "0"),
    ];
    if synflood {
        wants.push(number("protection_synflood_rate", "synflood-rate", node.synflood_rate, "200"));
        wants.push(number("protection_synflood_burst", "synflood-burst", node.synflood_burst, "1000"));
    }
    wants.extend([
        log("log_level_in", "log-level-in", node.log_level_in),
        log("log_level_out", "log-level-out", node.log_level_out),
        log("smurf_log_level", "log-level-smurfs", node.log_level_smurfs),
        log("tcp_flags_log_level", "log-level-tcpflags", node.log_level_tcpflags),
    ]);
    wants
}
