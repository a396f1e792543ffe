//! Which private keys this operator can use: the agent's, and the identity files ssh would offer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use ssh_key::{HashAlg, PrivateKey, PublicKey};
use tokio::process::Command;
use tokio::time::timeout;

use super::args;
use crate::profile::policy::{Host, Policy};

/// Asking the local ssh programs takes milliseconds; an agent that hangs holds no usable key.
const PATIENCE: Duration = Duration::from_secs(5);

/// What this operator's own ssh says about logging in to a node.
#[derive(Debug, Default)]
pub struct Own {
    /// Fingerprints (`SHA256:…`) of the keys that can be used, as any of the node's administrators.
    pub held: BTreeSet<String>,
    /// What ssh offers as the first administrator: keyword → names.
    pub algorithms: BTreeMap<String, BTreeSet<String>>,
}

/// Asks it, once for each user.
pub async fn own(policy: &Policy, connection: &args::Connection) -> Own {
    let host = &policy.host;
    let admins = policy.site.admins.iter().map(|admin| &admin.name);
    let users: BTreeSet<&String> = host.user.iter().chain(admins).collect();
    let (mut identities, mut agents) = (BTreeSet::from_iter(host.identity.clone()), BTreeSet::from([None]));
    let first = policy.site.admins.first().map(|admin| &admin.name).or(host.user.as_ref());
    let mut algorithms = BTreeMap::new();
    for user in users {
        let settings = ssh_settings(host, user, connection).await;
        identities.extend(settings.identities);
        agents.extend(settings.agent.map(Some));
        if first == Some(user) {
            algorithms = settings.algorithms;
        }
    }
    if std::env::var_os("SSH_AUTH_SOCK").is_none() {
        agents.remove(&None);
    }
    let mut held: BTreeSet<String> = identities.iter().filter_map(|file| fingerprint(file)).collect();
    for socket in agents {
        held.extend(agent(socket.as_deref()).await);
    }
    Own { held, algorithms }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct SshSettings {
    identities: Vec<PathBuf>,
    agent: Option<String>,
    algorithms: BTreeMap<String, BTreeSet<String>>,
}

/// `ssh -G`: identity files and agent socket as the operator's ssh configuration sets them for this login. Contacts
/// nobody.
async fn ssh_settings(host: &Host, user: &str, connection: &args::Connection) -> SshSettings {
    let mut command = Command::new("ssh");
    command.args(["-G", "-l", user]);
    if let Some(port) = host.port {
        command.args(["-p", &port.to_string()]);
    }
    if let Some(config) = &connection.ssh_config {
        command.arg("-F").arg(config);
    }
    let output = answer(command.arg("--").arg(&host.address)).await.unwrap_or_default();
    parse_settings(&output, std::env::home_dir().as_deref())
}

fn parse_settings(output: &str, home: Option<&Path>) -> SshSettings {
    let mut settings = SshSettings::default();
    for (keyword, value) in output.lines().filter_map(|line| line.split_once(' ')) {
        match keyword {
            "identityfile" if value != "none" => settings.identities.push(expand(value, home)),
            "identityagent" if !matches!(value, "SSH_AUTH_SOCK" | "none") => {
                settings.agent = Some(expand(value, home).to_string_lossy().into_owned());
            }
            "kexalgorithms" | "ciphers" | "hostkeyalgorithms" => {
                settings.algorithms.insert(keyword.to_owned(), value.split(',').map(str::to_owned).collect());
            }
            _ => {}
        }
    }
    settings
}

fn expand(path: &str, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

/// Public keys the agent offers.
async fn agent(socket: Option<&str>) -> BTreeSet<String> {
    let mut command = Command::new("ssh-add");
    command.arg("-L");
    if let Some(socket) = socket {
        command.env("SSH_AUTH_SOCK", socket);
    }
    let keys = answer(&mut command).await.unwrap_or_default();
    keys.lines().filter_map(|line| PublicKey::from_openssh(line).ok()).map(|key| shown(&key)).collect()
}

async fn answer(command: &mut Command) -> Option<String> {
    command.stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.ok()?.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The fingerprint of a private key file; its public half is readable without the passphrase.
fn fingerprint(file: &Path) -> Option<String> {
    if !file.is_file() {
        return None;
    }
    let mut public = file.as_os_str().to_owned();
    public.push(".pub");
    let beside = std::fs::read_to_string(&public).ok().and_then(|text| PublicKey::from_openssh(text.trim()).ok());
    let key = beside.or_else(|| PrivateKey::read_openssh_file(file).ok().map(|key| key.public_key().clone()))?;
    Some(shown(&key))
}

fn shown(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_and_agent_are_read_as_ssh_prints_them() {
        let output = "user ops\nidentityfile ~/.ssh/id_ed25519\nidentityfile /keys/x\nidentityagent ~/agent.sock\n";
        let settings = parse_settings(output, Some(Path::new("/home/me")));
        assert_eq!(settings.identities, [PathBuf::from("/home/me/.ssh/id_ed25519"), PathBuf::from("/keys/x")]);
        assert_eq!(settings.agent.as_deref(), Some("/home/me/agent.sock"));
        assert_eq!(parse_settings("identityagent SSH_AUTH_SOCK\n", None), SshSettings::default());
        let algorithms = parse_settings("kexalgorithms a,b@c\nciphers d\nmacs e\n", None).algorithms;
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<String>>();
        assert_eq!(
            algorithms,
            [("ciphers".into(), list(&["d"])), ("kexalgorithms".into(), list(&["a", "b@c"]))].into()
        );
    }

    #[test]
    fn a_file_that_is_not_there_or_no_key_holds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(fingerprint(&folder.path().join("absent")), None);
        let file = folder.path().join("garbage");
        std::fs::write(&file, "not a key").unwrap();
        assert_eq!(fingerprint(&file), None);
    }
}
