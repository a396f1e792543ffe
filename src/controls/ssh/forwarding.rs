//! `ssh.forwarding`.

use crate::controls::{Meta, Reference, Severity};
use crate::facts::SshdCase;
use crate::profile::policy::Policy;

use super::node::{Node, address_list};
use super::section::{Block, Line, Section};
use super::want::{Accept, Want};
use super::{Ssh, SshControl};

/// The control.
pub const FORWARDING: Ssh = Ssh(&Forwarding);

struct Forwarding;

const META: Meta = Meta {
    id: "ssh.forwarding",
    title: "SSH forwards nothing, except what migration needs between nodes",
    why: "A forwarded port or agent turns an account on the node into a path to the networks behind it: corosync, \
          storage, the guests' consoles on 127.0.0.1.",
    checked: "`sshd -T -C` in every case. sshd goes on printing `allowtcpforwarding yes` while `disableforwarding \
              yes` is in force, so both are read together.",
    naive: "`DisableForwarding yes` for everybody breaks live migration: QEMU's stream goes through `ssh -L` from a \
            UNIX socket to a UNIX socket, so peers need stream-local forwarding as well as TCP. Administrators who \
            reach port 8006 with `ssh -L`, or use the node as a jump host, need local TCP forwarding.",
    references: &[
        Reference::Guide("1.1.2"),
        Reference::Cis13("5.1.8"),
        Reference::Cis12("5.1.8"),
        Reference::Man("sshd_config(5)"),
        Reference::Source("qemu-server src/PVE/QemuMigrate.pm start_remote_tunnel"),
        Reference::Source("pve-guest-common src/PVE/Tunnel.pm fork_ssh_tunnel"),
    ],
    level: 2,
    severity: Severity::Medium,
};

const KEY: &str = "ssh.forwarding.enabled";
const ADMINS: &str = "ssh.forwarding.tcp-for-admins";

/// Keyword in the file, as sshd prints it, for peers, for administrators who may forward.
const KINDS: [(&str, &str, &str, &str); 6] = [
    ("DisableForwarding", "disableforwarding", "no", "no"),
    ("AllowTcpForwarding", "allowtcpforwarding", "yes", "local"),
    ("AllowStreamLocalForwarding", "allowstreamlocalforwarding", "yes", "no"),
    ("AllowAgentForwarding", "allowagentforwarding", "no", "no"),
    ("X11Forwarding", "x11forwarding", "no", "no"),
    ("PermitTunnel", "permittunnel", "no", "no"),
];

impl SshControl for Forwarding {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.ssh.forwarding.enabled
    }

    fn wants(&self, node: &Node, case: &SshdCase) -> Vec<Want> {
        if case.user == "root" && node.is_peer(case.address) {
            return KINDS.iter().map(|(_, printed, peer, _)| Want::exactly(printed, *peer, KEY)).collect();
        }
        if node.policy.profile.ssh.forwarding.tcp_for_admins && node.is_admin(case) {
            return KINDS.iter().map(|(_, printed, _, admin)| Want::exactly(printed, *admin, ADMINS)).collect();
        }
        vec![Want::accepting(Accept::NoForwarding, "disableforwarding", "yes", KEY)]
    }

    fn section(&self, node: &Node) -> Section {
        let mut exceptions = Vec::new();
        if node.clustered() {
            exceptions.push(Block {
                note: "cluster peers",
                criteria: format!("User root Address {}", address_list(&node.peers)),
                lines: KINDS.iter().map(|(keyword, _, peer, _)| (*keyword, (*peer).into())).collect(),
            });
        }
        let admins = node.admins();
        if node.policy.profile.ssh.forwarding.tcp_for_admins && !admins.is_empty() {
            exceptions.push(Block {
                note: "administrators",
                criteria: format!("User {}", admins.join(",")),
                lines: KINDS.iter().map(|(keyword, _, _, admin)| (*keyword, (*admin).into())).collect(),
            });
        }
        let off = |keyword: &'static str| (keyword, if keyword == "DisableForwarding" { "yes" } else { "no" }.into());
        let globals: Vec<Line> = KINDS.iter().map(|(keyword, ..)| off(keyword)).collect();
        Section { globals, exceptions, everybody: vec![off("DisableForwarding")] }
    }
}
