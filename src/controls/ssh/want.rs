//! One effective setting that is wanted in one case, and how sshd's answer compares with it.

use std::collections::BTreeSet;

use crate::facts::SshdSettings;

/// A wanted setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// Keyword as `sshd -T` prints it.
    pub keyword: &'static str,
    /// Value as `sshd -T` prints it once the drop-in is in place.
    pub value: String,
    /// Which other values are as good.
    pub accept: Accept,
    /// Dotted key of the profile that decides it.
    pub key: &'static str,
}

/// Which values satisfy a [`Want`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// Only this value.
    Exactly,
    /// `prohibit-password`, or stricter.
    RootPermit,
    /// A number up to this one.
    AtMost,
    /// A number up to this one, where 0 means "never".
    AtMostNonzero,
    /// A log level that tells as much and nothing private.
    LogLevel,
    /// start:rate:full, no looser in any part.
    Startups,
    /// Only names of this list.
    Subset,
    /// A number from this one on.
    AtLeast,
    /// No forwarding at all: switched off as a whole, or every kind by itself.
    NoForwarding,
}

/// How an answer compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// As wanted.
    Right,
    /// Not the value, but at least as strict.
    Stricter,
    /// Looser, or something else.
    Wrong,
    /// sshd did not say.
    Missing,
}

impl Fit {
    /// Whether the policy is met.
    pub const fn good(self) -> bool {
        matches!(self, Self::Right | Self::Stricter)
    }
}

/// The kinds that `DisableForwarding` switches off together.
pub const FORWARDING_KINDS: [&str; 5] =
    ["allowtcpforwarding", "allowstreamlocalforwarding", "x11forwarding", "allowagentforwarding", "permittunnel"];

impl Want {
    /// A setting that must have exactly this value.
    pub fn exactly(keyword: &'static str, value: impl Into<String>, key: &'static str) -> Self {
        Self { keyword, value: value.into(), accept: Accept::Exactly, key }
    }

    /// A setting with other acceptable values.
    pub fn accepting(accept: Accept, keyword: &'static str, value: impl Into<String>, key: &'static str) -> Self {
        Self { keyword, value: value.into(), accept, key }
    }

    /// Compares sshd's answer.
    pub fn fit(&self, settings: &SshdSettings) -> Fit {
        let Some(found) = settings.get(self.keyword).map(|value| value.trim()) else { return Fit::Missing };
        if found == self.value || self.means_the_same(found, settings) {
            return Fit::Right;
        }
        let stricter = match self.accept {
            Accept::Exactly | Accept::NoForwarding => false,
            Accept::RootPermit => matches!(found, "no" | "forced-commands-only"),
            Accept::AtMost => numbers(found, &self.value).is_some_and(|(found, limit)| found <= limit),
            Accept::AtMostNonzero => {
                numbers(found, &self.value).is_some_and(|(found, limit)| found > 0 && found <= limit)
            }
            Accept::AtLeast => numbers(found, &self.value).is_some_and(|(found, limit)| found >= limit),
            Accept::LogLevel => self.value == "INFO" && found == "VERBOSE",
            Accept::Startups => startups(found)
                .zip(startups(&self.value))
                .is_some_and(|(found, limit)| found.0 <= limit.0 && found.1 >= limit.1 && found.2 <= limit.2),
            Accept::Subset => !found.is_empty() && names(found).is_subset(&names(&self.value)),
        };
        if stricter { Fit::Stricter } else { Fit::Wrong }
    }

    /// Another way to say it: the order of a list decides nothing, because the client's order does; and forwarding that
    /// is off kind by kind is off.
    fn means_the_same(&self, found: &str, settings: &SshdSettings) -> bool {
        match self.accept {
            Accept::Subset => names(found) == names(&self.value),
            Accept::NoForwarding => {
                FORWARDING_KINDS.iter().all(|kind| settings.get(*kind).is_some_and(|value| value == "no"))
            }
            _ => false,
        }
    }

    /// The requirement in words.
    pub fn describe(&self) -> String {
        match self.accept {
            Accept::RootPermit => format!("{} or no", self.value),
            Accept::LogLevel if self.value == "INFO" => "INFO or VERBOSE".into(),
            Accept::Exactly | Accept::NoForwarding | Accept::LogLevel => self.value.clone(),
            Accept::AtMost | Accept::AtMostNonzero | Accept::Startups => format!("at most {}", self.value),
            Accept::AtLeast => format!("at least {}", self.value),
            Accept::Subset => format!("only {}", self.value),
        }
    }
}

fn names(list: &str) -> BTreeSet<&str> {
    list.split(',').collect()
}

fn numbers(a: &str, b: &str) -> Option<(u64, u64)> {
    Some((a.parse().ok()?, b.parse().ok()?))
}

/// start:rate:full of `MaxStartups`; a lone number means start and full (`sshd_config(5)`).
pub fn startups(text: &str) -> Option<(u32, u32, u32)> {
    let parts: Vec<u32> = text.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    match parts[..] {
        [start] => Some((start, 100, start)),
        [start, rate, full] if rate <= 100 && start <= full => Some((start, rate, full)),
        _ => None,
    }
}
