//! `ssh.password-auth`.

use crate::controls::{Meta, Reference, Severity, Status};
use crate::facts::SshdCase;
use crate::profile::policy::Policy;

use super::node::Node;
use super::section::Section;
use super::want::Want;
use super::{Ssh, SshControl};

/// The control.
pub const PASSWORD_AUTH: Ssh = Ssh(&PasswordAuth);

struct PasswordAuth;

const META: Meta = Meta {
    id: "ssh.password-auth",
    title: "SSH accepts keys and no passwords",
    why: "A password can be guessed, and on a node the same one opens the web interface. A key cannot be guessed, and \
          neither the session nor a log can give it away.",
    checked: "`sshd -T -C` in every case: password and keyboard-interactive logins off, keys on, empty passwords off.",
    naive: "`PasswordAuthentication no` alone leaves keyboard-interactive, where PAM asks for the same password. \
            root's keys lie on /etc/pve: with passwords off and pmxcfs stopped, root cannot log in at all, so a named \
            administrator needs a key on the local disk first. Joining with `pvecm add --use_ssh` and `pvecm qdevice \
            setup` ask for root's password over SSH; joining through the API does not.",
    references: &[
        Reference::Guide("1.1.1"),
        Reference::Cis13("5.1.20"),
        Reference::Cis12("5.1.19"),
        Reference::Man("sshd_config(5)"),
        Reference::Source("pve-cluster src/PVE/CLI/pvecm.pm ssh-copy-id"),
    ],
    level: 1,
    severity: Severity::High,
};

const KEY: &str = "ssh.password-auth.enabled";

/// Keyword in the file, as sshd prints it, value.
const SETTINGS: [(&str, &str, &str); 4] = [
    ("PasswordAuthentication", "passwordauthentication", "no"),
    ("KbdInteractiveAuthentication", "kbdinteractiveauthentication", "no"),
    ("PermitEmptyPasswords", "permitemptypasswords", "no"),
    ("PubkeyAuthentication", "pubkeyauthentication", "yes"),
];

impl SshControl for PasswordAuth {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.ssh.password_auth.enabled
    }

    fn wants(&self, _: &Node, _: &SshdCase) -> Vec<Want> {
        SETTINGS.iter().map(|(_, printed, value)| Want::exactly(printed, *value, KEY)).collect()
    }

    fn section(&self, _: &Node) -> Section {
        let lines: Vec<_> = SETTINGS.iter().map(|(keyword, _, value)| (*keyword, (*value).to_owned())).collect();
        Section { globals: lines.clone(), exceptions: Vec::new(), everybody: lines }
    }

    fn obstacle(&self, node: &Node) -> Option<Status> {
        let has_key = node.policy.site.admins.iter().any(|admin| !admin.keys.is_empty());
        (!has_key).then(|| Status::Refused {
            why: "no administrator of the site has a public key, so nobody could log in once passwords are refused; \
                  name one under `[[admin]]` with `keys`"
                .into(),
        })
    }
}
