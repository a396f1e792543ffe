//! The shape a file must have, read from the JSON Schema of its types, and the walk of a TOML tree against it.
//!
//! One definition serves both: the types in `policy/` and `site.rs` give the schema for editors, and the schema
//! gives the messages here. The walk reports everything it finds and removes what it reported, so that the rest of the
//! file can still be judged.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Diagnostics};
use super::limits;
use super::source::{At, Source, printable};

/// What may stand in one place.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A table with exactly these keys.
    Table {
        /// Key → shape and description.
        keys: BTreeMap<String, (Shape, String)>,
        /// Keys that must be there.
        required: Vec<String>,
    },
    /// An array.
    Array(Box<Shape>),
    /// One of these strings.
    Choice(Vec<String>),
    /// Any string.
    Text,
    /// A day, as a date of TOML or in quotes.
    Day,
    /// An integer in this range.
    Integer(i64, i64),
    /// `true` or `false`.
    Boolean,
}

impl Shape {
    /// Reads a root schema made by schemars.
    pub fn from_schema(schema: &Json) -> Self {
        Self::read(schema, schema)
    }

    fn read(node: &Json, root: &Json) -> Self {
        if let Some(name) = node["$ref"].as_str().and_then(|r| r.strip_prefix("#/$defs/")) {
            return Self::read(&root["$defs"][name], root);
        }
        if let Some(choices) = choices(node) {
            return Self::Choice(choices);
        }
        if let Some(some) = alternatives(node).and_then(|all| all.iter().find(|a| a["type"] != "null")) {
            return Self::read(some, root);
        }
        match type_name(node) {
            "object" => Self::read_table(node, root),
            "array" => Self::Array(Box::new(Self::read(&node["items"], root))),
            "boolean" => Self::Boolean,
            "integer" => Self::Integer(
                node["minimum"].as_i64().unwrap_or(i64::MIN),
                node["maximum"].as_i64().unwrap_or(i64::from(u32::MAX)),
            ),
            _ if node["format"] == "date" => Self::Day,
            _ => Self::Text,
        }
    }

    fn read_table(node: &Json, root: &Json) -> Self {
        let keys = node["properties"].as_object().map_or_else(BTreeMap::new, |properties| {
            properties
                .iter()
                .map(|(key, value)| {
                    let about = value["description"].as_str().unwrap_or_default().to_owned();
                    (key.clone(), (Self::read(value, root), about))
                })
                .collect()
        });
        let required = node["required"]
            .as_array()
            .map_or_else(Vec::new, |r| r.iter().filter_map(|k| k.as_str().map(str::to_owned)).collect());
        Self::Table { keys, required }
    }

    /// Every leaf below, as dotted keys.
    pub fn leaves(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.collect_leaves(String::new(), &mut out);
        out
    }

    fn collect_leaves(&self, prefix: String, out: &mut Vec<String>) {
        match self {
            Self::Table { keys, .. } => {
                for (key, (shape, _)) in keys {
                    shape.collect_leaves(join(&prefix, key), out);
                }
            }
            _ => out.push(prefix),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Table { .. } => "a table".into(),
            Self::Array(_) => "an array".into(),
            Self::Choice(choices) => list(choices),
            Self::Text => "a string".into(),
            Self::Day => "a day, e.g. 2026-12-31".into(),
            Self::Integer(..) => "an integer".into(),
            Self::Boolean => "`true` or `false`".into(),
        }
    }
}

fn type_name(node: &Json) -> &str {
    let names = node["type"].as_array();
    names
        .and_then(|all| all.iter().find_map(|t| t.as_str().filter(|t| *t != "null")))
        .or_else(|| node["type"].as_str())
        .unwrap_or_default()
}

fn alternatives(node: &Json) -> Option<&Vec<Json>> {
    node["anyOf"].as_array().or_else(|| node["oneOf"].as_array())
}

fn choices(node: &Json) -> Option<Vec<String>> {
    let words = |all: &Vec<Json>| all.iter().map(|w| w.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
    if let Some(all) = node["enum"].as_array() {
        return words(all);
    }
    let constants: Vec<Json> = alternatives(node)?.iter().map(|a| a["const"].clone()).collect();
    words(&constants)
}

/// Joins a dotted key.
pub fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

/// `a`, `b` or `c`.
pub fn list(words: &[String]) -> String {
    match words {
        [] => "nothing".into(),
        [one] => format!("`{one}`"),
        [most @ .., last] => {
            let most: Vec<String> = most.iter().map(|w| format!("`{w}`")).collect();
            format!("{} or `{last}`", most.join(", "))
        }
    }
}

/// One walk over one file.
pub struct Walk<'a> {
    /// The file.
    pub source: &'a Arc<Source>,
    /// The whole shape, to find a key that stands in the wrong table.
    pub root: &'a Shape,
    /// Places a syntax error touched: what was recovered there is not judged.
    pub broken: &'a [Range<usize>],
    /// Findings.
    pub found: &'a mut Diagnostics,
    /// Places that have a finding already.
    pub seen: HashSet<(usize, usize)>,
}

/// From this many findings on, no suggestions are searched for: such a file is not a profile.
const ENOUGH: usize = 1000;

impl Walk<'_> {
    /// Checks a table and removes from it what does not fit.
    pub fn table(&mut self, table: &mut DeTable<'_>, at: &Range<usize>, shape: &Shape, path: &str) {
        let Shape::Table { keys, required } = shape else { return };
        let entries: Vec<_> = table.iter().map(|(k, _)| (k.get_ref().to_string(), k.span())).collect();
        for (key, key_span) in &entries {
            let Some(value) = table.get_mut(key.as_str()) else { continue };
            let fits = match keys.get(key) {
                None => {
                    self.unknown(key, key_span, keys, path);
                    false
                }
                Some((shape, _)) => self.value(value, key_span, shape, &join(path, key)),
            };
            if !fits {
                table.remove(key.as_str());
            }
        }
        for key in required.iter().filter(|k| !entries.iter().any(|(written, _)| written == *k)) {
            if self.broken.is_empty() {
                let missing = Diagnostic::error(format!("missing key `{key}` {}", place(path)));
                self.found.push(missing.at(self.at(at)).expected(format!("`{key} = …` is required")));
            }
        }
    }

    /// Checks a value; `false` means it was reported and must go.
    fn value(&mut self, value: &mut Spanned<DeValue<'_>>, key: &Range<usize>, shape: &Shape, path: &str) -> bool {
        let span = value.span();
        if self.broken.iter().any(|b| b.start <= span.end && b.end >= key.start.min(span.start)) {
            return matches!(value.get_ref(), DeValue::Table(_)) && self.recovered_table(value, shape, path);
        }
        match (shape, value.get_mut()) {
            (Shape::Table { .. }, DeValue::Table(table)) => {
                self.table(table, &span, shape, path);
                true
            }
            (Shape::Array(item), DeValue::Array(array)) => {
                let mut fits = true;
                for (index, element) in array.iter_mut().enumerate() {
                    let element_span = element.span();
                    fits &= self.value(element, &element_span, item, &format!("{path}[{index}]"));
                }
                // An array of tables is pruned inside; an array of values is wrong as a whole.
                fits || matches!(**item, Shape::Table { .. })
            }
            (Shape::Choice(choices), DeValue::String(word)) => {
                choices.iter().any(|c| c == word) || self.no_choice(word, &span, choices)
            }
            (Shape::Text | Shape::Day, DeValue::String(_))
            | (Shape::Day, DeValue::Datetime(_))
            | (Shape::Boolean, DeValue::Boolean(_)) => true,
            (Shape::Integer(min, max), DeValue::Integer(n)) => {
                let number = i64::from_str_radix(n.as_str(), n.radix()).ok();
                number.is_some_and(|n| (*min..=*max).contains(&n)) || self.out_of_range(&span, *min, *max, path)
            }
            (_, found) => self.wrong_type(found, &span, shape),
        }
    }

    fn recovered_table(&mut self, value: &mut Spanned<DeValue<'_>>, shape: &Shape, path: &str) -> bool {
        let span = value.span();
        if let (Shape::Table { .. }, DeValue::Table(table)) = (shape, value.get_mut()) {
            self.table(table, &span, shape, path);
        }
        true
    }

    fn unknown(&mut self, key: &str, span: &Range<usize>, keys: &BTreeMap<String, (Shape, String)>, path: &str) {
        if self.seen.len() > ENOUGH || self.seen.contains(&(span.start, span.end)) {
            return;
        }
        self.seen.insert((span.start, span.end));
        if self.broken.iter().any(|b| b.start <= span.end && b.end >= span.start) {
            return;
        }
        let place = place(path);
        let mut found = Diagnostic::error(format!("unknown key `{}` {place}", printable(key))).at(self.at(span));
        let known: Vec<String> = keys.keys().cloned().collect();
        let by_meaning = keys.iter().find(|(_, (_, about))| names_it(about, key)).map(|(k, _)| k.as_str());
        if let Some(near) = by_meaning.or_else(|| nearest(key, known.iter().map(String::as_str))) {
            found = found.expected(format!("did you mean `{near}`?"));
        } else if let Some(elsewhere) = self.elsewhere(key, path) {
            let help = match elsewhere.rsplit_once('.') {
                Some((table, key)) => format!("did you mean `{key}` in [{table}]?"),
                None => format!("`{elsewhere}` belongs above the first [table] of the file"),
            };
            found = found.expected("not a key of this table").help(help);
        } else {
            found = found.expected(format!("expected {}", list(&known)));
        }
        self.found.push(found);
    }

    /// The dotted key of the same name in another table.
    fn elsewhere(&self, key: &str, path: &str) -> Option<String> {
        let leaves = self.root.leaves();
        let wanted = fold(key);
        leaves.into_iter().find(|leaf| leaf.rsplit('.').next().is_some_and(|last| fold(last) == wanted) && leaf != path)
    }

    fn no_choice(&mut self, word: &str, span: &Range<usize>, choices: &[String]) -> bool {
        let near = nearest(word, choices.iter().map(String::as_str));
        let expected = near.map_or_else(|| format!("expected {}", list(choices)), |n| format!("did you mean `{n}`?"));
        let mut found = Diagnostic::error(format!("`{}` is not a value here", printable(word)));
        found = found.at(self.at(span)).expected(expected);
        if near.is_some() {
            found = found.help(format!("expected {}", list(choices)));
        }
        self.report(found, span)
    }

    fn out_of_range(&mut self, span: &Range<usize>, min: i64, max: i64, path: &str) -> bool {
        let why = limits::why(path).map(|why| format!(": {why}")).unwrap_or_default();
        let found = Diagnostic::error(format!("number out of range{why}")).at(self.at(span));
        self.report(found.expected(format!("expected {min} to {max}")), span)
    }

    fn wrong_type(&mut self, value: &DeValue<'_>, span: &Range<usize>, shape: &Shape) -> bool {
        let mut found = Diagnostic::error(format!("wrong type: this is {}", kind(value)))
            .at(self.at(span))
            .expected(format!("expected {}", shape.describe()));
        match (shape, value) {
            (Shape::Integer(..), DeValue::String(s)) if s.trim().parse::<i64>().is_ok() => {
                found = found.help(format!("write {} without quotes", s.trim()));
            }
            (Shape::Boolean, DeValue::String(s)) => {
                if let Some(word) = as_boolean(s) {
                    found = found.help(format!("write {word} without quotes"));
                }
            }
            (Shape::Choice(choices), DeValue::Boolean(b)) => {
                let word = if *b { "yes" } else { "no" };
                if choices.iter().any(|c| c == word) {
                    found = found.help(format!("write \"{word}\""));
                }
            }
            (Shape::Array(item), DeValue::String(_)) if **item == Shape::Text => {
                found = found.help("put it in brackets: [\"…\"]");
            }
            (Shape::Table { .. }, DeValue::Array(_)) => found = found.help("write [name], not [[name]]"),
            (Shape::Array(item), DeValue::Table(_)) if matches!(**item, Shape::Table { .. }) => {
                found = found.help("write [[name]] with two brackets, once for each");
            }
            _ => {}
        }
        self.report(found, span)
    }

    fn report(&mut self, found: Diagnostic, span: &Range<usize>) -> bool {
        if self.seen.len() <= ENOUGH && self.seen.insert((span.start, span.end)) {
            self.found.push(found);
        }
        false
    }

    fn at(&self, span: &Range<usize>) -> At {
        At { source: Arc::clone(self.source), span: span.clone() }
    }
}

/// `in [ssh.limits]`, `in [[host]]`.
fn place(path: &str) -> String {
    let mut shown = path.to_owned();
    let mut list = false;
    while let Some((before, after)) = shown.split_once('[').map(|(b, a)| (b.to_owned(), a.to_owned())) {
        let rest = after.split_once(']').map_or("", |(_, rest)| rest);
        list = rest.is_empty();
        shown = format!("{before}{rest}");
    }
    match (path.is_empty(), list) {
        (true, _) => "at the top level".into(),
        (false, true) => format!("in [[{shown}]]"),
        (false, false) => format!("in [{shown}]"),
    }
}

fn as_boolean(word: &str) -> Option<&'static str> {
    match word.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" | "1" => Some("true"),
        "no" | "false" | "off" | "0" => Some("false"),
        _ => None,
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// Lower case without separators, so that `MaxAuthTries`, `max_auth_tries` and `max-auth-tries` are one.
fn fold(word: &str) -> String {
    word.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// A description that names the program's own word for the key in backquotes, e.g. `minlen` for `min-length`.
fn names_it(about: &str, key: &str) -> bool {
    about.split('`').skip(1).step_by(2).any(|word| fold(word) == fold(key) && !fold(key).is_empty())
}

/// The candidate a person most likely meant.
pub fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    // A very long word is no slip of the finger, and the distance costs its length squared.
    if word.len() > 64 {
        return None;
    }
    let folded = fold(word);
    candidates
        .map(|c| (strsim::damerau_levenshtein(&folded, &fold(c)), c))
        .filter(|(distance, c)| *distance <= (c.len().min(word.len()) / 3).max(1) && *distance < folded.len().max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, c)| c)
}
