//! `/access/groups`

use serde_json::{Map, Value, json};

use super::{Answer, ApiError, Call, Parameters, given_text, in_any_order, text};
use crate::access::user_cfg::{Group, Subject};

/// Calls on groups.
pub fn handle(call: &Call<'_>, method: &str, path: &str, given: &Parameters) -> Answer {
    let name = text(given, "groupid");
    let missing = || ApiError::failed(format!("group '{name}' does not exist"));
    match (method, path) {
        ("GET", "/access/groups") => Ok(index(call)),
        ("GET", _) => {
            let cfg = call.cfg();
            let group = cfg.groups.get(name).ok_or_else(missing)?;
            let mut row = Map::from_iter([("members".to_owned(), json!(group.users))]);
            if !group.comment.is_empty() {
                row.insert("comment".to_owned(), json!(group.comment));
            }
            Ok(Value::Object(row))
        }
        ("POST", _) => {
            call.require("/access/groups", "Group.Allocate")?;
            call.change("create group failed", |cfg, _| {
                if cfg.groups.contains_key(name) {
                    return Err(ApiError::failed(format!("group '{name}' already exists")));
                }
                let comment = text(given, "comment").to_owned();
                cfg.groups.insert(name.to_owned(), Group { comment, ..Group::default() });
                Ok(())
            })?;
            Ok(Value::Null)
        }
        ("PUT", _) => {
            call.require("/access/groups", "Group.Allocate")?;
            call.change("update group failed", |cfg, _| {
                let group = cfg.groups.get_mut(name).ok_or_else(missing)?;
                if let Some(comment) = given_text(given, "comment") {
                    comment.clone_into(&mut group.comment);
                }
                Ok(())
            })?;
            Ok(Value::Null)
        }
        ("DELETE", _) => {
            call.require("/access/groups", "Group.Allocate")?;
            call.change("delete group failed", |cfg, _| {
                cfg.groups.remove(name).ok_or_else(missing)?;
                for grants in cfg.acl.values_mut() {
                    grants.remove(&Subject::Group(name.to_owned()));
                }
                Ok(())
            })?;
            Ok(Value::Null)
        }
        _ => Err(ApiError::NoHandler),
    }
}

fn index(call: &Call<'_>) -> Value {
    let rows = call
        .cfg()
        .groups
        .iter()
        .map(|(name, group)| {
            let users: Vec<&str> = group.users.iter().map(String::as_str).collect();
            let mut row = json!({"groupid": name, "users": users.join(",")});
            if !group.comment.is_empty() {
                row["comment"] = json!(group.comment);
            }
            row
        })
        .collect();
    in_any_order(rows)
}
