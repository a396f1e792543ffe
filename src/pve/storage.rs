//! /etc/pve/storage.cfg: `TYPE: ID` sections with indented `key value` lines (pvesm(1)).

use std::collections::BTreeMap;

/// One storage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    /// nfs, iscsi, pbs, rbd, …
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Properties; a bare key has an empty value.
    pub properties: BTreeMap<String, String>,
}

impl Storage {
    /// Whether a node uses it: not disabled, and among `nodes` where that is set.
    pub fn is_used_on(&self, node: &str) -> bool {
        let disabled = self.properties.get("disable").is_some_and(|value| value != "0");
        let here = |nodes: &String| nodes.split([',', ' ', ';']).any(|name| name == node);
        !disabled && self.properties.get("nodes").is_none_or(here)
    }

    /// `server` (nfs, cifs, pbs, …) or `portal` (iscsi) without its port, and the port.
    pub fn server(&self) -> Option<(&str, Option<u16>)> {
        if let Some(server) = self.properties.get("server") {
            return Some((server, self.properties.get("port").and_then(|port| port.parse().ok())));
        }
        let portal = self.properties.get("portal")?;
        match portal.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                Some((host.trim_matches(['[', ']']), port.parse().ok()))
            }
            _ => Some((portal.trim_matches(['[', ']']), None)),
        }
    }
}

/// Every storage in the order of the file.
pub fn parse(text: &str) -> Vec<Storage> {
    let mut storages: Vec<Storage> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        if line.starts_with([' ', '\t']) {
            let (key, value) = line.trim().split_once([' ', '\t']).unwrap_or((line.trim(), ""));
            if let Some(storage) = storages.last_mut() {
                storage.properties.insert(key.to_owned(), value.trim().to_owned());
            }
        } else if let Some((kind, id)) = line.split_once(':') {
            let (kind, id) = (kind.trim().to_owned(), id.trim().to_owned());
            storages.push(Storage { kind, id, properties: BTreeMap::new() });
        }
    }
    storages
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "dir: local\n\tpath /var/lib/vz\n\tcontent iso,backup\n\nnfs: nas\n\tserver 10.9.0.5\n\texport /pve\n\tnodes pve1,pve2\n\niscsi: san\n\tportal [fd00::5]:3261\n\ttarget x\n\npbs: backup\n\tserver pbs.example.com\n\tport 8008\n\tdisable\n";

    #[test]
    fn sections_and_their_servers() {
        let storages = parse(TEXT);
        let servers: Vec<_> = storages.iter().map(|storage| storage.server()).collect();
        assert_eq!(
            servers,
            [None, Some(("10.9.0.5", None)), Some(("fd00::5", Some(3261))), Some(("pbs.example.com", Some(8008)))]
        );
        let used: Vec<_> = storages.iter().map(|storage| storage.is_used_on("pve3")).collect();
        assert_eq!(used, [true, false, true, false]);
    }

    proptest! {
        #[test]
        fn arbitrary_text_does_not_panic(text in "(\\PC|[\n\t: ]|nfs: a|server |portal )*") {
            for storage in parse(&text) {
                let _ = (storage.server().is_some(), storage.is_used_on("x"));
            }
        }
    }
}
