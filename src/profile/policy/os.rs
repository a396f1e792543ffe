//! `os.*`: services, and what of the operating system is reported only.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[os]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OsPolicy {
    /// Services that have no place on a hypervisor.
    pub services: ServicesPolicy,
    /// Copies of crashed programs' memory.
    pub core_dumps: Report,
    /// Changed programs and configuration.
    pub integrity: IntegrityPolicy,
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

/// `[os.integrity]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct IntegrityPolicy {
    /// Part of the policy: AIDE and debsums, every night.
    pub enabled: bool,
    /// Paths that are not compared, with what lies below them.
    pub leave_out: Vec<String>,
}

/// A control without values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Report {
    /// Part of the policy.
    pub enabled: bool,
}
