//! `alerts.*`: who hears of what happens on a node.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[alerts]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AlertsPolicy {
    /// Somebody is there to be told.
    pub contact: ContactPolicy,
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
