//! A program that reads the secret from its standard input, started without a shell.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::Refusal;
use crate::sanitize;
use crate::secret::Secret;

/// A vault answers in seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is kept of its complaints.
const SAID: usize = 400;
/// What is read of them.
const SAID_BYTES: u64 = 16 * 1024;
/// Variables with passwords of this tool's own.
const OURS: [&str; 3] = ["PVE_ROOT_PASS", "PVE_HARDEN_", "PVE_KEY_PASSPHRASE"];

/// A command that is there.
#[derive(Debug)]
pub(super) struct Proved {
    argv: Vec<String>,
}

/// Finds the program, and runs the check.
pub(super) async fn prove(argv: Vec<String>, check: Option<Vec<String>>) -> Result<Proved, Refusal> {
    for words in [Some(&argv), check.as_ref()].into_iter().flatten() {
        let program = words.first().map(String::as_str).unwrap_or_default();
        if found(program).is_none() {
            let why = format!("the program {} is not there", sanitize::line(program));
            return Err(Refusal::new("", why, "install it, or name it with its path"));
        }
    }
    if let Some(check) = check {
        started(&check, Zeroizing::new(String::new()), None).await?;
    }
    Ok(Proved { argv })
}

/// As execvp(3) looks for it.
fn found(program: &str) -> Option<PathBuf> {
    let executable = |path: &Path| rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file();
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| executable(path));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| !program.is_empty() && executable(path))
}

impl Proved {
    /// The program; its arguments may name places that are nobody's business.
    pub(super) fn shown(&self) -> String {
        sanitize::line(self.argv.first().map(String::as_str).unwrap_or_default()).into_owned()
    }

    pub(super) async fn run(self, input: Zeroizing<String>, secret: &Secret) -> Result<(), Refusal> {
        started(&self.argv, input, Some(secret)).await
    }
}

async fn started(argv: &[String], input: Zeroizing<String>, secret: Option<&Secret>) -> Result<(), Refusal> {
    let name = sanitize::line(argv.first().map(String::as_str).unwrap_or_default()).into_owned();
    let refuse = |why: String| Refusal::new("", format!("{name} {why}"), "run it by hand to see what it needs");
    let Some((program, arguments)) = argv.split_first() else { return Err(refuse("has no name".into())) };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    for (variable, _) in std::env::vars_os() {
        if OURS.iter().any(|prefix| variable.to_string_lossy().starts_with(prefix)) {
            command.env_remove(variable);
        }
    }
    let mut child = command.spawn().map_err(|error| refuse(format!("cannot be started: {error}")))?;
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // One that does not read to its end says so by its exit status.
            let _ = stdin.write_all(input.as_bytes()).await;
            let _ = stdin.shutdown().await;
        }
    };
    let listen = async {
        let mut said = Vec::new();
        if let Some(stderr) = stderr {
            let mut stderr = stderr.take(SAID_BYTES);
            let _ = stderr.read_to_end(&mut said).await;
        }
        said
    };
    let all = async { tokio::join!(feed, listen, child.wait()) };
    let ((), said, status) =
        timeout(PATIENCE, all).await.map_err(|_| refuse(format!("did not end within {} s", PATIENCE.as_secs())))?;
    let status = status.map_err(|error| refuse(format!("was lost: {error}")))?;
    if status.success() {
        return Ok(());
    }
    let mut said = Zeroizing::new(String::from_utf8_lossy(&said).into_owned());
    if let Some(secret) = secret {
        for part in secret.expose().lines().filter(|part| !part.is_empty()) {
            said = Zeroizing::new(said.replace(part, "***"));
        }
    }
    let said = sanitize::tail(said.as_bytes(), SAID);
    let colon = if said.is_empty() { "" } else { ": " };
    Err(refuse(format!("failed ({status}){colon}{said}")))
}
