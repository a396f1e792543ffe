//! What is wanted, resolved: every value is there, and for each one [`Policy::origin`] knows the file and line that
//! set it. Field names are the control ids; keys in TOML are the same words in kebab-case.

mod access;
mod accounts;
mod alerts;
mod audit;
mod bruteforce;
mod cert;
mod firewall;
mod kernel;
mod lockout;
mod logs;
mod network;
mod os;
mod password;
mod session;
mod sink;
mod site;
mod ssh;
mod updates;
mod waiver;
mod web;

pub use access::*;
pub use accounts::*;
pub use alerts::*;
pub use audit::*;
pub use bruteforce::*;
pub use cert::*;
pub use firewall::*;
pub use kernel::*;
pub use lockout::*;
pub use logs::*;
pub use network::*;
pub use os::*;
pub use password::*;
pub use session::*;
pub use sink::*;
pub use site::*;
pub use ssh::*;
pub use updates::*;
pub use waiver::*;
pub use web::*;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Profile and site for one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Merged profile.
    pub profile: Profile,
    /// The site.
    pub site: Site,
    /// The node this policy is for.
    pub host: Host,
    /// Dotted key (`ssh.limits.max-auth-tries`) → where it was set; the nodes of a command share it.
    pub origins: Arc<BTreeMap<String, Origin>>,
    /// Names of the profiles in the order they were merged.
    pub profile_names: Vec<String>,
    /// SHA-256 over the merged profile, and over the site; hex.
    pub digests: Digests,
    /// Ids of controls that this command leaves out (`--control`): their part of a file that several controls share
    /// stays as it is on the node. Set by the plan, empty in a policy as it was merged.
    pub left_out: BTreeSet<String>,
    /// The day on which waivers are judged, UTC.
    pub today: Date,
    /// Files and secrets that the profile names, read.
    pub material: super::material::Material,
}

impl Policy {
    /// Where a dotted key was set.
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.origins.get(key)
    }

    /// The site's waivers for this node, whether they still hold or not.
    pub fn waivers(&self) -> impl Iterator<Item = &Waiver> {
        self.site.waivers.iter().filter(|waiver| waiver.covers(&self.host))
    }

    /// The waiver that holds for a control on this node: the one that ends last.
    pub fn waiver(&self, control: &str) -> Option<&Waiver> {
        let holding = self.waivers().filter(|waiver| waiver.control == control && waiver.holds(self.today));
        holding.max_by_key(|waiver| waiver.expires)
    }
}

/// Digests of what a plan was made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// Merged profile.
    pub profile: String,
    /// Site file.
    pub site: String,
}

/// File and line (from 1) that set a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Path as given, or `baseline` for an embedded profile.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A merged profile. A control whose table says `enabled = false` is not part of the policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profile {
    /// How runs behave.
    pub run: Run,
    /// `accounts.*`.
    pub accounts: AccountsPolicy,
    /// `ssh.*`.
    pub ssh: SshPolicy,
    /// `password.*`.
    pub password: PasswordPolicy,
    /// `lockout.*`.
    pub lockout: LockoutPolicy,
    /// `bruteforce.*`.
    pub bruteforce: BruteforcePolicy,
    /// `audit.*`.
    pub audit: AuditPolicy,
    /// `logs.*`.
    pub logs: LogsPolicy,
    /// `session.*`.
    pub session: SessionPolicy,
    /// `web.*`.
    pub web: WebPolicy,
    /// `network.*`.
    pub network: NetworkPolicy,
    /// `firewall.*`.
    pub firewall: FirewallPolicy,
    /// `updates.*`.
    pub updates: UpdatesPolicy,
    /// `cert.*`.
    pub cert: CertPolicy,
    /// `kernel.*`.
    pub kernel: KernelPolicy,
    /// `os.*`.
    pub os: OsPolicy,
    /// `alerts.*`.
    pub alerts: AlertsPolicy,
    /// `access.*`.
    pub access: AccessPolicy,
}

/// `[run]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Run {
    /// Seconds in which a fresh login must confirm, after the last stage.
    pub commit_window: u32,
    /// Seconds a stage may take before the node undoes the run by itself; `packages` gets five times as much.
    pub stage_window: u32,
    /// `apply` and `rollback` need `--reason`.
    pub require_reason: bool,
}
