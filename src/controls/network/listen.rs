//! `network.listen`.

use crate::controls::conf::wanted;
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::{Facts, Listener};
use crate::profile::policy::{Policy, UnusedService};

use super::{known, rpcbind};

/// The control.
pub struct Listen;
/// `network.listen`.
pub const LISTEN: Listen = Listen;

const ID: &str = "network.listen";
const KEY: &str = "network.listen.allow";

static META: Meta = Meta {
    id: ID,
    title: "Every listening socket is one that somebody decided on",
    why: "A hypervisor should offer little: what an administrator installed years ago to try something still answers \
          the network today. The firewall hides it from outside; from a management network, a guest with an address \
          there, or a peer, it is one step away.",
    checked: "All TCP and UDP sockets that are not bound to a loopback address, with their process, against the list of \
              the profile. sshd's own port, Ceph and NFS are recognised where the node is configured for them.",
    naive: "Guides remove rpcbind from every server: on a node with NFS storage that ends version 3 locking, and with it \
            guests' disks. It is stopped only where storage.cfg, mounts, fstab and exports have no NFS, and it is not \
            masked: a later NFS mount starts it by itself. Nothing else is ever stopped or removed for listening; a \
            person knows what it is for.",
    references: &[
        Reference::Man("ss(8)"),
        Reference::Man("rpcbind(8)"),
        Reference::Source("pve-docs pve-firewall.adoc \"Ports used by Proxmox VE\""),
    ],
    level: 1,
    severity: Severity::Low,
};

impl Control for Listen {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.network.listen.enabled
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        let list = &policy.profile.network.listen.allow;
        match list.iter().map(|text| Allowed::parse(text)).collect::<Result<Vec<_>, _>>() {
            Ok(allowed) => judge(facts, policy, &allowed).unwrap_or_else(Verdict::unknown),
            Err(why) => Verdict::refused(why),
        }
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        ["/etc/pve/storage.cfg", "/etc/pve/ceph.conf"].map(str::to_owned).into()
    }
}

/// An entry of the list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Allowed {
    protocol: String,
    first: u16,
    last: u16,
    process: Option<String>,
}

impl Allowed {
    /// `tcp/22`, `udp/5405-5412`, `tcp/9100 node_exporter`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("network.listen.allow: {text:?} is not like \"tcp/22\" or \"udp/5405-5412 corosync\"");
        let (socket, process) = text.split_once(' ').map_or((text, None), |(socket, name)| (socket, Some(name.trim())));
        let (protocol, ports) = socket.split_once('/').ok_or_else(wrong)?;
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let port = |word: &str| word.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong);
        let (first, last) = (port(first)?, port(last)?);
        if !matches!(protocol, "tcp" | "udp") || first > last || process == Some("") {
            return Err(wrong());
        }
        Ok(Self { protocol: protocol.into(), first, last, process: process.map(str::to_owned) })
    }

    /// A socket that systemd holds for a service passes for that service's.
    fn holds(&self, listener: &Listener) -> bool {
        let process = listener.process.as_deref();
        self.protocol == listener.protocol
            && (self.first..=self.last).contains(&listener.port)
            && self.process.as_deref().is_none_or(|wanted| process.is_some_and(|it| it == wanted || it == "systemd"))
    }
}

fn judge(facts: &Facts, policy: &Policy, allowed: &[Allowed]) -> Result<Verdict, String> {
    let listeners = facts.listeners.required("listening sockets")?;
    let nfs = rpcbind::nfs_use(facts)?;
    let stop = policy.profile.network.listen.rpcbind == UnusedService::StopUnused && nfs.is_none();
    let changes = if stop { rpcbind::off(facts, ID)? } else { Vec::new() };
    let (mut evidence, mut open, mut strangers) = (Vec::new(), Vec::new(), Vec::new());
    for listener in listeners.iter().filter(|listener| !listener.address.is_loopback()) {
        let name = name(listener);
        if allowed.iter().any(|entry| entry.holds(listener)) || known::reason(facts, listener).is_some() {
            open.push(name);
        } else if !changes.is_empty() && is_rpcbind(listener) {
            evidence.push(Evidence::new(name, "rpcbind, and nothing here uses NFS", wanted(policy, RPCBIND, "off")));
        } else {
            strangers.push(name);
        }
    }
    for names in [&mut open, &mut strangers] {
        names.sort();
        names.dedup();
    }
    evidence.dedup();
    if let Some(user) = nfs {
        evidence.push(Evidence { source: "NFS".into(), found: user, wanted: None });
    }
    evidence.push(Evidence { source: "listening, as the list allows".into(), found: open.join(", "), wanted: None });
    evidence
        .extend(strangers.iter().map(|name| Evidence::new(name, "listens", wanted(policy, KEY, "not on the list"))));
    if changes.is_empty() && strangers.is_empty() {
        return Ok(Verdict::compliant(evidence));
    }
    let advice = (!strangers.is_empty()).then(|| {
        let list = strangers.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        format!("stop what nobody needs; what is needed goes on the list: network.listen.allow = [{list}, …]")
    });
    Ok(Verdict::outcome(changes, advice, evidence))
}

const RPCBIND: &str = "network.listen.rpcbind";

fn is_rpcbind(listener: &Listener) -> bool {
    listener.process.as_deref() == Some("rpcbind") || listener.port == 111
}

/// As an entry of the list would say it.
fn name(listener: &Listener) -> String {
    match &listener.process {
        Some(process) => format!("{}/{} {process}", listener.protocol, listener.port),
        None => format!("{}/{}", listener.protocol, listener.port),
    }
}
