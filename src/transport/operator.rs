//! The person at the terminal, and what they have said so far in this process.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;

use tokio::sync::{Mutex, MutexGuard};

use crate::secret::Secret;

/// How a login may ask its operator. Every text that is passed in is already safe to print. The methods may block;
/// they are called on a thread of their own, one at a time.
pub trait Ask: Send + Sync {
    /// A hidden answer; `None` when there is no terminal or the operator gave none.
    fn secret(&self, question: &Question) -> Option<Secret>;
    /// Whether an unknown host key is the right one; `false` without a terminal.
    fn host_key(&self, offer: &HostKeyOffer) -> bool;
    /// Something to know while waiting, such as "touch the security key".
    fn notice(&self, text: &str);
}

/// What a hidden answer is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// The login password of the node itself.
    Password {
        /// `user@host`.
        account: String,
    },
    /// A password prompt of another machine on the way.
    HopPassword {
        /// ssh's prompt.
        prompt: String,
    },
    /// Passphrase of a private key.
    Passphrase {
        /// File name as ssh says it.
        key: String,
    },
    /// PIN of a token, a one-time code, or any other prompt.
    Other {
        /// ssh's prompt.
        prompt: String,
    },
    /// The password sudo asks on the node.
    Sudo {
        /// `user@host`.
        account: String,
    },
}

/// An unknown host key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostKeyOffer {
    /// As `known_hosts` would name it.
    pub host: String,
    /// `ED25519`, `RSA`, …
    pub key_type: String,
    /// `SHA256:…`.
    pub fingerprint: String,
    /// Whether this is a machine on the way, not the node.
    pub hop: bool,
}

/// The operator: asks, and remembers what need not be asked twice.
pub struct Operator {
    ask: Box<dyn Ask>,
    askpass: Option<PathBuf>,
    memory: Mutex<Memory>,
}

/// Lives as long as the process; a second login (the proof) must not depend on somebody being at the keyboard.
#[derive(Default)]
pub(super) struct Memory {
    pub passphrases: BTreeMap<String, Secret>,
    /// Host and fingerprint.
    pub host_keys: BTreeSet<(String, String)>,
    /// By account.
    pub sudo: BTreeMap<String, Secret>,
}

impl Operator {
    /// Asks through `ask`.
    pub fn new(ask: impl Ask + 'static) -> Self {
        Self { ask: Box::new(ask), askpass: None, memory: Mutex::default() }
    }

    /// The program ssh starts for its questions, where it is not the running one; it must call
    /// [`super::askpass::client_main`].
    #[must_use]
    pub fn through(mut self, askpass: impl Into<PathBuf>) -> Self {
        self.askpass = Some(askpass.into());
        self
    }

    /// Nobody is there: every question is declined.
    pub fn absent() -> Self {
        Self::new(Nobody)
    }

    pub(super) fn askpass(&self) -> io::Result<PathBuf> {
        self.askpass.clone().map_or_else(std::env::current_exe, Ok)
    }

    pub(super) fn ask(&self) -> &dyn Ask {
        self.ask.as_ref()
    }

    /// Held while a question is open, so that questions come one at a time.
    pub(super) async fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().await
    }
}

impl std::fmt::Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Operator")
    }
}

struct Nobody;

impl Ask for Nobody {
    fn secret(&self, _: &Question) -> Option<Secret> {
        None
    }

    fn host_key(&self, _: &HostKeyOffer) -> bool {
        false
    }

    fn notice(&self, _: &str) {}
}
