//! Entries of /etc/pve that no database holds: dot files made on each look, and links to the own node's folders.

use std::fmt::Write as _;

use super::membership::Membership;
use super::store::{Kind, Store};

/// A made-up entry of the root folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Virtual {
    /// Cluster members and who is online.
    Members,
    /// Change counters.
    Version,
    /// Guests.
    VmList,
    /// Recent messages.
    ClusterLog,
    /// Latest measurements.
    Rrd,
    /// `1` when pmxcfs logs more.
    Debug,
    /// Link to the own node's folder.
    Local,
    /// Link to the own containers.
    Lxc,
    /// Link to the own containers of a former kind.
    Openvz,
    /// Link to the own virtual machines.
    QemuServer,
}

/// Inode of the first made-up entry.
const FIRST_INODE: u64 = 1 << 40;

impl Virtual {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Debug,
        Self::VmList,
        Self::Members,
        Self::Lxc,
        Self::Local,
        Self::Rrd,
        Self::Version,
        Self::ClusterLog,
        Self::Openvz,
        Self::QemuServer,
    ];

    /// Its name in the root folder.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Members => ".members",
            Self::Version => ".version",
            Self::VmList => ".vmlist",
            Self::ClusterLog => ".clusterlog",
            Self::Rrd => ".rrd",
            Self::Debug => ".debug",
            Self::Local => "local",
            Self::Lxc => "lxc",
            Self::Openvz => "openvz",
            Self::QemuServer => "qemu-server",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|entry| entry.name() == name)
    }

    /// Its inode.
    pub fn inode(self) -> u64 {
        FIRST_INODE + self as u64
    }

    /// The one with that inode.
    pub fn with_inode(inode: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|entry| entry.inode() == inode)
    }

    /// What a link points to; none for a file.
    pub fn link(self, node: &str) -> Option<String> {
        match self {
            Self::Local => Some(format!("nodes/{node}")),
            Self::Lxc | Self::Openvz | Self::QemuServer => Some(format!("nodes/{node}/{}", self.name())),
            _ => None,
        }
    }

    /// Mode bits.
    pub fn mode(self, quorate: bool) -> u16 {
        match self {
            Self::Debug => 0o640,
            Self::Local | Self::Lxc | Self::Openvz | Self::QemuServer => {
                if quorate {
                    0o755
                } else {
                    0o555
                }
            }
            _ => 0o440,
        }
    }

    /// Content of a file as of now.
    pub fn content(self, view: &View<'_>) -> String {
        match self {
            Self::Members => members(view),
            Self::Version => version(view),
            Self::VmList => guests(view.store),
            Self::ClusterLog => format!(
                "{{\n\"data\": [\n{{\"uid\": 1, \"time\": {}, \"pri\": 6, \"tag\": \"cluster\", \"pid\": {}, \"node\": \"{}\", \"user\": \"root\", \"msg\": \"starting cluster log\"}}\n]\n}}\n",
                view.started,
                std::process::id(),
                view.node,
            ),
            Self::Debug => if view.debug { "1\n" } else { "0\n" }.to_owned(),
            _ => String::new(),
        }
    }
}

/// What the content of a dot file is made from.
pub struct View<'a> {
    /// Own node name.
    pub node: &'a str,
    /// Start of this pmxcfs, seconds since 1970.
    pub started: u64,
    /// Content of `.debug`.
    pub debug: bool,
    /// Who is in the cluster; none before corosync was heard, and without a cluster.
    pub members: Option<&'a Membership>,
    /// The tree.
    pub store: &'a Store,
}

fn members(view: &View<'_>) -> String {
    let Some(cluster) = view.members else {
        return format!("{{\n\"nodename\": \"{}\",\n\"version\": 0\n}}\n", view.node);
    };
    let mut text = format!(
        "{{\n\"nodename\": \"{}\",\n\"version\": {},\n\"cluster\": {{ \"name\": \"{}\", \"version\": {}, \"nodes\": {}, \"quorate\": {} }},\n\"nodelist\": {{\n",
        view.node,
        cluster.changes,
        cluster.name,
        cluster.config_version,
        cluster.nodes.len(),
        u8::from(cluster.quorate),
    );
    let lines: Vec<String> = cluster
        .nodes
        .iter()
        .map(|node| {
            let ip = node.ip.as_ref().map_or(String::new(), |ip| format!(", \"ip\": \"{ip}\""));
            format!("  \"{}\": {{ \"id\": {}, \"online\": {}{ip}}}", node.name, node.id, u8::from(node.online))
        })
        .collect();
    text.push_str(&lines.join(",\n"));
    text.push_str("\n  }\n}\n");
    text
}

/// Files whose changes PVE's daemons watch.
const WATCHED: [&str; 43] = [
    "corosync.conf",
    "corosync.conf.new",
    "storage.cfg",
    "user.cfg",
    "domains.cfg",
    "notifications.cfg",
    "priv/notifications.cfg",
    "priv/shadow.cfg",
    "priv/acme/plugins.cfg",
    "priv/tfa.cfg",
    "priv/token.cfg",
    "priv/wg-keys.cfg",
    "datacenter.cfg",
    "vzdump.cron",
    "vzdump.conf",
    "jobs.cfg",
    "ha/crm_commands",
    "ha/manager_status",
    "ha/resources.cfg",
    "ha/rules.cfg",
    "ha/groups.cfg",
    "ha/fence.cfg",
    "status.cfg",
    "replication.cfg",
    "ceph.conf",
    "sdn/vnets.cfg",
    "sdn/zones.cfg",
    "sdn/controllers.cfg",
    "sdn/subnets.cfg",
    "sdn/ipams.cfg",
    "sdn/mac-cache.json",
    "sdn/pve-ipam-state.json",
    "sdn/dns.cfg",
    "sdn/fabrics.cfg",
    "sdn/route-maps.cfg",
    "sdn/prefix-lists.cfg",
    "sdn/.running-config",
    "virtual-guest/cpu-models.conf",
    "virtual-guest/profiles.cfg",
    "firewall/cluster.fw",
    "mapping/directory.cfg",
    "mapping/pci.cfg",
    "mapping/usb.cfg",
];

fn version(view: &View<'_>) -> String {
    let changes = view.members.map_or(0, |cluster| cluster.changes);
    let mut text = format!("{{\n\"starttime\": {},\n\"clinfo\": {changes},\n\"vmlist\": 0,\n", view.started);
    for path in WATCHED {
        let _ = writeln!(text, "\"{path}\": {},", view.store.file_version(path));
    }
    let _ = write!(text, "\"kvstore\": {{\n\"{}\": {{\n}}\n}}\n}}\n", view.node);
    text
}

/// The guests of all nodes: a file `VMID.conf` in qemu-server or lxc each.
fn guests(store: &Store) -> String {
    let mut lines = Vec::new();
    for node in store.at("nodes").and_then(|nodes| store.children(nodes.inode)).unwrap_or_default() {
        for (folder, kind) in [("qemu-server", "qemu"), ("lxc", "lxc")] {
            let Ok(folder) = store.child(node.inode, folder) else { continue };
            for file in store.children(folder.inode).unwrap_or_default() {
                let id = file.name.strip_suffix(".conf").and_then(|id| id.parse::<u32>().ok());
                if let (Some(id), Kind::File) = (id, file.kind) {
                    lines.push(format!(
                        "\"{id}\": {{ \"node\": \"{}\", \"type\": \"{kind}\", \"version\": 1 }}",
                        node.name
                    ));
                }
            }
        }
    }
    if lines.is_empty() {
        return "{\n\"version\": 0\n\n}\n".to_owned();
    }
    format!("{{\n\"version\": 1,\n\"ids\": {{\n{}}}\n\n}}\n", lines.join(",\n"))
}
