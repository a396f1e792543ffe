//! `password.aging`.

use crate::change::{Action, Change, Stage};
use crate::controls::conf::{self, Syntax, wanted};
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::{Facts, PasswordState, Shadow};
use crate::profile::policy::{Admin, AgingPolicy, Policy};

use super::Repair;
use super::shared::{self, LOGIN_DEFS};

/// The control.
pub struct Aging;
/// `password.aging`.
pub const AGING: Aging = Aging;

const ID: &str = "password.aging";
const USERADD: &str = "/etc/default/useradd";
/// shadow(5): 99999 days and more mean "never".
const NEVER: i64 = 99_999;

static META: Meta = Meta {
    id: ID,
    title: "Administrators' passwords expire; nobody else's does",
    why: "A password that is never changed is one day known to somebody who left.",
    checked: "PASS_MAX_DAYS, PASS_MIN_DAYS and PASS_WARN_AGE in /etc/login.defs and INACTIVE in /etc/default/useradd, \
              which new accounts get; /etc/shadow for the site's administrators. root, service accounts and people \
              the site does not name are not touched.",
    naive: "Expiry does not ask how somebody logs in: PAM's account check makes sshd refuse a key login when the \
            password has expired, and after the inactive days even an interactive change is refused. So administrators, \
            whose only way over the network is a key, get no inactive days: an expired password can still be changed \
            at an interactive login. An account with keys and no password gets PASS_MAX_DAYS from useradd, too, and is locked out when they are over; so \
            administrators without a password get no maximum. Setting a maximum on a password older than that locks \
            out at once. On Debian 12 an empty date of the last change counts as expired. An expired root cannot be \
            used in a rescue, an expired service account stops its cron jobs.",
    references: &[
        Reference::Cis13("5.4.1"),
        Reference::Cis12("5.4.1"),
        Reference::Man("login.defs(5)"),
        Reference::Man("shadow(5)"),
        Reference::Man("chage(1)"),
    ],
    level: 1,
    severity: Severity::Low,
};

impl Control for Aging {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.password.aging.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        [LOGIN_DEFS, USERADD].map(str::to_owned).into()
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        let want = &policy.profile.password.aging;
        if want.max_days == 0 || want.min_days >= want.max_days {
            return Verdict::refused(
                "password.aging: min-days must be less than max-days, or a password expires before it may be changed",
            );
        }
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }
}

/// Keys of login.defs that differ. A smaller maximum, a larger minimum or warning stay.
pub fn to_write(login_defs: &str, want: &AgingPolicy) -> Vec<(&'static str, String)> {
    let (max, min, warn) = (i64::from(want.max_days), i64::from(want.min_days), i64::from(want.warn_days));
    let good = |key: &str, test: &dyn Fn(i64) -> bool| {
        let values = Syntax::LoginDefs.values(login_defs, key);
        !values.is_empty() && values.iter().all(|value| value.parse().is_ok_and(test))
    };
    let checks = [
        ("PASS_MAX_DAYS", good("PASS_MAX_DAYS", &|days| days > 0 && days <= max), max),
        ("PASS_MIN_DAYS", good("PASS_MIN_DAYS", &|days| days >= min && days < max), min),
        ("PASS_WARN_AGE", good("PASS_WARN_AGE", &|days| days >= warn), warn),
    ];
    checks.into_iter().filter(|(_, good, _)| !good).map(|(key, _, value)| (key, value.to_string())).collect()
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let mut repair = Repair::default();
    defaults(&mut repair, facts, policy)?;
    let shadow = facts.accounts.shadow.required("/etc/shadow")?;
    let today = facts.taken.required("the node's clock")?.as_second().div_euclid(86_400);
    for admin in &policy.site.admins {
        person(&mut repair, facts, policy, admin, shadow.get(&admin.name), today)?;
    }
    Ok(repair.verdict())
}

fn defaults(repair: &mut Repair, facts: &Facts, policy: &Policy) -> Result<(), String> {
    let want = &policy.profile.password.aging;
    let text = conf::text(facts, LOGIN_DEFS)?.ok_or_else(|| format!("{LOGIN_DEFS} is missing"))?;
    let wanted_days = [
        ("PASS_MAX_DAYS", "password.aging.max-days", format!("1 to {}", want.max_days)),
        ("PASS_MIN_DAYS", "password.aging.min-days", format!("at least {}", want.min_days)),
        ("PASS_WARN_AGE", "password.aging.warn-days", format!("at least {}", want.warn_days)),
    ];
    for (key, origin, words) in wanted_days {
        let found = Syntax::LoginDefs.values(text, key).join(", ");
        let found = if found.is_empty() { format!("{key} not set") } else { format!("{key} {found}") };
        repair.evidence.push(Evidence::new(LOGIN_DEFS, found, wanted(policy, origin, words)));
    }
    if !to_write(text, want).is_empty() {
        repair.changes.extend(shared::login_defs(facts, policy, ID)?);
    }
    let text = conf::text(facts, USERADD)?.unwrap_or_default();
    let inactive = Syntax::Shell.values(text, "INACTIVE").last().map(|value| value.trim_matches(['"', '\'']));
    let most = i64::from(want.inactive_days);
    let good = inactive.and_then(|value| value.parse::<i64>().ok()).is_some_and(|days| (0..=most).contains(&days));
    let found = inactive.map_or_else(|| "INACTIVE not set (never)".to_owned(), |value| format!("INACTIVE {value}"));
    let words = wanted(policy, "password.aging.inactive-days", format!("0 to {most}"));
    repair.evidence.push(Evidence::new(USERADD, found, words));
    if !good {
        let after = Syntax::Shell.set(text, "INACTIVE", &most.to_string());
        let summary = format!("disable new accounts {most} days after their password expired");
        repair.changes.extend(conf::write(facts, ID, USERADD, after, &summary)?);
    }
    Ok(())
}

/// One administrator of the site.
fn person(
    repair: &mut Repair,
    facts: &Facts,
    policy: &Policy,
    admin: &Admin,
    shadow: Option<&Shadow>,
    today: i64,
) -> Result<(), String> {
    let managed = conf::included(policy, "accounts.admin", policy.profile.accounts.admin.enabled);
    let Some(shadow) = shadow else {
        // The account is about to be made: useradd copies what login.defs says now.
        let finite = finite_default(facts)?;
        if managed && (admin.password.is_some() || finite) {
            repair.changes.push(aging(policy, admin, admin.password.is_some().then_some(-1)));
        }
        return Ok(());
    };
    let source = format!("/etc/shadow, {}", admin.name);
    match shadow.password {
        PasswordState::Hash(_) => with_password(repair, policy, admin, shadow, today),
        // The account gets its password in this run, and with it today's date.
        _ if managed && admin.password.is_some() => {
            repair.changes.push(aging(policy, admin, Some(shadow.inactive_days.unwrap_or(-1))));
        }
        PasswordState::Locked(_) => {
            repair.evidence.push(Evidence { source, found: "password is locked".into(), wanted: None });
        }
        PasswordState::None | PasswordState::Empty => {
            let found = days(shadow);
            let want = "no maximum: without a password an expiry would only refuse the keys";
            repair.evidence.push(Evidence::new(source, format!("no password, {found}"), want));
            if expires(shadow) {
                repair.changes.push(aging(policy, admin, None));
            }
        }
    }
    Ok(())
}

fn with_password(repair: &mut Repair, policy: &Policy, admin: &Admin, shadow: &Shadow, today: i64) {
    let want = &policy.profile.password.aging;
    let (max, min, warn) = (i64::from(want.max_days), i64::from(want.min_days), i64::from(want.warn_days));
    let good = shadow.max_days.is_some_and(|days| days > 0 && days <= max)
        && shadow.min_days.unwrap_or(0) >= min
        && shadow.warn_days.unwrap_or(0) >= warn;
    let words = format!("maximum {max}, minimum {min}, warning {warn}");
    let source = format!("/etc/shadow, {}", admin.name);
    repair.evidence.push(Evidence::new(source, days(shadow), wanted(policy, "password.aging.max-days", words)));
    if good {
        return;
    }
    match shadow.last_change {
        Some(day) if day > 0 && today - day < max => {
            repair.changes.push(aging(policy, admin, Some(shadow.inactive_days.unwrap_or(-1))));
        }
        _ => repair.advise(format!(
            "{name} should set a new password (passwd {name}) and then run again: the present one is older than {max} \
             days or of unknown age, and a maximum would refuse {name}'s key logins at once",
            name = admin.name
        )),
    }
}

fn expires(shadow: &Shadow) -> bool {
    shadow.max_days.is_some_and(|days| (0..NEVER).contains(&days))
}

fn days(shadow: &Shadow) -> String {
    let number = |days: Option<i64>| days.map_or_else(|| "none".to_owned(), |days| days.to_string());
    format!(
        "maximum {}, minimum {}, warning {}, inactive {}",
        number(shadow.max_days),
        number(shadow.min_days),
        number(shadow.warn_days),
        number(shadow.inactive_days)
    )
}

/// Whether a new account would get a maximum.
fn finite_default(facts: &Facts) -> Result<bool, String> {
    let text = conf::text(facts, LOGIN_DEFS)?.unwrap_or_default();
    let days = Syntax::LoginDefs.values(text, "PASS_MAX_DAYS");
    Ok(days.last().and_then(|days| days.parse::<i64>().ok()).is_some_and(|days| (0..NEVER).contains(&days)))
}

/// After accounts are made, so in a later stage. `inactive` are the inactive days of an account with a password, -1 for none; they
/// stay as they are: this tool never gives an administrator any, an account's key dies with them.
fn aging(policy: &Policy, admin: &Admin, inactive: Option<i64>) -> Change {
    let want = &policy.profile.password.aging;
    let name = admin.name.clone();
    let warn_days = i64::from(want.warn_days);
    let (summary, action) = if let Some(inactive) = inactive {
        let action = Action::UserAging {
            name: name.clone(),
            min_days: want.min_days.into(),
            max_days: want.max_days.into(),
            warn_days,
            inactive_days: inactive,
        };
        (format!("{name}'s password lasts {} days", want.max_days), action)
    } else {
        let never = Action::UserAging { name: name.clone(), min_days: 0, max_days: -1, warn_days, inactive_days: -1 };
        (format!("{name} has no password, so none expires"), never)
    };
    Change { controls: vec![ID.into()], stage: Stage::Services, summary, interrupts: None, action }
}
