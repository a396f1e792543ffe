//! `[[sink]]`: where a generated secret goes.

use std::path::PathBuf;

/// A place for secrets: exactly one for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sink {
    /// Name that tokens and the command line use.
    pub name: String,
    /// What it is.
    pub kind: SinkKind,
}

/// Paths and words may hold `{host}`, `{user}` and `{token}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkKind {
    /// Lines `NAME='value'` in a file that keeps its other lines.
    Env {
        /// The file.
        path: PathBuf,
        /// Beginning of the names; `PROXMOX_<HOST>` when left out.
        variable: Option<String>,
    },
    /// A file of its own.
    File {
        /// The file.
        path: PathBuf,
    },
    /// A manifest of a Kubernetes Secret.
    Kubernetes {
        /// The file.
        path: PathBuf,
        /// Namespace of the Secret.
        namespace: String,
        /// Name of the Secret.
        secret: String,
        /// Key in it.
        key: String,
    },
    /// The standard input of a program that is started without a shell.
    Command {
        /// Program and its arguments.
        argv: Vec<String>,
        /// A command that ends with 0 when the first one will work.
        check: Option<Vec<String>>,
        /// What it reads.
        format: SinkFormat,
    },
}

impl SinkKind {
    /// Whether the secrets of these two tokens, `user@realm!token`, would lie in the same place.
    pub fn is_one_place(&self, a: &str, b: &str) -> bool {
        let path = match self {
            Self::Env { path, .. } | Self::File { path } | Self::Kubernetes { path, .. } => path.to_string_lossy(),
            Self::Command { .. } => return false,
        };
        let parts = |id: &str| id.rsplit_once('!').map(|(user, name)| (user.to_owned(), name.to_owned()));
        match (parts(a), parts(b)) {
            (Some((user, name)), Some((other_user, other_name))) => {
                let parted =
                    (path.contains("{user}") && user != other_user) || (path.contains("{token}") && name != other_name);
                !parted
            }
            _ => a == b,
        }
    }
}

/// What a command reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SinkFormat {
    /// `{"username": …, "token": …}`, or "password" or "recovery-keys" in place of "token".
    #[default]
    Json,
    /// The secret alone; of a token `USER@REALM!TOKEN=SECRET`.
    Value,
}
