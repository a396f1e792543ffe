//! `/access/roles`

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Answer, ApiError, Call, Parameters, given_text, in_any_order, switch, text};
use crate::access::names::list;

/// Calls on roles.
pub fn handle(call: &Call<'_>, method: &str, path: &str, given: &Parameters) -> Answer {
    let name = text(given, "roleid");
    let missing = || ApiError::failed(format!("role '{name}' does not exist"));
    let built_in = call.catalogue().built_in.contains_key(name);
    let generated = |verb: &str| ApiError::failed(format!("auto-generated role '{name}' cannot be {verb}"));
    match (method, path) {
        ("GET", "/access/roles") => Ok(index(call)),
        ("GET", _) => privileges_of(call, name).ok_or_else(missing),
        ("POST", _) => {
            call.require("/access", "Sys.Modify")?;
            if name.to_ascii_lowercase().starts_with("pve") {
                let message = "cannot use role ID starting with the (case-insensitive) 'PVE' namespace";
                return Err(ApiError::parameter("roleid", message));
            }
            call.change("create role failed", |cfg, catalogue| {
                if cfg.has_role(name, catalogue) {
                    return Err(ApiError::failed(format!("role '{name}' already exists")));
                }
                cfg.roles.insert(name.to_owned(), privileges(given));
                Ok(())
            })?;
            Ok(Value::Null)
        }
        ("PUT", _) if built_in => Err(generated("modified")),
        ("PUT", _) => {
            call.require("/access", "Sys.Modify")?;
            call.change("update role failed", |cfg, _| {
                let role = cfg.roles.get_mut(name).ok_or_else(missing)?;
                if switch(given, "append") != Some(true) && given_text(given, "privs").is_some() {
                    role.clear();
                }
                role.extend(privileges(given));
                Ok(())
            })?;
            Ok(Value::Null)
        }
        ("DELETE", _) if built_in => Err(generated("deleted")),
        ("DELETE", _) => {
            call.require("/access", "Sys.Modify")?;
            call.change("delete role failed", |cfg, _| cfg.roles.remove(name).map(drop).ok_or_else(missing))?;
            Ok(Value::Null)
        }
        _ => Err(ApiError::NoHandler),
    }
}

fn privileges(given: &Parameters) -> BTreeSet<String> {
    list(text(given, "privs")).map(str::to_owned).collect()
}

fn privileges_of(call: &Call<'_>, name: &str) -> Option<Value> {
    let (cfg, catalogue) = (call.cfg(), call.catalogue());
    let names: Vec<String> = match catalogue.built_in.get(name) {
        Some(set) => set.iter().map(|name| (*name).to_owned()).collect(),
        None => cfg.roles.get(name)?.iter().cloned().collect(),
    };
    Some(Value::Object(names.into_iter().map(|name| (name, json!(1))).collect::<Map<_, _>>()))
}

fn index(call: &Call<'_>) -> Value {
    let (cfg, catalogue) = (call.cfg(), call.catalogue());
    let own = cfg.roles.iter().map(|(name, set)| {
        let names: Vec<&str> = set.iter().map(String::as_str).collect();
        (name.clone(), names.join(","), 0)
    });
    let built_in = catalogue
        .built_in
        .iter()
        .map(|(name, set)| (name.clone(), set.iter().copied().collect::<Vec<_>>().join(","), 1));
    let rows = built_in
        .chain(own)
        .map(|(roleid, privs, special)| json!({"privs": privs, "roleid": roleid, "special": special}))
        .collect();
    in_any_order(rows)
}
