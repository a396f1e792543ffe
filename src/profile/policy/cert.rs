//! `cert.*`: the certificate of port 8006.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[cert]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CertPolicy {
    /// One of an ACME authority.
    pub acme: CertAcme,
    /// One of your own.
    pub custom: CertCustom,
    /// That it is renewed in time.
    pub renewal: CertRenewal,
}

/// `[cert.renewal]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CertRenewal {
    /// Part of the policy: the daily timer that renews runs, and the served certificate lasts.
    pub enabled: bool,
    /// Days left from which the served certificate is a finding. PVE renews ACME's 30 days ahead, its own 14.
    pub min_days: u32,
}

/// `[cert.acme]`. Secrets are named, never written: `env:NAME` (the environment or `.env`) or `file:PATH` (from the site's
/// folder, readable by its owner alone). In names and paths `{node}` is the node's name in the site.
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the profile")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CertAcme {
    /// Part of the policy: a certificate of an ACME authority, ordered and renewed by PVE.
    pub enabled: bool,
    /// `production` or `staging` of Let's Encrypt, or the URL of a directory.
    pub directory: String,
    /// PEM file of authorities that the node shall trust: of the directory's server, and of what it issues.
    pub ca_file: String,
    /// Name of PVE's account.
    pub account: String,
    /// E-mail addresses the CA may write to.
    pub contact: Vec<String>,
    /// You have read the CA's terms of service and agree.
    pub agree_to_terms: bool,
    /// Key identifier of an external account binding.
    pub eab_id: String,
    /// Where its HMAC key is.
    pub eab_key: String,
    /// Names of the certificate.
    pub domains: Vec<String>,
    /// PVE's name of the DNS service for dns-01; empty for http-01.
    pub dns_api: String,
    /// Where its settings are, lines `NAME=value`.
    pub dns_data: String,
    /// Another name in whose DNS the proof is put.
    pub dns_alias: String,
    /// Seconds until DNS has spread.
    pub dns_delay: u32,
    /// Let a staging CA issue first, which counts no failures against you.
    pub rehearse: bool,
    /// URL of its directory; empty for Let's Encrypt's. It gets no external account binding.
    pub staging_directory: String,
    /// Whether the names lead to an address of the node, or to something that passes port 80 on.
    pub reached: AcmeReached,
    /// Replace an administrator's own certificate.
    pub replace_own: bool,
    /// More names of the certificate, by the DNS services that prove them.
    pub dns: Vec<CertDns>,
    /// Fingerprints (SHA-256) of certificates that must not be served any more: such a one is replaced at once.
    pub retired: Vec<String>,
}

/// `[[cert.acme.dns]]`: a DNS service, and the names that it proves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CertDns {
    /// PVE's plugin is called `pve-harden-NAME`.
    pub name: String,
    /// PVE's name of the service.
    pub api: String,
    /// Where its settings are, lines `NAME=value`.
    pub data: String,
    /// Names of the certificate.
    pub domains: Vec<String>,
    /// Another name in whose DNS the proof is put.
    #[serde(default)]
    pub alias: String,
    /// Seconds until DNS has spread.
    #[serde(default = "half_a_minute")]
    pub delay: u32,
}

impl CertDns {
    /// Dotted key of what [`Self::data`] names.
    pub fn material(&self) -> String {
        format!("cert.acme.dns.{}.data", self.name)
    }
}

const fn half_a_minute() -> u32 {
    30
}

/// How the CA reaches the node for http-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AcmeReached {
    /// At one of the node's addresses.
    Directly,
    /// Through address translation or a proxy.
    Forwarded,
}

/// `[cert.custom]`. Paths are taken from the site's folder; `{node}` is the node's name in the site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CertCustom {
    /// Part of the policy: a certificate of your own.
    pub enabled: bool,
    /// PEM file: the certificate, then every intermediate one.
    pub certificate: String,
    /// Where its key is: `env:NAME` or `file:PATH`.
    pub key: String,
    /// PEM file of the authority; the chain must end there. Empty: it must hold more than the certificate alone.
    pub ca_file: String,
    /// Names it must be for.
    pub names: Vec<String>,
}
