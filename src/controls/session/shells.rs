//! The files that every interactive shell of Debian reads: /etc/profile and /etc/profile.d/*.sh (login shells, sh and
//! bash), /etc/bash.bashrc (bash, also when it is no login shell; /etc/profile sources it first).

use crate::change::Change;
use crate::controls::conf;
use crate::facts::{Facts, FileKind, Reading};

/// bash's own.
pub const BASHRC: &str = "/etc/bash.bashrc";
const PROFILE: &str = "/etc/profile";
const DIRECTORY: &str = "/etc/profile.d";
/// What bash.bashrc needs so that `sudo -s`, `su` and new panes of a terminal multiplexer read our files, too.
const HOOK: &str = include_str!("bashrc.sh");

/// Everything the two controls read.
pub fn reads() -> Vec<String> {
    let mut paths: Vec<String> = [PROFILE, BASHRC, DIRECTORY].map(str::to_owned).into();
    paths.push(format!("{DIRECTORY}/*"));
    paths
}

/// Path and text of every file that is not ours, in the order in which a login shell of bash reads them.
pub fn others(facts: &Facts) -> Result<Vec<(&str, &str)>, String> {
    let mut found = Vec::new();
    for path in [BASHRC, PROFILE] {
        found.extend(conf::text(facts, path)?.map(|text| (path, text)));
    }
    match facts.file(DIRECTORY) {
        Reading::Known(_) | Reading::Absent => {}
        Reading::Unreadable(why) => return Err(format!("{DIRECTORY}: {why}")),
        Reading::NotAsked => return Err(format!("{DIRECTORY}: the capture does not contain it")),
    }
    for path in facts.files.keys().filter(|path| is_read(path)) {
        found.extend(linked(facts, path)?.map(|text| (path.as_str(), text)));
    }
    Ok(found)
}

fn is_read(path: &str) -> bool {
    path.strip_prefix("/etc/profile.d/").is_some_and(|name| {
        let shell = std::path::Path::new(name).extension().is_some_and(|extension| extension == "sh");
        shell && !name.contains(['/', '*']) && !name.starts_with("pve-harden-")
    })
}

/// The text of a file, or of the file a link points to; `None` when there is none.
fn linked<'a>(facts: &'a Facts, path: &str) -> Result<Option<&'a str>, String> {
    match facts.file(path) {
        Reading::Known(fact) => match &fact.kind {
            FileKind::Symlink(target) if target.starts_with('/') => conf::text(facts, target),
            FileKind::Symlink(target) => conf::text(facts, &format!("{DIRECTORY}/{target}")),
            _ => conf::text(facts, path),
        },
        _ => conf::text(facts, path),
    }
}

/// Lines of the other files that contain a command; comments are left out.
pub fn lines<'a>(others: &[(&'a str, &'a str)], matches: impl Fn(&str) -> bool) -> Vec<(&'a str, &'a str)> {
    let all = others.iter().flat_map(|(path, text)| text.lines().map(|line| (*path, line.trim())));
    all.filter(|(_, line)| !line.starts_with('#') && matches(line)).collect()
}

/// A script as it is written to a node: without the notes to shellcheck.
pub fn script(text: &str) -> String {
    let lines = text.split_inclusive('\n').filter(|line| !line.trim_start().starts_with("# shellcheck"));
    lines.collect()
}

/// Puts the hook at the end of bash.bashrc; the same image whichever control asks.
pub fn hook(facts: &Facts, id: &str) -> Result<Option<Change>, String> {
    let text = conf::text(facts, BASHRC)?.unwrap_or_default();
    let hook = script(HOOK);
    if text.contains(&hook) {
        return Ok(None);
    }
    let newline = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let after = format!("{text}{newline}\n{hook}");
    conf::write(facts, id, BASHRC, after, "let interactive shells that are no login shells read our settings, too")
}

/// What is wrong with how shells find our files, if anything.
pub fn unread(facts: &Facts) -> Result<Option<String>, String> {
    let profile = conf::text(facts, PROFILE)?.unwrap_or_default();
    let sourced = profile.lines().any(|line| !line.trim_start().starts_with('#') && line.contains(DIRECTORY));
    Ok((!sourced).then(|| format!("{PROFILE} does not read {DIRECTORY}: put Debian's loop over {DIRECTORY}/*.sh back")))
}
