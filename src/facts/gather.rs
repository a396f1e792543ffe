//! The capture program: what the node is asked, as one POSIX shell text.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use ipnet::IpNet;

use super::SshdCase;
use super::network::TlsQuestion;
use crate::pve::node_config::{is_config_id, is_domain_name};
use crate::transport::capture::{Capture, Section};
use crate::transport::{Frame, quote};

/// Parts in the order in which they run; they share variables.
const PARTS: &[&str] = &[
    include_str!("remote/common.sh"),
    include_str!("remote/system.sh"),
    include_str!("remote/sshd.sh"),
    include_str!("remote/accounts.sh"),
    include_str!("remote/network.sh"),
    include_str!("remote/access.sh"),
    include_str!("remote/files.sh"),
    include_str!("remote/packages.sh"),
    include_str!("remote/tasks.sh"),
    include_str!("remote/os.sh"),
    include_str!("remote/cert.sh"),
    include_str!("remote/watch.sh"),
];

/// Paths that every capture holds; patterns are expanded on the node, the directory of `DIRECTORY/*` is read, too.
const FILES: &[&str] = &[
    "/etc/os-release",
    "/etc/debian_version",
    "/etc/hosts",
    "/etc/nologin",
    "/run/nologin",
    "/etc/shells",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/gshadow",
    "/var/lib/dpkg/status",
    "/etc/sudoers",
    "/etc/sudoers.d/*",
    "/etc/ssh",
    "/etc/ssh/sshd_config",
    "/etc/ssh/sshd_config.d/*",
    "/etc/ssh/ssh_host_*_key",
    "/etc/ssh/ssh_host_*_key.pub",
    "/root",
    "/root/.ssh",
    "/root/.ssh/authorized_keys",
    "/root/.ssh/config",
    "/etc/pam.d/*",
    "/usr/lib/pam.d/*",
    "/usr/share/pam-configs/*",
    "/var/lib/pam/*",
    "/etc/security/pwquality.conf",
    "/etc/security/pwquality.conf.d/*",
    "/etc/security/faillock.conf",
    "/etc/security/pwhistory.conf",
    "/etc/login.defs",
    "/etc/default/useradd",
    "/etc/profile",
    "/etc/profile.d/*",
    "/etc/bash.bashrc",
    "/etc/pve",
    "/etc/pve/corosync.conf",
    "/etc/corosync/corosync.conf",
    "/etc/pve/.members",
    "/etc/pve/datacenter.cfg",
    "/etc/pve/user.cfg",
    "/etc/pve/domains.cfg",
    "/etc/pve/ha",
    "/etc/pve/ha/manager_status",
    "/etc/pve/ha/groups.cfg",
    "/etc/sysctl.conf",
    "/etc/apt/sources.list.d/*.list",
    "/etc/pve/firewall",
    "/etc/pve/firewall/*.fw",
    "/etc/pve/firewall/cluster.fw",
    "/etc/pve/nodes/*/host.fw",
    "/etc/pve/storage.cfg",
    "/etc/pve/ceph.conf",
    "/etc/default/pveproxy",
    "/var/lib/pve-harden/runs",
    "/var/lib/pve-harden/runs/*/meta.json",
    "/var/lib/pve-harden/runs/*/state.json",
    "/var/lib/pve-harden/runs/*/new",
    "/var/lib/pve-harden/runs/*/open",
    "/var/lib/pve-harden/runs/*/undoing",
    "/var/lib/pve-harden/runs/*/undone",
    "/var/lib/pve-harden/runs/*/committed",
    "/var/lib/pve-harden/runs/*/refused",
    "/var/lib/pve-harden/runs/*/rolled-back",
];

/// Units that every capture asks for.
const UNITS: &[&str] = &[
    "ssh.service",
    "ssh.socket",
    "pve-cluster.service",
    "corosync.service",
    "pveproxy.service",
    "pvedaemon.service",
    "pve-firewall.service",
    "proxmox-firewall.service",
    "spiceproxy.service",
    "rpcbind.service",
    "rpcbind.socket",
    "nfs-server.service",
];

/// Addresses that stand for "somebody on the Internet": documentation networks (RFC 5737, RFC 3849).
const OUTSIDE: [&str; 5] = ["203.0.113.1", "198.51.100.1", "192.0.2.1", "2001:db8::1", "3fff::1"];

/// What a capture asks for beyond what every capture holds.
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Random per capture; goes before a password hash when its digest is made on the node.
    pub salt: String,
    /// Accounts whose sudo rights, keys and sshd cases are wanted: the site's admins, present and removed.
    pub accounts: BTreeSet<String>,
    /// Addresses that stand for an administrator's machine.
    pub probes: BTreeSet<IpAddr>,
    /// Addresses that stand for the outside.
    pub outside: BTreeSet<IpAddr>,
    /// Further questions to sshd.
    pub cases: BTreeSet<SshdCase>,
    /// Further paths; `*`, `?` and `[…]` are expanded on the node.
    pub files: BTreeSet<String>,
    /// Further systemd units.
    pub units: BTreeSet<String>,
    /// Packages whose installation is simulated where they are missing.
    pub packages: BTreeSet<String>,
    /// Those of them that only a machine with a kernel of its own is given.
    pub machine_packages: BTreeSet<String>,
    /// Handshakes to try with port 8006; none asks for none.
    pub tls: BTreeSet<TlsQuestion>,
    /// Kernel settings, by their names for sysctl(8).
    pub sysctl: BTreeSet<String>,
    /// Kernel modules, with `_` in their names.
    pub modules: BTreeSet<String>,
    /// Whether the public keys of every person with an account are read, not only those in `accounts`.
    pub people: bool,
    /// Whether 8006 is asked for its certificate, and the node for its ACME plugins.
    pub certificate: bool,
    /// ACME accounts to describe: about a second of the node's time each.
    pub acme_accounts: BTreeSet<String>,
    /// Names to resolve on the node.
    pub acme_names: BTreeSet<String>,
    /// What is asked of what watches the node, words of `remote/watch.sh`.
    pub watch: BTreeSet<&'static str>,
    /// Whether apt is asked what an upgrade would bring: about a second of the node's time.
    pub pending: bool,
    /// Whether the cluster's online members are asked for their OpenSSH version.
    pub peer_versions: bool,
    /// Whether the logins at port 8006 and the users with a password are asked for.
    pub web_logins: bool,
    /// How far back root's logins are counted.
    pub history_days: u32,
}

impl Request {
    /// A request of the standing questions. Networks that count as inside are given, so that the addresses that
    /// stand for the outside are not among them.
    pub fn new(salt: impl Into<String>, inside: &[IpNet]) -> Self {
        let is_outside = |address: &IpAddr| !inside.iter().any(|net| net.contains(address));
        let candidates = OUTSIDE.iter().filter_map(|word| word.parse::<IpAddr>().ok()).filter(is_outside);
        let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = candidates.partition(IpAddr::is_ipv4);
        Self {
            salt: salt.into(),
            accounts: BTreeSet::new(),
            probes: BTreeSet::new(),
            outside: v4.into_iter().take(1).chain(v6.into_iter().take(1)).collect(),
            cases: BTreeSet::new(),
            files: BTreeSet::new(),
            units: BTreeSet::new(),
            packages: BTreeSet::new(),
            machine_packages: BTreeSet::new(),
            tls: BTreeSet::new(),
            sysctl: BTreeSet::new(),
            modules: BTreeSet::new(),
            people: false,
            certificate: false,
            acme_accounts: BTreeSet::new(),
            acme_names: BTreeSet::new(),
            watch: BTreeSet::new(),
            pending: false,
            peer_versions: false,
            web_logins: false,
            history_days: 30,
        }
    }
}

/// The program for [`crate::transport`]: parameters as quoted assignments, then the parts.
pub fn program(request: &Request) -> String {
    let files = FILES.iter().copied().chain(request.files.iter().map(String::as_str).filter(|path| is_path(path)));
    let files: BTreeSet<&str> = files.flat_map(|path| [Some(path), path.strip_suffix("/*")]).flatten().collect();
    let units = UNITS.iter().copied().chain(request.units.iter().map(String::as_str));
    let cases = request.cases.iter().map(|case| format!("{} {} {}", case.who.name(), case.user, case.address));
    let mut text = String::new();
    assign(&mut text, "PVH_SALT", [request.salt.as_str()]);
    assign(&mut text, "PVH_ACCOUNTS", request.accounts.iter().filter(|name| is_account(name)));
    assign(&mut text, "PVH_PROBES", request.probes.iter().map(ToString::to_string));
    assign(&mut text, "PVH_OUTSIDE", request.outside.iter().map(ToString::to_string));
    assign(&mut text, "PVH_CASES", cases.filter(|case| case.split(' ').count() == 3));
    assign(&mut text, "PVH_FILES", files);
    assign(&mut text, "PVH_UNITS", units.filter(|unit| !unit.starts_with('-')));
    assign(&mut text, "PVH_PACKAGES", request.packages.iter().filter(|name| !name.starts_with('-')));
    assign(&mut text, "PVH_MACHINE_PACKAGES", &request.machine_packages);
    let questions = request.tls.iter().map(|question| [&question.label, &question.version, &question.ciphers]);
    let questions = questions.filter(|words| words.iter().all(|word| is_word(word)));
    assign(&mut text, "PVH_TLS", questions.map(|[label, version, ciphers]| format!("{label} {version} {ciphers}")));
    assign(&mut text, "PVH_SYSCTL", request.sysctl.iter().filter(|name| is_setting(name)));
    assign(&mut text, "PVH_MODULES", request.modules.iter().filter(|name| is_setting(name)));
    assign(&mut text, "PVH_PEOPLE", request.people.then_some("yes"));
    assign(&mut text, "PVH_CERTIFICATE", request.certificate.then_some("yes"));
    assign(&mut text, "PVH_ACME_ACCOUNTS", request.acme_accounts.iter().filter(|name| is_config_id(name)));
    assign(&mut text, "PVH_ACME_NAMES", request.acme_names.iter().filter(|name| is_domain_name(name)));
    assign(&mut text, "PVH_WATCH", &request.watch);
    assign(&mut text, "PVH_PENDING", request.pending.then_some("yes"));
    assign(&mut text, "PVH_PEER_VERSIONS", request.peer_versions.then_some("yes"));
    assign(&mut text, "PVH_WEB_LOGINS", request.web_logins.then_some("yes"));
    assign(&mut text, "PVH_HISTORY_DAYS", [request.history_days.to_string()]);
    assign(&mut text, "PVH_TEXT_LIMIT", [super::files::LIMIT.to_string()]);
    for part in PARTS {
        text.push_str(part);
    }
    text
}

/// The program that asks how a member stands now, see [`super::standing`].
pub fn standing_program() -> String {
    [PARTS[0], include_str!("remote/tasks.sh"), include_str!("remote/standing.sh")].concat()
}

/// A program's answer as a capture. A name that comes twice keeps its first answer.
pub fn capture(frames: impl IntoIterator<Item = Frame>) -> Capture {
    let mut capture = Capture::default();
    for Frame { name, status, body } in frames {
        capture.sections.entry(name).or_insert(Section { status, body });
    }
    capture
}

/// `NAME='value'` with a line per word; a word that is no single line is left out, it could pass for two.
fn assign(text: &mut String, name: &str, words: impl IntoIterator<Item = impl AsRef<str>>) {
    let mut value = String::new();
    for word in words {
        let word = word.as_ref();
        if !word.is_empty() && !word.contains(|c: char| c.is_control()) {
            value.push_str(if value.is_empty() { "" } else { "\n" });
            value.push_str(word);
        }
    }
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{name}={}", quote::shell(&value));
}

/// One word that no program takes for an option.
fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('-') && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// The name of a kernel setting or module: it becomes part of a path below /proc/sys.
fn is_setting(name: &str) -> bool {
    !name.starts_with('.')
        && !name.contains("..")
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

fn is_path(path: &str) -> bool {
    path.starts_with('/') && path.len() < 4096
}

/// useradd's rule, without its length limit.
fn is_account(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_-.$".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::CaseKind;

    fn request() -> Request {
        Request::new("abc", &[])
    }

    /// The value of an assignment, as a shell reads it.
    fn value(program: &str, name: &str) -> String {
        let show = format!("printf %s \"${name}\"");
        let assignments = &program[..program.find("# Shared by").unwrap()];
        let output = std::process::Command::new("sh").arg("-c").arg(format!("{assignments}\n{show}")).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn hostile_parameters_stay_data() {
        let mut request = request();
        request.files = ["/a b/$(touch /x)'\"", "/two\nlines", "relative", ""].map(String::from).into();
        request.accounts = ["ops", "a b", "-x", "$(id)", "x\ny", ""].map(String::from).into();
        request.units = ["--version", "x.service"].map(String::from).into();
        let program = program(&request);
        let files = value(&program, "PVH_FILES");
        assert!(files.lines().any(|path| path == "/a b/$(touch /x)'\""), "{files}");
        assert!(!files.contains("/two") && !files.contains("relative"));
        assert_eq!(value(&program, "PVH_ACCOUNTS"), "ops");
        assert!(value(&program, "PVH_UNITS").ends_with("\nx.service"));
        assert!(!value(&program, "PVH_UNITS").contains("--version"));
    }

    #[test]
    fn the_outside_is_never_inside() {
        let outside = |inside: &[&str]| {
            let inside: Vec<IpNet> = inside.iter().map(|net| net.parse().unwrap()).collect();
            Request::new("", &inside).outside.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(outside(&[]), ["203.0.113.1", "2001:db8::1"]);
        assert_eq!(outside(&["203.0.113.0/24", "2001:db8::/32"]), ["198.51.100.1", "3fff::1"]);
        assert_eq!(outside(&["0.0.0.0/0"]), ["2001:db8::1"]);
    }

    #[test]
    fn the_directory_of_a_pattern_is_read_too() {
        let mut request = request();
        request.files.insert("/etc/extra.d/*".into());
        let files = value(&program(&request), "PVH_FILES");
        assert!(files.lines().any(|path| path == "/etc/extra.d"));
    }

    #[test]
    fn further_cases_are_asked_word_for_word() {
        let mut request = request();
        let address = "192.0.2.7".parse().unwrap();
        request.cases.insert(SshdCase { who: CaseKind::Admin, user: "ops".into(), address });
        request.cases.insert(SshdCase { who: CaseKind::Admin, user: "o ps".into(), address });
        assert_eq!(value(&program(&request), "PVH_CASES"), "admin ops 192.0.2.7");
    }
}
