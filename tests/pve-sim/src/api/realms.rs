//! `/access/domains`

use serde_json::{Map, Value, json};
use sha1::{Digest as _, Sha1};

use super::{Answer, ApiError, Call, Parameters, text};
use crate::access::domains::{Domains, Realm};
use crate::access::{self, names::list};
use crate::cfs_lock::locked;
use crate::files::write_atomic;

/// Calls on realms.
pub fn handle(call: &Call<'_>, method: &str, path: &str, given: &Parameters) -> Answer {
    let name = text(given, "realm");
    match (method, path) {
        ("GET", "/access/domains") => Ok(index(&access::domains(call.host))),
        ("GET", _) => read(call, name),
        ("POST", _) => change(call, "add auth server failed", |domains| {
            if domains.get(name).is_some() {
                return Err(ApiError::failed(format!("domain '{name}' already exists")));
            }
            let mut realm = Realm { kind: text(given, "type").to_owned(), ..Realm::default() };
            apply(&mut realm, given);
            domains.realms.push((name.to_owned(), realm));
            Ok(())
        }),
        ("PUT", _) => change(call, "update auth server failed", |domains| {
            if given.keys().all(|key| matches!(key.as_str(), "realm" | "digest")) {
                return Err(ApiError::failed("no options specified"));
            }
            if given.get("default") == Some(&json!(1)) {
                for (_, realm) in &mut domains.realms {
                    realm.settings.remove("default");
                }
            }
            let missing =
                || ApiError::failed("cannot lookup undefined type! at /usr/share/perl5/PVE/API2/Domains.pm line 261.");
            let realm = domains.get_mut(name).ok_or_else(missing)?;
            apply(realm, given);
            for setting in list(text(given, "delete")) {
                realm.settings.remove(setting);
            }
            Ok(())
        }),
        ("DELETE", _) => change(call, "delete auth server failed", |domains| {
            if domains.get(name).is_none() {
                return Err(ApiError::failed(format!("domain '{name}' does not exist")));
            }
            domains.realms.retain(|(known, _)| known != name);
            Ok(())
        }),
        _ => Err(ApiError::NoHandler),
    }
}

fn index(domains: &Domains) -> Value {
    domains
        .realms
        .iter()
        .map(|(name, realm)| {
            let mut row = json!({"realm": name, "type": realm.kind});
            if let Some(comment) = realm.settings.get("comment") {
                row["comment"] = json!(comment);
            }
            if realm.settings.contains_key("default") {
                row["default"] = json!(1);
            }
            if let Some(kind) =
                realm.settings.get("tfa").and_then(|tfa| tfa.split(',').find_map(|part| part.strip_prefix("type=")))
            {
                row["tfa"] = json!(kind);
            }
            row
        })
        .collect()
}

fn read(call: &Call<'_>, name: &str) -> Answer {
    let domains = access::domains(call.host);
    let realm = domains.get(name).ok_or_else(|| ApiError::failed(format!("domain '{name}' does not exist")))?;
    let mut row: Map<String, Value> = realm.settings.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    let digest = Sha1::digest(crate::files::text(&call.host.pve("domains.cfg")).as_bytes());
    row.insert("digest".to_owned(), json!(format!("{digest:x}")));
    row.insert("type".to_owned(), json!(realm.kind));
    row.insert("plugin".to_owned(), json!(format!("PVE::Auth::{}", realm.kind.to_uppercase())));
    Ok(Value::Object(row))
}

fn apply(realm: &mut Realm, given: &Parameters) {
    for (key, value) in given {
        if matches!(key.as_str(), "realm" | "type" | "delete" | "digest" | "password" | "check-connection") {
            continue;
        }
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        realm.settings.insert(key.clone(), text);
    }
}

fn change(call: &Call<'_>, what: &str, edit: impl FnOnce(&mut Domains) -> Result<(), ApiError>) -> Answer {
    call.require("/access/realm", "Realm.Allocate")?;
    let outcome = locked(call.host, "domains.cfg", || {
        let mut domains = access::domains(call.host);
        edit(&mut domains)?;
        write_atomic(&call.host.pve("domains.cfg"), domains.written().as_bytes(), 0o640)
    });
    match outcome.map_err(ApiError::from) {
        Ok(()) => Ok(Value::Null),
        Err(ApiError::Failed { code, message }) => {
            Err(ApiError::Failed { code, message: format!("{what}: {message}") })
        }
        Err(other) => Err(other),
    }
}
