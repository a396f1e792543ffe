//! The rooms of `src/lib.rs` and who may use whom, held against the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const SHARED: &[&str] = &["change", "error", "sanitize", "secret"];

/// Room → rooms it may import besides itself and the shared vocabulary.
const ARROWS: &[(&str, &[&str])] = &[
    ("change", &[]),
    ("error", &[]),
    ("event", &[]),
    ("sanitize", &[]),
    ("secret", &[]),
    ("profile", &["pve"]),
    ("pve", &[]),
    ("firewall", &["pve"]),
    ("facts", &["pve", "transport::Frame", "transport::capture", "transport::quote"]),
    ("access", &["profile", "pve"]),
    ("controls", &["access", "firewall", "facts", "profile", "pve"]),
    ("plan", &["access", "controls", "facts", "firewall", "profile", "pve"]),
    ("fleet", &["facts", "plan", "profile"]),
    ("report", &["access", "controls", "plan", "profile"]),
    (
        "render",
        &[
            "access",
            "apply::history",
            "controls",
            "event",
            "firewall",
            "plan",
            "profile::diagnostic",
            "profile::policy",
            "report",
        ],
    ),
    ("sink", &["access", "profile"]),
    ("transport", &[]),
    ("apply", &["access", "controls", "event", "facts", "plan", "profile", "transport"]),
];

/// Rooms that may touch the world.
const WORLDLY: &[&str] = &["apply", "cli", "profile", "sink", "transport", "render"];

#[test]
fn every_room_imports_only_what_its_arrows_allow() {
    let mut wrong = Vec::new();
    for file in sources("src") {
        let room = room(&file);
        if matches!(room.as_str(), "lib" | "main" | "cli") {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!("{}: room `{room}` is not in the table", file.display()));
            continue;
        };
        for import in imports(&shipped(&file)) {
            let own = import == room || import.starts_with(&format!("{room}::"));
            let named =
                |list: &[&str]| list.iter().any(|name| import == *name || import.starts_with(&format!("{name}::")));
            if !own && !named(SHARED) && !named(allowed) {
                wrong.push(format!("{}: imports crate::{import}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_rooms_do_not_touch_the_world() {
    const WORLD: &[&str] =
        &["std::fs", "std::process", "std::env", "std::net::Tcp", "tokio::", "SystemTime::now", "Timestamp::now"];
    let mut wrong = Vec::new();
    for file in sources("src") {
        let room = room(&file);
        if matches!(room.as_str(), "lib" | "main") || WORLDLY.contains(&room.as_str()) {
            continue;
        }
        let text = shipped(&file);
        wrong.extend(
            WORLD.iter().filter(|word| text.contains(**word)).map(|word| format!("{}: {word}", file.display())),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_test_file_is_forgotten() {
    let all = sources("tests");
    let texts: Vec<(PathBuf, String)> =
        all.iter().map(|file| (file.clone(), fs::read_to_string(file).unwrap())).collect();
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let is_target = |file: &Path| manifest.contains(&format!("path = {:?}", file.strip_prefix(root()).unwrap()));
    let forgotten: Vec<_> = all
        .iter()
        .filter(|file| !file.starts_with(root().join("tests/pve-sim")) && !is_target(file))
        .filter(|file| {
            let (name, parent) = module(file);
            let declared = format!("mod {name};");
            !texts.iter().any(|(other, text)| {
                parent.contains(other) && text.lines().any(|line| line.trim().trim_start_matches("pub ") == declared)
            })
        })
        .collect();
    assert!(forgotten.is_empty(), "{forgotten:#?}");
}

/// The module's name, and the files that may declare it.
fn module(file: &Path) -> (String, Vec<PathBuf>) {
    let folder = file.parent().unwrap();
    let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
    let (name, folder) = if stem == "mod" {
        (folder.file_name().unwrap().to_string_lossy().into_owned(), folder.parent().unwrap())
    } else {
        (stem, folder)
    };
    (name, vec![folder.join("mod.rs"), folder.join("main.rs"), folder.with_extension("rs")])
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// First folder below `src`, or the file's own name.
fn room(file: &Path) -> String {
    let inner = file.strip_prefix(root().join("src")).unwrap();
    inner.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
}

/// The text without test modules and comments; files of tests alone are empty.
fn shipped(file: &Path) -> String {
    let name = file.file_name().unwrap().to_string_lossy();
    if matches!(name.as_ref(), "tests.rs" | "testing.rs") || file.components().any(|part| part.as_os_str() == "tests") {
        return String::new();
    }
    let text = fs::read_to_string(file).unwrap();
    let text = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// `a::b` of every `crate::a::b` in the text, groups opened.
fn imports(text: &str) -> BTreeSet<String> {
    let flat: String = text.split_whitespace().collect();
    let mut found = BTreeSet::new();
    for (at, start) in flat.match_indices("crate::") {
        open(&flat[at + start.len()..], "", &mut found);
    }
    found
}

/// Adds every path that starts here; returns what follows.
fn open<'a>(text: &'a str, prefix: &str, found: &mut BTreeSet<String>) -> &'a str {
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = open(rest, prefix, found);
            match rest.strip_prefix(',') {
                Some(more) => rest = more.strip_prefix('}').map_or(more, |_| more),
                None => return rest.strip_prefix('}').unwrap_or(rest),
            }
        }
    }
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let path = if prefix.is_empty() || word.is_empty() || word == "self" {
        format!("{prefix}{word}").trim_end_matches("self").to_owned()
    } else {
        format!("{prefix}::{word}")
    };
    match rest.strip_prefix("::") {
        Some(rest) if !word.is_empty() => open(rest, &path, found),
        _ => {
            if !path.is_empty() {
                found.insert(path);
            }
            rest
        }
    }
}

#[test]
fn imports_are_found_in_every_form() {
    let text = "use crate::{a, b::{c, d::E}};\nuse crate::f::{self, g};\nlet x = crate::h::i();\n";
    let found: Vec<_> = imports(text).into_iter().collect();
    assert_eq!(found, ["a", "b::c", "b::d::E", "f", "f::g", "h::i"]);
}
