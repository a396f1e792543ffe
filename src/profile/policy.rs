//! What is wanted, resolved: every value is there, and for each one [`Policy::origin`] knows the file and line that
//! set it. Field names are the control ids; keys in TOML are the same words in kebab-case.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// Profile and site for one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Merged profile.
    pub profile: Profile,
    /// The site.
    pub site: Site,
    /// The node this policy is for.
    pub host: Host,
    /// Dotted key (`ssh.limits.max-auth-tries`) → where it was set.
    pub origins: BTreeMap<String, Origin>,
    /// Names of the profiles in the order they were merged.
    pub profile_names: Vec<String>,
    /// SHA-256 over the merged profile, and over the site; hex.
    pub digests: Digests,
    /// Ids of controls that this command leaves out (`--control`): their part of a file that several controls share
    /// stays as it is on the node. Set by the plan, empty in a policy as it was merged.
    pub left_out: BTreeSet<String>,
}

impl Policy {
    /// Where a dotted key was set.
    pub fn origin(&self, key: &str) -> Option<&Origin> {
        self.origins.get(key)
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
    /// `session.*`.
    pub session: SessionPolicy,
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

/// `[ssh]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SshPolicy {
    /// Root's logins.
    pub root_login: RootLoginPolicy,
    /// Password logins.
    pub password_auth: PasswordAuthPolicy,
    /// Connection limits.
    pub limits: SshLimits,
    /// Forwarding.
    pub forwarding: ForwardingPolicy,
    /// Algorithms.
    pub crypto: CryptoPolicy,
}

/// `[ssh.root-login]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RootLoginPolicy {
    /// Part of the policy.
    pub enabled: bool,
    /// `PermitRootLogin` for everybody but cluster peers.
    pub permit: PermitRootLogin,
    /// Further addresses or networks from which root may use a key, e.g. a backup host.
    #[schemars(with = "Vec<String>")]
    pub allow_key_from: Vec<IpNet>,
}

/// Values of `PermitRootLogin` this tool will set; `yes` is none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PermitRootLogin {
    /// No root login.
    No,
    /// Keys only.
    ProhibitPassword,
}

/// `[ssh.password-auth]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PasswordAuthPolicy {
    /// Part of the policy: `PasswordAuthentication no`, `KbdInteractiveAuthentication no`, `PubkeyAuthentication yes`,
    /// `PermitEmptyPasswords no`.
    pub enabled: bool,
}

/// `[ssh.limits]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SshLimits {
    /// Part of the policy.
    pub enabled: bool,
    /// `MaxAuthTries`, at most.
    pub max_auth_tries: u32,
    /// `LoginGraceTime` in seconds, at most.
    pub login_grace_time: u32,
    /// `MaxSessions`, at most; below 10 breaks tools that multiplex.
    pub max_sessions: u32,
    /// `MaxStartups`, start:rate:full.
    pub max_startups: String,
    /// `ClientAliveInterval` in seconds.
    pub client_alive_interval: u32,
    /// `ClientAliveCountMax`.
    pub client_alive_count_max: u32,
    /// `LogLevel`.
    pub log_level: String,
}

/// `[ssh.forwarding]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ForwardingPolicy {
    /// Part of the policy: `X11Forwarding no`, `AllowAgentForwarding no`, `PermitTunnel no`, `AllowStreamLocalForwarding no`.
    pub enabled: bool,
    /// `AllowTcpForwarding` for administrators (8006 through `ssh -L`); cluster peers always keep what migration needs.
    pub tcp_for_admins: bool,
}

/// `[ssh.crypto]`: wanted algorithms in order of preference; those a node's OpenSSH does not know are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CryptoPolicy {
    /// Part of the policy.
    pub enabled: bool,
    /// `KexAlgorithms`.
    pub kex: Vec<String>,
    /// `Ciphers`; at least one AES stays, PVE's own ssh config asks for it.
    pub ciphers: Vec<String>,
    /// `MACs`.
    pub macs: Vec<String>,
    /// `HostKeyAlgorithms`; must keep rsa-sha2, peers know nodes by their RSA key.
    pub host_key_algorithms: Vec<String>,
    /// `PubkeyAcceptedAlgorithms`; empty leaves the default.
    pub pubkey_accepted_algorithms: Vec<String>,
    /// `RequiredRSASize` in bits; 0 leaves the default.
    pub required_rsa_size: u32,
}

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
    /// Days after expiry until an account is disabled.
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

/// The site: who and where.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Site {
    /// Path of the file, when there is one.
    pub path: Option<PathBuf>,
    /// Default profiles.
    pub profiles: Vec<String>,
    /// Networks from which nodes are administered.
    pub management: Vec<IpNet>,
    /// Nodes.
    pub hosts: Vec<Host>,
    /// Administrators.
    pub admins: Vec<Admin>,
    /// Administrators that left: planned as lock, key and group removal.
    pub removed_admins: Vec<String>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Host {
    /// Name in the site, or the address when it was given on the command line.
    pub name: String,
    /// Address or name to connect to, or an alias of the ssh config.
    pub address: String,
    /// Login name, when fixed.
    pub user: Option<String>,
    /// Port; `None` leaves it to `ssh_config`.
    pub port: Option<u16>,
    /// Private key file.
    pub identity: Option<PathBuf>,
    /// `ProxyJump`.
    pub jump: Option<String>,
    /// Pinned host key fingerprint, `SHA256:…`.
    pub host_key: Option<String>,
    /// Groups for `--limit`.
    pub groups: Vec<String>,
}

/// A person who administers the nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Linux login name.
    pub name: String,
    /// GECOS full name.
    pub full_name: String,
    /// Further Linux groups that exist on the node, e.g. `adm`; the sudo group comes from the profile.
    pub groups: Vec<String>,
    /// OpenSSH public key lines, key files already read.
    pub keys: Vec<String>,
    /// How this person becomes root.
    pub sudo: Sudo,
    /// Where the password comes from; `None` leaves the account without one.
    pub password: Option<AdminPassword>,
}

/// How an administrator becomes root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sudo {
    /// `NOPASSWD: ALL`.
    Nopasswd,
    /// Own password, then ALL.
    Password,
}

/// Source of an administrator's password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminPassword {
    /// A crypt(5) hash in the site file or the environment.
    Hash(Secret),
    /// Asked for when the account is made.
    Prompt,
    /// Generated when the account is made, and written to this file (0600).
    Generate(PathBuf),
}

/// A management address to stand for "an admin's machine" in questions to sshd: the operator's own, else the first
/// host address of the first management network.
pub fn admin_probe_address(site: &Site, operator: Option<IpAddr>) -> Option<IpAddr> {
    operator.or_else(|| site.management.first().and_then(|net| net.hosts().next()))
}
