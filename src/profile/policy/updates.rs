//! `updates.*`: where packages come from, and whether they come in time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Report;

/// `[updates]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct UpdatesPolicy {
    /// Debian's security updates by themselves.
    pub security: SecurityUpdates,
    /// Sources of packages.
    pub repositories: Repositories,
    /// Updates that wait.
    pub pending: PendingUpdates,
    /// Microcode of the processor.
    pub microcode: Report,
    /// A reboot that is owed.
    pub reboot_owed: Report,
    /// The release's end of life.
    pub release: ReleaseUpdates,
}

/// `[updates.security]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SecurityUpdates {
    /// Part of the policy: unattended-upgrades, every day, never a reboot by itself.
    pub enabled: bool,
    /// Origins, in unattended-upgrades' words. Proxmox' own packages are better left to a person.
    pub origins: Vec<String>,
}

/// `[updates.repositories]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Repositories {
    /// Part of the policy.
    pub enabled: bool,
    /// Which of Proxmox' repositories a node shall use.
    pub proxmox: ProxmoxRepository,
}

/// Proxmox' repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProxmoxRepository {
    /// pve-enterprise, with a subscription.
    Enterprise,
    /// pve-no-subscription.
    NoSubscription,
    /// One of the two, never pve-test.
    NotTest,
}

/// `[updates.pending]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PendingUpdates {
    /// Part of the policy.
    pub enabled: bool,
    /// Days after which package lists count as old.
    pub max_list_age_days: u32,
}

/// `[updates.release]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReleaseUpdates {
    /// Part of the policy.
    pub enabled: bool,
    /// Days before its end of life from which a release is a finding.
    pub warn_days: u32,
}
