//! What can go wrong between here and a root shell on the node.

use std::time::Duration;

use crate::error::{self, Kind};

/// A failed connection or program. Every text in it is safe to print.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Address, user, jump host or file name cannot be used; nothing was contacted.
    #[error("{0}")]
    Target(String),
    /// The local ssh client is missing or could not be started.
    #[error("ssh could not be started: {0}")]
    Client(String),
    /// No connection: name, route, port, time-out.
    #[error("{host} cannot be reached: {detail}")]
    Unreachable {
        /// Where to.
        host: String,
        /// ssh's own words.
        detail: String,
    },
    /// sshd closed the connection before any login, which is how it answers a source it penalises or a full queue.
    #[error("{host} closed the connection before the login: {detail}")]
    Throttled {
        /// Where to.
        host: String,
        /// ssh's own words.
        detail: String,
    },
    /// The host key is not known and was not accepted.
    #[error("the host key of {host} is not known{}", offered.as_deref().map(|key| format!(": {key}")).unwrap_or_default())]
    HostKeyUnknown {
        /// As `known_hosts` names it.
        host: String,
        /// Type and fingerprint, when ssh told them.
        offered: Option<String>,
    },
    /// The host key differs from the known or pinned one.
    #[error("the host key of {host} is not the {expected}; it offers {offered}")]
    HostKeyChanged {
        /// As `known_hosts` names it.
        host: String,
        /// "known one" or the pin.
        expected: String,
        /// Type and fingerprint.
        offered: String,
        /// The command that forgets the old key, for a known one.
        forget: Option<String>,
    },
    /// The node refused the login.
    #[error("{user}@{host} was refused: {detail}")]
    Auth {
        /// Login name.
        user: String,
        /// Where to.
        host: String,
        /// What was tried and refused.
        detail: String,
        /// Whether the password was given to the node and was wrong.
        wrong_password: bool,
    },
    /// The node asks for a password, and nobody gave one; none was tried.
    #[error("{user}@{host} asks for a password, and there is none{before}")]
    PasswordMissing {
        /// Login name.
        user: String,
        /// Where to.
        host: String,
        /// Logins that were refused before this one, for the message; empty without any.
        before: String,
    },
    /// The login works, but `sudo` is not installed.
    #[error("{user} is not root, and sudo is not installed")]
    SudoMissing {
        /// Login name.
        user: String,
    },
    /// sudo wants a password and there is none.
    #[error("sudo wants the password of {user}, and there is none")]
    SudoPassword {
        /// Login name.
        user: String,
    },
    /// sudo refused: wrong password, or no permission.
    #[error("sudo refused {user}: {detail}")]
    SudoRefused {
        /// Login name.
        user: String,
        /// sudo's own words.
        detail: String,
    },
    /// The connection broke while the program ran.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// No complete answer in time.
    #[error("no complete answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// More bytes than allowed.
    #[error("the answer is too large: {what} has more than {limit} bytes")]
    TooLarge {
        /// Frame name, or the whole.
        what: String,
        /// Allowed bytes.
        limit: usize,
    },
    /// The answer cannot be read as frames.
    #[error("the answer cannot be read: {0}")]
    Garbage(String),
    /// The program ran and failed.
    #[error("the program on the node ended with status {code}{}", if stderr_tail.is_empty() { String::new() } else { format!(": {stderr_tail}") })]
    Remote {
        /// Exit status.
        code: i32,
        /// End of its standard error.
        stderr_tail: String,
    },
    /// The tool itself could not go on, e.g. no private directory.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// Exit code and fallback hint.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Target(_) => Kind::Usage,
            Self::Client(_) | Self::Unreachable { .. } | Self::Throttled { .. } | Self::Lost(_) | Self::Timeout(_) => {
                Kind::Unreachable
            }
            Self::HostKeyUnknown { .. } | Self::HostKeyChanged { .. } => Kind::HostKey,
            Self::Auth { .. }
            | Self::PasswordMissing { .. }
            | Self::SudoMissing { .. }
            | Self::SudoPassword { .. }
            | Self::SudoRefused { .. } => Kind::Auth,
            Self::TooLarge { .. } | Self::Garbage(_) | Self::Remote { .. } => Kind::Unreadable,
            Self::Internal(_) => Kind::Internal,
        }
    }

    /// One thing to do, where more is known than [`Kind::hint`] says.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Client(_) => "install the OpenSSH client (Debian: `apt install openssh-client`)".into(),
            Self::Throttled { .. } => {
                "wait a minute and run the same command again; sshd slows down a source after failed logins \
                 (PerSourcePenalties, MaxStartups)"
                    .into()
            }
            Self::HostKeyUnknown { .. } => "compare the fingerprint with the node's console (`ssh-keygen -lf \
                 /etc/ssh/ssh_host_ed25519_key.pub`), then answer yes, use --accept-new, or pin it as host_key in the site"
                .into(),
            Self::HostKeyChanged { forget: Some(forget), .. } => format!(
                "compare the fingerprint with the node's console; only if the node was really installed anew: `{forget}`"
            ),
            Self::HostKeyChanged { .. } => {
                "compare the fingerprint with the node's console; only if it is right, change host_key in the site".into()
            }
            Self::Auth { wrong_password: true, .. } => {
                "correct the password; it was tried once and is not tried again, because the node may lock the account".into()
            }
            Self::PasswordMissing { .. } => {
                "set PVE_ROOT_PASS (or PVE_ROOT_PASS_<HOST>), name a key with --identity, or run on a terminal and be asked"
                    .into()
            }
            Self::Garbage(_) | Self::TooLarge { .. } => {
                "see with `ssh` what this login answers: a ForceCommand, a login shell that is none, or its start files \
                 may stand in the way"
                    .into()
            }
            Self::SudoMissing { .. } => "log in as root for the first run: --user root".into(),
            Self::SudoPassword { .. } => "set PVE_HARDEN_SUDO_PASS, or run on a terminal and be asked".into(),
            Self::SudoRefused { detail, .. } if detail == super::exchange::WRONG_PASSWORD => {
                "correct PVE_HARDEN_SUDO_PASS; it was tried once and is not tried again, because the node may lock the account"
                    .into()
            }
            Self::SudoRefused { .. } => "check with `ssh` and `sudo -l` what this login may do".into(),
            _ => return None,
        })
    }

    /// Whether the login worked, but this user cannot become root; a wrong password does not count.
    pub fn is_powerless(&self) -> bool {
        match self {
            Self::SudoMissing { .. } | Self::SudoPassword { .. } => true,
            Self::SudoRefused { detail, .. } => detail != super::exchange::WRONG_PASSWORD,
            _ => false,
        }
    }

    /// A refused login in a few words, to be named beside a later one.
    pub(super) fn refusal(&self) -> Option<String> {
        match self {
            Self::Auth { user, detail, .. } => Some(format!("{user}: {detail}")),
            Self::PasswordMissing { user, .. } => Some(format!("{user}: it asks for a password, and there is none")),
            _ => None,
        }
    }

    /// The same refusal with those before it.
    pub(super) fn after(mut self, refused: &[String]) -> Self {
        let told: Vec<String> = refused.iter().map(|refusal| format!("; before that, {refusal}")).collect();
        let told = told.concat();
        match &mut self {
            Self::Auth { detail, .. } => detail.push_str(&told),
            Self::PasswordMissing { before, .. } => *before = told,
            _ => {}
        }
        self
    }

    /// Whether the same attempt may succeed a little later.
    pub(super) const fn is_throttled(&self) -> bool {
        matches!(self, Self::Throttled { .. })
    }
}

impl From<Error> for error::Error {
    fn from(error: Error) -> Self {
        let hint = error.hint();
        let mut shown = Self::new(error.kind(), error);
        shown.hint = hint;
        shown
    }
}
