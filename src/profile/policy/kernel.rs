//! `kernel.*`: settings and modules of the running kernel.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[kernel]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KernelPolicy {
    /// sysctl settings.
    pub sysctl: SysctlPolicy,
    /// Modules that are never loaded.
    pub modules: ModulesPolicy,
}

/// `[kernel.sysctl]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SysctlPolicy {
    /// Part of the policy.
    pub enabled: bool,
    /// `name = value`, or `name = value|other`: the first is set, any is accepted.
    pub settings: Vec<String>,
}

/// `[kernel.modules]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ModulesPolicy {
    /// Part of the policy.
    pub enabled: bool,
    /// Kernel modules that modprobe shall refuse to load.
    pub deny: Vec<String>,
}
