//! `audit.*`: the kernel's audit trail.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[audit]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AuditPolicy {
    /// auditd's rules and the room its log takes.
    pub rules: AuditRules,
}

/// `[audit.rules]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AuditRules {
    /// Part of the policy.
    pub enabled: bool,
    /// Paths of which a loaded rule must watch writes.
    pub watch: Vec<String>,
    /// Most that all of auditd's files may take together, MiB.
    pub max_log_mib: u32,
}
