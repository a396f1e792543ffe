//! What an enrolment does, from the second factors that PVE lists.
//!
//! PVE says of recovery keys only that there are some. Whether somebody has them is noted in the description of another
//! factor: [`UNFINISHED`] stands there from before the keys are made until they are in their sink.

use serde::{Deserialize, Deserializer};

use crate::sanitize;

/// At the end of a description: the user's recovery keys are in no sink yet.
pub const UNFINISHED: &str = " [recovery keys not stored]";
/// Longest description of ours; PVE takes 255 characters.
pub const LONGEST: usize = 200;

/// A second factor as PVE lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Factor {
    /// PVE's name of it; `recovery` for the keys.
    pub id: String,
    /// `totp`, `webauthn`, `u2f`, `yubico`, `recovery`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The owner's words.
    #[serde(default)]
    pub description: String,
    /// Seconds since 1970.
    pub created: u64,
    /// Whether it is asked for.
    #[serde(default = "on", deserialize_with = "switch")]
    pub enable: bool,
}

const fn on() -> bool {
    true
}

/// A boolean as Perl prints one: a number, a text, or JSON's own.
fn switch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(!["0", "\"0\"", "\"\"", "false", "null"].contains(&value.to_string().as_str()))
}

impl Factor {
    /// For people: kind, words, day.
    pub fn shown(&self) -> String {
        let kind = match self.kind.as_str() {
            "totp" => "TOTP",
            "recovery" => "recovery keys",
            "webauthn" => "WebAuthn",
            other => other,
        };
        let words = self.words();
        let words = if words.is_empty() { String::new() } else { format!(" \"{words}\"") };
        let off = if self.enable { "" } else { ", switched off" };
        sanitize::line(&format!("{kind}{words} of {}{off}", super::day(self.created))).into_owned()
    }

    /// The description without our mark.
    pub fn words(&self) -> &str {
        self.description.strip_suffix(UNFINISHED).unwrap_or(&self.description)
    }

    fn is_unfinished(&self) -> bool {
        self.description.ends_with(UNFINISHED)
    }

    /// Whether it stands for the recovery keys.
    pub fn is_keys(&self) -> bool {
        self.kind == "recovery"
    }
}

/// What becomes of an app that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It is enough.
    Missing,
    /// It stays, next to a further one.
    Another,
    /// It ends once the new one works; recovery keys are made anew.
    Replace,
}

/// What becomes of the recovery keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// They stay, or there are none.
    Leave,
    /// They are made.
    Make,
    /// Those that are there are deleted, and new ones made.
    Again,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// A new app.
    pub totp: bool,
    /// Factors that end once it works.
    pub ends: Vec<Factor>,
    /// Recovery keys.
    pub keys: Keys,
}

impl Enrolment {
    /// What is missing, or wanted besides.
    pub fn of(listed: &[Factor], how: How, with_keys: bool) -> Self {
        let app = |factor: &&Factor| factor.kind == "totp";
        let has_app = listed.iter().filter(app).any(|factor| factor.enable);
        let has_keys = listed.iter().any(Factor::is_keys);
        let held_by_nobody = listed.iter().any(Factor::is_unfinished);
        let ends = if how == How::Replace { listed.iter().filter(app).cloned().collect() } else { Vec::new() };
        let keys = match (with_keys, has_keys) {
            (true, false) => Keys::Make,
            (true, true) if how == How::Replace || held_by_nobody => Keys::Again,
            _ => Keys::Leave,
        };
        Self { totp: how != How::Missing || !has_app, ends, keys }
    }

    /// Whether nothing is done.
    pub fn is_empty(&self) -> bool {
        !self.totp && self.ends.is_empty() && self.keys == Keys::Leave
    }
}

/// The factor that carries the mark while keys are made: one that has it, else an app, else any.
pub fn carrier(listed: &[Factor]) -> Option<&Factor> {
    let fit = || listed.iter().filter(|factor| !factor.is_keys());
    fit()
        .find(|factor| factor.is_unfinished())
        .or_else(|| fit().find(|factor| factor.kind == "totp"))
        .or_else(|| fit().next())
}

/// Ids and words of the factors that carry the mark.
pub fn marked(listed: &[Factor]) -> Vec<(String, String)> {
    let marked = listed.iter().filter(|factor| factor.is_unfinished() && !factor.is_keys());
    marked.map(|factor| (factor.id.clone(), factor.words().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factor(kind: &str, description: &str) -> Factor {
        let id = if kind == "recovery" { kind } else { description };
        Factor { id: id.into(), kind: kind.into(), description: description.into(), created: 0, enable: true }
    }

    /// Factors, how, with keys; then: an app, how many end, keys.
    type Case<'a> = (&'a [&'a Factor], How, bool, bool, usize, Keys);

    #[test]
    fn only_what_is_missing_is_made() {
        let (app, keys, wa) = (factor("totp", "phone"), factor("recovery", ""), factor("webauthn", "key"));
        let off = Factor { enable: false, ..app.clone() };
        let cut = Factor { description: format!("phone{UNFINISHED}"), ..app.clone() };
        let cases: &[Case<'_>] = &[
            (&[], How::Missing, true, true, 0, Keys::Make),
            (&[], How::Missing, false, true, 0, Keys::Leave),
            (&[&app], How::Missing, true, false, 0, Keys::Make),
            (&[&app, &keys], How::Missing, true, false, 0, Keys::Leave),
            (&[&off, &keys], How::Missing, true, true, 0, Keys::Leave),
            (&[&cut, &keys], How::Missing, true, false, 0, Keys::Again),
            (&[&cut], How::Missing, true, false, 0, Keys::Make),
            (&[&wa], How::Missing, true, true, 0, Keys::Make),
            (&[&app, &keys], How::Another, true, true, 0, Keys::Leave),
            (&[&app, &keys, &wa], How::Replace, true, true, 1, Keys::Again),
            (&[&app, &keys], How::Replace, false, true, 1, Keys::Leave),
        ];
        for (listed, how, with_keys, totp, ends, keys) in cases {
            let listed: Vec<Factor> = listed.iter().map(|factor| (*factor).clone()).collect();
            let made = Enrolment::of(&listed, *how, *with_keys);
            assert_eq!((made.totp, made.ends.len(), made.keys), (*totp, *ends, *keys), "{listed:?} {how:?}");
            assert_eq!(made.is_empty(), !totp && *keys == Keys::Leave);
        }
    }

    #[test]
    fn the_mark_is_carried_by_one_that_has_it() {
        let cut = factor("totp", &format!("b{UNFINISHED}"));
        let listed = [factor("recovery", ""), factor("webauthn", "w"), factor("totp", "a"), cut];
        assert_eq!(carrier(&listed).unwrap().words(), "b");
        assert_eq!(marked(&listed), [(format!("b{UNFINISHED}"), "b".to_owned())]);
        assert_eq!(carrier(&listed[..3]).unwrap().words(), "a");
        assert_eq!(carrier(&listed[..2]).unwrap().words(), "w");
        assert_eq!(carrier(&listed[..1]), None);
        assert_eq!(factor("totp", "a\x1b[1m").shown(), "TOTP \"a\\x1b[1m\" of 1970-01-01");
    }
}
