//! Lines `NAME='value'`, as shells, systemd and dotenv read them; every other byte stays.

use zeroize::Zeroizing;

/// One `NAME=value`, its value perhaps over several lines.
struct Entry<'a> {
    name: &'a str,
    /// `export` and blanks before the name.
    lead: &'a str,
    value: &'a str,
    start: usize,
    end: usize,
}

/// The value of the first entry with this name, without its quotes.
pub(super) fn value(text: &str, name: &str) -> Option<String> {
    let entry = entries(text).into_iter().find(|entry| entry.name == name)?;
    let value = entry.value.trim();
    let quoted = |quote| value.strip_prefix(quote).and_then(|rest| rest.split(quote).next());
    Some(
        quoted('\'')
            .or_else(|| quoted('"'))
            .unwrap_or_else(|| value.split(" #").next().unwrap_or_default().trim())
            .to_owned(),
    )
}

/// Sets each name: its first entry is replaced, further ones go, a new one is added at the end.
pub(super) fn edit(text: &str, values: &[(String, Zeroizing<String>)]) -> Result<Zeroizing<String>, String> {
    for (name, value) in values {
        if value.chars().any(|c| c.is_control() || matches!(c, '\'' | '\\')) {
            return Err(format!("cannot hold the value of {name}: it has a quote, a backslash or a line break"));
        }
    }
    let grown: usize = values.iter().map(|(name, value)| name.len() + value.len() + 16).sum();
    let mut edited = Zeroizing::new(String::with_capacity(text.len() + grown));
    let mut done: Vec<&str> = Vec::new();
    let mut from = 0;
    for entry in entries(text) {
        let Some((name, value)) = values.iter().find(|(name, _)| name == entry.name) else { continue };
        edited.push_str(&text[from..entry.start]);
        from = entry.end;
        if !done.contains(&name.as_str()) {
            done.push(name);
            push(&mut edited, entry.lead, name, value);
        }
    }
    edited.push_str(&text[from..]);
    if !edited.is_empty() && !edited.ends_with('\n') {
        edited.push('\n');
    }
    for (name, value) in values.iter().filter(|(name, _)| !done.contains(&name.as_str())) {
        push(&mut edited, "", name, value);
    }
    Ok(edited)
}

fn push(text: &mut String, lead: &str, name: &str, value: &str) {
    for part in [lead, name, "='", value, "'\n"] {
        text.push_str(part);
    }
}

/// Entries in their order. A quoted value reaches to its closing quote, so that a line inside it is none.
fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let line_end = text[at..].find('\n').map_or(text.len(), |length| at + length + 1);
        let line = &text[at..line_end];
        let bare = line.trim_start();
        let assigned = line.split_once('=').filter(|_| !bare.starts_with('#'));
        let Some((left, value)) = assigned else {
            at = line_end;
            continue;
        };
        let after_export = bare.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t']));
        let name = after_export.map_or(left, |_| &left[line.len() - bare.len() + "export".len()..]).trim();
        let value_start = at + left.len() + 1;
        let blank = value.len() - value.trim_start_matches([' ', '\t']).len();
        let end = match value[blank..].chars().next().filter(|quote| matches!(quote, '\'' | '"')) {
            Some(quote) => {
                let open = value_start + blank + 1;
                let closed = closing(&text[open..], quote).map(|place| open + place + 1);
                closed.map_or(line_end, |closed| {
                    text[closed..].find('\n').map_or(text.len(), |length| closed + length + 1)
                })
            }
            None => line_end,
        };
        let lead_length = left.find(name).unwrap_or(0);
        let lead = if name.is_empty() { "" } else { &left[..lead_length] };
        found.push(Entry { name, lead, value: &text[value_start..end], start: at, end });
        at = end;
    }
    found
}

/// Place of the quote that closes; a backslash hides the next character in double quotes.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut hidden = false;
    text.char_indices().find_map(|(at, c)| {
        let closes = c == quote && !hidden;
        hidden = quote == '"' && c == '\\' && !hidden;
        closes.then_some(at)
    })
}
