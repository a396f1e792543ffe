//! The node that a program works on: its files below a root, which is `/` but for tests.

use std::path::{Path, PathBuf};

use crate::release::Release;

/// Environment variable that names another root than `/`, for replaying recordings outside a node.
pub const ROOT: &str = "PVE_SIM_ROOT";

/// A node.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
    /// Node name.
    pub name: String,
    /// Its release.
    pub release: Release,
}

impl Host {
    /// The machine that this program runs on.
    pub fn this() -> Self {
        Self {
            root: std::env::var_os(ROOT).map_or_else(|| PathBuf::from("/"), PathBuf::from),
            name: crate::node::name(),
            release: Release::of_this_node(),
        }
    }

    /// A node whose files lie below `root`.
    #[cfg(test)]
    pub fn below(root: &Path, name: &str, release: Release) -> Self {
        Self { root: root.to_owned(), name: name.to_owned(), release }
    }

    /// Whether it is the running machine, and not a folder that looks like one.
    pub fn is_this_machine(&self) -> bool {
        self.root.as_path() == Path::new("/")
    }

    /// Where an absolute path of the node lies.
    pub fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// A path below /etc/pve.
    pub fn pve(&self, path: &str) -> PathBuf {
        self.path("/etc/pve").join(path)
    }

    /// A path below the node's own folder in /etc/pve.
    pub fn own(&self, path: &str) -> PathBuf {
        self.pve("nodes").join(&self.name).join(path)
    }

    /// Whether the cluster file system is there.
    pub fn is_mounted(&self) -> bool {
        self.pve("local").is_symlink()
    }

    /// Whether it may be written: root's `access(2)` says yes always, so the mode of a link is looked at.
    pub fn is_quorate(&self) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        self.pve("local").symlink_metadata().is_ok_and(|link| link.mode() & 0o200 != 0)
    }

    /// The node's own address: the first of /etc/hosts for its name that is no loopback address.
    pub fn address(&self) -> Option<std::net::IpAddr> {
        address_of(&std::fs::read_to_string(self.path("/etc/hosts")).ok()?, &self.name)
    }
}

fn address_of(hosts: &str, name: &str) -> Option<std::net::IpAddr> {
    hosts.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address: std::net::IpAddr = words.next()?.parse().ok()?;
        (!address.is_loopback() && words.any(|word| word == name)).then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_names_are_not_an_address() {
        let hosts = "127.0.1.1 pve1\n# 10.9.9.9 pve1\n10.0.0.1 pve1.lab.test pve1 # here\n";
        assert_eq!(address_of(hosts, "pve1").map(|ip| ip.to_string()), Some("10.0.0.1".to_owned()));
        assert_eq!(address_of(hosts, "pve"), None);
    }
}
