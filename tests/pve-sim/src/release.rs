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
}
