//! One profile file: TOML in, leaves with their places out.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use serde_json::Value as Json;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Diagnostics};
use super::folklore;
use super::schema::layer_shape;
use super::shape::{Shape, Walk, join};
use super::source::{At, Source};

/// A value and where it was set.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The value.
    pub value: Json,
    /// Where it stands.
    pub at: At,
    /// Where each element stands, when it is an array.
    pub items: Vec<At>,
}

impl Leaf {
    /// Adds the elements of a later layer's list.
    fn add(&mut self, later: Self, id: Option<&str>) {
        let (Json::Array(below), Json::Array(above)) = (&mut self.value, later.value) else { return };
        if above.is_empty() {
            return;
        }
        let replaced = |item: &Json| id.is_some_and(|id| above.iter().any(|other| other[id] == item[id]));
        let keep: Vec<bool> = below.iter().map(|item| !replaced(item)).collect();
        let mut kept = keep.iter();
        below.retain(|_| kept.next().copied().unwrap_or_default());
        let mut kept = keep.iter();
        self.items.retain(|_| kept.next().copied().unwrap_or_default());
        below.extend(above);
        self.items.extend(later.items);
        self.at = later.at;
    }

    /// Where one element of an array stands.
    pub fn item(&self, index: usize) -> At {
        self.items.get(index).unwrap_or(&self.at).clone()
    }
}

/// Dotted key → value.
pub type Leaves = BTreeMap<String, Leaf>;

/// Lists to which every layer adds, and what tells an entry of a later layer that replaces one of an earlier layer.
const LISTS: [(&str, Option<&str>); 7] = [
    ("access.role", Some("id")),
    ("access.group", Some("id")),
    ("access.user", Some("id")),
    ("access.pool", Some("id")),
    ("access.token", Some("id")),
    ("access.realm", Some("id")),
    ("access.acl", None),
];

/// Lays a layer over others: tables merge deep, arrays are replaced, the lists of `access` come together.
pub fn lay(over: &mut Leaves, layer: Leaves) {
    for (key, leaf) in layer {
        let list = LISTS.iter().find(|(name, _)| *name == key);
        match (list, over.get_mut(&key)) {
            (Some((_, id)), Some(below)) => below.add(leaf, *id),
            _ => {
                over.insert(key, leaf);
            }
        }
    }
}

/// A parsed file.
#[derive(Debug, Default)]
pub struct Layer {
    /// The profile this one changes.
    pub extends: Option<(String, At)>,
    /// One line about it.
    pub description: Option<String>,
    /// Its own values.
    pub leaves: Leaves,
}

/// Parses TOML with every syntax error reported, walks it against `shape` and drops what does not fit.
pub fn parse_tree<'s>(source: &'s Arc<Source>, shape: &Shape, found: &mut Diagnostics) -> toml::Spanned<DeTable<'s>> {
    let (mut tree, errors) = DeTable::parse_recoverable(&source.text);
    let hopeless = errors.len() > MAX_SYNTAX_ERRORS;
    let broken = report_syntax(source, errors, found);
    if hopeless {
        tree.get_mut().clear();
        return tree;
    }
    let mut walk = Walk { source, root: shape, broken: &broken, found, seen: HashSet::new() };
    folklore::search(&mut walk, tree.get_ref());
    walk.table(tree.get_mut(), &(0..0), shape, "");
    tree
}

/// With more errors than this a text is no TOML, and what was recovered from it is not judged.
const MAX_SYNTAX_ERRORS: usize = 200;

/// One error a line: what follows on the same line follows from it.
fn report_syntax(source: &Arc<Source>, errors: Vec<toml::de::Error>, found: &mut Diagnostics) -> Vec<Range<usize>> {
    let mut spans: Vec<(Range<usize>, String)> =
        errors.into_iter().map(|e| (e.span().unwrap_or(0..0), e.message().to_owned())).collect();
    spans.sort_by_key(|(span, _)| (span.start, span.end));
    // An array that is never closed swallows the lines below it: what is said about them means nothing.
    let open_array = spans.iter().any(|(_, message)| message.contains("unclosed array"));
    let mut last_line = 0;
    for (span, message) in &spans {
        let line = source.line(span.start);
        if line == last_line {
            continue;
        }
        last_line = line;
        let (what, expected) = message.split_once(", expected ").unwrap_or((message, ""));
        let expected = if expected.is_empty() { String::new() } else { format!("expected {expected}") };
        let at = At { source: Arc::clone(source), span: span.clone() };
        let error = Diagnostic::error(format!("not TOML: {what}")).at(at).expected(expected);
        if open_array && message.contains("array") {
            found.push(error.help("an array that begins above is not closed with `]`"));
            break;
        }
        found.push(error);
    }
    spans.into_iter().map(|(span, _)| span).collect()
}

/// Parses one profile file.
pub fn parse(source: &Arc<Source>, found: &mut Diagnostics) -> Layer {
    let tree = parse_tree(source, layer_shape(), found);
    let mut leaves = Leaves::new();
    collect(source, tree.get_ref(), "", &mut leaves);
    let mut text = |key: &str| leaves.remove(key).and_then(|l| l.value.as_str().map(|s| (s.to_owned(), l.at.clone())));
    let extends = text("extends");
    let description = text("description").map(|(d, _)| d);
    Layer { extends, description, leaves }
}

pub(super) fn collect(source: &Arc<Source>, table: &DeTable<'_>, prefix: &str, out: &mut Leaves) {
    for (key, value) in table {
        let path = join(prefix, key.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) => collect(source, inner, &path, out),
            other => {
                let place = |span| At { source: Arc::clone(source), span };
                let items = match other {
                    DeValue::Array(array) => array.iter().map(|item| place(item.span())).collect(),
                    _ => Vec::new(),
                };
                let at = At { source: Arc::clone(source), span: value.span() };
                out.insert(path, Leaf { value: to_json(other), at, items });
            }
        }
    }
}

fn to_json(value: &DeValue<'_>) -> Json {
    match value {
        DeValue::String(s) => Json::from(s.as_ref()),
        DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix()).map_or(Json::Null, Json::from),
        DeValue::Float(f) => f.as_str().parse::<f64>().map_or(Json::Null, Json::from),
        DeValue::Boolean(b) => Json::from(*b),
        DeValue::Datetime(d) => Json::from(d.to_string()),
        DeValue::Array(items) => items.iter().map(|item| to_json(item.get_ref())).collect(),
        DeValue::Table(table) => table.iter().map(|(k, v)| (k.get_ref().to_string(), to_json(v.get_ref()))).collect(),
    }
}

/// The tree a set of leaves stands for.
pub fn nest(leaves: &Leaves) -> Json {
    let mut root = serde_json::Map::new();
    for (path, leaf) in leaves {
        let mut words: Vec<&str> = path.split('.').collect();
        let Some(last) = words.pop() else { continue };
        let mut table = &mut root;
        for word in words {
            let next = table.entry(word).or_insert_with(|| Json::Object(serde_json::Map::new()));
            let Json::Object(inner) = next else { return Json::Object(root) };
            table = inner;
        }
        table.insert(last.to_owned(), leaf.value.clone());
    }
    Json::Object(root)
}
