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
    /// Files and directories, these with a `/` at the end, of which writes and changes of mode or owner are written down.
    pub watch: Vec<String>,
    /// Write down who loads and unloads kernel modules.
    pub modules: bool,
    /// Write down who sets the clock; what chrony does is left out.
    pub clock: bool,
    /// Most that all of auditd's files may take together, MiB.
    pub max_log_mib: u32,
}
