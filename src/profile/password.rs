//! Generated passwords and their crypt(5) hashes.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use sha_crypt::{Algorithm, Params, PasswordHasher as _, ShaCrypt};
use yescrypt::Yescrypt;
use zeroize::Zeroizing;

use super::disk;
use super::policy::HashMethod;
use super::source::printable;
use crate::error::{Error, Kind, Result};
use crate::secret::Secret;

/// Length of a generated password: 24 of 54 characters are 138 bits.
const LENGTH: usize = 24;

/// What Debian's passwd uses.
const SHA512_ROUNDS: Params = Params::RECOMMENDED;

/// Letters and digits without those that are mistaken for each other (0 O o, 1 l I i, 5 S, 2 Z …).
const ALPHABET: &[u8] = b"abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRTUVWXY346789-_+=";

/// A random password of 24 unambiguous characters from all four classes, so that pwquality accepts it.
pub fn generate() -> Result<Secret> {
    loop {
        let mut password = Zeroizing::new(String::with_capacity(LENGTH));
        while password.len() < LENGTH {
            let mut bytes = Zeroizing::new([0u8; 64]);
            random(&mut bytes[..])?;
            // Bytes above the last whole multiple are thrown away: a plain remainder would favour the first letters.
            let fair = 256 / ALPHABET.len() * ALPHABET.len();
            let open = LENGTH - password.len();
            let letters =
                bytes.iter().map(|b| usize::from(*b)).filter(|b| *b < fair).map(|b| ALPHABET[b % ALPHABET.len()]);
            password.extend(letters.map(char::from).take(open));
        }
        if has_all_classes(&password) {
            return Ok(Secret::new(password.as_str()));
        }
    }
}

fn has_all_classes(password: &str) -> bool {
    let any = |class: fn(&u8) -> bool| password.as_bytes().iter().any(class);
    any(u8::is_ascii_lowercase)
        && any(u8::is_ascii_uppercase)
        && any(u8::is_ascii_digit)
        && any(u8::is_ascii_punctuation)
}

/// Hashes a password as `passwd` on Debian 12 and 13 would: `$y$j9T$…` or `$6$…`.
pub fn hash(password: &Secret, method: HashMethod) -> Result<Secret> {
    let mut salt = [0u8; 16];
    random(&mut salt)?;
    let bytes = password.expose().as_bytes();
    let hashed = match method {
        HashMethod::Yescrypt => {
            Yescrypt::default().hash_password_with_salt(bytes, &salt).map(|h| h.as_str().to_owned())
        }
        // crypt(5) takes 16 characters of salt, which are 12 bytes.
        HashMethod::Sha512 => ShaCrypt::new(Algorithm::Sha512Crypt, SHA512_ROUNDS)
            .hash_password_with_salt(bytes, &salt[..12])
            .map(|h| h.as_str().to_owned()),
    };
    hashed
        .map(Secret::new)
        .map_err(|why| Error::msg(Kind::Internal, format!("the password could not be hashed: {why}")))
}

fn random(buffer: &mut [u8]) -> Result<()> {
    getrandom::fill(buffer)
        .map_err(|why| Error::msg(Kind::Internal, format!("the operating system gave no random numbers: {why}")))
}

/// Writes a generated password to a new file (0600). An existing file, also a dangling link, is never overwritten; the
/// folder must not be writable by others.
pub fn store(path: &Path, password: &Secret) -> Result<()> {
    let shown = printable(&path.to_string_lossy());
    let refuse = |why: String, hint: String| Error::msg(Kind::Usage, format!("password file {shown} {why}")).hint(hint);
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let metadata = std::fs::metadata(folder).map_err(|e| {
        refuse(format!("cannot be written: its folder {}", disk::cause(&e)), "make the folder first".into())
    })?;
    if metadata.mode() & 0o022 != 0 {
        let hint = format!("chmod go-w {}", printable(&folder.to_string_lossy()));
        return Err(refuse("is not written: others may write to its folder".into(), hint));
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::AlreadyExists => refuse(
                "exists already and is not overwritten".into(),
                "move it away, or name another file in `generate`".into(),
            ),
            _ => refuse(disk::cause(&e), "name a file in a folder of your own in `generate`".into()),
        })?;
    let written = file
        .write_all(password.expose().as_bytes())
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all());
    written.map_err(|e| refuse(format!("could not be written: {e}"), "make room on the disk".into()))
}

/// What is wrong with a crypt(5) hash. Never contains it.
pub fn hash_problem(hash: &str) -> Option<&'static str> {
    let body = |text: &str, len: std::ops::RangeInclusive<usize>| {
        len.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'/')
    };
    let fields: Vec<&str> = hash.split('$').collect();
    match fields.as_slice() {
        ["", "y", parameters, salt, digest]
            if body(parameters, 1..=8) && body(salt, 1..=86) && body(digest, 43..=43) =>
        {
            None
        }
        ["", "6", salt, digest] if body(salt, 1..=16) && body(digest, 86..=86) => None,
        ["", "6", rounds, salt, digest] if body(salt, 1..=16) && body(digest, 86..=86) => {
            let rounds = rounds.strip_prefix("rounds=").and_then(|r| r.parse::<u64>().ok());
            (!rounds.is_some_and(|r| (5000..=9_999_999).contains(&r)))
                .then_some("fewer than 5000 rounds are too fast to guess")
        }
        ["", "y" | "6", ..] => Some("this hash is cut off or mangled"),
        ["", "1", ..] => Some("MD5 hashes ($1$) are guessed in seconds"),
        ["", "2a" | "2b" | "2y" | "5" | "7" | "gy", ..] => Some("only yescrypt ($y$) and SHA-512 ($6$) are taken"),
        _ if hash.len() == 13 => Some("DES hashes are guessed in seconds"),
        _ => Some("this is not a crypt(5) hash; a password in clear does not belong here"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn generated_passwords_are_long_mixed_and_different() {
        let all: HashSet<String> = (0..50).map(|_| generate().unwrap().expose().to_owned()).collect();
        assert_eq!(all.len(), 50);
        for password in &all {
            assert_eq!(password.len(), LENGTH);
            assert!(has_all_classes(password));
            assert!(password.bytes().all(|b| ALPHABET.contains(&b)));
        }
        assert!(!ALPHABET.iter().any(|b| b"0Oo1lIi5S2Z".contains(b)), "ambiguous characters");
    }

    #[test]
    fn hashes_are_what_libxcrypt_makes() {
        // perl's crypt() is the C library's; the salt part of the hash is its setting.
        let password = Secret::new("correct horse");
        for method in [HashMethod::Yescrypt, HashMethod::Sha512] {
            let hash = hash(&password, method).unwrap();
            assert_eq!(hash_problem(hash.expose()), None, "{method:?}");
            let out = std::process::Command::new("perl")
                .args(["-e", "print crypt($ARGV[0], $ARGV[1])", password.expose(), hash.expose()])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&out.stdout), hash.expose());
        }
    }

    #[test]
    fn only_slow_hashes_pass() {
        let sixty_four = "a".repeat(86);
        let good = [
            format!("$y$j9T$abcdefghijklmnopqrstuv${}", "b".repeat(43)),
            format!("$6$salt${sixty_four}"),
            format!("$6$rounds=10000$salt${sixty_four}"),
        ];
        for hash in &good {
            assert_eq!(hash_problem(hash), None, "{hash}");
        }
        let bad = [
            "abJnggxhB/yWI",
            "$1$salt$qJH7.N4xYta3aEG/dfqo/0",
            "$5$s$x",
            "$y$j9T$x",
            "hunter2",
            "",
            "$6$rounds=1000$s$x",
            "!",
        ];
        for hash in bad {
            assert!(hash_problem(hash).is_some(), "{hash}");
        }
        assert!(hash_problem(&format!("$6$rounds=1000$salt${sixty_four}")).unwrap().contains("5000"));
    }

    #[test]
    fn a_password_file_is_private_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anna.pass");
        store(&path, &Secret::new("one")).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = store(&path, &Secret::new("two")).unwrap_err();
        assert!(again.to_string().contains("exists already"), "{again}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\n");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &link).unwrap();
        assert!(store(&link, &Secret::new("two")).is_err(), "a dangling link is not followed");
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let open = store(&folder.path().join("new"), &Secret::new("x")).unwrap_err();
        assert!(open.hint_text().starts_with("chmod go-w "), "{open}");
    }
}
