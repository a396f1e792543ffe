//! `session.*`: idle shells and the umask.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[session]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SessionPolicy {
    /// `TMOUT`.
    pub timeout: TimeoutPolicy,
    /// umask of people's shells.
    pub umask: UmaskPolicy,
}

/// `[session.timeout]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TimeoutPolicy {
    /// Part of the policy.
    pub enabled: bool,
    /// `TMOUT` of interactive shells, seconds.
    pub seconds: u32,
}

/// `[session.umask]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct UmaskPolicy {
    /// Part of the policy.
    pub enabled: bool,
    /// Octal, for interactive shells of people; root keeps 022 (LXC roots made under 027 do not start).
    pub umask: String,
}
