//! `/etc/pve/ha/manager_status`: what the cluster resource manager last wrote (pve-ha-manager,
//! src/PVE/HA/Manager.pm and NodeStatus.pm).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What the resource manager is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaStatus {
    /// Node → online, maintenance, unknown, fence, gone.
    #[serde(default, rename = "node_status")]
    pub nodes: BTreeMap<String, String>,
    /// Service, e.g. `vm:100` → its state.
    #[serde(default, rename = "service_status")]
    pub services: BTreeMap<String, HaService>,
}

/// One managed guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaService {
    /// started, stopped, migrate, relocate, fence, recovery, freeze, error, …
    #[serde(default)]
    pub state: String,
    /// Where it is.
    #[serde(default)]
    pub node: String,
}

impl HaStatus {
    /// Nodes that are being fenced and services that wait for it or come back after it.
    pub fn fencing(&self) -> Vec<String> {
        let nodes = self.nodes.iter().filter(|(_, state)| *state == "fence").map(|(name, _)| format!("node {name}"));
        nodes.chain(self.services_in(&["fence", "recovery"])).collect()
    }

    /// Services that are on their way to another node.
    pub fn moving(&self) -> Vec<String> {
        self.services_in(&["migrate", "relocate", "request_start_balance"]).collect()
    }

    fn services_in<'a>(&'a self, states: &'a [&str]) -> impl Iterator<Item = String> + 'a {
        let services = self.services.iter().filter(|(_, service)| states.contains(&service.state.as_str()));
        services.map(|(name, service)| format!("{name} ({})", service.state))
    }
}

/// Parses the file.
pub fn status(text: &str) -> Result<HaStatus, String> {
    serde_json::from_str(text).map_err(|error| format!("ha/manager_status: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_fenced_node_and_a_moving_guest_are_named() {
        let text = r#"{"master_node":"pve1","node_status":{"pve1":"online","pve2":"fence","pve3":"unknown"},
            "service_status":{"vm:100":{"node":"pve2","state":"fence","uid":"x"},"vm:101":{"node":"pve1",
            "state":"migrate","target":"pve3"},"ct:102":{"node":"pve1","state":"started"}},"timestamp":1763000000}"#;
        let status = status(text).unwrap();
        assert_eq!(status.fencing(), ["node pve2", "vm:100 (fence)"]);
        assert_eq!(status.moving(), ["vm:101 (migrate)"]);
    }

    #[test]
    fn an_idle_manager_is_about_nothing() {
        let status = status(r#"{"node_status":{"pve1":"online"},"service_status":{}}"#).unwrap();
        assert!(status.fencing().is_empty() && status.moving().is_empty());
    }

    proptest! {
        #[test]
        fn arbitrary_text_does_not_panic(text in "\\PC*|(\\{|\"node_status\"|:|\"x\"|\\}|,)*") {
            let _ = status(&text);
        }
    }
}
