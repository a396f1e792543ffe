//! `/etc/pve/notifications.cfg`: targets and matchers of PVE 8.1 and later, as proxmox-notify reads them (pve-docs
//! notifications.adoc). What PVE brings itself is there without a line in the file; a line can only change it.

use std::collections::{BTreeMap, BTreeSet};

/// The first release with targets and matchers.
pub const SINCE: (u32, u32) = (8, 1);
/// PVE's own target: mail to root@pam's address.
const MAIL_TO_ROOT: &str = "mail-to-root";
const DEFAULT_MATCHER: &str = "default-matcher";

/// Parsed notifications.cfg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notifications {
    /// Name → target.
    pub targets: BTreeMap<String, Target>,
    /// Name → matcher.
    pub matchers: BTreeMap<String, Matcher>,
}

/// Where notifications go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// `sendmail`, `smtp`, `gotify`, `webhook`.
    pub kind: String,
    /// Switched off.
    pub disabled: bool,
    /// Addresses.
    pub mailto: BTreeSet<String>,
    /// PVE users, whose address is in user.cfg.
    pub users: BTreeSet<String>,
}

/// Which notifications go to which targets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    /// Switched off.
    pub disabled: bool,
    /// Names of targets.
    pub targets: BTreeSet<String>,
}

impl Target {
    /// Whether it is a mail, and so needs somebody with an address.
    pub fn is_mail(&self) -> bool {
        matches!(self.kind.as_str(), "sendmail" | "smtp")
    }
}

/// What is in force with this file; an empty text is a file that is not there.
pub fn parse(text: &str) -> Notifications {
    let mut all = Notifications { targets: BTreeMap::new(), matchers: BTreeMap::new() };
    let mut section: Option<(&str, &str)> = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        if !line.starts_with([' ', '\t']) {
            section = trimmed.split_once(':').map(|(kind, name)| (kind.trim(), name.trim()));
            all.begin(section);
            continue;
        }
        let (key, value) = trimmed.split_once(char::is_whitespace).unwrap_or((trimmed, ""));
        all.set(section, key, value.trim());
    }
    let root = Target { kind: "sendmail".into(), users: ["root@pam".to_owned()].into(), ..Target::default() };
    all.targets.entry(MAIL_TO_ROOT.into()).or_insert(root);
    let every = Matcher { targets: [MAIL_TO_ROOT.to_owned()].into(), ..Matcher::default() };
    all.matchers.entry(DEFAULT_MATCHER.into()).or_insert(every);
    all
}

impl Notifications {
    fn begin(&mut self, section: Option<(&str, &str)>) {
        match section {
            Some(("matcher", name)) => drop(self.matchers.insert(name.into(), Matcher::default())),
            Some((kind @ ("sendmail" | "smtp" | "gotify" | "webhook"), name)) => {
                self.targets.insert(name.into(), Target { kind: kind.into(), ..Target::default() });
            }
            _ => {}
        }
    }

    fn set(&mut self, section: Option<(&str, &str)>, key: &str, value: &str) {
        let Some((kind, name)) = section else { return };
        let yes = matches!(value, "1" | "true" | "yes" | "on");
        if kind == "matcher" {
            let Some(matcher) = self.matchers.get_mut(name) else { return };
            match key {
                "disable" => matcher.disabled = yes,
                "target" => drop(matcher.targets.insert(value.into())),
                _ => {}
            }
            return;
        }
        let Some(target) = self.targets.get_mut(name) else { return };
        match key {
            "disable" => target.disabled = yes,
            "mailto" => target.mailto.extend(words(value)),
            "mailto-user" => target.users.extend(words(value)),
            _ => {}
        }
    }

    /// Targets that are on, by name, and whether an enabled matcher sends something there.
    pub fn enabled(&self) -> impl Iterator<Item = (&str, &Target, bool)> {
        let matched = |name: &String| self.matchers.values().any(|it| !it.disabled && it.targets.contains(name));
        let on = self.targets.iter().filter(|(_, target)| !target.disabled);
        on.map(move |(name, target)| (name.as_str(), target, matched(name)))
    }
}

fn words(value: &str) -> impl Iterator<Item = String> + '_ {
    value.split([',', ';', ' ']).filter(|word| !word.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn on(text: &str) -> Vec<(String, bool)> {
        parse(text).enabled().map(|(name, _, matched)| (name.to_owned(), matched)).collect()
    }

    #[test]
    fn without_a_file_mail_goes_to_root() {
        assert_eq!(on(""), [("mail-to-root".to_owned(), true)]);
        assert!(parse("").targets["mail-to-root"].users.contains("root@pam"));
    }

    #[test]
    fn the_own_target_can_be_switched_off_and_another_used() {
        let text = "sendmail: mail-to-root\n\tdisable true\n\tmailto-user root@pam\n\nwebhook: hook\n\
                    \tmethod post\n\turl aHR0cA==\n\nmatcher: all\n\tmode all\n\ttarget hook\n";
        assert_eq!(on(text), [("hook".to_owned(), true)]);
    }

    #[test]
    fn a_target_without_a_matcher_gets_nothing() {
        let text =
            "smtp: relay\n\tserver mail.example\n\tmailto a@example.org\n\nmatcher: m\n\ttarget relay\n\tdisable 1\n";
        assert_eq!(on(text), [("mail-to-root".to_owned(), true), ("relay".to_owned(), false)]);
    }

    proptest! {
        #[test]
        fn arbitrary_text_does_not_panic(text in "[a-z:\\- \t\n#]*|\\PC*") {
            prop_assert!(parse(&text).targets.contains_key("mail-to-root"));
        }
    }
}
