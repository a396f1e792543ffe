//! The catalogue as a manual.

use std::fmt::Write as _;

use super::style::{Palette, Tone};
use crate::controls::{Control, Meta, Severity};
use crate::report::document::source;

const WIDTH: usize = 96;

/// One line per control.
pub fn list(catalogue: &[&dyn Control], palette: Palette) -> String {
    let width = catalogue.iter().map(|control| control.meta().id.len()).max().unwrap_or(0);
    let mut text = String::new();
    for meta in catalogue.iter().map(|control| control.meta()) {
        let id = palette.paint(Tone::Heading, &format!("{:width$}", meta.id));
        let _ = writeln!(text, "{id}  level {}  {:6}  {}", meta.level, severity(meta.severity), meta.title);
    }
    text
}

/// Everything about one control.
pub fn control(meta: &Meta, palette: Palette) -> String {
    let mut text = format!(
        "{}  level {}, severity {}\n{}\n",
        palette.paint(Tone::Heading, meta.id),
        meta.level,
        severity(meta.severity),
        meta.title
    );
    for (heading, body) in
        [("Why", meta.why), ("How it is checked", meta.checked), ("What breaks when done naively", meta.naive)]
    {
        let _ = write!(text, "\n{}\n{}", palette.paint(Tone::Heading, heading), wrapped(body));
    }
    let _ = writeln!(text, "\n{}", palette.paint(Tone::Heading, "References"));
    for reference in meta.references {
        let _ = writeln!(text, "  - {}", source(*reference));
    }
    text
}

/// The word for a severity.
pub const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
    }
}

/// Words in lines of at most [`WIDTH`] characters, indented by two.
fn wrapped(body: &str) -> String {
    let mut text = String::new();
    for paragraph in body.lines() {
        let mut line = String::from(" ");
        for word in paragraph.split_whitespace() {
            if line.trim().is_empty() || line.chars().count() + 1 + word.chars().count() <= WIDTH {
                line.push(' ');
            } else {
                let _ = writeln!(text, "{line}");
                line = String::from("  ");
            }
            line.push_str(word);
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controls::Reference;

    static META: Meta = Meta {
        id: "ssh.example",
        title: "Something is as it should be",
        why: "Because a long explanation of the reasons must be wrapped so that it can be read on a terminal of ordinary width without effort.",
        checked: "sshd -T",
        naive: "Everything",
        references: &[Reference::Guide("1.1.1"), Reference::Cis13("5.1.21"), Reference::Man("sshd_config(5)")],
        level: 1,
        severity: Severity::High,
    };

    #[test]
    fn a_control_is_explained_in_fixed_order() {
        insta::assert_snapshot!(control(&META, Palette::PLAIN), @r"
        ssh.example  level 1, severity high
        Something is as it should be

        Why
          Because a long explanation of the reasons must be wrapped so that it can be read on a terminal
          of ordinary width without effort.

        How it is checked
          sshd -T

        What breaks when done naively
          Everything

        References
          - HomeSecExplorer Proxmox VE 9 hardening guide, section 1.1.1
          - CIS Debian Linux 13 Benchmark v1.0.0, 5.1.21
          - sshd_config(5)
        ");
    }
}
