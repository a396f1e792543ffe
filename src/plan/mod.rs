//! From verdicts to one sealed, ordered list of changes. Pure.

mod build;
pub mod drift;
mod firewall_parts;
pub mod hold;
pub mod lockout;
mod merge;
mod notes;
mod order;
mod packages;
mod part;
mod permissions;
pub mod reach;
pub mod seal;
mod select;
mod task;
#[cfg(test)]
pub(crate) mod testing;
pub mod upgrade;

pub use build::{ask, build, narrowed, packages, reads};
pub use firewall_parts::{Asleep, FirewallPart, firewall_parts};
pub use select::{Selection, unknown};
pub use task::task;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Serialize;

use crate::change::Change;
use crate::controls::Verdict;
pub use crate::facts::Versioned;
use crate::profile::policy::Digests;

/// What will happen on one node; what is shown is this object, and what runs is this object.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Plan {
    /// Name of the node in the site.
    pub node: String,
    /// SHA-256 over everything below; the run records it.
    pub seal: String,
    /// Changes in the order they run.
    pub changes: Vec<Change>,
    /// Every package that the installations among the changes bring, dependencies included; empty where that is not
    /// known.
    pub brings: Vec<Versioned>,
    /// State the plan was computed from: path → what it was. Re-read under the lock before the first change.
    pub expects: BTreeMap<String, Expect>,
    /// What each selected control found, by id in catalogue order.
    pub verdicts: Vec<(String, Verdict)>,
    /// Most likely causes of the differences since the last run.
    pub drift: Vec<drift::Drift>,
    /// Things to know before saying yes: who will be refused, what drops, packages not covered.
    pub notes: Vec<String>,
    /// Reasons not to apply; non-empty means exit 4.
    pub refusals: Vec<Refusal>,
    /// What must be shown before the run may be committed.
    pub proofs: Vec<Proof>,
    /// Who reaches the node before and after, when the firewall changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reach: Option<reach::Reach>,
    /// What PVE's own simulator is asked before a firewall goes live, and what it must answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub firewall_questions: Vec<reach::FirewallQuestion>,
    /// What the plan was made from.
    pub digests: Digests,
}

/// The person in front of the tool, as far as the guard must know them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operator {
    /// `SHA256:…` of the public keys whose private half this operator can use: the agent's and the identity files'.
    pub key_fingerprints: BTreeSet<String>,
    /// What the operator's ssh offers this node: keyword as `ssh -G` prints it (`kexalgorithms`, `ciphers`,
    /// `hostkeyalgorithms`) → names. A keyword that is missing was not asked.
    pub algorithms: BTreeMap<String, BTreeSet<String>>,
    /// Where the operator connects from, when the node did not say (a local capture).
    pub address: Option<IpAddr>,
    /// Somebody else will confirm, on the node (`--confirm manual`): the operator need not hold an admin's key.
    pub confirm_manual: bool,
    /// What a running backup or migration means.
    pub on_tasks: OnTasks,
    /// Guests' own firewalls may begin to work with the datacenter's (`--accept-guest-firewall`).
    pub accept_guest_firewall: bool,
}

/// What it means that a backup, a migration, a restore or a cluster join runs on the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnTasks {
    /// It is said; nothing begins now.
    #[default]
    Note,
    /// The plan must not begin.
    Refuse,
    /// The operator begins in spite of it.
    Despite,
}

/// State of one path at capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expect {
    /// Not there.
    Absent,
    /// A regular file with this SHA-256, mode, owner and group.
    File {
        /// Hex digest.
        digest: String,
        /// Permission bits.
        mode: u32,
        /// Owner name.
        owner: String,
        /// Group name.
        group: String,
    },
    /// A directory with this mode, owner and group.
    Directory {
        /// Permission bits.
        mode: u32,
        /// Owner name.
        owner: String,
        /// Group name.
        group: String,
    },
}

/// Why the lock-out guard says no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// What would go wrong.
    pub reason: String,
    /// The way out.
    pub way_out: String,
}

/// What a fresh login must show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "proof", rename_all = "kebab-case")]
pub enum Proof {
    /// A new TCP connection, key login as this admin, and root through sudo.
    AdminLogin {
        /// Linux name.
        user: String,
        /// Whether it must already hold after the accounts stage, before anything else is changed.
        after_accounts: bool,
    },
    /// One real password authentication on the node through PAM (`sudo`-less helper), when PAM or accounts changed.
    PasswordAuth,
    /// 8006 answers a TLS handshake and HTTP 200.
    WebInterface,
    /// Before the first change: this user of PVE logs in at port 8006 with a password and may do everything.
    WebAdministrator {
        /// `user@realm`.
        user: String,
    },
    /// root's key login in `BatchMode` from this node to each online peer and back.
    PeerSsh {
        /// Node names.
        peers: Vec<String>,
    },
}
