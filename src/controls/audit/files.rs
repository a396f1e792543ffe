//! Rules of this tool's own, in the form that `augenrules` puts together.

use std::fmt::Write as _;

use crate::facts::{Facts, FileKind};
use crate::profile::policy::AuditRules;

/// Folders of the rules, outermost first; Debian's modes are 0750.
pub const FOLDERS: [&str; 2] = ["/etc/audit", "/etc/audit/rules.d"];
/// `augenrules` sorts by name (`ls -v`): after Debian's audit.rules, so that what this one sets counts.
pub const RULES: &str = "/etc/audit/rules.d/pve-harden.rules";
/// The rules on /etc/pve alone, which are loaded again when pmxcfs is mounted.
pub const PVE_RULES: &str = "/etc/audit/rules.d/pve-harden-pve.rules";
/// Loads [`PVE_RULES`].
pub const UNIT_PATH: &str = "/etc/systemd/system/pve-harden-audit.service";
/// Name of [`UNIT_PATH`].
pub const UNIT: &str = "pve-harden-audit.service";
/// Content of [`UNIT_PATH`].
pub const UNIT_TEXT: &str = include_str!("node/pve-harden-audit.service");

/// System calls that load and unload modules.
pub const MODULES: [&str; 3] = ["init_module", "finit_module", "delete_module"];
/// System calls that set the clock. adjtimex is left out: chrony calls it all the time.
pub const CLOCK: [&str; 2] = ["settimeofday", "clock_settime"];

const HEAD: &str = "## Written by pve-harden (audit.rules).\n";

/// A path to watch, as it is on the node.
pub struct Place<'a> {
    /// Absolute path.
    pub path: &'a str,
    /// Everything below is meant.
    pub is_directory: bool,
    /// It is on the node now.
    pub is_there: bool,
}

impl Place<'_> {
    /// Whether pmxcfs has it.
    pub fn is_shared(&self) -> bool {
        is_shared(self.path)
    }

    /// The key that `ausearch -k` finds its events by; all begin with `pve-harden`.
    fn key(&self) -> &'static str {
        let below = |folder: &str| {
            self.path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '.', '-']))
        };
        let any = |folders: &[&str]| folders.iter().any(|folder| below(folder));
        match () {
            () if self.is_shared() => "pve-harden-pve",
            () if any(&["/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/security", "/etc/pam.d"]) => {
                "pve-harden-identity"
            }
            () if any(&["/etc/sudoers"]) => "pve-harden-sudo",
            () if any(&["/etc/ssh", "/root/.ssh"]) => "pve-harden-sshd",
            () if any(&["/etc/modprobe.d", "/etc/modules", "/etc/modules-load.d"]) => "pve-harden-modules",
            () if any(&["/etc/localtime", "/etc/chrony"]) => "pve-harden-clock",
            () if any(&["/etc/audit"]) => "pve-harden-audit",
            () => "pve-harden-files",
        }
    }

    fn rule(&self) -> String {
        let field = if self.is_directory { "dir" } else { "path" };
        // Daemons have no login: the HA managers write their state to /etc/pve every few seconds.
        let people = if self.is_shared() { " -F auid!=unset" } else { "" };
        let rule = |arch: &str| {
            format!("-a always,exit -F arch={arch} -F {field}={} -F perm=wa{people} -F key={}\n", self.path, self.key())
        };
        // Without an architecture the kernel asks at every system call there is (audit.rules(7)).
        rule("b64") + &rule("b32")
    }
}

fn is_shared(path: &str) -> bool {
    path == "/etc/pve" || path.starts_with("/etc/pve/")
}

/// Why a path cannot stand in a rule.
pub fn refused(path: &str) -> Option<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+@".contains(&byte);
    let whole = path.starts_with('/') && path.len() > 1 && path.len() < 1024 && path.bytes().all(plain);
    if !whole || path.split('/').any(|part| part == "..") {
        return Some(format!("\"{}\" is no path for a rule", path.escape_debug()));
    }
    let busy = ["/var", "/var/log", "/proc", "/sys", "/dev", "/run", "/tmp"];
    let bare = path.trim_end_matches('/');
    (bare.is_empty()
        || busy.iter().any(|folder| bare == *folder || (*folder != "/var" && bare.starts_with(&format!("{folder}/")))))
    .then(|| format!("{path} is written to all the time: its events would push all others out"))
}

/// The profile's list. What is not there yet, such as sudo's files, may come in the same run: it has its rule, a
/// directory where the profile ends it with `/`. Of /etc/pve only what is there.
pub fn places<'a>(facts: &Facts, paths: &'a [String]) -> Result<Vec<Place<'a>>, String> {
    let mut places = Vec::new();
    for written in paths {
        let path = written.trim_end_matches('/');
        let fact = facts.file(path).certain().map_err(|why| format!("{path}: {why}"))?;
        let is_directory = fact.map_or(written.ends_with('/'), |fact| fact.kind == FileKind::Directory);
        if fact.is_some() || !is_shared(path) {
            places.push(Place { path, is_directory, is_there: fact.is_some() });
        }
    }
    Ok(places)
}

/// [`RULES`]. A failing rule must neither keep back the others nor auditd, which needs its rules loaded (`-i`); a full
/// queue must not hold up who writes: the HA manager would miss its watchdog (`--backlog_wait_time`).
pub fn rules(places: &[Place<'_>], want: &AuditRules) -> String {
    let mut text = format!("{HEAD}--backlog_wait_time 0\n-f 1\n-i\n");
    for place in places.iter().filter(|place| !place.is_shared()) {
        text.push_str(&place.rule());
    }
    let mut calls = |names: &str, also: &str, key: &str| {
        for arch in ["b64", "b32"] {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "-a always,exit -F arch={arch} -S {names}{also} -F key=pve-harden-{key}");
        }
    };
    if want.modules {
        calls(&MODULES.join(","), "", "modules");
    }
    if want.clock {
        calls(CLOCK[0], " -F auid!=unset", "clock");
        // Clock 0 is the one on the wall.
        calls(CLOCK[1], " -F a0=0 -F auid!=unset", "clock");
    }
    text
}

/// [`PVE_RULES`]; `None` where nothing of /etc/pve is watched.
pub fn pve_rules(places: &[Place<'_>]) -> Option<String> {
    let rules: String = places.iter().filter(|place| place.is_shared()).map(Place::rule).collect();
    (!rules.is_empty()).then(|| format!("{HEAD}{rules}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_part_of_a_rule_only_when_it_is_plain_and_quiet() {
        for path in ["/etc/pve", "/etc/ssh/", "/root/.ssh", "/var/spool/cron"] {
            assert_eq!(refused(path), None, "{path}");
        }
        for path in [
            "",
            "/",
            "etc",
            "/etc/x y",
            "/etc/x\n-e 2",
            "/etc/../dev",
            "/var/log",
            "/var/log/pve",
            "/proc",
            "/tmp/x",
            "/var",
        ] {
            assert!(refused(path).is_some(), "{path}");
        }
    }

    #[test]
    fn keys_say_what_it_is_about() {
        let key = |path| Place { path, is_directory: false, is_there: true }.key();
        assert_eq!(key("/etc/pve/priv"), "pve-harden-pve");
        assert_eq!(key("/etc/passwd"), "pve-harden-identity");
        assert_eq!(key("/etc/sudoers.d"), "pve-harden-sudo");
        assert_eq!(key("/etc/sshx"), "pve-harden-files");
    }
}
