//! `session.umask`.

use crate::controls::conf::{self, Syntax, wanted};
use crate::controls::pam::{self, Answer, Managed, walk};
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::{Facts, PamRule, PamStack};
use crate::profile::policy::Policy;

use super::shells;

/// The control.
pub struct Umask;
/// `session.umask`.
pub const UMASK: Umask = Umask;

const ID: &str = "session.umask";
const PATH: &str = "/etc/profile.d/pve-harden-umask.sh";
const PROFILE: &str = "pve-harden-root-umask";
const PROFILE_PATH: &str = "/usr/share/pam-configs/pve-harden-root-umask";
/// For everybody but root the second rule is jumped over. It comes after Debian 13's own `pam_umask`, so it wins.
const PROFILE_TEXT: &str = "Name: pve-harden: root's sessions keep umask 022\nDefault: no\nPriority: 0\n\
                            Session-Type: Additional\nSession:\n\
                            \t[success=1 default=ignore] pam_succeed_if.so quiet uid ne 0\n\
                            \toptional pam_umask.so umask=0022\n";
/// Ways in which a person's shell becomes root's, and in which root works.
const SERVICES: [&str; 5] = ["sudo", "su", "sshd", "login", "cron"];
/// What root must not be denied by: group and others may read.
const ROOT: u32 = 0o022;

static META: Meta = Meta {
    id: ID,
    title: "Files people make are not for everybody; root keeps umask 022",
    why: "Keys, dumps and configurations land in home directories and /tmp. root is the exception on PVE: the root \
          directory of a container made under 027 is 0750, and the container does not start.",
    checked: "Our file in /etc/profile.d and the line in /etc/bash.bashrc that makes bash read it; the PAM session \
              rules of sudo, su, sshd, login and cron, played through for root: the umask must be set to 022; other \
              umask lines in shell start files, and `umask` in sudoers.",
    naive: "UMASK 027 in login.defs reaches root on Debian 13, where pam_umask is part of every session, cron and \
            sudo included; umask 027 in /etc/profile reaches root's console. sudo does not save it: its umask 0022 \
            is a union with the caller's, so `sudo pct create` from a 027 shell works under 027, and plain `su` \
            keeps it as it is. Debian 13 gives people 002 (USERGROUPS_ENAB) unless their shell says otherwise.",
    references: &[
        Reference::Cis13("5.4.3.3"),
        Reference::Cis12("5.4.3.3"),
        Reference::Man("pam_umask(8)"),
        Reference::Man("sudoers(5)"),
        Reference::Source("community-scripts/ProxmoxVE, LXC creation under umask 027"),
    ],
    level: 1,
    severity: Severity::Low,
};

impl Control for Umask {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.session.umask.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        let mut paths = shells::reads();
        paths.extend([PATH, PROFILE_PATH, "/etc/login.defs", "/etc/sudoers", "/etc/sudoers.d/*"].map(str::to_owned));
        paths.extend(SERVICES.map(|service| format!("/etc/pam.d/{service}")));
        paths.extend(pam::files());
        paths
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        let umask = &policy.profile.session.umask.umask;
        if octal(umask).is_none() {
            return Verdict::refused(format!(
                "session.umask: \"{}\" is no umask; write three octal digits, e.g. \"027\"",
                umask.escape_debug()
            ));
        }
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }
}

fn octal(text: &str) -> Option<u32> {
    let digits = (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    digits.then(|| u32::from_str_radix(text, 8).ok()).flatten().filter(|mask| *mask <= 0o777)
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let umask = &policy.profile.session.umask.umask;
    let script = shells::script(include_str!("umask.sh")).replace("@UMASK@", umask);
    let found = match conf::text(facts, PATH)? {
        None => "not there",
        Some(text) if text == script => "as written by this tool",
        Some(_) => "changed",
    };
    let want = wanted(policy, "session.umask.umask", format!("umask {umask} in interactive shells of people"));
    let mut evidence = vec![Evidence::new(PATH, found, want)];
    let mut changes = Vec::new();
    let mut advice = Vec::new();
    root_sessions(facts, &mut evidence, &mut changes, &mut advice)?;
    changes.extend(conf::own(facts, ID, PATH, &script, &format!("umask {umask} for people's shells"))?);
    changes.extend(shells::hook(facts, ID)?);
    advice.extend(shells::unread(facts)?);
    elsewhere(facts, &mut evidence, &mut advice)?;
    let advice = (!advice.is_empty()).then(|| advice.join("; "));
    Ok(Verdict::outcome(changes, advice, evidence))
}

/// Plays the sessions through as root.
fn root_sessions(
    facts: &Facts,
    evidence: &mut Vec<Evidence>,
    changes: &mut Vec<crate::change::Change>,
    advice: &mut Vec<String>,
) -> Result<(), String> {
    let login_defs = conf::text(facts, "/etc/login.defs")?.unwrap_or_default();
    let mut gap = false;
    for service in SERVICES {
        let Some((stack, "")) = pam::service(facts, service)? else { continue };
        let mask = of_root(stack, login_defs);
        gap |= mask.is_none_or(|mask| mask & !ROOT != 0);
        let found = mask.map_or_else(|| "the caller's".to_owned(), |mask| format!("{mask:03o}"));
        evidence.push(Evidence::new(format!("PAM service {service}, umask of root's session"), found, "022"));
    }
    if !gap {
        return Ok(());
    }
    let enabled = match pam::managed(facts)? {
        Managed::Yes(enabled) => enabled,
        Managed::No(why) => {
            let by_hand = "\"session [success=1 default=ignore] pam_succeed_if.so quiet uid ne 0\" and \"session \
                           optional pam_umask.so umask=0022\" at the end of common-session and \
                           common-session-noninteractive";
            advice.push(Managed::advice(&why, by_hand));
            return Ok(());
        }
    };
    let file = conf::own(facts, ID, PROFILE_PATH, PROFILE_TEXT, "PAM profile: root's sessions keep umask 022")?;
    if file.is_none() && enabled.contains(PROFILE) {
        advice.push("root's sessions do not get umask 022 although the profile is enabled: look at /etc/pam.d".into());
        return Ok(());
    }
    changes.extend(file);
    changes.push(pam::enable(ID, "root's sessions keep umask 022, whoever starts them", &[PROFILE], Vec::new()));
    Ok(())
}

/// The umask that the last `pam_umask` gives root; `None` when nothing sets one.
fn of_root(stack: &PamStack, login_defs: &str) -> Option<u32> {
    let rules = pam::rules(stack, "session");
    let ran = walk(&rules, |rule| match rule.module.as_str() {
        "pam_succeed_if.so" if rule.arguments.ends_with(&["uid", "ne", "0"].map(str::to_owned)) => Answer::Failure,
        "pam_deny.so" => Answer::Failure,
        _ => Answer::Success,
    })
    .ran;
    let masks = ran.iter().map(|at| rules[*at]).filter(|rule| rule.module == "pam_umask.so");
    masks.filter_map(|rule| mask(rule, login_defs)).next_back()
}

/// The rule's own argument, else UMASK in login.defs, where PAM takes the first line.
fn mask(rule: &PamRule, login_defs: &str) -> Option<u32> {
    let text = pam::argument(rule, "umask");
    text.or_else(|| Syntax::LoginDefs.values(login_defs, "UMASK").first().copied())
        .and_then(|text| u32::from_str_radix(text, 8).ok())
}

/// umask lines that reach everybody, and sudo's own.
fn elsewhere(facts: &Facts, evidence: &mut Vec<Evidence>, advice: &mut Vec<String>) -> Result<(), String> {
    let others = shells::others(facts)?;
    for (path, line) in shells::lines(&others, |line| line.split_whitespace().next() == Some("umask")) {
        evidence.push(Evidence::new(path, line, "no umask for everybody, root included"));
        advice.push(format!("take \"{}\" out of {path}: it is for root, too", line.escape_debug()));
    }
    let sudoers = facts.files.keys().filter(|path| *path == "/etc/sudoers" || path.starts_with("/etc/sudoers.d/"));
    for path in sudoers.filter(|path| !path.contains('*')) {
        let text = conf::text(facts, path)?.unwrap_or_default();
        for line in text.lines().map(str::trim).filter(|line| line.starts_with("Defaults")) {
            let masks = line.split([',', ' ', '\t']).filter_map(|word| word.strip_prefix("umask="));
            if masks.filter_map(|mask| u32::from_str_radix(mask, 8).ok()).any(|mask| mask & !ROOT != 0) {
                evidence.push(Evidence::new(path, line, "no umask stricter than 022"));
                advice.push(format!("take umask out of \"{}\" in {path}: it holds for root", line.escape_debug()));
            }
        }
    }
    Ok(())
}
