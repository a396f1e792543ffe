//! From what was read of a file to the change that writes it.

use crate::change::{Action, Change, FileChange, FileImage, Stage};
use crate::facts::{Facts, FileFact, FileKind, Reading};

/// The text of a file; `None` when it is not there. An error when that cannot be told, or when it is no ordinary file
/// of text.
pub fn text<'a>(facts: &'a Facts, path: &str) -> Result<Option<&'a str>, String> {
    Ok(regular(facts, path)?.map(|(_, content)| content))
}

/// The change that gives a file this content, keeping its mode and owner; `None` when it has it. A new file belongs
/// to root and is readable by all.
pub fn write(facts: &Facts, id: &str, path: &str, content: String, summary: &str) -> Result<Option<Change>, String> {
    let before = regular(facts, path)?.map(|(fact, content)| image(fact, content.to_owned()));
    if before.as_ref().is_some_and(|before| before.content == content) {
        return Ok(None);
    }
    let after = match &before {
        Some(before) => FileImage { content, ..before.clone() },
        None => FileImage::root(content, 0o644),
    };
    let file = FileChange { path: path.to_owned(), before, after: Some(after), validate: None };
    Ok(Some(change(id, summary, Action::File(file))))
}

/// The change that gives a file of this tool's own its content, mode and owner; `None` when it has all of them.
pub fn own(facts: &Facts, id: &str, path: &str, content: &str, summary: &str) -> Result<Option<Change>, String> {
    own_as(facts, id, path, FileImage::root(content, 0o644), summary)
}

/// As [`own`], with another mode.
pub fn own_as(facts: &Facts, id: &str, path: &str, after: FileImage, summary: &str) -> Result<Option<Change>, String> {
    let before = regular(facts, path)?.map(|(fact, content)| image(fact, content.to_owned()));
    if before.as_ref() == Some(&after) {
        return Ok(None);
    }
    let file = FileChange { path: path.to_owned(), before, after: Some(after), validate: None };
    Ok(Some(change(id, summary, Action::File(file))))
}

/// The change that makes a directory of root's, when it is not there.
pub fn directory(facts: &Facts, id: &str, path: &str) -> Result<Option<Change>, String> {
    match facts.file(path).certain().map_err(|why| format!("{path}: {why}"))? {
        Some(FileFact { kind: FileKind::Directory, .. }) => Ok(None),
        Some(_) => Err(format!("{path} is not a directory")),
        None => {
            let (owner, group) = ("root".to_owned(), "root".to_owned());
            let action = Action::Directory { path: path.to_owned(), mode: 0o755, owner, group };
            Ok(Some(change(id, &format!("make {path}"), action)))
        }
    }
}

fn change(id: &str, summary: &str, action: Action) -> Change {
    Change {
        controls: vec![id.to_owned()],
        stage: Stage::Services,
        summary: summary.to_owned(),
        interrupts: None,
        action,
    }
}

fn regular<'a>(facts: &'a Facts, path: &str) -> Result<Option<(&'a FileFact, &'a str)>, String> {
    let reading = facts.file(path);
    if matches!(reading, Reading::NotAsked) && in_missing_directory(facts, path) {
        return Ok(None);
    }
    let Some(fact) = reading.certain().map_err(|why| format!("{path}: {why}"))? else { return Ok(None) };
    match &fact.kind {
        FileKind::Regular => {}
        FileKind::Symlink(_) => return Err(format!("{path} is a symbolic link, which is not replaced")),
        FileKind::Directory | FileKind::Other => return Err(format!("{path} is not a regular file")),
    }
    let content = fact
        .content
        .as_deref()
        .ok_or_else(|| format!("{path}: its content was not read: it is too large, or not text in UTF-8"))?;
    Ok(Some((fact, content)))
}

fn in_missing_directory(facts: &Facts, path: &str) -> bool {
    path.rsplit_once('/').is_some_and(|(directory, _)| matches!(facts.file(directory), Reading::Absent))
}

fn image(fact: &FileFact, content: String) -> FileImage {
    FileImage { content, mode: fact.mode, owner: fact.owner.clone(), group: fact.group.clone() }
}
