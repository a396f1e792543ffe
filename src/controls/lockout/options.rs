//! What a `pam_faillock` rule ends up with: built-in defaults, then faillock.conf, then the rule's own arguments
//! (`args_parse` in Linux-PAM's `pam_faillock.c`).

use crate::controls::Evidence;
use crate::controls::conf::{Syntax, wanted};
use crate::controls::pam;
use crate::facts::PamRule;
use crate::profile::policy::{FaillockPolicy, Policy};

use super::stack::Stack;

/// The only file it reads; there is no faillock.conf.d.
pub const CONF: &str = "/etc/security/faillock.conf";
/// `MAX_TIME_INTERVAL` in faillock.h: longer times are ignored.
const LONGEST: u32 = 604_800;

/// Options as far as the policy speaks of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    deny: u32,
    fail_interval: u32,
    unlock_time: Unlock,
    even_deny_root: bool,
    /// As long as `unlock_time` when it is not given.
    root_unlock_time: Option<Unlock>,
    admin_group: bool,
    /// Keys that were given a value, as opposed to built-in defaults.
    given: Vec<&'static str>,
}

/// When a lock opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unlock {
    Never,
    After(u32),
}

impl Options {
    /// faillock.conf over the defaults.
    pub fn of(text: &str) -> Self {
        let mut options = Self {
            deny: 3,
            fail_interval: 900,
            unlock_time: Unlock::After(600),
            even_deny_root: false,
            root_unlock_time: None,
            admin_group: false,
            given: Vec::new(),
        };
        for setting in Syntax::Pam.settings(text) {
            options.apply(setting.key, setting.value);
        }
        options
    }

    fn with_arguments(mut self, rule: &PamRule) -> Self {
        for argument in &rule.arguments {
            let (key, value) = argument.split_once('=').unwrap_or((argument, ""));
            self.apply(key, value);
        }
        self
    }

    fn apply(&mut self, key: &str, value: &str) {
        match key {
            "deny" => {
                if let Some(deny) = number(value).and_then(|deny| u16::try_from(deny).ok()) {
                    self.deny = deny.into();
                    self.given.push("deny");
                }
            }
            "fail_interval" => {
                if let Some(seconds) = number(value).filter(|seconds| *seconds <= LONGEST) {
                    self.fail_interval = seconds;
                    self.given.push("fail_interval");
                }
            }
            "unlock_time" => {
                if let Some(time) = Unlock::parse(value) {
                    self.unlock_time = time;
                    self.given.push("unlock_time");
                }
            }
            "root_unlock_time" => self.root_unlock_time = Unlock::parse(value).or(self.root_unlock_time),
            // A flag: its value is not looked at.
            "even_deny_root" => self.even_deny_root = true,
            "admin_group" => self.admin_group = !value.is_empty(),
            _ => {}
        }
    }

    /// Keys that fall short, with the value to write; `None` takes the key out.
    pub fn weaker(&self, want: &FaillockPolicy) -> Vec<(&'static str, Option<String>)> {
        let short = match self.unlock_time {
            Unlock::Never => true,
            Unlock::After(seconds) => seconds < want.unlock_time,
        };
        let root = self.root_unlock_time.unwrap_or(self.unlock_time);
        let checks = [
            ("deny", self.deny == 0 || self.deny > want.deny, Some(want.deny.to_string())),
            ("fail_interval", self.fail_interval < want.fail_interval, Some(want.fail_interval.to_string())),
            ("unlock_time", short, Some(want.unlock_time.to_string())),
            ("even_deny_root", self.even_deny_root != want.even_deny_root, want.even_deny_root.then(String::new)),
            (
                "root_unlock_time",
                want.even_deny_root && root != Unlock::After(want.root_unlock_time),
                Some(want.root_unlock_time.to_string()),
            ),
            ("admin_group", self.admin_group && !want.even_deny_root, None),
        ];
        checks.into_iter().filter_map(|(key, weak, value)| weak.then_some((key, value))).collect()
    }

    /// Keys to write into the file: those that fall short, and those left to a built-in default the policy does not
    /// mean. Three tries instead of five would be nobody's decision.
    pub fn to_write(&self, want: &FaillockPolicy) -> Vec<(&'static str, Option<String>)> {
        let mut keys = self.weaker(want);
        let defaults = [
            ("deny", self.deny == want.deny, want.deny),
            ("fail_interval", self.fail_interval == want.fail_interval, want.fail_interval),
            ("unlock_time", self.unlock_time == Unlock::After(want.unlock_time), want.unlock_time),
        ];
        for (key, same, value) in defaults {
            if !same && !self.given.contains(&key) && keys.iter().all(|(weak, _)| *weak != key) {
                keys.push((key, Some(value.to_string())));
            }
        }
        keys
    }

    fn words(&self) -> String {
        let by_default = |key| if self.given.contains(&key) { "" } else { " (default)" };
        let mut words = format!(
            "deny {}{}, fail_interval {}{}, unlock_time {}{}",
            self.deny,
            by_default("deny"),
            self.fail_interval,
            by_default("fail_interval"),
            self.unlock_time,
            by_default("unlock_time")
        );
        if self.even_deny_root {
            words.push_str(", even_deny_root, root_unlock_time ");
            words.push_str(&self.root_unlock_time.unwrap_or(self.unlock_time).to_string());
        }
        if self.admin_group {
            words.push_str(", admin_group (its members are treated as root)");
        }
        words
    }
}

/// Arguments of a rule that weaken what faillock.conf says.
pub fn overridden(conf: &str, rule: &PamRule, want: &FaillockPolicy) -> Vec<String> {
    if pam::argument(rule, "conf").is_some() {
        return vec!["conf".into()];
    }
    let weaker = Options::of(conf).with_arguments(rule).weaker(want);
    weaker.into_iter().map(|(key, _)| key.to_owned()).filter(|key| named(rule, key)).collect()
}

fn named(rule: &PamRule, key: &str) -> bool {
    pam::flag(rule, key) || pam::argument(rule, key).is_some()
}

/// The file, and every rule that deviates from it.
pub fn evidence(text: &str, stacks: &[Stack<'_>], policy: &Policy) -> Vec<Evidence> {
    let want = &policy.profile.lockout.pam;
    let root = if want.even_deny_root { ", even_deny_root" } else { "" };
    let values = format!(
        "deny at most {}, fail_interval at least {}, unlock_time at least {}{root}",
        want.deny, want.fail_interval, want.unlock_time
    );
    let values = wanted(policy, "lockout.pam.deny", values);
    let mut evidence = vec![Evidence::new(CONF, Options::of(text).words(), values.clone())];
    for rule in stacks.iter().flat_map(|stack| &stack.counting) {
        let (plain, own) = (Options::of(text), Options::of(text).with_arguments(rule));
        if plain != own || pam::argument(rule, "conf").is_some() {
            let item = Evidence::new(format!("{} in {}", pam::line(rule), rule.file), own.words(), values.clone());
            if !evidence.contains(&item) {
                evidence.push(item);
            }
        }
    }
    evidence
}

fn number(value: &str) -> Option<u32> {
    // sscanf("%u"): leading digits count, the rest is ignored.
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    value[..digits].parse().ok()
}

impl Unlock {
    /// `None` is a value the module ignores.
    fn parse(value: &str) -> Option<Self> {
        match value {
            "never" => Some(Self::Never),
            _ => match number(value).filter(|seconds| *seconds <= LONGEST)? {
                0 => Some(Self::Never),
                seconds => Some(Self::After(seconds)),
            },
        }
    }
}

impl std::fmt::Display for Unlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::After(seconds) => seconds.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_ignore_their_value_and_bad_numbers_are_ignored() {
        let text = "deny = 5\ndeny = x\nunlock_time = never\neven_deny_root = no\nfail_interval = 999999999\n";
        let words = "deny 5, fail_interval 900 (default), unlock_time never, even_deny_root, root_unlock_time never";
        assert_eq!(Options::of(text).words(), words);
        assert_eq!(Options::of("unlock_time = 0").unlock_time, Unlock::Never);
    }

    #[test]
    fn arguments_override_the_file() {
        let rule = PamRule {
            facility: "auth".into(),
            control: "required".into(),
            module: "pam_faillock.so".into(),
            arguments: vec!["preauth".into(), "deny=50".into()],
            file: "/etc/pam.d/common-auth".into(),
        };
        let want = FaillockPolicy {
            enabled: true,
            deny: 5,
            fail_interval: 900,
            unlock_time: 600,
            even_deny_root: false,
            root_unlock_time: 60,
        };
        assert_eq!(overridden("deny = 4", &rule, &want), ["deny"]);
        assert!(overridden("deny = 50", &PamRule { arguments: vec![], ..rule }, &want).is_empty());
    }
}
