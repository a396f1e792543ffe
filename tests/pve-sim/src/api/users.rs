//! `/access/users`

use serde_json::{Map, Value, json};

use super::{Answer, ApiError, Call, Parameters, given_text, number, switch, text, tfa, tokens};
use crate::access::domains::Domains;
use crate::access::names::{list, user_parts};
use crate::access::secrets;
use crate::access::tfa::TfaCfg;
use crate::access::user_cfg::{ROOT, User, UserCfg};
use crate::access::{self};
use crate::cfs_lock::locked;
use crate::files::write_atomic;
use crate::host::Host;

const ENOENT: u8 = 2;

/// Calls on users and below.
pub fn handle(call: &Call<'_>, method: &str, path: &str, given: &Parameters) -> Answer {
    match (method, path) {
        ("GET", "/access/users") => Ok(index(call, given)),
        ("POST", "/access/users") => add(call, given),
        ("GET", "/access/users/{userid}") => read(call, text(given, "userid")),
        ("PUT", "/access/users/{userid}") => modify(call, given),
        ("DELETE", "/access/users/{userid}") => delete(call, text(given, "userid")),
        ("GET", "/access/users/{userid}/tfa") => Ok(json!({"user": "incompatible"})),
        ("PUT", "/access/users/{userid}/unlock-tfa") => tfa::unlock_user(call, text(given, "userid")),
        (_, path) if path.starts_with("/access/users/{userid}/token") => tokens::handle(call, method, path, given),
        _ => Err(ApiError::NoHandler),
    }
}

fn index(call: &Call<'_>, given: &Parameters) -> Value {
    let (cfg, domains) = (call.cfg(), access::domains(call.host));
    let full = switch(given, "full") == Some(true);
    let wanted = switch(given, "enabled");
    let sees_all = call.user == ROOT || call.has("/access/groups", "User.Modify") || call.has("/access", "Sys.Audit");
    let factors = TfaCfg::read(call.host).users;
    let rows = cfg
        .users
        .iter()
        .filter(|(id, _)| sees_all || *id == call.user)
        .filter(|(_, user)| wanted.is_none_or(|enabled| user.enable == enabled))
        .map(|(id, user)| {
            let mut row = row(&cfg, &domains, id, user, full);
            if factors.get(id).is_some_and(|factors| factors.totp_locked) {
                row["totp-locked"] = json!(1);
            }
            row
        });
    rows.collect()
}

fn row(cfg: &UserCfg, domains: &Domains, id: &str, user: &User, full: bool) -> Value {
    let mut row = details(user);
    row.insert("userid".to_owned(), json!(id));
    if let Some(realm) = user_parts(id).and_then(|(_, realm)| domains.get(realm)) {
        row.insert("realm-type".to_owned(), json!(realm.kind));
    }
    if full {
        row.insert("groups".to_owned(), json!(groups_of(cfg, id).join(",")));
        let tokens = if user.tokens.is_empty() { Value::Null } else { tokens::rows(user) };
        row.insert("tokens".to_owned(), tokens);
    }
    Value::Object(row)
}

fn details(user: &User) -> Map<String, Value> {
    let mut row = Map::new();
    row.insert("enable".to_owned(), json!(u8::from(user.enable)));
    if let Some(expire) = user.expire {
        row.insert("expire".to_owned(), json!(expire));
    }
    for (name, value) in [
        ("comment", &user.comment),
        ("email", &user.email),
        ("firstname", &user.firstname),
        ("keys", &user.keys),
        ("lastname", &user.lastname),
    ] {
        if !value.is_empty() {
            row.insert(name.to_owned(), json!(value));
        }
    }
    row
}

fn groups_of(cfg: &UserCfg, id: &str) -> Vec<String> {
    cfg.groups.iter().filter(|(_, group)| group.users.contains(id)).map(|(name, _)| name.clone()).collect()
}

/// The user, or the error that PVE gives for nobody.
pub fn existing<'c>(cfg: &'c mut UserCfg, id: &str) -> Result<&'c mut User, ApiError> {
    cfg.users.get_mut(id).ok_or_else(|| ApiError::failed(format!("no such user ('{id}')")))
}

fn read(call: &Call<'_>, id: &str) -> Answer {
    let mut cfg = call.cfg();
    let user = existing(&mut cfg, id)?.clone();
    let mut row = details(&user);
    row.insert("groups".to_owned(), json!(groups_of(&cfg, id)));
    if !user.tokens.is_empty() {
        row.insert("tokens".to_owned(), tokens::map(&user));
    }
    Ok(Value::Object(row))
}

fn add(call: &Call<'_>, given: &Parameters) -> Answer {
    let id = text(given, "userid");
    call.require("/access/groups", "User.Modify")?;
    call.change("create user failed", |cfg, _| {
        let written = crate::files::text(&call.host.pve("user.cfg"));
        let root_unwritten = id == ROOT && !written.lines().any(|line| line.starts_with("user:root@pam:"));
        if cfg.users.contains_key(id) && !(root_unwritten && written.is_empty()) {
            return Err(ApiError::Failed { code: ENOENT, message: format!("user '{id}' already exists") });
        }
        cfg.users.insert(id.to_owned(), User { enable: true, expire: Some(0), ..User::default() });
        apply(cfg, id, given)?;
        if let Some(password) = given_text(given, "password") {
            set_password(call.host, id, password)?;
        }
        Ok(())
    })?;
    Ok(Value::Null)
}

fn modify(call: &Call<'_>, given: &Parameters) -> Answer {
    let id = text(given, "userid");
    call.require("/access/groups", "User.Modify")?;
    call.change("update user failed", |cfg, _| {
        existing(cfg, id)?;
        if given.contains_key("groups") && switch(given, "append") != Some(true) {
            for group in cfg.groups.values_mut() {
                group.users.remove(id);
            }
        }
        apply(cfg, id, given)
    })?;
    Ok(Value::Null)
}

fn apply(cfg: &mut UserCfg, id: &str, given: &Parameters) -> Result<(), ApiError> {
    for name in list(text(given, "groups")) {
        let group = cfg
            .groups
            .get_mut(name)
            .ok_or_else(|| ApiError::Failed { code: ENOENT, message: format!("no such group '{name}'") })?;
        group.users.insert(id.to_owned());
    }
    let user = existing(cfg, id)?;
    if let Some(enable) = switch(given, "enable") {
        user.enable = enable;
    }
    user.expire = Some(number(given, "expire").or(user.expire).unwrap_or(0));
    for (name, field) in [
        ("comment", &mut user.comment),
        ("email", &mut user.email),
        ("firstname", &mut user.firstname),
        ("keys", &mut user.keys),
        ("lastname", &mut user.lastname),
    ] {
        if let Some(value) = given_text(given, name) {
            value.clone_into(field);
        }
    }
    Ok(())
}

/// Deleting nobody, and deleting root@pam, succeed.
fn delete(call: &Call<'_>, id: &str) -> Answer {
    call.require("/access/groups", "User.Modify")?;
    call.change("delete user failed", |cfg, _| {
        cfg.users.remove(id);
        for group in cfg.groups.values_mut() {
            group.users.remove(id);
        }
        for grants in cfg.acl.values_mut() {
            grants.retain(|subject, _| {
                subject.id() != id && !(subject.kind() == "token" && subject.id().starts_with(&format!("{id}!")))
            });
        }
        if let Some((user, "pve")) = user_parts(id) {
            change_shadow(call.host, |shadow| {
                shadow.remove(user);
            })?;
        }
        Ok(())
    })?;
    tfa::forget(call.host, id)?;
    Ok(Value::Null)
}

/// Sets the password of a user of the realms pve and pam.
pub fn set_password(host: &Host, id: &str, password: &str) -> Result<(), ApiError> {
    let hash = secrets::hash(password)?;
    match user_parts(id) {
        Some((user, "pve")) => change_shadow(host, |shadow| {
            shadow.insert(user.to_owned(), hash);
        }),
        Some((user, "pam")) => {
            let status = std::process::Command::new("usermod").args(["-p", &hash, user]).status()?;
            if status.success() { Ok(()) } else { Err(ApiError::failed("change password failed: exit code 6")) }
        }
        _ => Err(ApiError::failed("can't set password on auth type 'unknown'")),
    }
}

fn change_shadow(
    host: &Host,
    edit: impl FnOnce(&mut std::collections::BTreeMap<String, String>),
) -> Result<(), ApiError> {
    locked(host, "priv/shadow.cfg", || {
        let file = host.pve("priv/shadow.cfg");
        let mut shadow = secrets::parse_shadow(&crate::files::text(&file));
        edit(&mut shadow);
        write_atomic(&file, secrets::write_shadow(&shadow).as_bytes(), 0o600)
    })
    .map_err(ApiError::from)
}
