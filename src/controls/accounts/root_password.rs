//! `accounts.root-password`.

use crate::controls::{Control, Evidence, Meta, Reference, Severity, Status, Verdict};
use crate::facts::{Facts, PasswordState, Shadow, User};
use crate::profile::policy::Policy;

use super::day;

/// The control.
pub const ROOT_PASSWORD: RootPassword = RootPassword;

/// `accounts.root-password`.
pub struct RootPassword;

const META: Meta = Meta {
    id: "accounts.root-password",
    title: "root has a password of known age and is never locked",
    why: "When the network, /etc/pve or sshd is broken, root's password at the console or the BMC is the way in that is \
          left. It also opens the web interface as root@pam, so it should be strong, kept in a safe, and not eternal.",
    checked: "root's line in /etc/shadow (kind of password, age, expiry; the hash stays on the node) and root's shell. \
              Nothing is changed: a new password belongs into your safe first.",
    naive: "Locking root, as guides for other systems say, takes away single-user mode, the console of a node without \
            quorum and root@pam in the web interface. An expiry date does the same on a day nobody remembers.",
    references: &[
        Reference::Guide("2.1.4"),
        Reference::Cis13("5.4.2.4"),
        Reference::Cis12("5.4.2.4"),
        Reference::Man("shadow(5)"),
        Reference::Man("sulogin(8)"),
    ],
    level: 1,
    severity: Severity::High,
};

const SOURCE: &str = "/etc/shadow, root";

impl Control for RootPassword {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.accounts.root_password.enabled
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        vec!["/etc/passwd".into(), "/etc/shadow".into()]
    }
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let shadow = facts.accounts.shadow.required("/etc/shadow")?;
    let users = facts.accounts.users.required("/etc/passwd")?;
    let today = day(*facts.taken.required("the node's clock")?);
    let shadow = shadow.get("root").ok_or("root has no line in /etc/shadow")?;
    let user = users.get("root").ok_or("root has no line in /etc/passwd")?;
    let limit = i64::from(policy.profile.accounts.root_password.max_age_days);
    let wanted_age = match policy.origin("accounts.root-password.max-age-days") {
        Some(origin) => format!("at most {limit} days old ({origin})"),
        None => format!("at most {limit} days old"),
    };
    let mut findings: Vec<(Evidence, &str)> = Vec::new();
    let mut evidence = Vec::new();
    for (problem, advice) in [usable(shadow), expiry(shadow), shell(user)].into_iter().flatten() {
        findings.push((problem, advice));
    }
    match shadow.last_change.filter(|day| *day > 0).map(|day| today - day) {
        Some(age) if age <= limit => {
            evidence.push(Evidence::new(SOURCE, format!("a password, {age} days old"), wanted_age));
        }
        Some(age) => findings.push((
            Evidence::new(SOURCE, format!("the password is {age} days old"), wanted_age),
            "set a new one with `passwd` on the node and put it into the safe",
        )),
        None => findings.push((
            Evidence::new(SOURCE, "the day of the last change is unknown", wanted_age),
            "set a new one with `passwd` on the node and put it into the safe",
        )),
    }
    if findings.is_empty() {
        return Ok(Verdict::compliant(evidence));
    }
    let mut advice: Vec<&str> = findings.iter().map(|(_, advice)| *advice).collect();
    advice.dedup();
    let advice = advice.join("; ");
    evidence.extend(findings.into_iter().map(|(evidence, _)| evidence));
    Ok(Verdict { status: Status::Differs { changes: Vec::new(), advice: Some(advice) }, evidence })
}

type Finding = Option<(Evidence, &'static str)>;

fn usable(shadow: &Shadow) -> Finding {
    let (found, advice) = match shadow.password {
        PasswordState::Hash(_) => return None,
        PasswordState::Locked(_) => ("the password is locked", "unlock root with `passwd -u root`"),
        PasswordState::None => ("no password can match", "set one with `passwd` on the node"),
        PasswordState::Empty => ("empty: nobody is asked for a password", "set one with `passwd` on the node, now"),
    };
    Some((Evidence::new(SOURCE, found, "a usable password"), advice))
}

fn expiry(shadow: &Shadow) -> Finding {
    if let Some(expires) = shadow.expires.filter(|day| *day >= 0) {
        let found = format!("the account expires on day {expires} since 1970");
        return Some((Evidence::new(SOURCE, found, "never"), "let root never expire: `chage -E -1 root`"));
    }
    // shadow(5): 99999 days is Debian's way to say never.
    let max = shadow.max_days.filter(|days| (0..10_000).contains(days))?;
    let found = format!("the password expires after {max} days");
    Some((
        Evidence::new(SOURCE, found, "never; its age is a finding"),
        "let root's password not expire: `chage -M 99999 root`",
    ))
}

fn shell(user: &User) -> Finding {
    if !["/nologin", "/false"].iter().any(|end| user.shell.ends_with(end)) {
        return None;
    }
    let evidence = Evidence::new("/etc/passwd, root", format!("shell {}", user.shell), "a login shell");
    Some((evidence, "give root its shell back: `usermod -s /bin/bash root`"))
}
