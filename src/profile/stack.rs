//! Layers on top of each other: `extends`, repeated `--profile`, shipped profiles.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::disk;
use super::layer::{self, Layer, Leaves};
use super::shape::nearest;
use super::source::{At, Source, printable};

/// A profile that is part of the program.
#[derive(Debug)]
pub struct Shipped {
    /// Its name.
    pub name: &'static str,
    /// Its TOML.
    pub text: &'static str,
}

impl Shipped {
    /// One line about it.
    pub fn description(&self) -> String {
        let mut found = Diagnostics::default();
        layer::parse(&Source::new(self.name, self.text), &mut found).description.unwrap_or_default()
    }
}

/// Every shipped profile.
pub const SHIPPED: &[Shipped] = &[
    Shipped { name: "baseline", text: include_str!("../../profiles/baseline.toml") },
    Shipped { name: "strict", text: include_str!("../../profiles/strict.toml") },
    Shipped { name: "lab", text: include_str!("../../profiles/lab.toml") },
];

/// A profile as a person names it.
#[derive(Clone, Debug)]
pub struct Reference {
    /// `NAME` or `FILE`.
    pub text: String,
    /// Folder a relative file name starts from.
    pub base: PathBuf,
    /// Where it is named, when in a file.
    pub at: Option<At>,
}

impl Reference {
    /// From the command line.
    pub fn typed(text: impl Into<String>) -> Self {
        Self { text: text.into(), base: PathBuf::new(), at: None }
    }

    /// A file, whatever its name looks like.
    pub fn file(path: &Path) -> Self {
        let text = path.to_string_lossy();
        let plain = !text.contains('/') && path.extension().is_none_or(|e| !e.eq_ignore_ascii_case("toml"));
        Self::typed(if plain { format!("./{text}") } else { text.into_owned() })
    }

    fn is_file(&self) -> bool {
        self.text.contains('/') || Path::new(&self.text).extension().is_some_and(|e| e.eq_ignore_ascii_case("toml"))
    }

    fn path(&self) -> PathBuf {
        self.base.join(expand_home(&self.text))
    }
}

/// `~/x` below $HOME.
pub fn expand_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(path),
    }
}

/// Merged layers.
#[derive(Debug, Default)]
pub struct Stack {
    /// What is set, and where.
    pub leaves: Leaves,
    /// Names in the order they were merged.
    pub names: Vec<String>,
    /// Keys of `names`: a profile that two others extend is merged once, below both.
    merged: Vec<Key>,
    open: Vec<Key>,
}

#[derive(Clone, Debug, PartialEq)]
enum Key {
    Shipped(&'static str),
    File(PathBuf),
}

impl Stack {
    /// Merges profiles in order, later ones win.
    pub fn of(references: &[Reference], found: &mut Diagnostics) -> Self {
        let mut stack = Self::default();
        for reference in references {
            stack.add(reference, found);
        }
        stack
    }

    fn add(&mut self, reference: &Reference, found: &mut Diagnostics) {
        let Some((key, source)) = open(reference, found) else { return };
        if self.open.contains(&key) {
            let chain: Vec<String> = self.open.iter().chain([&key]).map(Key::show).collect();
            let cycle = Diagnostic::error(format!("`extends` goes in a circle: {}", chain.join(" → ")));
            found.push(cycle.at_opt(reference.at.clone()).help("a profile cannot be built on itself"));
            return;
        }
        if self.merged.contains(&key) {
            return;
        }
        let Layer { extends, leaves, .. } = layer::parse(&source, found);
        if let Some((text, at)) = extends {
            let base = match &key {
                Key::File(_) => reference.path().parent().map(Path::to_owned).unwrap_or_default(),
                Key::Shipped(_) => PathBuf::new(),
            };
            self.open.push(key.clone());
            self.add(&Reference { text, base, at: Some(at) }, found);
            self.open.pop();
        }
        layer::lay(&mut self.leaves, leaves);
        self.names.push(reference.text.clone());
        self.merged.push(key);
    }
}

impl Key {
    fn show(&self) -> String {
        match self {
            Self::Shipped(name) => (*name).to_owned(),
            Self::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        }
    }
}

fn open(reference: &Reference, found: &mut Diagnostics) -> Option<(Key, Arc<Source>)> {
    if reference.is_file() {
        let path = reference.path();
        return match disk::read_text(&path, disk::MAX_FILE) {
            Ok(text) => Some((Key::File(disk::identity(&path)), Source::new(path.to_string_lossy(), text))),
            Err(why) => {
                let shown = printable(&path.to_string_lossy());
                found.push(Diagnostic::error(format!("profile {shown} {why}")).at_opt(reference.at.clone()));
                None
            }
        };
    }
    if let Some(shipped) = SHIPPED.iter().find(|s| s.name == reference.text) {
        return Some((Key::Shipped(shipped.name), Source::new(shipped.name, shipped.text)));
    }
    found.push(no_such_name(reference));
    None
}

fn no_such_name(reference: &Reference) -> Diagnostic {
    let names: Vec<&str> = SHIPPED.iter().map(|s| s.name).collect();
    let name = printable(&reference.text);
    let unknown = Diagnostic::error(format!("no profile is called `{name}`"))
        .at_opt(reference.at.clone())
        .expected(format!("shipped are {}", names.join(", ")));
    match nearest(&reference.text, names.into_iter()) {
        Some(near) => unknown.help(format!("did you mean `{near}`?")),
        None => unknown.help(format!("a file of your own is named with its ending or folder: {name}.toml, ./{name}")),
    }
}
