//! What both readings give.

use super::{Config, Effect, Problem};

/// A file as one backend reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// What it means; of a refused file what its good lines would mean.
    pub config: Config,
    /// Lines that are not used as written, in order.
    pub problems: Vec<Problem>,
    /// One per line of the file.
    pub lines: Vec<Line>,
}

/// Where a line stands and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub section: Option<Section>,
    pub what: What,
}

/// Section of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Options,
    Aliases,
    Ipset(String),
    Rules,
    Group(String),
}

impl Section {
    /// PVE writes sections in this order, and pve-firewall needs names above their use.
    pub fn rank(&self) -> u8 {
        match self {
            Self::Options => 0,
            Self::Aliases => 1,
            Self::Ipset(_) => 2,
            Self::Rules => 3,
            Self::Group(_) => 4,
        }
    }

    /// The header as PVE writes it.
    pub fn header(&self) -> String {
        match self {
            Self::Options => "[OPTIONS]".into(),
            Self::Aliases => "[ALIASES]".into(),
            Self::Ipset(name) => format!("[IPSET {name}]"),
            Self::Rules => "[RULES]".into(),
            Self::Group(name) => format!("[group {name}]"),
        }
    }
}

/// Kind of line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Blank,
    Comment,
    Header,
    Body,
}

impl Reading {
    pub fn problem(&mut self, line: usize, text: &str, message: impl Into<String>, effect: Effect) {
        let text = text.trim().to_owned();
        self.problems.push(Problem { line, text, message: message.into(), effect });
    }
}
