//! Ending like a Perl program: a message on stderr and an exit status of its own.

use std::fmt;

/// A failure with the exit status that the real program gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Die {
    /// Exit status.
    pub code: u8,
    /// What is printed.
    pub message: String,
}

impl Die {
    /// A failure with this status.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl fmt::Display for Die {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Die {}
