//! PAM services with their includes resolved, as libpam reads them (pam.d(5)).

use std::collections::{BTreeMap, BTreeSet};

use super::{FileFact, PamRule, PamStack, Reading};

/// Where libpam looks, in order.
const DIRECTORIES: [&str; 2] = ["/etc/pam.d/", "/usr/lib/pam.d/"];
/// libpam gives up at 32 nested includes (`pam_handlers.c`, `PAM_SUBSTACK_MAX_LEVEL`).
const DEPTH: usize = 32;
/// More rules than any service has; includes that multiply stop here.
const RULES: usize = 2000;

/// Every service there is a file for.
pub(crate) fn parse(files: &BTreeMap<String, Reading<FileFact>>) -> BTreeMap<String, Reading<PamStack>> {
    let names: BTreeSet<&str> = files
        .iter()
        .filter(|(_, reading)| !matches!(reading, Reading::Absent))
        .filter_map(|(path, _)| DIRECTORIES.iter().find_map(|directory| path.strip_prefix(directory)))
        .filter(|name| !name.contains('/') && !name.contains('*'))
        .collect();
    names.into_iter().map(|name| (name.to_owned(), stack(files, name))).collect()
}

fn stack(files: &BTreeMap<String, Reading<FileFact>>, service: &str) -> Reading<PamStack> {
    let mut resolver = Resolver { files, rules: Vec::new() };
    match resolver.file(service, None, 0) {
        Ok(()) => Reading::Known(PamStack { rules: resolver.rules }),
        Err(why) => Reading::Unreadable(why),
    }
}

struct Resolver<'a> {
    files: &'a BTreeMap<String, Reading<FileFact>>,
    rules: Vec<PamRule>,
}

impl Resolver<'_> {
    fn file(&mut self, name: &str, only: Option<&str>, depth: usize) -> Result<(), String> {
        if depth > DEPTH {
            return Err(format!("PAM: includes too deep at {}", name.escape_debug()));
        }
        let (path, text) = self.find(name)?;
        for line in logical_lines(&text) {
            self.line(&line, &path, only, depth)?;
            if self.rules.len() > RULES {
                return Err(format!("PAM: more than {RULES} rules"));
            }
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Result<(String, String), String> {
        let candidates: Vec<String> = if name.starts_with('/') {
            vec![name.to_owned()]
        } else {
            DIRECTORIES.iter().map(|directory| format!("{directory}{name}")).collect()
        };
        for path in candidates {
            match super::text_of(self.files, &path) {
                Reading::Known(text) => return Ok((path, text)),
                Reading::Unreadable(why) => return Err(why),
                Reading::Absent | Reading::NotAsked => {}
            }
        }
        Err(format!("PAM: {} is included but not there", name.escape_debug()))
    }

    fn line(&mut self, line: &str, path: &str, only: Option<&str>, depth: usize) -> Result<(), String> {
        let words = words(line);
        let Some((first, rest)) = words.split_first() else { return Ok(()) };
        if first == "@include" {
            let name = rest.first().ok_or_else(|| format!("PAM: {path}: @include without a name"))?;
            return self.file(name, only, depth + 1);
        }
        let facility = first.trim_start_matches('-').to_ascii_lowercase();
        if !matches!(facility.as_str(), "auth" | "account" | "password" | "session") {
            return Err(format!("PAM: {path}: no rule: {}", super::sections::shown(line)));
        }
        if only.is_some_and(|only| only != facility) {
            return Ok(());
        }
        let [control, module, arguments @ ..] = rest else {
            return Err(format!("PAM: {path}: rule without a module: {}", super::sections::shown(line)));
        };
        if matches!(control.as_str(), "include" | "substack") {
            return self.file(module, Some(&facility), depth + 1);
        }
        self.rules.push(PamRule {
            facility,
            control: control.clone(),
            module: module.rsplit('/').next().unwrap_or(module).to_owned(),
            arguments: arguments.to_vec(),
            file: path.to_owned(),
        });
        Ok(())
    }
}

/// Lines without comments; a backslash at the end joins two.
fn logical_lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = String::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim_end();
        if let Some(start) = line.strip_suffix('\\') {
            open.push_str(start);
            open.push(' ');
            continue;
        }
        open.push_str(line);
        lines.push(std::mem::take(&mut open));
    }
    lines.push(open);
    lines.retain(|line| !line.trim().is_empty());
    lines
}

/// Blank-separated words; `[…]` groups, brackets of the control field stay, those of arguments go (pam.d(5)).
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, after) = if let Some(inner) = rest.strip_prefix('[') {
            let (inner, after) = bracketed(inner);
            let is_control = words.len() == 1;
            (if is_control { format!("[{inner}]") } else { inner }, after)
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            (rest[..end].to_owned(), &rest[end..])
        };
        words.push(word);
        rest = after.trim_start();
    }
    words
}

/// Text up to the closing bracket, `\]` being a bracket.
fn bracketed(text: &str) -> (String, &str) {
    let mut inner = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' if text[at + 1..].starts_with(']') => {
                inner.push(']');
                characters.next();
            }
            ']' => return (inner, &text[at + 1..]),
            other => inner.push(other),
        }
    }
    (inner, "")
}
