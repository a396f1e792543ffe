//! Where generated secrets go: exactly one place for each, named in the site.
//!
//! ```text
//! let place = sink::prove(&sink, &item).await?;        // before the secret is made: the place can be written
//! let staged = place.stage(secret).await?;             // it lies there, on disk, under another name
//! staged.keep().await?;                                // it takes the place of the former one
//! ```
//!
//! A place that was proved is locked and has room. What is dropped before [`Staged::keep`] leaves the former content.
//! A command has nothing to stage: it reads the secret in [`Staged::keep`], and [`Staged::is_final`] tells.

mod command;
mod env;
mod file;
mod form;

use crate::error::{Error, Kind, Result};
use crate::profile::policy::{Sink, SinkKind};
use crate::secret::Secret;

/// A secret to be stored: whose it is and what it opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The node's name in the site.
    pub host: String,
    /// What it is.
    pub what: What,
}

/// Kinds of secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Of an API token.
    Token {
        /// `user@realm!token`.
        id: String,
    },
    /// A user's password.
    Password {
        /// `user@realm`.
        user: String,
    },
    /// What an app and PVE share of a user: an `otpauth` URI.
    Totp {
        /// `user@realm`.
        user: String,
    },
    /// A user's recovery keys, one a line.
    RecoveryKeys {
        /// `user@realm`.
        user: String,
    },
}

impl Item {
    /// `user@realm`.
    pub fn user(&self) -> &str {
        match &self.what {
            What::Token { id } => id.rsplit_once('!').map_or(id, |(user, _)| user),
            What::Password { user } | What::Totp { user } | What::RecoveryKeys { user } => user,
        }
    }

    /// Fills `{host}`, `{user}` and `{token}`; `plain` makes each of them a word that fits a file name.
    fn filled(&self, text: &str, plain: bool) -> String {
        let token = match &self.what {
            What::Token { id } => form::family(id).rsplit('!').next().unwrap_or_default().to_owned(),
            What::Password { .. } => "password".into(),
            What::Totp { .. } => "totp".into(),
            What::RecoveryKeys { .. } => "recovery-keys".into(),
        };
        let word = |value: &str| {
            let fits = |c: char| !plain || c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '@');
            // A dot could lead out of the folder.
            let dotted = |c: char| c == '.' && value.trim_matches('.') == value;
            value.chars().map(|c| if fits(c) || dotted(c) { c } else { '_' }).collect::<String>()
        };
        // One pass: what stands in a name is not filled again.
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, after) = rest.split_at(at);
            filled.push_str(before);
            let places = [("{host}", self.host.as_str()), ("{user}", self.user()), ("{token}", token.as_str())];
            if let Some((place, value)) = places.iter().find(|(place, _)| after.starts_with(place)) {
                filled.push_str(&word(value));
                rest = &after[place.len()..];
            } else {
                filled.push('{');
                rest = &after[1..];
            }
        }
        filled + rest
    }
}

/// A place that can be written now.
#[derive(Debug)]
pub struct Place {
    sink: Sink,
    item: Item,
    kind: Proved,
}

#[derive(Debug)]
enum Proved {
    File(file::Proved),
    Command(command::Proved),
}

/// Proves that the sink can take this item: folder, owner, mode, room, no other secret in its place; a command is there,
/// and its check ends well.
pub async fn prove(sink: &Sink, item: &Item) -> Result<Place> {
    let refuse = |why: Refusal| why.into_error(&sink.name);
    let kind = match &sink.kind {
        SinkKind::Env { path, .. } | SinkKind::File { path } | SinkKind::Kubernetes { path, .. } => {
            let path = item.filled(&path.to_string_lossy(), true);
            let proved = file::prove(path.as_ref()).map_err(refuse)?;
            form::room(&sink.kind, item, proved.text()).map_err(|why| refuse(why.at(proved.path())))?;
            Proved::File(proved)
        }
        SinkKind::Command { argv, check, .. } => {
            let fill = |words: &[String]| words.iter().map(|word| item.filled(word, false)).collect::<Vec<_>>();
            let check = check.as_deref().map(fill);
            Proved::Command(command::prove(fill(argv), check).await.map_err(refuse)?)
        }
    };
    Ok(Place { sink: sink.clone(), item: item.clone(), kind })
}

impl Place {
    /// The token whose secret lies there; none when that cannot be told.
    pub fn holds(&self) -> Option<String> {
        match &self.kind {
            Proved::File(proved) => form::holds(&self.sink.kind, &self.item, proved.text()),
            Proved::Command(_) => None,
        }
    }

    /// The same place for another token of the family.
    #[must_use]
    pub fn for_token(mut self, id: &str) -> Self {
        self.item.what = What::Token { id: id.to_owned() };
        self
    }

    /// Whether [`Place::holds`] tells what lies there.
    pub const fn is_readable(&self) -> bool {
        matches!(self.kind, Proved::File(_))
    }

    /// Where it is, for people.
    pub fn shown(&self) -> String {
        match &self.kind {
            Proved::File(proved) => format!("{} ({})", self.sink.name, proved.shown()),
            Proved::Command(proved) => format!("{} ({})", self.sink.name, proved.shown()),
        }
    }

    /// Writes the secret beside its place, on disk.
    pub fn stage(mut self, secret: Secret) -> Result<Staged> {
        if let Proved::File(proved) = &mut self.kind {
            let staged = form::written(&self.sink.kind, &self.item, proved.text(), &secret)
                .map_err(|why| why.at(proved.path()))
                .and_then(|text| proved.stage(&text));
            staged.map_err(|why| why.into_error(&self.sink.name))?;
        }
        Ok(Staged { place: self, secret })
    }
}

/// A secret that lies beside its place.
#[derive(Debug)]
pub struct Staged {
    place: Place,
    secret: Secret,
}

impl Staged {
    /// Where it goes, for people.
    pub fn shown(&self) -> String {
        self.place.shown()
    }

    /// Whether what is left to do is a rename; a command may still fail.
    pub const fn is_final(&self) -> bool {
        matches!(self.place.kind, Proved::File(_))
    }

    /// Puts the secret in its place.
    pub async fn keep(self) -> Result<()> {
        let Place { sink, item, kind } = self.place;
        let kept = match kind {
            Proved::File(mut proved) => {
                let changed = proved.reread();
                let again = changed.and_then(|changed| {
                    let path = proved.path().to_owned();
                    if !changed {
                        return Ok(());
                    }
                    form::room(&sink.kind, &item, proved.text()).map_err(|why| why.at(&path))?;
                    let text = form::written(&sink.kind, &item, proved.text(), &self.secret);
                    text.map_err(|why| why.at(&path)).and_then(|text| proved.stage(&text))
                });
                again.and_then(|()| proved.keep())
            }
            Proved::Command(proved) => {
                let SinkKind::Command { format, .. } = sink.kind else {
                    return Err(Error::msg(Kind::Internal, "a command that is none"));
                };
                proved.run(form::for_command(format, &item, &self.secret), &self.secret).await
            }
        };
        kept.map_err(|why| why.into_error(&sink.name))
    }
}

/// Why a sink does not take a secret.
#[derive(Debug)]
struct Refusal {
    place: String,
    why: String,
    hint: String,
}

impl Refusal {
    fn new(place: impl Into<String>, why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { place: place.into(), why: why.into(), hint: hint.into() }
    }

    fn at(mut self, path: &std::path::Path) -> Self {
        if self.place.is_empty() {
            self.place = file::shown(path);
        }
        self
    }

    fn into_error(self, sink: &str) -> Error {
        let place = if self.place.is_empty() { String::new() } else { format!("{} ", self.place) };
        Error::msg(Kind::Usage, format!("sink {sink}: {place}{}", self.why)).hint(self.hint)
    }
}

#[cfg(test)]
mod tests;
