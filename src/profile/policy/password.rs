//! `password.*`: quality, history, age and hash of passwords.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[password]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PasswordPolicy {
    /// pwquality.
    pub quality: QualityPolicy,
    /// `pam_pwhistory`.
    pub history: HistoryPolicy,
    /// login.defs and the named humans.
    pub aging: AgingPolicy,
    /// `ENCRYPT_METHOD`.
    pub hash: HashPolicy,
}

/// `[password.quality]`: /etc/security/pwquality.conf keys.
#[allow(clippy::struct_excessive_bools, reason = "one switch per key of pwquality.conf")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct QualityPolicy {
    /// Part of the policy.
    pub enabled: bool,
    /// `minlen`.
    pub min_length: u32,
    /// `minclass`.
    pub min_class: u32,
    /// `difok`.
    pub difference: u32,
    /// `maxrepeat`.
    pub max_repeat: u32,
    /// `maxsequence`.
    pub max_sequence: u32,
    /// `dictcheck`.
    pub dictionary_check: bool,
    /// `usercheck`.
    pub user_check: bool,
    /// `enforce_for_root`.
    pub enforce_for_root: bool,
}

/// `[password.history]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HistoryPolicy {
    /// Part of the policy.
    pub enabled: bool,
    /// `remember`.
    pub remember: u32,
    /// `enforce_for_root`.
    pub enforce_for_root: bool,
}

/// `[password.aging]`: defaults for new accounts and for the site's admins; never root or service accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AgingPolicy {
    /// Part of the policy.
    pub enabled: bool,
    /// `PASS_MAX_DAYS`.
    pub max_days: u32,
    /// `PASS_MIN_DAYS`.
    pub min_days: u32,
    /// `PASS_WARN_AGE`.
    pub warn_days: u32,
    /// Days after expiry until a new account is disabled; never the site's admins.
    pub inactive_days: u32,
}

/// `[password.hash]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HashPolicy {
    /// Part of the policy.
    pub enabled: bool,
    /// `ENCRYPT_METHOD` and `pam_unix`'s argument.
    pub method: HashMethod,
}

/// Password hashes Debian 12 and 13 know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HashMethod {
    /// `$y$`, Debian's default.
    Yescrypt,
    /// `$6$`.
    Sha512,
}
