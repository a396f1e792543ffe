//! Judges the values of merged profiles beyond their types: what would lock people out, break a cluster or do nothing.

use super::diagnostic::{Diagnostic, Diagnostics};
use super::layer::{Leaf, Leaves};
use super::lint_access;
use super::lint_ssh;
use super::names;
use super::network;
use super::policy::{NoticePolicy, Sink};

/// The leaves under judgement.
pub struct Lint<'a> {
    leaves: &'a Leaves,
    found: &'a mut Diagnostics,
}

/// Judges what is set; keys that no layer sets are not judged.
pub fn lint(leaves: &Leaves, found: &mut Diagnostics) {
    let mut lint = Lint { leaves, found };
    lint_access::lint(&mut lint);
    lint_ssh::lint(&mut lint);
    lint.accounts();
    lint.aging();
    lint.lockout();
    lint.umask();
    lint.notice();
}

/// Judges what depends on the site's sinks.
pub fn sinks(leaves: &Leaves, sinks: &[Sink], found: &mut Diagnostics) {
    lint_access::sinks(&mut Lint { leaves, found }, sinks);
}

impl<'a> Lint<'a> {
    /// A value and its place.
    pub fn leaf(&self, key: &str) -> Option<&'a Leaf> {
        self.leaves.get(key)
    }

    /// A number.
    pub fn number(&self, key: &str) -> Option<(i64, &'a Leaf)> {
        self.leaf(key).and_then(|leaf| Some((leaf.value.as_i64()?, leaf)))
    }

    /// A string.
    pub fn text(&self, key: &str) -> Option<(&'a str, &'a Leaf)> {
        self.leaf(key).and_then(|leaf| Some((leaf.value.as_str()?, leaf)))
    }

    /// An array of strings.
    pub fn words(&self, key: &str) -> Option<(Vec<&'a str>, &'a Leaf)> {
        let leaf = self.leaf(key)?;
        Some((leaf.value.as_array()?.iter().filter_map(serde_json::Value::as_str).collect(), leaf))
    }

    /// Adds a finding.
    pub fn push(&mut self, found: Diagnostic) {
        self.found.push(found);
    }

    fn accounts(&mut self) {
        if let Some((group, leaf)) = self.text("accounts.admin.group")
            && let Some(problem) = names::group_problem(group)
        {
            self.push(
                Diagnostic::error(problem).at(leaf.at.clone()).expected("a group of its own, e.g. \"pve-admins\""),
            );
        }
        let Some((shell, leaf)) = self.text("accounts.admin.shell") else { return };
        let plain = shell.starts_with('/') && shell.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+".contains(c));
        if !plain {
            let found = Diagnostic::error("a login shell is an absolute path").at(leaf.at.clone());
            self.push(found.expected("e.g. \"/bin/bash\""));
        } else if shell.ends_with("/nologin") || shell.ends_with("/false") || shell.ends_with("/true") {
            let found = Diagnostic::error("administrators could not log in with this shell").at(leaf.at.clone());
            self.push(found.expected("e.g. \"/bin/bash\""));
        }
    }

    fn aging(&mut self) {
        let Some((max, _)) = self.number("password.aging.max-days") else { return };
        for (key, what) in [
            ("min-days", "nobody could change a password before it expires"),
            ("warn-days", "people would be warned from the first day on"),
        ] {
            if let Some((days, leaf)) = self.number(&format!("password.aging.{key}"))
                && days >= max
            {
                let found = Diagnostic::error(format!("{key} {days} is not below max-days {max}: {what}"));
                self.push(found.at(leaf.at.clone()).expected(format!("less than {max}")));
            }
        }
    }

    fn lockout(&mut self) {
        if let Some(leaf) = self.leaf("lockout.pam.even-deny-root").filter(|l| l.value == true) {
            let found = Diagnostic::warning("anybody who reaches port 8006 or 22 can lock root@pam out, and bots do");
            self.push(
                found
                    .at(leaf.at.clone())
                    .help("keep false; root's SSH is closed, and 8006 belongs behind the management networks"),
            );
        }
    }

    fn umask(&mut self) {
        let Some((text, leaf)) = self.text("session.umask.umask") else { return };
        let digits = (3..=4).contains(&text.len()) && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
        let bits = u32::from_str_radix(text, 8).ok().filter(|bits| digits && *bits <= 0o777);
        let found = match bits {
            None => Diagnostic::error("a umask is three octal digits").expected("e.g. \"027\""),
            Some(bits) if bits & 0o700 != 0 => {
                Diagnostic::error("people could not use their own files").expected("a first digit of 0, e.g. \"027\"")
            }
            Some(bits) if bits & 0o002 == 0 => {
                Diagnostic::warning("new files would be writable by everybody").expected("e.g. \"027\"")
            }
            Some(_) => return,
        };
        self.push(found.at(leaf.at.clone()));
    }

    fn notice(&mut self) {
        let Some((text, leaf)) = self.text("session.notice.text") else { return };
        if let Some(problem) = NoticePolicy::problem(text) {
            self.push(Diagnostic::error(problem).at(leaf.at.clone()));
        }
    }

    /// Networks in a profile.
    pub fn networks(&mut self, key: &str) {
        let Some((nets, leaf)) = self.words(key) else { return };
        for (index, text) in nets.into_iter().enumerate() {
            if let Err(problem) = network::parse(text) {
                let mut found = Diagnostic::error(problem.what).at(leaf.item(index));
                found.help.extend(problem.help);
                self.push(found);
            }
        }
    }
}
