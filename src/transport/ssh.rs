//! A connection to a node: one ssh master of this tool's own, programs over it, and fresh logins beside it.

use std::ops::ControlFlow;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use openssh::Session;
use tokio::time::timeout;

use super::askpass::{Reply, serve};
use super::client;
use super::diagnosis::spoken;
use super::error::Error;
use super::exchange::{Ending, Pipes, exchange};
use super::frames::{Frame, Limits};
use super::login::{Attempt, Credentials, retrying, start_master};
use super::operator::{Operator, Question};
use super::program::{self, Program};
use super::target::Target;
use crate::secret::Secret;

/// Takes frames as they come; `Break` ends the run early.
pub type OnFrame<'a> = &'a mut (dyn FnMut(Frame) -> ControlFlow<()> + Send);

/// How long ssh may take to end a connection.
const FAREWELL: Duration = Duration::from_secs(5);

/// A login that stays open. Dropped or closed, its master ends; if this process is killed, a minute later.
pub struct Connection {
    session: Session,
    attempt: Attempt,
    target: Target,
    credentials: Credentials,
    operator: Arc<Operator>,
    closed: bool,
}

impl Connection {
    /// Logs in; asks the operator what it must.
    pub async fn open(target: &Target, credentials: &Credentials, operator: &Arc<Operator>) -> Result<Self, Error> {
        let attempt = start_master(target, credentials, operator).await?;
        let session = Session::resume_mux(attempt.path().join("master").into(), None);
        let connection = Self {
            session,
            attempt,
            target: target.clone(),
            credentials: credentials.clone(),
            operator: Arc::clone(operator),
            closed: false,
        };
        connection.session.check().await.map_err(|error| Error::Lost(error.to_string()))?;
        Ok(connection)
    }

    /// The first of several logins that is not refused, and its place in the list; a wrong password or any other
    /// failure ends the search.
    pub async fn open_first(
        candidates: &[(Target, Credentials)],
        operator: &Arc<Operator>,
    ) -> Result<(usize, Self), Error> {
        let mut refused: Vec<String> = Vec::new();
        let mut last = Error::Target("there is no login to try".into());
        for (place, (target, credentials)) in candidates.iter().enumerate() {
            match Self::open(target, credentials, operator).await {
                Ok(connection) => return Ok((place, connection)),
                Err(error @ (Error::Auth { wrong_password: false, .. } | Error::PasswordMissing { .. })) => {
                    refused.extend(std::mem::replace(&mut last, error).refusal());
                }
                Err(error) => return Err(error),
            }
        }
        Err(last.after(&refused))
    }

    /// `user@host` of this login.
    pub fn account(&self) -> String {
        self.attempt.resolved.account()
    }

    /// The login name.
    pub fn user(&self) -> &str {
        &self.attempt.resolved.user
    }

    /// Whether its master still answers; one that was not used for a minute has ended.
    pub async fn is_alive(&self) -> bool {
        self.session.check().await.is_ok()
    }

    /// The target it was opened for.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Runs a program as root and gives its frames, the first of them `login` (login name, whether sudo was used, and
    /// `SSH_CONNECTION`, one a line).
    pub async fn run(&self, program: &Program, limits: Limits) -> Result<Vec<Frame>, Error> {
        let mut frames = Vec::new();
        let mut collect = |frame| {
            frames.push(frame);
            ControlFlow::Continue(())
        };
        self.run_streaming(program, limits, &mut collect).await?;
        Ok(frames)
    }

    /// As [`Connection::run`], with each frame as it comes.
    pub async fn run_streaming(&self, program: &Program, limits: Limits, on_frame: OnFrame<'_>) -> Result<(), Error> {
        let account = self.account();
        let sudo = Sudo { account: &account, root: self.user() == "root", given: self.credentials.sudo.as_ref() };
        let first = self.run_once(program, sudo.password(&self.operator).await.as_ref(), limits, on_frame).await;
        match sudo.after(first, &self.operator).await? {
            Next::Done => Ok(()),
            Next::Again(password) => {
                let second = self.run_once(program, Some(&password), limits, on_frame).await;
                sudo.after(second, &self.operator).await.map(|_| ())
            }
        }
    }

    async fn run_once(
        &self,
        program: &Program,
        sudo: Option<&Secret>,
        limits: Limits,
        on_frame: OnFrame<'_>,
    ) -> Result<(), Error> {
        let mut command = self.session.raw_command(program::command());
        command.stdin(openssh::Stdio::piped()).stdout(openssh::Stdio::piped()).stderr(openssh::Stdio::piped());
        let lost = |error: openssh::Error| Error::Lost(super::sanitize::line(&error.to_string()).into_owned());
        let mut child =
            timeout(limits.time, command.spawn()).await.map_err(|_| Error::Timeout(limits.time))?.map_err(lost)?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin().take(), child.stdout().take(), child.stderr().take())
        else {
            return Err(Error::Internal("ssh gives no pipes".into()));
        };
        match exchange(Pipes { stdin, stdout, stderr }, program, sudo, limits, on_frame).await? {
            Ending::Cut { stderr, .. } if self.session.check().await.is_err() => {
                let said = spoken(&stderr);
                Err(Error::Lost(if said.is_empty() { "the ssh master has ended".into() } else { said }))
            }
            ending => conclude(ending),
        }
    }

    /// Ends the connection.
    pub async fn close(mut self) -> Result<(), Error> {
        self.closed = true;
        let mut command = tokio::process::Command::from(self.farewell());
        let status = timeout(FAREWELL, command.kill_on_drop(true).status()).await;
        match status {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(Error::Client(error.to_string())),
            Err(_) => Err(Error::Timeout(FAREWELL)),
        }
    }

    /// `ssh -O exit`: the crate's own close only stops the listening, and such a master no longer times out.
    fn farewell(&self) -> std::process::Command {
        let mut command = std::process::Command::new("ssh");
        command.args(["-F", "/dev/null", "-O", "exit", "-S"]).arg(self.attempt.path().join("master"));
        command.args(["--", "node"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.closed {
            // A local message to the master; it answers at once or is gone.
            let _ = self.farewell().status();
        }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("account", &self.account()).finish_non_exhaustive()
    }
}

/// Runs a program over a new TCP connection that shares nothing with an open one, whatever the operator's `ssh_config`
/// says about multiplexing; the new login is the point. [`client::Methods::KeyOnly`] proves that a key opens the node.
pub async fn fresh_run(
    target: &Target,
    credentials: &Credentials,
    operator: &Arc<Operator>,
    program: &Program,
    limits: Limits,
) -> Result<Vec<Frame>, Error> {
    let resolved = client::resolve(target).await?;
    let account = resolved.account();
    let sudo = Sudo { account: &account, root: resolved.user == "root", given: credentials.sudo.as_ref() };
    let once = async |password: Option<&Secret>| {
        retrying(async || fresh_once(target, credentials, operator, program, password, limits).await).await
    };
    let mut frames = Vec::new();
    let first = once(sudo.password(operator).await.as_ref()).await.map(|got| frames = got);
    if let Next::Again(password) = sudo.after(first, operator).await? {
        let second = once(Some(&password)).await.map(|got| frames = got);
        sudo.after(second, operator).await?;
    }
    Ok(frames)
}

async fn fresh_once(
    target: &Target,
    credentials: &Credentials,
    operator: &Arc<Operator>,
    program: &Program,
    sudo: Option<&Secret>,
    limits: Limits,
) -> Result<Vec<Frame>, Error> {
    let mut attempt = Attempt::prepare(target, credentials, operator).await?;
    let mut command = client::ssh(target, credentials.methods, operator, attempt.path())?;
    // Only a verbose ssh tells a login that PAM closed from one that sshd never let begin.
    command
        .args(["-v", "-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", "ControlPersist=no"])
        .args(["-o", client::ALIVE_AFTER_LOGIN])
        .args(["--", target.destination(), &program::command()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut ssh = command.spawn().map_err(|error| Error::Client(error.to_string()))?;
    let id = ssh.id();
    let (Some(stdin), Some(stdout), Some(stderr)) = (ssh.stdin.take(), ssh.stdout.take(), ssh.stderr.take()) else {
        return Err(Error::Internal("ssh gives no pipes".into()));
    };
    let mut frames = Vec::new();
    let mut collect = |frame| {
        frames.push(frame);
        ControlFlow::Continue(())
    };
    let ending = {
        let mut running =
            std::pin::pin!(exchange(Pipes { stdin, stdout, stderr }, program, sudo, limits, &mut collect));
        loop {
            tokio::select! {
                ending = &mut running => break ending?,
                caller = attempt.counter.caller() => {
                    let caller = caller.map_err(|error| Error::Internal(error.to_string()))?;
                    if serve(caller, &mut attempt.desk, id).await == Reply::Stop {
                        // Its end arrives as the end of the pipes.
                        ssh.start_kill().map_err(|error| Error::Client(error.to_string()))?;
                    }
                }
            }
        }
    };
    if let Ending::Cut { started, stderr, .. } = &ending {
        let code = timeout(FAREWELL, ssh.wait()).await.ok().and_then(Result::ok).and_then(|status| status.code());
        // 255 is ssh's own failure; none is a signal, which is ours after a refusal at the desk.
        if code.is_none_or(|code| code == 255) {
            return Err(if *started { Error::Lost(spoken(stderr)) } else { attempt.failure(target, stderr) });
        }
    }
    conclude(ending)?;
    Ok(frames)
}

pub(super) fn conclude(ending: Ending) -> Result<(), Error> {
    match ending {
        Ending::Complete { code: 0, .. } | Ending::Stopped => Ok(()),
        Ending::Complete { code, stderr } => Err(Error::Remote { code, stderr_tail: spoken(&stderr) }),
        Ending::Cut { noise, started, stderr } => {
            let said = spoken(&stderr);
            let said = if said.is_empty() { said } else { format!("; it says: {said}") };
            Err(Error::Garbage(if started {
                format!("it ended before its last frame{said}")
            } else {
                let answered = if noise == "\"\"" { "nothing" } else { &noise };
                format!("no program ran; the login shell answered {answered}{said}")
            }))
        }
    }
}

/// Where sudo's password comes from, and what a refusal means.
struct Sudo<'a> {
    account: &'a str,
    root: bool,
    given: Option<&'a Secret>,
}

enum Next {
    Done,
    Again(Secret),
}

impl Sudo<'_> {
    async fn password(&self, operator: &Operator) -> Option<Secret> {
        if self.root {
            return None;
        }
        match self.given {
            Some(given) => Some(given.clone()),
            None => operator.memory().await.sudo.get(self.account).cloned(),
        }
    }

    /// Asks when a password is what was missing; forgets one that was refused.
    async fn after(&self, outcome: Result<(), Error>, operator: &Arc<Operator>) -> Result<Next, Error> {
        match outcome {
            Ok(()) => Ok(Next::Done),
            Err(error @ Error::SudoPassword { .. }) => {
                let mut memory = operator.memory().await;
                if let Some(known) = memory.sudo.get(self.account) {
                    return Ok(Next::Again(known.clone()));
                }
                let question = Question::Sudo { account: super::sanitize::line(self.account).into_owned() };
                let asked = Arc::clone(operator);
                let answer = tokio::task::spawn_blocking(move || asked.ask().secret(&question)).await.ok().flatten();
                let Some(answer) = answer else { return Err(error) };
                memory.sudo.insert(self.account.to_owned(), answer.clone());
                Ok(Next::Again(answer))
            }
            Err(error) => {
                if matches!(error, Error::SudoRefused { .. }) {
                    operator.memory().await.sudo.remove(self.account);
                }
                Err(error)
            }
        }
    }
}
