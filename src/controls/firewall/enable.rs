//! `firewall.enable`.

use crate::change::{Action, Change, Stage, UnitVerb};
use crate::controls::conf::wanted;
use crate::controls::{Evidence, Meta, Reference, Severity, Status};
use crate::profile::policy::{FirewallVerdict, ForwardVerdict, Policy};
use crate::pve::firewall::{Backend, ClusterFw, HostFw};

use super::node::{Files, Node};
use super::{Firewall, FirewallControl, judge, reach};

/// The control.
pub const ENABLE: Firewall = Firewall(&Enable);

struct Enable;

static META: Meta = Meta {
    id: "firewall.enable",
    title: "The datacenter firewall is on and drops what nobody asked for",
    why: "Out of the box the firewall is off, and everything that listens on a node answers everybody.",
    checked: "`enable` and the policies in cluster.fw, `enable` in the node's host.fw, the daemons; and what a model of \
              PVE's compiler says of the planned files: you must reach sshd and 8006, and every member of the cluster \
              every other's SSH, 8006 and corosync. The members of a cluster take it up together, one after the other; one \
              that is offline is kept out of it by `enable: 0` in its host.fw, until an `apply` finds it there.",
    naive: "`enable: 1` without the set `management` locks out everybody who is not in the node's own subnet, at the next \
            10 s tick; open sessions survive it, so nothing seems wrong. `enable: yes`, a line end of Windows or a blank \
            before the colon turns the firewall off without a word. A number above 1 is a deadline, after which it is \
            off. `enable: 0` in host.fw drops every rule for the node while the status says enabled. It also wakes the \
            firewall of every guest that was configured years ago.",
    references: &[
        Reference::Guide("1.2.4"),
        Reference::Guide("1.2.5"),
        Reference::Source("pve-firewall src/PVE/Firewall.pm parse_clusterfw_option"),
        Reference::Source("pve-firewall src/PVE/Service/pve_firewall.pm"),
    ],
    level: 1,
    severity: Severity::High,
};

impl FirewallControl for Enable {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.firewall.enable.enabled
    }

    fn edit_cluster(&self, node: &Node<'_>, file: &mut ClusterFw) {
        let enable = &node.policy.profile.firewall.enable;
        if node.backend() == Backend::Iptables && file.has_carriage_returns() {
            file.drop_carriage_returns();
        }
        let options =
            [("enable", "1"), ("policy_in", verdict(enable.policy_in)), ("policy_out", verdict(enable.policy_out))];
        for (name, value) in options {
            if file.config().option(name) != Some(value) {
                file.set_option(name, value);
            }
        }
        if let Some(value) = forward(node) {
            file.set_option("policy_forward", value);
        }
    }

    fn edit_host(&self, node: &Node<'_>, file: &mut HostFw) {
        if node.backend() == Backend::Iptables && file.has_carriage_returns() {
            file.drop_carriage_returns();
        }
        if file.config().flag("enable") == Some(false) {
            file.set_option("enable", "1");
        }
    }

    fn obstacle(&self, node: &Node<'_>) -> Option<Status> {
        let management = "firewall.management";
        let policy = node.policy;
        if policy.profile.firewall.management.enabled && policy.site.management.is_empty() {
            let advice = "name the networks you administer from in the site file first: the firewall would know nobody";
            return Some(Status::Differs { changes: Vec::new(), advice: Some(advice.into()) });
        }
        let unit = node.facts.units.known()?.get("pve-firewall.service")?;
        (unit.load == "masked").then(|| Status::Differs {
            changes: Vec::new(),
            advice: Some(format!(
                "pve-firewall.service is masked: unmask it, then {management} and this can be applied"
            )),
        })
    }

    fn evidence(&self, node: &Node<'_>) -> Vec<Evidence> {
        let (policy, config) = (node.policy, node.files.cluster.config());
        let enable = &policy.profile.firewall.enable;
        let option = |name: &str, key: &str, want: &str| {
            let found = config.option(name).unwrap_or("not set");
            Evidence::new(format!("cluster.fw {name}"), found, wanted(policy, &format!("firewall.enable.{key}"), want))
        };
        let mut evidence = vec![
            option("enable", "enabled", "1"),
            option("policy_in", "policy-in", verdict(enable.policy_in)),
            option("policy_out", "policy-out", verdict(enable.policy_out)),
        ];
        if let Some(value) = forward(node) {
            evidence.push(option("policy_forward", "policy-forward", value));
        }
        if node.files.host.config().flag("enable") == Some(false) {
            evidence.push(Evidence::new("host.fw enable", "0", "1"));
        }
        evidence.extend(judge::problems("cluster.fw", &node.files.cluster));
        for unit in stopped(node) {
            evidence.push(Evidence::new(unit, "does not run", "runs"));
        }
        evidence
    }

    fn advice(&self, node: &Node<'_>, planned: &Files) -> Option<String> {
        let problem = planned.cluster.problems().first().map(|problem| {
            let text = "repair the line, or remove it: PVE leaves it out";
            format!("cluster.fw line {} ({}): {}; {text}", problem.line, problem.text, problem.message)
        });
        let enable = &node.policy.profile.firewall.enable;
        let only_nft = enable.policy_forward == ForwardVerdict::Drop && forward(node).is_none() && !knows_forward(node);
        problem.or_else(|| {
            only_nft.then(|| "policy_forward needs pve-firewall 5.1 or later: upgrade, then run again".into())
        })
    }

    fn harm(&self, node: &Node<'_>, planned: &Files) -> Option<String> {
        // Where the set is part of the run, its own control says so.
        let said =
            node.policy.profile.firewall.management.enabled && !node.policy.left_out.contains("firewall.management");
        (!said).then(|| reach::lockout(node, planned)).flatten()
    }

    fn more(&self, node: &Node<'_>) -> Vec<Change> {
        let change = |unit: &'static str| Change {
            controls: vec![META.id.into()],
            stage: Stage::Firewall,
            summary: format!("start {unit}"),
            interrupts: None,
            action: Action::Unit { unit: unit.into(), verb: UnitVerb::EnableNow },
        };
        stopped(node).into_iter().map(change).collect()
    }
}

/// Daemons that the node's backend needs and that do not run; pve-firewall also serves nftables' nodes.
fn stopped(node: &Node<'_>) -> Vec<&'static str> {
    let Some(units) = node.facts.units.known() else { return Vec::new() };
    let mut needed = vec!["pve-firewall.service"];
    if node.backend() == Backend::Nftables {
        needed.push("proxmox-firewall.service");
    }
    needed.retain(|name| units.get(*name).is_some_and(|unit| unit.load == "loaded" && unit.active != "active"));
    needed
}

/// The value to set, where it is not as wanted. PVE's default is ACCEPT.
fn forward(node: &Node<'_>) -> Option<&'static str> {
    let want = match node.policy.profile.firewall.enable.policy_forward {
        ForwardVerdict::Accept => "ACCEPT",
        ForwardVerdict::Drop => "DROP",
    };
    let found = node.files.cluster.config().option("policy_forward").unwrap_or("ACCEPT");
    (found != want && knows_forward(node)).then_some(want)
}

/// pve-firewall takes the option since 5.1.0 (its changelog); an older one drops the line.
fn knows_forward(node: &Node<'_>) -> bool {
    let package = node.facts.packages.known().and_then(|packages| packages.get("pve-firewall"));
    package.is_some_and(|package| {
        let mut numbers = package.version.split(['.', '-', '~']).map(|part| part.parse::<u32>().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (5, 1)
    })
}

const fn verdict(verdict: FirewallVerdict) -> &'static str {
    match verdict {
        FirewallVerdict::Accept => "ACCEPT",
        FirewallVerdict::Drop => "DROP",
        FirewallVerdict::Reject => "REJECT",
    }
}
