//! Accepted deviations: which control, where, who answers for it, why, and until when.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::Host;

/// Days before its end from which a waiver is announced as ending.
pub const WARN_DAYS: i32 = 30;

/// One `[[waiver]]` of the site. While it holds, its control is judged but neither changed nor counted as a difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Waiver {
    /// Id of one control.
    pub control: String,
    /// Where it holds.
    pub scope: Scope,
    /// Who answers for it.
    pub owner: String,
    /// Why the deviation is accepted.
    pub reason: String,
    /// The last day on which it holds, UTC.
    pub expires: Date,
}

/// Where a waiver holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// On one node of the site.
    Node(String),
    /// On every node of a group of the site.
    Group(String),
}

/// How a waiver stands on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Standing {
    /// It holds.
    Holds {
        /// Days left, today included as 0.
        days: i32,
    },
    /// It holds, for at most [`WARN_DAYS`] more days.
    Ending {
        /// Days left.
        days: i32,
    },
    /// It is over.
    Expired {
        /// Days since its last day, at least 1.
        days: i32,
    },
}

impl Waiver {
    /// Whether it is about this node.
    pub fn covers(&self, host: &Host) -> bool {
        match &self.scope {
            Scope::Node(name) => *name == host.name,
            Scope::Group(group) => host.groups.contains(group),
        }
    }

    /// How it stands on this day.
    pub fn standing(&self, today: Date) -> Standing {
        let days = (self.expires - today).get_days();
        match days {
            ..0 => Standing::Expired { days: days.saturating_neg() },
            0..=WARN_DAYS => Standing::Ending { days },
            _ => Standing::Holds { days },
        }
    }

    /// Whether it holds on this day.
    pub fn holds(&self, today: Date) -> bool {
        !matches!(self.standing(today), Standing::Expired { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn waiver(scope: Scope) -> Waiver {
        let text = String::from("x");
        Waiver { control: "ssh.limits".into(), scope, owner: text.clone(), reason: text, expires: date(2026, 6, 30) }
    }

    #[test]
    fn the_last_day_still_holds() {
        let standing = |day| waiver(Scope::Node("pve1".into())).standing(day);
        assert_eq!(standing(date(2026, 5, 30)), Standing::Holds { days: 31 });
        assert_eq!(standing(date(2026, 5, 31)), Standing::Ending { days: 30 });
        assert_eq!(standing(date(2026, 6, 30)), Standing::Ending { days: 0 });
        assert_eq!(standing(date(2026, 7, 1)), Standing::Expired { days: 1 });
        assert_eq!(standing(date(2036, 7, 1)), Standing::Expired { days: 3654 });
    }

    #[test]
    fn a_group_is_its_members() {
        let host = |name: &str, groups: &[&str]| Host {
            name: name.into(),
            groups: groups.iter().map(ToString::to_string).collect(),
            ..Host::default()
        };
        let of_node = waiver(Scope::Node("pve1".into()));
        assert!(of_node.covers(&host("pve1", &[])) && !of_node.covers(&host("pve11", &["pve1"])));
        let of_group = waiver(Scope::Group("lab".into()));
        assert!(of_group.covers(&host("pve1", &["a", "lab"])) && !of_group.covers(&host("lab", &[])));
    }
}
