//! The operator's own `ssh`: its private directory, its command line, its environment.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use super::askpass::{SOCKET, socket};
use super::error::Error;
use super::operator::Operator;
use super::quote;
use super::target::{HostKeyPolicy, Target};

/// Which ways to log in are tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Methods {
    /// Keys and agents first, then a password.
    #[default]
    KeyOrPassword,
    /// No password, whatever the node offers.
    KeyOnly,
    /// No key: shows that a password works.
    PasswordOnly,
}

/// Longest path a Unix socket can have here, less what ssh appends while it binds (`.` and 16 characters).
const SOCKET_PATH: usize = 103 - 17;
/// How long `ssh -G` may take; it may run `Match exec` commands.
const RESOLVE: Duration = Duration::from_secs(20);

/// Holds for every ssh of this tool, over the operator's `ssh_config`: what would forward, run something else, reuse
/// another connection, or keep the tool from noticing a dead link. The host key is always judged.
const OPTIONS: &[&str] = &[
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "Tunnel=no",
    "EscapeChar=none",
    "VisualHostKey=no",
    "LogLevel=INFO",
    "BatchMode=no",
    // Passphrases may be mistyped; a second question for the node's password ends the login.
    "NumberOfPasswordPrompts=3",
    "StrictHostKeyChecking=ask",
    "NoHostAuthenticationForLocalhost=no",
    "GSSAPIDelegateCredentials=no",
    "ConnectTimeout=20",
    "ConnectionAttempts=1",
    "ServerAliveInterval=5",
];

/// Messages that may stay unanswered while a program runs: a dead link shows after 20 s.
pub(super) const ALIVE: &str = "ServerAliveCountMax=4";
/// In a new login sshd answers none of them while PAM opens the session, and systemd may take its time for that:
/// `pam_systemd` waits as long as two minutes for the person's own manager.
pub(super) const ALIVE_AFTER_LOGIN: &str = "ServerAliveCountMax=12";

/// With a pin `known_hosts` has no say: the file is private and empty, so ssh asks, and the pin answers.
const PINNED: &[&str] = &[
    "GlobalKnownHostsFile=/dev/null",
    "KnownHostsCommand=none",
    "VerifyHostKeyDNS=no",
    "UpdateHostKeys=no",
    "CheckHostIP=no",
];

/// A 0700 directory for sockets, gone with this value.
pub(super) fn private_directory() -> Result<TempDir, Error> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let places = runtime.into_iter().chain([std::env::temp_dir(), PathBuf::from("/tmp")]);
    let mut why = String::from("every path is too long for a socket");
    for place in places.filter(|place| usable(place)) {
        let made = tempfile::Builder::new()
            .prefix("pvh-")
            .rand_bytes(12)
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir_in(&place);
        match made {
            Ok(directory) => return Ok(directory),
            Err(error) => why = format!("{}: {error}", place.display()),
        }
    }
    Err(Error::Internal(format!("no private directory can be made: {why}")))
}

/// ssh expands `%` and `${}` in a `ControlPath`, and the path must fit into a socket address.
fn usable(place: &Path) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
    place.is_absolute()
        && place.as_os_str().len() + "/pvh-123456789012/master".len() <= SOCKET_PATH
        && place.as_os_str().as_encoded_bytes().iter().copied().all(plain)
}

/// What `ssh_config` makes of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    pub user: String,
    /// The name ssh uses in password prompts and for `known_hosts`.
    pub name: String,
}

impl Resolved {
    pub(super) fn account(&self) -> String {
        format!("{}@{}", self.user, self.name)
    }

    fn read(printed: &str) -> Option<Self> {
        let value = |key: &str| {
            printed.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')).map(str::trim).map(str::to_owned)
        };
        let alias = value("hostkeyalias").filter(|alias| alias != "none");
        Some(Self { user: value("user")?, name: alias.or_else(|| value("hostname").map(|name| name.to_lowercase()))? })
    }
}

/// The way of a connection to the node: where `ssh_config` says that it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// Name or address.
    pub host: String,
    /// `ProxyJump`, one or more hosts.
    pub jump: Option<String>,
    /// `ProxyCommand`: only ssh itself knows the way.
    pub by_command: bool,
}

impl Route {
    fn read(printed: &str) -> Option<Self> {
        let value = |key: &str| {
            let value = printed.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')).map(str::trim);
            value.filter(|value| *value != "none").map(str::to_owned)
        };
        let (jump, command) = (value("proxyjump"), value("proxycommand"));
        Some(Self { host: value("hostname")?, by_command: jump.is_none() && command.is_some(), jump })
    }
}

/// Asks ssh what it would do; contacts nobody.
pub(super) async fn resolve(target: &Target) -> Result<Resolved, Error> {
    Resolved::read(&printed(target).await?)
        .ok_or_else(|| Error::Client("ssh -G prints no user and host name; OpenSSH 8.4 or newer is needed".into()))
}

/// As [`resolve`], for connections that ssh does not make.
pub(super) async fn route(target: &Target) -> Result<Route, Error> {
    Route::read(&printed(target).await?).ok_or_else(|| Error::Client("ssh -G prints no host name".into()))
}

async fn printed(target: &Target) -> Result<String, Error> {
    let mut command = Command::new("ssh");
    command.args(target.arguments()).args(["-G", "--", target.destination()]);
    quiet(&mut command);
    let output = timeout(RESOLVE, command.stdin(Stdio::null()).kill_on_drop(true).output())
        .await
        .map_err(|_| Error::Client("ssh -G did not end; look for Match exec in the ssh config".into()))?
        .map_err(|error| Error::Client(error.to_string()))?;
    if !output.status.success() {
        return Err(Error::Target(super::sanitize::tail(&output.stderr, 400)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// An ssh that carries one connection to `host:port` from the last of the jump hosts. It asks nobody anything: who can
/// log in to them only by a password has no such connection.
pub(super) fn forward(target: &Target, jump: &str, host: &str, port: u16) -> Command {
    let mut command = Command::new("ssh");
    if let Some(path) = &target.ssh_config {
        command.arg("-F").arg(path);
    }
    let last = match jump.rsplit_once(',') {
        Some((before, last)) => {
            command.args(["-J", before]);
            last
        }
        None => jump,
    };
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    command.args(["-x", "-a", "-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-o", "ControlMaster=no"]);
    command.args(["-o", "ControlPath=none", "-o", "PermitLocalCommand=no", "-o", "StrictHostKeyChecking=yes"]);
    command.args(["-W", &format!("{host}:{port}"), "--", &format!("ssh://{}", last.trim_start_matches("ssh://"))]);
    quiet(&mut command);
    command.process_group(0).kill_on_drop(true).stderr(Stdio::null());
    command
}

/// An ssh for `target` whose questions come to the socket in `directory`; the caller adds what it is for, then the
/// destination. The secrets of this process's environment are not passed on.
pub(super) fn ssh(target: &Target, methods: Methods, operator: &Operator, directory: &Path) -> Result<Command, Error> {
    let askpass = operator.askpass().map_err(|error| Error::Internal(format!("no path to this program: {error}")))?;
    let mut command = Command::new("ssh");
    command.args(pin(target, directory)).args(target.arguments()).args(["-x", "-a", "-T"]);
    let methods: &[&str] = match methods {
        Methods::KeyOrPassword => &["PasswordAuthentication=yes", "KbdInteractiveAuthentication=yes"],
        Methods::KeyOnly => {
            &["PreferredAuthentications=publickey", "PasswordAuthentication=no", "KbdInteractiveAuthentication=no"]
        }
        Methods::PasswordOnly => &[
            "PreferredAuthentications=keyboard-interactive,password",
            "PubkeyAuthentication=no",
            "PasswordAuthentication=yes",
            "KbdInteractiveAuthentication=yes",
        ],
    };
    for option in OPTIONS.iter().chain(methods) {
        command.args(["-o", option]);
    }
    quiet(&mut command);
    command.env("SSH_ASKPASS", askpass).env("SSH_ASKPASS_REQUIRE", "force").env(SOCKET, socket(directory));
    // Ctrl-C is this process's to handle: the connection is still needed to learn how a run ends.
    command.process_group(0).kill_on_drop(true);
    Ok(command)
}

fn pin(target: &Target, directory: &Path) -> Vec<OsString> {
    if !matches!(target.host_keys, HostKeyPolicy::Pinned(_)) {
        return Vec::new();
    }
    let file = format!("UserKnownHostsFile={}", quote::ssh_option_path(&directory.join("known_hosts")));
    let options = PINNED.iter().map(OsString::from).chain([file.into()]);
    options.flat_map(|option| ["-o".into(), option]).collect()
}

/// Removes this tool's variables, the secret ones among them.
fn quiet(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("PVE_ROOT_PASS") || text.starts_with("PVE_HARDEN_") {
            command.env_remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_in_prompts_is_the_alias_or_the_host_name() {
        let printed = "host pve\nuser root\nhostname PVE1.example.org\nport 22\nhostkeyalias none\n";
        assert_eq!(Resolved::read(printed).unwrap().account(), "root@pve1.example.org");
        let printed = "user root\nhostname 10.0.0.1\nhostkeyalias Pve1\n";
        assert_eq!(Resolved::read(printed).unwrap().account(), "root@Pve1");
        assert_eq!(Resolved::read("user root\n"), None);
    }

    #[test]
    fn a_route_is_direct_or_over_jump_hosts() {
        let route = Route::read("user root\nhostname 10.0.0.1\nproxyjump ops@a:2222,b\n").unwrap();
        assert_eq!((route.jump.as_deref(), route.by_command), (Some("ops@a:2222,b"), false));
        let route = Route::read("hostname 10.0.0.1\nproxycommand nc %h %p\n").unwrap();
        assert!(route.by_command);
        let route = Route::read("hostname 10.0.0.1\nproxycommand none\n").unwrap();
        assert_eq!(route, Route { host: "10.0.0.1".into(), jump: None, by_command: false });
        let command = forward(&Target::new("pve1"), "ops@a:2222,b", "fd00::1", 8006);
        let arguments: Vec<_> = command.as_std().get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        assert_eq!(arguments[..2], ["-J", "ops@a:2222"]);
        assert_eq!(arguments[arguments.len() - 4..], ["-W", "[fd00::1]:8006", "--", "ssh://b"]);
    }

    #[test]
    fn a_private_directory_is_private_and_short() {
        let directory = private_directory().unwrap();
        let mode = std::fs::metadata(directory.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert!(directory.path().join("master").as_os_str().len() <= SOCKET_PATH);
        assert!(!usable(Path::new("/run/${HOME}")));
        assert!(!usable(Path::new(&format!("/{}", "x".repeat(90)))));
    }
}
