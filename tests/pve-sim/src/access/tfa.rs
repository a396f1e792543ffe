//! `priv/tfa.cfg`: second factors, in the form of proxmox-tfa (`api/mod.rs`, `api/recovery.rs`), and what answers them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;

use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::totp::Totp;
use crate::files::write_atomic;
use crate::host::Host;
use crate::random::uuid;

/// Wrong codes in a row that lock TOTP.
const TOTP_FAILURES: u64 = 8;
/// Where wrong codes are counted, a file per user.
const CHALLENGES: &str = "/run/pve-private/tfa-challenges";

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TfaCfg {
    /// By user id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub users: BTreeMap<String, Factors>,
}

/// The second factors of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Factors {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    totp: Vec<Entry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    u2f: Vec<Entry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    webauthn: Vec<Entry>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recovery: Option<Recovery>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    yubico: Vec<Entry>,
    /// Locked after too many wrong codes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub totp_locked: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tfa_locked_until: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    description: String,
    created: i64,
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    enable: bool,
    #[serde(rename = "entry")]
    what: Value,
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_yes(enabled: &bool) -> bool {
    *enabled
}

/// Recovery keys, each as the HMAC-SHA256 of its text; none in the place of one that was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Recovery {
    secret: String,
    entries: Vec<Option<String>>,
    created: i64,
}

impl Recovery {
    fn generate() -> anyhow::Result<(Self, Vec<String>)> {
        let (mut secret, mut data) = ([0_u8; 8], [0_u8; 80]);
        openssl::rand::rand_bytes(&mut secret)?;
        openssl::rand::rand_bytes(&mut data)?;
        let mut recovery = Self { secret: hex(&secret), entries: Vec::new(), created: now() };
        let keys: Vec<String> =
            data.chunks(8).map(|key| key.chunks(2).map(hex).collect::<Vec<_>>().join("-")).collect();
        for key in &keys {
            recovery.entries.push(Some(recovery.digest(key)?));
        }
        Ok((recovery, keys))
    }

    fn digest(&self, key: &str) -> anyhow::Result<String> {
        let secret = PKey::hmac(self.secret.as_bytes())?;
        let mut signer = Signer::new(MessageDigest::sha256(), &secret)?;
        signer.update(key.as_bytes())?;
        Ok(hex(&signer.sign_to_vec()?))
    }

    fn take(&mut self, key: &str) -> bool {
        let Ok(digest) = self.digest(key) else { return false };
        let found = self.entries.iter_mut().find(|entry| entry.as_deref() == Some(digest.as_str()));
        found.is_some_and(|entry| entry.take().is_some())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

impl TfaCfg {
    /// The present file; without one, or with one that is broken, nobody has a factor.
    pub fn read(host: &Host) -> Self {
        serde_json::from_str(&crate::files::text(&host.pve("priv/tfa.cfg"))).unwrap_or_default()
    }

    /// Replaces the file; the caller holds its lock.
    pub fn write(&self, host: &Host) -> anyhow::Result<()> {
        write_atomic(&host.pve("priv/tfa.cfg"), &serde_json::to_vec(self)?, 0o600)
    }

    /// Adds a TOTP entry after a look at its code; gives its id.
    pub fn add_totp(&mut self, user: &str, description: &str, uri: &str, code: &str) -> Result<String, String> {
        let totp = Totp::parse(uri)?;
        if totp.step(code, u64::try_from(now()).unwrap_or(0)).is_none() {
            return Err("failed to verify TOTP challenge".to_owned());
        }
        let id = uuid().map_err(|error| error.to_string())?;
        let entry = Entry {
            id: id.clone(),
            description: description.to_owned(),
            created: now(),
            enable: true,
            what: json!(totp.uri()),
        };
        self.users.entry(user.to_owned()).or_default().totp.push(entry);
        Ok(id)
    }

    /// Makes recovery keys; they are told this once.
    pub fn add_recovery(&mut self, user: &str) -> Result<Vec<String>, String> {
        let factors = self.users.entry(user.to_owned()).or_default();
        if factors.recovery.is_some() {
            return Err("user already has recovery keys".to_owned());
        }
        let (recovery, keys) = Recovery::generate().map_err(|error| error.to_string())?;
        factors.recovery = Some(recovery);
        Ok(keys)
    }

    /// Deletes an entry; whether the user has others left.
    pub fn delete(&mut self, user: &str, id: &str) -> Result<bool, String> {
        let missing = || "no such entry".to_owned();
        let factors = self.users.get_mut(user).ok_or_else(missing)?;
        if id == "recovery" {
            factors.recovery.take().ok_or_else(missing)?;
        } else {
            let lists = [&mut factors.totp, &mut factors.webauthn, &mut factors.u2f, &mut factors.yubico];
            let found = lists.into_iter().find_map(|list| {
                let at = list.iter().position(|entry| entry.id == id)?;
                Some(list.remove(at))
            });
            found.ok_or_else(missing)?;
        }
        let left = !factors.is_empty();
        if !left {
            self.users.remove(user);
        }
        Ok(left)
    }

    /// Changes the words and the state of an entry.
    pub fn update(
        &mut self,
        user: &str,
        id: &str,
        description: Option<&str>,
        enable: Option<bool>,
    ) -> Result<(), String> {
        let factors = self.users.get_mut(user).ok_or("no such entry")?;
        let all = [&mut factors.totp, &mut factors.webauthn, &mut factors.u2f, &mut factors.yubico];
        let entry = all.into_iter().flatten().find(|entry| entry.id == id).ok_or("no such entry")?;
        entry.enable = enable.unwrap_or(entry.enable);
        if let Some(description) = description {
            description.clone_into(&mut entry.description);
        }
        Ok(())
    }
}

impl Factors {
    fn is_empty(&self) -> bool {
        [&self.totp, &self.u2f, &self.webauthn, &self.yubico].iter().all(|list| list.is_empty())
            && self.recovery.is_none()
    }

    /// What the API tells of the entries: never a secret.
    pub fn rows(&self) -> Vec<Value> {
        let recovery = self
            .recovery
            .iter()
            .map(|recovery| json!({"created": recovery.created, "id": "recovery", "type": "recovery"}));
        let lists = [("totp", &self.totp), ("webauthn", &self.webauthn), ("u2f", &self.u2f), ("yubico", &self.yubico)];
        let entries = lists.into_iter().flat_map(|(kind, list)| list.iter().map(move |entry| (kind, entry)));
        let entries = entries.map(|(kind, entry)| {
            let mut row = json!({"created": entry.created, "id": entry.id, "type": kind});
            if !entry.description.is_empty() {
                row["description"] = json!(entry.description);
            }
            if !entry.enable {
                row["enable"] = json!(0);
            }
            row
        });
        recovery.chain(entries).collect()
    }

    /// What is asked for at a login; none when nothing is.
    pub fn challenge(&self) -> Option<String> {
        let mut challenge = serde_json::Map::new();
        if self.totp.iter().any(|entry| entry.enable) {
            challenge.insert("totp".to_owned(), json!(true));
        }
        if let Some(recovery) = &self.recovery {
            let left: Vec<usize> = (0..recovery.entries.len()).filter(|at| recovery.entries[*at].is_some()).collect();
            challenge.insert("recovery".to_owned(), json!(left));
        }
        (!challenge.is_empty()).then(|| Value::Object(challenge).to_string())
    }

    /// Takes `totp:CODE` or `recovery:KEY`. The caller stores what changed.
    pub fn answer(&mut self, host: &Host, user: &str, response: &str) -> Result<(), String> {
        let failed = || "failed 2nd factor".to_owned();
        if self.tfa_locked_until.is_some_and(|until| now() < until) {
            return Err(failed());
        }
        if let Some(key) = response.strip_prefix("recovery:") {
            if self.recovery.as_mut().is_some_and(|recovery| recovery.take(key)) {
                self.totp_locked = false;
                self.tfa_locked_until = None;
                count(host, user, 0);
                return Ok(());
            }
            return Err(failed());
        }
        let code = response.strip_prefix("totp:").ok_or("invalid tfa response")?;
        if self.totp_locked {
            return Err(failed());
        }
        if self.takes(code) {
            count(host, user, 0);
            return Ok(());
        }
        let failures = counted(host, user) + 1;
        count(host, user, failures);
        if failures >= TOTP_FAILURES {
            self.totp_locked = true;
            return Err("failed 2nd factor: TOTP limit reached, locked".to_owned());
        }
        Err(failed())
    }

    /// Whether an entry takes the code; one that was used is not taken again.
    fn takes(&mut self, code: &str) -> bool {
        let time = u64::try_from(now()).unwrap_or(0);
        for entry in self.totp.iter_mut().filter(|entry| entry.enable) {
            let uri = entry.what.as_str().or_else(|| entry.what["totp"].as_str()).unwrap_or_default().to_owned();
            let Some(step) = Totp::parse(&uri).ok().and_then(|totp| totp.step(code, time)) else { continue };
            if entry.what["last-count"].as_u64().is_some_and(|last| step <= last) {
                return false;
            }
            entry.what = json!({"totp": uri, "last-count": step});
            return true;
        }
        false
    }
}

fn counted(host: &Host, user: &str) -> u64 {
    let text = crate::files::text(&host.path(CHALLENGES).join(user));
    serde_json::from_str::<Value>(&text).ok().and_then(|count| count["totp_failures"].as_u64()).unwrap_or(0)
}

fn count(host: &Host, user: &str, failures: u64) {
    let file = host.path(CHALLENGES).join(user);
    let counted = match failures {
        0 => fs::remove_file(&file),
        _ => fs::create_dir_all(host.path(CHALLENGES))
            .and_then(|()| fs::write(&file, json!({"totp_failures": failures}).to_string())),
    };
    if let Err(error) = counted
        && error.kind() != ErrorKind::NotFound
    {
        crate::console::complain(format!("failed to store user challenge data: {error}"));
    }
}

/// Clears the locks of a user; whether there was one.
pub fn unlock(host: &Host, factors: &mut Factors, user: &str) -> bool {
    count(host, user, 0);
    let locked = factors.totp_locked || factors.tfa_locked_until.is_some();
    (factors.totp_locked, factors.tfa_locked_until) = (false, None);
    locked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Release;

    const RECORDED: &str = r#"{"users":{"alice@pve":{"totp":[{"id":"ad6c054c-dcba-41ad-bc54-7a41fc88f50e","description":"phone","created":1795302437,"entry":"otpauth://totp/PVE:alice?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&digits=6&algorithm=SHA1&period=30&issuer=PVE"}],"totp-locked":true}}}"#;

    #[test]
    fn a_recorded_file_stays_as_it_is() -> anyhow::Result<()> {
        let mut cfg: TfaCfg = serde_json::from_str(RECORDED)?;
        assert_eq!(serde_json::to_string(&cfg)?, RECORDED);
        let alice = &cfg.users["alice@pve"];
        assert_eq!(alice.challenge().as_deref(), Some(r#"{"totp":true}"#));
        assert_eq!(
            json!(alice.rows()).to_string(),
            r#"[{"created":1795302437,"description":"phone","id":"ad6c054c-dcba-41ad-bc54-7a41fc88f50e","type":"totp"}]"#
        );
        assert_eq!(cfg.delete("alice@pve", "ad6c054c-dcba-41ad-bc54-7a41fc88f50e"), Ok(false));
        assert_eq!(serde_json::to_string(&cfg)?, "{}");
        Ok(())
    }

    #[test]
    fn a_recovery_key_works_once_and_unlocks() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let host = Host::below(folder.path(), "pve1", Release::Pve9);
        let mut cfg: TfaCfg = serde_json::from_str(RECORDED)?;
        let keys = cfg.add_recovery("alice@pve").map_err(anyhow::Error::msg)?;
        assert!(keys.len() == 10 && keys.iter().all(|key| key.len() == 19), "{keys:?}");
        assert_eq!(cfg.add_recovery("alice@pve"), Err("user already has recovery keys".to_owned()));
        assert!(!serde_json::to_string(&cfg)?.contains(&keys[3]));
        let alice = cfg.users.get_mut("alice@pve").ok_or_else(|| anyhow::anyhow!("alice"))?;
        let answer = format!("recovery:{}", keys[3]);
        assert_eq!(alice.answer(&host, "alice@pve", &answer), Ok(()));
        assert!(!alice.totp_locked);
        assert_eq!(alice.challenge().as_deref(), Some(r#"{"recovery":[0,1,2,4,5,6,7,8,9],"totp":true}"#));
        assert!(alice.answer(&host, "alice@pve", &answer).is_err());
        Ok(())
    }

    #[test]
    fn eight_wrong_codes_lock() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let host = Host::below(folder.path(), "pve1", Release::Pve9);
        let mut cfg: TfaCfg = serde_json::from_str(&RECORDED.replace(",\"totp-locked\":true", ""))?;
        let alice = cfg.users.get_mut("alice@pve").ok_or_else(|| anyhow::anyhow!("alice"))?;
        let answers: Vec<_> = (0..10).map(|_| alice.answer(&host, "alice@pve", "totp:x")).collect();
        assert!(answers.iter().all(Result::is_err) && alice.totp_locked);
        assert!(answers[7].as_ref().is_err_and(|why| why.contains("TOTP limit reached")), "{answers:?}");
        assert!(unlock(&host, alice, "alice@pve") && !unlock(&host, alice, "alice@pve"));
        Ok(())
    }
}
