//! /etc/passwd, /etc/group, the cut /etc/shadow, sudo's answers, public keys.

use std::collections::BTreeMap;

use super::sections::{Sections, shown};
use super::{Accounts, AuthorizedKeys, FileFact, Group, KeyPlace, PasswordState, Reading, Shadow, SudoRights, User};

/// File systems that are not a local disk, as `stat -f -c %T` names them.
const REMOTE: &[&str] =
    &["fuse", "fuseblk", "nfs", "nfsd", "smb", "smb2", "cifs", "ceph", "afs", "v9fs", "gfs/gfs2", "ocfs2", "autofs"];

pub(super) fn parse(sections: Sections<'_>, files: &BTreeMap<String, Reading<FileFact>>) -> Accounts {
    Accounts {
        users: super::text_of(files, "/etc/passwd").map(|text| users(&text)),
        groups: super::text_of(files, "/etc/group").map(|text| groups(&text)),
        shadow: sections.parse("shadow", shadow),
        connected: sections
            .text("connected")
            .map(|text| text.lines().map(str::trim).filter(|name| plausible_name(name)).map(str::to_owned).collect()),
        authorized_keys: per_account(sections, "keys.", authorized_keys),
        key_places: per_account(sections, "place.", key_place),
        digest_salt: sections.text("salt").map(str::to_owned),
    }
}

/// `sudo -l -U NAME` of every account that was asked for.
pub(super) fn sudo(sections: Sections<'_>) -> BTreeMap<String, Reading<SudoRights>> {
    per_account(sections, "sudo.", |sections, name| {
        let section = sections.0.sections.get(name);
        let unknown = section.is_some_and(|section| {
            section.status != 0 && String::from_utf8_lossy(&section.body).contains("sudo: unknown user")
        });
        if unknown { Reading::Absent } else { sections.parse(name, |text| Ok(sudo_rights(text))) }
    })
}

fn per_account<T>(
    sections: Sections<'_>,
    prefix: &str,
    parse: impl Fn(Sections<'_>, &str) -> Reading<T>,
) -> BTreeMap<String, Reading<T>> {
    let names = sections.0.sections.keys().filter_map(|name| Some((name, name.strip_prefix(prefix)?)));
    names.map(|(section, account)| (account.to_owned(), parse(sections, section))).collect()
}

fn plausible_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 256 && !name.contains(|c: char| c.is_control() || c.is_whitespace() || c == ':')
}

/// Lines that glibc would skip are skipped; the first of two lines with one name counts, as for getpwnam(3).
pub(super) fn users(text: &str) -> BTreeMap<String, User> {
    let mut users = BTreeMap::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let &[name, _, uid, gid, gecos, home, shell] = fields.as_slice() else { continue };
        let (Ok(uid), Ok(gid)) = (uid.parse(), gid.parse()) else { continue };
        if plausible_name(name) {
            users.entry(name.to_owned()).or_insert_with(|| User {
                name: name.into(),
                uid,
                gid,
                gecos: gecos.into(),
                home: home.into(),
                shell: if shell.is_empty() { "/bin/sh" } else { shell }.into(),
            });
        }
    }
    users
}

/// Same manners as [`users`].
pub(super) fn groups(text: &str) -> BTreeMap<String, Group> {
    let mut groups = BTreeMap::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let &[name, _, gid, members] = fields.as_slice() else { continue };
        let Ok(gid) = gid.parse() else { continue };
        if plausible_name(name) {
            let members = members.split(',').filter(|member| !member.is_empty()).map(str::to_owned).collect();
            groups.entry(name.to_owned()).or_insert(Group { gid, members });
        }
    }
    groups
}

/// Lines of `shadow_states` (`remote/accounts.sh`).
fn shadow(text: &str) -> Result<BTreeMap<String, Shadow>, String> {
    let mut accounts: BTreeMap<String, Shadow> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with("bad ")) {
        if let Some((name, digest)) = line.strip_prefix('#').and_then(|rest| rest.split_once(':')) {
            let digest = digest.split_whitespace().next().unwrap_or_default();
            if let (Some(account), 64) = (accounts.get_mut(name), digest.len()) {
                account.hash_digest = Some(digest.to_owned());
            }
            continue;
        }
        let fields: Vec<&str> = line.split(':').collect();
        let &[name, state, prefix, last, min, max, warn, inactive, expires] = fields.as_slice() else {
            return Err(format!("a line cannot be understood: {}", shown(line)));
        };
        let password = match state {
            "hash" => PasswordState::Hash(prefix.into()),
            "locked" => PasswordState::Locked(prefix.into()),
            "none" => PasswordState::None,
            "empty" => PasswordState::Empty,
            _ => return Err(format!("a password state cannot be understood: {}", shown(state))),
        };
        accounts.entry(name.to_owned()).or_insert(Shadow {
            password,
            last_change: last.parse().ok(),
            min_days: min.parse().ok(),
            max_days: max.parse().ok(),
            warn_days: warn.parse().ok(),
            inactive_days: inactive.parse().ok(),
            expires: expires.parse().ok(),
            hash_digest: None,
        });
    }
    Ok(accounts)
}

/// sudo's list, read strictly: sudo lets the last entry that fits decide, so a later entry that denies something, or
/// asks for a password, takes the unrestricted answer back.
fn sudo_rights(text: &str) -> SudoRights {
    let mut rights =
        SudoRights { all_as_root: false, nopasswd: false, lines: text.lines().map(str::to_owned).collect() };
    let entries = text.lines().skip_while(|line| !line.contains("may run the following commands")).skip(1);
    for line in entries {
        let Some((runas, commands)) = line.trim().strip_prefix('(').and_then(|rest| rest.split_once(')')) else {
            continue;
        };
        let users = runas.split(':').next().unwrap_or_default();
        let mut as_root = false;
        for user in users.split(',').map(str::trim) {
            match user {
                "ALL" | "root" | "#0" => as_root = true,
                "!ALL" | "!root" | "!#0" => as_root = false,
                _ => {}
            }
        }
        if as_root {
            apply_commands(&mut rights, commands);
        }
    }
    rights.nopasswd &= rights.all_as_root;
    rights
}

fn apply_commands(rights: &mut SudoRights, commands: &str) {
    let mut nopasswd = false;
    for command in commands.split(", ") {
        let mut command = command.trim();
        while let Some((tag, rest)) = command.split_once(':').filter(|(tag, _)| is_tag(tag)) {
            match tag {
                "NOPASSWD" => nopasswd = true,
                "PASSWD" => nopasswd = false,
                _ => {}
            }
            command = rest.trim_start();
        }
        match command {
            "ALL" => {
                rights.all_as_root = true;
                rights.nopasswd = nopasswd;
            }
            denied if denied.starts_with('!') => rights.all_as_root = false,
            _ if !nopasswd => rights.nopasswd = false,
            _ => {}
        }
    }
}

fn is_tag(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

fn is_local(path: &str, file_system: &str) -> bool {
    !REMOTE.contains(&file_system) && !file_system.is_empty() && !path.starts_with("/etc/pve/")
}

/// `place.NAME` (`key_place` of `remote/accounts.sh`): home, what exists of the path, file system.
fn key_place(sections: Sections<'_>, name: &str) -> Reading<KeyPlace> {
    sections.parse(name, |text| {
        let [home, exists, file_system] = text.lines().collect::<Vec<_>>()[..] else {
            return Err(format!("an answer cannot be understood: {}", shown(text)));
        };
        if file_system.is_empty() {
            return Err(format!("the file system of {} cannot be told", shown(exists)));
        }
        let local = is_local(exists, file_system);
        Ok(KeyPlace { home: home.into(), exists: exists.into(), file_system: file_system.into(), local })
    })
}

/// Blocks of `keys_of` (`remote/accounts.sh`). The first file that is there tells path and place; further files count
/// when they lie in the same kind of place.
fn authorized_keys(sections: Sections<'_>, name: &str) -> Reading<AuthorizedKeys> {
    if sections.0.sections.get(name).is_some_and(|section| section.status == 2) {
        return Reading::Absent;
    }
    let text = match sections.text(name) {
        Reading::Known(text) => text,
        other => return other.and_then(|_| Err(String::new())),
    };
    let mut found: Option<AuthorizedKeys> = None;
    let (mut real, mut local) = ("", false);
    for line in text.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "failed" | "refused" if found.is_none() => {
                return Reading::Unreadable(format!("{name}: {} {}", word, shown(rest)));
            }
            "real" => real = rest,
            "fstype" => {
                local = is_local(real, rest);
                found.get_or_insert_with(|| AuthorizedKeys {
                    path: real.to_owned(),
                    local,
                    lines: Vec::new(),
                    changed: None,
                });
            }
            "changed" => {
                if let (Some(keys), Ok(at)) = (found.as_mut(), rest.parse::<i64>()) {
                    keys.changed = keys.changed.max(Some(at));
                }
            }
            "key" => {
                if let Some(keys) = found.as_mut().filter(|keys| keys.local == local) {
                    keys.lines.push(rest.to_owned());
                }
            }
            _ => {}
        }
    }
    found.map_or(Reading::Absent, Reading::Known)
}
