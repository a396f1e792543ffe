//! `ssh.*`: what sshd lets in, and how.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Keys that let people in.
    pub keys: KeysPolicy,
    /// A notice before the login.
    pub banner: BannerPolicy,
}

/// `[ssh.banner]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BannerPolicy {
    /// Part of the policy: sshd shows the text of `session.notice` to everybody but cluster peers.
    pub enabled: bool,
}

/// `[ssh.keys]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KeysPolicy {
    /// Part of the policy: no weak, double or shared key in anybody's `authorized_keys`.
    pub enabled: bool,
    /// Days after which a key counts as old; 0 for never. Only ages that are known count.
    pub max_age_days: u32,
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
    /// false: `TCPKeepAlive no`; true leaves what the node has.
    pub tcp_keep_alive: bool,
    /// false: `Compression no`; true leaves what the node has.
    pub compression: bool,
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
