//! Steps towards port 8006's certificate: calls of `pvenode`, which holds PVE's locks and does the talking to the CA.

use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum CertStep {
    /// A certificate in the node's store of authorities, by which PVE's ACME client judges the CA's server.
    Trust {
        /// Where it lies for update-ca-certificates(8).
        path: String,
        /// One certificate.
        pem: String,
    },
    /// `pvenode acme account register` or `update`.
    Account {
        /// Name.
        name: String,
        /// URL of the CA's directory.
        directory: String,
        /// E-mail addresses, comma-separated.
        contact: String,
        /// External account binding, where the CA wants it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        binding: Option<Binding>,
        /// The account is there, and its contact changes.
        known: bool,
    },
    /// `pvenode acme plugin add` or `set`.
    Plugin {
        /// Its id.
        id: String,
        /// PVE's name of the DNS service.
        api: String,
        /// Lines `NAME=value`.
        data: Secret,
        /// Seconds until DNS has spread.
        delay: u32,
        /// The plugin is there and changes.
        known: bool,
    },
    /// `pvenode acme cert order`, and a look at what 8006 serves then.
    Order {
        /// The certificate's file.
        path: String,
        /// An account of a staging CA that issues one first, which is thrown away.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rehearsal: Option<String>,
        /// Names the certificate is for.
        names: Vec<String>,
        /// The chain must end at an authority that the node trusts.
        trusted: bool,
        /// Seconds the CA may take.
        patience: u32,
    },
    /// `pvenode cert set`, and the same look.
    Upload {
        /// The certificate's file.
        path: String,
        /// Certificate and chain, PEM.
        chain: String,
        /// Private key, PEM.
        key: Secret,
        /// Names it must be for.
        names: Vec<String>,
    },
}

/// RFC 8555, 7.3.4.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// Key identifier.
    pub id: String,
    /// HMAC key, base64url.
    pub key: Secret,
}

impl CertStep {
    /// Where the certificate lies that replaces PVE's own (pveproxy(8)); its key lies beside it.
    pub fn certificate(node: &str) -> String {
        format!("/etc/pve/nodes/{node}/pveproxy-ssl.pem")
    }

    /// Where the authority of this number, from 1, lies.
    pub fn authority(number: usize) -> String {
        format!("/usr/local/share/ca-certificates/pve-harden-acme-{number}.crt")
    }

    /// The file that it changes and that can be told before; accounts and plugins are secret.
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Trust { path, .. } | Self::Order { path, .. } | Self::Upload { path, .. } => Some(path),
            Self::Account { .. } | Self::Plugin { .. } => None,
        }
    }

    /// Whether every member of the cluster shares what it changes.
    pub const fn is_shared(&self) -> bool {
        matches!(self, Self::Account { .. } | Self::Plugin { .. })
    }

    /// What it is about, for one step per object.
    pub fn object(&self) -> &str {
        match self {
            Self::Account { name, .. } => name,
            Self::Plugin { id, .. } => id,
            Self::Trust { path, .. } | Self::Order { path, .. } | Self::Upload { path, .. } => path,
        }
    }

    /// What no output shows.
    pub fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Account { binding, .. } => binding.as_ref().map(|binding| &binding.key),
            Self::Plugin { data, .. } => Some(data),
            Self::Upload { key, .. } => Some(key),
            Self::Trust { .. } | Self::Order { .. } => None,
        }
    }

    /// Trust before accounts, accounts before orders.
    pub const fn rank(&self) -> u8 {
        match self {
            Self::Trust { .. } => 17,
            Self::Account { .. } => 18,
            Self::Plugin { .. } => 19,
            Self::Order { .. } | Self::Upload { .. } => 30,
        }
    }
}
