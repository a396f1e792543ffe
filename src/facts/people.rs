//! Accounts, their passwords' states and days, their keys and what sudo lets them do.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Reading, files};

/// Account databases.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounts {
    /// /etc/passwd by name.
    pub users: Reading<BTreeMap<String, User>>,
    /// /etc/group by name.
    pub groups: Reading<BTreeMap<String, Group>>,
    /// /etc/shadow by name, without the hashes.
    pub shadow: Reading<BTreeMap<String, Shadow>>,
    /// Names with a running session (loginctl or /run/utmp).
    pub connected: Reading<BTreeSet<String>>,
    /// `authorized_keys` of the accounts that were asked for, by account name.
    pub authorized_keys: BTreeMap<String, Reading<AuthorizedKeys>>,
    /// Where the key file of an account that was asked for lies, or would lie once the account is made.
    #[serde(default)]
    pub key_places: BTreeMap<String, Reading<KeyPlace>>,
    /// What [`Shadow::hash_digest`] is salted with.
    pub digest_salt: Reading<String>,
}

/// A line of /etc/passwd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Login name.
    pub name: String,
    /// Numeric id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// GECOS.
    pub gecos: String,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

/// A line of /etc/group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Numeric id.
    pub gid: u32,
    /// Supplementary members.
    pub members: BTreeSet<String>,
}

/// What crosses the wire of a line of /etc/shadow: never the hash, but what can be judged of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shadow {
    /// What kind of password there is.
    pub password: PasswordState,
    /// Last change in days since 1970; 0 forces a change at the next login.
    pub last_change: Option<i64>,
    /// Minimum days.
    pub min_days: Option<i64>,
    /// Maximum days.
    pub max_days: Option<i64>,
    /// Warning days.
    pub warn_days: Option<i64>,
    /// Inactive days.
    pub inactive_days: Option<i64>,
    /// Account expiry in days since 1970.
    pub expires: Option<i64>,
    /// SHA-256 (lower-case hex) of [`Accounts::digest_salt`] followed by the hash field; the tool chooses the salt for
    /// each capture, so that "is it the hash of the site" can be answered without the hash crossing the wire.
    pub hash_digest: Option<String>,
}

impl Accounts {
    /// Whether the account's password field is this crypt(5) hash; `None` when it cannot be told.
    pub fn has_hash(&self, name: &str, hash: &str) -> Option<bool> {
        use sha2::{Digest as _, Sha256};
        let shadow = self.shadow.known()?.get(name)?;
        if !matches!(shadow.password, PasswordState::Hash(_)) {
            return Some(false);
        }
        let (salt, digest) = (self.digest_salt.known()?, shadow.hash_digest.as_ref()?);
        Some(files::hex(&Sha256::new().chain_update(salt).chain_update(hash).finalize()) == *digest)
    }
}

/// Kind of password field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PasswordState {
    /// A usable hash with its crypt(5) prefix, e.g. "y" for yescrypt.
    Hash(String),
    /// A hash behind `!`.
    Locked(String),
    /// `*`, `!` or `!!`: no password can match.
    None,
    /// Empty: no password is needed.
    Empty,
}

/// `sudo -l -U NAME`, reduced to the question the guard asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SudoRights {
    /// May run every command as root.
    pub all_as_root: bool,
    /// Without a password.
    pub nopasswd: bool,
    /// The lines as sudo printed them.
    pub lines: Vec<String>,
}

/// Public keys of one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizedKeys {
    /// The file that was read, after following links.
    pub path: String,
    /// Whether that file lies on a local disk, not on pmxcfs.
    pub local: bool,
    /// Lines that are keys.
    pub lines: Vec<String>,
    /// When the files were changed last, in seconds since 1970: every key was there by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<i64>,
}

/// The place of an account's `~/.ssh/authorized_keys`, which need not be there yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPlace {
    /// The home as passwd has it; /home/NAME for an account that does not exist.
    pub home: String,
    /// The nearest part of the path that exists, links followed.
    pub exists: String,
    /// Its file system, as `stat -f` names it.
    pub file_system: String,
    /// Whether that is a local disk, not pmxcfs or the network.
    pub local: bool,
}
