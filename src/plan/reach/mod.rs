//! Who reaches the node and its peers before and after a change of the firewall's files, asked of the firewall's model
//! ([`crate::firewall`]). What cannot be told counts as no.

mod asked;
mod members;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use serde::Serialize;

use super::{Operator, Refusal};
use crate::change::{Action, Change};
use crate::facts::{Facts, Reading};
use crate::firewall::guests::{self, Woken};
use crate::firewall::{Protocol, RuleRef, Verdict};
use crate::profile::policy::Policy;
use crate::pve::firewall::Backend;
use members::Sides;

pub(super) const CLUSTER_FW: &str = "/etc/pve/firewall/cluster.fw";

/// The reachability table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// Before → after, those who must get in first.
    pub rows: Vec<Row>,
    /// Guests whose own firewall begins to work.
    pub guests: Vec<Woken>,
    /// Why which guests these are cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guests_unknown: Option<String>,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// What it is about.
    pub kind: RowKind,
    /// Who connects.
    pub who: String,
    /// To what.
    pub what: String,
    /// What happens today.
    pub before: Verdict,
    /// What will happen.
    pub after: Verdict,
    /// The rule that decides afterwards.
    pub by: RuleRef,
}

/// What a [`Row`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RowKind {
    /// The person at the tool; must get in.
    Operator,
    /// A management network; should get in.
    Management,
    /// Members of the cluster; must reach each other.
    Peer,
    /// One corosync link of several; worth a note.
    Link,
    /// A connection seen at capture.
    Flow,
    /// Somebody on the Internet, to a listening socket; should not get in.
    Internet,
}

/// A question that PVE's own simulator can be asked: a new connection to this node, IPv4, TCP or UDP
/// (`pve-firewall simulate --from outside --to host --source S --dest D --protocol P --dport N`), and the answer the
/// model expects (`ACTION: ACCEPT`, `DROP` or `REJECT`). The simulator dies on rules with `-log`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct FirewallQuestion {
    /// Source address.
    pub source: IpAddr,
    /// The node's address.
    pub destination: IpAddr,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Destination port.
    pub port: u16,
    /// `ACCEPT`, `DROP` or `REJECT`.
    pub expected: String,
}

/// Whether a change touches what the firewall reads.
fn is_firewall_file(path: &str) -> bool {
    path.starts_with("/etc/pve/firewall/") || (path.starts_with("/etc/pve/") && path.ends_with("/host.fw"))
}

/// The table for a plan that changes the firewall's files; `None` for every other plan.
pub fn reach(
    facts: &Facts,
    policy: &Policy,
    operator: &Operator,
    changes: &[Change],
) -> Option<Result<(Reach, Vec<FirewallQuestion>), String>> {
    let file = |change: &Change| matches!(&change.action, Action::File(file) if is_firewall_file(&file.path));
    changes.iter().any(file).then(|| {
        let sides = Sides::of(facts, changes)?;
        let (rows, questions) = asked::rows(facts, policy, operator, &sides);
        let mut reach = Reach { rows, ..Reach::default() };
        woken(facts, &sides, &mut reach);
        Ok((reach, questions))
    })
}

/// Reasons not to run it.
pub fn refusals(reach: &Result<Reach, String>, operator: &Operator) -> Vec<Refusal> {
    let reach = match reach {
        Ok(reach) => reach,
        Err(why) => {
            return vec![Refusal {
                reason: format!("whether the planned firewall lets you and the other nodes in cannot be told: {why}"),
                way_out: "make it readable for root on the node, then plan again".into(),
            }];
        }
    };
    let cut = reach.rows.iter().filter(|row| row.after != Verdict::Accept).filter_map(|row| match row.kind {
        RowKind::Operator => Some(Refusal {
            reason: format!("the planned firewall would cut you off: {}", said(row)),
            way_out: "connect from a management network, or let your address in: `management` in the site file".into(),
        }),
        RowKind::Peer if row.before == Verdict::Accept => Some(Refusal {
            reason: format!("the planned firewall would cut the cluster: {}", said(row)),
            way_out: "select `firewall.management` and `firewall.corosync` as well, which let the other members in"
                .into(),
        }),
        _ => None,
    });
    let guests = guest_refusal(reach).filter(|_| !operator.accept_guest_firewall);
    cut.chain(guests).collect()
}

fn guest_refusal(reach: &Reach) -> Option<Refusal> {
    let way_out = "look at their rules, then pass `--accept-guest-firewall`";
    if let Some(why) = &reach.guests_unknown {
        let reason = format!(
            "switching the datacenter firewall on wakes guests' own firewalls, and which cannot be told: {why}"
        );
        return Some(Refusal { reason, way_out: way_out.into() });
    }
    let names: Vec<String> = reach.guests.iter().map(|guest| guest.id.to_string()).collect();
    (!names.is_empty()).then(|| Refusal {
        reason: format!(
            "switching the datacenter firewall on wakes the own firewall of {} guest{} ({})",
            names.len(),
            if names.len() == 1 { "" } else { "s" },
            names.join(", ")
        ),
        way_out: way_out.into(),
    })
}

/// Things to know: flows that will be cut, what stays open, who else is affected.
pub fn notes(reach: &Reach, operator: &Operator) -> Vec<String> {
    let mut notes = Vec::new();
    for row in &reach.rows {
        let cut = row.after != Verdict::Accept;
        match row.kind {
            RowKind::Flow if cut && row.before == Verdict::Accept => {
                notes.push(format!("a connection seen now would be refused when it is made again: {}", said(row)));
            }
            RowKind::Management if cut => notes.push(format!("a management network does not get in: {}", said(row))),
            RowKind::Peer if cut && row.before != Verdict::Accept => {
                notes.push(format!("cut already today, and still: {}", said(row)));
            }
            RowKind::Link if cut => notes.push(format!(
                "no rule lets this corosync link in; it lives by what the node itself sends: {}",
                said(row)
            )),
            RowKind::Internet if !cut => notes.push(format!("still open to everybody: {}", said(row))),
            _ => {}
        }
    }
    for guest in &reach.guests {
        let name = guest.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        let accepted = if operator.accept_guest_firewall { ", as you accepted" } else { "" };
        notes.push(format!(
            "guest {}{name} on {}: its firewall wakes up on {}{accepted}: it {}",
            guest.id,
            guest.node,
            guest.cards.join(", "),
            guest.drops()
        ));
    }
    notes
}

fn said(row: &Row) -> String {
    format!("{} → {}: {} by {}", row.who, row.what, row.after, row.by)
}

fn woken(facts: &Facts, sides: &Sides, reach: &mut Reach) {
    let (before, after) = (&sides.before.cluster, &sides.after.cluster);
    if guests::is_on(before, sides.now) || !guests::is_on(after, sides.now) {
        return;
    }
    let known = match &facts.network.guests {
        Reading::Known(guests) => guests.as_slice(),
        Reading::Absent => &[],
        Reading::Unreadable(why) => return reach.guests_unknown = Some(why.clone()),
        Reading::NotAsked => return reach.guests_unknown = Some("the guests were not read".into()),
    };
    for guest in known {
        match sides.text(&format!("/etc/pve/firewall/{}.fw", guest.id)) {
            Ok(Some(text)) => reach.guests.extend(guests::woken(guest, &text, after)),
            Ok(None) => {}
            Err(why) => reach.guests_unknown = Some(why),
        }
    }
}

/// Whether a verdict is one PVE's simulator gives.
fn simulated(backend: Backend, protocol: Protocol, verdict: Verdict) -> Option<(&'static str, &'static str)> {
    let protocol = match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        _ => return None,
    };
    let word = match verdict {
        Verdict::Accept => "ACCEPT",
        Verdict::Drop => "DROP",
        Verdict::Reject => "REJECT",
        Verdict::Unknown => return None,
    };
    (backend == Backend::Iptables).then_some((protocol, word))
}
