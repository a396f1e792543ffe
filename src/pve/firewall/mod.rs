//! PVE's firewall files: cluster.fw, host.fw and VMID.fw, read as PVE's two firewalls read them and edited without
//! touching any line that is not meant.
//!
//! pve-firewall (Perl, `PVE::Firewall::generic_fw_config_parser`) drops what it cannot parse, line by line;
//! proxmox-firewall (Rust, crate `proxmox-ve-config`) refuses the whole file and keeps the rules it has. A file is
//! therefore always read for one [`Backend`].

mod address;
mod config;
mod document;
mod edit;
mod icmp;
mod line;
mod macros;
mod names;
mod options;
mod perl;
mod port;
mod read;
mod rule;
mod strict;
#[cfg(test)]
mod tests;

pub use address::{Address, AddressKind, AddressRange, cidr};
pub use config::{Alias, Config, Group, Ipset, Member, MemberAddress, NamePrefix, Setting};
pub use document::{ClusterFw, FirewallFile, GuestFw, HostFw};
pub use edit::{Entries, NewMember, Place, RuleSection, managed_comment, managed_id};
pub use icmp::icmp_numbers;
pub use macros::{Macro, MacroPart, macro_named};
pub use names::{port_number, protocol_number};
pub use port::Ports;
pub use rule::{Action, LogLevel, Rule, RuleKind};

use serde::{Deserialize, Serialize};

/// Which of PVE's two firewalls reads the files of a node (host.fw `nftables`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// pve-firewall: iptables and ipset.
    #[default]
    Iptables,
    /// proxmox-firewall: nftables.
    Nftables,
}

/// What a file is for; decides its options, sections and rule directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileScope {
    /// /etc/pve/firewall/cluster.fw.
    Cluster,
    /// /etc/pve/nodes/NAME/host.fw.
    Host,
    /// /etc/pve/firewall/VMID.fw.
    Guest,
}

/// A line that PVE does not use as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Line number, from 1.
    pub line: usize,
    /// The line, without blanks around it.
    pub text: String,
    /// What PVE says of it.
    pub message: String,
    /// What follows from it.
    pub effect: Effect,
}

/// What a [`Problem`] does to the firewall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// The line has no effect, and the next write through PVE's API may delete it.
    LineIgnored,
    /// The line is read, and means something else than it seems to.
    Misread,
    /// The whole file is refused; the rules in the kernel stay as they are.
    FileRefused,
    /// The file is read, but the kernel will not take what it makes of it: the rules in the kernel stay as they are.
    NotApplicable,
}
