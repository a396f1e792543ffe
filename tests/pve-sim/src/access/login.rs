//! Logging in: first factor, account state, and what the journal says when it fails.

use std::time::{SystemTime, UNIX_EPOCH};

use super::names::{user_error, user_parts};
use super::secrets::{fits, parse_shadow, parse_tokens};
use super::tfa::{Factors, TfaCfg};
use super::user_cfg::UserCfg;
use super::{domains, pam};
use crate::cfs_lock::locked;
use crate::host::Host;

/// Checks a user id and password. The error is the sentence that goes to the journal.
pub fn password(host: &Host, cfg: &UserCfg, id: &str, password: &str, remote: Option<&str>) -> Result<(), String> {
    if let Some(error) = user_error(id) {
        return Err(error);
    }
    let (user, realm) = user_parts(id).unwrap_or_default();
    account(cfg, id)?;
    let domains = domains(host);
    let settings = domains.get(realm).ok_or_else(|| format!("auth domain '{realm}' does not exist"))?;
    if password.is_empty() {
        return Err("no password".to_owned());
    }
    match settings.kind.as_str() {
        "pam" => pam::authenticate(user, password, remote)?,
        "pve" => {
            let shadow = parse_shadow(&crate::files::text(&host.pve("priv/shadow.cfg")));
            let hash = shadow.get(user).ok_or("no password set")?;
            if !fits(password, hash) {
                return Err("invalid credentials".to_owned());
            }
        }
        other => return Err(format!("unable to contact the {other} server")),
    }
    Ok(())
}

/// What is asked for after the password; none when that is enough.
pub fn challenge(host: &Host, id: &str) -> Result<Option<String>, String> {
    let challenge = TfaCfg::read(host).users.get(id).and_then(Factors::challenge);
    let realm = user_parts(id).map(|(_, realm)| realm).unwrap_or_default();
    let enforced = domains(host).get(realm).is_some_and(|realm| realm.settings.contains_key("tfa"));
    if enforced && challenge.is_none() {
        return Err("missing required 2nd keys".to_owned());
    }
    Ok(challenge)
}

/// Checks the answer to a challenge, as `totp:CODE` or `recovery:KEY`; a key that was used is gone.
pub fn second(host: &Host, cfg: &UserCfg, id: &str, response: &str) -> Result<(), String> {
    account(cfg, id)?;
    let judge = || {
        let mut factors = TfaCfg::read(host);
        let before = factors.clone();
        let user = factors.users.get_mut(id).ok_or_else(|| anyhow::anyhow!("no such challenge"))?;
        let judged = user.answer(host, id, response);
        if factors != before {
            factors.write(host)?;
        }
        Ok(judged)
    };
    locked(host, "priv/tfa.cfg", judge).map_err(|error| error.to_string())?
}

/// Whether a user exists, is enabled and has not expired.
pub fn account(cfg: &UserCfg, id: &str) -> Result<(), String> {
    let user = cfg.users.get(id).ok_or_else(|| format!("no such user ('{id}')"))?;
    if !user.enable {
        return Err(format!("user '{id}' is disabled"));
    }
    if expired(user.expire.unwrap_or(0)) {
        return Err(format!("user '{id}' access expired"));
    }
    Ok(())
}

/// Checks `user@realm!name=SECRET`; gives the token id.
pub fn token(host: &Host, cfg: &UserCfg, text: &str) -> Result<String, String> {
    let (id, secret) = text.split_once('=').ok_or("no token")?;
    let (user, name) =
        super::names::token_parts(id).ok_or_else(|| format!("value '{id}' does not look like a valid token ID"))?;
    account(cfg, user)?;
    let known = cfg.users.get(user).and_then(|user| user.tokens.get(name));
    let token = known.ok_or_else(|| format!("no such token '{name}' for user '{user}'"))?;
    if expired(token.expire) {
        return Err(format!("token '{id}' access expired"));
    }
    let secrets = parse_tokens(&crate::files::text(&host.pve("priv/token.cfg")));
    if secrets.get(id).is_some_and(|right| right == secret) {
        Ok(id.to_owned())
    } else {
        Err("invalid token value!".to_owned())
    }
}

fn expired(expire: u64) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    expire != 0 && expire < now
}
