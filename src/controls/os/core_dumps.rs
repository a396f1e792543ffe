//! `os.core-dumps`.

use crate::change::Change;
use crate::controls::conf::{self, Syntax};
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::{Facts, Reading};
use crate::profile::policy::Policy;

/// The control.
pub struct CoreDumps;
/// `os.core-dumps`.
pub const CORE_DUMPS: CoreDumps = CoreDumps;

const ID: &str = "os.core-dumps";
const LIMITS: &str = "/etc/security/limits.conf";
const LIMITS_FOLDER: &str = "/etc/security/limits.d";
const LIMITS_PATH: &str = "/etc/security/limits.d/zz-pve-harden-core.conf";
const LIMITS_TEXT: &str = "# Written by pve-harden (os.core-dumps). `*` does not stand for root (limits.conf(5)).\n\
                           * hard core 0\nroot hard core 0\n";
const COREDUMP: &str = "/etc/systemd/coredump.conf";
const COREDUMP_FOLDER: &str = "/etc/systemd/coredump.conf.d";
const COREDUMP_PATH: &str = "/etc/systemd/coredump.conf.d/zz-pve-harden.conf";
const COREDUMP_TEXT: &str = "# Written by pve-harden (os.core-dumps).\n[Coredump]\nStorage=none\nProcessSizeMax=0\n";
/// Settings with the value that keeps nothing.
const KEPT: [(&str, &str); 2] = [("Storage", "none"), ("ProcessSizeMax", "0")];

static META: Meta = Meta {
    id: ID,
    title: "A program that crashes leaves no copy of its memory",
    why: "A core dump of QEMU is the guest's memory, keys and passwords included, in a file on the host: as large as the guest, \
          so that it fills the disk as well, and in every backup of the host from then on.",
    checked: "The hard limit `core` that pam_limits gives everybody and root, by the last line of limits.conf and limits.d that \
              names them, and what systemd-coredump would keep, by the last line of coredump.conf and coredump.conf.d, whether \
              the package is there or not. `fs.suid_dumpable` is kernel.sysctl's.",
    naive: "`* hard core 0` alone leaves root out, who starts every guest: a wildcard of limits.conf never stands for root. \
            Debian writes no cores by itself, but `apt-get install systemd-coredump`, as forums advise for the first crash, \
            keeps them all from then on. For a crash that a developer must see, take the control out for that time: `enabled = \
            false`, apply, and delete /var/lib/systemd/coredump afterwards.",
    references: &[
        Reference::Cis13("1.5.11"),
        Reference::Cis13("1.5.12"),
        Reference::Cis13("1.5.13"),
        Reference::Cis12("1.5.3"),
        Reference::Man("limits.conf(5)"),
        Reference::Man("coredump.conf(5)"),
    ],
    level: 2,
    severity: Severity::Low,
};

impl Control for CoreDumps {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.os.core_dumps.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        let folders = [format!("{LIMITS_FOLDER}/*.conf"), format!("{COREDUMP_FOLDER}/*.conf")];
        let paths = [LIMITS, LIMITS_FOLDER, LIMITS_PATH, COREDUMP, COREDUMP_FOLDER, COREDUMP_PATH];
        paths.map(str::to_owned).into_iter().chain(folders).collect()
    }

    fn evaluate(&self, facts: &Facts, _: &Policy) -> Verdict {
        judge(facts).unwrap_or_else(Verdict::unknown)
    }
}

fn judge(facts: &Facts) -> Result<Verdict, String> {
    let mut found = Found::default();
    limits(facts, &mut found)?;
    coredump(facts, &mut found)?;
    let advice = (!found.advice.is_empty()).then(|| found.advice.join("; "));
    Ok(Verdict::outcome(found.changes, advice, found.evidence))
}

/// What the two halves add to the verdict.
#[derive(Default)]
struct Found {
    evidence: Vec<Evidence>,
    changes: Vec<Change>,
    advice: Vec<String>,
}

impl Found {
    /// A file of this tool's that does not decide although it is as it should be: one that is read later does.
    fn file(&mut self, open: bool, folder: &str, path: &str, file: Option<Change>) {
        if open && file.is_none() {
            self.advice.push(format!("a file in {folder} that sorts after {path} keeps core dumps: take its line out"));
        }
        self.changes.extend(file);
    }
}

fn limits(facts: &Facts, found: &mut Found) -> Result<(), String> {
    let texts = texts(facts, LIMITS, LIMITS_FOLDER)?;
    let mut open = false;
    for who in ["*", "root"] {
        let limit = limit(&texts, who);
        open |= limit.is_none_or(|(_, value)| value != "0");
        let shown = limit.map_or_else(|| "no line".to_owned(), |(path, value)| format!("{value} ({path})"));
        found.evidence.push(Evidence::new(format!("limits.conf(5), hard limit core of {who}"), shown, "0"));
    }
    found.changes.extend(conf::directory(facts, ID, LIMITS_FOLDER)?);
    let file = conf::own(facts, ID, LIMITS_PATH, LIMITS_TEXT, "no core dumps of anybody's programs")?;
    found.file(open, LIMITS_FOLDER, LIMITS_PATH, file);
    Ok(())
}

fn coredump(facts: &Facts, found: &mut Found) -> Result<(), String> {
    let texts = texts(facts, COREDUMP, COREDUMP_FOLDER)?;
    let mut open = false;
    for (key, wanted) in KEPT {
        let setting = texts.iter().rev().find_map(|(path, text)| {
            let value = Syntax::Pam.values(text, key).last().copied()?;
            Some((*path, value))
        });
        open |= setting.is_none_or(|(_, value)| value != wanted);
        let shown = setting.map_or_else(|| "systemd's own".to_owned(), |(path, value)| format!("{value} ({path})"));
        found.evidence.push(Evidence::new(format!("coredump.conf(5), {key}"), shown, wanted));
    }
    found.changes.extend(conf::directory(facts, ID, COREDUMP_FOLDER)?);
    let file = conf::own(facts, ID, COREDUMP_PATH, COREDUMP_TEXT, "systemd-coredump keeps nothing")?;
    found.file(open, COREDUMP_FOLDER, COREDUMP_PATH, file);
    Ok(())
}

/// Path and text of the main file and of what its folder adds, in the order in which they are read.
fn texts<'a>(facts: &'a Facts, main: &'a str, folder: &str) -> Result<Vec<(&'a str, &'a str)>, String> {
    let mut found = Vec::new();
    found.extend(conf::text(facts, main)?.map(|text| (main, text)));
    if let Reading::Unreadable(why) = facts.file(folder) {
        return Err(format!("{folder}: {why}"));
    }
    let inside = |path: &str| {
        path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')).is_some_and(|name| {
            !name.contains(['/', '*']) && std::path::Path::new(name).extension().is_some_and(|end| end == "conf")
        })
    };
    for path in facts.files.keys().filter(|path| inside(path)) {
        found.extend(conf::text(facts, path)?.map(|text| (path.as_str(), text)));
    }
    Ok(found)
}

/// The last hard limit for this domain, and where it stands. `-` is both kinds.
fn limit<'a>(texts: &[(&'a str, &'a str)], who: &str) -> Option<(&'a str, &'a str)> {
    let lines = texts.iter().flat_map(|(path, text)| text.lines().map(move |line| (*path, line)));
    let mut limits = lines.filter_map(|(path, line)| {
        let line = line.split('#').next().unwrap_or_default();
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            [domain, "hard" | "-", "core", value] if domain == who => Some((path, value)),
            _ => None,
        }
    });
    limits.next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_names_somebody_counts() {
        let texts =
            [("a", "* hard core 0\n# * hard core 1\n* soft core 5\nroot - core 7\n"), ("b", "root hard core 0 # x\n")];
        assert_eq!(limit(&texts, "*"), Some(("a", "0")));
        assert_eq!(limit(&texts, "root"), Some(("b", "0")));
        assert_eq!(limit(&texts, "@x"), None);
    }
}
