//! An administrator's ~/.ssh: exactly the site's keys, in files only their owner can write.

use std::collections::BTreeSet;
use std::str::FromStr;

use ssh_key::authorized_keys::Entry;

use crate::change::{Action, FileImage, Stage};
use crate::facts::{CaseKind, Facts};
use crate::profile::policy::Admin;

use super::work::{Stop, Wanted, Work, directory, regular};

const HEADER: &str = "# Written by pve-harden: the site's keys, and no others.\n";

/// Who owns the files.
pub struct Owner<'a> {
    pub name: &'a str,
    pub group: &'a str,
    pub home: &'a str,
}

/// Plans directory and key file.
pub fn plan(work: &mut Work, facts: &Facts, admin: &Admin, owner: &Owner) -> Result<(), Stop> {
    let folder = format!("{}/.ssh", owner.home);
    let path = format!("{folder}/authorized_keys");
    read_by_sshd(facts, owner, &path)?;
    plan_folder(work, facts, owner, &folder)?;
    let present = regular(facts, &path)?;
    let kept = present.as_ref().filter(|image| same_keys(&image.content, &admin.keys)).map(|image| &image.content);
    let wanted = FileImage {
        content: kept.cloned().unwrap_or_else(|| render(&admin.keys)),
        mode: 0o600,
        owner: owner.name.into(),
        group: owner.group.into(),
    };
    match &present {
        Some(image) if *image == wanted => work.proved(&path, format!("{}, as in the site", count(admin.keys.len()))),
        Some(image) => {
            let keys = count(lines(&image.content).count());
            let found = format!("{keys}, mode {:04o}, owner {}", image.mode, image.owner);
            work.saw(&path, found, format!("the site's {}, mode 0600, owner {}", count(admin.keys.len()), owner.name));
        }
        None => work.saw(&path, "absent", format!("the site's {}", count(admin.keys.len()))),
    }
    let file = Wanted { path, image: Some(wanted), validate: None };
    work.file(format!("keys of {}", admin.name), present, file);
    second_file(work, facts, owner, &folder)
}

fn plan_folder(work: &mut Work, facts: &Facts, owner: &Owner, folder: &str) -> Result<(), Stop> {
    let present = directory(facts, folder)?;
    if present.is_some_and(|fact| fact.mode == 0o700 && fact.owner == owner.name && fact.group == owner.group) {
        return Ok(());
    }
    if let Some(fact) = present {
        let found = format!("mode {:04o}, owner {}:{}", fact.mode, fact.owner, fact.group);
        work.saw(folder, found, format!("mode 0700, owner {}:{}", owner.name, owner.group));
    }
    let action =
        Action::Directory { path: folder.into(), mode: 0o700, owner: owner.name.into(), group: owner.group.into() };
    work.change(Stage::Accounts, format!("{}'s folder for keys", owner.name), action);
    Ok(())
}

/// sshd reads `authorized_keys2` as well by default, which makes it a place for keys nobody looks at.
fn second_file(work: &mut Work, facts: &Facts, owner: &Owner, folder: &str) -> Result<(), Stop> {
    let path = format!("{folder}/authorized_keys2");
    let Some(present) = regular(facts, &path)? else { return Ok(()) };
    work.saw(&path, count(lines(&present.content).count()), "absent: sshd reads this file, too");
    let summary = format!("take away {}'s second key file", owner.name);
    work.file(summary, Some(present), Wanted { path, image: None, validate: None });
    Ok(())
}

/// A key in a file that sshd does not read proves nothing.
fn read_by_sshd(facts: &Facts, owner: &Owner, path: &str) -> Result<(), Stop> {
    let cases = facts.sshd.cases.iter().filter(|(case, _)| case.who == CaseKind::Admin && case.user == owner.name);
    for (_, settings) in cases {
        let Some(files) = settings.known().and_then(|settings| settings.get("authorizedkeysfile")) else { continue };
        let expand = |file: &str| {
            let file = file.replace("%h", owner.home).replace("%u", owner.name).replace("%%", "%");
            if file.starts_with('/') { file } else { format!("{}/{file}", owner.home) }
        };
        if !files.split_whitespace().any(|file| expand(file) == path) {
            return Err(Stop::Refused(format!(
                "sshd reads {}'s keys from `{files}`, not from {path}; take AuthorizedKeysFile out of sshd's files, or \
                 add .ssh/authorized_keys to it",
                owner.name
            )));
        }
    }
    Ok(())
}

fn count(keys: usize) -> String {
    if keys == 1 { "1 key".into() } else { format!("{keys} keys") }
}

fn render(keys: &[String]) -> String {
    keys.iter().fold(HEADER.to_owned(), |text, key| text + key.trim() + "\n")
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Same keys with the same options; order and comments do not matter.
pub fn same_keys(text: &str, keys: &[String]) -> bool {
    let present: BTreeSet<_> = lines(text).map(identity).collect();
    let wanted: BTreeSet<_> = keys.iter().map(|key| identity(key.trim())).collect();
    present == wanted && lines(text).count() == present.len()
}

/// Options, type and key without the comment; the line itself when it cannot be read.
fn identity(line: &str) -> String {
    let Ok(entry) = Entry::from_str(line) else { return line.to_owned() };
    let mut key = entry.public_key().clone();
    key.set_comment("");
    let options = entry.config_opts().to_string();
    key.to_openssh().map_or_else(|_| line.to_owned(), |key| format!("{options} {key}"))
}
