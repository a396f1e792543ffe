//! What a person must look at from time to time: made for cron and for a signature.

use serde::Serialize;

use super::day;
use super::lifetime::{Notes, is_old};
use super::matrix::{Account, Kind};
use crate::profile::policy::{AccessPolicy, end_of};
use crate::pve::names;
use crate::pve::privileges::{ADMINISTRATOR, NO_ACCESS};
use crate::pve::user_cfg::{Grant, UserConfig};

const DAY: u64 = 86_400;

/// One thing to look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Account, right or line.
    pub about: String,
    /// Stable word for it.
    pub kind: &'static str,
    /// What is to be said.
    pub text: String,
}

/// What is reviewed.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// user.cfg.
    pub config: &'a UserConfig,
    /// Its accounts.
    pub accounts: &'a [Account],
    /// Wanted rights and memberships with a last day.
    pub policy: &'a AccessPolicy,
    /// The node's clock, seconds since 1970.
    pub now: u64,
    /// Tokens and accounts that end within so many days are named.
    pub within_days: u32,
}

/// Findings by account.
pub fn review(question: &Question<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = question.accounts.iter().flat_map(|account| of(question, account)).collect();
    found.extend(past(question));
    found.extend(dangling(question.config));
    found.sort();
    found
}

fn of(question: &Question<'_>, account: &Account) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut say = |kind: &'static str, text: String| found.push(Finding { about: account.account.clone(), kind, text });
    expiry(question, account, &mut say);
    match account.kind {
        Kind::Token => token(question, account, &mut say),
        Kind::User if account.account != names::ROOT => user(account, &mut say),
        Kind::User => {}
    }
    factors(account, &mut say);
    found
}

fn expiry(question: &Question<'_>, account: &Account, say: &mut impl FnMut(&'static str, String)) {
    match account.expires {
        Some(at) if at <= question.now => say("expired", format!("ended on {}; it can go", day(at))),
        Some(at) if at <= question.now + u64::from(question.within_days) * DAY => {
            say("expires-soon", format!("ends on {}", day(at)));
        }
        None if account.kind == Kind::Token => say("no-expiry", "a token that never ends".into()),
        _ => {}
    }
}

fn token(question: &Question<'_>, account: &Account, say: &mut impl FnMut(&'static str, String)) {
    let (_, notes) = Notes::split(&account.purpose);
    let most = question.policy.tokens.max_days;
    if let Some(from) = notes.secret_from().filter(|_| is_old(&notes, most, question.now)) {
        say(
            "old",
            format!("its secret is of {from}, more than {most} days ago; `pve-harden token rotate` gives it a new one"),
        );
    }
    if account.account.starts_with("root@pam!") {
        say("root-token", "root's token skips second factors, and nothing limits its user".into());
    }
    if account.separated == Some(false) {
        say("not-separated", "has every right of its user".into());
    } else if account.grants.is_empty() {
        say("owns-nothing", "a separated token without a right can do nothing".into());
    }
}

fn user(account: &Account, say: &mut impl FnMut(&'static str, String)) {
    let rights = account.grants.iter().filter(|held| held.role != NO_ACCESS).count();
    if rights == 0 {
        say("owns-nothing", "has no right of its own or by a group".into());
    }
    if !account.enabled && (rights > 0 || !account.tokens.is_empty()) {
        say("inactive", "is disabled and still has rights or tokens".into());
    }
    for held in account.grants.iter().filter(|held| held.path == "/" || held.role == ADMINISTRATOR) {
        let via = held.via.as_ref().map(|group| format!(" through {group}")).unwrap_or_default();
        let kind = if held.role == ADMINISTRATOR { "administrator" } else { "grant-at-root" };
        say(kind, format!("has {} on {}{via}", held.role, held.path));
    }
}

fn factors(account: &Account, say: &mut impl FnMut(&'static str, String)) {
    let Some(factors) = account.second_factors.as_ref().filter(|_| account.enabled) else { return };
    if factors.keys().all(|kind| kind == "recovery") {
        let tokens = if account.tokens.is_empty() { "" } else { "; a service account without a password needs none" };
        say("no-second-factor", format!("has no second factor{tokens}"));
    }
}

/// Temporary rights and memberships whose last day is over and that are still there.
fn past(question: &Question<'_>) -> Vec<Finding> {
    let is_over = |until: &str| end_of(until).is_ok_and(|end| end != 0 && end <= question.now);
    let mut found = Vec::new();
    for acl in question.policy.acl.iter().filter(|acl| acl.until.as_deref().is_some_and(is_over)) {
        let path = names::normalized(&acl.path).unwrap_or_default();
        for subject in acl.subjects() {
            let grant = Grant { path: path.clone(), subject: subject.clone(), role: acl.role.clone() };
            if question.config.acl.contains_key(&grant) {
                let until = acl.until.as_deref().unwrap_or_default();
                let text = format!("{} on {path} was until {until}; the next apply takes it away", acl.role);
                found.push(Finding { about: subject, kind: "over", text });
            }
        }
    }
    for user in &question.policy.user {
        for membership in user.temporary_groups.iter().filter(|membership| is_over(&membership.until)) {
            let there = question.config.groups.get(&membership.group);
            if there.is_some_and(|group| group.members.contains(&user.id)) {
                let text = format!(
                    "is in {} since {} is over; the next apply takes it away",
                    membership.group, membership.until
                );
                found.push(Finding { about: user.id.clone(), kind: "over", text });
            }
        }
    }
    found
}

fn dangling(config: &UserConfig) -> Vec<Finding> {
    let gone = config.acl.keys().filter(|grant| !config.exists(&grant.subject));
    gone.map(|Grant { path, subject, role }| Finding {
        about: subject.clone(),
        kind: "waits-for-a-name",
        text: format!("does not exist and has {role} on {path}: whoever makes it gives that away"),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pve::privileges::Catalogue;
    use crate::pve::user_cfg::parse;

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn everything_that_is_wrong_is_said_once() {
        let config = parse(
            "user:root@pam:1:0::::::\ntoken:root@pam!all:0:0::\nuser:adm@pve:1:0::::::\nuser:old@pve:1:1700000000::::::\n\
             user:off@pve:0:0::::::\nuser:svc@pve:1:0::::::\ntoken:svc@pve!soon:1800086400:1::\ntoken:svc@pve!late:1900000000:1:CI; owner x [made 2026-06-01]:\n\
             group:admins:adm@pve::\nacl:1:/:@admins:Administrator:\nacl:1:/:svc@pve:PVEAuditor:\n\
             acl:1:/vms:off@pve:PVEVMUser:\nacl:1:/vms:svc@pve!late:PVEAuditor:\nacl:1:/vms:@gone:PVEVMAdmin:\n",
            Catalogue::of(9),
        );
        let factors = [("adm@pve".to_owned(), [("totp".to_owned(), 1)].into())].into();
        let accounts = crate::access::matrix::matrix(&config, Some(&factors));
        let policy = crate::profile::policy::Policy::from_embedded("baseline", crate::profile::policy::Site::default());
        let policy = policy.unwrap().profile.access;
        let question = Question { config: &config, accounts: &accounts, policy: &policy, now: NOW, within_days: 30 };
        let found = review(&question);
        let found: Vec<(&str, &str)> = found.iter().map(|finding| (finding.about.as_str(), finding.kind)).collect();
        assert_eq!(
            found,
            [
                ("@gone", "waits-for-a-name"),
                ("adm@pve", "administrator"),
                ("off@pve", "inactive"),
                ("old@pve", "expired"),
                ("old@pve", "no-second-factor"),
                ("old@pve", "owns-nothing"),
                ("root@pam", "no-second-factor"),
                ("root@pam!all", "no-expiry"),
                ("root@pam!all", "not-separated"),
                ("root@pam!all", "root-token"),
                ("svc@pve", "grant-at-root"),
                ("svc@pve", "no-second-factor"),
                ("svc@pve!late", "old"),
                ("svc@pve!soon", "expires-soon"),
                ("svc@pve!soon", "owns-nothing"),
            ]
        );
    }
}
