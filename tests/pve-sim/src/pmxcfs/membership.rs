//! Who is in the cluster and whether this node is among the majority, as corosync's stand-in reports it.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// Where corosync's stand-in keeps its view, renewed at least each second.
pub const STATE_FILE: &str = "/run/pve-sim/corosync.json";
/// A view older than this is of a corosync that is gone.
const STALE: Duration = Duration::from_secs(3);

/// One member.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Member {
    /// Node name.
    pub name: String,
    /// Node id of corosync.conf.
    pub id: u32,
    /// Votes.
    pub votes: u32,
    /// Address of its first link, as in corosync.conf.
    pub ring: String,
    /// Whether it is heard now.
    pub online: bool,
    /// Address of the node itself, once it was heard.
    pub ip: Option<String>,
}

/// A node's view of its cluster.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Membership {
    /// Cluster name.
    pub name: String,
    /// `config_version` of corosync.conf.
    pub config_version: u32,
    /// Number of the present membership; grows with each change.
    pub ring_sequence: u64,
    /// Grows with each change of this view.
    pub changes: u32,
    /// Whether the reachable votes are a majority.
    pub quorate: bool,
    /// All members of corosync.conf, by id.
    pub nodes: Vec<Member>,
}

/// The present view; none while corosync does not run.
pub fn current() -> Option<Membership> {
    read(Path::new(STATE_FILE), SystemTime::now())
}

fn read(path: &Path, now: SystemTime) -> Option<Membership> {
    let written = std::fs::metadata(path).ok()?.modified().ok()?;
    if now.duration_since(written).unwrap_or_default() > STALE {
        return None;
    }
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}
