//! `/access/users/{userid}/token`

use serde_json::{Map, Value, json};

use super::users::existing;
use super::{Answer, ApiError, Call, Parameters, given_text, in_any_order, number, switch, text};
use crate::access::names::list;
use crate::access::secrets;
use crate::access::user_cfg::{Token, User};
use crate::cfs_lock::locked;
use crate::files::write_atomic;
use crate::host::Host;
use crate::random::uuid;

/// Calls on a user's tokens.
pub fn handle(call: &Call<'_>, method: &str, path: &str, given: &Parameters) -> Answer {
    let user = text(given, "userid");
    if call.user != user {
        call.require("/access/groups", "User.Modify")?;
    }
    let one = path.ends_with("{tokenid}");
    match (method, one) {
        ("GET", false) => Ok(rows(existing(&mut call.cfg(), user)?)),
        ("GET", true) => {
            let mut cfg = call.cfg();
            let token = known(existing(&mut cfg, user)?, user, text(given, "tokenid"))?;
            Ok(Value::Object(details(token)))
        }
        ("POST", true) => add(call, given),
        ("PUT", true) => modify(call, given),
        ("DELETE", true) => delete(call, given),
        _ => Err(ApiError::NoHandler),
    }
}

/// The tokens of a user as a list.
pub fn rows(user: &User) -> Value {
    let rows = user
        .tokens
        .iter()
        .map(|(name, token)| {
            let mut row = details(token);
            row.insert("tokenid".to_owned(), json!(name));
            Value::Object(row)
        })
        .collect();
    in_any_order(rows)
}

/// The tokens of a user by name.
pub fn map(user: &User) -> Value {
    Value::Object(user.tokens.iter().map(|(name, token)| (name.clone(), Value::Object(details(token)))).collect())
}

fn details(token: &Token) -> Map<String, Value> {
    let mut row = Map::new();
    row.insert("expire".to_owned(), json!(token.expire));
    row.insert("privsep".to_owned(), json!(u8::from(token.privsep)));
    if !token.comment.is_empty() {
        row.insert("comment".to_owned(), json!(token.comment));
    }
    row
}

fn known<'u>(user: &'u mut User, id: &str, name: &str) -> Result<&'u mut Token, ApiError> {
    user.tokens.get_mut(name).ok_or_else(|| ApiError::failed(format!("no such token '{name}' for user '{id}'")))
}

/// What was given comes back as it was typed; only the defaults are numbers.
fn typed(given: &Parameters) -> Map<String, Value> {
    let keep = |name: &str| given.get(name).cloned().map(|value| (name.to_owned(), as_typed(&value)));
    ["comment", "expire", "privsep"].into_iter().filter_map(keep).collect()
}

fn as_typed(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::from(number.to_string()),
        other => other.clone(),
    }
}

fn add(call: &Call<'_>, given: &Parameters) -> Answer {
    let (id, name) = (text(given, "userid"), text(given, "tokenid"));
    let full = format!("{id}!{name}");
    let mut info = typed(given);
    info.entry("privsep").or_insert_with(|| json!(1));
    let secret = uuid()?;
    let exists = || ApiError::parameter("tokenid", "Token already exists.");
    if existing(&mut call.cfg(), id)?.tokens.contains_key(name) {
        return Err(exists());
    }
    call.change("generating token failed", |cfg, _| {
        let user = existing(cfg, id)?;
        if user.tokens.contains_key(name) {
            return Err(exists());
        }
        let token = Token {
            expire: number(given, "expire").unwrap_or(0),
            privsep: switch(given, "privsep").unwrap_or(true),
            comment: text(given, "comment").to_owned(),
        };
        user.tokens.insert(name.to_owned(), token);
        store(call.host, &full, Some(&secret))
    })?;
    Ok(json!({"full-tokenid": full, "info": info, "value": secret}))
}

fn modify(call: &Call<'_>, given: &Parameters) -> Answer {
    let (id, name) = (text(given, "userid"), text(given, "tokenid"));
    let full = format!("{id}!{name}");
    let secret = if switch(given, "regenerate") == Some(true) { Some(uuid()?) } else { None };
    let mut answer = Map::new();
    call.change("", |cfg, _| {
        let token = known(existing(cfg, id)?, id, name)?;
        answer = details(token);
        answer.extend(typed(given));
        token.expire = number(given, "expire").unwrap_or(token.expire);
        token.privsep = switch(given, "privsep").unwrap_or(token.privsep);
        if let Some(comment) = given_text(given, "comment") {
            comment.clone_into(&mut token.comment);
        }
        for setting in list(text(given, "delete")) {
            match setting {
                "comment" => token.comment.clear(),
                "expire" => token.expire = 0,
                _ => {}
            }
            answer.remove(setting);
        }
        if let Some(secret) = &secret {
            store(call.host, &full, Some(secret))?;
            answer.insert("full-tokenid".to_owned(), json!(full));
            answer.insert("value".to_owned(), json!(secret));
        }
        Ok(())
    })?;
    Ok(Value::Object(answer))
}

/// The token's permissions stay in the file; they are dropped, with a warning, at the next reading.
fn delete(call: &Call<'_>, given: &Parameters) -> Answer {
    let (id, name) = (text(given, "userid"), text(given, "tokenid"));
    call.change("", |cfg, _| {
        let user = existing(cfg, id)?;
        known(user, id, name)?;
        user.tokens.remove(name);
        store(call.host, &format!("{id}!{name}"), None)
    })?;
    Ok(Value::Null)
}

fn store(host: &Host, id: &str, secret: Option<&str>) -> Result<(), ApiError> {
    locked(host, "priv/token.cfg", || {
        let file = host.pve("priv/token.cfg");
        let mut tokens = secrets::parse_tokens(&crate::files::text(&file));
        match secret {
            Some(secret) => tokens.insert(id.to_owned(), secret.to_owned()),
            None => tokens.remove(id),
        };
        write_atomic(&file, secrets::write_tokens(&tokens).as_bytes(), 0o600)
    })
    .map_err(ApiError::from)
}
