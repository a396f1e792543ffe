//! `alerts.*`: who hears of what happens on a node.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[alerts]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AlertsPolicy {
    /// Somebody is there to be told.
    pub contact: ContactPolicy,
    /// A service that tells what happens.
    pub events: EventsPolicy,
}

/// `[alerts.contact]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ContactPolicy {
    /// Part of the policy.
    pub enabled: bool,
    /// A site without `emergency-contact` is a finding.
    pub emergency_contact: bool,
}

/// `[alerts.events]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EventsPolicy {
    /// Part of the policy: a small service on the node that tells what happens.
    pub enabled: bool,
    /// What it tells.
    pub kinds: Vec<EventKind>,
    /// Wrong logins from one address that are an alert.
    pub failed_logins: u32,
    /// Minutes within which they count.
    pub window_minutes: u32,
    /// Days before a token ends.
    pub token_days: u32,
    /// Days after which a token's secret should be another one; 0 never tells.
    pub rotate_days: u32,
    /// Days before the web interface's certificate ends.
    pub certificate_days: u32,
    /// Alerts in an hour at most; further events are counted in the next one.
    pub most_per_hour: u32,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// root logged in: SSH from elsewhere than the cluster, console, web interface.
    RootLogin,
    /// Many wrong logins.
    FailedLogins,
    /// PVE users made, removed, enabled, disabled.
    Users,
    /// Rights, groups, roles.
    Permissions,
    /// Tokens made, removed, changed.
    Tokens,
    /// Second factors removed or added.
    SecondFactors,
    /// A token was refused.
    FailedToken,
    /// A token is used from a new address.
    TokenAddress,
    /// What root@pam does with guests, nodes and the cluster.
    RootOperations,
    /// A token ends soon.
    TokenExpiry,
    /// A token has had the same secret for long.
    TokenRotation,
    /// The web interface's certificate ends soon.
    Certificate,
    /// A file is not as the last run left it.
    Drift,
}
