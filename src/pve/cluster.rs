//! Who belongs to a cluster: corosync.conf (corosync.conf(5)) and pmxcfs's `/etc/pve/.members`
//! (pve-cluster, src/pmxcfs/status.c `cfs_create_memberlist_msg`).

use std::collections::BTreeMap;

use serde::Deserialize;

/// What corosync.conf says of membership.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Corosync {
    /// `totem.cluster_name`.
    pub cluster_name: Option<String>,
    /// `totem.transport`; PVE's default is knet.
    pub transport: Option<String>,
    /// `nodelist.node`, in file order.
    pub nodes: Vec<CorosyncNode>,
}

/// A `node` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CorosyncNode {
    /// `name`; PVE always writes it.
    pub name: Option<String>,
    /// `ring0_addr` … `ring7_addr`, addresses or names, by link number.
    pub links: BTreeMap<u8, String>,
}

/// Parses corosync.conf: nested `name { … }` sections, `key: value` lines, `#` comments.
pub fn corosync(text: &str) -> Result<Corosync, String> {
    let mut parsed = Corosync::default();
    let mut path: Vec<&str> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let at = |what: &str| format!("corosync.conf line {}: {what}", index + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(section) = line.strip_suffix('{') {
            path.push(section.trim());
            if path.len() > 8 {
                return Err(at("sections too deep"));
            }
            if path == ["nodelist", "node"] {
                parsed.nodes.push(CorosyncNode::default());
            }
        } else if line == "}" {
            path.pop().ok_or_else(|| at("a closing brace too many"))?;
        } else if let Some((key, value)) = line.split_once(':') {
            setting(&mut parsed, &path, key.trim(), value.trim());
        } else {
            return Err(at("neither a section nor a setting"));
        }
    }
    if path.is_empty() { Ok(parsed) } else { Err("corosync.conf ends inside a section".into()) }
}

fn setting(parsed: &mut Corosync, path: &[&str], key: &str, value: &str) {
    match (path, key) {
        (["totem"], "transport") => parsed.transport = Some(value.into()),
        (["totem"], "cluster_name") => parsed.cluster_name = Some(value.into()),
        (["nodelist", "node"], _) => {
            let Some(node) = parsed.nodes.last_mut() else { return };
            if key == "name" {
                node.name = Some(value.into());
            } else if let Some(link) = link_number(key) {
                node.links.insert(link, value.into());
            }
        }
        _ => {}
    }
}

fn link_number(key: &str) -> Option<u8> {
    key.strip_prefix("ring")?.strip_suffix("_addr")?.parse().ok().filter(|link| *link < 8)
}

/// `/etc/pve/.members`. A standalone node has neither `cluster` nor `nodelist`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Members {
    /// The node that was read.
    #[serde(default)]
    pub nodename: String,
    /// Present on a cluster's node.
    #[serde(default)]
    pub cluster: Option<MembersCluster>,
    /// Members by name, the node itself included.
    #[serde(default)]
    pub nodelist: BTreeMap<String, Member>,
}

/// `cluster` of `.members`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct MembersCluster {
    /// Cluster name.
    #[serde(default)]
    pub name: String,
    /// 1 with quorum.
    #[serde(default)]
    pub quorate: u8,
}

/// A member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Member {
    /// 1 when online.
    #[serde(default)]
    pub online: u8,
    /// Absent while pmxcfs has not learnt it.
    #[serde(default)]
    pub ip: Option<String>,
}

/// Parses `.members`.
pub fn members(text: &str) -> Result<Members, String> {
    serde_json::from_str(text).map_err(|error| format!(".members: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TWO_LINKS: &str = "logging {\n  debug: off\n}\n\nnodelist {\n  node {\n    name: pve1\n    nodeid: 1\n    \
        quorum_votes: 1\n    ring0_addr: 10.0.0.1\n    ring1_addr: fd00::1\n  }\n  node {\n    name: pve2\n    \
        ring0_addr: pve2.example\n  }\n}\n\ntotem {\n  cluster_name: lab\n  interface {\n    linknumber: 0\n  }\n}\n";

    #[test]
    fn every_link_of_every_node_is_read() {
        let parsed = corosync(TWO_LINKS).unwrap();
        assert_eq!(parsed.cluster_name.as_deref(), Some("lab"));
        assert_eq!(parsed.nodes.len(), 2);
        assert_eq!(parsed.nodes[0].links, BTreeMap::from([(0, "10.0.0.1".into()), (1, "fd00::1".into())]));
        assert_eq!(parsed.nodes[1].name.as_deref(), Some("pve2"));
        assert_eq!(parsed.nodes[1].links[&0], "pve2.example");
    }

    #[test]
    fn a_cut_file_is_an_error_at_every_length_inside_a_section() {
        for end in TWO_LINKS.find("  node").unwrap()..TWO_LINKS.rfind("\n}\n\ntotem").unwrap() {
            assert!(corosync(&TWO_LINKS[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn names_outside_the_node_list_are_not_members() {
        let parsed = corosync("resources {\n  name: ghost\n  ring0_addr: 10.9.9.9\n}\n").unwrap();
        assert_eq!(parsed, Corosync::default());
    }

    #[test]
    fn members_of_a_standalone_node_and_of_a_cluster() {
        let alone = members("{\n\"nodename\": \"pve1\",\n\"version\": 0\n}\n").unwrap();
        assert_eq!((alone.nodename.as_str(), alone.cluster), ("pve1", None));
        let text = r#"{"nodename":"pve1","version":4,"cluster":{"name":"lab","version":3,"nodes":2,"quorate":1},
            "nodelist":{"pve1":{"id":1,"online":1,"ip":"10.0.0.1"},"pve2":{"id":2,"online":0}}}"#;
        let clustered = members(text).unwrap();
        assert_eq!(clustered.cluster.unwrap().quorate, 1);
        assert_eq!(clustered.nodelist["pve2"], Member { online: 0, ip: None });
    }

    proptest! {
        #[test]
        fn arbitrary_text_does_not_panic(text in "\\PC*|([a-z0-9_:{}#. \n]|nodelist \\{\n|node \\{\n|ring0_addr: )*") {
            let _ = corosync(&text);
            let _ = members(&text);
        }
    }
}
