//! The life of a token on the node: made, given its rights, proved, and taken away; each a program of its own, so that
//! what a cut leaves is one of few states, and the comment of the token says which.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;

use super::calls::{Answers, Calls, Words};
use crate::access::lifetime::Stage;
use crate::access::rotation::Making;
use crate::error::{Error, Kind, Result};
use crate::sanitize;
use crate::secret::Secret;
use crate::transport::{Frame, Program, quote};

/// Names of the answers.
const MADE: &str = "made";
const PROOF: &str = "proof";
const DONE: &str = "done";

fn token(verb: &str, id: &str) -> Words {
    let (user, name) = id.rsplit_once('!').unwrap_or((id, ""));
    Words::new(&format!("user token {verb}")).name(user).name(name)
}

/// Makes the token; leftovers of a cut rotation go before it. Nobody has its secret but the answer.
pub fn make(new: &Making, by: &str) -> Calls {
    let mut calls = Calls::new();
    for leftover in &new.leftovers {
        calls = calls.tries().pveum("leftover", token("delete", leftover));
    }
    let words = token("add", &new.id)
        .option("expire", &new.expires.to_string())
        .option("privsep", if new.separated { "1" } else { "0" })
        .option("comment", &new.comment(Stage::NotProved))
        .option("output-format", "json");
    calls.pveum(MADE, words).record(&format!("token {} made by {by}", new.id))
}

/// The secret of a token that was made or given a new one.
pub fn secret(answers: &Answers, id: &str) -> Result<Secret> {
    let answer = answers.done(MADE)?;
    let unreadable = || Error::msg(Kind::Unreadable, format!("PVE made {id} and did not say its secret"));
    let json: serde_json::Value = serde_json::from_str(answer.out.expose().trim()).map_err(|_| unreadable())?;
    let value = json["value"].as_str().filter(|value| value.len() >= 16 && value.bytes().all(|c| c.is_ascii_graphic()));
    match value {
        Some(value) if json["full-tokenid"] == id => Ok(Secret::new(value)),
        _ => Err(unreadable()),
    }
}

/// Gives the token its rights and makes a request with it. From here on its secret is on the way to its sink.
pub fn prove(new: &Making, secret: &Secret) -> Calls {
    let mut calls = Calls::new();
    for right in &new.rights {
        calls = calls.pveum("right", Words::of(right));
    }
    let script = concat!(include_str!("remote/proofs.sh"), include_str!("remote/token.sh"), "prove_token\n");
    calls = calls.script(&[("TOKEN_ID", &Secret::new(new.id.as_str())), ("TOKEN_SECRET", secret)], script);
    calls.pveum(DONE, token("modify", &new.id).option("comment", &new.comment(Stage::Storing)))
}

/// Whether the request was answered, and the rights seen.
pub fn proved(new: &Making, answers: &Answers) -> Result<()> {
    if let Some(failed) = answers.0.iter().find(|answer| answer.status != 0) {
        let said = if failed.name == PROOF { failed.out.expose() } else { failed.said.as_str() };
        return Err(Error::msg(Kind::Refused, format!("{} does not work: {}", new.id, sanitize::line(said.trim()))));
    }
    let proof = answers.done(PROOF)?;
    let body = proof.out.expose().split_once("\n\n").map_or("", |(_, body)| body);
    let json: Option<serde_json::Value> = serde_json::from_str(body.trim()).ok();
    let rights = json.as_ref().and_then(|json| json["data"].as_object());
    match rights {
        Some(rights) if rights.is_empty() && !new.rights.is_empty() => {
            Err(Error::msg(Kind::Refused, format!("PVE lets {} do nothing", new.id)))
        }
        Some(_) => answers.done(DONE).map(|_| ()),
        None => Err(Error::msg(Kind::Unreadable, format!("the answer to {} is not one of PVE's API", new.id))),
    }
}

/// What becomes of the one whose place was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is deleted now.
    Revoked,
    /// PVE refuses it from this second on (seconds since 1970).
    At(u64),
}

/// The secret is in its sink: the comment says so.
pub fn in_use(id: &str, comment: &str, by: &str) -> Calls {
    let calls = Calls::new().pveum(DONE, token("modify", id).option("comment", comment));
    calls.record(&format!("token {id} in use, by {by}"))
}

/// Ends a token.
pub fn end(id: &str, ending: Ending, by: &str) -> Calls {
    match ending {
        Ending::Revoked => Calls::new().pveum(DONE, token("delete", id)).record(&format!("token {id} revoked by {by}")),
        Ending::At(at) => {
            let calls = Calls::new().pveum(DONE, token("modify", id).option("expire", &at.to_string()));
            calls.record(&format!("token {id} ends on {}, by {by}", crate::access::day(at)))
        }
    }
}

/// A new secret for the same token; the former one ends at once.
pub fn regenerate(new: &Making, by: &str) -> Calls {
    let words = token("modify", &new.id)
        .option("regenerate", "1")
        .option("expire", &new.expires.to_string())
        .option("comment", &new.comment(Stage::Storing))
        .option("output-format", "json");
    Calls::new().pveum(MADE, words).record(&format!("token {} given a new secret by {by}", new.id))
}

/// Whether [`end`] and [`in_use`] ended well.
pub fn done(answers: &Answers) -> Result<()> {
    answers.done(DONE).map(|_| ())
}

/// A request that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// When.
    pub at: Timestamp,
    /// From where.
    pub from: String,
    /// The node that answered.
    pub node: String,
}

/// Last uses by token, and the nodes whose log could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// The newest one of each token.
    pub last: BTreeMap<String, Use>,
    /// Names of nodes.
    pub unread: Vec<String>,
}

/// Asks when tokens were last used: this node's log, and those of its peers (name, address) over root's own SSH.
pub fn uses_program(ids: &[&str], own: &str, peers: &[(String, String)]) -> Program {
    let look = format!(
        "TOKEN_IDS={}\nexport TOKEN_IDS\n{}\ntoken_uses\n",
        quote::shell(&ids.join("\n")),
        include_str!("remote/token.sh")
    );
    let mut text = format!(
        "LOOK={}\nused=$(printf '%s' \"$LOOK\" | sh -s)\nemit {} \"$?\" \"$used\"\n",
        quote::shell(&look),
        quote::shell(&format!("used.{own}"))
    );
    for (name, address) in peers {
        let key = quote::shell(&format!("HostKeyAlias={name}"));
        let known = quote::shell(&format!("UserKnownHostsFile=/etc/pve/nodes/{name}/ssh_known_hosts"));
        let host = quote::shell(&format!("root@{address}"));
        let frame = quote::shell(&format!("used.{name}"));
        let _ = write!(
            text,
            "used=$(printf '%s' \"$LOOK\" | timeout 25 ssh -e none -o BatchMode=yes -o ConnectTimeout=10 \
             -o ControlPath=none -o {key} -o {known} -o GlobalKnownHostsFile=/etc/ssh/ssh_known_hosts {host} sh -s \
             2>/dev/null)\nemit {frame} \"$?\" \"$used\"\n"
        );
    }
    Program::new(&text)
}

/// Reads the answer of [`uses_program`].
pub fn uses(frames: &[Frame]) -> Uses {
    let mut uses = Uses::default();
    for frame in frames {
        let Some(node) = frame.name.strip_prefix("used.") else { continue };
        if frame.status != 0 {
            uses.unread.push(node.to_owned());
            continue;
        }
        for line in String::from_utf8_lossy(&frame.body).lines() {
            let Some((id, line)) = line.split_once('\t') else { continue };
            let Some((at, from)) = request(line) else { continue };
            let newer = uses.last.get(id).is_none_or(|known| known.at < at);
            if newer {
                uses.last.insert(id.to_owned(), Use { at, from, node: node.to_owned() });
            }
        }
    }
    uses
}

/// `ADDRESS - USER [22/11/2026:07:00:00 +0000] "GET …" 200 171` (pve-http-server `AnyEvent.pm`, `log_request`).
fn request(line: &str) -> Option<(Timestamp, String)> {
    let from = line.split(' ').next()?;
    let from = from.strip_prefix("::ffff:").unwrap_or(from);
    let (_, rest) = line.split_once('[')?;
    let (at, _) = rest.split_once(']')?;
    let at = jiff::fmt::strtime::parse("%d/%m/%Y:%H:%M:%S %z", at).ok()?.to_timestamp().ok()?;
    Some((at, sanitize::line(from).into_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(name: &str, status: i32, body: &str) -> Frame {
        Frame { name: name.into(), status, body: body.into() }
    }

    #[test]
    fn the_last_use_of_all_nodes_is_found() {
        let line = |at: &str| {
            format!("a@pve!ci\t::ffff:192.0.2.7 - a@pve!ci [{at}] \"GET /api2/json/version HTTP/1.1\" 200 171\n")
        };
        let frames = [
            frame("login", 0, ""),
            frame("used.pve1", 0, &line("21/11/2026:23:01:05 +0000")),
            frame("used.pve2", 0, &line("22/11/2026:00:30:00 +0100")),
            frame("used.pve3", 255, ""),
        ];
        let uses = uses(&frames);
        assert_eq!(uses.unread, ["pve3"]);
        let last = &uses.last["a@pve!ci"];
        assert_eq!(
            (last.node.as_str(), last.from.as_str(), last.at.to_string().as_str()),
            ("pve2", "192.0.2.7", "2026-11-21T23:30:00Z")
        );
    }

    #[test]
    fn the_log_is_searched_for_whole_ids() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("access.log");
        let lines = "::ffff:192.0.2.7 - a@pve!ci [21/11/2026:23:01:05 +0000] \"GET /x HTTP/1.1\" 200 1\n\
                     ::ffff:192.0.2.8 - a@pve!ci2 [21/11/2026:23:01:06 +0000] \"GET /a@pve!ci HTTP/1.1\" 200 1\n";
        std::fs::write(&log, lines).unwrap();
        let text = format!(
            "TOKEN_IDS={}; export TOKEN_IDS\n{}\ntoken_uses\n",
            quote::shell("a@pve!ci\nb@pve!x"),
            include_str!("remote/token.sh").replace("/var/log/pveproxy", &folder.path().display().to_string())
        );
        let said = std::process::Command::new("sh").arg("-c").arg(&text).output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.starts_with("a@pve!ci\t::ffff:192.0.2.7"), "{said}");
    }

    #[test]
    fn a_secret_is_taken_only_for_the_token_that_was_asked_for() {
        let answers = |body: &str| Answers::of(&[frame("ready", 0, ""), frame(MADE, 0, body)], &[]).unwrap();
        let right =
            r#"{"full-tokenid":"a@pve!ci","info":{"privsep":1},"value":"5625fe8e-cb54-44dc-9930-286b5d4770ce"}"#;
        assert_eq!(secret(&answers(right), "a@pve!ci").unwrap().expose().len(), 36);
        for wrong in [
            right.replace("pve!ci", "pve!cj"),
            right.replace("5625fe8e-cb54-44dc-9930-", "\\n"),
            "{}".into(),
            String::new(),
        ] {
            assert!(secret(&answers(&wrong), "a@pve!ci").is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_log_is_read_without_a_panic(body in "(\\PC|\t|\n|\\[|\\]|[0-9/:+ ]){0,80}") {
            let _ = uses(&[frame("used.pve1", 0, &body)]);
        }
    }
}
