//! A file whose every line is kept.

use std::ops::{Deref, DerefMut};

use super::read::Reading;
use super::{Backend, Config, Effect, FileScope, Problem, perl, strict};

/// A firewall file as one backend reads it. What is not edited is printed as it was, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirewallFile {
    /// Lines with their line ends; the last may have none.
    pub(super) lines: Vec<String>,
    pub(super) reading: Reading,
    scope: FileScope,
    backend: Backend,
    /// Names of cluster.fw that the other files may use.
    cluster: Option<Box<Config>>,
}

impl FirewallFile {
    fn parse(text: &str, scope: FileScope, backend: Backend, cluster: Option<&Config>) -> Self {
        let lines = text.split_inclusive('\n').map(str::to_owned).collect();
        let cluster = cluster.cloned().map(Box::new);
        let mut file = Self { lines, reading: Reading::default(), scope, backend, cluster };
        file.read();
        file
    }

    /// Reads the lines anew.
    pub(super) fn read(&mut self) {
        self.reading = match self.backend {
            Backend::Iptables => perl::read(&self.lines, self.scope, self.cluster.as_deref()),
            Backend::Nftables => strict::read(&self.lines, self.scope, self.cluster.as_deref()),
        };
    }

    /// The file's text.
    pub fn print(&self) -> String {
        self.lines.concat()
    }

    /// Lines that PVE does not use as they are written, in order.
    pub fn problems(&self) -> &[Problem] {
        &self.reading.problems
    }

    /// What the file means. Of a refused file this is what its good lines would mean.
    pub fn config(&self) -> &Config {
        &self.reading.config
    }

    /// The first problem that makes the backend keep the rules it has instead of this file's.
    pub fn refused(&self) -> Option<&Problem> {
        self.reading
            .problems
            .iter()
            .find(|problem| matches!(problem.effect, Effect::FileRefused | Effect::NotApplicable))
    }

    /// Who reads it.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// What it is for.
    pub fn scope(&self) -> FileScope {
        self.scope
    }

    /// Whether lines end as on Windows, which pve-firewall does not read.
    pub fn has_carriage_returns(&self) -> bool {
        self.lines.iter().any(|line| line.ends_with("\r\n"))
    }
}

macro_rules! file {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(FirewallFile);

        impl Deref for $name {
            type Target = FirewallFile;
            fn deref(&self) -> &FirewallFile {
                &self.0
            }
        }

        impl DerefMut for $name {
            fn deref_mut(&mut self) -> &mut FirewallFile {
                &mut self.0
            }
        }
    };
}

file! {
    /// /etc/pve/firewall/cluster.fw.
    ClusterFw
}
file! {
    /// /etc/pve/nodes/NAME/host.fw.
    HostFw
}
file! {
    /// /etc/pve/firewall/VMID.fw.
    GuestFw
}

impl ClusterFw {
    /// Reads cluster.fw; a missing file is an empty one.
    pub fn parse(text: &str, backend: Backend) -> Self {
        Self(FirewallFile::parse(text, FileScope::Cluster, backend, None))
    }
}

impl HostFw {
    /// Reads host.fw, whose rules may use the names of cluster.fw.
    pub fn parse(text: &str, cluster: &ClusterFw) -> Self {
        Self(FirewallFile::parse(text, FileScope::Host, cluster.backend(), Some(cluster.config())))
    }

    /// Which backend a node with this host.fw has. Both look at the option; pve-firewall decides first.
    pub fn backend_of(text: &str) -> Backend {
        let file = FirewallFile::parse(text, FileScope::Host, Backend::Iptables, None);
        match file.config().flag("nftables") {
            Some(true) => Backend::Nftables,
            _ => Backend::Iptables,
        }
    }
}

impl GuestFw {
    /// Reads VMID.fw, whose rules may use the names of cluster.fw.
    pub fn parse(text: &str, cluster: &ClusterFw) -> Self {
        Self(FirewallFile::parse(text, FileScope::Guest, cluster.backend(), Some(cluster.config())))
    }
}
