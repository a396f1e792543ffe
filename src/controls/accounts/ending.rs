//! When PAM's account phase stops letting an account in. sshd asks it after a key was accepted as well
//! (`pam_unix`, passverify.c `check_shadow_expiry`; OpenSSH auth-pam.c `do_pam_account`).

use crate::facts::{Facts, Shadow};
use crate::profile::policy::{Admin, AdminPassword};

/// shadow(5): 99999 days and more mean "never".
const NEVER: i64 = 99_999;
/// How far ahead a login's end is looked for, in days.
pub const AHEAD: i64 = 30;

/// The first day on which a login with a key cannot run a command any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Days since 1970.
    pub day: i64,
    why: Why,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Why {
    Expires,
    Forced,
    Undated,
    Old { max_days: i64 },
}

impl Ending {
    /// Of an account on this node; `None` when neither the account nor its password expires.
    pub fn of(facts: &Facts, shadow: &Shadow) -> Option<Self> {
        let expiry = shadow.expires.filter(|day| *day >= 0).map(|day| Self { day, why: Why::Expires });
        expiry.into_iter().chain(password(facts, shadow)).min_by_key(|ending| ending.day)
    }

    /// Whether it has come by a day; an unknown day counts as yes.
    pub fn has_come(&self, day: Option<i64>) -> bool {
        day.is_none_or(|day| self.day <= day)
    }

    /// What keeps the person out, seen from a day: "the account is expired".
    pub fn told(&self, today: Option<i64>) -> String {
        let passed = self.has_come(today);
        let date = date(self.day);
        match self.why {
            Why::Expires if passed => "the account is expired".into(),
            Why::Expires => format!("the account expires on {date}"),
            Why::Forced => "it must change its password at the next login, which a command over SSH cannot".into(),
            Why::Undated => "its password has no date of the last change, which counts as too old".into(),
            Why::Old { max_days } if passed => {
                format!("its password would be older than {max_days} days, so PAM asks for a new one at login")
            }
            Why::Old { max_days } => format!(
                "its password gets older than {max_days} days on {date}; from then on PAM asks for a new one at login, \
                 keys or not"
            ),
        }
    }

    /// What moves it away.
    pub fn way_out(&self, admin: &Admin) -> String {
        let name = &admin.name;
        match self.why {
            Why::Forced | Why::Old { .. } if matches!(admin.password, Some(AdminPassword::Hash(_))) => {
                format!("a new password hash for {name} in the site file is set by the next apply")
            }
            Why::Expires => format!("`chage -E -1 {name}` takes the expiry date away"),
            Why::Undated => format!("`chage -d $(date +%F) {name}` gives the password a date"),
            Why::Forced | Why::Old { .. } => format!("`passwd {name}` sets a new password"),
        }
    }
}

/// The end of the password: a maximum is reached on its day. Debian 12's PAM is a day more patient, and takes a
/// missing date of the last change for 1969.
fn password(facts: &Facts, shadow: &Shadow) -> Option<Ending> {
    if shadow.last_change == Some(0) {
        return Some(Ending { day: 0, why: Why::Forced });
    }
    let max_days = shadow.max_days.filter(|max| (0..NEVER).contains(max))?;
    match shadow.last_change {
        Some(changed) if changed > 0 => Some(Ending { day: changed + max_days, why: Why::Old { max_days } }),
        _ if facts.pve.known().is_some_and(|release| release.debian >= 13) => None,
        _ => Some(Ending { day: 0, why: Why::Undated }),
    }
}

fn date(day: i64) -> String {
    jiff::Timestamp::from_second(day.saturating_mul(86_400))
        .map_or_else(|_| format!("day {day}"), |time| time.strftime("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{PasswordState, PveRelease, Reading};

    fn shadow(last_change: Option<i64>, max_days: Option<i64>, expires: Option<i64>) -> Shadow {
        Shadow {
            password: PasswordState::Hash("y".into()),
            last_change,
            min_days: None,
            max_days,
            warn_days: None,
            inactive_days: None,
            expires,
            hash_digest: None,
        }
    }

    fn ending(debian: u32, shadow: &Shadow) -> Option<i64> {
        let release = PveRelease { major: debian - 4, minor: 0, text: String::new(), debian };
        Ending::of(&Facts { pve: Reading::Known(release), ..Facts::default() }, shadow).map(|ending| ending.day)
    }

    #[test]
    fn the_earlier_of_account_and_password_counts() {
        for (shadow, day) in [
            (shadow(Some(20_000), Some(365), None), Some(20_365)),
            (shadow(Some(20_000), Some(365), Some(20_100)), Some(20_100)),
            (shadow(Some(20_000), Some(99_999), Some(20_100)), Some(20_100)),
            (shadow(Some(20_000), Some(-1), Some(-1)), None),
            (shadow(Some(20_000), None, None), None),
            (shadow(Some(0), None, None), Some(0)),
            (shadow(Some(20_000), Some(0), None), Some(20_000)),
        ] {
            assert_eq!(ending(13, &shadow), day, "{shadow:?}");
        }
    }

    #[test]
    fn a_missing_date_is_old_for_debian_12_only() {
        let dateless = shadow(None, Some(365), None);
        assert_eq!(ending(12, &dateless), Some(0));
        assert_eq!(ending(13, &dateless), None);
        assert_eq!(ending(12, &shadow(None, None, None)), None);
        assert_eq!(Ending::of(&Facts::default(), &dateless).map(|ending| ending.day), Some(0), "an unknown release");
    }

    #[test]
    fn what_is_told_depends_on_the_day() {
        let ending = Ending::of(&Facts::default(), &shadow(Some(20_000), Some(365), None)).unwrap();
        assert!(ending.has_come(None) && ending.has_come(Some(20_365)) && !ending.has_come(Some(20_364)));
        insta::assert_snapshot!(ending.told(Some(20_360)), @"its password gets older than 365 days on 2025-10-04; from then on PAM asks for a new one at login, keys or not");
        insta::assert_snapshot!(ending.told(Some(20_365)), @"its password would be older than 365 days, so PAM asks for a new one at login");
    }
}
