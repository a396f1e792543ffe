//! `/pools`

use serde_json::{Value, json};

use super::{Answer, ApiError, Call, Parameters, given_text, switch, text};
use crate::access::names::list;
use crate::access::user_cfg::Pool;

/// Calls on pools.
pub fn handle(call: &Call<'_>, method: &str, path: &str, given: &Parameters) -> Answer {
    let name = text(given, "poolid");
    let missing = || ApiError::failed(format!("pool '{name}' does not exist"));
    match (method, path) {
        ("GET", "/pools") => Ok(index(call, name)),
        ("GET", _) => {
            let cfg = call.cfg();
            let pool = cfg.pools.get(name).ok_or_else(missing)?;
            Ok(json!({"comment": pool.comment, "members": []}))
        }
        ("POST", _) => {
            call.require(&format!("/pool/{name}"), "Pool.Allocate")?;
            call.change("create pool failed", |cfg, _| {
                if cfg.pools.contains_key(name) {
                    return Err(ApiError::failed(format!("pool '{name}' already exists")));
                }
                if let Some((parent, _)) = name.rsplit_once('/')
                    && !cfg.pools.contains_key(parent)
                {
                    return Err(ApiError::failed(format!("parent '{parent}' of pool '{name}' does not exist")));
                }
                let comment = text(given, "comment").to_owned();
                cfg.pools.insert(name.to_owned(), Pool { comment, ..Pool::default() });
                Ok(())
            })?;
            Ok(Value::Null)
        }
        ("PUT", _) => {
            call.require(&format!("/pool/{name}"), "Pool.Allocate")?;
            call.change("update pools failed", |cfg, _| {
                let pool = cfg.pools.get_mut(name).ok_or_else(missing)?;
                update(pool, given);
                Ok(())
            })?;
            Ok(Value::Null)
        }
        ("DELETE", _) => {
            call.require(&format!("/pool/{name}"), "Pool.Allocate")?;
            call.change("delete pool failed", |cfg, _| {
                let below = cfg.pools.keys().find(|known| known.starts_with(&format!("{name}/")));
                if let Some(child) = below {
                    return Err(ApiError::failed(format!("pool '{name}' is not empty (contains pool '{child}')")));
                }
                cfg.pools.remove(name).map(drop).ok_or_else(missing)
            })?;
            Ok(Value::Null)
        }
        _ => Err(ApiError::NoHandler),
    }
}

fn index(call: &Call<'_>, only: &str) -> Value {
    let cfg = call.cfg();
    let rows = cfg.pools.iter().filter(|(name, _)| only.is_empty() || *name == only).map(|(name, pool)| {
        let mut row = json!({"poolid": name});
        if !pool.comment.is_empty() {
            row["comment"] = json!(pool.comment);
        }
        row
    });
    rows.collect()
}

fn update(pool: &mut Pool, given: &Parameters) {
    if let Some(comment) = given_text(given, "comment") {
        comment.clone_into(&mut pool.comment);
    }
    let remove = switch(given, "delete") == Some(true);
    for (parameter, set) in [("vms", &mut pool.vms), ("storage", &mut pool.storage)] {
        for member in list(text(given, parameter)) {
            if remove {
                set.remove(member);
            } else {
                set.insert(member.to_owned());
            }
        }
    }
}
