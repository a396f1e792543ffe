//! `bruteforce.*`: sources that guess.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[bruteforce]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BruteforcePolicy {
    /// Sources of many wrong logins are shut out for a while.
    pub fail2ban: Fail2banPolicy,
}

/// `[bruteforce.fail2ban]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Fail2banPolicy {
    /// Part of the policy.
    pub enabled: bool,
    /// Wrong logins from one address until it is banned.
    pub max_retry: u32,
    /// Seconds in which they lie.
    pub find_time: u32,
    /// Seconds until the ban ends.
    pub ban_time: u32,
    /// What counts on SSH.
    pub ssh_mode: SshMode,
    /// Never banned, beside the management networks, the cluster's members and the node itself.
    #[schemars(with = "Vec<String>")]
    pub also: Vec<IpNet>,
    /// Reverse proxies before port 8006: never banned, so that what comes through them is not covered.
    #[schemars(with = "Vec<String>")]
    pub reverse_proxies: Vec<IpNet>,
    /// Refuse where all web logins seem to come through a reverse proxy that is not named above.
    pub detect_proxy: bool,
}

/// `mode` of fail2ban's filter for sshd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SshMode {
    /// Wrong passwords and unknown users.
    Normal,
    /// Also connections that end without a login: the only trace of guesses where passwords are off.
    Aggressive,
}

impl SshMode {
    /// fail2ban's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Aggressive => "aggressive",
        }
    }
}
