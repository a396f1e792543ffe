//! logrotate's sections, as far as they say how long a log stays.

/// A section: its logs, and how long their old versions stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Paths and patterns.
    pub logs: Vec<String>,
    /// Old versions that stay.
    pub rotate: Option<u32>,
    /// Days between two versions; none where size decides.
    pub every: Option<u32>,
    /// Days after which old versions go whatever their number.
    pub max_age: Option<u32>,
    /// Line of its `rotate`, from 0.
    pub line: Option<usize>,
}

impl Section {
    /// Days that a line of a log stays at least; none where that cannot be told.
    pub fn days(&self) -> Option<u32> {
        let days = self.rotate?.saturating_mul(self.every?);
        Some(self.max_age.map_or(days, |age| days.min(age)))
    }
}

/// What logrotate.conf says for sections that do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// Old versions that stay.
    pub rotate: u32,
    /// Days between two versions.
    pub every: u32,
}

/// The defaults of logrotate.conf; of none, logrotate(8)'s own.
pub fn defaults(text: &str) -> Defaults {
    let mut found = Defaults { rotate: 0, every: 7 };
    let mut depth = 0_usize;
    for line in text.lines().map(uncommented) {
        if depth == 0 {
            match words(line) {
                ("rotate", count) => found.rotate = count.parse().unwrap_or(found.rotate),
                (word, _) => found.every = period(word).unwrap_or(found.every),
            }
        }
        depth = nested(depth, line);
    }
    found
}

/// The sections of a file. Scripts between `postrotate` and `endscript` are passed over.
pub fn sections(text: &str, defaults: Defaults) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let (mut names, mut open, mut script) = (String::new(), false, false);
    for (number, line) in text.lines().map(uncommented).enumerate() {
        if script {
            script = line != "endscript";
            continue;
        }
        let mut line = line;
        if !open {
            let Some((before, after)) = line.split_once('{') else {
                names.push(' ');
                names.push_str(line);
                continue;
            };
            names.push(' ');
            names.push_str(before);
            let logs = names.split_whitespace().map(|word| word.trim_matches(['"', '\'']).to_owned()).collect();
            names.clear();
            let every = Some(defaults.every);
            sections.push(Section { logs, rotate: Some(defaults.rotate), every, max_age: None, line: None });
            line = after.trim();
        }
        if let Some(section) = sections.last_mut() {
            script = setting(section, line.trim_end_matches('}').trim(), number);
        }
        open = !line.ends_with('}');
    }
    sections
}

/// Takes one line in; whether a script begins.
fn setting(section: &mut Section, line: &str, number: usize) -> bool {
    match words(line) {
        ("rotate", count) => {
            section.rotate = count.parse().ok();
            section.line = Some(number);
        }
        ("maxage", days) => section.max_age = days.parse().ok(),
        ("size" | "maxsize", _) => section.every = None,
        ("postrotate" | "prerotate" | "firstaction" | "lastaction" | "preremove", _) => return true,
        (word, _) => section.every = period(word).or(section.every),
    }
    false
}

/// The text with another number in the `rotate` of this line, everything else byte for byte.
pub fn with_rotate(text: &str, line: usize, count: u32) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    for (number, whole) in text.split_inclusive('\n').enumerate() {
        if number == line
            && let Some(at) = whole.find("rotate")
        {
            let (head, tail) = whole.split_at(at + "rotate".len());
            let rest = tail.trim_start_matches([' ', '\t', '=']);
            let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            out.push_str(head);
            out.extend([" ", &count.to_string(), rest]);
        } else {
            out.push_str(whole);
        }
    }
    out
}

fn uncommented(line: &str) -> &str {
    let line = line.trim();
    if line.starts_with('#') { "" } else { line }
}

fn words(line: &str) -> (&str, &str) {
    let (word, rest) = line.split_once([' ', '\t', '=']).unwrap_or((line, ""));
    (word, rest.trim_matches([' ', '\t', '=']))
}

fn nested(depth: usize, line: &str) -> usize {
    (depth + line.matches('{').count()).saturating_sub(line.matches('}').count())
}

fn period(word: &str) -> Option<u32> {
    match word {
        "hourly" | "daily" => Some(1),
        "weekly" => Some(7),
        "monthly" => Some(28),
        "yearly" => Some(365),
        _ => None,
    }
}
