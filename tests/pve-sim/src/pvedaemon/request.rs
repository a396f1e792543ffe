//! One API request: who asks, what with, and the call it becomes.

use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderMap};
use hyper::http::request::Parts;
use serde_json::Value;

use super::CLIENT_HEADER;
use crate::access::{login, ticket};
use crate::api::{ApiError, Call, Parameters};
use crate::host::Host;
use crate::percent::decode;

/// A request as read from the wire.
pub struct Asked {
    method: String,
    path: String,
    parameters: Parameters,
    client: Option<String>,
    token: Option<String>,
    ticket: Option<String>,
    csrf: Option<String>,
}

/// A refusal; `why` goes to the journal, not to the client.
pub struct Refused {
    /// What the client hears.
    pub error: ApiError,
    /// What the journal hears.
    pub why: Option<String>,
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self { error, why: None }
    }
}

impl Asked {
    /// Takes a request apart.
    pub fn read(parts: &Parts, body: &Bytes) -> Self {
        let text = |name: &str| header(&parts.headers, name);
        let mut parameters = form(parts.uri.query().unwrap_or_default());
        let kind = text(CONTENT_TYPE.as_str()).unwrap_or_default();
        if kind.starts_with("application/json") {
            if let Ok(Value::Object(given)) = serde_json::from_slice(body) {
                parameters.extend(given);
            }
        } else {
            parameters.extend(form(&String::from_utf8_lossy(body)));
        }
        let path = parts.uri.path();
        let rest = ["/api2/json", "/api2/extjs"].iter().find_map(|prefix| path.strip_prefix(prefix));
        Self {
            method: parts.method.to_string(),
            path: decode(rest.unwrap_or_default()),
            parameters,
            client: text(CLIENT_HEADER),
            token: text(AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("PVEAPIToken=").map(decode)),
            ticket: text(COOKIE.as_str()).and_then(|value| cookie(&value)),
            csrf: text("csrfpreventiontoken"),
        }
    }

    /// Checks who asks and runs the call; also gives who it was.
    pub fn answer(self, host: &Host) -> (Result<Value, Refused>, Option<String>) {
        let user = match self.who(host) {
            Ok(user) => user,
            Err(refused) => return (Err(refused), None),
        };
        let call = Call { host, user: user.as_deref().unwrap_or(""), remote: self.client.as_deref() };
        let outcome = call.run(&self.method, &self.path, self.parameters).map_err(Refused::from);
        (outcome, user)
    }

    /// The asker; none for calls that everybody may make.
    fn who(&self, host: &Host) -> Result<Option<String>, Refused> {
        let open = matches!(
            (self.method.as_str(), self.path.as_str()),
            ("GET" | "POST", "/access/ticket") | ("GET", "/access/domains")
        );
        if open {
            return Ok(None);
        }
        let cfg = crate::access::user_cfg(host);
        let refused = |why: Option<String>| Refused { error: ApiError::NoTicket("No ticket"), why };
        if let Some(token) = &self.token {
            return login::token(host, &cfg, token).map(Some).map_err(|why| refused(Some(why)));
        }
        let ticket = self.ticket.as_deref().ok_or_else(|| refused(None))?;
        let user = ticket::user(host, ticket).ok_or_else(|| refused(Some("invalid PVE ticket".to_owned())))?;
        login::account(&cfg, &user).map_err(|why| refused(Some(why)))?;
        let forged = || !self.csrf.as_deref().is_some_and(|csrf| ticket::csrf_fits(host, &user, csrf));
        if self.method != "GET" && forged() {
            return Err(Refused { error: ApiError::NoTicket("Permission denied - invalid csrf token"), why: None });
        }
        Ok(Some(user))
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn cookie(text: &str) -> Option<String> {
    text.split(';').find_map(|part| part.trim().strip_prefix("PVEAuthCookie=")).map(decode)
}

/// `name=value&name=value`
fn form(text: &str) -> Parameters {
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decode(&name.replace('+', " ")), Value::from(decode(&value.replace('+', " ")))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_keeps_special_letters_of_a_password() {
        let given = form("username=root%40pam&password=a%2Bb+c%26d");
        assert_eq!(given["username"], "root@pam");
        assert_eq!(given["password"], "a+b c&d");
    }

    #[test]
    fn the_ticket_is_found_among_cookies() {
        assert_eq!(cookie("x=1; PVEAuthCookie=PVE%3Aroot@pam:1::s").as_deref(), Some("PVE:root@pam:1::s"));
    }
}
