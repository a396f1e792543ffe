//! Who sets a keyword: lines of sshd's files in the order in which sshd reads them.

use crate::facts::Facts;

use super::dropin;

/// The main file.
pub const MAIN: &str = "/etc/ssh/sshd_config";

/// A line that sets a keyword.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setter {
    /// File.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// Whether it stands in a `Match` block.
    pub in_match: bool,
    /// The value, as written.
    pub value: String,
}

impl Setter {
    /// `file:line`.
    pub fn place(&self) -> String {
        format!("{}:{}", self.path, self.line)
    }
}

/// Every line outside our own drop-in that sets the keyword, split into those sshd reads before the drop-in and those
/// it reads after it. Only files the capture holds can be searched, so an empty answer proves nothing.
pub fn setters(facts: &Facts, keyword: &str) -> (Vec<Setter>, Vec<Setter>) {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let main = content(facts, MAIN).unwrap_or_default();
    let include = main.lines().position(includes_folder).unwrap_or(0);
    for setter in lines_setting(MAIN, main, keyword) {
        if setter.line <= include { before.push(setter) } else { after.push(setter) }
    }
    let folder = format!("{}/", dropin::FOLDER);
    let dropins = facts.files.keys().filter(|path| included(path, &folder) && path.as_str() != dropin::PATH);
    let mut later = Vec::new();
    for path in dropins {
        let found = lines_setting(path, content(facts, path).unwrap_or_default(), keyword);
        if path.as_str() < dropin::PATH { before.extend(found) } else { later.extend(found) }
    }
    later.extend(after);
    (before, later)
}

/// Whether `Include FOLDER/*.conf` reads the path; glob(7) takes the suffix as it is written.
fn included(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).and_then(|name| name.strip_suffix(".conf")).is_some_and(|stem| !stem.starts_with('.'))
}

fn content<'a>(facts: &'a Facts, path: &str) -> Option<&'a str> {
    facts.file(path).known()?.content.as_deref()
}

fn includes_folder(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words.next().is_some_and(|word| word.eq_ignore_ascii_case("include"))
        && words.any(|word| word.contains("sshd_config.d/"))
}

fn lines_setting(path: &str, text: &str, keyword: &str) -> Vec<Setter> {
    let mut in_match = false;
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        let (word, value) = line.split_once([' ', '\t', '=']).unwrap_or((line, ""));
        if word.eq_ignore_ascii_case("match") {
            in_match = true;
        } else if word.eq_ignore_ascii_case(keyword) {
            let value = value.trim_matches([' ', '\t', '=', '"']).to_owned();
            found.push(Setter { path: path.into(), line: index + 1, in_match, value });
        }
    }
    found
}
