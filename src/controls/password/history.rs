//! `password.history`.

use crate::controls::conf::{self, Syntax, wanted};
use crate::controls::pam::{self, Managed};
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::{Facts, PamRule};
use crate::profile::policy::{HistoryPolicy, Policy};

use super::shared::{self, Restored};
use super::{Repair, decides, stack};

/// The control.
pub struct History;
/// `password.history`.
pub const HISTORY: History = History;

const ID: &str = "password.history";
const MODULE: &str = "pam_pwhistory.so";
const PROFILE: &str = "pve-harden-pwhistory";
const PROFILE_PATH: &str = "/usr/share/pam-configs/pve-harden-pwhistory";
/// Read by PAM 1.5.3 and later, so on Debian 13 but not on 12. The profile's arguments work on both.
const CONF: &str = "/etc/security/pwhistory.conf";
const OLD_PASSWORDS: &str = "/etc/security/opasswd";
/// `remember` when nothing is said.
const DEFAULT: u32 = 10;
/// Modules that ask for the new password, so that a later one may take it over.
const ASKING: [&str; 4] = ["pam_pwquality.so", "pam_cracklib.so", "pam_passwdqc.so", "pam_unix.so"];

static META: Meta = Meta {
    id: ID,
    title: "Old passwords do not come back (pam_pwhistory)",
    why: "A password that leaked once stays known. Without a history, whoever is made to change it changes it back.",
    checked: "The PAM stack of passwd, played through with a password that pam_pwhistory refuses; its `remember` and \
              `enforce_for_root` (the rule's arguments, on Debian 13 also pwhistory.conf); who may read \
              /etc/security/opasswd.",
    naive: "pam_pwhistory with use_authtok and nothing before it that asks for the password makes passwd fail for \
            everybody (\"Authentication token manipulation error\"); without use_authtok behind pam_pwquality people \
            type the password four times. /etc/security/pwhistory.conf does not exist for Debian 12's PAM: settings \
            there are never read. Passwords set in PVE's web interface go past PAM (usermod -p).",
    references: &[
        Reference::Cis13("5.3.3.3"),
        Reference::Cis12("5.3.3.3"),
        Reference::Man("pam_pwhistory(8)"),
        Reference::Man("pam-auth-update(8)"),
    ],
    level: 1,
    severity: Severity::Low,
};

impl Control for History {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.password.history.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        let mut paths: Vec<String> = [PROFILE_PATH, CONF, OLD_PASSWORDS, "/etc/pam.d/passwd"].map(str::to_owned).into();
        paths.extend(pam::files());
        paths
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }
}

/// Whether `pam_pwhistory` has its place in the stack already.
pub fn in_place(facts: &Facts) -> Result<bool, String> {
    let rules = pam::rules(stack(facts)?, "password");
    let found = decides(&rules, MODULE);
    Ok(found.refuses && found.accepts && gets_a_password(&rules))
}

/// It must stand above `pam_unix`, and with `use_authtok` somebody above it must have asked.
fn gets_a_password(rules: &[&PamRule]) -> bool {
    let Some(at) = rules.iter().position(|rule| rule.module == MODULE) else { return false };
    let stored_later = rules[at..].iter().any(|rule| rule.module == "pam_unix.so");
    let asks =
        !pam::flag(rules[at], "use_authtok") || rules[..at].iter().any(|rule| ASKING.contains(&rule.module.as_str()));
    stored_later && asks
}

/// Between pwquality (1024) and unix (256). When pwquality is not there, pam-auth-update takes the second form.
fn profile(want: &HistoryPolicy) -> String {
    let root = if want.enforce_for_root { " enforce_for_root" } else { "" };
    let remember = want.remember;
    format!(
        "Name: pve-harden: refuse old passwords\nDefault: no\nPriority: 512\nPassword-Type: Primary\nPassword:\n\
         \trequisite {MODULE} use_authtok remember={remember}{root}\nPassword-Initial:\n\
         \trequisite {MODULE} remember={remember}{root}\n"
    )
}

/// What a rule remembers, and whether root is asked, too.
struct Effective {
    remember: u32,
    enforce_for_root: bool,
}

impl Effective {
    fn of(rule: &PamRule, conf: &str) -> Self {
        let number = |text: &str| text.parse().ok();
        let in_file = Syntax::Pam.values(conf, "remember").last().and_then(|value| number(value));
        let remember = pam::argument(rule, "remember").and_then(number).or(in_file).unwrap_or(DEFAULT);
        let in_file = !Syntax::Pam.values(conf, "enforce_for_root").is_empty();
        Self { remember, enforce_for_root: in_file || pam::flag(rule, "enforce_for_root") }
    }

    fn good(&self, want: &HistoryPolicy) -> bool {
        self.remember >= want.remember && (self.enforce_for_root || !want.enforce_for_root)
    }
}

/// A `pam_pwhistory` line of common-password with the arguments the policy asks for.
pub fn strengthened(line: &str, want: &HistoryPolicy) -> String {
    let mut out = String::with_capacity(line.len());
    let (mut remembers, mut root) = (false, !want.enforce_for_root);
    for piece in line.split_inclusive([' ', '\t']) {
        let word = piece.trim_end();
        root |= word == "enforce_for_root";
        let Some(number) = word.strip_prefix("remember=") else {
            out.push_str(piece);
            continue;
        };
        remembers = true;
        let number = number.parse().unwrap_or(0).max(want.remember);
        out.extend(["remember=", &number.to_string(), &piece[word.len()..]]);
    }
    let tail = out.split_off(out.trim_end().len());
    if !remembers {
        out.extend([" remember=", &want.remember.to_string()]);
    }
    if !root {
        out.push_str(" enforce_for_root");
    }
    out + &tail
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let want = &policy.profile.password.history;
    let conf = conf::text(facts, CONF)?.filter(|_| reads_conf(facts)).unwrap_or_default();
    let rules = pam::rules(stack(facts)?, "password");
    let mut repair = Repair::default();
    let good = in_place(facts)?;
    let found = if good { "an old password is not stored" } else { "old passwords are not refused" };
    let place = wanted(policy, "password.history.enabled", "pam_pwhistory decides");
    repair.evidence.push(Evidence::new("PAM service passwd", found, place));
    let rule = rules.iter().find(|rule| rule.module == MODULE);
    let mut strong = true;
    if let Some(rule) = rule {
        let effective = Effective::of(rule, conf);
        strong = effective.good(want);
        let root = if effective.enforce_for_root { ", enforce_for_root" } else { "" };
        let root_too = if want.enforce_for_root { ", enforce_for_root" } else { "" };
        let words =
            wanted(policy, "password.history.remember", format!("remember at least {}{root_too}", want.remember));
        let source = format!("{} in {}", pam::line(rule), rule.file);
        repair.evidence.push(Evidence::new(source, format!("remember {}{root}", effective.remember), words));
    }
    if !good || !strong {
        install(&mut repair, facts, policy, good)?;
    }
    old_passwords(&mut repair, facts)?;
    Ok(repair.verdict())
}

/// Whether this node's PAM knows pwhistory.conf.
fn reads_conf(facts: &Facts) -> bool {
    facts.pve.known().is_some_and(|pve| pve.debian >= 13)
}

fn install(repair: &mut Repair, facts: &Facts, policy: &Policy, in_place: bool) -> Result<(), String> {
    let want = &policy.profile.password.history;
    let enabled = match pam::managed(facts)? {
        Managed::Yes(enabled) => enabled,
        Managed::No(why) => {
            let by_hand = "\"requisite pam_pwhistory.so use_authtok\" between pam_pwquality and pam_unix";
            repair.advise(Managed::advice(&why, by_hand));
            return Ok(());
        }
    };
    let file = conf::own(facts, ID, PROFILE_PATH, &profile(want), "PAM profile: refuse old passwords")?;
    let rivals = pam::rivals(facts, "password", MODULE, &[PROFILE])?;
    if in_place && file.is_none() && rivals.is_empty() && enabled.contains(PROFILE) {
        match shared::common_password(facts, policy, ID)? {
            Restored::Now(change) => repair.changes.extend(change),
            Restored::Later => repair.advise("run apply again: the arguments of pam_pwhistory were changed by hand"),
        }
        return Ok(());
    }
    repair.changes.extend(file);
    let summary = format!("refuse the last {} passwords of an account", want.remember);
    repair.changes.push(pam::enable(ID, &summary, &[PROFILE], rivals));
    Ok(())
}

fn old_passwords(repair: &mut Repair, facts: &Facts) -> Result<(), String> {
    let fact = facts.file(OLD_PASSWORDS).certain().map_err(|why| format!("{OLD_PASSWORDS}: {why}"))?;
    let Some(fact) = fact else { return Ok(()) };
    let found = format!("{:04o} {}:{}", fact.mode, fact.owner, fact.group);
    repair.evidence.push(Evidence::new(OLD_PASSWORDS, found, "0600 root:root"));
    if fact.mode & 0o077 != 0 || fact.owner != "root" {
        repair.advise(format!("{OLD_PASSWORDS} holds password hashes: chown root:root, chmod 600"));
    }
    Ok(())
}
