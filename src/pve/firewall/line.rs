//! Words of a line as the two parsers cut them.

/// Perl's `\s` on ASCII.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}')
}

/// Perl's `\h*` at both ends; `\r` stays.
pub(super) fn trim_blanks(line: &str) -> &str {
    line.trim_matches([' ', '\t'])
}

/// Text before the first `#`, and the comment behind it.
pub(super) fn comment(line: &str) -> (&str, Option<&str>) {
    match line.split_once('#') {
        Some((text, comment)) => (text, Some(comment.trim_matches(is_space))),
        None => (line, None),
    }
}

/// `^(\S+)\s*`: a word and what follows the blanks behind it.
pub(super) fn word(text: &str) -> Option<(&str, &str)> {
    let end = text.find(is_space).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (!word.is_empty()).then(|| (word, rest.trim_start_matches(is_space)))
}

/// `[name X] # comment` as pve-firewall matches it, ignoring case; gives X.
pub(super) fn perl_header<'a>(line: &'a str, kind: &str) -> Option<&'a str> {
    let rest = line.strip_prefix('[')?;
    let head = rest.get(..kind.len()).filter(|head| head.eq_ignore_ascii_case(kind))?;
    let rest = &rest[head.len()..];
    let inner = rest.trim_start_matches(is_space);
    if inner.len() == rest.len() {
        return None;
    }
    // `\S+` is greedy: the last bracket that leaves only blanks or a comment behind it.
    let end = inner.find(is_space).unwrap_or(inner.len());
    let close = inner[..end].rfind(']').into_iter().chain(inner[..end].match_indices(']').map(|(at, _)| at));
    for at in close {
        let tail = inner[at + 1..].trim_start_matches(is_space);
        if at > 0 && (tail.is_empty() || tail.starts_with('#')) {
            return Some(&inner[..at]);
        }
    }
    None
}
