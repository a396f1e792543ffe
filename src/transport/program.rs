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
    format!("sh -c {} sh {}", quote::shell(&bare(LAUNCHER)), quote::shell(&bare(LOADER)))
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
