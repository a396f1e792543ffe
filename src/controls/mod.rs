//! The catalogue: one row per hardening requirement. Pure; a control takes facts and policy and returns a value.

pub mod access;
pub mod accounts;
pub mod alerts;
pub mod audit;
pub mod bruteforce;
pub mod cert;
pub mod conf;
pub mod firewall;
pub mod kernel;
pub mod lockout;
pub mod logs;
pub mod network;
pub mod os;
pub mod pam;
pub mod password;
pub mod session;
pub mod ssh;
#[cfg(test)]
pub(crate) mod testing;
pub mod updates;
pub mod web;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::change::Change;
use crate::facts::Facts;
use crate::facts::gather::Request;
use crate::profile::policy::{Policy, Waiver};

/// One hardening requirement with a stable id.
pub trait Control: Sync {
    /// What `explain` prints.
    fn meta(&self) -> &'static Meta;

    /// Whether the merged profile asks for it.
    fn enabled(&self, policy: &Policy) -> bool;

    /// Judges the node. Called only when enabled. Must not answer [`Status::Compliant`] without evidence, nor while
    /// anything it depends on is unreadable.
    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict;

    /// Paths whose content the capture must contain for this control.
    fn reads(&self, policy: &Policy) -> Vec<String> {
        let _ = policy;
        Vec::new()
    }

    /// What the capture must ask for this control beside the paths: units, handshakes, kernel settings.
    fn ask(&self, policy: &Policy, request: &mut Request) {
        let _ = (policy, request);
    }

    /// Debian packages this control may install; the capture simulates their installation.
    fn packages(&self) -> &'static [&'static str] {
        &[]
    }
}

/// Catalogue text of a control.
#[derive(Debug)]
pub struct Meta {
    /// Stable id, `family.name`; also the path of its table in a profile.
    pub id: &'static str,
    /// What is required, one line.
    pub title: &'static str,
    /// Why it matters on a PVE node.
    pub why: &'static str,
    /// What is read and compared.
    pub checked: &'static str,
    /// What goes wrong when it is done the way general guides say.
    pub naive: &'static str,
    /// Where the requirement and the facts come from.
    pub references: &'static [Reference],
    /// 1 everyone, 2 stricter, 3 with real drawbacks.
    pub level: u8,
    /// How bad a difference is.
    pub severity: Severity,
}

/// A source. CIS numbers only: the text is licensed.
#[derive(Debug, Clone, Copy)]
pub enum Reference {
    /// Section of the `HomeSecExplorer` Proxmox hardening guide for PVE 9.
    Guide(&'static str),
    /// Number in CIS Debian 13 v1.0.0.
    Cis13(&'static str),
    /// Number in CIS Debian 12 v1.1.0.
    Cis12(&'static str),
    /// Manual page, e.g. `sshd_config(5)`.
    Man(&'static str),
    /// Source file of Proxmox or Debian that shows the behaviour.
    Source(&'static str),
}

/// How bad a difference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Good to have.
    Low,
    /// Weakens the node.
    Medium,
    /// Opens the node.
    High,
}

/// What a control found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[must_use]
pub struct Verdict {
    /// The judgement.
    pub status: Status,
    /// What was read, where, and what it said.
    pub evidence: Vec<Evidence>,
}

/// The judgement.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum Status {
    /// The node is as the policy wants it.
    Compliant,
    /// It is not; the changes put it right. An empty list is a finding that needs a person (`advice` says what to do).
    Differs {
        /// Steps, in any order; the plan sorts them.
        changes: Vec<Change>,
        /// What a person must do when there is no change for it.
        #[serde(skip_serializing_if = "Option::is_none")]
        advice: Option<String>,
    },
    /// It cannot be told.
    Unknown {
        /// Why.
        why: String,
    },
    /// The requirement makes no sense on this node.
    NotApplicable {
        /// Why.
        why: String,
    },
    /// What the policy wants would harm this node; nothing may be applied until the policy changes.
    Refused {
        /// Why, and the way out.
        why: String,
    },
    /// It is not as the policy wants it, and a waiver of the site accepts that. The plan says so; no control does.
    Waived {
        /// What deviates.
        deviation: String,
        /// The accepted deviation.
        waiver: Waiver,
    },
}

/// One observation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What was asked, e.g. "sshd -T -C user=root,addr=203.0.113.1".
    pub source: String,
    /// What it said, e.g. "permitrootlogin yes". Node content: escape before showing.
    pub found: String,
    /// What the policy wants, e.g. "no (baseline:12)".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
}

impl Evidence {
    /// An observation with what was wanted.
    pub fn new(source: impl Into<String>, found: impl Into<String>, wanted: impl Into<String>) -> Self {
        Self { source: source.into(), found: found.into(), wanted: Some(wanted.into()) }
    }
}

impl Verdict {
    /// Compliant, with what proves it.
    pub fn compliant(evidence: Vec<Evidence>) -> Self {
        Self { status: Status::Compliant, evidence }
    }

    /// Differs, with the changes that put it right.
    pub fn differs(changes: Vec<Change>, evidence: Vec<Evidence>) -> Self {
        Self { status: Status::Differs { changes, advice: None }, evidence }
    }

    /// A finding for a person.
    pub fn advise(advice: impl Into<String>, evidence: Vec<Evidence>) -> Self {
        Self { status: Status::Differs { changes: Vec::new(), advice: Some(advice.into()) }, evidence }
    }

    /// Compliant when there is nothing to change and nothing to advise, else different.
    pub fn outcome(changes: Vec<Change>, advice: Option<String>, evidence: Vec<Evidence>) -> Self {
        if changes.is_empty() && advice.is_none() {
            return Self::compliant(evidence);
        }
        Self { status: Status::Differs { changes, advice }, evidence }
    }

    /// Cannot be told.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self { status: Status::Unknown { why: why.into() }, evidence: Vec::new() }
    }

    /// Makes no sense here.
    pub fn not_applicable(why: impl Into<String>) -> Self {
        Self { status: Status::NotApplicable { why: why.into() }, evidence: Vec::new() }
    }

    /// Would harm.
    pub fn refused(why: impl Into<String>) -> Self {
        Self { status: Status::Refused { why: why.into() }, evidence: Vec::new() }
    }
}

/// Every control, in the order of reports.
pub const CATALOGUE: &[&dyn Control] = &[
    &accounts::ADMIN,
    &accounts::ROOT_PASSWORD,
    &ssh::ROOT_LOGIN,
    &ssh::PASSWORD_AUTH,
    &ssh::LIMITS,
    &ssh::FORWARDING,
    &ssh::CRYPTO,
    &ssh::KEYS,
    &ssh::BANNER,
    &password::QUALITY,
    &password::HISTORY,
    &password::AGING,
    &password::HASH,
    &lockout::PAM,
    &bruteforce::FAIL2BAN,
    &logs::JOURNAL,
    &logs::RETENTION,
    &logs::FORWARD,
    &audit::RULES,
    &session::TIMEOUT,
    &session::UMASK,
    &session::NOTICE,
    &web::ALLOW_FROM,
    &web::TLS,
    &web::LISTEN,
    &web::CONSENT,
    &cert::ACME,
    &cert::CUSTOM,
    &cert::RENEWAL,
    &network::LISTEN,
    &updates::SECURITY,
    &updates::REPOSITORIES,
    &updates::PENDING,
    &updates::MICROCODE,
    &updates::REBOOT_OWED,
    &updates::RELEASE,
    &kernel::SYSCTL,
    &kernel::MODULES,
    &os::SERVICES,
    &os::CORE_DUMPS,
    &os::INTEGRITY,
    &os::KSM,
    &os::SECURE_BOOT,
    &os::LOCKDOWN,
    &os::MOUNTS,
    &os::APPARMOR,
    &os::TIME,
    &os::CRON,
    &os::FILE_PERMISSIONS,
    &alerts::CONTACT,
    &alerts::EVENTS,
    &access::ROLES,
    &access::GROUPS,
    &access::USERS,
    &access::POOLS,
    &access::ACLS,
    &access::TOKENS,
    &access::REALMS,
    &access::LEFTOVERS,
    &access::SECOND_FACTORS,
    &access::ROOT_WEB,
    &firewall::MANAGEMENT,
    &firewall::COROSYNC,
    &firewall::SERVICES,
    &firewall::NODE,
    &firewall::BACKEND,
    &firewall::ENABLE,
];
