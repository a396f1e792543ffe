//! `SSH_ASKPASS`, served by this binary: ssh starts the tool again, that copy passes the question on through a private
//! socket, and the process that holds the secret decides. No secret is ever in an environment, an argv or a file.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::error::Error;
use super::hostkey;
use super::operator::{HostKeyOffer, Operator, Question};
use super::prompt::Prompt;
use super::target::HostKeyPolicy;
use crate::secret::Secret;

/// Names the socket; when it is set, the process is an askpass program and nothing else.
pub const SOCKET: &str = "PVE_HARDEN_ASKPASS";

/// Longest question that is read.
const QUESTION: u64 = 16 << 10;
/// How long a caller may take to put its question.
const PATIENCE: Duration = Duration::from_secs(10);

/// The askpass program: `None` when this process was not started as one.
pub fn client_main() -> Option<ExitCode> {
    let socket = std::env::var_os(SOCKET)?;
    let prompt = std::env::args_os().nth(1).unwrap_or_default();
    let kind = std::env::var_os("SSH_ASKPASS_PROMPT").unwrap_or_default();
    let answered = || -> std::io::Result<bool> {
        let mut stream = StdStream::connect(PathBuf::from(socket))?;
        stream.write_all(kind.as_encoded_bytes())?;
        stream.write_all(b"\0")?;
        stream.write_all(prompt.as_encoded_bytes())?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut answer = Zeroizing::new(Vec::with_capacity(4096));
        stream.read_to_end(&mut answer)?;
        let Some((b'+', answer)) = answer.split_first() else { return Ok(false) };
        let mut out = std::io::stdout().lock();
        out.write_all(answer)?;
        out.write_all(b"\n")?;
        out.flush()?;
        Ok(true)
    };
    Some(if matches!(answered(), Ok(true)) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What may be answered during one login.
pub(super) struct Desk {
    /// `user@host` as ssh will write it.
    pub account: String,
    /// The node's password.
    pub password: Option<Secret>,
    /// Whether the node's password may be given or asked for at all.
    pub password_allowed: bool,
    pub host_keys: HostKeyPolicy,
    pub operator: Arc<Operator>,
    pub log: Log,
}

/// What happened during one login, for the error if it fails.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub password_given: bool,
    pub password_refused: bool,
    pub password_missing: bool,
    pub used_passphrases: Vec<String>,
    pub host_key: Option<Error>,
}

/// How the login goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Text(Secret),
    /// Exit status 1: ssh takes it as no answer.
    Decline,
    /// Decline and end the ssh process.
    Stop,
}

impl Desk {
    /// Decides about one question; `hop` says that another ssh than the node's own asks.
    pub(super) async fn decide(&mut self, prompt: Prompt, hop: bool) -> Reply {
        match prompt {
            Prompt::Password { account, .. } if !hop && account == self.account => self.password().await,
            Prompt::Password { text, .. } if hop => self.hidden(Question::HopPassword { prompt: text }).await,
            Prompt::Passphrase { key } => self.passphrase(key).await,
            Prompt::HostKey { host, key_type, fingerprint } => {
                self.host_key(HostKeyOffer { host, key_type, fingerprint, hop }).await
            }
            Prompt::HostKeyAgain => Reply::Text(Secret::new("no")),
            Prompt::Notice { text } => {
                self.blocking(move |operator| operator.ask().notice(&text)).await;
                Reply::Text(Secret::new(""))
            }
            // Nothing this tool starts needs a forwarding or an agent confirmation.
            Prompt::Confirm { .. } => Reply::Decline,
            Prompt::Password { text, .. } | Prompt::Other { text } => {
                self.hidden(Question::Other { prompt: text }).await
            }
        }
    }

    /// Once: a second question means that the first answer was wrong, and a third would be a lock-out in the making.
    async fn password(&mut self) -> Reply {
        if !self.password_allowed {
            return Reply::Decline;
        }
        if self.log.password_given {
            self.log.password_refused = true;
            return Reply::Stop;
        }
        let password = match self.password.clone() {
            Some(password) => Some(password),
            None => self.ask(Question::Password { account: self.account.clone() }).await,
        };
        let Some(password) = password else {
            self.log.password_missing = true;
            return Reply::Stop;
        };
        self.log.password_given = true;
        Reply::Text(password)
    }

    async fn passphrase(&mut self, key: String) -> Reply {
        let again = self.log.used_passphrases.contains(&key);
        self.log.used_passphrases.push(key.clone());
        let operator = Arc::clone(&self.operator);
        let mut memory = operator.memory().await;
        if again {
            memory.passphrases.remove(&key);
        } else if let Some(known) = memory.passphrases.get(&key) {
            return Reply::Text(known.clone());
        }
        let question = Question::Passphrase { key: key.clone() };
        let answer = self.blocking(move |operator| operator.ask().secret(&question)).await.flatten();
        let Some(answer) = answer else { return Reply::Decline };
        memory.passphrases.insert(key, answer.clone());
        Reply::Text(answer)
    }

    async fn host_key(&mut self, offer: HostKeyOffer) -> Reply {
        let operator = Arc::clone(&self.operator);
        let mut memory = operator.memory().await;
        let known = memory.host_keys.contains(&(offer.host.clone(), offer.fingerprint.clone()));
        match hostkey::judge(&self.host_keys, &offer, known) {
            hostkey::Judgement::Accept(answer) => {
                if !known && matches!(self.host_keys, HostKeyPolicy::AcceptNew) {
                    let text = format!("accepted the new host key of {}: {}", offer.host, offer.describe());
                    self.blocking(move |operator| operator.ask().notice(&text)).await;
                }
                memory.host_keys.insert((offer.host, offer.fingerprint));
                Reply::Text(Secret::new(answer))
            }
            hostkey::Judgement::Ask => {
                let shown = offer.clone();
                if self.blocking(move |operator| operator.ask().host_key(&shown)).await == Some(true) {
                    memory.host_keys.insert((offer.host, offer.fingerprint));
                    return Reply::Text(Secret::new("yes"));
                }
                let offered = Some(offer.describe());
                self.log.host_key = Some(Error::HostKeyUnknown { host: offer.host, offered });
                Reply::Text(Secret::new("no"))
            }
            hostkey::Judgement::Refuse(error) => {
                self.log.host_key = Some(error);
                Reply::Text(Secret::new("no"))
            }
        }
    }

    async fn hidden(&self, question: Question) -> Reply {
        self.ask(question).await.map_or(Reply::Decline, Reply::Text)
    }

    async fn ask(&self, question: Question) -> Option<Secret> {
        let _one_at_a_time = self.operator.memory().await;
        self.blocking(move |operator| operator.ask().secret(&question)).await.flatten()
    }

    /// A terminal blocks; the runtime must not.
    async fn blocking<T: Send + 'static>(&self, ask: impl FnOnce(&Operator) -> T + Send + 'static) -> Option<T> {
        let operator = Arc::clone(&self.operator);
        tokio::task::spawn_blocking(move || ask(&operator)).await.ok()
    }
}

/// Where askpass calls of the ssh whose private directory this is arrive.
pub(super) fn socket(directory: &Path) -> PathBuf {
    directory.join("ask")
}

/// The socket ssh's askpass calls arrive on.
#[derive(Debug)]
pub(super) struct Counter {
    listener: UnixListener,
}

impl Counter {
    /// Opens a socket in a private directory.
    pub(super) fn open(directory: &Path) -> std::io::Result<Self> {
        Ok(Self { listener: UnixListener::bind(socket(directory))? })
    }

    /// The next caller; cancel safe.
    pub(super) async fn caller(&self) -> std::io::Result<UnixStream> {
        Ok(self.listener.accept().await?.0)
    }
}

/// Reads one question, decides, answers. `ssh` is the process this login runs in.
pub(super) async fn serve(mut caller: UnixStream, desk: &mut Desk, ssh: Option<u32>) -> Reply {
    let Some(hop) = origin(&caller, ssh) else { return Reply::Decline };
    let mut question = Vec::new();
    let read = timeout(PATIENCE, (&mut caller).take(QUESTION).read_to_end(&mut question)).await;
    let (Ok(Ok(_)), Ok(question)) = (read, String::from_utf8(question)) else { return Reply::Decline };
    let Some((kind, text)) = question.split_once('\0') else { return Reply::Decline };
    let reply = desk.decide(Prompt::read(kind, text), hop).await;
    // A caller that has gone (ssh dismisses a notice by itself) needs no answer.
    let _ = match &reply {
        Reply::Text(answer) => {
            let mut wire = Zeroizing::new(Vec::with_capacity(answer.expose().len() + 1));
            wire.push(b'+');
            wire.extend_from_slice(answer.expose().as_bytes());
            caller.write_all(&wire).await
        }
        Reply::Decline | Reply::Stop => caller.write_all(b"-").await,
    };
    reply
}

/// `None` for a stranger; otherwise whether another ssh than ours (one on a jump) asks. ssh starts its askpass program
/// itself, so the caller's parent is the ssh that asks.
fn origin(caller: &UnixStream, ssh: Option<u32>) -> Option<bool> {
    let credentials = caller.peer_cred().ok()?;
    if credentials.uid() != rustix::process::geteuid().as_raw() {
        return None;
    }
    let parent = credentials.pid().and_then(parent_of);
    Some(parent.is_none() || parent != ssh)
}

fn parent_of(pid: i32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}
