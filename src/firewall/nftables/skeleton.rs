//! `proxmox-firewall.nft` and the chains that host options fill.

use std::ops::RangeInclusive;

use super::super::kernel::{AddressType, Match, Target};
use super::{Compiler, own, set_name};
use crate::pve::firewall::AddressRange;

fn tcp(ports: Vec<RangeInclusive<u16>>) -> Vec<Match> {
    vec![Match::Protocol(6), Match::DestPorts(ports)]
}

fn udp(ports: Vec<RangeInclusive<u16>>) -> Vec<Match> {
    vec![Match::Protocol(17), Match::DestPorts(ports)]
}

fn net(text: &str) -> Vec<AddressRange> {
    text.parse::<ipnet::IpNet>().map(AddressRange::from).into_iter().collect()
}

fn jump(chain: &str) -> Target {
    Target::Jump(chain.into())
}

impl Compiler<'_> {
    pub(super) fn skeleton(&mut self) {
        self.base();
        self.reject();
        self.management();
        self.icmp();
        self.default_in();
        self.default_out();
        self.options();
        for chain in ["ct-in", "option-in", "option-out"] {
            self.rules.begin(chain);
        }
    }

    fn base(&mut self) {
        for (base, chains) in [
            ("input", &["default-in", "ct-in", "option-in", "host-in", "cluster-in"][..]),
            ("output", &["default-out", "option-out", "host-out", "cluster-out"]),
            ("forward", &["host-forward", "cluster-forward"]),
        ] {
            for chain in chains {
                self.add(base, own(format!("jump {chain}"), vec![], jump(chain), base));
            }
        }
    }

    fn reject(&mut self) {
        let name = "do-reject";
        let broadcast = vec![Match::DestType(AddressType::Broadcast)];
        self.add(name, own("meta pkttype broadcast drop", broadcast, Target::Drop, name));
        if !self.v6 {
            self.add(
                name,
                own("ip saddr 224.0.0.0/4 drop", vec![Match::Source(net("224.0.0.0/4"))], Target::Drop, name),
            );
        }
        self.add(name, own("reject", vec![], Target::Reject, name));
    }

    fn management(&mut self) {
        let set = set_name("management", self.v6);
        let ip = if self.v6 { "ip6" } else { "ip" };
        let text = format!("{ip} saddr @{set} {ip} saddr != @{set}-nomatch accept");
        let rule =
            own(text, vec![Match::SourceSet(set)], Target::Accept, "the management set (8006, 5900-5999, 3128, 22)");
        self.add("accept-management", rule);
    }

    fn icmp(&mut self) {
        let types: &[u8] = if self.v6 { &[1, 2, 3, 4] } else { &[3, 4, 11] };
        let number = if self.v6 { 58 } else { 1 };
        for kind in types {
            let text = format!("icmp{} type {kind} accept", if self.v6 { "v6" } else { "" });
            let matches = vec![Match::Protocol(number), Match::Icmp(Some(*kind), None)];
            self.add("allow-icmp", own(text, matches, Target::Accept, "ICMP errors"));
        }
    }

    fn connections(&mut self, chain: &str) {
        self.add(chain, own("jump allow-icmp", vec![], jump("allow-icmp"), "ICMP errors"));
        let text = "ct state vmap { invalid : jump invalid-conntrack, established : accept, related : accept }";
        self.add(chain, own(text, vec![Match::Never], Target::Accept, "known connections"));
    }

    fn default_in(&mut self) {
        let chain = "default-in";
        let lo = vec![Match::InInterface("lo".into())];
        self.add(chain, own("iifname \"lo\" accept", lo, Target::Accept, "the node's own traffic"));
        self.connections(chain);
        self.add(chain, own("meta l4proto igmp accept", vec![Match::Protocol(2)], Target::Accept, "IGMP"));
        let managed = tcp(vec![8006..=8006, 5900..=5999, 3128..=3128, 22..=22]);
        let text = "tcp dport { 8006, 5900-5999, 3128, 22 } jump accept-management";
        self.add(chain, own(text, managed, jump("accept-management"), "the management set"));
        let name = "corosync (5405-5412), from anywhere";
        self.add(chain, own("udp dport 5405-5412 accept", udp(vec![5405..=5412]), Target::Accept, name));
        let name = "well-known noise";
        let reject = || Target::Goto("do-reject".into());
        let smb = udp(vec![135..=135, 137..=139, 445..=445]);
        self.add(chain, own("udp dport { 135, 137-139, 445 } goto do-reject", smb, reject(), name));
        let mut answers = udp(vec![1024..=65535]);
        answers.push(Match::SourcePorts(vec![137..=137]));
        self.add(chain, own("udp sport 137 udp dport 1024-65535 goto do-reject", answers, reject(), name));
        let smb = tcp(vec![135..=135, 139..=139, 445..=445]);
        self.add(chain, own("tcp dport { 135, 139, 445 } goto do-reject", smb, reject(), name));
        self.add(chain, own("udp dport 1900 drop", udp(vec![1900..=1900]), Target::Drop, name));
        let dns = vec![Match::Protocol(17), Match::SourcePorts(vec![53..=53])];
        self.add(chain, own("udp sport 53 drop", dns, Target::Drop, name));
    }

    fn default_out(&mut self) {
        let lo = vec![Match::OutInterface("lo".into())];
        self.add("default-out", own("oifname \"lo\" accept", lo, Target::Accept, "the node's own traffic"));
        self.connections("default-out");
    }

    /// `handle_host_options`.
    fn options(&mut self) {
        let options = self.inputs.host.config();
        let ndp = options.flag("ndp") != Some(false);
        let flags = options.flag("tcpflags");
        let smurfs = options.flag("nosmurfs") != Some(false);
        if self.v6 {
            let (word, target) = if ndp { ("accept", Target::Accept) } else { ("drop", Target::Drop) };
            let inward: &[u8] = &[133, 134, 135, 136, 137];
            for (chain, types) in [("option-in", inward), ("option-out", &[133, 135, 136])] {
                for kind in types {
                    let matches = vec![Match::Protocol(58), Match::Icmp(Some(*kind), None)];
                    let text = format!("icmpv6 type {kind} {word}");
                    self.add(chain, own(text, matches, target.clone(), "neighbour discovery"));
                }
            }
        }
        if flags == Some(true) {
            let matches = vec![Match::Protocol(6), Match::SourcePorts(vec![0..=0])];
            let text = "tcp sport 0 tcp flags & (fin|syn|rst|ack) == syn drop";
            self.add("option-in", own(text, matches, Target::Drop, "tcpflags: impossible TCP flags"));
        }
        if smurfs && !self.v6 {
            let name = "nosmurfs: packets from broadcast addresses";
            let matches = vec![Match::Source(net("224.0.0.0/4"))];
            self.add("option-in", own("ip saddr 224.0.0.0/4 drop", matches, Target::Drop, name));
            // `meta pkttype broadcast` is the packet's way, not its source: what the node hears by broadcast is dropped,
            // except from 0.0.0.0.
            for (text, matches, target) in [
                (
                    "ip saddr 0.0.0.0 meta pkttype broadcast return",
                    vec![Match::Source(net("0.0.0.0/32")), Match::DestType(AddressType::Broadcast)],
                    Target::Return,
                ),
                ("meta pkttype broadcast drop", vec![Match::DestType(AddressType::Broadcast)], Target::Drop),
            ] {
                self.add("option-in", own(text, matches, target, name));
            }
        }
    }
}
