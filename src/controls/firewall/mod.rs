//! `firewall.*`: PVE's firewall, through cluster.fw and the node's host.fw.
//!
//! Every control says how the two files must be edited ([`FirewallControl::edit_cluster`], [`FirewallControl::edit_host`]);
//! a control is content when its edits change nothing. The rest is shared: the files are made by the edits of all controls
//! of the run, so that each of them emits the same two file changes.

mod backend;
mod corosync;
mod enable;
mod host;
mod judge;
mod management;
mod node;
mod outbound;
mod reach;
mod services;
#[cfg(test)]
mod tests;

pub use backend::BACKEND;
pub use corosync::COROSYNC;
pub use enable::ENABLE;
pub use host::NODE;
pub use management::MANAGEMENT;
pub use services::SERVICES;

use crate::change::Change;
use crate::controls::{Control, Evidence, Meta, Status, Verdict};
use crate::facts::Facts;
use crate::profile::policy::Policy;
use crate::pve::firewall::{ClusterFw, HostFw, managed_comment};

use node::{Files, Node};

/// Whether the firewall as it is now lets a new connection from an address in to a port of the node.
pub fn lets_in(facts: &Facts, policy: &Policy, source: std::net::IpAddr, port: u16) -> Result<bool, String> {
    let node = Node::read(facts, policy)?;
    let on = node.files.cluster.config().number("enable") == Some(1)
        && node.files.host.config().flag("enable") != Some(false);
    if !on {
        return Ok(true);
    }
    let answer = reach::Reach::of(&node, &node.files).tcp(source, port);
    Ok(answer.is_none_or(|answer| reach::passes(&answer)))
}

/// What differs between the firewall's controls.
trait FirewallControl: Sync {
    fn meta(&self) -> &'static Meta;

    fn enabled(&self, policy: &Policy) -> bool;

    /// Makes cluster.fw say what is wanted.
    fn edit_cluster(&self, node: &Node<'_>, file: &mut ClusterFw) {
        let _ = (node, file);
    }

    /// Makes the node's host.fw say what is wanted.
    fn edit_host(&self, node: &Node<'_>, file: &mut HostFw) {
        let _ = (node, file);
    }

    /// Anything that forbids, or makes it impossible to tell.
    fn obstacle(&self, node: &Node<'_>) -> Option<Status> {
        let _ = node;
        None
    }

    /// What was found, and what is wanted.
    fn evidence(&self, node: &Node<'_>) -> Vec<Evidence>;

    /// What a person must do beside the changes, given the files as all controls of the run make them.
    fn advice(&self, node: &Node<'_>, planned: &Files) -> Option<String> {
        let _ = (node, planned);
        None
    }

    /// Why the planned files must not become live.
    fn harm(&self, node: &Node<'_>, planned: &Files) -> Option<String> {
        let _ = (node, planned);
        None
    }

    /// Changes beside the two files.
    fn more(&self, node: &Node<'_>) -> Vec<Change> {
        let _ = node;
        Vec::new()
    }
}

/// A control of the firewall as the catalogue sees it.
pub struct Firewall(&'static dyn FirewallControl);

impl Control for Firewall {
    fn meta(&self) -> &'static Meta {
        self.0.meta()
    }

    fn enabled(&self, policy: &Policy) -> bool {
        self.0.enabled(policy)
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        judge::evaluate(self.0, facts, policy).unwrap_or_else(Verdict::unknown)
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        ["/etc/pve/firewall", node::CLUSTER_FW, "/etc/pve/corosync.conf", "/etc/pve/.members"].map(str::to_owned).into()
    }
}

/// Every control of the firewall, in the order of the catalogue and of the edits.
const FAMILY: [&dyn FirewallControl; 6] = [MANAGEMENT.0, COROSYNC.0, SERVICES.0, NODE.0, BACKEND.0, ENABLE.0];

/// Those whose edits this run makes: enabled by the profile and not left out by the command.
fn active(policy: &Policy) -> impl Iterator<Item = &'static dyn FirewallControl> {
    FAMILY.into_iter().filter(|control| control.enabled(policy) && !policy.left_out.contains(control.meta().id))
}

/// A rule of this tool's own.
fn rule(id: &str, words: &str, body: &str) -> String {
    format!("{body} # {}", managed_comment(id, words))
}
