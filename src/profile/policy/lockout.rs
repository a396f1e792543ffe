//! `lockout.*`: wrong passwords.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[lockout]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockoutPolicy {
    /// `pam_faillock`.
    pub pam: FaillockPolicy,
}

/// `[lockout.pam]`: /etc/security/faillock.conf keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FaillockPolicy {
    /// Part of the policy.
    pub enabled: bool,
    /// `deny`.
    pub deny: u32,
    /// `fail_interval`, seconds.
    pub fail_interval: u32,
    /// `unlock_time`, seconds; 0 means never, which is refused.
    pub unlock_time: u32,
    /// `even_deny_root`: anybody who reaches 8006 can then lock root@pam out.
    pub even_deny_root: bool,
    /// `root_unlock_time`, seconds.
    pub root_unlock_time: u32,
}
