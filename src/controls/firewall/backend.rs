//! `firewall.backend`.

use crate::controls::conf::wanted;
use crate::controls::{Evidence, Meta, Reference, Severity};
use crate::facts::Unit;
use crate::profile::policy::{ExpectedBackend, Policy};
use crate::pve::firewall::Backend;

use super::node::{Files, Node};
use super::reach::name;
use super::{Firewall, FirewallControl};

/// The control.
pub const BACKEND: Firewall = Firewall(&Which);

struct Which;

static META: Meta = Meta {
    id: "firewall.backend",
    title: "It is known which of PVE's two firewalls does the work, and it can",
    why: "pve-firewall (iptables) and proxmox-firewall (nftables, a technology preview) read the same files and disagree \
          on bad lines: one drops the line, the other keeps the old rules. A node that is told to use one that is not \
          there has no firewall at all.",
    checked: "`nftables` in host.fw, the units of both, and whose chains or tables are in the kernel.",
    naive: "`nftables: 1` on a node without the package proxmox-firewall takes pve-firewall's rules away and puts nothing \
            in their place. Switching changes how guests are plugged in: they need a restart or a migration, so this tool \
            never switches.",
    references: &[
        Reference::Guide("1.2.5"),
        Reference::Source("pve-firewall src/PVE/Firewall.pm update_force_nftables_disable_flag"),
        Reference::Source("pve-docs pve-firewall.adoc \"nftables\""),
    ],
    level: 1,
    severity: Severity::Medium,
};

const NFTABLES: &str = "proxmox-firewall.service";

impl FirewallControl for Which {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.firewall.backend.enabled
    }

    fn evidence(&self, node: &Node<'_>) -> Vec<Evidence> {
        let expect = match node.policy.profile.firewall.backend.expect {
            ExpectedBackend::Any => "either",
            ExpectedBackend::Iptables => name(Backend::Iptables),
            ExpectedBackend::Nftables => name(Backend::Nftables),
        };
        let want = wanted(node.policy, "firewall.backend.expect", expect);
        let mut evidence = vec![Evidence::new("host.fw nftables", name(node.backend()), want)];
        for unit in ["pve-firewall.service", NFTABLES] {
            let state = unit_of(node, unit).map_or("not there".to_owned(), |it| format!("{}, {}", it.load, it.active));
            evidence.push(Evidence { source: unit.into(), found: state, wanted: None });
        }
        if let Some(live) = node.facts.network.firewall.known() {
            let found = match (live.iptables, live.nftables.is_empty()) {
                (true, true) => "pve-firewall's chains",
                (false, false) => "proxmox-firewall's tables",
                (true, false) => "both",
                (false, true) => "none",
            };
            evidence.push(Evidence { source: "in the kernel".into(), found: found.into(), wanted: None });
        }
        evidence
    }

    fn advice(&self, node: &Node<'_>, _: &Files) -> Option<String> {
        let able = unit_of(node, NFTABLES).is_some_and(|unit| unit.load == "loaded");
        if node.backend() == Backend::Nftables && !able {
            let text = "host.fw says `nftables: 1`, and proxmox-firewall is not installed: the node has no firewall";
            return Some(format!("{text}; install it, or take the option out"));
        }
        let wanted = match node.policy.profile.firewall.backend.expect {
            ExpectedBackend::Any => return None,
            ExpectedBackend::Iptables => Backend::Iptables,
            ExpectedBackend::Nftables => Backend::Nftables,
        };
        (wanted != node.backend()).then(|| {
            format!("the node uses {}; switch in host.fw when its guests can be restarted", name(node.backend()))
        })
    }
}

fn unit_of<'a>(node: &Node<'a>, name: &str) -> Option<&'a Unit> {
    node.facts.units.known()?.get(name).filter(|unit| unit.load != "not-found")
}
