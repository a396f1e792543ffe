//! A program for the node, and the byte stream that carries it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::quote;
use crate::secret::Secret;

const LAUNCHER: &str = include_str!("remote/launcher.sh");
const LOADER: &str = include_str!("remote/load.sh");
const PRELUDE: &str = include_str!("remote/prelude.sh");

/// A POSIX shell program and the bytes it finds on its standard input.
///
/// Both arrive whole or nothing runs: the node compares a digest over text and payload before the first statement.
/// The program runs as root in `/` with `umask 077`, `LC_ALL=C` and a fixed `PATH`; it answers with the functions of
/// `remote/prelude.sh` (`emit`, `run`, `pack`, `file`) and knows `PVH_USER`, `PVH_SUDO` and `PVH_CONNECTION`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    text: String,
    payload: Vec<u8>,
}

impl Program {
    /// A script that may use the prelude's functions.
    pub fn new(script: &str) -> Self {
        Self { text: format!("{}{}", bare(PRELUDE), script), payload: Vec::new() }
    }

    /// The bytes of the program's standard input.
    #[must_use]
    pub fn payload(mut self, payload: impl Into<Vec<u8>>) -> Self {
        self.payload = payload.into();
        self
    }

    /// Everything that is written to the launcher's standard input.
    pub(super) fn stream(&self, nonce: &Nonce, sudo: Option<&Secret>) -> Zeroizing<Vec<u8>> {
        let password = Zeroizing::new(sudo.map(|secret| STANDARD.encode(secret.expose())).unwrap_or_default());
        let payload = STANDARD.encode(&self.payload);
        let digest = hex(&Sha256::new().chain_update(&self.text).chain_update(&payload).finalize());
        let header = format!("{nonce} {} {} {digest}\n", self.text.len(), payload.len(), nonce = nonce.0);
        let first = nonce.0.len() + password.len() + 2;
        // Sized before the password is written: growing would leave a copy of it behind.
        let mut stream = Zeroizing::new(Vec::with_capacity(first + header.len() + self.text.len() + payload.len()));
        for part in [nonce.0.as_str(), " ", password.as_str(), "\n", &header, &self.text, &payload] {
            stream.extend_from_slice(part.as_bytes());
        }
        stream
    }
}

/// The command of every exec: constant, free of values.
pub(super) fn command() -> String {
    format!("sh -c {} sh {}", quote::shell(&bare(LAUNCHER)), quote::shell(&loader()))
}

/// The loader alone, for a shell that has the right user already.
pub(super) fn loader() -> String {
    bare(LOADER)
}

/// Without comments and indentation: sudo logs the loader.
fn bare(script: &str) -> String {
    let mut text = String::with_capacity(script.len());
    for line in script.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// 128 random bits that mark one answer's frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Nonce(String);

impl Nonce {
    pub(super) fn random() -> io::Result<Self> {
        let mut bytes = [0; 16];
        File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        Ok(Self(hex(&bytes)))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    #[cfg(test)]
    pub(super) fn fixed(text: &str) -> Self {
        Self(text.into())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::path::Path;
    use std::process::{Command, Stdio};

    use super::*;

    /// Answers of the launcher (as root), or of the loader alone, to a stream.
    fn answer(shell: &str, stream: &[u8]) -> String {
        let root = rustix::process::geteuid().is_root();
        let (command, stream) = if root {
            (command(), stream)
        } else {
            let line = stream.iter().position(|byte| *byte == b'\n').map_or(stream.len(), |end| end + 1);
            (format!("sh -c {} sh me no", quote::shell(&loader())), &stream[line..])
        };
        let mut child = Command::new(shell)
            .args(["-c", &command])
            .env("SSH_CONNECTION", "192.0.2.1 5 192.0.2.2 22")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // A launcher that gave up no longer reads.
        let _ = child.stdin.take().unwrap().write_all(stream);
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    }

    fn touching(file: &Path) -> Program {
        Program { text: format!("cat >{0}.in; : >{0}\n", file.display()), payload: b"payload \0\n".to_vec() }
    }

    #[test]
    fn a_stream_cut_anywhere_runs_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ran");
        let nonce = Nonce::random().unwrap();
        let whole = touching(&file).stream(&nonce, None);
        for length in 0..whole.len() {
            let said = answer("sh", &whole[..length]);
            assert!(!file.exists() && !said.contains(" end "), "ran after {length} of {} bytes: {said}", whole.len());
        }
        let said = answer("sh", &whole);
        assert!(file.exists() && said.ends_with(&format!("PVH-{} end 0 0\n\n", nonce.as_str())), "{said}");
        assert_eq!(std::fs::read(directory.path().join("ran.in")).unwrap(), b"payload \0\n");
    }

    #[test]
    fn a_stream_changed_on_the_way_runs_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ran");
        let nonce = Nonce::fixed("n0");
        let whole = touching(&file).stream(&nonce, None);
        let first_line = whole.iter().position(|byte| *byte == b'\n').unwrap();
        let header = first_line + 1 + whole[first_line + 1..].iter().position(|byte| *byte == b'\n').unwrap();
        for place in (header + 1..whole.len()).step_by(7) {
            let mut changed = whole.to_vec();
            changed[place] ^= 1;
            assert_eq!(answer("sh", &changed), "PVH-n0 launcher 4 0\n\n", "byte {place}");
        }
        assert!(!file.exists());
    }

    #[test]
    fn programs_run_the_same_from_other_shells() {
        let program = Program::new(
            "run printf printf 'a\\n\\n'\nemit who 0 \"$PVH_CONNECTION\"\nprintf %s x | pack x 2\nexit 5\n",
        );
        let stream = program.stream(&Nonce::fixed("n0"), None);
        for shell in ["sh", "bash"] {
            let said = answer(shell, &stream);
            let (_, frames) = said.split_once(" login ").unwrap();
            let (_, frames) = frames.split_once("\n\n").unwrap();
            let rest = frames.split_once("PVH-n0 printf").unwrap().1;
            assert!(rest.starts_with(" 0 3\na\n\n\nPVH-n0 who 0 "), "{shell}: {said}");
            assert!(rest.ends_with("PVH-n0 x 2 4 base64\neA==\nPVH-n0 end 5 0\n\n"), "{shell}: {said}");
        }
    }

    #[test]
    fn syntax_errors_end_with_a_status() {
        let said = answer("sh", &Program::new("if true; then\n").stream(&Nonce::fixed("n0"), None));
        assert!(said.ends_with("PVH-n0 end 2 0\n\n"), "{said}");
    }

    #[test]
    fn files_of_every_kind_are_answered() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        std::fs::write(path.join("binary"), b"\0\xff\n\n").unwrap();
        std::fs::write(path.join("large"), vec![b'x'; 100]).unwrap();
        std::fs::write(path.join("-n"), "").unwrap();
        let script = format!(
            "cd {}\nfile binary binary\nfile large large 99\nfile empty -n\nfile dir .\nfile none none\nfile under binary/x\nfile long {}\n",
            path.display(),
            "n".repeat(300)
        );
        let nonce = Nonce::fixed("n0");
        let said = answer("sh", &Program::new(&script).stream(&nonce, None));
        let mut parser = super::super::frames::Parser::new(&nonce, super::super::frames::Limits::default());
        let frames = parser.push(said.as_bytes()).unwrap();
        let got: Vec<_> = frames[1..].iter().map(|frame| (frame.name.as_str(), frame.status)).collect();
        let expected = [("binary", 0), ("large", 4), ("empty", 0), ("dir", 3), ("none", 1), ("under", 1), ("long", 2)];
        assert_eq!(got, expected);
        assert_eq!(frames[1].body, b"\0\xff\n\n");
        assert_eq!(frames[2].body, b"100 bytes");
        assert_eq!(frames[4].body, b"directory");
    }
}
