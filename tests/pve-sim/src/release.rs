//! What differs between the releases of Proxmox VE that the lab knows.

use std::path::Path;

/// A release of Proxmox VE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Proxmox VE 8 on Debian 12.
    Pve8,
    /// Proxmox VE 9 on Debian 13.
    Pve9,
}

/// Where an installed node remembers which release it plays.
pub const MARKER: &str = "/usr/lib/pve-sim/release";

impl Release {
    /// The release of this node.
    pub fn of_this_node() -> Self {
        match std::fs::read_to_string(Path::new(MARKER)) {
            Ok(text) if text.trim() == "8" => Self::Pve8,
            _ => Self::Pve9,
        }
    }

    /// `8` or `9`.
    pub const fn major(self) -> u8 {
        match self {
            Self::Pve8 => 8,
            Self::Pve9 => 9,
        }
    }

    /// Version of pve-manager.
    pub const fn version(self) -> &'static str {
        match self {
            Self::Pve8 => "8.4.14",
            Self::Pve9 => "9.2.11",
        }
    }

    /// `8.4` or `9.2`.
    pub const fn short(self) -> &'static str {
        match self {
            Self::Pve8 => "8.4",
            Self::Pve9 => "9.2",
        }
    }

    /// The commit that pve-manager was built from.
    pub const fn repoid(self) -> &'static str {
        match self {
            Self::Pve8 => "b502d23c",
            Self::Pve9 => "14a22df3",
        }
    }

    /// Packages that a fresh node has from Proxmox, with their versions, in the order of `pveversion -v`.
    pub const fn packages(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Pve8 => PACKAGES_8,
            Self::Pve9 => PACKAGES_9,
        }
    }
}

const PACKAGES_9: &[(&str, &str)] = &[
    ("proxmox-ve", "9.2.0"),
    ("pve-manager", "9.2.11"),
    ("corosync", "3.1.10-pve2"),
    ("libknet1t64", "1.31-pve1"),
    ("libproxmox-acme-perl", "1.7.1"),
    ("libpve-access-control", "9.1.1"),
    ("libpve-cluster-api-perl", "9.1.6"),
    ("libpve-cluster-perl", "9.1.6"),
    ("libpve-common-perl", "9.2.1"),
    ("libpve-guest-common-perl", "6.0.2"),
    ("libpve-http-server-perl", "6.0.5"),
    ("libpve-storage-perl", "9.1.0"),
    ("proxmox-firewall", "1.2.3"),
    ("proxmox-mini-journalreader", "1.6"),
    ("proxmox-widget-toolkit", "5.1.5"),
    ("pve-cluster", "9.1.6"),
    ("pve-container", "6.1.0"),
    ("pve-docs", "9.2.0"),
    ("pve-firewall", "6.0.4"),
    ("pve-ha-manager", "5.1.0"),
    ("pve-i18n", "3.6.6"),
    ("pve-qemu-kvm", "10.1.2-7"),
    ("qemu-server", "9.1.4"),
    ("smartmontools", "7.4-pve1"),
    ("spiceterm", "3.4.1"),
    ("vncterm", "1.9.1"),
];

const PACKAGES_8: &[(&str, &str)] = &[
    ("proxmox-ve", "8.4.0"),
    ("pve-manager", "8.4.14"),
    ("corosync", "3.1.9-pve1"),
    ("libknet1", "1.30-pve2"),
    ("libproxmox-acme-perl", "1.6.0"),
    ("libpve-access-control", "8.2.2"),
    ("libpve-cluster-api-perl", "8.1.2"),
    ("libpve-cluster-perl", "8.1.2"),
    ("libpve-common-perl", "8.3.4"),
    ("libpve-guest-common-perl", "5.2.2"),
    ("libpve-http-server-perl", "5.2.2"),
    ("libpve-storage-perl", "8.3.7"),
    ("proxmox-firewall", "0.7.1"),
    ("proxmox-mini-journalreader", "1.5"),
    ("proxmox-widget-toolkit", "4.3.13"),
    ("pve-cluster", "8.1.2"),
    ("pve-container", "5.3.3"),
    ("pve-docs", "8.4.1"),
    ("pve-firewall", "5.1.2"),
    ("pve-ha-manager", "4.0.7"),
    ("pve-i18n", "3.4.5"),
    ("pve-qemu-kvm", "9.2.0-7"),
    ("qemu-server", "8.4.4"),
    ("smartmontools", "7.3-pve1"),
    ("spiceterm", "3.3.1"),
    ("vncterm", "1.8.1"),
];
