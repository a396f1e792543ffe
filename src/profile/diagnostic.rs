//! What is wrong with a profile or site file, where, and what would be right.

use std::fmt;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::source::{At, printable};
use crate::error::{Error, Kind};

/// More than this many are counted, not shown.
const MAX_SHOWN: usize = 50;

/// How much a diagnostic matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is not used.
    Error,
    /// The file is used; the author should know.
    Warning,
}

/// One finding in one place.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong, without secrets.
    pub message: String,
    /// Where; `None` for files that could not be read.
    pub at: Option<At>,
    /// Beside the caret: what was expected.
    pub expected: String,
    /// Why.
    pub note: String,
    /// One thing to do per line.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// An error.
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            at: None,
            expected: String::new(),
            note: String::new(),
            help: Vec::new(),
        }
    }

    /// A warning.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    /// Sets the place.
    #[must_use]
    pub fn at(mut self, at: At) -> Self {
        self.at = Some(at);
        self
    }

    /// Sets the place, when known.
    #[must_use]
    pub fn at_opt(mut self, at: Option<At>) -> Self {
        self.at = at;
        self
    }

    /// Sets the text beside the caret.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = expected.into();
        self
    }

    /// Sets the reason.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Adds something to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    fn render(&self, renderer: &Renderer) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let group = Group::with_title(level.primary_title(printable(&self.message)));
        let mut group = self.place(group);
        if !self.note.is_empty() {
            group = group.element(Level::NOTE.message(printable(&self.note)));
        }
        for help in &self.help {
            group = group.element(Level::HELP.message(printable(help)));
        }
        renderer.render(&[group])
    }

    fn place<'a>(&'a self, group: Group<'a>) -> Group<'a> {
        let Some(at) = &self.at else { return group };
        let path = printable(&at.source.name);
        let (line, column) = at.source.position(at.span.start);
        let Some((excerpt, start)) = at.source.excerpt(&at.span) else {
            return group.element(Origin::path(path).line(line).char_column(column));
        };
        let from = at.span.start - start;
        let to = (at.span.end.max(at.span.start) - start).min(excerpt.len()).max(from);
        let mut mark = AnnotationKind::Primary.span(from..to);
        if !self.expected.is_empty() {
            mark = mark.label(printable(&self.expected));
        }
        group.element(Snippet::source(excerpt).line_start(line).path(path).annotation(mark))
    }
}

/// Findings in the order of files and lines.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Adds all of another list.
    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// Every finding.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }

    /// Nothing was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of errors.
    pub fn errors(&self) -> usize {
        self.0.iter().filter(|d| d.severity == Severity::Error).count()
    }

    /// Number of warnings.
    pub fn warnings(&self) -> usize {
        self.0.len() - self.errors()
    }

    /// Drops findings that are there already, e.g. of a file that two others build on.
    pub fn dedup(&mut self) {
        let mut seen = std::collections::HashSet::new();
        self.0.retain(|d| {
            let place = d.at.as_ref().map(|at| (at.source.name.clone(), at.span.clone()));
            seen.insert((place, d.message.clone()))
        });
    }

    /// Sorts by file (in the order they were first named), then by position.
    pub fn sort(&mut self) {
        let mut names: Vec<String> = Vec::new();
        for name in self.0.iter().filter_map(|d| d.at.as_ref()).map(|at| &at.source.name) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        let rank = |d: &Diagnostic| {
            d.at.as_ref()
                .map_or((0, 0), |at| (1 + names.iter().position(|n| *n == at.source.name).unwrap_or(0), at.span.start))
        };
        self.0.sort_by_key(rank);
    }

    /// The text for a person; `color` is decided by the caller.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut blocks: Vec<String> = self.0.iter().take(MAX_SHOWN).map(|d| d.render(&renderer)).collect();
        if self.0.len() > MAX_SHOWN {
            blocks.push(format!("… and {} more", self.0.len() - MAX_SHOWN));
        }
        blocks.join("\n\n")
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

impl From<Diagnostics> for Error {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::new(Kind::Usage, diagnostics)
    }
}
