//! The one file that carries all SSH settings: rendered from sections, and read back into them.

use super::section::{Chunk, Place};

/// Its path. sshd takes the first value it reads and reads the folder in the order of names.
pub const PATH: &str = "/etc/ssh/sshd_config.d/00-pve-harden.conf";

/// Its folder.
pub const FOLDER: &str = "/etc/ssh/sshd_config.d";

const HEADER: &str = "\
# Written by pve-harden. A change made here shows up in `pve-harden plan`, and `pve-harden apply` takes it back.
# An exception of your own belongs into a Match block in a file of this folder that sorts before this one.
";

/// Closes the last block, so that a program that pastes files together cannot extend it.
const END: &str = "\
# end
Match all
";

/// The file, chunks in any order.
pub fn render(chunks: &[Chunk], order: &[&str]) -> String {
    let rank = |chunk: &Chunk| (chunk.place, order.iter().position(|id| *id == chunk.id).unwrap_or(order.len()));
    let mut sorted: Vec<&Chunk> = chunks.iter().collect();
    sorted.sort_by_key(|chunk| rank(chunk));
    let mut text = HEADER.to_owned();
    for chunk in sorted {
        text.push('\n');
        text.push_str(&chunk.text);
    }
    text.push('\n');
    text.push_str(END);
    text
}

/// The chunks of a present file that can be understood; everything else is left to the diff.
pub fn parse(text: &str, order: &[&str]) -> Vec<Chunk> {
    let mut chunks: Vec<(String, String)> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        if let Some(id) = marker(line, order) {
            chunks.push((id.to_owned(), format!("{line}\n")));
            open = true;
        } else if line.trim().is_empty() || line.starts_with("# end") {
            open = false;
        } else if open && let Some((_, text)) = chunks.last_mut() {
            text.push_str(line);
            text.push('\n');
        }
    }
    chunks.into_iter().filter_map(|(id, text)| Some(Chunk { id, place: place(&text)?, text })).collect()
}

/// `# ssh.limits` or `# ssh.limits: who`.
fn marker<'a>(line: &str, order: &[&'a str]) -> Option<&'a str> {
    let rest = line.strip_prefix("# ")?;
    order.iter().copied().find(|id| rest.strip_prefix(id).is_some_and(|tail| tail.is_empty() || tail.starts_with(": ")))
}

/// A chunk is either global lines or exactly one `Match` block, and has at least one setting.
fn place(text: &str) -> Option<Place> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.starts_with('#')).collect();
    let is_match = |line: &str| line.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("match"));
    match (lines.iter().position(|line| is_match(line)), lines.iter().filter(|line| is_match(line)).count()) {
        _ if lines.is_empty() => None,
        (None, _) => Some(Place::Global),
        (Some(0), 1) if lines[0].eq_ignore_ascii_case("match all") => Some(Place::Everybody),
        (Some(0), 1) => Some(Place::Exception),
        _ => None,
    }
}

/// Whether a chunk sets a keyword outside an exception.
pub fn sets(chunks: &[Chunk], keyword: &str) -> bool {
    chunks
        .iter()
        .filter(|chunk| chunk.place != Place::Exception)
        .flat_map(|chunk| chunk.text.lines())
        .any(|line| line.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case(keyword)))
}
