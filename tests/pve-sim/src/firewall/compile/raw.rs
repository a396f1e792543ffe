//! The `raw` table: synflood protection and connection trackers.

use super::{Chains, add};
use crate::firewall::Family;
use crate::firewall::config::Config;
use crate::firewall::macros::HELPERS;

const CHAIN: &str = "PVEFW-PREROUTING";

/// The table's one chain, where an option asks for it.
pub fn chains(host: &Config, family: Family) -> Chains {
    let mut made = Chains::new();
    let helpers = host.text("nf_conntrack_helpers").unwrap_or_default();
    if host.is_on("protection_synflood") || !helpers.is_empty() {
        made.insert(CHAIN.to_owned(), Vec::new());
    }
    if host.is_on("protection_synflood") {
        add(&mut made, CHAIN, &synflood(host, family), "-j DROP");
    }
    for helper in helpers.split(',') {
        let known = HELPERS.iter().find(|(name, _, _, six)| *name == helper && (family == Family::V4 || *six));
        if let Some((name, proto, port, _)) = known {
            let matched = format!("-p {proto} -m {proto} --dport {port} -j CT");
            add(&mut made, CHAIN, &matched, &format!("--helper {name}"));
        }
    }
    made
}

fn synflood(host: &Config, family: Family) -> String {
    let or = |option: &str, default: u64| {
        host.text(option).and_then(|text| text.parse::<u64>().ok()).filter(|number| *number > 0).unwrap_or(default)
    };
    let (rate, burst) = (or("protection_synflood_rate", 200), or("protection_synflood_burst", 1000));
    let expire = or("nf_conntrack_tcp_timeout_syn_recv", 60) * 1000;
    let mask = if family == Family::V4 { 32 } else { 64 };
    format!(
        "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m hashlimit --hashlimit-above {rate}/sec \
         --hashlimit-burst {burst} --hashlimit-mode srcip --hashlimit-name syn --hashlimit-htable-size 2097152 \
         --hashlimit-srcmask {mask} --hashlimit-htable-expire {expire}"
    )
}
