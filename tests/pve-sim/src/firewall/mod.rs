//! pve-firewall: what it reads, what it makes of it, and the rules in the kernel.
//!
//! | room | what |
//! |---|---|
//! | `rule`, `address`, `names`, `macros`, `options`, `verify` | the parts of a file |
//! | `config`, `written` | a whole file, read and written |
//! | `node` | everything that a compilation looks at |
//! | `compile` | chains and sets |
//! | `kernel` | what is loaded, what would change, loading it |
//! | `command`, `daemon`, `simulate` | `pve-firewall` |
//! | `nft` | proxmox-firewall, the other firewall |
//! | `module` | what other programs call in its Perl modules |

pub mod address;
pub mod command;
pub mod compile;
pub mod config;
pub mod daemon;
pub mod kernel;
pub mod macros;
pub mod module;
pub mod names;
pub mod nft;
pub mod node;
pub mod options;
pub mod rule;
pub mod simulate;
pub mod verify;
pub mod written;

use std::net::IpAddr;

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

impl Family {
    /// Both, in the order of compilation.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// Of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// 4 or 6.
    pub const fn number(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V6 => 6,
        }
    }
}
