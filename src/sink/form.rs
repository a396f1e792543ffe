//! What stands in a sink: the forms that clients read, and whose secret lies there already.

use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Item, Refusal, What, env};
use crate::profile::policy::{SinkFormat, SinkKind};
use crate::secret::Secret;

pub(super) use crate::access::tokens::family;

/// Refuses a place that has somebody else's secret.
pub(super) fn room(kind: &SinkKind, item: &Item, text: Option<&str>) -> Result<(), Refusal> {
    let taken = |whose: &str, hint: &str| {
        Refusal::new(
            "",
            format!("has the secret of {} already, which is not replaced", crate::sanitize::line(whose)),
            hint,
        )
    };
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else { return Ok(()) };
    match (kind, &item.what) {
        // What lies there may be the one that PVE knows, and the new one is not confirmed yet.
        (SinkKind::Env { variable, .. }, What::Totp { user }) => {
            let name = totp_variable(&prefix(variable.as_deref(), item), user);
            let free = env::value(text, &name).is_none_or(|there| there.is_empty());
            if free { Ok(()) } else { Err(taken(user, "move it away first: PVE may know it")) }
        }
        (SinkKind::File { .. } | SinkKind::Kubernetes { .. }, What::Totp { .. }) => {
            Err(taken("somebody", "move it away first, or write {user} and {token} in the name"))
        }
        (SinkKind::Env { .. }, what) => {
            let What::Token { id } = what else { return Ok(()) };
            match holds(kind, item, Some(text)) {
                Some(there) if family(&there) != family(id) => {
                    Err(taken(&there, "give the sink a `variable` of its own for this token"))
                }
                _ => Ok(()),
            }
        }
        (SinkKind::File { path }, What::Password { .. } | What::RecoveryKeys { .. }) => {
            let own = path.to_string_lossy().contains("{user}") && !text.starts_with("otpauth:");
            if own { Ok(()) } else { Err(taken("somebody", "write {user} in the file's name, or move the file away")) }
        }
        (SinkKind::File { .. } | SinkKind::Kubernetes { .. }, What::Token { id }) => {
            match holds(kind, item, Some(text)) {
                Some(there) if family(&there) == family(id) => Ok(()),
                Some(there) => Err(taken(&there, "name another file, or write {token} in its name")),
                None => Err(unknown()),
            }
        }
        (SinkKind::Kubernetes { key, .. }, _) => match credentials(text, key) {
            Some(there) if there["username"] == item.user() && is_same(kind, text) => Ok(()),
            _ => Err(unknown()),
        },
        (SinkKind::Command { .. }, _) => Ok(()),
    }
}

fn unknown() -> Refusal {
    Refusal::new("", "is not what this sink writes, and is not overwritten", "move it away, or name another file")
}

/// The token whose secret lies there.
pub(super) fn holds(kind: &SinkKind, item: &Item, text: Option<&str>) -> Option<String> {
    let text = text?;
    match kind {
        SinkKind::Env { variable, .. } => {
            env::value(text, &format!("{}_TOKEN_ID", prefix(variable.as_deref(), item))).filter(|id| !id.is_empty())
        }
        SinkKind::File { .. } => {
            let (id, secret) = text.trim_end().rsplit_once('=')?;
            (id.contains('!') && !secret.contains(char::is_whitespace)).then(|| id.to_owned())
        }
        SinkKind::Kubernetes { key, .. } if is_same(kind, text) => {
            let credentials = credentials(text, key)?;
            Some(credentials["token"].as_str()?.rsplit_once('=')?.0.to_owned())
        }
        SinkKind::Kubernetes { .. } | SinkKind::Command { .. } => None,
    }
}

/// The whole file.
pub(super) fn written(
    kind: &SinkKind,
    item: &Item,
    text: Option<&str>,
    secret: &Secret,
) -> Result<Zeroizing<String>, Refusal> {
    match kind {
        SinkKind::Env { variable, .. } => {
            let values = lines(&prefix(variable.as_deref(), item), item, secret);
            env::edit(text.unwrap_or_default(), &values)
                .map_err(|why| Refusal::new("", why, "use another kind of sink for it"))
        }
        SinkKind::File { .. } => Ok(Zeroizing::new(format!("{}\n", value(item, secret).as_str()))),
        SinkKind::Kubernetes { namespace, secret: name, key, .. } => {
            // A JSON string is a double-quoted scalar of YAML 1.2.
            let content = Zeroizing::new(json(item, secret));
            let scalar = Zeroizing::new(Value::String(content.as_str().to_owned()).to_string());
            let mut manifest = Zeroizing::new(String::with_capacity(scalar.len() + 512));
            for part in [head(name, namespace).as_str(), "type: Opaque\nstringData:\n  ", key, ": ", &scalar, "\n"] {
                manifest.push_str(part);
            }
            Ok(manifest)
        }
        SinkKind::Command { .. } => Err(Refusal::new("", "a command has no file", "")),
    }
}

fn head(name: &str, namespace: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n  namespace: {namespace}\n")
}

fn is_same(kind: &SinkKind, text: &str) -> bool {
    matches!(kind, SinkKind::Kubernetes { namespace, secret, .. } if text.starts_with(&head(secret, namespace)))
}

fn credentials(text: &str, key: &str) -> Option<Value> {
    let scalar = text.lines().find_map(|line| line.strip_prefix(&format!("  {key}: ")))?;
    serde_json::from_str::<String>(scalar).ok().and_then(|json| serde_json::from_str(&json).ok())
}

/// What a command reads.
pub(super) fn for_command(format: SinkFormat, item: &Item, secret: &Secret) -> Zeroizing<String> {
    match format {
        SinkFormat::Json => Zeroizing::new(json(item, secret)),
        SinkFormat::Value => value(item, secret),
    }
}

fn value(item: &Item, secret: &Secret) -> Zeroizing<String> {
    Zeroizing::new(match &item.what {
        What::Token { id } => format!("{id}={}", secret.expose()),
        What::Password { .. } | What::Totp { .. } | What::RecoveryKeys { .. } => secret.expose().trim_end().to_owned(),
    })
}

fn json(item: &Item, secret: &Secret) -> String {
    let (name, value) = match &item.what {
        What::Token { .. } => ("token", json!(value(item, secret).as_str())),
        What::Password { .. } => ("password", json!(secret.expose())),
        What::Totp { .. } => ("totp", json!(secret.expose())),
        What::RecoveryKeys { .. } => ("recovery-keys", json!(secret.expose().lines().collect::<Vec<_>>())),
    };
    json!({"username": item.user(), name: value}).to_string()
}

/// `PROXMOX_<HOST>` unless the sink has its own.
fn prefix(variable: Option<&str>, item: &Item) -> String {
    variable.map_or_else(|| format!("PROXMOX_{}", shouted(&item.host)), str::to_owned)
}

fn totp_variable(prefix: &str, user: &str) -> String {
    format!("{prefix}_{}_TOTP_URI", shouted(user))
}

fn shouted(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

fn lines(prefix: &str, item: &Item, secret: &Secret) -> Vec<(String, Zeroizing<String>)> {
    let exposed = |text: &str| Zeroizing::new(text.to_owned());
    match &item.what {
        What::Token { id } => {
            vec![
                (format!("{prefix}_TOKEN_ID"), exposed(id)),
                (format!("{prefix}_TOKEN_SECRET"), exposed(secret.expose())),
            ]
        }
        What::Password { user } => vec![(format!("{prefix}_{}_PASSWORD", shouted(user)), exposed(secret.expose()))],
        What::Totp { user } => vec![(totp_variable(prefix, user), exposed(secret.expose()))],
        What::RecoveryKeys { user } => {
            let keys = secret.expose().lines().collect::<Vec<_>>().join(" ");
            vec![(format!("{prefix}_{}_RECOVERY_KEYS", shouted(user)), Zeroizing::new(keys))]
        }
    }
}
