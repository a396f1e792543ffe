//! `password.hash`.

use crate::controls::conf::{self, Syntax, wanted};
use crate::controls::pam;
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::{Facts, PasswordState};
use crate::profile::policy::{HashMethod, Policy};

use super::shared::{self, COMMON_PASSWORD, LOGIN_DEFS, Restored};
use super::{Repair, stack};

/// The control.
pub struct Hash;
/// `password.hash`.
pub const HASH: Hash = Hash;

const ID: &str = "password.hash";
/// `pam_unix`'s arguments that choose a method; the last one counts.
pub const METHODS: [&str; 7] = ["md5", "bigcrypt", "sha256", "sha512", "blowfish", "gost_yescrypt", "yescrypt"];

static META: Meta = Meta {
    id: ID,
    title: "New passwords are stored with a slow, salted hash",
    why: "Whoever gets a copy of /etc/shadow, from a backup for instance, can try passwords at the speed the hash \
          allows. yescrypt needs memory as well as time.",
    checked: "The method pam_unix uses for passwd and chpasswd (its argument in common-password, else ENCRYPT_METHOD), \
              and ENCRYPT_METHOD in /etc/login.defs, which useradd, newusers and chgpasswd use: Debian 12 has SHA512 \
              there and yescrypt in PAM. Stored hashes are named, not changed: only a new password gets a new hash.",
    naive: "Changing login.defs alone changes nothing for passwd: pam_unix's argument wins. Existing hashes stay as \
            they are until the password is changed. Passwords set in PVE's web interface are hashed by PVE itself.",
    references: &[
        Reference::Cis13("5.4.1.4"),
        Reference::Cis12("5.4.1.4"),
        Reference::Man("pam_unix(8)"),
        Reference::Man("login.defs(5)"),
        Reference::Man("crypt(5)"),
    ],
    level: 1,
    severity: Severity::Medium,
};

impl Control for Hash {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.password.hash.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        [LOGIN_DEFS, COMMON_PASSWORD, "/etc/pam.d/passwd"].map(str::to_owned).into()
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }
}

/// `pam_unix`'s name of a method.
pub const fn name(method: HashMethod) -> &'static str {
    match method {
        HashMethod::Yescrypt => "yescrypt",
        HashMethod::Sha512 => "sha512",
    }
}

/// `ENCRYPT_METHOD`, when it differs.
pub fn to_write(login_defs: &str, method: HashMethod) -> Option<(&'static str, String)> {
    let values = Syntax::LoginDefs.values(login_defs, "ENCRYPT_METHOD");
    let good = !values.is_empty() && values.iter().all(|value| value.eq_ignore_ascii_case(name(method)));
    (!good).then(|| ("ENCRYPT_METHOD", name(method).to_uppercase()))
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let method = policy.profile.password.hash.method;
    let mut repair = Repair::default();
    let text = conf::text(facts, LOGIN_DEFS)?.ok_or_else(|| format!("{LOGIN_DEFS} is missing"))?;
    let defs = Syntax::LoginDefs.values(text, "ENCRYPT_METHOD").join(", ");
    let want = wanted(policy, "password.hash.method", name(method));
    let found = if defs.is_empty() { "no ENCRYPT_METHOD (DES)".into() } else { format!("ENCRYPT_METHOD {defs}") };
    repair.evidence.push(Evidence::new(LOGIN_DEFS, found, want.clone()));
    if to_write(text, method).is_some() {
        repair.changes.extend(shared::login_defs(facts, policy, ID)?);
    }
    pam_unix(&mut repair, facts, policy, &want)?;
    stored(&mut repair, facts, method)?;
    Ok(repair.verdict())
}

fn pam_unix(repair: &mut Repair, facts: &Facts, policy: &Policy, want: &str) -> Result<(), String> {
    let method = name(policy.profile.password.hash.method);
    let rules = pam::rules(stack(facts)?, "password");
    let unix = rules.iter().find(|rule| rule.module == "pam_unix.so").ok_or("passwd does not use pam_unix")?;
    let argument = unix.arguments.iter().rev().find(|argument| METHODS.contains(&argument.as_str()));
    let found = argument.map_or_else(|| "no method: ENCRYPT_METHOD".to_owned(), Clone::clone);
    repair.evidence.push(Evidence::new(format!("pam_unix in {}", unix.file), found, want));
    if argument.is_none_or(|argument| argument == method) {
        return Ok(());
    }
    if unix.file != COMMON_PASSWORD {
        repair.advise(format!("set {method} on \"{}\" in {}", pam::line(unix), unix.file));
        return Ok(());
    }
    match shared::common_password(facts, policy, ID)? {
        Restored::Now(change) => repair.changes.extend(change),
        Restored::Later => repair.advise(format!(
            "run apply again: {method} is set on pam_unix in {COMMON_PASSWORD} once pam_pwquality and pam_pwhistory \
             are in the stack"
        )),
    }
    Ok(())
}

/// Hashes that are there: a finding when they are broken, a remark when they are merely older.
fn stored(repair: &mut Repair, facts: &Facts, method: HashMethod) -> Result<(), String> {
    let shadow = facts.accounts.shadow.required("/etc/shadow")?;
    let (mut broken, mut older) = (Vec::new(), Vec::new());
    for (account, line) in shadow {
        let PasswordState::Hash(kind) = &line.password else { continue };
        match (kind.as_str(), method) {
            ("y" | "gy", _) | ("6", HashMethod::Sha512) => {}
            ("5" | "6" | "7" | "2a" | "2b" | "2x" | "2y", _) => older.push(account.as_str()),
            _ => broken.push(account.as_str()),
        }
    }
    if !older.is_empty() {
        let found = format!("older hash, until the password is changed: {}", older.join(", "));
        repair.evidence.push(Evidence { source: "/etc/shadow".into(), found, wanted: None });
    }
    if !broken.is_empty() {
        let names = broken.join(", ");
        let found = format!("hash that can be broken quickly: {names}");
        repair.evidence.push(Evidence { source: "/etc/shadow".into(), found, wanted: None });
        repair.advise(format!("set new passwords: the stored hash is MD5, DES or unknown for {names}"));
    }
    Ok(())
}
