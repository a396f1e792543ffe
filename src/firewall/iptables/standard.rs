//! `$pve_std_chains_conf`: chains that are always there.

use super::super::kernel::{AddressType, Match, Target};
use super::{Compiler, own};
use crate::pve::firewall::{AddressRange, Ports, icmp_numbers};

fn net(text: &str) -> Vec<AddressRange> {
    text.parse::<ipnet::IpNet>().map(AddressRange::from).into_iter().collect()
}

fn ports(text: &str) -> Vec<std::ops::RangeInclusive<u16>> {
    Ports::parse(text, crate::pve::firewall::Backend::Iptables).map(|ports| ports.ranges).unwrap_or_default()
}

pub(super) fn add(compiler: &mut Compiler<'_>) {
    let v6 = compiler.v6;
    let mark = own(" -j MARK --set-mark 0x80000000/0x80000000", vec![], Target::SetMark(true), "mark of acceptance");
    compiler.add("PVEFW-SET-ACCEPT-MARK", mark);
    broadcast(compiler);
    reject(compiler);
    noise(compiler, "PVEFW-Drop", "DROP");
    noise(compiler, "PVEFW-Reject", "PVEFW-reject");
    tcp_flags(compiler);
    let flags = compiler.log_level("tcp_flags_log_level");
    logged_drop(compiler, "PVEFW-logflags", flags, "tcpflags: impossible TCP flags");
    if !v6 {
        smurfs(compiler);
        let level = compiler.log_level("smurf_log_level");
        logged_drop(compiler, "PVEFW-smurflog", level, "nosmurfs: packets from broadcast addresses");
    }
}

fn broadcast(compiler: &mut Compiler<'_>) {
    let name = "PVEFW-DropBroadcast: broadcast and multicast";
    let chain = "PVEFW-DropBroadcast";
    if compiler.v6 {
        compiler.add(chain, own("-d ff00::/8 -j DROP", vec![Match::Dest(net("ff00::/8"))], Target::Drop, name));
        return;
    }
    for (word, kind) in [
        ("BROADCAST", AddressType::Broadcast),
        ("MULTICAST", AddressType::Multicast),
        ("ANYCAST", AddressType::Anycast),
    ] {
        let text = format!("-m addrtype --dst-type {word} -j DROP");
        compiler.add(chain, own(text, vec![Match::DestType(kind)], Target::Drop, name));
    }
    compiler.add(chain, own("-d 224.0.0.0/4 -j DROP", vec![Match::Dest(net("224.0.0.0/4"))], Target::Drop, name));
}

fn reject(compiler: &mut Compiler<'_>) {
    let name = "PVEFW-reject";
    let protocol = Match::Protocol;
    let mut add =
        |text: &str, matches: Vec<Match>, target: Target| compiler.rules.add(name, own(text, matches, target, name));
    if compiler.v6 {
        add("-p icmpv6 -j DROP", vec![protocol(58)], Target::Drop);
        add("-p tcp -j REJECT --reject-with tcp-reset", vec![protocol(6)], Target::Reject);
        add("-p udp -j REJECT --reject-with icmp6-port-unreachable", vec![protocol(17)], Target::Reject);
        add(" -j REJECT --reject-with icmp6-adm-prohibited", vec![], Target::Reject);
        return;
    }
    let broadcast = vec![Match::DestType(AddressType::Broadcast)];
    add("-m addrtype --dst-type BROADCAST -j DROP", broadcast, Target::Drop);
    add("-s 224.0.0.0/4 -j DROP", vec![Match::Source(net("224.0.0.0/4"))], Target::Drop);
    add("-p icmp -j DROP", vec![protocol(1)], Target::Drop);
    add("-p tcp -j REJECT --reject-with tcp-reset", vec![protocol(6)], Target::Reject);
    add("-p udp -j REJECT --reject-with icmp-port-unreachable", vec![protocol(17)], Target::Reject);
    add("-p icmp -j REJECT --reject-with icmp-host-unreachable", vec![protocol(1)], Target::Reject);
    add(" -j REJECT --reject-with icmp-host-prohibited", vec![], Target::Reject);
}

/// PVEFW-Drop and PVEFW-Reject: what is not worth a log line.
fn noise(compiler: &mut Compiler<'_>, chain: &str, action: &str) {
    let v6 = compiler.v6;
    let name = format!("{chain}: well-known noise");
    let to = |action: &str| match action {
        "DROP" => Target::Drop,
        "ACCEPT" => Target::Accept,
        other => Target::Jump(other.into()),
    };
    let mut add = |text: String, matches: Vec<Match>, action: &str| {
        compiler.rules.add(chain, own(format!("{text} -j {action}"), matches, to(action), &name));
    };
    if v6 {
        add("-p tcp --dport 43".into(), vec![Match::Protocol(6), Match::DestPorts(ports("43"))], "PVEFW-reject");
    }
    add(String::new(), vec![], "PVEFW-DropBroadcast");
    let (word, number) = if v6 { ("icmpv6", 58) } else { ("icmp", 1) };
    let types: &[&str] = if v6 {
        &["destination-unreachable", "time-exceeded", "packet-too-big"]
    } else {
        &["fragmentation-needed", "time-exceeded"]
    };
    for kind in types {
        let (code, sub) = icmp_numbers(kind, v6).unwrap_or_default();
        let matches = vec![Match::Protocol(number), Match::Icmp(code, sub)];
        add(format!("-p {word} -m {word} --{word}-type {kind}"), matches, "ACCEPT");
    }
    add("-m conntrack --ctstate INVALID".into(), vec![Match::Never], "DROP");
    let udp = |text: &str| vec![Match::Protocol(17), Match::DestPorts(ports(text))];
    add("-p udp --match multiport --dports 135,445".into(), udp("135,445"), action);
    add("-p udp --dport 137:139".into(), udp("137:139"), action);
    let mut answers = udp("1024:65535");
    answers.push(Match::SourcePorts(ports("137")));
    add("-p udp --sport 137 --dport 1024:65535".into(), answers, action);
    let smb = vec![Match::Protocol(6), Match::DestPorts(ports("135,139,445"))];
    add("-p tcp --match multiport --dports 135,139,445".into(), smb, action);
    add("-p udp --dport 1900".into(), udp("1900"), "DROP");
    // A new connection begins with a SYN.
    add("-p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN".into(), vec![Match::Never], "DROP");
    add("-p udp --sport 53".into(), vec![Match::Protocol(17), Match::SourcePorts(ports("53"))], "DROP");
}

fn tcp_flags(compiler: &mut Compiler<'_>) {
    let chain = "PVEFW-tcpflags";
    let name = "tcpflags: impossible TCP flags";
    for flags in
        ["FIN,SYN,RST,PSH,ACK,URG FIN,PSH,URG", "FIN,SYN,RST,PSH,ACK,URG NONE", "SYN,RST SYN,RST", "FIN,SYN FIN,SYN"]
    {
        let text = format!("-p tcp -m tcp --tcp-flags {flags} -g PVEFW-logflags");
        compiler.add(chain, own(text, vec![Match::Never], Target::Goto("PVEFW-logflags".into()), name));
    }
    let text = "-p tcp -m tcp --sport 0 --tcp-flags FIN,SYN,RST,ACK SYN -g PVEFW-logflags";
    let matches = vec![Match::Protocol(6), Match::SourcePorts(ports("0"))];
    compiler.add(chain, own(text, matches, Target::Goto("PVEFW-logflags".into()), name));
}

fn smurfs(compiler: &mut Compiler<'_>) {
    let chain = "PVEFW-smurfs";
    let name = "nosmurfs: packets from broadcast addresses";
    let log = || Target::Goto("PVEFW-smurflog".into());
    compiler.add(chain, own("-s 0.0.0.0/32 -j RETURN", vec![Match::Source(net("0.0.0.0/32"))], Target::Return, name));
    let broadcast = vec![Match::SourceType(AddressType::Broadcast)];
    compiler.add(chain, own("-m addrtype --src-type BROADCAST -g PVEFW-smurflog", broadcast, log(), name));
    compiler.add(chain, own("-s 224.0.0.0/4 -g PVEFW-smurflog", vec![Match::Source(net("224.0.0.0/4"))], log(), name));
}

fn logged_drop(compiler: &mut Compiler<'_>, chain: &str, level: Option<crate::pve::firewall::LogLevel>, name: &str) {
    if let Some(level) = level {
        let origin = super::RuleRef::automatic(name);
        let log = compiler.log_rule(chain, "", vec![], level, "DROP: ", origin);
        compiler.add(chain, log);
    }
    compiler.add(chain, own(" -j DROP", vec![], Target::Drop, name));
}
