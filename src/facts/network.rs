//! Who talks to the node, what its firewall does now, how 8006 answers, and the guests' network cards
//! (`remote/network.sh`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

use super::sections::{Sections, shown};
use super::system::address;
use super::{FileFact, Reading};
use crate::pve::{cluster, guest};

/// The node seen from the network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Established connections to a port the node listens on, and UDP that was answered.
    pub flows: Reading<Vec<Flow>>,
    /// The address PVE takes for the node's own (`PVE::Cluster::remote_node_ip`).
    pub node_address: Reading<IpAddr>,
    /// What PVE takes for the alias `local_network` where cluster.fw has none (`pve-firewall localnet`); absent where
    /// no route holds the node's address.
    pub local_network: Reading<IpNet>,
    /// What the kernel has of PVE's firewall.
    pub firewall: Reading<LiveFirewall>,
    /// NFS in use.
    pub nfs: Reading<Vec<NfsUse>>,
    /// Guests of the whole cluster with a network card or a name.
    pub guests: Reading<Vec<guest::Guest>>,
    /// pveproxy's last change of state, reloads included, in seconds since 1970; absent while it does not run.
    pub web_since: Reading<i64>,
    /// Handshakes with port 8006; absent without openssl.
    pub tls: Reading<Tls>,
}

/// Connections of one peer to one port of the node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Flow {
    /// tcp or udp.
    pub protocol: String,
    /// The node's address.
    pub local: IpAddr,
    /// The node's port.
    pub port: u16,
    /// Who talks to it.
    pub peer: IpAddr,
    /// How many connections.
    pub count: u32,
    /// The process that has the socket, where told.
    pub process: Option<String>,
}

/// PVE's firewall in the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveFirewall {
    /// pve-firewall's chains are there, and `INPUT` jumps to them.
    pub iptables: bool,
    /// proxmox-firewall's tables, e.g. `inet proxmox-firewall`.
    pub nftables: BTreeSet<String>,
    /// /run/proxmox-nftables-firewall-force-disable is there: pve-firewall claims the node for iptables.
    pub nftables_disabled: bool,
}

/// One use of NFS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NfsUse {
    /// Mounted at this path.
    Mount(String),
    /// To be mounted at this path by /etc/fstab.
    Fstab(String),
    /// A folder exported to others.
    Export(String),
}

/// What 8006 said to handshakes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// Where it was asked.
    pub address: String,
    /// The first handshake, with openssl's defaults.
    pub first: Option<Handshake>,
    /// Further questions by label; none when the first was not answered.
    pub asked: BTreeMap<String, (TlsQuestion, Option<Handshake>)>,
}

/// A handshake to try.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TlsQuestion {
    /// Name of the question, one word.
    pub label: String,
    /// Option of `openssl s_client` without its dash: `tls1_1`, `tls1_2`, `tls1_3`.
    pub version: String,
    /// What is offered: a cipher list, with TLS 1.3 suites.
    pub ciphers: String,
}

/// How a handshake ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Handshake {
    /// Agreed on a protocol and a cipher.
    Agreed {
        /// e.g. `TLSv1.3`.
        protocol: String,
        /// e.g. `TLS_AES_256_GCM_SHA384`.
        cipher: String,
    },
    /// Connected, and no agreement.
    Refused(String),
    /// No answer in time, or no connection at all.
    Silent(String),
}

/// Where the facts of this module come from.
pub(super) struct Sources<'a> {
    pub(super) sections: Sections<'a>,
    pub(super) files: &'a BTreeMap<String, Reading<FileFact>>,
    pub(super) node_name: Option<&'a str>,
}

impl Sources<'_> {
    pub(super) fn network(&self) -> Network {
        let node_address = self.node_address();
        let local_network = match &node_address {
            Reading::Known(address) => self.local_network(*address),
            Reading::Absent => Reading::Absent,
            Reading::Unreadable(why) => Reading::Unreadable(why.clone()),
            Reading::NotAsked => Reading::NotAsked,
        };
        Network {
            flows: flows(self.sections),
            node_address,
            local_network,
            firewall: self.sections.parse("firewall.live", live_firewall),
            nfs: self.sections.parse("nfs", nfs),
            guests: self.sections.parse("guests", |text| Ok(guests(text))),
            web_since: web_since(self.sections),
            tls: self.sections.parse("web.tls", tls),
        }
    }

    /// `.members` in a cluster, else what the node's name resolves to, loopback left out
    /// (pve-common src/PVE/Network.pm `get_ip_from_hostname`).
    fn node_address(&self) -> Reading<IpAddr> {
        let members = super::text_of(self.files, "/etc/pve/.members");
        let own = members.known().and_then(|text| cluster::members(text).ok()).and_then(|members| {
            let name = self.node_name.unwrap_or(&members.nodename).to_owned();
            members.nodelist.get(&name)?.ip.as_deref().and_then(address)
        });
        if let Some(own) = own {
            return Reading::Known(own);
        }
        match self.sections.text("own-name") {
            Reading::Known(text) => {
                let found = text.lines().filter_map(|line| address(line.trim()));
                found.into_iter().find(|address| !address.is_loopback()).map_or(Reading::Absent, Reading::Known)
            }
            Reading::Absent => Reading::Absent,
            Reading::Unreadable(_) => Reading::Unreadable("the node's own name cannot be resolved".into()),
            Reading::NotAsked => Reading::NotAsked,
        }
    }

    /// The first route that holds the address, default routes left out (pve-firewall src/PVE/Firewall.pm
    /// `local_network`).
    fn local_network(&self, own: IpAddr) -> Reading<IpNet> {
        let routes = match own {
            IpAddr::V4(_) => self.sections.parse("routes.v4", routes_v4),
            IpAddr::V6(_) => self.sections.parse("routes.v6", routes_v6),
        };
        match routes {
            Reading::Known(routes) => {
                routes.into_iter().find(|net| net.contains(&own)).map_or(Reading::Absent, Reading::Known)
            }
            Reading::Absent => Reading::Absent,
            Reading::Unreadable(why) => Reading::Unreadable(why),
            Reading::NotAsked => Reading::NotAsked,
        }
    }
}

fn flows(sections: Sections<'_>) -> Reading<Vec<Flow>> {
    sections.parse("flows", |tcp| {
        let udp = sections.text("flows.udp");
        let lines = tcp.lines().chain(udp.known().into_iter().flat_map(|text| text.lines()));
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("more\t"));
        let mut found = Vec::new();
        for line in lines {
            found.push(flow(line).ok_or_else(|| format!("no connection: {}", shown(line)))?);
        }
        found.sort();
        Ok(found)
    })
}

fn flow(line: &str) -> Option<Flow> {
    let fields: Vec<&str> = line.split('\t').collect();
    let &[protocol, local, port, peer, count, process] = fields.as_slice() else { return None };
    let bare = |word: &str| address(word.trim_start_matches('[').trim_end_matches(']'));
    Some(Flow {
        protocol: protocol.to_owned(),
        local: bare(local)?,
        port: port.parse().ok()?,
        peer: bare(peer)?,
        count: count.parse().ok()?,
        process: (!process.is_empty()).then(|| process.to_owned()),
    })
}

/// /proc/net/route: hex words in the machine's byte order; PVE's hosts are little-endian.
fn routes_v4(text: &str) -> Result<Vec<IpNet>, String> {
    let word = |word: &str| Some(u32::from_str_radix(word, 16).ok()?.swap_bytes());
    let route = |line: &str| -> Option<Option<IpNet>> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (destination, mask) = (word(fields.get(1)?)?, word(fields.get(7)?)?);
        let bits = u8::try_from(mask.leading_ones()).ok()?;
        // A default route, and a mask with holes, which PVE's table of masks does not know.
        if bits == 0 || mask.count_ones() != mask.leading_ones() {
            return Some(None);
        }
        Some(Some(IpNet::from(Ipv4Net::new(destination.into(), bits).ok()?)))
    };
    nets(text.lines().skip(1), route)
}

/// `/proc/net/ipv6_route`: destination and prefix length in hex.
fn routes_v6(text: &str) -> Result<Vec<IpNet>, String> {
    let route = |line: &str| -> Option<Option<IpNet>> {
        let mut fields = line.split_whitespace();
        let destination = u128::from_str_radix(fields.next().filter(|word| word.len() == 32)?, 16).ok()?;
        let bits = u8::from_str_radix(fields.next()?, 16).ok()?;
        if bits == 0 {
            return Some(None);
        }
        Some(Some(IpNet::from(Ipv6Net::new(destination.into(), bits).ok()?)))
    };
    nets(text.lines(), route)
}

fn nets<'a>(
    lines: impl Iterator<Item = &'a str>,
    route: impl Fn(&str) -> Option<Option<IpNet>>,
) -> Result<Vec<IpNet>, String> {
    let mut found = Vec::new();
    for line in lines.filter(|line| !line.trim().is_empty()) {
        found.extend(route(line).ok_or_else(|| format!("no route: {}", shown(line)))?);
    }
    Ok(found)
}

fn live_firewall(text: &str) -> Result<LiveFirewall, String> {
    let mut live = LiveFirewall::default();
    for line in text.lines().filter(|line| !line.is_empty()) {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["iptables", chains, hooked] => live.iptables = *chains != "0" && *hooked == "1",
            ["nft", family, name] => {
                if name.starts_with("proxmox-firewall") {
                    live.nftables.insert(format!("{family} {name}"));
                }
            }
            ["nft-disabled"] => live.nftables_disabled = true,
            _ => return Err(format!("no firewall: {}", shown(line))),
        }
    }
    Ok(live)
}

fn nfs(text: &str) -> Result<Vec<NfsUse>, String> {
    let line = |line: &str| match line.split_once(' ') {
        Some(("mount", path)) => Ok(NfsUse::Mount(path.to_owned())),
        Some(("fstab", path)) => Ok(NfsUse::Fstab(path.to_owned())),
        Some(("export", path)) => Ok(NfsUse::Export(path.to_owned())),
        _ => Err(format!("no use of NFS: {}", shown(line))),
    };
    text.lines().filter(|text| !text.is_empty()).map(line).collect()
}

/// `guest PATH`, then the lines of that guest.
fn guests(text: &str) -> Vec<guest::Guest> {
    let mut guests: Vec<guest::Guest> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("guest ") {
            Some(path) => guests.extend(guest::Guest::at(path)),
            None => {
                if let Some(guest) = guests.last_mut() {
                    guest.read(line);
                }
            }
        }
    }
    guests
}

fn web_since(sections: Sections<'_>) -> Reading<i64> {
    let state = sections.parse("web.state", |text| {
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        if value("ActiveState") != Some("active") {
            return Ok(None);
        }
        let stamp = value("StateChangeTimestamp").unwrap_or_default();
        let seconds = stamp.trim_start_matches('@').parse().map_err(|_| format!("no time: {}", shown(stamp)))?;
        Ok(Some(seconds))
    });
    match state {
        Reading::Known(Some(seconds)) => Reading::Known(seconds),
        Reading::Known(None) | Reading::Absent => Reading::Absent,
        Reading::Unreadable(why) => Reading::Unreadable(why),
        Reading::NotAsked => Reading::NotAsked,
    }
}

/// `address A`, `asked LABEL VERSION CIPHERS`, and `LABEL STATUS PROTOCOL CIPHER COMPLAINT`; tabs between.
fn tls(text: &str) -> Result<Tls, String> {
    let mut tls = Tls::default();
    let mut answers = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let fields: Vec<&str> = line.split('\t').collect();
        match fields.as_slice() {
            ["address", address] => tls.address = shown(address),
            ["asked", label, version, ciphers] => {
                let question = TlsQuestion {
                    label: (*label).to_owned(),
                    version: (*version).to_owned(),
                    ciphers: (*ciphers).to_owned(),
                };
                tls.asked.insert((*label).to_owned(), (question, None));
            }
            ["first", rest @ ..] => tls.first = Some(handshake(rest).ok_or("no answer to a handshake")?),
            [label, rest @ ..] => {
                let answer = handshake(rest).ok_or_else(|| format!("no handshake: {}", shown(line)))?;
                answers.insert((*label).to_owned(), answer);
            }
            [] => {}
        }
    }
    for (label, answer) in answers {
        if let Some((_, place)) = tls.asked.get_mut(&label) {
            *place = Some(answer);
        }
    }
    Ok(tls)
}

/// timeout(1) ends with 124; openssl without a connection prints no "New" line.
fn handshake(fields: &[&str]) -> Option<Handshake> {
    let &[status, protocol, cipher, why] = fields else { return None };
    Some(match (status, protocol) {
        ("124", _) => Handshake::Silent("no answer within 6 s".into()),
        (_, "") => Handshake::Silent(shown(why)),
        (_, "(NONE)") => Handshake::Refused(shown(why)),
        _ => Handshake::Agreed { protocol: shown(protocol), cipher: shown(cipher) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_route_that_holds_the_address_counts() {
        let text = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
                    vmbr0\t00000000\t014D0A0A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                    vmbr0\t004D0A0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        assert_eq!(routes_v4(text).unwrap(), ["10.10.77.0/24".parse::<IpNet>().unwrap()]);
        assert!(routes_v4("head\nvmbr0 zz 0 0 0 0 0 0\n").is_err());
        let text = "00000000000000000000000000000000 00 x\nfd770000000000000000000000000000 40 x\n";
        assert_eq!(routes_v6(text).unwrap(), ["fd77::/64".parse::<IpNet>().unwrap()]);
    }

    #[test]
    fn connections_of_both_families() {
        let line = "tcp\t[::ffff:10.77.0.2]\t8006\t[::ffff:10.77.0.9]\t3\tpveproxy worker";
        let flow = flow(line).unwrap();
        assert_eq!((flow.local.to_string(), flow.peer.to_string()), ("10.77.0.2".into(), "10.77.0.9".into()));
        assert_eq!(flow.process.as_deref(), Some("pveproxy worker"));
        assert_eq!(super::flow("tcp\tx\t1\ty\t1\t"), None);
    }

    #[test]
    fn handshakes_end_in_three_ways() {
        let text = "address\t127.0.0.1\nfirst\t0\tTLSv1.3\tTLS_AES_256_GCM_SHA384\t\n\
                    asked\told\ttls1_1\tALL:@SECLEVEL=0\nold\t1\t(NONE)\t(NONE)\t40:error:0A000410:alert\n";
        let tls = tls(text).unwrap();
        assert!(matches!(&tls.first, Some(Handshake::Agreed { protocol, .. }) if protocol == "TLSv1.3"));
        assert!(matches!(&tls.asked["old"].1, Some(Handshake::Refused(why)) if why.contains("alert")));
        assert_eq!(handshake(&["124", "", "", ""]), Some(Handshake::Silent("no answer within 6 s".into())));
        assert_eq!(handshake(&["1", "", "", "connect:errno=111"]), Some(Handshake::Silent("connect:errno=111".into())));
    }

    #[test]
    fn the_firewall_in_the_kernel() {
        let live = live_firewall("iptables 12 1\nnft inet proxmox-firewall\nnft ip nat\nnft-disabled\n").unwrap();
        assert!(live.iptables && live.nftables_disabled);
        assert_eq!(live.nftables, BTreeSet::from(["inet proxmox-firewall".to_owned()]));
        assert_eq!(live_firewall("iptables 0 0\n").unwrap(), LiveFirewall::default());
    }
}
