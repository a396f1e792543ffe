//! Failures of API calls, with what the command line and the web make of them.

use std::fmt;

use crate::die::Die;

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiError {
    /// Parameters that are wrong: name and what is wrong with it.
    Parameters(Vec<(String, String)>),
    /// A parameter that does not fit the others, found while the configuration was locked.
    Verified((String, String)),
    /// No such path or method.
    NoHandler,
    /// Not logged in.
    NoTicket(&'static str),
    /// Logged in, but not allowed.
    Permission(String),
    /// Whatever else, with the exit status of the command line.
    Failed {
        /// Exit status.
        code: u8,
        /// The message.
        message: String,
    },
}

impl ApiError {
    /// A failure that exits 255.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed { code: 255, message: message.into() }
    }

    /// One wrong parameter.
    pub fn parameter(name: &str, message: impl Into<String>) -> Self {
        Self::Parameters(vec![(name.to_owned(), message.into())])
    }

    /// HTTP status and its words.
    pub fn http(&self) -> (u16, String) {
        match self {
            Self::Parameters(_) | Self::Verified(_) => (400, "Parameter verification failed.".to_owned()),
            Self::NoHandler => (501, "Method not implemented".to_owned()),
            Self::NoTicket(reason) => (401, (*reason).to_owned()),
            Self::Permission(reason) => (403, reason.clone()),
            Self::Failed { message, .. } => (500, message.trim_end().replace('\n', " ")),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameters(wrong) => {
                write!(formatter, "400 Parameter verification failed.")?;
                for (name, message) in wrong {
                    write!(formatter, "\n{name}: {message}")?;
                }
                Ok(())
            }
            Self::Verified((name, message)) => {
                write!(formatter, "400 Parameter verification failed.\n{name}: {message}")
            }
            Self::NoHandler => formatter.write_str("not implemented"),
            Self::NoTicket(reason) => formatter.write_str(reason),
            Self::Permission(reason) | Self::Failed { message: reason, .. } => formatter.write_str(reason),
        }
    }
}

impl std::error::Error for ApiError {}

impl From<anyhow::Error> for ApiError {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => error,
            Err(error) => {
                let code = error.downcast_ref::<Die>().map_or(255, |die| die.code);
                Self::Failed { code, message: format!("{error:#}") }
            }
        }
    }
}

impl From<std::io::Error> for ApiError {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error.to_string())
    }
}
