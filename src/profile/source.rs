//! A configuration text with its name: positions for messages, and lines safe to show.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use regex_lite::Regex;

use crate::sanitize;

/// Lines longer than this are not shown in messages.
const MAX_SHOWN_LINE: usize = 4096;

/// A text that was read, and where from.
pub struct Source {
    /// Path as given by a person, or the name of an embedded profile.
    pub name: String,
    /// The text.
    pub text: String,
    line_starts: Vec<usize>,
    masked: OnceLock<String>,
}

impl Source {
    /// Takes a text over.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        let text = text.into();
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        Arc::new(Self { name: name.into(), text, line_starts, masked: OnceLock::new() })
    }

    /// Line of a byte offset, from 1.
    pub fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|&start| start <= offset)
    }

    /// Line and column of a byte offset, both from 1; the column counts characters.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.line(offset);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let column = self.text.get(start..offset.min(self.text.len())).map_or(1, |before| before.chars().count() + 1);
        (line, column)
    }

    /// The whole lines a span lies on (at most three), with secrets masked, and the offset of the first of them.
    /// `None` when they are too long to show.
    pub fn excerpt(&self, span: &Range<usize>) -> Option<(&str, usize)> {
        let first = self.line(span.start);
        let last = self.line(span.end.saturating_sub(1).max(span.start)).min(first + 2);
        let start = *self.line_starts.get(first - 1)?;
        let end = self.line_starts.get(last).map_or(self.text.len(), |next| next - 1);
        if end.saturating_sub(start) > MAX_SHOWN_LINE {
            return None;
        }
        self.masked().get(start..end).map(|text| (text, start))
    }

    fn masked(&self) -> &str {
        self.masked.get_or_init(|| mask(&self.text))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.name)
    }
}

/// Where something stands.
#[derive(Clone, Debug)]
pub struct At {
    /// The text.
    pub source: Arc<Source>,
    /// Byte range in it.
    pub span: Range<usize>,
}

impl At {
    /// Line, from 1.
    pub fn line(&self) -> usize {
        self.source.line(self.span.start)
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", printable(&self.source.name), self.line())
    }
}

/// One line without control characters or characters that reorder text, for messages.
pub fn printable(text: &str) -> String {
    sanitize::line(text).into_owned()
}

/// The same text with secrets overwritten by `*`, byte offsets kept: crypt(5) hashes, private keys, values of keys
/// that name a secret.
fn mask(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut block: Option<Block> = None;
    for line in text.split_inclusive('\n') {
        block = match block {
            Some(open) => mask_inside(&mut out, line, open),
            None => mask_line(&mut out, line),
        };
    }
    out
}

/// A secret that spans lines.
#[derive(Clone, Copy)]
enum Block {
    Pem,
    Quoted(&'static str),
}

fn mask_inside(out: &mut String, line: &str, block: Block) -> Option<Block> {
    let end = match block {
        // A key pasted into a string that was never closed ends where TOML goes on.
        Block::Pem if pem_is_over().is_some_and(|p| p.is_match(line)) => Some(0),
        Block::Pem => {
            (line.contains("-----END") || line.contains("\"\"\"") || line.contains("'''")).then_some(line.len())
        }
        Block::Quoted(quote) => line.find(quote).map(|at| at + quote.len()),
    };
    stars(out, &line[..end.unwrap_or(line.len())]);
    let Some(end) = end else { return Some(block) };
    out.push_str(&line[end..]);
    None
}

fn mask_line(out: &mut String, line: &str) -> Option<Block> {
    let pem = line.find("-----BEGIN").filter(|_| line.contains("PRIVATE KEY"));
    if let Some(begin) = pem.or_else(|| line.find("PuTTY-User-Key-File")) {
        out.push_str(&line[..begin]);
        stars(out, &line[begin..]);
        return (!line.contains("-----END")).then_some(Block::Pem);
    }
    let hits = patterns().iter().filter_map(|p| p.captures(line)).filter_map(|c| c.name("s").map(|m| m.start()));
    let Some(from) = hits.min() else {
        out.push_str(line);
        return None;
    };
    let value = &line[from..];
    let multi = ["\"\"\"", "'''"].into_iter().find(|q| value.starts_with(q) && !value[3..].contains(q));
    if let Some(quote) = multi {
        out.push_str(&line[..from]);
        stars(out, value);
        return Some(Block::Quoted(quote));
    }
    out.push_str(&line[..from]);
    mask_values(out, value);
    None
}

/// Masks the contents of every quoted string and bare word, keeping the punctuation that shows the structure.
fn mask_values(out: &mut String, text: &str) {
    for c in text.chars() {
        if matches!(c, '"' | '\'' | '{' | '}' | '[' | ']' | ',' | '=' | ' ' | '\t' | '\n' | '\r') {
            out.push(c);
        } else {
            out.extend(std::iter::repeat_n('*', c.len_utf8()));
        }
    }
}

fn stars(out: &mut String, text: &str) {
    for c in text.chars() {
        if matches!(c, '\n' | '\r') {
            out.push(c);
        } else {
            out.extend(std::iter::repeat_n('*', c.len_utf8()));
        }
    }
}

/// A TOML table or `key = value`; no line of base64 looks like that.
fn pem_is_over() -> Option<&'static Regex> {
    static PATTERN: OnceLock<Option<Regex>> = OnceLock::new();
    PATTERN.get_or_init(|| Regex::new(r#"^\s*(?:\[|[\w.-]+\s*=\s*["'\w\[{])"#).ok()).as_ref()
}

fn patterns() -> &'static [Regex] {
    static PATTERNS: OnceLock<Vec<Regex>> = OnceLock::new();
    PATTERNS.get_or_init(|| {
        [
            // A key that names a secret, and its value when that is not a table or an array.
            r#"(?i)[\w-]*(?:hash|pass|passwd|password|passphrase|secret|token)["']?\s*=\s*(?P<s>[^\s\[{])"#,
            // crypt(5): $id$…
            r"(?P<s>\$[0-9a-z]{1,8}\$[./0-9A-Za-z=,]+)",
        ]
        .iter()
        .filter_map(|p| Regex::new(p).ok())
        .collect()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let source = Source::new("x", "a\nöb = 1\n");
        assert_eq!(source.position(0), (1, 1));
        assert_eq!(source.position(2), (2, 1));
        assert_eq!(source.position(4), (2, 2), "ö has two bytes and one column");
    }

    #[test]
    fn secrets_are_masked_where_they_stand() {
        for (text, secret) in [
            ("password = { hash = \"$y$j9T$abc$def\" }", "j9T"),
            ("x = \"$6$rounds=5000$salt$abcdef\"", "rounds"),
            ("password = 'hunter2'", "hunter2"),
            ("keys = [\"-----BEGIN OPENSSH PRIVATE KEY-----\\nb3Blbn\"]", "b3Blbn"),
            (
                "keys = ['''\n-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn\n-----END OPENSSH PRIVATE KEY-----\n''']",
                "b3Blbn",
            ),
            ("keys = [\"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn\ncnNh==\n-----END", "cnNh"),
            ("keys = ['''PuTTY-User-Key-File-3: x\nPrivate-Lines: 1\nb3Blbn\n''']", "b3Blbn"),
            ("root-password = \"\"\"\nhunter2\n\"\"\"\n", "hunter2"),
            ("password = hunter2 hunter3", "hunter3"),
        ] {
            let shown = mask(text);
            assert!(!shown.contains(secret), "{shown}");
            assert_eq!(shown.len(), text.len());
        }
        let after = mask("keys = [\"-----BEGIN OPENSSH PRIVATE KEY-----\\nb3\"]\nsudo = \"pasword\"\n");
        assert!(after.ends_with("sudo = \"pasword\"\n"), "what follows a key on one line is shown: {after}");
        let plain = "sudo = \"password\"\n[password.quality]\nmin-length = 14\nhash-env = \"VAR\"\n";
        assert_eq!(mask(plain), plain);
    }

    proptest! {
        #[test]
        fn masking_keeps_every_offset(text in "\\PC*|[\\x00-\\x7f]*") {
            let shown = mask(&text);
            prop_assert_eq!(shown.len(), text.len());
            prop_assert_eq!(shown.matches('\n').count(), text.matches('\n').count());
        }
    }
}
