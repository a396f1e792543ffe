//! `accounts.*`: administrators and the password of root.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[accounts]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AccountsPolicy {
    /// Named administrators with a key on local disk and sudo by group.
    pub admin: AdminPolicy,
    /// root's password: set, of known age, never locked.
    pub root_password: RootPasswordPolicy,
}

/// `[accounts.admin]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AdminPolicy {
    /// Part of the policy.
    pub enabled: bool,
    /// The Linux group that carries the right to use sudo.
    pub group: String,
    /// Login shell of new administrators.
    pub shell: String,
    /// Seconds sudo remembers a password; ignored with `nopasswd`.
    pub sudo_timeout: u32,
}

/// `[accounts.root-password]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RootPasswordPolicy {
    /// Part of the policy.
    pub enabled: bool,
    /// Days after which root's password counts as old; a finding, never an expiry.
    pub max_age_days: u32,
}
