//! Chains of guests' cards.

use super::commands::Place;
use super::host::Direction;
use super::{Builder, MARK_OFF, counts, option_level, sets, substitute};
use crate::firewall::Family;
use crate::firewall::config::Config;
use crate::firewall::node::{Card, Guest, Node};

/// The name of a card's interface on the node.
pub fn interface(guest: &Guest, card: u32) -> String {
    format!("{}{}i{card}", if guest.container { "veth" } else { "tap" }, guest.vmid)
}

/// What a guest's accepted packets meet: the intrusion system's queue where there is one.
fn accept(options: &Config) -> String {
    if !options.is_on("ips") {
        return "ACCEPT".to_owned();
    }
    let queues = options.text("ips_queues").unwrap_or_default();
    let queues = match queues.split_once(':') {
        Some(_) => format!(" --queue-balance {queues}"),
        None if queues.is_empty() => String::new(),
        None => format!(" --queue-num {queues}"),
    };
    format!("NFQUEUE{queues} --queue-bypass")
}

impl Builder {
    /// The chains of every card; a guest whose chains cannot be made is left out from there on.
    pub fn guests(&mut self, node: &mut Node) {
        let mut guests = std::mem::take(&mut node.guests);
        for guest in &mut guests {
            if !guest.config.is_on("enable") {
                continue;
            }
            let cards = guest.cards.clone();
            for (number, card) in &cards {
                let made = [Direction::In, Direction::Out]
                    .into_iter()
                    .try_for_each(|direction| self.card(&mut node.cluster, guest, *number, card, direction));
                if let Err(message) = made {
                    self.warnings.push(message);
                    break;
                }
            }
        }
        node.guests = guests;
    }

    fn card(
        &mut self,
        cluster: &mut Config,
        guest: &mut Guest,
        number: u32,
        card: &Card,
        direction: Direction,
    ) -> Result<(), String> {
        let iface = interface(guest, number);
        let chain = format!("{iface}-{}", direction.name());
        let accept = accept(&guest.config);
        self.card_start(&chain, guest, number, card, direction, &accept)?;
        self.card_rules(&chain, cluster, guest, number, direction, &accept);
        if guest.config.is_on("ips") && direction == Direction::In {
            if !self.chains.contains_key("PVEFW-IPS") {
                self.create("PVEFW-IPS")?;
            }
            let matched = format!("-m physdev --physdev-out {iface} --physdev-is-bridged");
            self.add("PVEFW-IPS", &matched, &format!("-j {accept}"));
        }
        let level = option_level(&guest.config, &format!("log_level_{}", direction.kind()));
        let (policy, accept) = match direction {
            Direction::In => (guest.config.text("policy_in").unwrap_or_else(|| "DROP".to_owned()), accept.as_str()),
            Direction::Out => {
                (guest.config.text("policy_out").unwrap_or_else(|| "ACCEPT".to_owned()), "PVEFW-SET-ACCEPT-MARK")
            }
        };
        self.policy(&chain, &policy, accept, guest.vmid, level);
        let (bridge, device) = match direction {
            Direction::In => ("PVEFW-FWBR-IN", "out"),
            Direction::Out => ("PVEFW-FWBR-OUT", "in"),
        };
        let matched = format!("-m physdev --physdev-is-bridged --physdev-{device} {iface}");
        self.add(bridge, &matched, &format!("-j {chain}"));
        Ok(())
    }

    fn card_start(
        &mut self,
        chain: &str,
        guest: &Guest,
        number: u32,
        card: &Card,
        direction: Direction,
        accept: &str,
    ) -> Result<(), String> {
        let options = &guest.config;
        self.create(chain)?;
        self.add(chain, "", &format!("-j CONNMARK --set-mark {}", guest.vmid));
        if !options.is_off("dhcp") {
            self.dhcp(chain, direction);
        }
        if direction == Direction::In {
            self.neighbour_discovery(chain, options, false, &format!("-j {accept}"));
            return Ok(());
        }
        if !options.is_off("macfilter") {
            self.add(chain, &format!("-m mac ! --mac-source {}", card.mac), "-j DROP");
        }
        if self.family == Family::V6 && !options.is_on("radv") {
            self.add(chain, "-p icmpv6 --icmpv6-type router-advertisement", "-j DROP");
        }
        let filter = format!("ipfilter-net{number}");
        if options.is_on("ipfilter") || options.ipsets.contains_key(&filter) {
            let set = sets::chain_name(guest.vmid, &filter, self.family);
            self.add(chain, &format!("-m set ! --match-set {set} src"), "-j DROP");
        }
        self.add(chain, "", &format!("-j MARK --set-mark {MARK_OFF}"));
        self.neighbour_discovery(chain, options, true, "-g PVEFW-SET-ACCEPT-MARK");
        Ok(())
    }

    fn dhcp(&mut self, chain: &str, direction: Direction) {
        let (client, server) = match self.family {
            Family::V4 => (68, 67),
            Family::V6 => (546, 547),
        };
        let (from, to, action) = match direction {
            Direction::In => (server, client, "-j ACCEPT"),
            Direction::Out => (client, server, "-g PVEFW-SET-ACCEPT-MARK"),
        };
        self.add(chain, &format!("-p udp --sport {from} --dport {to}"), action);
    }

    fn card_rules(
        &mut self,
        chain: &str,
        cluster: &mut Config,
        guest: &mut Guest,
        number: u32,
        direction: Direction,
        accept: &str,
    ) {
        let mut rules = std::mem::take(&mut guest.config.rules);
        let card = format!("net{number}");
        for rule in &mut rules {
            if (!rule.iface.is_empty() && rule.iface != card) || !counts(rule, self.family) {
                continue;
            }
            let on_mark = if direction == Direction::Out { "RETURN" } else { accept };
            let added = if rule.kind == "group" {
                self.group_jump(chain, cluster, (rule, ""), direction, on_mark)
            } else if rule.kind == direction.kind() {
                let message = format!("{}: ", rule.action);
                substitute(rule, if direction == Direction::Out { "PVEFW-SET-ACCEPT-MARK" } else { accept });
                let place = Place {
                    cluster: Some(cluster),
                    own: Some(&guest.config),
                    vmid: guest.vmid,
                    iface: "",
                    message: &message,
                };
                self.add_rule(chain, rule, place)
            } else {
                Ok(())
            };
            if let Err(text) = added {
                self.warnings.push(text);
            }
        }
        guest.config.rules = rules;
    }
}
