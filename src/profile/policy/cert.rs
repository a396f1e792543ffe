//! `cert.*`: the certificate of port 8006.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[cert]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CertPolicy {
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
