//! Whether pam-auth-update(8) still manages /etc/pam.d/common-*. It compares the blocks in these files with what it
//! wrote itself (/var/lib/pam) and, when a line was added by hand, changes nothing and exits 0. This is the comparison
//! of `diff_profiles` in Debian's pam-auth-update, 1.5.2 and 1.7.0 alike.

use std::collections::{BTreeMap, BTreeSet};

use crate::controls::conf;
use crate::facts::Facts;

/// The five files, by the end of their name.
const COMMON: [&str; 5] = ["auth", "account", "password", "session", "session-noninteractive"];

/// Everything [`managed`] reads.
pub fn files() -> impl Iterator<Item = String> {
    COMMON.into_iter().flat_map(|name| [format!("/etc/pam.d/common-{name}"), format!("/var/lib/pam/{name}")])
}

const PRIMARY: &str = "# here are the per-package modules (the \"Primary\" block)";
const FALLBACK: &str = "# here's the fallback if no module succeeds";
const ADDITIONAL: &str = "# and here are more per-package modules (the \"Additional\" block)";
const END: &str = "# end of pam-auth-update config";

/// What pam-auth-update would find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Managed {
    /// It will do as it is told; these profiles are enabled.
    Yes(BTreeSet<String>),
    /// It will refuse, because of this.
    No(String),
}

/// Asks all five files; an error when one of them could not be read.
pub fn managed(facts: &Facts) -> Result<Managed, String> {
    let mut enabled = BTreeSet::new();
    for name in COMMON {
        let (path, record) = (format!("/etc/pam.d/common-{name}"), format!("/var/lib/pam/{name}"));
        let Some(current) = conf::text(facts, &path)? else { return Ok(Managed::No(format!("{path} is missing"))) };
        let Some(written) = conf::text(facts, &record)? else { return Ok(Managed::No(format!("{record} is missing"))) };
        let facility = name.trim_end_matches("-noninteractive");
        match compare(facility, current, written) {
            Ok(profiles) => enabled.extend(profiles),
            Err(line) => return Ok(Managed::No(format!("{path} was changed by hand: {line}"))),
        }
    }
    Ok(Managed::Yes(enabled))
}

/// Profiles of others that bring nothing but this module along. Together with ours it would run twice.
pub fn rivals(facts: &Facts, common: &str, module: &str, ours: &[&str]) -> Result<Vec<String>, String> {
    let saved = conf::text(facts, &format!("/var/lib/pam/{common}"))?.unwrap_or_default();
    let mut profile = "";
    let mut brings_only_it: BTreeMap<&str, bool> = BTreeMap::new();
    for line in saved.lines() {
        match line.strip_prefix("Module: ") {
            Some(name) => profile = name,
            None => *brings_only_it.entry(profile).or_insert(true) &= line.contains(module),
        }
    }
    let rivals = brings_only_it.into_iter().filter(|(name, only)| *only && !ours.contains(name));
    Ok(rivals.map(|(name, _)| name.to_owned()).collect())
}

/// The profiles whose lines are there, or the first line that pam-auth-update did not write.
fn compare(facility: &str, current: &str, written: &str) -> Result<Vec<String>, String> {
    let mut saved = saved_lines(written).into_iter();
    let mut profiles = Vec::new();
    let mut block = Block::Before;
    for line in current.lines() {
        let before = block;
        block = block.next(line);
        if block != before || matches!(block, Block::Before | Block::Between | Block::After) {
            continue;
        }
        let bare = without_facility(line, facility);
        let wanted = without_jump(bare);
        match saved.find(|(_, head)| wanted.starts_with(head.as_str())) {
            Some((profile, _)) => profiles.push(profile),
            None => return Err(format!("\"{}\"", line.escape_debug())),
        }
    }
    match block {
        Block::Additional | Block::After => Ok(profiles),
        Block::Before | Block::Primary | Block::Between => Err("the marks of its blocks are gone".into()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    Before,
    Primary,
    Between,
    Additional,
    After,
}

impl Managed {
    /// What a person is told when it will refuse.
    pub fn advice(why: &str, by_hand: &str) -> String {
        format!(
            "{why}; pam-auth-update leaves such files alone. Take the line out (or move it below \"# end of \
             pam-auth-update config\") and run again, or do it by hand: {by_hand}"
        )
    }
}

impl Block {
    fn next(self, line: &str) -> Self {
        match self {
            Self::Before if line.starts_with(PRIMARY) => Self::Primary,
            Self::Primary if line.starts_with(FALLBACK) => Self::Between,
            Self::Between if line.starts_with(ADDITIONAL) => Self::Additional,
            Self::Additional if line.starts_with(END) => Self::After,
            same => same,
        }
    }
}

/// Profile and "control module" of each saved line, jumps taken out.
fn saved_lines(written: &str) -> Vec<(String, String)> {
    let mut profile = String::new();
    let mut lines = Vec::new();
    for line in written.lines() {
        if let Some(name) = line.strip_prefix("Module: ") {
            name.clone_into(&mut profile);
        } else {
            lines.push((profile.clone(), head(&without_end(&without_jump(line))).to_owned()));
        }
    }
    lines
}

/// `control module` of a rule, blanks as written.
fn head(line: &str) -> &str {
    let control = match line.strip_prefix('[').and_then(|rest| rest.find(']')) {
        Some(end) => end + 2,
        None => line.find(char::is_whitespace).unwrap_or(line.len()),
    };
    let module = control + blanks(&line[control..]);
    let end = line[module..].find(char::is_whitespace).map_or(line.len(), |length| module + length);
    &line[..end]
}

fn blanks(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

fn without_facility<'a>(line: &'a str, facility: &str) -> &'a str {
    match line.strip_prefix(facility) {
        Some(rest) if rest.starts_with(char::is_whitespace) => rest.trim_start(),
        _ => line,
    }
}

/// Takes the first number out of a bracketed control.
fn without_jump(line: &str) -> String {
    let Some((open, close)) = brackets(line) else { return line.to_owned() };
    let inner = &line[open..close];
    let Some(start) = inner.find(|c: char| c.is_ascii_digit()) else { return line.to_owned() };
    let digits = inner[start..].find(|c: char| !c.is_ascii_digit()).unwrap_or(inner.len() - start);
    format!("{}{}", &line[..open + start], &line[open + start + digits..])
}

/// Takes the placeholder `end` out of a bracketed control.
fn without_end(line: &str) -> String {
    let Some((open, close)) = brackets(line) else { return line.to_owned() };
    let Some(at) = line[open..close].rfind("end") else { return line.to_owned() };
    format!("{}{}", &line[..open + at], &line[open + at + 3..])
}

fn brackets(line: &str) -> Option<(usize, usize)> {
    Some((line.find('[')?, line.rfind(']')?)).filter(|(open, close)| open < close)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SAVED: &str = "Module: unix\n[success=end default=ignore]\tpam_unix.so nullok\n";

    fn common(primary: &str) -> String {
        format!(
            "# intro\n{PRIMARY}\n{primary}{FALLBACK}\nauth\trequisite\t\t\tpam_deny.so\nauth\trequired\tpam_permit.so\n\
             {ADDITIONAL}\n{END}\nauth optional pam_echo.so\n"
        )
    }

    #[test]
    fn debian_s_own_file_is_managed_and_lines_outside_the_blocks_do_not_matter() {
        let current = common("auth\t[success=1 default=ignore]\tpam_unix.so nullok\n");
        assert_eq!(compare("auth", &current, SAVED), Ok(vec!["unix".to_owned()]));
    }

    #[test]
    fn changed_arguments_and_jumps_are_merged_by_it() {
        let current = common("auth\t[success=7 default=ignore]\tpam_unix.so nodelay\n");
        assert_eq!(compare("auth", &current, SAVED), Ok(vec!["unix".to_owned()]));
    }

    #[test]
    fn a_line_added_by_hand_stops_it() {
        let current = common("auth required pam_faillock.so preauth\nauth\t[success=1 default=ignore]\tpam_unix.so\n");
        assert_eq!(compare("auth", &current, SAVED), Err("\"auth required pam_faillock.so preauth\"".to_owned()));
        let current = common("# a note\nauth\t[success=1 default=ignore]\tpam_unix.so nullok\n");
        assert!(compare("auth", &current, SAVED).is_err(), "a comment inside the block");
        assert!(compare("auth", "auth required pam_unix.so\n", SAVED).is_err(), "no marks");
    }

    #[test]
    fn a_line_removed_by_hand_disables_its_profile() {
        assert_eq!(compare("auth", &common(""), SAVED), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn any_text_is_compared_without_panic(current in "\\PC{0,80}", written in "(Module: x\n)?[\\[\\]=a-z0-9 \té]{0,60}") {
            let _ = compare("auth", &common(&format!("auth\t{current}\n")), &written);
        }
    }
}
