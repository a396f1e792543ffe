//! Three answers instead of two: what could not be read is never taken for "absent" or "right".

use serde::{Deserialize, Serialize};

/// What the node said about one thing.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading<T> {
    /// It is there, and this is it.
    Known(T),
    /// The node said that there is none.
    Absent,
    /// It could not be read or understood; the reason is for people.
    Unreadable(String),
    /// The capture did not ask.
    #[default]
    NotAsked,
}

impl<T> Reading<T> {
    /// The value, if known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            _ => None,
        }
    }

    /// `Ok(Some)` when known, `Ok(None)` when absent, `Err(reason)` when it cannot be told.
    pub fn certain(&self) -> Result<Option<&T>, String> {
        match self {
            Self::Known(value) => Ok(Some(value)),
            Self::Absent => Ok(None),
            Self::Unreadable(why) => Err(why.clone()),
            Self::NotAsked => Err("the capture does not contain it".into()),
        }
    }

    /// The value, or why there is none to judge; absent counts as a reason.
    pub fn required(&self, what: &str) -> Result<&T, String> {
        match self.certain() {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(format!("{what} is absent")),
            Err(why) => Err(format!("{what}: {why}")),
        }
    }

    /// Maps a known value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Self::Known(value) => Reading::Known(f(value)),
            Self::Absent => Reading::Absent,
            Self::Unreadable(why) => Reading::Unreadable(why),
            Self::NotAsked => Reading::NotAsked,
        }
    }

    /// Parses a known value; a parse error makes it unreadable.
    pub fn and_then<U>(self, f: impl FnOnce(T) -> Result<U, String>) -> Reading<U> {
        match self {
            Self::Known(value) => match f(value) {
                Ok(parsed) => Reading::Known(parsed),
                Err(why) => Reading::Unreadable(why),
            },
            Self::Absent => Reading::Absent,
            Self::Unreadable(why) => Reading::Unreadable(why),
            Self::NotAsked => Reading::NotAsked,
        }
    }
}
