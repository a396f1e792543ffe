//! libpwquality's settings: which the policy wants, and which are in force over all files.

use std::collections::BTreeMap;

use crate::controls::conf::{self, Syntax};
use crate::facts::{Facts, FileKind, PamRule, Reading};
use crate::profile::policy::QualityPolicy;

/// Read last, so it wins.
pub const MAIN: &str = "/etc/security/pwquality.conf";
/// Files `*.conf` in here are read first, in ASCII order (pwquality.conf(5)).
pub const DIRECTORY: &str = "/etc/security/pwquality.conf.d";
/// Ours sorts first: stricter settings of others stay in force, weaker ones are changed where they stand.
pub const OURS: &str = "/etc/security/pwquality.conf.d/00-pve-harden.conf";

/// One wanted setting.
pub struct Wanted {
    /// Name.
    pub key: &'static str,
    /// Value to write; empty for a flag.
    pub value: String,
    /// Key in the profile.
    pub origin: &'static str,
    built_in: i64,
    rule: Rule,
}

#[derive(Clone, Copy)]
enum Rule {
    AtLeast(i64),
    /// 0 switches the check off.
    UpTo(i64),
    On,
    /// A positive credit shortens what `minlen` asks for.
    NoCredit,
    /// Its presence counts, whatever its value.
    Flag,
}

impl Wanted {
    /// Whether a value is as strict as wanted; a value that is no number is not.
    fn good(&self, value: Option<&str>) -> bool {
        let number = match value {
            _ if matches!(self.rule, Rule::Flag) => return value.is_some(),
            None => Some(self.built_in),
            Some(text) => text.parse().ok(),
        };
        number.is_some_and(|number| match self.rule {
            Rule::AtLeast(least) => number >= least,
            Rule::UpTo(most) => number > 0 && number <= most,
            Rule::On => number != 0,
            Rule::NoCredit => number <= 0,
            Rule::Flag => true,
        })
    }

    /// The requirement in words.
    pub fn words(&self) -> String {
        match self.rule {
            Rule::AtLeast(least) => format!("at least {least}"),
            Rule::UpTo(most) => format!("1 to {most}"),
            Rule::On => "not 0".into(),
            Rule::NoCredit => "0 or less".into(),
            Rule::Flag => "present".into(),
        }
    }

    /// What is in force when nothing is said.
    pub fn silent(&self) -> String {
        if matches!(self.rule, Rule::Flag) { "absent".into() } else { format!("{} (default)", self.built_in) }
    }
}

/// What a policy asks for; built-in values of libpwquality 1.4.5.
pub fn wanted(policy: &QualityPolicy) -> Vec<Wanted> {
    let least = |key, origin, built_in, value: u32| {
        Some(Wanted { key, value: value.to_string(), origin, built_in, rule: Rule::AtLeast(value.into()) })
    };
    let up_to = |key, origin, value: u32| {
        let rule = Rule::UpTo(value.into());
        (value > 0).then(|| Wanted { key, value: value.to_string(), origin, built_in: 0, rule })
    };
    let on = |key, origin, wanted: bool| {
        wanted.then(|| Wanted { key, value: "1".into(), origin, built_in: 1, rule: Rule::On })
    };
    let credit = |key| {
        let origin = "password.quality.min-length";
        Some(Wanted { key, value: "0".into(), origin, built_in: 0, rule: Rule::NoCredit })
    };
    let origin = "password.quality.enforce-for-root";
    let root = Wanted { key: "enforce_for_root", value: String::new(), origin, built_in: 0, rule: Rule::Flag };
    [
        least("minlen", "password.quality.min-length", 8, policy.min_length),
        credit("dcredit"),
        credit("ucredit"),
        credit("lcredit"),
        credit("ocredit"),
        least("minclass", "password.quality.min-class", 0, policy.min_class),
        least("difok", "password.quality.difference", 1, policy.difference),
        up_to("maxrepeat", "password.quality.max-repeat", policy.max_repeat),
        up_to("maxsequence", "password.quality.max-sequence", policy.max_sequence),
        on("dictcheck", "password.quality.dictionary-check", policy.dictionary_check),
        on("usercheck", "password.quality.user-check", policy.user_check),
        on("enforcing", "password.quality.enabled", true),
        policy.enforce_for_root.then_some(root),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The content of our file: everything the policy asks for, except what is built in and never set by anybody else.
pub fn text(wanted: &[Wanted]) -> String {
    let mut text = String::from("# Written by pve-harden. pwquality.conf and later files here override it.\n");
    for Wanted { key, value, .. } in wanted.iter().filter(|wanted| !matches!(wanted.rule, Rule::NoCredit)) {
        text = Syntax::Pam.set(&text, key, value);
    }
    text
}

/// A file of settings, in the order in which libpwquality reads them.
pub struct Source<'a> {
    /// Path.
    pub path: String,
    /// Content.
    pub text: &'a str,
}

/// All files; an error when one of them, or the list of them, is not known.
pub fn sources(facts: &Facts) -> Result<Vec<Source<'_>>, String> {
    let mut sources = Vec::new();
    match facts.file(DIRECTORY) {
        Reading::Absent => {}
        Reading::Known(fact) if fact.kind == FileKind::Directory => {
            let prefix = format!("{DIRECTORY}/");
            // A map is sorted by bytes, as libpwquality sorts the names.
            for path in facts.files.keys().filter(|path| is_dropin(path, &prefix)) {
                if let Some(text) = conf::text(facts, path)? {
                    sources.push(Source { path: path.clone(), text });
                }
            }
        }
        Reading::Known(_) => return Err(format!("{DIRECTORY} is not a directory")),
        Reading::Unreadable(why) => return Err(format!("{DIRECTORY}: {why}")),
        Reading::NotAsked => return Err(format!("{DIRECTORY}: the capture does not contain it")),
    }
    if let Some(text) = conf::text(facts, MAIN)? {
        sources.push(Source { path: MAIN.into(), text });
    }
    Ok(sources)
}

fn is_dropin(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|name| {
        !name.contains('/') && std::path::Path::new(name).extension().is_some_and(|extension| extension == "conf")
    })
}

/// What is in force: key → value and where it was said.
pub fn in_force<'a>(sources: &'a [Source<'a>]) -> BTreeMap<&'a str, (&'a str, &'a str)> {
    let settings = sources.iter().flat_map(|source| {
        Syntax::Pam.settings(source.text).map(|setting| (setting.key, (setting.value, source.path.as_str())))
    });
    settings.collect()
}

/// Whether the value in force is good.
pub fn good(wanted: &Wanted, in_force: &BTreeMap<&str, (&str, &str)>) -> bool {
    wanted.good(in_force.get(wanted.key).map(|(value, _)| *value))
}

/// The text of one file with its weaker settings replaced.
pub fn strengthened(wanted: &[Wanted], text: &str) -> String {
    let mut after = text.to_owned();
    for wanted in wanted {
        if Syntax::Pam.values(text, wanted.key).last().is_some_and(|value| !wanted.good(Some(value))) {
            after = Syntax::Pam.set(&after, wanted.key, &wanted.value);
        }
    }
    after
}

/// Arguments of the rule that weaken what the files say.
pub fn weakening<'a>(wanted: &'a [Wanted], rule: &'a PamRule) -> impl Iterator<Item = &'a str> {
    rule.arguments.iter().map(String::as_str).filter(move |argument| {
        let (key, value) = argument.split_once('=').unwrap_or((argument, ""));
        wanted.iter().any(|wanted| wanted.key == key && !wanted.good(Some(value)))
    })
}
