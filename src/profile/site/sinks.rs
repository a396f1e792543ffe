//! `[[sink]]`.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;

use super::Reader;
use super::file::SinkEntry;
use crate::profile::diagnostic::Diagnostic;
use crate::profile::policy::{Sink, SinkKind};

/// What Crossplane's guide calls the Secret and its key.
const SECRET: &str = "proxmox-credentials";
const KEY: &str = "credentials.json";
/// What a path or a word may hold in braces.
const PLACES: [&str; 3] = ["host", "user", "token"];

impl Reader<'_> {
    pub(super) fn sinks(&mut self, entries: &[Spanned<SinkEntry>]) -> Vec<Sink> {
        let mut seen = BTreeMap::new();
        let mut sinks = Vec::new();
        for entry in entries {
            // A missing name was reported already.
            let Some(name) = &entry.get_ref().name else { continue };
            self.check(Some(name), name_problem);
            self.unique(&mut seen, name.get_ref(), "sink", &name.span());
            if let Some(kind) = self.kind(entry) {
                sinks.push(Sink { name: name.get_ref().clone(), kind });
            }
        }
        sinks
    }

    fn kind(&mut self, entry: &Spanned<SinkEntry>) -> Option<SinkKind> {
        let written = entry.get_ref();
        self.strangers(written);
        match (&written.env, &written.file, &written.kubernetes, &written.command) {
            (Some(env), None, None, None) => {
                self.check(written.variable.as_ref(), variable_problem);
                let variable = written.variable.as_ref().map(|name| name.get_ref().clone());
                self.place(env).map(|path| SinkKind::Env { path, variable })
            }
            (None, Some(file), None, None) => self.place(file).map(|path| SinkKind::File { path }),
            (None, None, Some(file), None) => self.kubernetes(written, file, &entry.span()),
            (None, None, None, Some(command)) => {
                let argv = self.argv(command)?;
                let check = match &written.check {
                    Some(check) => Some(self.argv(check)?),
                    None => None,
                };
                let format = written.format.as_ref().map(|format| *format.get_ref()).unwrap_or_default();
                Some(SinkKind::Command { argv, check, format })
            }
            _ => {
                let found = Diagnostic::error("a sink is exactly one thing").at(self.at(&entry.span()));
                self.found.push(found.expected("one of env, file, kubernetes, command"));
                None
            }
        }
    }

    fn kubernetes(&mut self, written: &SinkEntry, file: &Spanned<String>, at: &Range<usize>) -> Option<SinkKind> {
        let Some(namespace) = &written.namespace else {
            let found = Diagnostic::error("a Kubernetes Secret lies in a namespace").at(self.at(at));
            self.found.push(found.help("namespace = \"crossplane-system\""));
            return None;
        };
        self.check(Some(namespace), label_problem);
        self.check(written.secret.as_ref(), label_problem);
        self.check(written.key.as_ref(), key_problem);
        let text = |given: &Option<Spanned<String>>, or: &str| {
            given.as_ref().map_or_else(|| or.to_owned(), |text| text.get_ref().clone())
        };
        Some(SinkKind::Kubernetes {
            path: self.place(file)?,
            namespace: namespace.get_ref().clone(),
            secret: text(&written.secret, SECRET),
            key: text(&written.key, KEY),
        })
    }

    /// Keys that belong to another kind of sink.
    fn strangers(&mut self, written: &SinkEntry) {
        let mut alone = |key: &str, span: Option<Range<usize>>, with: &str, there: bool| {
            if let Some(span) = span.filter(|_| !there) {
                self.error(format!("`{key}` belongs to a sink with `{with}`"), &span);
            }
        };
        let span = |text: &Option<Spanned<String>>| text.as_ref().map(Spanned::span);
        alone("variable", span(&written.variable), "env", written.env.is_some());
        for (key, text) in [("namespace", &written.namespace), ("secret", &written.secret), ("key", &written.key)] {
            alone(key, span(text), "kubernetes", written.kubernetes.is_some());
        }
        alone("check", written.check.as_ref().map(Spanned::span), "command", written.command.is_some());
        alone("format", written.format.as_ref().map(Spanned::span), "command", written.command.is_some());
    }

    fn place(&mut self, text: &Spanned<String>) -> Option<std::path::PathBuf> {
        self.check(Some(text), place_problem);
        self.path(text)
    }

    fn argv(&mut self, words: &Spanned<Vec<Spanned<String>>>) -> Option<Vec<String>> {
        if words.get_ref().first().is_none_or(|program| program.get_ref().is_empty()) {
            let found = Diagnostic::error("a command begins with a program").at(self.at(&words.span()));
            self.found.push(found.expected("[\"vault\", \"kv\", \"put\", \"secret/pve/{token}\", \"-\"]"));
            return None;
        }
        for word in words.get_ref() {
            self.check(Some(word), place_problem);
        }
        Some(words.get_ref().iter().map(|word| word.get_ref().clone()).collect())
    }
}

fn name_problem(name: &str) -> Option<String> {
    let fits = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    (!fits || name.starts_with('-')).then(|| "a sink's name is letters, digits, `.`, `-` and `_`".into())
}

fn place_problem(text: &str) -> Option<String> {
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Some("no control characters".into());
    }
    let named = text.match_indices('{').filter_map(|(at, _)| text[at + 1..].split_once('}'));
    let mut words = named.map(|(name, _)| name).filter(|name| name.bytes().all(|c| c.is_ascii_lowercase()));
    words.any(|name| !PLACES.contains(&name)).then(|| "only {host}, {user} and {token} are known in braces".into())
}

fn variable_problem(name: &str) -> Option<String> {
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let fits = first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !fits {
        return Some("not the name of an environment variable".into());
    }
    name.starts_with("PVE_").then(|| "names that begin with PVE_ are what this tool reads itself".into())
}

/// RFC 1123 label, as Kubernetes wants names and namespaces.
fn label_problem(name: &str) -> Option<String> {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = (1..=63).contains(&name.len())
        && name.bytes().all(|c| plain(c) || c == b'-')
        && name.bytes().next().is_some_and(plain)
        && name.bytes().last().is_some_and(plain);
    (!fits).then(|| "lower case letters, digits and `-`, at most 63 (RFC 1123)".into())
}

fn key_problem(name: &str) -> Option<String> {
    let fits = (1..=253).contains(&name.len())
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
        && !matches!(name, "." | "..");
    (!fits).then(|| "letters, digits, `-`, `_` and `.`".into())
}
