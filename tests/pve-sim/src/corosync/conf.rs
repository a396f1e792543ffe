//! Reading corosync.conf.

use std::net::IpAddr;

use anyhow::{Context as _, bail};

/// What the stand-ins need of corosync.conf.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// `totem.cluster_name`
    pub cluster: String,
    /// `totem.config_version`
    pub version: u32,
    /// `totem.transport`
    pub transport: Option<String>,
    /// `totem.secauth`
    pub secauth: Option<String>,
    /// Members by node id.
    pub nodes: Vec<Node>,
}

/// A `node` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// `name`, or else the first ring address.
    pub name: String,
    /// `nodeid`
    pub id: u32,
    /// `quorum_votes`
    pub votes: u32,
    /// `ringN_addr` in the order of N.
    pub rings: Vec<(u8, String)>,
}

impl Node {
    /// The addresses of its links, with their numbers.
    pub fn addresses(&self) -> impl Iterator<Item = (u8, IpAddr)> + '_ {
        self.rings.iter().filter_map(|(link, text)| Some((*link, text.parse().ok()?)))
    }

    /// The address of its first link, as written.
    pub fn first_ring(&self) -> &str {
        self.rings.first().map_or("", |(_, address)| address)
    }
}

impl Configuration {
    /// Reads a configuration: sections in braces, `key: value` in them, comments from `#`.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut conf = Self::default();
        let mut sections: Vec<&str> = Vec::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
            } else if let Some(name) = line.strip_suffix('{') {
                sections.push(name.trim());
                if sections == ["nodelist", "node"] {
                    conf.nodes.push(Node { votes: 1, ..Node::default() });
                }
            } else if line == "}" {
                sections.pop().context("parse error - unexpected '}'")?;
            } else {
                let (key, value) = line.split_once(':').with_context(|| format!("missing ':' after key '{line}'"))?;
                conf.set(&sections, key.trim(), value.trim())?;
            }
        }
        if !sections.is_empty() {
            bail!("missing '}}'");
        }
        for node in &mut conf.nodes {
            node.rings.sort();
            if node.name.is_empty() {
                node.name = node.first_ring().to_owned();
            }
        }
        conf.nodes.sort_by_key(|node| node.id);
        Ok(conf)
    }

    fn set(&mut self, sections: &[&str], key: &str, value: &str) -> anyhow::Result<()> {
        match (sections, key) {
            (["totem"], "cluster_name") => value.clone_into(&mut self.cluster),
            (["totem"], "config_version") => self.version = value.parse().context("config_version")?,
            (["totem"], "transport") => self.transport = Some(value.to_owned()),
            (["totem"], "secauth") => self.secauth = Some(value.to_owned()),
            (["nodelist", "node"], _) => {
                let node = self.nodes.last_mut().context("no node section")?;
                match key {
                    "name" => value.clone_into(&mut node.name),
                    "nodeid" => node.id = value.parse().context("nodeid")?,
                    "quorum_votes" => node.votes = value.parse().context("quorum_votes")?,
                    _ => {
                        let link = key.strip_prefix("ring").and_then(|rest| rest.strip_suffix("_addr"));
                        if let Some(link) = link.and_then(|link| link.parse().ok()) {
                            node.rings.push((link, value.to_owned()));
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// All votes.
    pub fn expected_votes(&self) -> u32 {
        self.nodes.iter().map(|node| node.votes).sum()
    }

    /// The votes that make a majority.
    pub fn quorum(&self) -> u32 {
        self.expected_votes() / 2 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_links_and_majority_are_read() -> anyhow::Result<()> {
        let text = "# c\nnodelist {\n  node {\n    name: pve2\n    nodeid: 2\n    quorum_votes: 1\n    ring0_addr: 10.0.0.2\n    ring1_addr: fd00::2\n  }\n  node {\n    nodeid: 1\n    ring0_addr: 10.0.0.1\n  }\n}\nquorum {\n  provider: corosync_votequorum\n}\ntotem {\n  cluster_name: lab\n  config_version: 4\n  interface {\n    linknumber: 0\n  }\n  secauth: on\n}\n";
        let conf = Configuration::parse(text)?;
        assert_eq!((conf.cluster.as_str(), conf.version, conf.quorum()), ("lab", 4, 2));
        assert_eq!(conf.nodes[0].name, "10.0.0.1");
        assert_eq!(conf.nodes[1].addresses().count(), 2);
        assert!(Configuration::parse("totem {\n").is_err());
        assert!(Configuration::parse("}\n").is_err());
        Ok(())
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = Configuration::parse(&text);
        }
    }
}
