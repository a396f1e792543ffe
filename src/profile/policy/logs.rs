//! `logs.*`: what is written down, how long it stays, and where else it goes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[logs]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LogsPolicy {
    /// systemd's journal.
    pub journal: JournalPolicy,
    /// How long logs stay.
    pub retention: RetentionPolicy,
    /// Copies on another machine.
    pub forward: ForwardPolicy,
}

/// `[logs.journal]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct JournalPolicy {
    /// Part of the policy: on disk, bounded, and complete down to `info`.
    pub enabled: bool,
    /// Most that the journal may take of the disk, MiB (`SystemMaxUse`).
    pub max_use_mib: u32,
}

/// `[logs.retention]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RetentionPolicy {
    /// Part of the policy.
    pub enabled: bool,
    /// Days that logs stay at least, as far as the journal's bound allows.
    pub min_days: u32,
    /// Days after which the journal forgets; 0 leaves that to its size.
    pub max_days: u32,
}

/// `[logs.forward]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ForwardPolicy {
    /// Part of the policy: rsyslog sends logs over TLS.
    pub enabled: bool,
    /// The receiver, `HOST:PORT`.
    pub target: String,
    /// Name in the receiver's certificate, where it is not HOST.
    pub peer_name: String,
    /// The authority that signed it, PEM; empty for the authorities that the node trusts.
    pub ca: String,
    /// Most that waits on disk while the receiver is away, MiB; older messages go first.
    pub queue_mib: u32,
}
