//! `ssh.crypto`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ssh_key::PublicKey;

use crate::controls::{Meta, Reference, Severity, Status};
use crate::facts::SshdCase;
use crate::profile::policy::{CryptoPolicy, Policy};

use super::node::{Node, address_list};
use super::section::{Block, Line, Section};
use super::want::{Accept, Want};
use super::{Ssh, SshControl};

/// The control.
pub const CRYPTO: Ssh = Ssh(&Crypto);

struct Crypto;

const META: Meta = Meta {
    id: "ssh.crypto",
    title: "sshd offers only current algorithms, and those that every node of the cluster knows",
    why: "Traffic recorded today can be broken later where the key exchange was not made for quantum computers, and \
          encrypt-and-MAC, SHA-1 and short RSA keys are the parts of SSH that have been attacked in practice.",
    checked: "The lists that `sshd -T` prints hold only wanted names; names this OpenSSH does not know are left out, \
              and in a cluster each list keeps a name that every member's OpenSSH knows: the version that an online \
              member's sshd says, else 9.2 (PVE 8). Sizes of the RSA host key, root's keys and the administrators' keys against `required-rsa-size`.",
    naive: "Lists from a guide for OpenSSH 10 stop sshd 9.2 from starting: it does not know mlkem768x25519-sha256. \
            Dropping rsa-sha2 host keys cuts a cluster apart, because peers know each other by the RSA key only. \
            PVE's own ssh client asks for AES first, so one AES cipher must stay. strict keeps only the key exchanges \
            made for quantum computers. That shuts out OpenSSH before 8.9 (Debian 11, Ubuntu 20.04), PuTTY before 0.78, \
            and programs whose own SSH library has neither mlkem768x25519 nor sntrup761x25519: libssh2, older \
            Paramiko, Go's x/crypto/ssh before its ML-KEM (older Terraform and Crossplane providers), and so some \
            backup and monitoring tools. What the operator's own ssh offers (`ssh -G`) is compared first, and a plan without a common name \
            refused; a jump host only passes the connection on and need know none. Tools that log in from elsewhere \
            are not asked: let them try on one node, or keep baseline's list, which ends with curve25519 and \
            Diffie-Hellman. Clusters that began with 2048-bit \
            root keys lose SSH between nodes at `RequiredRSASize 3072`.",
    references: &[
        Reference::Guide("1.1.4"),
        Reference::Cis13("5.1.6"),
        Reference::Cis13("5.1.12"),
        Reference::Cis13("5.1.13"),
        Reference::Cis13("5.1.16"),
        Reference::Cis12("5.1.6"),
        Reference::Cis12("5.1.12"),
        Reference::Cis12("5.1.15"),
        Reference::Man("sshd_config(5)"),
        Reference::Source("pve-cluster src/PVE/Cluster/Setup.pm setup_rootsshconfig, ssh_create_node_known_hosts"),
    ],
    level: 2,
    severity: Severity::Medium,
};

const HOST_KEY: &str = "/etc/ssh/ssh_host_rsa_key.pub";

/// Names that came after PVE 8's OpenSSH 9.2, with the release that brought them (OpenSSH's release notes); all other
/// names of the shipped profiles are older.
const SINCE: [(&str, Version); 2] = [("mlkem768x25519-sha256", (9, 9)), ("sntrup761x25519-sha512", (9, 9))];
/// What a member is taken for that could not be asked: PVE 8.
const OLDEST: Version = (9, 2);

type Version = (u32, u32);

const RSA: [&str; 2] = ["rsa-sha2-512", "rsa-sha2-256"];

/// One list: keyword in the file, as printed, name for `ssh -Q`, profile key.
struct List {
    keyword: &'static str,
    printed: &'static str,
    query: &'static str,
    key: &'static str,
    wanted: fn(&CryptoPolicy) -> &[String],
}

const LISTS: [List; 5] = [
    List {
        keyword: "KexAlgorithms",
        printed: "kexalgorithms",
        query: "kex",
        key: "ssh.crypto.kex",
        wanted: |policy| &policy.kex,
    },
    List {
        keyword: "Ciphers",
        printed: "ciphers",
        query: "cipher",
        key: "ssh.crypto.ciphers",
        wanted: |policy| &policy.ciphers,
    },
    List { keyword: "MACs", printed: "macs", query: "mac", key: "ssh.crypto.macs", wanted: |policy| &policy.macs },
    List {
        keyword: "HostKeyAlgorithms",
        printed: "hostkeyalgorithms",
        query: "HostKeyAlgorithms",
        key: "ssh.crypto.host-key-algorithms",
        wanted: |policy| &policy.host_key_algorithms,
    },
    List {
        keyword: "PubkeyAcceptedAlgorithms",
        printed: "pubkeyacceptedalgorithms",
        // The names of public key signatures; `ssh -Q PubkeyAcceptedAlgorithms` prints the same set.
        query: "HostKeyAlgorithms",
        key: "ssh.crypto.pubkey-accepted-algorithms",
        wanted: |policy| &policy.pubkey_accepted_algorithms,
    },
];

impl List {
    /// The wanted names that this node's OpenSSH knows, in the profile's order.
    fn known<'a>(&self, node: &'a Node) -> Vec<&'a str> {
        let Some(known) = node.facts.sshd.algorithms.get(self.query) else { return Vec::new() };
        let wanted = (self.wanted)(&node.policy.profile.ssh.crypto);
        wanted.iter().map(String::as_str).filter(|name| known.contains(*name)).collect()
    }

    fn asked(&self, node: &Node) -> bool {
        !(self.wanted)(&node.policy.profile.ssh.crypto).is_empty()
    }

    /// The value for this login: peers sign in with root's RSA key, whatever the list says.
    fn value(&self, node: &Node, peer: bool) -> String {
        let mut names = self.known(node);
        if peer && self.is_accepted() {
            names.extend(RSA.iter().filter(|name| !self.known(node).contains(name)));
        }
        names.join(",")
    }

    fn is_accepted(&self) -> bool {
        self.keyword == "PubkeyAcceptedAlgorithms"
    }
}

impl SshControl for Crypto {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.ssh.crypto.enabled
    }

    fn wants(&self, node: &Node, case: &SshdCase) -> Vec<Want> {
        let peer = case.user == "root" && node.is_peer(case.address);
        let mut wants: Vec<Want> = LISTS
            .iter()
            .filter(|list| list.asked(node))
            .map(|list| {
                let accept = if peer && list.is_accepted() { Accept::Exactly } else { Accept::Subset };
                Want::accepting(accept, list.printed, list.value(node, peer), list.key)
            })
            .collect();
        let size = node.policy.profile.ssh.crypto.required_rsa_size;
        if size > 0 {
            let key = "ssh.crypto.required-rsa-size";
            wants.push(Want::accepting(Accept::AtLeast, "requiredrsasize", size.to_string(), key));
        }
        wants
    }

    fn section(&self, node: &Node) -> Section {
        let line = |list: &List, peer: bool| -> Line { (list.keyword, list.value(node, peer)) };
        let asked = || LISTS.iter().filter(|list| list.asked(node));
        let mut globals: Vec<Line> = asked().map(|list| line(list, false)).collect();
        let size = node.policy.profile.ssh.crypto.required_rsa_size;
        if size > 0 {
            globals.push(("RequiredRSASize", size.to_string()));
        }
        let everybody: Vec<Line> = asked().filter(|list| list.is_accepted()).map(|list| line(list, false)).collect();
        let mut exceptions = Vec::new();
        if node.clustered() && !everybody.is_empty() {
            exceptions.push(Block {
                note: "cluster peers",
                criteria: format!("User root Address {}", address_list(&node.peers)),
                lines: asked().filter(|list| list.is_accepted()).map(|list| line(list, true)).collect(),
            });
        }
        Section { globals, exceptions, everybody }
    }

    fn obstacle(&self, node: &Node) -> Option<Status> {
        unusable_lists(node).or_else(|| short_keys(node))
    }

    fn reads(&self) -> &'static [&'static str] {
        &[HOST_KEY]
    }
}

fn refused(why: impl Into<String>) -> Status {
    Status::Refused { why: why.into() }
}

/// Another member and the OpenSSH it runs, if its sshd said.
struct Member<'a> {
    name: &'a str,
    version: Option<Version>,
}

impl Member<'_> {
    fn knows(&self, name: &str) -> bool {
        let since = SINCE.iter().find(|(new, _)| *new == name);
        since.is_none_or(|(_, since)| self.version.unwrap_or(OLDEST) >= *since)
    }
}

impl std::fmt::Display for Member<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.version {
            Some((major, minor)) => write!(f, "OpenSSH {major}.{minor} of {}", self.name.escape_debug()),
            None => write!(
                f,
                "OpenSSH 9.2 of a PVE 8 member ({} could not be asked, so it may be one)",
                self.name.escape_debug()
            ),
        }
    }
}

/// The other members.
fn members<'a>(node: &Node<'a>) -> Vec<Member<'a>> {
    let said = &node.facts.sshd.peer_versions;
    let peers = node.facts.cluster.known().map(|cluster| cluster.peers.as_slice()).unwrap_or_default();
    let version =
        |addresses: &BTreeSet<IpAddr>| addresses.iter().filter_map(|address| said.get(address)).min().copied();
    peers.iter().map(|peer| Member { name: &peer.name, version: version(&peer.addresses) }).collect()
}

/// Lists with which somebody could not connect any more.
fn unusable_lists(node: &Node) -> Option<Status> {
    for list in LISTS.iter().filter(|list| list.asked(node)) {
        if !node.facts.sshd.algorithms.contains_key(list.query) {
            return Some(Status::Unknown { why: format!("the capture lacks `ssh -Q {}`", list.query) });
        }
        let known = list.known(node);
        if known.is_empty() {
            return Some(refused(format!("this node's OpenSSH knows none of the names in `{}`", list.key)));
        }
        if let Some(member) = members(node).into_iter().find(|member| !known.iter().any(|name| member.knows(name))) {
            return Some(refused(format!(
                "`{}` leaves only {}, which {member} does not know; add an older name",
                list.key,
                known.join(", ")
            )));
        }
        if list.keyword == "Ciphers" && !known.iter().any(|name| name.starts_with("aes")) {
            return Some(refused(
                "`ssh.crypto.ciphers` holds no AES cipher, which PVE's own ssh client asks for first",
            ));
        }
        if list.keyword == "HostKeyAlgorithms" && !known.iter().any(|name| RSA.contains(name)) {
            return Some(refused(
                "`ssh.crypto.host-key-algorithms` holds neither rsa-sha2-512 nor rsa-sha2-256; cluster nodes know each \
                 other by their RSA host keys only",
            ));
        }
    }
    None
}

/// RSA keys that `RequiredRSASize` would turn away.
fn short_keys(node: &Node) -> Option<Status> {
    let required = node.policy.profile.ssh.crypto.required_rsa_size;
    if required == 0 {
        return None;
    }
    let short = |line: &str| rsa_bits(line).filter(|bits| *bits < required);
    match node.facts.file(HOST_KEY).certain() {
        Err(why) => return Some(Status::Unknown { why: format!("{HOST_KEY}: {why}") }),
        Ok(Some(fact)) => {
            let Some(content) = &fact.content else {
                return Some(Status::Unknown {
                    why: format!("{HOST_KEY}: its content was not read: it is too large, or not text in UTF-8"),
                });
            };
            if let Some(bits) = content.lines().find_map(short) {
                return Some(refused(format!(
                    "the node's RSA host key has {bits} bits and `required-rsa-size = {required}` would stop sshd from \
                     using it; peers know the node by no other key"
                )));
            }
        }
        Ok(None) => {}
    }
    for admin in &node.policy.site.admins {
        if !admin.keys.is_empty() && admin.keys.iter().all(|line| short(line).is_some()) {
            return Some(refused(format!(
                "every key of `{}` is RSA with fewer than {required} bits (`required-rsa-size`); give the site a newer key",
                admin.name
            )));
        }
    }
    if node.clustered() { short_root_keys(node, required) } else { None }
}

/// Peers' root keys lie in `/etc/pve/priv/authorized_keys`.
fn short_root_keys(node: &Node, required: u32) -> Option<Status> {
    let Some(reading) = node.facts.accounts.authorized_keys.get("root") else {
        return Some(Status::Unknown { why: "root's authorized_keys: the capture does not contain it".into() });
    };
    let keys = match reading.required("root's authorized_keys") {
        Ok(keys) => keys,
        Err(why) => return Some(Status::Unknown { why }),
    };
    let short = keys.lines.iter().find_map(|line| Some((rsa_bits(line).filter(|bits| *bits < required)?, line)))?;
    let comment =
        PublicKey::from_openssh(short.1).map(|key| key.comment().escape_debug().to_string()).unwrap_or_default();
    Some(refused(format!(
        "the key `{comment}` of root has {} bits and `required-rsa-size = {required}` would refuse it; make a new \
         /root/.ssh/id_rsa on that node (`ssh-keygen -t rsa -b 4096`) and run `pvecm updatecerts` there first",
        short.0
    )))
}

/// Modulus length of an RSA public key line; options before the key are skipped.
fn rsa_bits(line: &str) -> Option<u32> {
    let start = line.find("ssh-rsa ")?;
    let key = PublicKey::from_openssh(line[start..].trim()).ok()?;
    let modulus = key.key_data().rsa()?.n.as_positive_bytes()?;
    let leading = modulus.first()?.leading_zeros();
    u32::try_from(modulus.len() * 8).ok().map(|bits| bits - leading)
}
