//! The `files.*` sections: metadata, digests and contents (see `remote/files.sh`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::sections::{Sections, shown};
use super::{FileFact, FileKind, Reading};
use crate::transport::capture::Capture;

/// Exit status of xargs when a file vanished in between; the others are there.
const SOME_FAILED: i32 = 123;

/// Reads every path of the capture; anything odd is told in `notes`.
pub(super) fn parse(capture: &Capture, notes: &mut Vec<String>) -> BTreeMap<String, Reading<FileFact>> {
    let sections = Sections(capture);
    let mut files = BTreeMap::new();
    if let Reading::Known(errors) = sections.text("files.errors") {
        files.extend(errors.lines().filter_map(complaint));
    }
    let listing = match sections.text("files.list") {
        Reading::Known(text) => text,
        Reading::Unreadable(why) => {
            notes.push(why);
            return files;
        }
        _ => return files,
    };
    let digests = digests(sections.text("files.digests").known().copied().unwrap_or_default());
    let cut: BTreeSet<&str> = sections.text("files.cut").known().map(|text| text.lines().collect()).unwrap_or_default();
    let mut contents = Contents::of(capture);
    for line in listing.lines().filter(|line| !line.is_empty()) {
        let Some(entry) = Entry::parse(line) else {
            notes.push(format!("a path could not be read: {}", shown(line)));
            continue;
        };
        if entry.path.contains('\u{1}') {
            notes.push(format!("left out: a file name with a line break: {}", shown(entry.path)));
            continue;
        }
        let digest = digests.get(entry.path).copied();
        let reading = contents.fill(&entry, digest, cut.contains(entry.path));
        files.insert(entry.path.to_owned(), reading);
    }
    files
}

/// Directories that were asked for as `DIRECTORY/*`, and patterns `DIRECTORY/*.EXTENSION`, where the directory could be
/// read or is not there.
pub(super) fn listed(sections: Sections<'_>, files: &BTreeMap<String, Reading<FileFact>>) -> BTreeSet<String> {
    let asked = sections.text("files.asked").known().copied().unwrap_or_default();
    let is_plain = |directory: &str| match files.get(directory) {
        Some(Reading::Known(fact)) => fact.kind == FileKind::Directory,
        Some(Reading::Absent) => true,
        _ => false,
    };
    let entry = |pattern: &str| {
        let (directory, names) = pattern.rsplit_once('/').filter(|(directory, _)| is_plain(directory))?;
        match names.strip_prefix('*')? {
            "" => Some(directory.to_owned()),
            extension => extension.starts_with('.').then(|| pattern.to_owned()),
        }
    };
    asked.lines().filter_map(entry).collect()
}

/// Files of each node that the pattern for all nodes did not find.
const OF_NODES: [&str; 4] = ["host.fw", "config", "pveproxy-ssl.pem", "pve-ssl.pem"];

/// What a pattern for all nodes did not find is not there.
pub(super) fn absent_of_nodes<'a>(
    sections: Sections<'_>,
    files: &mut BTreeMap<String, Reading<FileFact>>,
    nodes: impl Iterator<Item = &'a String>,
) {
    let asked = sections.text("files.asked").known().copied().unwrap_or_default();
    if sections.text("files.list").known().is_none() {
        return;
    }
    let nodes: Vec<&String> = nodes.collect();
    for name in OF_NODES.iter().filter(|name| asked.lines().any(|line| line == format!("/etc/pve/nodes/*/{name}"))) {
        for node in &nodes {
            files.entry(format!("/etc/pve/nodes/{node}/{name}")).or_insert(Reading::Absent);
        }
    }
}

/// A line of find's complaints: `find: '/path': No such file or directory`.
fn complaint(line: &str) -> Option<(String, Reading<FileFact>)> {
    let (path, why) = line.strip_prefix("find: ")?.rsplit_once(": ")?;
    let path = path.trim_matches(['\'', '\u{2018}', '\u{2019}']);
    let reading = match why {
        "No such file or directory" | "Not a directory" => Reading::Absent,
        _ => Reading::Unreadable(format!("{}: {}", shown(path), shown(why))),
    };
    path.starts_with('/').then(|| (path.to_owned(), reading))
}

/// sha256sum's lines, path → digest.
fn digests(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter_map(|line| line.split_once("  "))
        .filter(|(digest, _)| digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .map(|(digest, path)| (path, digest))
        .collect()
}

/// A line of `files.list`.
struct Entry<'a> {
    kind: FileKind,
    mode: u32,
    owner: &'a str,
    group: &'a str,
    size: usize,
    modified: Option<i64>,
    path: &'a str,
}

impl<'a> Entry<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.splitn(8, '\t');
        let kind = fields.next()?;
        let _target_kind = fields.next()?;
        let mode = u32::from_str_radix(fields.next()?, 8).ok().filter(|mode| *mode <= 0o7777)?;
        let (owner, group) = (fields.next()?, fields.next()?);
        let size = fields.next()?.parse().ok()?;
        let modified = fields.next()?.split('.').next().and_then(|seconds| seconds.parse().ok());
        let rest = fields.next()?;
        let (kind, path) = match kind {
            "l" => {
                let (path, target) = rest.split_once('\t')?;
                (FileKind::Symlink(target.to_owned()), path)
            }
            "f" => (FileKind::Regular, rest.strip_suffix('\t')?),
            "d" => (FileKind::Directory, rest.strip_suffix('\t')?),
            _ => (FileKind::Other, rest.strip_suffix('\t')?),
        };
        path.starts_with('/').then_some(Self { kind, mode, owner, group, size, modified, path })
    }
}

/// The output of `head -v` over many files: `==> path <==`, the content, a newline. Sizes tell where a content ends
/// and digests prove it, so that no content can pass for another file's.
struct Contents<'a> {
    body: Option<&'a [u8]>,
    at: usize,
}

impl<'a> Contents<'a> {
    fn of(capture: &'a Capture) -> Self {
        let section = capture.sections.get("files.text");
        let usable = section.filter(|section| matches!(section.status, 0 | SOME_FAILED));
        Self { body: usable.map(|section| section.body.as_slice()), at: 0 }
    }

    fn fill(&mut self, entry: &Entry<'_>, digest: Option<&str>, cut: bool) -> Reading<FileFact> {
        let mut fact = FileFact {
            kind: entry.kind.clone(),
            mode: entry.mode,
            owner: entry.owner.to_owned(),
            group: entry.group.to_owned(),
            digest: digest.map(str::to_owned),
            content: None,
            modified: entry.modified,
        };
        if entry.kind != FileKind::Regular || cut {
            return Reading::Known(fact);
        }
        let unreadable = |why: &str| Reading::Unreadable(format!("{}: {why}", shown(entry.path)));
        let Some(content) = self.take(entry.path, entry.size) else {
            return if entry.size > LIMIT { Reading::Known(fact) } else { unreadable("its content could not be read") };
        };
        if digest != Some(hex(&Sha256::digest(content)).as_str()) {
            return unreadable("it changed while it was read");
        }
        fact.content = std::str::from_utf8(content).ok().map(str::to_owned);
        Reading::Known(fact)
    }

    fn take(&mut self, path: &str, size: usize) -> Option<&'a [u8]> {
        let header = format!("==> {path} <==\n");
        let rest = self.body?.get(self.at..)?;
        // A file that changed its size shifts what follows: look for the header further on, too.
        let start = find(rest, header.as_bytes())? + header.len();
        let content = rest.get(start..start.checked_add(size)?)?;
        self.at += start + size;
        Some(content)
    }
}

/// `PVH_TEXT_LIMIT` of `remote/files.sh`.
pub(super) const LIMIT: usize = 256 << 10;

/// Position of `needle` at the start of a line.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        if haystack.get(at..)?.starts_with(needle) {
            return Some(at);
        }
        at += haystack.get(at..)?.iter().position(|byte| *byte == b'\n')? + 1;
    }
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
