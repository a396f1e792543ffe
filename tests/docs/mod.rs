//! Pages that are made from the code are what the code says.

use std::fmt::Write as _;
use std::path::Path;

use pve_harden::controls::CATALOGUE;
use pve_harden::render::{Palette, explain};

const HEAD: &str =
    "<!-- Made by `make docs` from the catalogue; `pve-harden explain` prints the same. -->\n\n# Controls\n";

/// With `UPDATE_DOCS` in the environment the page is written instead of judged (`make docs`).
#[test]
fn the_page_of_controls_is_what_explain_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/controls.md");
    let wanted = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, wanted).unwrap();
        return;
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "docs/controls.md is not what the catalogue says: run `make docs`");
}

fn page() -> String {
    let mut page = String::from(HEAD);
    page.push_str("\n| control | level | severity | what is required |\n|---|---|---|---|\n");
    for meta in CATALOGUE.iter().map(|control| control.meta()) {
        let anchor = meta.id.replace('.', "");
        let severity = explain::severity(meta.severity);
        writeln!(page, "| [`{}`](#{anchor}) | {} | {severity} | {} |", meta.id, meta.level, meta.title).unwrap();
    }
    page.push_str(
        "\nLevel 1 is for everyone, 2 is stricter, 3 has real drawbacks. Profiles decide which are enabled.\n",
    );
    for control in CATALOGUE {
        page.push_str(&chapter(&explain::control(control.meta(), Palette::PLAIN)));
    }
    page
}

/// What is indented is text; what is not, a heading, but for the title in the second line.
fn chapter(text: &str) -> String {
    let mut chapter = String::new();
    let mut lines = text.lines();
    let (id, rank) = lines.next().unwrap().split_once("  ").unwrap();
    write!(chapter, "\n## {id}\n\n{}; {rank}.\n", lines.next().unwrap()).unwrap();
    for line in lines {
        match line.strip_prefix("  ") {
            Some(body) => writeln!(chapter, "{body}").unwrap(),
            None if line.is_empty() => chapter.push('\n'),
            None => write!(chapter, "**{line}**\n\n").unwrap(),
        }
    }
    chapter
}
