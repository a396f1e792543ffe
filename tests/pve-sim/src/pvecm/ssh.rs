//! What PVE does to root's SSH: the shared `authorized_keys`, root's own key, the client and the server configuration.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::console::complain;
use crate::files::{lay_out, write_atomic};
use crate::host::Host;

const CLIENT_CONFIG: &str = "Ciphers aes128-ctr,aes192-ctr,aes256-ctr,aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com\n";
const SERVER_CONFIG: &str = "/etc/ssh/sshd_config";

/// Root's RSA key and client configuration, where they are missing.
pub fn root_key_and_config(host: &Host) -> anyhow::Result<()> {
    let folder = host.path("/root/.ssh");
    let _ = fs::create_dir(&folder);
    let key = folder.join("id_rsa");
    if !folder.join("id_rsa.pub").is_file() {
        Command::new("ssh-keygen")
            .args(["-q", "-t", "rsa", "-N", "", "-b", "4096", "-f"])
            .arg(&key)
            .status()
            .context("running ssh-keygen")?;
    }
    let config = folder.join("config");
    if !config.exists() {
        lay_out(&config, CLIENT_CONFIG.as_bytes(), 0o640)?;
    }
    Ok(())
}

/// Makes `/root/.ssh/authorized_keys` the link into /etc/pve again. A file in its place is set aside as `.org`;
/// [`merge_keys`] takes its lines over.
pub fn link_authorized_keys(host: &Host) -> anyhow::Result<()> {
    let shared = host.pve("priv/authorized_keys");
    let own = host.path("/root/.ssh/authorized_keys");
    let backup = host.path("/root/.ssh/authorized_keys.org");
    let _ = fs::create_dir(host.pve("priv"));
    let mut imported = false;
    if !shared.is_file() {
        let old = if own.is_file() { fs::read(&own).unwrap_or_default() } else { Vec::new() };
        match fs::write(&shared, old) {
            Ok(()) => imported = true,
            Err(_) => complain(format!("can't create shared ssh key database '{}'", shared.display())),
        }
    }
    if own.is_file()
        && !own.is_symlink()
        && let Err(error) = fs::rename(&own, &backup)
    {
        complain(format!("rename {} failed - {error}", own.display()));
    }
    if !own.is_symlink() {
        let _ = symlink("/etc/pve/priv/authorized_keys", &own);
    }
    if !own.is_symlink() {
        bail!("can't create symlink for ssh keys '{}' -> '{}'", own.display(), shared.display());
    }
    if imported {
        let _ = fs::remove_file(&backup);
    }
    Ok(())
}

/// Adds the lines set aside and root's own public key to the shared file; an RSA key twice counts once.
pub fn merge_keys(host: &Host) -> anyhow::Result<()> {
    let shared = host.pve("priv/authorized_keys");
    let backup = host.path("/root/.ssh/authorized_keys.org");
    let own_key = host.path("/root/.ssh/id_rsa.pub");
    let mut text = chomp(&crate::files::text(&shared)).to_owned();
    let set_aside = backup.is_file();
    if set_aside {
        text = format!("{text}\n{}", chomp(&crate::files::text(&backup)));
    }
    if own_key.is_file() {
        text = format!("{text}\n{}\n", chomp(&crate::files::text(&own_key)));
    }
    write_atomic(&shared, without_repeats(&text).as_bytes(), 0o600)?;
    if set_aside && host.path("/root/.ssh/authorized_keys").is_symlink() {
        let _ = fs::remove_file(&backup);
    }
    Ok(())
}

fn chomp(text: &str) -> &str {
    text.strip_suffix('\n').unwrap_or(text)
}

fn without_repeats(text: &str) -> String {
    let mut seen = HashSet::new();
    let mut kept = String::new();
    let lines: Vec<&str> = text.trim_end_matches('\n').split('\n').collect();
    for line in lines {
        if rsa_key(line).is_some_and(|key| !seen.insert(key)) {
            continue;
        }
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

/// The key of a line that ends in `ssh-rsa KEY COMMENT`; only such lines are compared.
fn rsa_key(line: &str) -> Option<&str> {
    if line.starts_with('#') || line.ends_with(char::is_whitespace) {
        return None;
    }
    let mut words = line.split_whitespace().rev();
    let (_comment, key, kind) = (words.next()?, words.next()?, words.next()?);
    matches!(kind, "ssh-rsa" | "ssh-dsa").then_some(key)
}

/// The node's host key for its peers: `nodes/NAME/ssh_known_hosts`.
pub fn node_known_hosts(host: &Host) -> anyhow::Result<()> {
    let file = host.path("/etc/ssh/ssh_host_rsa_key.pub");
    let text = fs::read_to_string(&file)
        .map_err(|error| anyhow::anyhow!("can't open '{}' - {}", file.display(), reason(&error)))?;
    let key = text
        .lines()
        .find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("ssh-rsa")).then(|| words.next())?
        })
        .with_context(|| format!("can't parse {}", file.display()))?;
    write_atomic(&host.own("ssh_known_hosts"), format!("{} ssh-rsa {key}", host.name).as_bytes(), 0o644)
}

/// An error's words without Rust's number behind them.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// What making or joining a cluster does to the SSH server: root may log in. Whether it changed the file.
pub fn open_root_login(host: &Host) -> anyhow::Result<bool> {
    let file = host.path(SERVER_CONFIG);
    let text = fs::read_to_string(&file).with_context(|| format!("can't open '{}'", file.display()))?;
    let Some(changed) = with_root_login(&text) else {
        return Ok(false);
    };
    write_atomic(&file, changed.as_bytes(), 0o644)?;
    Command::new("systemctl").args(["reload-or-restart", "sshd"]).status().context("running systemctl")?;
    Ok(true)
}

/// The first line that starts with `PermitRootLogin` or `#PermitRootLogin` is replaced, else one is added;
/// nothing when a line says yes already.
fn with_root_login(text: &str) -> Option<String> {
    let says_yes = |line: &str| {
        let rest = line.strip_prefix("PermitRootLogin")?;
        (rest.starts_with(char::is_whitespace) && rest.trim() == "yes").then_some(())
    };
    if text.lines().any(|line| says_yes(line).is_some()) {
        return None;
    }
    let mut lines: Vec<&str> = text.split('\n').collect();
    let place = lines.iter().position(|line| line.strip_prefix('#').unwrap_or(line).starts_with("PermitRootLogin"));
    Some(match place {
        Some(index) => {
            lines[index] = "PermitRootLogin yes";
            lines.join("\n")
        }
        None => format!("{}\nPermitRootLogin yes\n", chomp(text)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Release;

    #[test]
    fn the_first_mention_of_root_login_is_replaced() {
        assert_eq!(
            with_root_login("Port 22\n#PermitRootLogin prohibit-password\nPermitRootLogin no\n").as_deref(),
            Some("Port 22\nPermitRootLogin yes\nPermitRootLogin no\n")
        );
        assert_eq!(with_root_login("Port 22\n").as_deref(), Some("Port 22\nPermitRootLogin yes\n"));
        assert_eq!(with_root_login("PermitRootLogin yes\n"), None);
        assert_eq!(with_root_login("x\nPermitRootLogin\tyes  \n"), None);
    }

    #[test]
    fn a_file_in_place_of_the_link_is_merged_and_the_link_is_back() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let host = Host::below(folder.path(), "pve1", Release::Pve9);
        fs::create_dir_all(host.path("/root/.ssh"))?;
        fs::create_dir_all(host.pve("priv"))?;
        fs::write(host.pve("priv/authorized_keys"), "ssh-rsa AAAA root@pve2\n")?;
        fs::write(host.path("/root/.ssh/authorized_keys"), "ssh-ed25519 BBBB me\nssh-rsa AAAA root@pve2\nx\n")?;
        fs::write(host.path("/root/.ssh/id_rsa.pub"), "ssh-rsa CCCC root@pve1\n")?;
        link_authorized_keys(&host)?;
        merge_keys(&host)?;
        assert_eq!(
            fs::read_to_string(host.pve("priv/authorized_keys"))?,
            "ssh-rsa AAAA root@pve2\nssh-ed25519 BBBB me\nx\nssh-rsa CCCC root@pve1\n"
        );
        assert!(host.path("/root/.ssh/authorized_keys").is_symlink());
        assert!(!host.path("/root/.ssh/authorized_keys.org").exists());
        Ok(())
    }

    #[test]
    fn a_node_without_an_rsa_host_key_is_refused() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let host = Host::below(folder.path(), "pve1", Release::Pve9);
        let message = node_known_hosts(&host).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(message.ends_with("ssh_host_rsa_key.pub' - No such file or directory"), "{message}");
        Ok(())
    }
}
