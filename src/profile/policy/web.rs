//! `web.*`: pveproxy on port 8006 and spiceproxy on 3128.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[web]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WebPolicy {
    /// Who may connect.
    pub allow_from: WebAllowFrom,
    /// Protocols and ciphers.
    pub tls: WebTls,
    /// Listening addresses.
    pub listen: WebListen,
    /// A notice before the login.
    pub consent: WebConsent,
}

/// `[web.consent]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WebConsent {
    /// Part of the policy: the web interface shows the text of `session.notice`, once for the whole cluster.
    pub enabled: bool,
}

/// `[web.allow-from]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WebAllowFrom {
    /// Part of the policy: management networks, cluster members and the node itself, nobody else.
    pub enabled: bool,
    /// Further addresses or networks, e.g. of a monitoring host.
    #[schemars(with = "Vec<String>")]
    pub also: Vec<IpNet>,
}

/// `[web.tls]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WebTls {
    /// Part of the policy.
    pub enabled: bool,
    /// Oldest protocol.
    pub min_version: TlsVersion,
    /// Ciphers of TLS 1.2 that may be agreed on, by OpenSSL's names, best first.
    pub ciphers: Vec<String>,
    /// Cipher suites of TLS 1.3 that may be agreed on, best first.
    pub ciphersuites: Vec<String>,
}

/// TLS versions that pveproxy can be held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    Tls13,
}

/// `[web.listen]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WebListen {
    /// Part of the policy.
    pub enabled: bool,
    /// What becomes of spiceproxy.
    pub spiceproxy: UnusedService,
}

/// What becomes of a service that nothing on the node needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UnusedService {
    /// It stays as it is.
    Leave,
    /// It is stopped and stays off where nothing needs it.
    StopUnused,
}
