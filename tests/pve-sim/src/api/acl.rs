//! `/access/acl` and `/access/permissions`

use serde_json::{Map, Value, json};

use super::{Answer, ApiError, Call, Parameters, given_text, switch, text};
use crate::access::names::{is_acl_path, list, normal_path, token_parts};
use crate::access::permissions::{Judge, Privileges};
use crate::access::roles::Catalogue;
use crate::access::user_cfg::{Subject, UserCfg};

/// Calls on permissions.
pub fn handle(call: &Call<'_>, method: &str, path: &str, given: &Parameters) -> Answer {
    match (method, path) {
        ("GET", "/access/acl") => Ok(index(call)),
        ("PUT", "/access/acl") => update(call, given),
        ("GET", "/access/permissions") => permissions(call, given),
        _ => Err(ApiError::NoHandler),
    }
}

fn index(call: &Call<'_>) -> Value {
    let sees_all = call.has("/access", "Sys.Audit");
    let mut rows = Vec::new();
    for (path, grants) in call.cfg().acl {
        if !sees_all && !call.has(&path, "Permissions.Modify") {
            continue;
        }
        let mut here: Vec<_> = grants.into_iter().collect();
        here.sort_by_key(|(subject, _)| match subject {
            Subject::User(_) => 0,
            Subject::Group(_) => 1,
            Subject::Token(_) => 2,
        });
        for (subject, roles) in here {
            for (role, propagate) in roles {
                rows.push(json!({
                    "path": path, "propagate": u8::from(propagate), "roleid": role,
                    "type": subject.kind(), "ugid": subject.id(),
                }));
            }
        }
    }
    Value::Array(rows)
}

fn update(call: &Call<'_>, given: &Parameters) -> Answer {
    const KINDS: [&str; 3] = ["users", "tokens", "groups"];
    if KINDS.iter().all(|kind| !given.contains_key(*kind)) {
        let message = "either 'users', 'groups' or 'tokens' is required.";
        return Err(ApiError::Parameters(KINDS.map(|kind| (kind.to_owned(), message.to_owned())).to_vec()));
    }
    let asked = text(given, "path");
    let path = normal_path(asked).filter(|path| is_acl_path(path));
    let path = path.ok_or_else(|| ApiError::parameter("path", format!("invalid ACL path '{asked}'")))?;
    call.require(&path, "Permissions.Modify")?;
    let delete = switch(given, "delete") == Some(true);
    let propagate = switch(given, "propagate").unwrap_or(true);
    call.change("ACL update failed", |cfg, catalogue| {
        let roles: Vec<&str> = list(text(given, "roles")).collect();
        let subjects = subjects(cfg, catalogue, &roles, given)?;
        let grants = cfg.acl.entry(path.clone()).or_default();
        for subject in subjects {
            let of_subject = grants.entry(subject.clone()).or_default();
            for role in &roles {
                if delete {
                    of_subject.remove(*role);
                } else {
                    of_subject.insert((*role).to_owned(), propagate);
                }
            }
            if of_subject.is_empty() {
                grants.remove(&subject);
            }
        }
        if grants.is_empty() {
            cfg.acl.remove(&path);
        }
        Ok(())
    })?;
    Ok(Value::Null)
}

/// All named subjects; unknown ones and unknown roles are refused.
fn subjects(
    cfg: &UserCfg,
    catalogue: &Catalogue,
    roles: &[&str],
    given: &Parameters,
) -> Result<Vec<Subject>, ApiError> {
    if let Some(role) = roles.iter().find(|role| !cfg.has_role(role, catalogue)) {
        return Err(ApiError::failed(format!("role '{role}' does not exist")));
    }
    let mut found = Vec::new();
    for group in list(text(given, "groups")) {
        if !cfg.groups.contains_key(group) {
            return Err(ApiError::failed(format!("group '{group}' does not exist")));
        }
        found.push(Subject::Group(group.to_owned()));
    }
    for user in list(text(given, "users")) {
        if !cfg.users.contains_key(user) {
            return Err(ApiError::failed(format!("user '{user}' does not exist")));
        }
        found.push(Subject::User(user.to_owned()));
    }
    for token in list(text(given, "tokens")) {
        let (user, name) = token_parts(token).unwrap_or_default();
        if !cfg.users.get(user).is_some_and(|user| user.tokens.contains_key(name)) {
            return Err(ApiError::failed(format!("no such token '{name}' for user '{user}'")));
        }
        found.push(Subject::Token(token.to_owned()));
    }
    Ok(found)
}

fn permissions(call: &Call<'_>, given: &Parameters) -> Answer {
    let who = given_text(given, "userid").unwrap_or(call.user);
    if who != call.user {
        call.require("/access", "Sys.Audit")?;
    }
    let (cfg, catalogue) = (call.cfg(), call.catalogue());
    let judge = Judge { cfg: &cfg, catalogue: &catalogue };
    let tree = match given_text(given, "path") {
        Some(path) => {
            let path = normal_path(path).ok_or_else(|| ApiError::parameter("path", "invalid path"))?;
            std::iter::once((path.clone(), judge.privileges(who, &path))).collect()
        }
        None => judge.tree(who),
    };
    let as_json = |privileges: Privileges| {
        Value::Object(privileges.into_iter().map(|(name, spread)| (name, json!(u8::from(spread)))).collect())
    };
    Ok(Value::Object(tree.into_iter().map(|(path, privileges)| (path, as_json(privileges))).collect::<Map<_, _>>()))
}
