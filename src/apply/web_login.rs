//! A login of a user of PVE at the node's own port 8006, as a browser does it: password, then a code where the user has a
//! second factor, then a question that only a ticket answers (pve-access-control, `API2/AccessControl.pm`,
//! `create_ticket`). The ticket is thrown away; PVE forgets it after two hours.

use std::fmt::Write as _;

use super::calls::{Answers, Calls};
use crate::error::{Error, Kind, Result};
use crate::sanitize;
use crate::secret::Secret;

const WEB: &str = "web";

/// How far a login came.
#[derive(Clone, Debug)]
pub enum Step {
    /// PVE gave a ticket.
    In(Secret),
    /// PVE asks for a second factor; the text goes back with the code.
    Factor {
        /// What PVE sent.
        challenge: Secret,
        /// Whether a TOTP code is taken.
        totp: bool,
    },
}

/// The password of a user.
pub fn password(user: &str, password: &Secret) -> Calls {
    post(&[("username", user), ("password", password.expose())])
}

/// A code of TOTP.
pub fn code(user: &str, challenge: &Secret, code: &Secret) -> Calls {
    let answer = Secret::new(format!("totp:{}", code.expose()));
    post(&[("username", user), ("tfa-challenge", challenge.expose()), ("password", answer.expose())])
}

/// What the holder of a ticket may do on `/`.
pub fn rights(ticket: &Secret) -> Calls {
    let head = "GET /api2/json/access/permissions?path=%2F HTTP/1.0\r\nHost: localhost\r\nCookie: PVEAuthCookie=";
    request(&Secret::new(format!("{head}{}\r\n\r\n", escaped(ticket.expose()))))
}

fn post(fields: &[(&str, &str)]) -> Calls {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    let body = fields.join("&");
    request(&Secret::new(format!(
        "POST /api2/json/access/ticket HTTP/1.0\r\nHost: localhost\r\nContent-Type: \
         application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )))
}

fn request(text: &Secret) -> Calls {
    let script = concat!(include_str!("remote/proofs.sh"), include_str!("remote/web.sh"), "web_request\n");
    Calls::new().script(&[("WEB_REQUEST", text)], script)
}

/// Percent-encoding of everything that is not plain (RFC 3986, 2.3).
fn escaped(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// What PVE asks for, as it stands in a ticket with `:` escaped (pve-common, `Ticket.pm`): {"totp":true,"recovery":…}.
fn challenge(ticket: &str) -> Option<serde_json::Value> {
    let escaped = ticket.strip_prefix("PVE:!tfa!")?.split(':').next()?;
    let mut bytes = Vec::new();
    let mut rest = escaped.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let code = (*first == b'%').then(|| more.get(..2)).flatten();
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { more.get(2..).unwrap_or_default() } else { more };
    }
    serde_json::from_slice(&bytes).ok()
}

/// What PVE made of a password or code.
pub fn step(answers: &Answers, user: &str) -> Result<Step> {
    let data = data(answers, user)?;
    let text = |name: &str| data[name].as_str().filter(|text| !text.is_empty());
    let Some(ticket) = text("ticket").filter(|_| text("username") == Some(user)) else {
        return Err(Error::msg(Kind::Unreadable, format!("the answer to a login of {user} is not one of PVE's API")));
    };
    if !data["NeedTFA"].is_null() || ticket.starts_with("PVE:!tfa!") {
        let totp = challenge(ticket).is_some_and(|kinds| kinds["totp"] == true);
        return Ok(Step::Factor { challenge: Secret::new(ticket), totp });
    }
    Ok(Step::In(Secret::new(ticket)))
}

/// Whether the holder of the ticket has all these privileges on `/` and below.
pub fn may_do_everything(answers: &Answers, user: &str, all: &[&str]) -> Result<()> {
    let data = data(answers, user)?;
    let has = |privilege: &str| {
        data["/"][privilege].as_i64().or(data["/"][privilege].as_str().and_then(|it| it.parse().ok()))
    };
    let missing: Vec<&str> = all.iter().copied().filter(|privilege| has(privilege) != Some(1)).collect();
    if !all.is_empty() && missing.is_empty() {
        return Ok(());
    }
    Err(Error::msg(
        Kind::Refused,
        format!("PVE lets {user} log in and not do everything: {} is missing", missing.join(", ")),
    ))
}

fn data(answers: &Answers, user: &str) -> Result<serde_json::Value> {
    let answer = answers.get(WEB).filter(|answer| answer.status == 0);
    let reply = answer.ok_or_else(|| Error::msg(Kind::Refused, "port 8006 of the node does not answer"))?.out.expose();
    let (head, body) = reply.split_once("\n\n").unwrap_or((reply, ""));
    let first = head.lines().next().unwrap_or_default();
    if first.split(' ').nth(1) != Some("200") {
        let why = format!("PVE refuses the login of {user}: {}", sanitize::line(first));
        return Err(Error::msg(Kind::Refused, why));
    }
    let json: Option<serde_json::Value> = serde_json::from_str(body.trim()).ok();
    json.map(|json| json["data"].clone())
        .filter(serde_json::Value::is_object)
        .ok_or_else(|| Error::msg(Kind::Unreadable, format!("the answer to a login of {user} is not one of PVE's API")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::transport::Frame;

    fn answers(status: i32, body: &str) -> Answers {
        let frame = |name: &str, status: i32, body: &str| Frame { name: name.into(), status, body: body.into() };
        Answers::of(&[frame("ready", 0, ""), frame(WEB, status, body)], &[]).unwrap()
    }

    fn granted(data: &str) -> Answers {
        answers(0, &format!("HTTP/1.1 200 OK\nServer: pve-api-daemon/3.0\n\n{{\"data\":{data}}}"))
    }

    /// Shapes of tfa-totp.txt.
    #[test]
    fn a_ticket_or_a_challenge_or_a_no() {
        let step = |answers: &Answers| step(answers, "ann@pve");
        let whole = granted(r#"{"username":"ann@pve","ticket":"PVE:ann@pve:6A00::x==","CSRFPreventionToken":"y"}"#);
        assert!(matches!(step(&whole), Ok(Step::In(ticket)) if ticket.expose() == "PVE:ann@pve:6A00::x=="));
        let half = |kinds: &str| {
            let ticket = serde_json::Value::from(format!("PVE:!tfa!{kinds}:6A00::x=="));
            granted(&format!(r#"{{"NeedTFA":1,"username":"ann@pve","ticket":{ticket},"CSRFPreventionToken":"y"}}"#))
        };
        for (kinds, takes) in [
            (r#"{"recovery"%3A"available","totp"%3Atrue}"#, true),
            ("%7B%22totp%22%3Atrue%7D", true),
            (r#"{"totp"%3Afalse,"webauthn"%3A{"x"%3A"totp"}}"#, false),
            ("%", false),
        ] {
            let step = step(&half(kinds));
            assert!(matches!(step, Ok(Step::Factor { totp, .. }) if totp == takes), "{kinds}");
        }
        let no = answers(0, "HTTP/1.1 401 authentication failure\n\n{\"data\":null}");
        assert_eq!(
            step(&no).unwrap_err().to_string(),
            "PVE refuses the login of ann@pve: HTTP/1.1 401 authentication failure"
        );
        assert_eq!(step(&answers(1, "")).unwrap_err().to_string(), "port 8006 of the node does not answer");
        let somebody = granted(r#"{"username":"bob@pve","ticket":"PVE:bob@pve:6A00::x=="}"#);
        assert_eq!(step(&somebody).unwrap_err().kind, Kind::Unreadable);
    }

    #[test]
    fn everything_is_every_privilege_and_below() {
        let all = ["Sys.Audit", "Sys.Modify", "VM.Audit"];
        let rights = |of: &dyn Fn(&str) -> u8| {
            let words: Vec<String> = all.iter().map(|name| format!("\"{name}\":{}", of(name))).collect();
            granted(&format!("{{\"/\":{{{}}}}}", words.join(",")))
        };
        assert!(may_do_everything(&rights(&|_| 1), "ann@pve", &all).is_ok());
        let not_below =
            may_do_everything(&rights(&|name| u8::from(name != "Sys.Modify")), "ann@pve", &all).unwrap_err();
        assert_eq!(not_below.to_string(), "PVE lets ann@pve log in and not do everything: Sys.Modify is missing");
        assert!(may_do_everything(&granted("{}"), "ann@pve", &all).is_err());
    }

    #[test]
    fn a_password_is_in_no_output_of_ours() {
        let calls = password("ann@pve", &Secret::new("hunter2+ &ü"));
        assert!(!format!("{calls:?}").contains("hunter2"));
        assert_eq!(escaped("hunter2+ &ü"), "hunter2%2B%20%26%C3%BC");
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_a_panic(body in "(HTTP/1.1 200 OK\\n\\n)?(\\PC|\\n|\\{|\\}|\"){0,60}") {
            let _ = step(&answers(0, &body), "ann@pve");
            let _ = may_do_everything(&answers(0, &body), "ann@pve", &["VM.Audit"]);
        }
    }
}
