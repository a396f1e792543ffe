//! The only file of this room that touches the file system.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt, PermissionsExt as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::source::printable;

/// Largest profile or site file.
pub const MAX_FILE: u64 = 1024 * 1024;

/// Opens for reading without following into a FIFO's wait.
pub fn open(path: &Path) -> io::Result<File> {
    let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    OpenOptions::new().read(true).custom_flags(nonblock).open(path)
}

/// Reads a text file of at most `max` bytes; the error is a phrase for a person.
pub fn read_text(path: &Path, max: u64) -> Result<String, String> {
    let file = open(path).map_err(|e| cause(&e))?;
    let metadata = file.metadata().map_err(|e| cause(&e))?;
    if metadata.is_dir() {
        return Err("is a directory, not a file".into());
    }
    if !metadata.is_file() {
        return Err("is not a regular file".into());
    }
    if metadata.len() > max {
        return Err(too_large(metadata.len(), max));
    }
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes).map_err(|e| cause(&e))?;
    if bytes.len() as u64 > max {
        return Err(too_large(bytes.len() as u64, max));
    }
    String::from_utf8(bytes).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        let line = e.as_bytes().iter().take(valid).filter(|b| **b == b'\n').count() + 1;
        format!("is not UTF-8 text (line {line})")
    })
}

/// Largest private key file that is looked into.
const MAX_KEY: u64 = 64 * 1024;

/// Why ssh would not use this file as a private key, and what to do. Said early, because ssh only complains in passing
/// and goes on with whatever else it has.
pub fn identity_problem(path: &Path) -> Option<(String, String)> {
    let readable = "name a private key you can read, or leave it out: your ssh agent and ssh config are used";
    let (file, metadata) = match open(path).and_then(|file| file.metadata().map(|metadata| (file, metadata))) {
        Ok(found) => found,
        Err(error) => return Some((cause(&error), readable.into())),
    };
    if !metadata.is_file() {
        return Some(("is not a regular file".into(), readable.into()));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    if let Err(error) = file.take(MAX_KEY).read_to_end(&mut bytes) {
        return Some((cause(&error), readable.into()));
    }
    let text = String::from_utf8_lossy(&bytes);
    if text.starts_with("PuTTY-User-Key-File") {
        return Some((
            "is a PuTTY key, which ssh cannot read".into(),
            "puttygen KEY.ppk -O private-openssh -o KEY".into(),
        ));
    }
    // The public half names a key that an agent holds.
    if ssh_key::PublicKey::from_openssh(text.trim()).is_ok() {
        return None;
    }
    if !text.contains("PRIVATE KEY-----") {
        return Some(("is not a private key".into(), readable.into()));
    }
    let mine = metadata.uid() == rustix::process::geteuid().as_raw();
    (mine && metadata.permissions().mode() & 0o077 != 0).then(|| {
        let why = "can be read by others, and ssh refuses such a key".to_owned();
        (why, format!("chmod 600 {}", printable(&path.to_string_lossy())))
    })
}

/// One name for one file, whatever way leads to it.
pub fn identity(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// Why a file could not be read, as a phrase.
pub fn cause(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "does not exist".into(),
        io::ErrorKind::PermissionDenied => "cannot be read: permission denied".into(),
        _ => format!("cannot be read: {error}"),
    }
}

fn too_large(found: u64, max: u64) -> String {
    format!("is too large: {found} bytes, at most {max} are read")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_judged_by_what_ssh_would_do_with_them() {
        let folder = tempfile::tempdir().unwrap();
        let why = |content: &str, mode: u32| {
            let path = folder.path().join("key");
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            identity_problem(&path).map(|(why, _)| why)
        };
        let public = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ ops@example\n";
        let private = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nx\n-----END ENCRYPTED PRIVATE KEY-----\n";
        assert_eq!(why(public, 0o644), None, "the agent has its private half");
        assert_eq!(why(private, 0o600), None);
        assert!(why(private, 0o640).unwrap().starts_with("can be read by others"));
        assert!(why("PuTTY-User-Key-File-3: ssh-ed25519\n", 0o600).unwrap().starts_with("is a PuTTY key"));
        assert_eq!(why("text\n", 0o600).unwrap(), "is not a private key");
    }
}
