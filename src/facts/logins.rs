//! What sshd and PAM make of their files.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::Reading;

/// sshd.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sshd {
    /// (major, minor) of OpenSSH, e.g. (10, 0).
    pub version: Reading<(u32, u32)>,
    /// `sshd -T` without `-C`: keyword → value, as printed, lower case; repeated keywords are joined by newlines.
    pub global: Reading<SshdSettings>,
    /// `sshd -T -C CASE` per case.
    pub cases: BTreeMap<SshdCase, Reading<SshdSettings>>,
    /// Whether the main file has an Include of `sshd_config.d` at its head, outside any Match.
    pub includes_dropins: Reading<bool>,
    /// Algorithms this sshd knows, by `ssh -Q` name (kex, cipher, mac, `HostKeyAlgorithms`); the probe names them.
    pub algorithms: BTreeMap<String, BTreeSet<String>>,
    /// (major, minor) of the OpenSSH that answered at another member's address; only members that were online and
    /// answered, and only when asked for.
    #[serde(default)]
    pub peer_versions: BTreeMap<IpAddr, (u32, u32)>,
    /// Public host keys: path of the private key → `SHA256:…`.
    #[serde(default)]
    pub host_keys: BTreeMap<String, String>,
}

/// `sshd -T` output.
pub type SshdSettings = BTreeMap<String, String>;

/// Who connects from where; one question to `sshd -T -C`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SshdCase {
    /// What the case stands for.
    pub who: CaseKind,
    /// Login name.
    pub user: String,
    /// Source address.
    pub address: IpAddr,
}

impl SshdCase {
    /// The argument of `sshd -C`. The host name is not looked up: `Match Host` sees the address.
    pub fn spec(&self) -> String {
        format!("user={},host={},addr={}", self.user, self.address, self.address)
    }
}

/// Meaning of an [`SshdCase`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaseKind {
    /// root from an address that is neither a peer nor in a management network.
    RootOutside,
    /// root from a cluster peer.
    RootPeer,
    /// root from the operator's own address.
    RootOperator,
    /// An administrator of the site from the operator's address or a management network.
    Admin,
    /// Any other account from outside.
    OtherOutside,
}

impl CaseKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::RootOutside, Self::RootPeer, Self::RootOperator, Self::Admin, Self::OtherOutside];

    /// The word of the capture program.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RootOutside => "root-outside",
            Self::RootPeer => "root-peer",
            Self::RootOperator => "root-operator",
            Self::Admin => "admin",
            Self::OtherOutside => "other-outside",
        }
    }

    /// The kind of a word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A PAM service with its includes resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PamStack {
    /// Rules in order.
    pub rules: Vec<PamRule>,
}

/// One rule of a PAM stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PamRule {
    /// auth, account, password or session.
    pub facility: String,
    /// required, sufficient, `[success=1 default=ignore]`, …
    pub control: String,
    /// `pam_unix.so`.
    pub module: String,
    /// Arguments.
    pub arguments: Vec<String>,
    /// File the rule stands in.
    pub file: String,
}
