//! /etc/pve/ceph.conf: the networks of Ceph.

use ipnet::IpNet;

/// What the `[global]` section says of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ceph {
    /// `public_network`: monitors and clients.
    pub public: Vec<IpNet>,
    /// `cluster_network`: between OSDs.
    pub cluster: Vec<IpNet>,
}

/// Reads the file; a network that cannot be understood is an error, somebody's traffic comes from there.
pub fn parse(text: &str) -> Result<Ceph, String> {
    let mut ceph = Ceph::default();
    let mut global = false;
    for line in text.lines().map(|line| line.split(['#', ';']).next().unwrap_or_default().trim()) {
        if line.starts_with('[') {
            global = line.eq_ignore_ascii_case("[global]");
            continue;
        }
        let Some((key, value)) = line.split_once('=').filter(|_| global) else { continue };
        // Ceph takes blanks, dashes and underscores in keys for the same.
        match key.trim().to_ascii_lowercase().replace([' ', '-'], "_").as_str() {
            "public_network" => ceph.public = nets(value)?,
            "cluster_network" => ceph.cluster = nets(value)?,
            _ => {}
        }
    }
    Ok(ceph)
}

fn nets(list: &str) -> Result<Vec<IpNet>, String> {
    list.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(|word| {
            word.parse::<IpNet>().map(|net| net.trunc()).map_err(|_| format!("ceph.conf: no network: {word:?}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn networks_of_the_global_section() {
        let text = "[global]\n\tpublic network = 10.0.0.5/24, fd00::/64\n\tcluster_network = 10.1.0.0/24 # fast\n[osd]\n\tpublic_network = 1.2.3.0/24\n";
        let ceph = parse(text).unwrap();
        assert_eq!(ceph.public.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/24", "fd00::/64"]);
        assert_eq!(ceph.cluster, ["10.1.0.0/24".parse::<IpNet>().unwrap()]);
        assert!(parse("[global]\npublic_network = vmbr0\n").is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_text_does_not_panic(text in "(\\PC|[\n=,]|\\[global\\]|public_network)*") {
            let _ = parse(&text);
        }
    }
}
