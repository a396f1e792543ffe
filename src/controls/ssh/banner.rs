//! `ssh.banner`.

use crate::change::Change;
use crate::controls::session::notice;
use crate::controls::{Evidence, Meta, Reference, Severity, Status};
use crate::facts::SshdCase;
use crate::profile::policy::Policy;

use super::node::{Node, address_list};
use super::section::{Block, Section};
use super::want::Want;
use super::{Ssh, SshControl};

/// The control.
pub const BANNER: Ssh = Ssh(&Banner);

struct Banner;

const META: Meta = Meta {
    id: "ssh.banner",
    title: "sshd shows a notice before a login, except to the other cluster nodes",
    why: "It is where strangers knock. The notice says whom the system is for before anybody tries a key or a password.",
    checked: "`sshd -T -C` in every case: /etc/issue.net for people, none for root from cluster peers; and the text of that file, \
              which is the profile's `session.notice.text`.",
    naive: "A banner is written to the error output of every ssh command. PVE's own ones run as `ssh root@IP` between the nodes, \
            and what they say ends up in task logs; so peers see none. Scripts of yours that take any error output for a failure \
            need `LogLevel ERROR` in their ssh config. Without a text of its own, /etc/issue.net tells strangers the release of \
            Debian.",
    references: &[
        Reference::Cis13("5.1.5"),
        Reference::Cis12("5.1.5"),
        Reference::Man("sshd_config(5)"),
        Reference::Source("pve-cluster src/PVE/SSHInfo.pm ssh_info_to_command"),
    ],
    level: 2,
    severity: Severity::Low,
};

const KEY: &str = "ssh.banner.enabled";

/// As sshd takes it and prints it.
const NO_BANNER: &str = "none";

impl SshControl for Banner {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.ssh.banner.enabled
    }

    fn wants(&self, node: &Node, case: &SshdCase) -> Vec<Want> {
        let of_pve = case.user == "root" && node.is_peer(case.address);
        vec![Want::exactly("banner", if of_pve { NO_BANNER } else { notice::NETWORK }, KEY)]
    }

    fn section(&self, node: &Node) -> Section {
        let everybody = vec![("Banner", notice::NETWORK.to_owned())];
        let mut exceptions = Vec::new();
        if node.clustered() {
            exceptions.push(Block {
                note: "cluster peers",
                criteria: format!("User root Address {}", address_list(&node.peers)),
                lines: vec![("Banner", NO_BANNER.into())],
            });
        }
        Section { globals: everybody.clone(), exceptions, everybody }
    }

    fn obstacle(&self, node: &Node) -> Option<Status> {
        notice::text(node.policy).err().map(|why| Status::Refused { why })
    }

    fn reads(&self) -> &'static [&'static str] {
        &[notice::NETWORK]
    }

    fn named_file(&self, node: &Node) -> Result<Option<(Evidence, Option<Change>)>, String> {
        notice::network(node.facts, node.policy, META.id, &notice::text(node.policy)?).map(Some)
    }
}
