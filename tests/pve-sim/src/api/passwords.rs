//! `/access/password` and `/access/ticket`

use serde_json::{Map, Value, json};

use super::users::{existing, set_password};
use super::{Answer, ApiError, Call, Parameters, given_text, text};
use crate::access::login;
use crate::access::permissions::Judge;
use crate::access::ticket;
use crate::access::user_cfg::{ROOT, UserCfg};
use crate::pmxcfs::membership;
use crate::syslog::{Severity, Syslog};

const LOG: Syslog = Syslog::new("pvedaemon");

/// Calls on passwords and tickets.
pub fn handle(call: &Call<'_>, method: &str, path: &str, given: &Parameters) -> Answer {
    match (method, path) {
        ("PUT", "/access/password") => change(call, given),
        ("GET", "/access/ticket") => Ok(Value::Null),
        ("POST", "/access/ticket") => log_in(call, given),
        _ => Err(ApiError::NoHandler),
    }
}

fn change(call: &Call<'_>, given: &Parameters) -> Answer {
    let id = text(given, "userid");
    existing(&mut call.cfg(), id)?;
    if call.user != ROOT && call.user != id {
        call.require("/access/groups", "User.Modify")?;
    }
    if call.user != ROOT {
        let current = text(given, "confirmation-password");
        login::password(call.host, &call.cfg(), call.user, current, call.remote)
            .map_err(|_| ApiError::parameter("confirmation-password", "wrong password"))?;
    }
    set_password(call.host, id, text(given, "password"))?;
    Ok(Value::Null)
}

/// A password, or a ticket in its place, gives a ticket.
fn log_in(call: &Call<'_>, given: &Parameters) -> Answer {
    let mut user = text(given, "username").to_owned();
    if let Some(realm) = given.get("realm").and_then(Value::as_str)
        && !user.contains('@')
    {
        user = format!("{user}@{realm}");
    }
    let (cfg, password) = (call.cfg(), text(given, "password"));
    let challenge = match proved(call, &cfg, &user, password, given) {
        Ok(challenge) => challenge,
        Err(reason) => {
            let remote = call.remote.unwrap_or("");
            LOG.log(Severity::Error, &format!("authentication failure; rhost={remote} user={user} msg={reason}"));
            return Err(ApiError::NoTicket("authentication failure"));
        }
    };
    LOG.info(&format!("<root@pam> successful auth for user '{user}'"));
    let mut answer = json!({
        "username": user,
        "CSRFPreventionToken": ticket::csrf(call.host, &user)?,
    });
    if let Some(challenge) = challenge {
        answer["ticket"] = json!(ticket::half(call.host, &user, &challenge)?);
        answer["NeedTFA"] = json!(1);
    } else {
        answer["ticket"] = json!(ticket::make(call.host, &user)?);
        answer["cap"] = capabilities(call, &user);
    }
    if let Some(cluster) = membership::current() {
        answer["clustername"] = json!(cluster.name);
    }
    Ok(answer)
}

/// The first factor, or the answer to the challenge that it led to; what is still asked for.
fn proved(
    call: &Call<'_>,
    cfg: &UserCfg,
    user: &str,
    password: &str,
    given: &Parameters,
) -> Result<Option<String>, String> {
    let otp = given_text(given, "otp");
    if let Some(challenge) = given_text(given, "tfa-challenge") {
        if otp.is_some() {
            return Err("TFA response should be in 'password', not 'otp' when 'tfa-challenge' is set".to_owned());
        }
        if !ticket::is_half(call.host, user, challenge) {
            return Err("permission denied - invalid PVE ticket".to_owned());
        }
        return login::second(call.host, cfg, user, password).map(|()| None);
    }
    if ticket::user(call.host, password).is_some_and(|of| of == user) {
        return login::account(cfg, user).map(|()| None);
    }
    login::password(call.host, cfg, user, password, call.remote)?;
    let challenge = login::challenge(call.host, user)?;
    match (otp, &challenge) {
        (Some(otp), Some(_)) => login::second(call.host, cfg, user, otp).map(|()| None),
        (Some(_), None) => Err("no such challenge".to_owned()),
        (None, _) => Ok(challenge),
    }
}

/// What the web interface shows to this user.
fn capabilities(call: &Call<'_>, user: &str) -> Value {
    let (cfg, catalogue) = (call.cfg(), call.catalogue());
    let judge = Judge { cfg: &cfg, catalogue: &catalogue };
    let mut areas = Map::new();
    for (area, prefixes) in [
        ("vms", &["VM."][..]),
        ("storage", &["Datastore."]),
        ("access", &["User.", "Group.", "Realm."]),
        ("nodes", &["Sys."]),
        ("mapping", &["Mapping."]),
        ("sdn", &["SDN."]),
        ("dc", &["Sys."]),
    ] {
        let mut found = Map::new();
        for privileges in judge.tree(user).into_values() {
            for name in privileges.into_keys() {
                if prefixes.iter().any(|prefix| name.starts_with(prefix)) || name == "Permissions.Modify" {
                    found.insert(name, json!(1));
                }
            }
        }
        areas.insert(area.to_owned(), Value::Object(found));
    }
    Value::Object(areas)
}
