//! `ssh.root-login`.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::controls::{Meta, Reference, Severity, Status};
use crate::facts::SshdCase;
use crate::profile::policy::{PermitRootLogin, Policy};

use super::node::{Node, address_list};
use super::section::{Block, Section};
use super::want::{Accept, Want};
use super::{Ssh, SshControl};

/// The control.
pub const ROOT_LOGIN: Ssh = Ssh(&RootLogin);

struct RootLogin;

const META: Meta = Meta {
    id: "ssh.root-login",
    title: "root does not log in over SSH, except with a key from the other cluster nodes",
    why: "Every bot on the network knows the name root, and on a PVE node root owns every guest. Named administrators \
          with sudo leave a trace of who did what. PVE itself still needs root's SSH between the members of a cluster: \
          migration, replication, the shell of another node and QDevice set-up are `ssh root@IP` in batch mode.",
    checked: "`sshd -T -C user=root,addr=…` from outside, from your address and from every address of every peer. \
              root's keys must be read from ~/.ssh/authorized_keys for peers, where PVE links /etc/pve in.",
    naive: "`PermitRootLogin no` in sshd_config breaks migration and replication in a cluster, and PVE rewrites the \
            first `PermitRootLogin` of that very file to `yes` when a cluster is created or joined. A drop-in that \
            sorts first survives that. The `Match` must name every corosync link and the migration network.",
    references: &[
        Reference::Guide("1.1.1"),
        Reference::Cis13("5.1.21"),
        Reference::Cis12("5.1.20"),
        Reference::Man("sshd_config(5)"),
        Reference::Source("pve-cluster src/PVE/Cluster/Setup.pm setup_sshd_config"),
        Reference::Source("pve-cluster src/PVE/SSHInfo.pm ssh_info_to_command"),
    ],
    level: 1,
    severity: Severity::High,
};

const KEY: &str = "ssh.root-login.permit";
const ALLOW_KEY: &str = "ssh.root-login.allow-key-from";

/// sshd's default, which follows the link from `/root/.ssh` into `/etc/pve/priv`.
const ROOT_KEYS: &str = ".ssh/authorized_keys .ssh/authorized_keys2";

/// `prohibit-password` as `sshd -T` prints it, in 9.2 and in 10.
const KEY_ONLY: &str = "without-password";

impl SshControl for RootLogin {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.ssh.root_login.enabled
    }

    fn wants(&self, node: &Node, case: &SshdCase) -> Vec<Want> {
        if case.user != "root" {
            return Vec::new();
        }
        if node.is_peer(case.address) {
            return vec![
                Want::exactly("permitrootlogin", KEY_ONLY, KEY),
                Want::exactly("pubkeyauthentication", "yes", KEY),
                Want::exactly("authorizedkeysfile", ROOT_KEYS, KEY),
            ];
        }
        if allowed(node, case.address) {
            return vec![Want::accepting(Accept::RootPermit, "permitrootlogin", KEY_ONLY, ALLOW_KEY)];
        }
        vec![match node.policy.profile.ssh.root_login.permit {
            PermitRootLogin::No => Want::exactly("permitrootlogin", "no", KEY),
            PermitRootLogin::ProhibitPassword => Want::accepting(Accept::RootPermit, "permitrootlogin", KEY_ONLY, KEY),
        }]
    }

    fn section(&self, node: &Node) -> Section {
        let policy = &node.policy.profile.ssh.root_login;
        let permit = match policy.permit {
            PermitRootLogin::No => "no",
            PermitRootLogin::ProhibitPassword => "prohibit-password",
        };
        let everybody = vec![("PermitRootLogin", permit.to_owned())];
        let mut exceptions = Vec::new();
        if node.clustered() {
            exceptions.push(Block {
                note: "cluster peers",
                criteria: format!("User root Address {}", address_list(&node.peers)),
                lines: vec![
                    ("PermitRootLogin", "prohibit-password".into()),
                    ("PubkeyAuthentication", "yes".into()),
                    ("AuthorizedKeysFile", ROOT_KEYS.into()),
                ],
            });
        }
        if !policy.allow_key_from.is_empty() {
            let mut nets: Vec<IpNet> = policy.allow_key_from.iter().map(IpNet::trunc).collect();
            nets.sort();
            nets.dedup();
            exceptions.push(Block {
                note: "allow-key-from",
                criteria: format!("User root Address {}", address_list(&nets)),
                lines: vec![("PermitRootLogin", "prohibit-password".into()), ("PubkeyAuthentication", "yes".into())],
            });
        }
        Section { globals: everybody.clone(), exceptions, everybody }
    }

    fn obstacle(&self, node: &Node) -> Option<Status> {
        let open = node.policy.profile.ssh.root_login.allow_key_from.iter().find(|net| net.prefix_len() == 0)?;
        Some(Status::Refused {
            why: format!(
                "`allow-key-from` names {open}, which is every address; to let root in with a key from everywhere set \
                 `permit = \"prohibit-password\"`"
            ),
        })
    }
}

fn allowed(node: &Node, address: IpAddr) -> bool {
    node.policy.profile.ssh.root_login.allow_key_from.iter().any(|net| net.contains(&address))
}
