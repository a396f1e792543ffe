//! Membership in a cluster: corosync.conf and the key that its members share.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::bail;

use super::{Member, below, keys};
use crate::files::lay_out;

/// Writes /etc/corosync.
pub fn install(root: &Path, name: &str, members: &[Member], key_cache: Option<&Path>) -> anyhow::Result<()> {
    if members.is_empty() {
        bail!("a cluster needs at least one --member");
    }
    let conf = configuration(name, members);
    lay_out(&below(root, "/etc/corosync/corosync.conf"), conf.as_bytes(), 0o644)?;
    let key = keys::cluster_key(name, key_cache)?;
    lay_out(&below(root, "/etc/corosync/authkey"), &key, 0o400)
}

/// corosync.conf as `pvecm` writes it; link 1 exists when all members have an IPv6 address.
pub fn configuration(name: &str, members: &[Member]) -> String {
    let two_links = members.iter().all(|member| member.address6.is_some());
    let mut text = "logging {\n  debug: off\n  to_syslog: yes\n}\n\nnodelist {\n".to_owned();
    for (index, member) in members.iter().enumerate() {
        let _ = write!(
            text,
            "  node {{\n    name: {}\n    nodeid: {}\n    quorum_votes: 1\n    ring0_addr: {}\n",
            member.name,
            index + 1,
            member.address
        );
        if let (true, Some(address6)) = (two_links, member.address6) {
            let _ = writeln!(text, "    ring1_addr: {address6}");
        }
        text.push_str("  }\n");
    }
    let _ = write!(
        text,
        "}}\n\nquorum {{\n  provider: corosync_votequorum\n}}\n\ntotem {{\n  cluster_name: {name}\n  config_version: {}\n",
        members.len()
    );
    for link in 0..=u8::from(two_links) {
        let _ = write!(text, "  interface {{\n    linknumber: {link}\n  }}\n");
    }
    text.push_str("  ip_version: ipv4-6\n  link_mode: passive\n  secauth: on\n  version: 2\n}\n\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_for_each_address_family_that_all_members_have() -> anyhow::Result<()> {
        let both: Vec<Member> = vec!["pve1=10.0.0.1,fd00::1".parse()?, "pve2=10.0.0.2,fd00::2".parse()?];
        let text = configuration("lab", &both);
        assert!(text.contains("    ring1_addr: fd00::2\n"));
        assert!(text.contains("    linknumber: 1\n"));
        let mixed: Vec<Member> = vec!["pve1=10.0.0.1,fd00::1".parse()?, "pve2=10.0.0.2".parse()?];
        assert!(!configuration("lab", &mixed).contains("ring1_addr"));
        Ok(())
    }
}
