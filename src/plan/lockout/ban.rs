//! Whom fail2ban could ban once the plan has run: never this operator, never a member of the cluster.

use std::net::IpAddr;

use super::{Refusal, planned::Planned, refusal};
use crate::controls::bruteforce::{JAILS, never_banned};
use crate::facts::Facts;

/// One refusal for everybody who is not exempt in each jail that the plan writes.
pub(super) fn refusals(planned: &Planned<'_>, facts: &Facts, from: Option<IpAddr>) -> Option<Refusal> {
    let (_, image) = planned.written_below(JAILS).next()?;
    let jails = never_banned(&image?.content);
    let may_ban = |address: &IpAddr| jails.values().any(|nets| !nets.iter().any(|net| net.contains(address)));
    let who = match from.filter(may_ban) {
        Some(operator) => format!("you at {operator}"),
        None => format!("the cluster's member at {}", facts.peer_addresses().into_iter().find(may_ban)?),
    };
    Some(refusal(
        format!("fail2ban could ban {who}: some wrong logins, and the node answers no more"),
        "add the address to `management` in the site file, or to `bruteforce.fail2ban.also`",
    ))
}
