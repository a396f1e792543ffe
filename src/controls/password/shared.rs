//! Files that two controls of this family write: both plan the same whole image, with the part of a control that is
//! left out untouched.

use crate::change::Change;
use crate::controls::conf::{self, Syntax, included};
use crate::facts::Facts;
use crate::profile::policy::{HashMethod, Policy};

use super::{aging, hash, history, quality};

/// login.defs(5).
pub const LOGIN_DEFS: &str = "/etc/login.defs";
/// What chpasswd, passwd, sshd and login include.
pub const COMMON_PASSWORD: &str = "/etc/pam.d/common-password";

/// The wanted login.defs: `password.aging` and `password.hash`.
pub fn login_defs(facts: &Facts, policy: &Policy, id: &str) -> Result<Option<Change>, String> {
    let text = conf::text(facts, LOGIN_DEFS)?.ok_or_else(|| format!("{LOGIN_DEFS} is missing"))?;
    let password = &policy.profile.password;
    let mut after = text.to_owned();
    let mut settings = Vec::new();
    if included(policy, "password.aging", password.aging.enabled) {
        settings.extend(aging::to_write(text, &password.aging));
    }
    if included(policy, "password.hash", password.hash.enabled) {
        settings.extend(hash::to_write(text, password.hash.method));
    }
    for (key, value) in &settings {
        after = Syntax::LoginDefs.set(&after, key, value);
    }
    let words: Vec<String> = settings.iter().map(|(key, value)| format!("{key} {value}")).collect();
    conf::write(facts, id, LOGIN_DEFS, after, &format!("defaults for new accounts: {}", words.join(", ")))
}

/// The wanted common-password: arguments of `pam_unix` (`password.hash`) and of our `pam_pwhistory` rule
/// (`password.history`) that were changed by hand. pam-auth-update carries such changes along, so only the file itself
/// can be put right, and only while nothing else in the same run is going to rewrite it.
pub fn common_password(facts: &Facts, policy: &Policy, id: &str) -> Result<Restored, String> {
    let password = &policy.profile.password;
    let with_quality = included(policy, "password.quality", password.quality.enabled);
    let with_history = included(policy, "password.history", password.history.enabled);
    if (with_quality && !quality::in_place(facts)?) || (with_history && !history::in_place(facts)?) {
        return Ok(Restored::Later);
    }
    let text = conf::text(facts, COMMON_PASSWORD)?.ok_or_else(|| format!("{COMMON_PASSWORD} is missing"))?;
    let with_hash = included(policy, "password.hash", password.hash.enabled);
    let mut after = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let mut words = line.split_whitespace();
        let is_rule = words.next() == Some("password");
        if is_rule && with_hash && words.clone().any(|word| word == "pam_unix.so") {
            after.push_str(&hash_argument(line, password.hash.method));
        } else if is_rule && with_history && words.any(|word| word == "pam_pwhistory.so") {
            after.push_str(&history::strengthened(line, &password.history));
        } else {
            after.push_str(line);
        }
    }
    let summary = "put back arguments of PAM rules for new passwords that were changed by hand";
    Ok(Restored::Now(conf::write(facts, id, COMMON_PASSWORD, after, summary)?.into_iter().collect()))
}

/// Whether common-password can be put right in this run.
pub enum Restored {
    /// With this; none when it is as wanted.
    Now(Vec<Change>),
    /// pam-auth-update rewrites it in this run; the next one can.
    Later,
}

/// Replaces the hash method of a `pam_unix` rule where it stands.
fn hash_argument(line: &str, method: HashMethod) -> String {
    let mut out = String::with_capacity(line.len());
    let mut done = false;
    for piece in line.split_inclusive([' ', '\t']) {
        let word = piece.trim_end();
        if !hash::METHODS.contains(&word) {
            out.push_str(piece);
        } else if !done {
            done = true;
            out.push_str(hash::name(method));
            out.push_str(&piece[word.len()..]);
        }
    }
    out
}
