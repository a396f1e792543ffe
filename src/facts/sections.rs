//! Access to a capture's sections with [`Reading`]'s semantics.

use super::Reading;
use crate::sanitize;
use crate::transport::capture::Capture;

/// Longest reason that is kept of what a node complains.
const REASON: usize = 240;

/// A capture's sections.
#[derive(Clone, Copy)]
pub(super) struct Sections<'a>(pub(super) &'a Capture);

impl<'a> Sections<'a> {
    /// A section's text: not in the capture → not asked; status 127 → the command is not installed, absent; any other
    /// failure, or bytes that are no text → unreadable.
    pub(super) fn text(self, name: &str) -> Reading<&'a str> {
        let Some(section) = self.0.sections.get(name) else { return Reading::NotAsked };
        match (section.status, std::str::from_utf8(&section.body)) {
            (0, Ok(text)) => Reading::Known(text),
            (0, Err(_)) => Reading::Unreadable(format!("{name}: not UTF-8")),
            (127, _) => Reading::Absent,
            (status, text) => Reading::Unreadable(complaint(name, status, text.unwrap_or_default())),
        }
    }

    /// Parses a section's text.
    pub(super) fn parse<T>(self, name: &str, parse: impl FnOnce(&'a str) -> Result<T, String>) -> Reading<T> {
        self.text(name).and_then(|text| parse(text).map_err(|why| format!("{name}: {why}")))
    }
}

fn complaint(name: &str, status: i32, text: &str) -> String {
    match text.lines().rev().map(str::trim).find(|line| !line.is_empty()) {
        Some(line) => format!("{name}: {}", shown(line)),
        None => format!("{name}: exit status {status}"),
    }
}

/// Node text for a reason: safe to print, and not endless.
pub(super) fn shown(text: &str) -> String {
    let start: String = text.chars().take(REASON).collect();
    sanitize::line(&start).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::capture::Section;

    fn capture(status: i32, body: &[u8]) -> Capture {
        Capture { sections: [("x".to_owned(), Section { status, body: body.to_vec() })].into() }
    }

    #[test]
    fn failure_is_never_absence() {
        let text = |status, body: &[u8]| Sections(&capture(status, body)).text("x").map(str::to_owned);
        assert_eq!(text(0, b"a"), Reading::Known("a".into()));
        assert_eq!(text(127, b""), Reading::Absent);
        assert_eq!(text(255, b"one\ntwo\x1b[31m\n\n"), Reading::Unreadable("x: two\\x1b[31m".into()));
        assert_eq!(text(1, b""), Reading::Unreadable("x: exit status 1".into()));
        assert_eq!(text(0, b"\xff"), Reading::Unreadable("x: not UTF-8".into()));
        assert_eq!(Sections(&Capture::default()).text("x"), Reading::NotAsked);
    }
}
