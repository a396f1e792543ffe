//! What enabling the datacenter firewall does to guests: their own firewalls begin to work.

use serde::Serialize;

use crate::pve::firewall::{Action, ClusterFw, GuestFw, RuleKind};
use crate::pve::guest::Guest;

/// A guest whose firewall begins to work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Woken {
    /// VMID.
    pub id: u32,
    /// Its name.
    pub name: Option<String>,
    /// The node it is on.
    pub node: String,
    /// Network cards with `firewall=1`.
    pub cards: Vec<String>,
    /// `policy_in`, PVE's default included.
    pub policy_in: String,
    /// `policy_out`.
    pub policy_out: String,
    /// Rules that let something in, as written.
    pub lets_in: Vec<String>,
    /// Lines of its file that PVE does not use as written.
    pub problems: usize,
}

impl Woken {
    /// What it drops, in a sentence.
    pub fn drops(&self) -> String {
        let inward = match (self.policy_in.as_str(), self.lets_in.len()) {
            ("ACCEPT", _) => "lets in what no rule names".to_owned(),
            (_, 0) => "drops everything that comes in".to_owned(),
            (_, _) => format!("drops what comes in except by {}", self.lets_in.join("; ")),
        };
        if self.policy_out == "ACCEPT" { inward } else { format!("{inward}; drops what goes out") }
    }
}

/// The guest, if its firewall works as soon as the datacenter's does: `enable: 1` in its file and a card with
/// `firewall=1` (`PVE::Firewall::compile_iptables_filter`).
pub fn woken(guest: &Guest, file: &str, cluster: &ClusterFw) -> Option<Woken> {
    let cards: Vec<String> = guest.cards.iter().filter(|card| card.firewall).map(|card| card.id.clone()).collect();
    let file = GuestFw::parse(file, cluster);
    let config = file.config();
    if cards.is_empty() || config.flag("enable") != Some(true) {
        return None;
    }
    let groups = cluster.config();
    let accepts = |rule: &&crate::pve::firewall::Rule| {
        let in_group = |name: &String| {
            groups.groups.get(name).is_some_and(|group| group.rules.iter().any(|rule| rule.kind == RuleKind::In))
        };
        rule.enabled
            && rule.unused.is_none()
            && match &rule.action {
                Action::Accept => rule.kind == RuleKind::In,
                Action::Group(name) => in_group(name),
                Action::Drop | Action::Reject => false,
            }
    };
    Some(Woken {
        id: guest.id,
        name: guest.name.clone(),
        node: guest.node.clone(),
        cards,
        policy_in: config.option("policy_in").unwrap_or("DROP").to_owned(),
        policy_out: config.option("policy_out").unwrap_or("ACCEPT").to_owned(),
        lets_in: config.rules.iter().filter(accepts).map(|rule| rule.text.clone()).collect(),
        problems: file.problems().len(),
    })
}

/// Whether cluster.fw switches the firewall on, at this time (seconds since 1970).
pub fn is_on(cluster: &ClusterFw, now: Option<i64>) -> bool {
    let enable = cluster.config().number("enable").unwrap_or(0);
    enable == 1 || (enable > 1 && now.is_none_or(|now| now.saturating_sub(enable) <= 60))
}
