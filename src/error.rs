//! One table: kind of failure → exit code → what to do.
//!
//! Every error that reaches a person is built here, so that each message has the same order: the state of the
//! node, the cause, one thing to do. Exit codes are a contract (README.md, "Exit codes").

use std::fmt;

/// What went wrong, as far as a caller or a script needs to tell failures apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The command line, a profile or the site file is wrong; nothing was contacted.
    Usage,
    /// No connection: name, route, port, time-out.
    Unreachable,
    /// The host key is unknown and was not accepted, or differs from the known or pinned one.
    HostKey,
    /// The node refused the login or `sudo`.
    Auth,
    /// The node answered, but not in a way that can be read (garbage, cut off, too large, not a PVE node).
    Unreadable,
    /// The lock-out guard, a missing quorum or the operator said no.
    Refused,
    /// The node changed between plan and apply.
    Stale,
    /// Another run holds the node's lock or waits for its confirmation.
    Busy,
    /// A change failed or was not confirmed and the node restored its former state.
    RolledBack,
    /// The undo failed, or its outcome could not be learned.
    NeedsHands,
    /// A defect in this tool.
    Internal,
}

impl Kind {
    /// The process exit code (contract).
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Unreachable | Self::HostKey | Self::Auth | Self::Unreadable | Self::Internal => 3,
            Self::Refused | Self::Stale | Self::Busy => 4,
            Self::RolledBack => 5,
            Self::NeedsHands => 6,
        }
    }

    /// What to do when the place that failed knows nothing better.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Usage => "run `pve-harden help` or `pve-harden profile lint`",
            Self::Unreachable => "check address, port and jump host with `ssh -v`, then run the same command again",
            Self::HostKey => {
                "compare the fingerprint with the node's console (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`)"
            }
            Self::Auth => "check user, key or password with `ssh -v`; the tool does not retry a wrong password",
            Self::Unreadable => {
                "run the same command with -v; `pve-harden capture HOST -o FILE` records what the node says"
            }
            Self::Refused => "change the site or profile as the reason says, then plan again",
            Self::Stale => "run `pve-harden plan` again and look at what changed",
            Self::Busy => "wait for the other run, or see `pve-harden history HOST`",
            Self::RolledBack => "read the cause above, then plan again; `pve-harden history HOST` has the journal",
            Self::NeedsHands => "at the node's console run: /usr/local/sbin/pve-harden-undo",
            Self::Internal => "please report this with the output of the same command with -v",
        }
    }
}

/// An error a person will read.
#[derive(Debug)]
pub struct Error {
    /// Decides exit code and fallback hint.
    pub kind: Kind,
    /// In which state the node is, e.g. "nothing was changed on pve1"; empty when no node is concerned.
    pub state: String,
    /// The cause, outermost first.
    pub cause: anyhow::Error,
    /// One thing to do; [`Kind::hint`] when absent.
    pub hint: Option<String>,
}

impl Error {
    /// An error that concerns no node, or one whose state the caller adds with [`Error::state`].
    pub fn new(kind: Kind, cause: impl Into<anyhow::Error>) -> Self {
        Self { kind, state: String::new(), cause: cause.into(), hint: None }
    }

    /// As [`Error::new`] with a plain message.
    pub fn msg(kind: Kind, message: impl fmt::Display + fmt::Debug + Send + Sync + 'static) -> Self {
        Self::new(kind, anyhow::Error::msg(message))
    }

    /// Names the state of the node.
    #[must_use]
    pub fn state(mut self, state: impl Into<String>) -> Self {
        self.state = state.into();
        self
    }

    /// "nothing was changed on NODE", unless a state is set already.
    #[must_use]
    pub fn untouched(mut self, node: &str) -> Self {
        if self.state.is_empty() {
            self.state = format!("nothing was changed on {node}");
        }
        self
    }

    /// Replaces the fallback hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The hint that will be shown.
    pub fn hint_text(&self) -> &str {
        self.hint.as_deref().unwrap_or(self.kind.hint())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.state.is_empty() {
            write!(f, "{}: ", self.state)?;
        }
        write!(f, "{:#}", self.cause)
    }
}

impl std::error::Error for Error {}

/// Result of everything that can end in front of a person.
pub type Result<T, E = Error> = std::result::Result<T, E>;
