//! `/access/password` and `/access/ticket`

use serde_json::{Map, Value, json};

use super::users::{existing, set_password};
use super::{Answer, ApiError, Call, Parameters, text};
use crate::access::login;
use crate::access::permissions::Judge;
use crate::access::ticket;
use crate::access::user_cfg::ROOT;
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
    let renewed = ticket::user(call.host, password).is_some_and(|of| of == user);
    let checked = if renewed {
        login::account(&cfg, &user)
    } else {
        login::password(call.host, &cfg, &user, password, call.remote)
    };
    if let Err(reason) = checked {
        let remote = call.remote.unwrap_or("");
        LOG.log(Severity::Error, &format!("authentication failure; rhost={remote} user={user} msg={reason}"));
        return Err(ApiError::NoTicket("authentication failure"));
    }
    LOG.info(&format!("<root@pam> successful auth for user '{user}'"));
    let mut answer = json!({
        "username": user,
        "ticket": ticket::make(call.host, &user)?,
        "CSRFPreventionToken": ticket::csrf(call.host, &user)?,
        "cap": capabilities(call, &user),
    });
    if let Some(cluster) = membership::current() {
        answer["clustername"] = json!(cluster.name);
    }
    Ok(answer)
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
