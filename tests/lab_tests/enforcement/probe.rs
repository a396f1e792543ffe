//! Real packets, and what became of them: the node notes each one on arrival and again behind all filters, so that
//! nobody waits for an answer that does not come.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::support::lab::Lab;

const PROBE: &str = include_str!("probe.nft");

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The first packet of a connection.
    Tcp {
        /// Source port.
        sport: u16,
        /// Destination port.
        dport: u16,
    },
    /// A datagram.
    Udp {
        /// Source port.
        sport: u16,
        /// Destination port.
        dport: u16,
    },
    /// An ICMP or `ICMPv6` packet of this type.
    Icmp(u8),
    /// A packet of another protocol.
    Other(u8),
}

/// A packet to the node, or from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Packet {
    /// Sent by the node.
    pub outward: bool,
    /// Where it says that it comes from.
    pub source: IpAddr,
    /// Where it goes.
    pub destination: IpAddr,
    /// What it carries.
    pub kind: Kind,
}

/// The other side, protocol and the start of the payload: what the node notes.
type Key = (IpAddr, u8, u32);

impl Packet {
    fn key(&self) -> Key {
        let six = self.destination.is_ipv6();
        let (proto, start) = match self.kind {
            Kind::Tcp { sport, dport } => (6, u32::from(sport) << 16 | u32::from(dport)),
            Kind::Udp { sport, dport } => (17, u32::from(sport) << 16 | u32::from(dport)),
            // Behind the type comes a checksum.
            Kind::Icmp(kind) => (if six { 58 } else { 1 }, u32::from(kind) << 24),
            Kind::Other(proto) => (proto, 0),
        };
        (if self.outward { self.destination } else { self.source }, proto, start)
    }

    fn send(&self) -> std::io::Result<Option<Socket>> {
        let domain = if self.source.is_ipv6() { Domain::IPV6 } else { Domain::IPV4 };
        let raw = |proto: i32| Socket::new(domain, Type::RAW, Some(Protocol::from(proto)));
        let (socket, sport, dport) = match self.kind {
            Kind::Tcp { sport, dport } => (Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?, sport, dport),
            Kind::Udp { sport, dport } => (Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?, sport, dport),
            Kind::Icmp(_) => (raw(if self.source.is_ipv6() { 58 } else { 1 })?, 0, 0),
            Kind::Other(proto) => (raw(i32::from(proto))?, 0, 0),
        };
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::from(SocketAddr::new(self.source, sport)))?;
        let to = SockAddr::from(SocketAddr::new(self.destination, dport));
        match self.kind {
            Kind::Tcp { .. } => match socket.connect(&to) {
                Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => Err(error),
                // The kernel would repeat it, or end it, if the socket went now.
                _ => Ok(Some(socket)),
            },
            Kind::Udp { .. } => sent(socket.send_to(b"probe", &to)),
            Kind::Icmp(kind) => sent(socket.send_to(&icmp(kind), &to)),
            Kind::Other(_) => sent(socket.send_to(&[0; 20], &to)),
        }
    }
}

/// A packet that the sender's own rules drop was sent all the same.
fn sent(result: std::io::Result<usize>) -> std::io::Result<Option<Socket>> {
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::PermissionDenied => Err(error),
        _ => Ok(None),
    }
}

/// Eight bytes of header with the checksum of IPv4; that of IPv6 the kernel makes.
fn icmp(kind: u8) -> [u8; 8] {
    let mut bytes = [kind, 0, 0, 0, 0x12, 0x34, 0, 1];
    let sum: u32 = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let folded = !((sum & 0xffff) + (sum >> 16)) & 0xffff;
    bytes[2..4].copy_from_slice(&u16::try_from(folded).unwrap().to_be_bytes());
    bytes
}

/// A node on which packets are noted.
pub struct Probe<'l> {
    lab: &'l Lab,
    node: &'l str,
}

impl<'l> Probe<'l> {
    /// Makes the node answer whoever asks, wherever that would be: it has no uplink.
    pub fn new(lab: &'l Lab, node: &'l str) -> Self {
        let script = "for setting in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$setting; done
            ip route replace default dev vmbr0; ip -6 route replace default dev vmbr0";
        lab.on(node, script);
        Self { lab, node }
    }

    /// Sends the packets, those to the node from `outside`, and says for each whether the node's filters let it pass.
    #[track_caller]
    pub fn passed(&self, packets: &[Packet]) -> Vec<bool> {
        use base64::Engine as _;
        let ruleset = base64::engine::general_purpose::STANDARD.encode(PROBE);
        self.lab.on(self.node, &format!("echo {ruleset} | base64 -d | nft -f -"));
        let (outward, inward): (Vec<Packet>, Vec<Packet>) = packets.iter().partition(|packet| packet.outward);
        // The sender has every address that it speaks from.
        let sources: BTreeSet<IpAddr> = inward.iter().map(|packet| packet.source).collect();
        let lines: Vec<String> = sources.iter().map(|source| format!("ip addr replace {source} dev lo")).collect();
        self.lab.lab(["outside", "--", "sh", "-c", &lines.join("\n")]).exits(0);
        let mut sockets = send_all(&self.lab.namespace("outside"), &inward);
        sockets.extend(send_all(&self.lab.namespace(&format!("n-{}", self.node)), &outward));
        let wanted: BTreeSet<Key> = inward.iter().map(Packet::key).collect();
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            let listed = self.lab.on(self.node, "nft list table inet probe");
            let (seen, passed) = (noted(&listed, "seen"), noted(&listed, "passed"));
            let missing: Vec<&Key> = wanted.difference(&seen).collect();
            if missing.is_empty() {
                drop(sockets);
                let (seen_out, passed_out) = (noted(&listed, "sent"), noted(&listed, "left"));
                let fate = |packet: &Packet| {
                    assert!(!packet.outward || seen_out.contains(&packet.key()), "never sent: {packet:?}");
                    (if packet.outward { &passed_out } else { &passed }).contains(&packet.key())
                };
                return packets.iter().map(fate).collect();
            }
            assert!(Instant::now() < end, "never arrived: {missing:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Sends from a thread of its own inside the namespace.
fn send_all(namespace: &Path, packets: &[Packet]) -> Vec<Socket> {
    let send = || {
        let handle = File::open(namespace).expect("the namespace");
        move_into_link_name_space(handle.as_fd(), Some(LinkNameSpaceType::Network)).expect("entering it");
        let sent = packets
            .iter()
            .filter_map(|packet| packet.send().unwrap_or_else(|error| panic!("sending {packet:?}: {error}")));
        sent.collect()
    };
    std::thread::scope(|scope| scope.spawn(send).join().expect("the sender"))
}

/// The elements of both families' sets of that name.
fn noted(listed: &str, name: &str) -> BTreeSet<Key> {
    let mut found = BTreeSet::new();
    let mut inside = false;
    for line in listed.lines() {
        let line = line.trim();
        if let Some(set) = line.strip_prefix("set ") {
            inside = set.trim_end_matches(" {").trim_end_matches(['4', '6']) == name;
        } else if line.starts_with("chain ") {
            inside = false;
        }
        if inside {
            found.extend(line.trim_start_matches("elements = {").split(',').filter_map(element));
        }
    }
    found
}

/// `10.0.0.1 . tcp . 0x4e200016`
fn element(text: &str) -> Option<Key> {
    let mut parts = text.trim().trim_end_matches([' ', '}']).split(" . ");
    let source: IpAddr = parts.next()?.parse().ok()?;
    let proto = match parts.next()? {
        "icmp" => 1,
        "igmp" => 2,
        "tcp" => 6,
        "udp" => 17,
        "ipv6" => 41,
        "gre" => 47,
        "esp" => 50,
        "ah" => 51,
        "ipv6-icmp" | "icmpv6" => 58,
        "ospf" | "ospfigp" => 89,
        "ipip" => 94,
        "sctp" => 132,
        number => number.parse().ok()?,
    };
    let start = parts.next()?;
    let start = match start.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => start.parse().ok()?,
    };
    Some((source, proto, if matches!(proto, 1 | 58) { start & 0xff00_0000 } else { start }))
}
