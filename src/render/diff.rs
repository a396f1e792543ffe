//! Unified diffs of files, safe to show.

use similar::{ChangeTag, TextDiff};

use super::redact;
use super::style::{Palette, Tone};
use crate::change::{FileChange, FileImage};
use crate::sanitize;

/// One line of a diff, without its marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// `--- a`, `+++ b`.
    Header(String),
    /// `@@ -1,3 +1,4 @@`.
    Hunk(String),
    /// Unchanged.
    Same(String),
    /// Gone.
    Removed(String),
    /// New.
    Added(String),
    /// A remark: metadata, or why nothing is shown.
    Remark(String),
}

/// The diff of one file: header, metadata that changes, hunks with three lines of context.
pub fn lines(file: &FileChange) -> Vec<Line> {
    let name = |image: Option<&FileImage>| match image {
        Some(_) => sanitize::line(&file.path).into_owned(),
        None => "/dev/null".to_owned(),
    };
    let mut lines = vec![
        Line::Header(format!("--- {}", name(file.before.as_ref()))),
        Line::Header(format!("+++ {}", name(file.after.as_ref()))),
    ];
    lines.extend(metadata(file.before.as_ref(), file.after.as_ref()).map(Line::Remark));
    let content = |image: Option<&FileImage>| image.map(|image| image.content.clone()).unwrap_or_default();
    let (before, after) = (content(file.before.as_ref()), content(file.after.as_ref()));
    if redact::is_secret_path(&file.path) || redact::has_private_key(&before) || redact::has_private_key(&after) {
        if before != after {
            lines.push(Line::Remark("content is secret and not shown".into()));
        }
        return lines;
    }
    lines.extend(hunks(&before, &after));
    lines
}

/// As [`lines`], as text without colour: what the JSON document carries.
pub fn text(file: &FileChange) -> String {
    lines(file).iter().map(|line| shown(line, Palette::PLAIN) + "\n").collect()
}

/// A line with its marker and colour.
pub fn shown(line: &Line, palette: Palette) -> String {
    match line {
        Line::Header(text) => palette.paint(Tone::Heading, text),
        Line::Hunk(text) => palette.paint(Tone::Place, text),
        Line::Same(text) => format!(" {text}"),
        Line::Removed(text) => palette.paint(Tone::Bad, &format!("-{text}")),
        Line::Added(text) => palette.paint(Tone::Good, &format!("+{text}")),
        Line::Remark(text) => palette.paint(Tone::Faint, &format!("\\ {text}")),
    }
}

/// Mode and owner where they are news.
fn metadata(before: Option<&FileImage>, after: Option<&FileImage>) -> Option<String> {
    let describe = |image: &FileImage| format!("{:04o} {}:{}", image.mode, image.owner, image.group);
    match (before.map(describe), after.map(describe)) {
        (None, Some(new)) => Some(format!("new file, {new}")),
        (Some(_), None) => Some("file is removed".into()),
        (Some(old), Some(new)) if old != new => Some(format!("{old} becomes {new}")),
        _ => None,
    }
}

fn hunks(before: &str, after: &str) -> Vec<Line> {
    let diff = TextDiff::from_lines(before, after);
    let mut lines = Vec::new();
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        lines.push(Line::Hunk(hunk.header().to_string()));
        for change in hunk.iter_changes() {
            let visible = redact::secrets(change.value().trim_end_matches('\n')).into_owned();
            let visible = sanitize::text(&visible).into_owned();
            lines.push(match change.tag() {
                ChangeTag::Equal => Line::Same(visible),
                ChangeTag::Delete => Line::Removed(visible),
                ChangeTag::Insert => Line::Added(visible),
            });
            if change.missing_newline() {
                lines.push(Line::Remark("No newline at end of file".into()));
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, before: Option<&str>, after: Option<&str>) -> FileChange {
        let image = |content: &str| FileImage::root(content, 0o644);
        FileChange { path: path.into(), before: before.map(image), after: after.map(image), validate: None }
    }

    #[test]
    fn a_changed_line_with_its_context() {
        let before = "one\ntwo\nthree\nPermitRootLogin yes\nfive\nsix\nseven\neight\n";
        let after = before.replace("PermitRootLogin yes", "PermitRootLogin no");
        insta::assert_snapshot!(text(&file("/etc/ssh/sshd_config", Some(before), Some(&after))), @r"
        --- /etc/ssh/sshd_config
        +++ /etc/ssh/sshd_config
        @@ -1,7 +1,7 @@
         one
         two
         three
        -PermitRootLogin yes
        +PermitRootLogin no
         five
         six
         seven
        ");
    }

    #[test]
    fn a_new_file() {
        insta::assert_snapshot!(text(&file("/etc/new", None, Some("a\nb"))), @r"
        --- /dev/null
        +++ /etc/new
        \ new file, 0644 root:root
        @@ -0,0 +1,2 @@
        +a
        +b
        \ No newline at end of file
        ");
    }

    #[test]
    fn a_removed_file() {
        insta::assert_snapshot!(text(&file("/etc/old", Some("a\n"), None)), @r"
        --- /etc/old
        +++ /dev/null
        \ file is removed
        @@ -1 +0,0 @@
        -a
        ");
    }

    #[test]
    fn a_changed_mode() {
        let mut mode = file("/etc/mode", Some("a\n"), Some("a\n"));
        mode.after.as_mut().unwrap().mode = 0o600;
        insta::assert_snapshot!(text(&mode), @r"
        --- /etc/mode
        +++ /etc/mode
        \ 0644 root:root becomes 0600 root:root
        ");
    }

    #[test]
    fn a_secret_file_is_named_and_not_shown() {
        insta::assert_snapshot!(text(&file("/etc/shadow", Some("root:$y$x:1"), Some("root:!:1"))), @r"
        --- /etc/shadow
        +++ /etc/shadow
        \ content is secret and not shown
        ");
    }

    #[test]
    fn secrets_in_other_files_are_not_shown() {
        let key = file("/srv/x", None, Some("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"));
        assert!(!text(&key).contains("AAAA"));
        let hash = file("/etc/x", Some("a\n"), Some("password $6$saltsalt$hashhashhash\n"));
        assert!(text(&hash).contains("+password ***\n"), "{}", text(&hash));
    }

    #[test]
    fn hostile_content_becomes_visible() {
        let hostile = file("/etc/x\x1b[2J", Some("\x1b]0;pwned\x07\r\n"), Some("\tkept tab, literal \\t\u{202e}\n"));
        insta::assert_snapshot!(text(&hostile), @r"
        --- /etc/x\x1b[2J
        +++ /etc/x\x1b[2J
        @@ -1 +1 @@
        -\x1b]0;pwned\x07\r
        +	kept tab, literal \t\u{202e}
        ");
    }

    #[test]
    fn colour_marks_added_and_removed_lines_only_when_asked() {
        let file = file("/etc/x", Some("a\n"), Some("b\n"));
        let coloured: Vec<_> = lines(&file).iter().map(|line| shown(line, Palette::new(true))).collect();
        assert!(
            coloured.contains(&"\x1b[31m-a\x1b[0m".to_owned()) && coloured.contains(&"\x1b[32m+b\x1b[0m".to_owned())
        );
        assert!(!text(&file).contains('\x1b'));
    }
}
