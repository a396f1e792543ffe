//! Makes text from a node safe to print: what could drive a terminal or reorder a line becomes visible instead.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Text of several lines: line feeds and tabs stay, other control, bidirectional and invisible characters are written
/// as escapes (`\x1b`, `\u{202e}`).
pub fn text(value: &str) -> Cow<'_, str> {
    escape(value, |character| character != '\n' && character != '\t' && hostile(character))
}

/// As [`text`], for places that have one line: line feeds and tabs are escaped, too.
pub fn line(value: &str) -> Cow<'_, str> {
    escape(value, hostile)
}

/// A message from another program: its last lines, at most `limit` characters, made safe.
pub fn tail(value: &[u8], limit: usize) -> String {
    let whole = String::from_utf8_lossy(value);
    let trimmed = whole.trim();
    let skip = trimmed.chars().count().saturating_sub(limit);
    let cut: String = trimmed.chars().skip(skip).collect();
    let lines: Vec<_> = cut.lines().map(|found| line(found.trim_end()).into_owned()).collect();
    lines.join("\n")
}

fn escape(value: &str, hostile: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !value.chars().any(&hostile) {
        return Cow::Borrowed(value);
    }
    let mut safe = String::with_capacity(value.len() + 16);
    for character in value.chars() {
        match character {
            '\n' if hostile(character) => safe.push_str("\\n"),
            '\t' if hostile(character) => safe.push_str("\\t"),
            '\r' => safe.push_str("\\r"),
            other if hostile(other) && other.is_ascii() => {
                let _ = write!(safe, "\\x{:02x}", u32::from(other));
            }
            other if hostile(other) => safe.extend(other.escape_unicode()),
            other => safe.push(other),
        }
    }
    Cow::Owned(safe)
}

fn hostile(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn terminal_sequences_become_visible() {
        assert_eq!(line("a\x1b[2Jb\u{202e}c\r\n\td\u{9b}"), "a\\x1b[2Jb\\u{202e}c\\r\\n\\td\\u{9b}");
        assert_eq!(text("a\n\tb\x07"), "a\n\tb\\x07");
        assert_eq!(text("Grüße, 日本"), "Grüße, 日本");
    }

    #[test]
    fn a_tail_keeps_the_end() {
        assert_eq!(tail(b"first\nsecond\x1b\r\nthird\n\n", 14), "second\\x1b\nthird");
    }

    proptest! {
        #[test]
        fn nothing_hostile_is_left(value in any::<String>()) {
            prop_assert!(!line(&value).chars().any(hostile));
            prop_assert!(!text(&value).chars().any(|c| hostile(c) && c != '\n' && c != '\t'));
        }
    }
}
