//! `corosync-quorumtool` and `corosync-cfgtool`.

use std::fmt::Write as _;

use super::conf::Configuration;
use crate::applet::Arguments;
use crate::console;
use crate::host::Host;
use crate::pmxcfs::membership::{self, Membership};

/// Exit status of a node without quorum.
const NOT_QUORATE: u8 = 2;

/// `corosync-quorumtool [-s] [-l] [-i] [-H]`: status, or with `-l` the list of nodes.
#[expect(clippy::unnecessary_wraps, reason = "the signature of all programs")]
pub fn quorumtool(arguments: &Arguments) -> anyhow::Result<u8> {
    let host = Host::this();
    let flags: String = arguments.iter().filter_map(|word| word.strip_prefix('-')).collect();
    let Some(view) = membership::current() else {
        console::complain("Cannot initialize QUORUM service");
        return Ok(1);
    };
    if flags.contains('l') && !flags.contains('s') {
        console::put(members(&view, &host.name, flags.contains('i'), flags.contains('H')));
        return Ok(0);
    }
    console::put(status(&view, &host.name, &now()));
    console::put(members(&view, &host.name, flags.contains('i'), flags.contains('H')));
    Ok(if view.quorate { 0 } else { NOT_QUORATE })
}

/// `corosync-cfgtool -s`: the links of this node; `-R` reloads, which the daemon does by itself.
pub fn cfgtool(arguments: &Arguments) -> anyhow::Result<u8> {
    if arguments.iter().any(|word| word == "-R") {
        console::say("Reloading corosync.conf...\nDone");
        return Ok(0);
    }
    let host = Host::this();
    let Some(view) = membership::current() else {
        console::complain("Could not initialize corosync configuration API error CS_ERR_LIBRARY");
        return Ok(1);
    };
    let conf = Configuration::parse(&std::fs::read_to_string(super::CONF)?)?;
    console::put(links(&conf, &view, &host.name));
    Ok(0)
}

fn now() -> String {
    jiff::Zoned::now().strftime("%a %b %e %H:%M:%S %Y").to_string()
}

fn status(view: &Membership, own: &str, date: &str) -> String {
    let online: Vec<_> = view.nodes.iter().filter(|node| node.online).collect();
    let total: u32 = online.iter().map(|node| node.votes).sum();
    let expected: u32 = view.nodes.iter().map(|node| node.votes).sum();
    let own_id = view.nodes.iter().find(|node| node.name == own).map_or(0, |node| node.id);
    let leader = online.first().map_or(0, |node| node.id);
    let (quorate, blocked, flags) =
        if view.quorate { ("Yes", " ", "Quorate ") } else { ("No", "Activity blocked", "") };
    format!(
        "Quorum information\n------------------\n\
         Date:             {date}\n\
         Quorum provider:  corosync_votequorum\n\
         Nodes:            {}\n\
         Node ID:          0x{own_id:08x}\n\
         Ring ID:          {leader:x}.{:x}\n\
         Quorate:          {quorate}\n\n\
         Votequorum information\n----------------------\n\
         Expected votes:   {expected}\n\
         Highest expected: {expected}\n\
         Total votes:      {total}\n\
         Quorum:           {} {blocked}\n\
         Flags:            {flags}\n",
        online.len(),
        view.ring_sequence,
        expected / 2 + 1,
    )
}

/// Online members, by address (`-i`) or name, ids in hexadecimal (`-H`) or decimal.
fn members(view: &Membership, own: &str, by_address: bool, hexadecimal: bool) -> String {
    let mut text = "\nMembership information\n----------------------\n    Nodeid      Votes Name\n".to_owned();
    for node in view.nodes.iter().filter(|node| node.online) {
        let id = if hexadecimal { format!("0x{:08x}", node.id) } else { format!("{:>10}", node.id) };
        let name = if by_address { &node.ring } else { &node.name };
        let local = if node.name == own { " (local)" } else { "" };
        let _ = writeln!(text, "{id} {:>10} {name}{local}", node.votes);
    }
    text
}

fn links(conf: &Configuration, view: &Membership, own: &str) -> String {
    let Some(own) = conf.nodes.iter().find(|node| node.name == own) else {
        return String::new();
    };
    let mut text = format!("Local node ID {}, transport knet\n", own.id);
    for (link, address) in &own.rings {
        let _ = write!(text, "LINK ID {link} udp\n\taddr\t= {address}\n\tstatus:\n");
        for node in &conf.nodes {
            let state = if node.id == own.id {
                "localhost"
            } else if view.nodes.iter().any(|member| member.id == node.id && member.online) {
                "connected"
            } else {
                "disconnected"
            };
            let _ = writeln!(text, "\t\tnodeid: {:>10}:\t{state}", node.id);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pmxcfs::membership::Member;

    fn lonely() -> Membership {
        let member = |name: &str, id, ring: &str, online| Member {
            name: name.to_owned(),
            id,
            votes: 1,
            ring: ring.to_owned(),
            online,
            ip: None,
        };
        Membership {
            name: "lab".to_owned(),
            config_version: 2,
            ring_sequence: 10,
            changes: 1,
            quorate: false,
            nodes: vec![member("pve1", 1, "10.77.0.2", true), member("pve2", 2, "10.77.0.3", false)],
        }
    }

    /// As recorded from the real tool on one of two nodes.
    #[test]
    fn a_member_without_quorum_says_so() {
        let text = status(&lonely(), "pve1", "Sat Nov 21 22:57:51 2026") + &members(&lonely(), "pve1", true, true);
        insta::assert_snapshot!(text, @r"
        Quorum information
        ------------------
        Date:             Sat Nov 21 22:57:51 2026
        Quorum provider:  corosync_votequorum
        Nodes:            1
        Node ID:          0x00000001
        Ring ID:          1.a
        Quorate:          No

        Votequorum information
        ----------------------
        Expected votes:   2
        Highest expected: 2
        Total votes:      1
        Quorum:           2 Activity blocked
        Flags:            

        Membership information
        ----------------------
            Nodeid      Votes Name
        0x00000001          1 10.77.0.2 (local)
        ");
    }
}
