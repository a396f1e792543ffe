//! `os.*`: services, and what of the operating system is reported only.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[os]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OsPolicy {
    /// Services that have no place on a hypervisor.
    pub services: ServicesPolicy,
    /// Kernel same-page merging.
    pub ksm: Report,
    /// UEFI Secure Boot.
    pub secure_boot: Report,
    /// Kernel lockdown.
    pub lockdown: Report,
    /// Mount options.
    pub mounts: Report,
    /// `AppArmor`.
    pub apparmor: Report,
    /// The clock.
    pub time: Report,
    /// Owners and modes of cron's files.
    pub cron: Report,
    /// Owners and modes of account databases and keys.
    pub file_permissions: Report,
}

/// `[os.services]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServicesPolicy {
    /// Part of the policy.
    pub enabled: bool,
    /// systemd units that shall neither run nor start.
    pub forbid: Vec<String>,
}

/// A control without values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Report {
    /// Part of the policy.
    pub enabled: bool,
}
