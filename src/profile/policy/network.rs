//! `network.*`: what listens on the node.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::UnusedService;

/// `[network]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NetworkPolicy {
    /// Listening sockets.
    pub listen: NetworkListen,
}

/// `[network.listen]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NetworkListen {
    /// Part of the policy.
    pub enabled: bool,
    /// What may listen beyond the loopback addresses: `tcp/22`, `udp/5405-5412`, with a process name behind a blank
    /// where only that one may: `tcp/9100 node_exporter`.
    pub allow: Vec<String>,
    /// What becomes of rpcbind (port 111) where the node has no NFS.
    pub rpcbind: UnusedService,
}
