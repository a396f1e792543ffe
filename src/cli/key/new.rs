//! `pve-harden key new NAME HOST…`: an ed25519 key in OpenSSH's format, encrypted, in files that were not there.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use jiff::Timestamp;
use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey};

use crate::cli::output::Output;
use crate::cli::terminal::Terminal;
use crate::controls::accounts::login_name;
use crate::error::{Error, Kind, Result};
use crate::sanitize;
use crate::secret::Secret;

/// Holds the passphrase where nobody is at a terminal.
const PASSPHRASE: &str = "PVE_KEY_PASSPHRASE";
/// A stolen file is tried offline, 16 rounds of bcrypt a try.
const SHORTEST: usize = 12;

/// `key new`.
#[derive(Clone, Debug, Args)]
pub struct New {
    /// Linux name of the administrator
    #[arg(value_name = "NAME")]
    name: String,
    /// Nodes, as the site names them: each gets a key of its own
    #[arg(value_name = "HOST", required = true, value_hint = ValueHint::Hostname)]
    hosts: Vec<String>,
    /// Folder of the files [default: ~/.ssh]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    folder: Option<PathBuf>,
}

/// Makes the keys; nothing is made when one of the files is there already.
pub fn run(args: &New, output: Output) -> Result<u8> {
    let folder = folder(args.folder.as_deref())?;
    if !login_name(&args.name) {
        let shown = sanitize::line(&args.name).into_owned();
        return Err(refuse(format!("`{shown}` cannot be a login name"), "use lower-case letters, digits, `_` and `-`"));
    }
    let files: Vec<(String, PathBuf)> = args
        .hosts
        .iter()
        .map(|host| Ok((host.clone(), folder.join(file_name(&args.name, host)?))))
        .collect::<Result<_>>()?;
    for (_, file) in &files {
        absent(file)?;
        absent(&public_of(file))?;
    }
    let passphrase = passphrase(&args.name)?;
    let day = Timestamp::now().strftime("%Y-%m-%d").to_string();
    let mut said = String::new();
    for (host, file) in &files {
        let key = make(&format!("{}@{host} {day}", args.name), &passphrase)?;
        save(file, &key)?;
        said += &told(file, &key)?;
    }
    said += "In the site: key-files = [\"FILE.pub\"] of this administrator; then `pve-harden apply`, or, where an older key \
             is to go: pve-harden key rotate HOST --new FILE\n";
    output.result(&said)?;
    Ok(0)
}

fn refuse(why: impl Into<String>, hint: impl Into<String>) -> Error {
    Error::msg(Kind::Usage, why.into()).state("no key was made").hint(hint.into())
}

/// Exists, is a folder, and nobody else may put files there.
fn folder(given: Option<&Path>) -> Result<PathBuf> {
    let folder = match given {
        Some(folder) => folder.to_owned(),
        None => std::env::home_dir()
            .ok_or_else(|| refuse("there is no home folder", "name one: --folder DIR"))?
            .join(".ssh"),
    };
    let shown = sanitize::line(&folder.to_string_lossy()).into_owned();
    let meta = std::fs::metadata(&folder)
        .map_err(|error| refuse(format!("{shown}: {error}"), format!("make it: install -d -m 700 {shown}")))?;
    if !meta.is_dir() {
        return Err(refuse(format!("{shown} is no folder"), "name another one: --folder DIR"));
    }
    if meta.mode() & 0o022 != 0 {
        return Err(refuse(format!("others may write to {shown}"), format!("chmod go-w {shown}")));
    }
    Ok(folder)
}

/// `id_ed25519_HOST_NAME`; a host is a name or an address, never a path.
fn file_name(name: &str, host: &str) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    let fits = host.chars().all(plain) && host.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !fits || host.len() > 200 {
        let shown = sanitize::line(host).into_owned();
        return Err(refuse(format!("`{shown}` is no name of a node"), "use the name that the site gives it"));
    }
    Ok(format!("id_ed25519_{host}_{name}").replace(':', "-"))
}

fn public_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

fn absent(file: &Path) -> Result<()> {
    if file.symlink_metadata().is_err() {
        return Ok(());
    }
    let shown = sanitize::line(&file.to_string_lossy()).into_owned();
    Err(refuse(format!("{shown} exists already and is never overwritten"), "move it away, or name another --folder"))
}

/// From the environment, else typed twice; never none.
fn passphrase(name: &str) -> Result<Secret> {
    let passphrase = match std::env::var(PASSPHRASE) {
        Ok(text) => Secret::new(text),
        Err(_) => Terminal::new_password(&format!("Passphrase of the new key of {name}")).ok_or_else(|| {
            refuse("nobody is at a terminal to type a passphrase", format!("set it in the environment: {PASSPHRASE}"))
        })?,
    };
    let letters = passphrase.expose().chars().count();
    if letters < SHORTEST {
        return Err(refuse(
            format!("the passphrase has {letters} characters, at least {SHORTEST} are needed"),
            "four words are easier to remember than ten signs",
        ));
    }
    Ok(passphrase)
}

fn make(comment: &str, passphrase: &Secret) -> Result<PrivateKey> {
    let made = || -> ssh_key::Result<PrivateKey> {
        let mut key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519)?;
        key.set_comment(comment);
        let mut encrypted = key.encrypt(&mut OsRng, passphrase.expose().as_bytes())?;
        // It is inside, where nobody reads it without the passphrase; the public half needs it as well.
        encrypted.set_comment(comment);
        Ok(encrypted)
    };
    made().map_err(|error| Error::msg(Kind::Internal, format!("the key could not be made: {error}")))
}

/// Both files or none.
fn save(file: &Path, key: &PrivateKey) -> Result<()> {
    let failed =
        |error: &dyn std::fmt::Display| refuse(format!("{}: {error}", file.display()), "name another --folder");
    let private = key.to_openssh(LineEnding::LF).map_err(|error| failed(&error))?;
    let public = format!("{}\n", key.public_key().to_openssh().map_err(|error| failed(&error))?);
    write_new(file, private.as_bytes(), 0o600).map_err(|error| failed(&error))?;
    write_new(&public_of(file), public.as_bytes(), 0o644).map_err(|error| {
        // Without its public half the key is of no use; it was made by this very command.
        let _ = std::fs::remove_file(file);
        failed(&error)
    })
}

fn write_new(path: &Path, content: &[u8], mode: u32) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    written.inspect_err(|_| {
        let _ = std::fs::remove_file(path);
    })
}

fn told(file: &Path, key: &PrivateKey) -> Result<String> {
    let public = key.public_key();
    let line = public.to_openssh().map_err(|error| Error::new(Kind::Internal, error))?;
    let shown = sanitize::line(&file.to_string_lossy()).into_owned();
    Ok(format!("{shown}\n  {line}\n  {}\n", public.fingerprint(HashAlg::Sha256)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_never_a_path() {
        assert_eq!(file_name("ops", "pve1.example.org").unwrap(), "id_ed25519_pve1.example.org_ops");
        assert_eq!(file_name("ops", "2001:db8::1").unwrap(), "id_ed25519_2001-db8--1_ops");
        for host in ["", "../x", "a/b", "-x", "a b", "a\nb", ".ssh"] {
            assert!(file_name("ops", host).is_err(), "{host:?}");
        }
    }

    #[test]
    fn a_key_is_encrypted_and_says_whose_and_when() {
        let key = make("ops@pve1 2026-01-02", &Secret::new("four words are long")).unwrap();
        assert!(key.is_encrypted());
        assert_eq!(key.comment(), "ops@pve1 2026-01-02");
        assert!(key.decrypt("four words are lonG").is_err());
        assert_eq!(key.decrypt("four words are long").unwrap().public_key(), key.public_key());
    }
}
