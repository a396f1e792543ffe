//! Packets against configurations whose outcome was worked out by hand.

use std::net::IpAddr;

use super::probe::{Kind, Packet, Probe};
use super::{Files, load};
use crate::support::lab::Lab;

/// `192.0.2.7 tcp 22`, `fd00::1 icmp 128`, `192.0.2.7 udp 5405 from 5000`; then whether it passes.
fn read(line: &str, number: u16, addresses: [IpAddr; 2]) -> (Packet, bool) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let source: IpAddr = words[0].parse().unwrap();
    let value: u16 = words[2].parse().unwrap();
    let sport =
        words.iter().position(|word| *word == "from").map_or(20_000 + number, |at| words[at + 1].parse().unwrap());
    let kind = match words[1] {
        "tcp" => Kind::Tcp { sport, dport: value },
        "udp" => Kind::Udp { sport, dport: value },
        "icmp" => Kind::Icmp(u8::try_from(value).unwrap()),
        _ => Kind::Other(u8::try_from(value).unwrap()),
    };
    let passes = match *words.last().unwrap() {
        "pass" => true,
        "drop" => false,
        other => panic!("{other}"),
    };
    (Packet { outward: false, source, destination: addresses[usize::from(source.is_ipv6())], kind }, passes)
}

/// Configurations, each with lines of packets. An ICMP error that belongs to no connection is invalid to the kernel.
const CASES: &[(&str, &str, &str)] = &[
    ("", "", "192.0.2.7 tcp 22 pass\n192.0.2.7 udp 111 pass\n2001:db8::7 tcp 8006 pass\n"),
    (
        "[OPTIONS]\nenable: 1\n[IPSET management]\n192.0.2.0/24\n!192.0.2.9\n2001:db8::/64\n",
        "",
        "192.0.2.7 tcp 22 pass\n192.0.2.9 tcp 22 drop\n198.51.100.1 tcp 22 drop\n192.0.2.7 tcp 5999 pass\n\
         192.0.2.7 tcp 6000 drop\n192.0.2.7 tcp 60050 pass\n192.0.2.7 tcp 111 drop\n192.0.2.7 udp 22 drop\n\
         2001:db8::1 tcp 8006 pass\n2001:db8:1::1 tcp 8006 drop\n192.0.2.7 icmp 8 drop\n2001:db8::1 icmp 128 drop\n\
         198.51.100.1 icmp 11 drop\n2001:db8:1::1 icmp 2 drop\n192.0.2.7 other 2 pass\n192.0.2.7 other 47 drop\n",
    ),
    (
        "[OPTIONS]\nenable: 1\npolicy_in: REJECT\n[ALIASES]\nnet 198.51.100.0/24\n[RULES]\nIN DROP -source net -p tcp -dport 80\n\
         IN Web(ACCEPT)\nIN ACCEPT -p udp -sport 68 -dport 67\nIN ACCEPT -source 192.0.2.1-192.0.2.5\nIN Ping(ACCEPT)\n\
         |IN ACCEPT -p tcp -dport 23\nIN ACCEPT -p tcp -dport 1000:1002,2000\nIN ACCEPT -i nosuch0 -p tcp -dport 3000\n\
         IN ACCEPT -i vmbr0 -p tcp -dport 3001\nGROUP web -i vmbr0\n[group web]\nIN DROP -source 203.0.113.9 -p tcp -dport 4000\n\
         IN ACCEPT -p tcp -dport 4000\n",
        "",
        "198.51.100.1 tcp 80 drop\n198.51.100.1 tcp 443 pass\n203.0.113.1 tcp 80 pass\n2001:db8::1 tcp 80 pass\n\
         203.0.113.1 udp 67 from 68 pass\n203.0.113.1 udp 67 drop\n192.0.2.5 udp 9 pass\n192.0.2.6 udp 9 drop\n\
         203.0.113.1 icmp 8 pass\n2001:db8::1 icmp 128 pass\n203.0.113.1 tcp 23 drop\n203.0.113.1 tcp 1001 pass\n\
         203.0.113.1 tcp 2000 pass\n203.0.113.1 tcp 1003 drop\n203.0.113.1 tcp 3000 drop\n203.0.113.1 tcp 3001 pass\n\
         203.0.113.1 tcp 4000 pass\n203.0.113.9 tcp 4000 drop\n",
    ),
    (
        "[OPTIONS]\nenable: 1\npolicy_in: ACCEPT\n[IPSET blacklist]\n203.0.113.0/24\n[RULES]\nIN REJECT -p tcp -dport 25\n",
        "[OPTIONS]\ntcpflags: 1\n[RULES]\nIN ACCEPT -source 192.0.2.1 -p tcp -dport 25\n",
        "203.0.113.1 tcp 80 drop\n192.0.2.1 tcp 25 pass\n192.0.2.2 tcp 25 drop\n192.0.2.2 udp 25 pass\n2001:db8::1 tcp 25 drop\n",
    ),
];

#[test]
fn packets_fare_as_worked_out_by_hand() {
    let Some(lab) = Lab::up("fw-packets", &["pve1"], &[]) else { return };
    let addresses = [lab.address("pve1").parse().unwrap(), lab.address6("pve1").parse().unwrap()];
    let probe = Probe::new(&lab, "pve1");
    let mut wrong = Vec::new();
    for (cluster, host, lines) in CASES {
        load(&lab, "pve1", &Files { cluster: (*cluster).to_owned(), host: (*host).to_owned(), ..Files::default() });
        let packets: Vec<(Packet, bool)> =
            lines.lines().zip(1..).map(|(line, number)| read(line, number, addresses)).collect();
        let passed = probe.passed(&packets.iter().map(|(packet, _)| *packet).collect::<Vec<_>>());
        for ((line, (_, expected)), passed) in lines.lines().zip(&packets).zip(passed) {
            if passed != *expected {
                wrong.push(format!("{cluster}\n{line}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} packets fared otherwise:\n{}", wrong.len(), wrong.join("\n"));
}
