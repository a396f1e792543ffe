//! `/access/tfa`: second factors.

use serde_json::{Value, json};

use super::users::existing;
use super::{Answer, ApiError, Call, Parameters, given_text, switch, text};
use crate::access::login;
use crate::access::tfa::{TfaCfg, unlock};
use crate::access::user_cfg::ROOT;
use crate::cfs_lock::locked;
use crate::host::Host;

/// Calls on second factors.
pub fn handle(call: &Call<'_>, method: &str, path: &str, given: &Parameters) -> Answer {
    if method != "GET" && call.user.contains('!') {
        return Err(ApiError::Permission("not available with API token, need proper ticket".to_owned()));
    }
    let user = text(given, "userid");
    if path != "/access/tfa" && call.user != user {
        call.require("/access/groups", "User.Modify")?;
    }
    match (method, path) {
        ("GET", "/access/tfa") => Ok(list(call)),
        ("GET", "/access/tfa/{userid}") => Ok(rows(call.host, user).into()),
        ("POST", "/access/tfa/{userid}") => add(call, user, given),
        ("GET", "/access/tfa/{userid}/{id}") => {
            let id = text(given, "id");
            let found = rows(call.host, user).into_iter().find(|row| row["id"] == id);
            found.ok_or_else(|| ApiError::failed(format!("No such tfa entry '{id}'")))
        }
        ("PUT", "/access/tfa/{userid}/{id}") => {
            confirm(call, user, given)?;
            change(call.host, |cfg| {
                let enable = switch(given, "enable");
                cfg.update(user, text(given, "id"), given_text(given, "description"), enable).map_err(ApiError::failed)
            })?;
            Ok(Value::Null)
        }
        ("DELETE", "/access/tfa/{userid}/{id}") => {
            confirm(call, user, given)?;
            let left = change(call.host, |cfg| cfg.delete(user, text(given, "id")).map_err(ApiError::failed))?;
            if !left {
                mark(call, user, false)?;
            }
            Ok(Value::Null)
        }
        _ => Err(ApiError::NoHandler),
    }
}

fn rows(host: &Host, user: &str) -> Vec<Value> {
    TfaCfg::read(host).users.get(user).map(crate::access::tfa::Factors::rows).unwrap_or_default()
}

fn list(call: &Call<'_>) -> Value {
    let sees_all = call.has("/access/groups", "User.Modify") || call.has("/access/groups", "Sys.Audit");
    let users = TfaCfg::read(call.host).users;
    let users = users.iter().filter(|(user, _)| sees_all || user.as_str() == call.user);
    let rows = users.map(|(user, factors)| {
        let mut row = json!({"entries": factors.rows(), "userid": user});
        if factors.totp_locked {
            row["totp-locked"] = json!(1);
        }
        row
    });
    super::in_any_order(rows.collect())
}

/// Everybody but root@pam gives the own password again; nobody but root@pam changes root@pam.
fn confirm(call: &Call<'_>, user: &str, given: &Parameters) -> Result<(), ApiError> {
    let cfg = call.cfg();
    existing(&mut cfg.clone(), user)?;
    if call.user == ROOT {
        return Ok(());
    }
    if user == ROOT {
        return Err(ApiError::Permission("Permission check failed".to_owned()));
    }
    let password = given_text(given, "password")
        .ok_or_else(|| ApiError::parameter("password", "password is required to modify user"))?;
    login::password(call.host, &cfg, call.user, password, call.remote).map_err(ApiError::failed)
}

fn change<T>(host: &Host, edit: impl FnOnce(&mut TfaCfg) -> Result<T, ApiError>) -> Result<T, ApiError> {
    let outcome = locked(host, "priv/tfa.cfg", || {
        let mut cfg = TfaCfg::read(host);
        let done = edit(&mut cfg)?;
        cfg.write(host)?;
        Ok(done)
    });
    outcome.map_err(ApiError::from)
}

/// The mark `x` in user.cfg: set before PVE looks at the code, so that a wrong one leaves it.
fn mark(call: &Call<'_>, user: &str, enrolled: bool) -> Result<(), ApiError> {
    call.change("enabling TFA for the user failed", |cfg, _| {
        (if enrolled { "x" } else { "" }).clone_into(&mut existing(cfg, user)?.keys);
        Ok(())
    })
}

fn add(call: &Call<'_>, user: &str, given: &Parameters) -> Answer {
    confirm(call, user, given)?;
    let (totp, value) = (given_text(given, "totp"), given_text(given, "value"));
    let challenge = given_text(given, "challenge");
    change(call.host, |cfg| {
        mark(call, user, true)?;
        let failed = |why: &str| Err(ApiError::failed(why));
        match text(given, "type") {
            "totp" if challenge.is_some() => failed("'challenge' parameter is invalid for 'totp' entries"),
            "totp" => {
                let Some(description) = given_text(given, "description") else {
                    return failed("'description' is required for new entries");
                };
                let (Some(totp), Some(value)) = (totp, value) else {
                    return failed("'totp' type requires both 'totp' and 'value' parameters");
                };
                cfg.add_totp(user, description, totp, value).map(|id| json!({"id": id})).map_err(ApiError::failed)
            }
            "recovery" if totp.or(value).or(challenge).is_some() => {
                failed("generating recovery tokens does not allow additional parameters")
            }
            "recovery" => {
                let keys = cfg.add_recovery(user).map_err(ApiError::failed)?;
                Ok(json!({"id": "recovery", "recovery": keys}))
            }
            other => Err(ApiError::failed(format!("pve-sim does not play {other}"))),
        }
    })
}

/// `PUT /access/users/{userid}/unlock-tfa`: whether the user was locked.
pub fn unlock_user(call: &Call<'_>, user: &str) -> Answer {
    call.require("/access/groups", "User.Modify")?;
    let was_locked = change(call.host, |cfg| {
        let factors = cfg.users.get_mut(user);
        let factors = factors.ok_or_else(|| ApiError::Failed { code: 2, message: "no such user".to_owned() })?;
        Ok(unlock(call.host, factors, user))
    })?;
    Ok(json!(u8::from(was_locked)))
}

/// `pveum user tfa delete`: one entry, or all.
pub fn delete(call: &Call<'_>, user: &str, id: Option<&str>) -> Result<(), ApiError> {
    change(call.host, |cfg| {
        let left = if let Some(id) = id {
            cfg.delete(user, id).map_err(ApiError::failed)?
        } else {
            cfg.users.remove(user);
            false
        };
        if left { Ok(()) } else { mark(call, user, false) }
    })
}

/// Forgets a user's factors.
pub fn forget(host: &Host, user: &str) -> Result<(), ApiError> {
    if !TfaCfg::read(host).users.contains_key(user) {
        return Ok(());
    }
    change(host, |cfg| {
        cfg.users.remove(user);
        Ok(())
    })
}

/// `pveum user tfa list`.
pub fn listing(host: &Host, user: Option<&str>) -> String {
    let entries = |rows: Vec<Value>, indent: &str| -> String {
        let lines = rows.iter().map(|row| {
            let word = |name: &str| row[name].as_str().unwrap_or_default();
            let kind = format!("{}:", word("type"));
            format!("{indent}{kind:<9} {}\n{indent}    {}\n", word("id"), word("description"))
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    if let Some(user) = user {
        return entries(rows(host, user), "");
    }
    let users = TfaCfg::read(host).users;
    let parts = users.iter().map(|(user, factors)| format!("{user}:\n{}", entries(factors.rows(), "    ")));
    parts.collect::<Vec<_>>().join("\n")
}
