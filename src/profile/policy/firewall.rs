//! `firewall.*`: PVE's own firewall, through cluster.fw and host.fw.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[firewall]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FirewallPolicy {
    /// What happens to entries that neither this policy nor the site names.
    pub mode: FirewallMode,
    /// Who reaches the management ports.
    pub management: FirewallManagement,
    /// The datacenter's switch and policies.
    pub enable: FirewallEnable,
    /// The node's options.
    pub node: FirewallNode,
    /// Which of PVE's two firewalls does the work.
    pub backend: FirewallBackend,
    /// Cluster traffic.
    pub corosync: FirewallCorosync,
    /// Ports that services of the node need.
    pub services: FirewallServices,
}

/// What happens to what others wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FirewallMode {
    /// It stays, in order.
    Merge,
    /// Rules of cluster.fw and host.fw and entries of `management` that are not asked for are taken away.
    Exact,
}

/// `[firewall.management]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FirewallManagement {
    /// Part of the policy.
    pub enabled: bool,
    /// Further addresses or networks for the set `management`, e.g. a backup host that works through the API.
    #[schemars(with = "Vec<String>")]
    pub also: Vec<IpNet>,
    /// Narrows the alias `local_network` to one node's address: otherwise every neighbour in the node's subnet reaches
    /// the management ports.
    pub narrow: bool,
}

/// `[firewall.enable]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FirewallEnable {
    /// Part of the policy.
    pub enabled: bool,
    /// `policy_in`.
    pub policy_in: FirewallVerdict,
    /// `policy_out`.
    pub policy_out: FirewallVerdict,
    /// `policy_forward`; only the nftables firewall knows it.
    pub policy_forward: ForwardVerdict,
}

/// What a policy does with what no rule names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum FirewallVerdict {
    /// Let through.
    Accept,
    /// Dropped without a word.
    Drop,
    /// Refused with an answer.
    Reject,
}

/// What happens to forwarded packets that no rule names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ForwardVerdict {
    /// Let through.
    Accept,
    /// Dropped without a word.
    Drop,
}

/// `[firewall.node]`: options of host.fw.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of host.fw")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FirewallNode {
    /// Part of the policy.
    pub enabled: bool,
    /// `nosmurfs`.
    pub nosmurfs: bool,
    /// `tcpflags`.
    pub tcpflags: bool,
    /// `ndp`.
    pub ndp: bool,
    /// `protection_synflood`.
    pub synflood: bool,
    /// `protection_synflood_rate`: new connections per second and source address.
    pub synflood_rate: u32,
    /// `protection_synflood_burst`.
    pub synflood_burst: u32,
    /// `log_level_in`.
    pub log_level_in: FirewallLog,
    /// `log_level_out`.
    pub log_level_out: FirewallLog,
    /// `smurf_log_level`.
    pub log_level_smurfs: FirewallLog,
    /// `tcp_flags_log_level`.
    pub log_level_tcpflags: FirewallLog,
}

/// Log levels of PVE's firewall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FirewallLog {
    /// emerg
    Emerg,
    /// alert
    Alert,
    /// crit
    Crit,
    /// err
    Err,
    /// warning
    Warning,
    /// notice
    Notice,
    /// info
    Info,
    /// debug
    Debug,
    /// Nothing is logged.
    Nolog,
}

impl FirewallLog {
    /// The word in host.fw.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Emerg => "emerg",
            Self::Alert => "alert",
            Self::Crit => "crit",
            Self::Err => "err",
            Self::Warning => "warning",
            Self::Notice => "notice",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Nolog => "nolog",
        }
    }
}

/// `[firewall.backend]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FirewallBackend {
    /// Part of the policy.
    pub enabled: bool,
    /// Which one is wanted.
    pub expect: ExpectedBackend,
}

/// PVE's two firewalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExpectedBackend {
    /// Whichever the node has.
    Any,
    /// pve-firewall.
    Iptables,
    /// proxmox-firewall (`nftables: 1` in host.fw).
    Nftables,
}

/// `[firewall.corosync]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FirewallCorosync {
    /// Part of the policy.
    pub enabled: bool,
}

/// `[firewall.services]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FirewallServices {
    /// Part of the policy.
    pub enabled: bool,
    /// Port 80 from everywhere, for certificates by ACME's http-01.
    pub acme_http: bool,
    /// Further rules in PVE's own words, e.g. `IN ACCEPT -source 192.0.2.20 -p tcp -dport 9100`.
    pub rules: Vec<String>,
}
