//! Facts of well-known nodes, parsed from recorded captures, for tests of every room.

use super::Facts;

impl Facts {
    /// A PVE 9 node as the ISO leaves it: standalone, root with a password, no administrator, no sudo.
    pub fn fresh_pve9() -> Self {
        recorded(include_str!("../../tests/probes/pve9-fresh.json"))
    }

    /// The same with PVE 8.
    pub fn fresh_pve8() -> Self {
        recorded(include_str!("../../tests/probes/pve8-fresh.json"))
    }

    /// Member `pve1` of a PVE 9 cluster of three, with two corosync links and a migration network, otherwise fresh.
    pub fn cluster_of_three() -> Self {
        recorded(include_str!("../../tests/probes/pve9-cluster.json"))
    }
}

/// A recording that does not parse gives facts in which nothing was asked; a test keeps that from happening.
fn recorded(json: &str) -> Facts {
    serde_json::from_str(json).map(|capture| super::parse(&capture)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::facts::{CaseKind, PasswordState, Reading, SshdCase};

    fn fresh() -> [Facts; 3] {
        [Facts::fresh_pve9(), Facts::fresh_pve8(), Facts::cluster_of_three()]
    }

    fn case(facts: &Facts, who: CaseKind, user: &str, address: &str) -> String {
        let case = SshdCase { who, user: user.into(), address: address.parse().unwrap() };
        facts.sshd.cases[&case].known().unwrap()["permitrootlogin"].clone()
    }

    #[test]
    fn a_fresh_node_is_read_whole() {
        for facts in fresh() {
            assert_eq!(facts.notes, Vec::<String>::new());
            assert_eq!(facts.node_name, Reading::Known("pve1".into()));
            assert_eq!(facts.pmxcfs_mounted, Reading::Known(true));
            assert_eq!(facts.session.known().unwrap().operator, Some("10.77.0.1".parse().unwrap()));
            let unreadable: Vec<_> =
                facts.files.iter().filter(|(_, reading)| matches!(reading, Reading::Unreadable(_))).collect();
            assert_eq!(unreadable, []);
            let broken: Vec<_> = facts.pam.iter().filter(|(_, stack)| stack.known().is_none()).collect();
            assert_eq!(broken, []);
            assert!(facts.listeners.known().unwrap().iter().any(|listener| listener.port == 22));
            assert_eq!(facts.units.known().unwrap()["ssh.service"].active, "active");
            assert_eq!(facts.sshd.host_keys.len(), 3);
        }
    }

    #[test]
    fn a_fresh_node_lets_root_in_with_a_password() {
        for facts in fresh() {
            let root = &facts.accounts.shadow.known().unwrap()["root"];
            assert_eq!(root.password, PasswordState::Hash("y".into()));
            assert_eq!(case(&facts, CaseKind::RootOutside, "root", "203.0.113.1"), "yes");
            assert_eq!(facts.sshd.includes_dropins, Reading::Known(true));
            assert_eq!(facts.sudo["ops"], Reading::Absent);
            let keys = facts.accounts.authorized_keys["root"].known().unwrap();
            assert_eq!((keys.path.as_str(), keys.local), ("/etc/pve/priv/authorized_keys", false));
            assert!(keys.lines.iter().any(|line| line.ends_with(" root@pve1")));
        }
    }

    #[test]
    fn releases_differ_where_they_really_differ() {
        let (nine, eight) = (Facts::fresh_pve9(), Facts::fresh_pve8());
        let release = |facts: &Facts| facts.pve.known().map(|pve| (pve.major, pve.debian)).unwrap();
        assert_eq!((release(&nine), release(&eight)), ((9, 13), (8, 12)));
        assert_eq!((nine.sshd.version, eight.sshd.version), (Reading::Known((10, 0)), Reading::Known((9, 2))));
        assert!(nine.sshd.algorithms["kex"].contains("mlkem768x25519-sha256"));
        assert!(!eight.sshd.algorithms["kex"].contains("mlkem768x25519-sha256"));
    }

    #[test]
    fn a_listed_directory_tells_what_is_absent() {
        let facts = Facts::fresh_pve9();
        assert_eq!(facts.file("/etc/ssh/sshd_config.d/00-any.conf"), &Reading::Absent);
        assert_eq!(facts.file("/etc/ssh/sshd_config.d/.hidden"), &Reading::NotAsked);
        assert_eq!(facts.file("/etc/ssh/moduli"), &Reading::NotAsked);
    }

    #[test]
    fn every_address_of_every_peer_is_known_and_asked_about() {
        let facts = Facts::cluster_of_three();
        let wanted = ["10.77.0.3", "10.77.0.4", "10.78.0.3", "10.78.0.4", "fd77::3", "fd77::4"];
        let wanted: std::collections::BTreeSet<IpAddr> = wanted.iter().map(|word| word.parse().unwrap()).collect();
        assert_eq!(facts.peer_addresses(), wanted);
        assert_eq!(facts.peer_networks(), ["10.78.0.0/24".parse().unwrap()].into());
        let asked = facts.sshd.cases.keys().filter(|case| case.who == CaseKind::RootPeer).map(|case| case.address);
        assert_eq!(asked.collect::<std::collections::BTreeSet<_>>(), wanted);
        assert!(facts.cluster.known().unwrap().quorate);
        assert_eq!(Facts::fresh_pve9().cluster, Reading::Absent);
    }
}
