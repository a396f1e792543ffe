//! Macros: named lists of protocol and ports.

use super::Backend;

const TABLE: &str = include_str!("macros.txt");

/// A macro as one backend and one address family knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Macro {
    /// The name as PVE writes it.
    pub name: &'static str,
    /// Each part makes a rule.
    pub parts: Vec<MacroPart>,
}

/// One rule of a macro.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacroPart {
    /// Protocol name or number.
    pub protocol: &'static str,
    /// Destination ports, or the ICMP type.
    pub dport: Option<&'static str>,
    /// Source ports.
    pub sport: Option<&'static str>,
}

/// A macro by name. pve-firewall compares names without case; it has own parts for IPv6, and macros that IPv4 does not
/// have give no rules there. proxmox-firewall compares exactly and makes rules for both families.
pub fn macro_named(name: &str, backend: Backend, v6: bool) -> Option<Macro> {
    let rows = || {
        TABLE.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (head, parts) = line.split_once(' ')?;
            let bare = head.trim_end_matches(['!', '^', '+']);
            Some((bare, &head[bare.len()..], parts))
        })
    };
    let parts = |text: &'static str| text.split(' ').filter_map(part);
    match backend {
        Backend::Iptables => {
            let found = rows().filter(|(bare, mark, _)| bare.eq_ignore_ascii_case(name) && *mark != "+");
            let wanted = |mark: &str| if v6 { !mark.is_empty() } else { mark.is_empty() };
            let all: Vec<_> = found.collect();
            let own = all
                .iter()
                .find(|(_, mark, _)| wanted(mark))
                .or_else(|| all.iter().find(|(_, m, _)| v6 && m.is_empty()));
            match own {
                Some((bare, _, text)) => Some(Macro { name: bare, parts: parts(text).collect() }),
                None => all.first().map(|(bare, ..)| Macro { name: bare, parts: Vec::new() }),
            }
        }
        Backend::Nftables => {
            let all: Vec<_> = rows().filter(|(bare, ..)| *bare == name).collect();
            let name = all.first()?.0;
            let mut together: Vec<MacroPart> = Vec::new();
            for (_, _, text) in all {
                for part in parts(text) {
                    if !together.contains(&part) {
                        together.push(part);
                    }
                }
            }
            Some(Macro { name, parts: together })
        }
    }
}

fn part(text: &'static str) -> Option<MacroPart> {
    let mut fields = text.split('/');
    let protocol = fields.next()?;
    let dport = fields.next().filter(|field| *field != "-");
    Some(MacroPart { protocol, dport, sport: fields.next() })
}
