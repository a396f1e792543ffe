//! The firewall's files and the model, against what the real programs were recorded to do with the same files.
//!
//! `recorded/NAME.fw` is a cluster.fw, `NAME.host.fw` the host.fw beside it; `NAME.json` holds what pve-firewall 6.0.4
//! and proxmox-firewall 1.2.3 said of it, `NAME.compiled.json` everything that `pve-firewall compile` printed.

mod compiled;
mod edits;
mod files;
pub mod oracle;
pub mod pairs;
mod verdicts;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pve_harden::firewall::{Inputs, Model, NodeAddresses};
use pve_harden::pve::firewall::{Backend, ClusterFw, HostFw};

fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/firewall/recorded")
}

fn read(name: &str) -> String {
    fs::read_to_string(recorded().join(name)).unwrap_or_default()
}

/// The recorded node: pve1, 10.77.0.2/24, not in a cluster.
fn node() -> NodeAddresses {
    NodeAddresses {
        name: "pve1".into(),
        resolves_to: vec!["10.77.0.2".parse().unwrap()],
        networks: vec!["127.0.0.1/8".parse().unwrap(), "10.77.0.2/24".parse().unwrap()],
    }
}

fn model(cluster: &str, host: &str, backend: Backend) -> Model {
    let cluster = ClusterFw::parse(cluster, backend);
    let host = HostFw::parse(host, &cluster);
    Model::new(&Inputs {
        cluster: &cluster,
        host: &host,
        node: node(),
        corosync: None,
        names: BTreeMap::default(),
        local_network: None,
        now: Some(1_800_000_000),
    })
}
