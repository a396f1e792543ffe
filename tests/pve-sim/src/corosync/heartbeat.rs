//! The daemon: beats to each member on each link, a view of who was heard, and the file that tells pmxcfs.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::CONF;
use super::conf::Configuration;
use crate::daemon;
use crate::host::Host;
use crate::pmxcfs::membership::{Member, Membership, STATE_FILE};
use crate::syslog::Syslog;

const LOG: Syslog = Syslog::new("corosync");
/// Link N uses this port plus N.
const FIRST_PORT: u16 = 5405;
const BEAT_EVERY: Duration = Duration::from_millis(200);
/// A member not heard for this long is gone: corosync's default token timeout.
const TOKEN: Duration = Duration::from_secs(3);

/// What a member sends.
#[derive(Serialize, Deserialize)]
struct Beat {
    cluster: String,
    id: u32,
    ip: Option<IpAddr>,
    sequence: u64,
}

/// What is known of another member.
struct Heard {
    last: Instant,
    ip: Option<IpAddr>,
}

struct Corosync {
    host: Host,
    conf: Configuration,
    conf_time: Option<SystemTime>,
    own_id: u32,
    sockets: Vec<(u8, UdpSocket)>,
    heard: BTreeMap<u32, Heard>,
    online: Vec<u32>,
    sequence: u64,
    changes: u32,
}

/// Runs until SIGTERM.
pub fn run() -> anyhow::Result<u8> {
    let mut corosync = Corosync::new(Host::this())?;
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    std::fs::create_dir_all(Path::new(STATE_FILE).parent().unwrap_or(Path::new("/run")))?;
    let mut notified = false;
    while !stop.load(Ordering::Relaxed) {
        corosync.reload_if_changed();
        corosync.listen();
        corosync.beat();
        corosync.report()?;
        if !notified {
            daemon::notify_systemd();
            notified = true;
        }
    }
    let _ = std::fs::remove_file(STATE_FILE);
    Ok(0)
}

impl Corosync {
    fn new(host: Host) -> anyhow::Result<Self> {
        let conf = Configuration::parse(&std::fs::read_to_string(CONF).context("reading corosync.conf")?)?;
        let mut corosync = Self {
            conf_time: modified(),
            own_id: 0,
            sockets: Vec::new(),
            heard: BTreeMap::new(),
            online: Vec::new(),
            sequence: 4,
            changes: 0,
            host,
            conf,
        };
        corosync.bind()?;
        Ok(corosync)
    }

    /// One socket per own link address.
    fn bind(&mut self) -> anyhow::Result<()> {
        let own = self
            .conf
            .nodes
            .iter()
            .find(|node| node.name == self.host.name)
            .context("this node is not in the nodelist")?;
        self.own_id = own.id;
        let mut sockets = Vec::new();
        for (link, address) in own.addresses() {
            let socket = UdpSocket::bind((address, FIRST_PORT + u16::from(link)))
                .with_context(|| format!("binding link {link} to {address}"))?;
            socket.set_nonblocking(true)?;
            sockets.push((link, socket));
        }
        self.sockets = sockets;
        Ok(())
    }

    fn reload_if_changed(&mut self) {
        let now = modified();
        if now == self.conf_time {
            return;
        }
        self.conf_time = now;
        let Ok(text) = std::fs::read_to_string(CONF) else { return };
        if let Ok(conf) = Configuration::parse(&text) {
            self.conf = conf;
            self.changes += 1;
            self.sockets.clear();
            if let Err(error) = self.bind() {
                LOG.info(&format!("[TOTEM ] {error:#}"));
            }
        }
    }

    fn beat(&self) {
        let beat = Beat {
            cluster: self.conf.cluster.clone(),
            id: self.own_id,
            ip: self.host.address(),
            sequence: self.sequence,
        };
        let Ok(packet) = serde_json::to_vec(&beat) else { return };
        for peer in self.conf.nodes.iter().filter(|node| node.id != self.own_id) {
            for (link, address) in peer.addresses() {
                if let Some((_, socket)) = self.sockets.iter().find(|(own, _)| *own == link) {
                    let to = SocketAddr::new(address, FIRST_PORT + u16::from(link));
                    let _ = socket.send_to(&packet, to);
                }
            }
        }
    }

    /// Takes in beats for one interval.
    fn listen(&mut self) {
        let until = Instant::now() + BEAT_EVERY;
        let mut packet = [0_u8; 2048];
        while Instant::now() < until {
            let mut silent = true;
            for (_, socket) in &self.sockets {
                while let Ok((length, from)) = socket.recv_from(&mut packet) {
                    silent = false;
                    let Ok(beat) = serde_json::from_slice::<Beat>(&packet[..length]) else { continue };
                    let known =
                        self.conf.nodes.iter().any(|node| {
                            node.id == beat.id && node.addresses().any(|(_, address)| address == from.ip())
                        });
                    if known && beat.cluster == self.conf.cluster {
                        self.heard.insert(beat.id, Heard { last: Instant::now(), ip: beat.ip });
                        self.sequence = self.sequence.max(beat.sequence);
                    }
                }
            }
            if silent {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    fn report(&mut self) -> anyhow::Result<()> {
        let heard = |id: u32| self.heard.get(&id).is_some_and(|heard| heard.last.elapsed() < TOKEN);
        let online: Vec<u32> =
            self.conf.nodes.iter().map(|node| node.id).filter(|id| *id == self.own_id || heard(*id)).collect();
        if online != self.online {
            self.sequence += 1;
            self.changes += 1;
            LOG.info(&format!("[QUORUM] Members[{}]: {}", online.len(), join(&online)));
            self.online = online;
        }
        let view = self.view();
        let file = Path::new(STATE_FILE);
        let temporary = file.with_extension("tmp");
        std::fs::write(&temporary, serde_json::to_vec(&view)?)?;
        std::fs::rename(&temporary, file)?;
        Ok(())
    }

    fn view(&self) -> Membership {
        let nodes: Vec<Member> = self
            .conf
            .nodes
            .iter()
            .map(|node| Member {
                name: node.name.clone(),
                id: node.id,
                votes: node.votes,
                ring: node.first_ring().to_owned(),
                online: self.online.contains(&node.id),
                ip: if node.id == self.own_id {
                    self.host.address()
                } else {
                    self.heard.get(&node.id).and_then(|heard| heard.ip)
                }
                .map(|ip| ip.to_string()),
            })
            .collect();
        let votes: u32 = nodes.iter().filter(|node| node.online).map(|node| node.votes).sum();
        Membership {
            name: self.conf.cluster.clone(),
            config_version: self.conf.version,
            ring_sequence: self.sequence,
            changes: self.changes,
            quorate: votes >= self.conf.quorum(),
            nodes,
        }
    }
}

fn modified() -> Option<SystemTime> {
    std::fs::metadata(CONF).ok()?.modified().ok()
}

fn join(ids: &[u32]) -> String {
    ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
}
