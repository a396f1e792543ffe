//! Second factors of PVE's users: listed, added, ended. What lies in /etc/pve/priv/tfa.cfg is PVE's own affair.

use super::calls::{Answer, Answers, Calls, Words};
use crate::access::enrolment::{Factor, UNFINISHED};
use crate::error::{Error, Kind, Result};
use crate::sanitize;
use crate::secret::Secret;

/// Names of the answers.
const LISTED: &str = "listed";
const CLOCK: &str = "clock";
const ADDED: &str = "added";
const MADE: &str = "made";
const DONE: &str = "done";

const TFA: &str = "/access/tfa";

fn listing(calls: Calls, user: &str) -> Calls {
    calls.pvesh(LISTED, Words::new("get").path(TFA, &[user]).option("output-format", "json"))
}

fn describing(user: &str, id: &str, description: &str) -> Words {
    Words::new("set").path(TFA, &[user, id]).option("description", description)
}

fn deleting(user: &str, id: &str) -> Words {
    Words::new("delete").path(TFA, &[user, id])
}

/// Lists a user's factors; the node's clock comes last.
pub fn list(user: &str) -> Calls {
    listing(Calls::new(), user).script(&[], "emit clock 0 \"$(date +%s)\"")
}

/// The list of [`list`], [`add`] and [`finish`].
pub fn listed(answers: &Answers) -> Result<Vec<Factor>> {
    let unreadable = || Error::msg(Kind::Unreadable, "PVE's list of second factors cannot be read");
    let answer = answers.done(LISTED)?;
    let listed: Vec<Factor> = serde_json::from_str(answer.out.expose().trim()).map_err(|_| unreadable())?;
    let fits = |factor: &Factor| {
        (1..=64).contains(&factor.id.len()) && factor.id.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
    };
    if listed.iter().all(fits) { Ok(listed) } else { Err(unreadable()) }
}

/// Seconds since 1970 on the node, when it answered [`list`].
pub fn clock(answers: &Answers) -> Result<i64> {
    let said = answers.done(CLOCK)?.out.expose().trim().parse();
    said.map_err(|_| Error::msg(Kind::Unreadable, "the node's clock cannot be read"))
}

/// Adds an app. PVE looks at the code before it stores anything.
pub fn add(user: &str, description: &str, uri: &Secret, code: &Secret, by: &str) -> Calls {
    let words = Words::new("create")
        .path(TFA, &[user])
        .option("type", "totp")
        .option("description", description)
        .secret("totp", uri)
        .secret("value", code)
        .option("output-format", "json");
    listing(Calls::new().pvesh(ADDED, words).record(&format!("TOTP of {user} enrolled by {by}")), user)
}

/// The id of what [`add`] stored, once PVE lists it.
pub fn added(answers: &Answers) -> Result<String> {
    let answer = answers.done(ADDED)?;
    let json: Option<serde_json::Value> = serde_json::from_str(answer.out.expose().trim()).ok();
    let id = json.as_ref().and_then(|json| json["id"].as_str());
    let id = id.ok_or_else(|| Error::msg(Kind::Unreadable, "PVE did not say the name of the new entry"))?;
    if listed(answers)?.iter().any(|factor| factor.id == id && factor.kind == "totp") {
        Ok(id.to_owned())
    } else {
        Err(Error::msg(Kind::Unreadable, "PVE does not list the new entry"))
    }
}

/// Whether PVE refused the code of [`add`], rather than the entry.
pub fn refused_the_code(answers: &Answers) -> bool {
    answers.get(ADDED).is_some_and(|answer| answer.status != 0 && answer.said.contains("failed to verify TOTP"))
}

/// Takes the mark of a user without factors away, which PVE sets before it looks at the code (`API2/TFA.pm`,
/// `set_user_tfa_enabled`).
pub fn unmark(user: &str) -> Calls {
    Calls::new().pveum(DONE, Words::new("user modify").name(user).option("keys", ""))
}

/// Ends factors.
pub fn end(user: &str, ids: &[&str], by: &str) -> Calls {
    let calls = ids.iter().fold(Calls::new(), |calls, id| calls.pvesh(DONE, deleting(user, id)));
    calls.record(&format!("former second factors of {user} ended by {by}"))
}

/// Makes recovery keys; `carrier` says from before that nobody has them, and keys that are there go first.
pub fn recovery(user: &str, carrier: Option<&Factor>, again: bool, by: &str) -> Calls {
    let mut calls = Calls::new();
    if let Some(carrier) = carrier.filter(|carrier| carrier.words() == carrier.description) {
        calls = calls.pvesh(DONE, describing(user, &carrier.id, &format!("{}{UNFINISHED}", carrier.words())));
    }
    if again {
        calls = calls.pvesh(DONE, deleting(user, "recovery"));
    }
    let words = Words::new("create").path(TFA, &[user]).option("type", "recovery").option("output-format", "json");
    calls.pvesh(MADE, words).record(&format!("recovery keys of {user} made by {by}"))
}

/// The keys, one a line.
pub fn keys(answers: &Answers) -> Result<Secret> {
    let answer = answers.done(MADE)?;
    let unreadable = || Error::msg(Kind::Unreadable, "PVE made recovery keys and did not say them");
    let json: serde_json::Value = serde_json::from_str(answer.out.expose().trim()).map_err(|_| unreadable())?;
    let keys = json["recovery"].as_array().filter(|keys| (1..=100).contains(&keys.len())).ok_or_else(unreadable)?;
    let mut text = zeroize::Zeroizing::new(String::new());
    for key in keys {
        let fits =
            |key: &&str| (8..=64).contains(&key.len()) && key.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
        text.push_str(key.as_str().filter(fits).ok_or_else(unreadable)?);
        text.push('\n');
    }
    Ok(Secret::new(text.as_str()))
}

/// The keys are in their sink: the marks go (id and words of each).
pub fn finish(user: &str, marked: &[(String, String)], by: &str) -> Calls {
    let calls = marked.iter().fold(Calls::new(), |calls, (id, words)| calls.pvesh(DONE, describing(user, id, words)));
    listing(calls.record(&format!("recovery keys of {user} stored by {by}")), user)
}

/// Deletes recovery keys that nobody has, and takes the marks away.
pub fn discard(user: &str, marked: &[(String, String)], by: &str) -> Calls {
    let mut calls = Calls::new().tries().pvesh(DONE, deleting(user, "recovery"));
    for (id, words) in marked {
        calls = calls.tries().pvesh("unmarked", describing(user, id, words));
    }
    listing(calls.record(&format!("recovery keys of {user} deleted again by {by}")), user)
}

/// The first call that failed, in PVE's words.
pub fn done(answers: &Answers) -> Result<()> {
    match answers.0.iter().find(|answer| answer.status != 0) {
        None => Ok(()),
        Some(Answer { said, status, .. }) if said.is_empty() => {
            Err(Error::msg(Kind::Refused, format!("PVE ended with status {status}")))
        }
        Some(failed) => Err(Error::msg(Kind::Refused, format!("PVE says: {}", sanitize::line(&failed.said)))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::transport::Frame;

    fn answers(frames: &[(&str, i32, &str)]) -> Answers {
        let frame = |(name, status, body): &(&str, i32, &str)| Frame {
            name: (*name).into(),
            status: *status,
            body: body.as_bytes().to_vec(),
        };
        let frames: Vec<Frame> = [("ready", 0, "")].iter().chain(frames).map(frame).collect();
        Answers::of(&frames, &[]).unwrap()
    }

    const ROW: &str =
        r#"[{"created":1795302437,"description":"phone","id":"ad6c054c-dcba-41ad-bc54-7a41fc88f50e","type":"totp"}]"#;

    #[test]
    fn a_recorded_answer_is_understood() {
        let said = answers(&[(ADDED, 0, r#"{"id":"ad6c054c-dcba-41ad-bc54-7a41fc88f50e"}"#), (LISTED, 0, ROW)]);
        assert_eq!(added(&said).unwrap(), "ad6c054c-dcba-41ad-bc54-7a41fc88f50e");
        assert_eq!(listed(&said).unwrap()[0].shown(), "TOTP \"phone\" of 2026-11-21");
        let unlisted = answers(&[(ADDED, 0, r#"{"id":"ad6c054c"}"#), (LISTED, 0, ROW)]);
        assert!(added(&unlisted).is_err());
        let late = answers(&[("added.said", 255, "failed to verify TOTP challenge"), (ADDED, 255, "")]);
        assert!(refused_the_code(&late) && added(&late).is_err());
    }

    #[test]
    fn keys_are_taken_only_as_pve_makes_them() {
        let made = |body: &str| keys(&answers(&[(MADE, 0, body)]));
        let right = r#"{"id":"recovery","recovery":["0011-2233-4455-6677","8899-aabb-ccdd-eeff"]}"#;
        assert_eq!(made(right).unwrap().expose(), "0011-2233-4455-6677\n8899-aabb-ccdd-eeff\n");
        for wrong in ["{}", "", r#"{"recovery":[]}"#, r#"{"recovery":["a\u001b[1mbcdefgh"]}"#, r#"{"recovery":[1]}"#] {
            assert!(made(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_mark_that_is_there_is_not_set_again() {
        let plain: Factor = serde_json::from_str::<Vec<Factor>>(ROW).unwrap().remove(0);
        let cut = Factor { description: format!("phone{UNFINISHED}"), ..plain.clone() };
        assert_eq!(recovery("a@pve", Some(&plain), true, "me").words().len(), 3);
        assert_eq!(recovery("a@pve", Some(&cut), true, "me").words().len(), 2);
        assert_eq!(recovery("a@pve", None, false, "me").words().len(), 1);
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_a_panic(body in "(\\PC|\"|\\{|\\[|id|type|created|:|,){0,60}") {
            let said = answers(&[(LISTED, 0, &body), (ADDED, 0, &body), (MADE, 0, &body), (CLOCK, 0, &body)]);
            let _ = (listed(&said), added(&said), keys(&said), clock(&said));
        }
    }
}
