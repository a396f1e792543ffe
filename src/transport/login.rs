//! One ssh process from its start to a login or a refusal, its questions answered.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStderr};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::askpass::{Counter, Desk, Log, Reply, serve};
use super::client::{self, Methods, Resolved};
use super::diagnosis::{Callee, diagnose};
use super::error::Error;
use super::operator::Operator;
use super::sanitize;
use super::target::Target;
use crate::secret::Secret;

/// Secrets for one login, and how it may be made.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// The node's login password; the operator is asked when there is none.
    pub password: Option<Secret>,
    /// The password for sudo on the node; the operator is asked when there is none and it is needed.
    pub sudo: Option<Secret>,
    /// Ways to log in.
    pub methods: Methods,
}

/// A login may stand still this long; the time a question is open does not count.
const PATIENCE: Duration = Duration::from_secs(60);
/// A source that sshd turns away before the login waits this long, then tries again.
const BACK_OFF: [Duration; 4] =
    [Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(10), Duration::from_secs(20)];
/// Bytes of ssh's standard error kept for the diagnosis.
const STDERR: usize = 64 << 10;

/// Everything one ssh process needs besides its arguments.
pub(super) struct Attempt {
    pub directory: TempDir,
    pub resolved: Resolved,
    pub counter: Counter,
    pub desk: Desk,
}

impl Attempt {
    pub(super) async fn prepare(
        target: &Target,
        credentials: &Credentials,
        operator: &Arc<Operator>,
    ) -> Result<Self, Error> {
        target.check()?;
        let resolved = client::resolve(target).await?;
        let directory = client::private_directory()?;
        let counter = Counter::open(directory.path())
            .map_err(|error| Error::Internal(format!("no socket can be made: {error}")))?;
        let desk = Desk {
            account: resolved.account(),
            password: credentials.password.clone(),
            password_allowed: credentials.methods != Methods::KeyOnly,
            host_keys: target.host_keys.clone(),
            operator: Arc::clone(operator),
            log: Log::default(),
        };
        Ok(Self { directory, resolved, counter, desk })
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Why ssh ended; what was seen at the desk is more exact than ssh's prose.
    pub(super) fn failure(&mut self, target: &Target, stderr: &str) -> Error {
        if let Some(error) = self.desk.log.host_key.take() {
            return error;
        }
        let callee = Callee { user: &self.resolved.user, host: &target.host() };
        if self.desk.log.password_refused {
            return Error::Auth {
                user: callee.user.into(),
                host: callee.host.into(),
                detail: "the password is wrong, or a password login is not allowed for this user".into(),
                wrong_password: true,
            };
        }
        if self.desk.log.password_missing {
            let (user, host) = (callee.user.into(), callee.host.into());
            return Error::PasswordMissing { user, host, before: String::new() };
        }
        let given = self.desk.log.password_given;
        match diagnose(stderr, &callee) {
            Error::Auth { user, host, detail, .. } => Error::Auth { user, host, detail, wrong_password: given },
            // Not to be tried again: the next try would give the password again.
            Error::Throttled { host, detail } if given => Error::Unreachable { host, detail },
            other => other,
        }
    }
}

/// Starts a master in the background of `attempt`'s directory; it ends by itself 60 s after its last use.
pub(super) async fn start_master(
    target: &Target,
    credentials: &Credentials,
    operator: &Arc<Operator>,
) -> Result<Attempt, Error> {
    retrying(async || {
        let mut attempt = Attempt::prepare(target, credentials, operator).await?;
        let mut command = client::ssh(target, credentials.methods, operator, attempt.path())?;
        // With ControlPersist ssh silences a jump host's ssh unless it is told to be verbose (sshconnect.c).
        command
            .args(["-v", "-M", "-N", "-f", "-o", "ControlMaster=yes", "-o", "ControlPersist=60", "-S"])
            .arg(attempt.path().join("master"))
            .args(["-o", client::ALIVE])
            .args(["--", target.destination()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut ssh = command.spawn().map_err(|error| Error::Client(error.to_string()))?;
        let (status, stderr) = attend(&mut ssh, &mut attempt).await?;
        if status.success() { Ok(attempt) } else { Err(attempt.failure(target, &stderr)) }
    })
    .await
}

/// Tries again while sshd turns the source away before any login; nothing was tried then, no password was given.
pub(super) async fn retrying<T>(mut attempt: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
    for pause in BACK_OFF {
        match attempt().await {
            Err(error) if error.is_throttled() => sleep(pause).await,
            outcome => return outcome,
        }
    }
    attempt().await
}

/// Answers ssh's questions until it has gone to the background or given up.
async fn attend(ssh: &mut Child, attempt: &mut Attempt) -> Result<(ExitStatus, String), Error> {
    let id = ssh.id();
    let mut stderr = ssh.stderr.take();
    let mut said = Vec::new();
    let mut deadline = Instant::now() + PATIENCE;
    let status = loop {
        tokio::select! {
            status = ssh.wait() => break status.map_err(|error| Error::Client(error.to_string()))?,
            caller = attempt.counter.caller() => {
                let caller = caller.map_err(|error| Error::Internal(error.to_string()))?;
                let reply = serve(caller, &mut attempt.desk, id).await;
                deadline = Instant::now() + PATIENCE;
                if reply == Reply::Stop {
                    ssh.start_kill().map_err(|error| Error::Client(error.to_string()))?;
                }
            }
            () = listen(&mut stderr, &mut said) => {}
            () = sleep_until(deadline) => {
                let _ = ssh.kill().await;
                return Err(Error::Timeout(PATIENCE));
            }
        }
    };
    // All of its words are in the pipe by now; a jump host's ssh may keep the pipe open.
    while timeout(Duration::from_millis(100), listen(&mut stderr, &mut said)).await.is_ok() && stderr.is_some() {}
    Ok((status, sanitize::tail(&said, STDERR)))
}

/// One read; cancel safe. At the end the pipe is dropped, and this never returns again.
async fn listen(stderr: &mut Option<ChildStderr>, said: &mut Vec<u8>) {
    let Some(pipe) = stderr else { return std::future::pending().await };
    let mut chunk = [0; 4096];
    match pipe.read(&mut chunk).await {
        Ok(count @ 1..) => {
            said.extend_from_slice(&chunk[..count]);
            let excess = said.len().saturating_sub(STDERR);
            said.drain(..excess);
        }
        _ => *stderr = None,
    }
}
