//! The site file as a person writes it; the JSON Schema comes from here.

use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;

use crate::profile::policy::{SinkFormat, SiteAccess, Sudo};
use crate::secret::Secret;

/// A site file as it is written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[schemars(default)]
pub struct SiteFile {
    /// Profiles to use when the command line names none; files are relative to this one.
    #[schemars(with = "Option<Vec<String>>")]
    pub profiles: Vec<Spanned<String>>,
    /// Networks from which nodes are administered, IPv4 and IPv6, e.g. `192.0.2.0/24`.
    #[schemars(with = "Option<Vec<String>>")]
    pub management: Option<Spanned<Vec<Spanned<String>>>>,
    /// The nodes.
    #[schemars(with = "Option<Vec<HostEntry>>")]
    pub host: Vec<Spanned<HostEntry>>,
    /// The administrators.
    #[schemars(with = "Option<Vec<AdminEntry>>")]
    pub admin: Vec<Spanned<AdminEntry>>,
    /// Login names of administrators that left.
    #[schemars(with = "Option<Vec<String>>")]
    pub removed_admins: Vec<Spanned<String>>,
    /// Mail address of root@pam, to which PVE sends what goes wrong.
    #[schemars(with = "Option<String>")]
    pub contact: Option<Spanned<String>>,
    /// Whom to reach, and how, when a node is in trouble and mail does not work; shown in reports.
    #[schemars(with = "Option<String>")]
    pub emergency_contact: Option<Spanned<String>>,
    /// Accepted deviations: judged, shown, neither changed nor counted, until they expire.
    #[schemars(with = "Option<Vec<WaiverEntry>>")]
    pub waiver: Vec<Spanned<WaiverEntry>>,
    /// Places for generated secrets: of tokens, of users, recovery keys.
    #[schemars(with = "Option<Vec<SinkEntry>>")]
    pub sink: Vec<Spanned<SinkEntry>>,
    /// PVE's users, groups, roles, pools, rights and tokens of this site, added to those of the profiles.
    #[schemars(with = "Option<SiteAccess>")]
    pub access: SiteAccess,
}

/// One `[[host]]`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct HostEntry {
    /// Name used on the command line and in reports.
    #[schemars(with = "String", required)]
    pub name: Option<Spanned<String>>,
    /// Address, DNS name or alias of the ssh config; the name when left out.
    #[schemars(with = "Option<String>")]
    pub address: Option<Spanned<String>>,
    /// Login name; left out: the administrators in turn, then root for the first run.
    #[schemars(with = "Option<String>")]
    pub user: Option<Spanned<String>>,
    /// SSH port; left out: what the ssh config says.
    #[schemars(with = "Option<u16>", range(min = 1))]
    pub port: Option<u16>,
    /// Private key file, relative to this file or `~/…`.
    #[schemars(with = "Option<String>")]
    pub identity: Option<Spanned<String>>,
    /// `ProxyJump`: `[user@]host[:port]`, several separated by commas.
    #[schemars(with = "Option<String>")]
    pub jump: Option<Spanned<String>>,
    /// Pinned host key fingerprint, `SHA256:…` as `ssh-keygen -lf` prints it.
    #[serde(alias = "host_key")]
    #[schemars(with = "Option<String>")]
    pub host_key: Option<Spanned<String>>,
    /// Groups for `--limit`.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub groups: Vec<Spanned<String>>,
}

/// One `[[admin]]`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AdminEntry {
    /// Linux login name.
    #[schemars(with = "String", required)]
    pub name: Option<Spanned<String>>,
    /// Full name.
    #[schemars(with = "Option<String>")]
    pub full_name: Option<Spanned<String>>,
    /// Further Linux groups that exist on the nodes, e.g. `adm`; the right to use sudo comes from the profile's group.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub groups: Vec<Spanned<String>>,
    /// OpenSSH public key lines.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub keys: Vec<Spanned<String>>,
    /// Files with public key lines, relative to this file or `~/…`.
    #[serde(default)]
    #[schemars(with = "Option<Vec<String>>")]
    pub key_files: Vec<Spanned<String>>,
    /// How this person becomes root.
    #[schemars(with = "Sudo", required)]
    pub sudo: Option<Spanned<Sudo>>,
    /// Where the password comes from: exactly one key.
    #[schemars(with = "Option<PasswordEntry>")]
    pub password: Option<Spanned<PasswordEntry>>,
}

/// The source of an administrator's password.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub struct PasswordEntry {
    /// crypt(5) hash, `$y$…` or `$6$…`, as `mkpasswd` prints it.
    #[schemars(with = "Option<String>")]
    pub hash: Option<Spanned<Secret>>,
    /// `true`: asked when the account is made.
    pub prompt: Option<bool>,
    /// File for a generated password, relative to this file; made with mode 0600.
    #[schemars(with = "Option<String>")]
    pub generate: Option<Spanned<String>>,
    /// Environment variable (or `.env` entry) with the hash.
    #[schemars(with = "Option<String>")]
    pub hash_env: Option<Spanned<String>>,
}

/// One `[[waiver]]`: exactly one of `node` and `group`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WaiverEntry {
    /// Id of one control, as `pve-harden explain` lists them; patterns are refused.
    #[schemars(with = "String", required)]
    pub control: Option<Spanned<String>>,
    /// Name of the node where it holds.
    #[schemars(with = "Option<String>")]
    pub node: Option<Spanned<String>>,
    /// Group of nodes where it holds.
    #[schemars(with = "Option<String>")]
    pub group: Option<Spanned<String>>,
    /// Who answers for it.
    #[schemars(with = "String", required)]
    pub owner: Option<Spanned<String>>,
    /// Why the deviation is accepted.
    #[schemars(with = "String", required)]
    pub reason: Option<Spanned<String>>,
    /// The last day on which it holds, UTC: `2026-12-31`.
    #[schemars(with = "String", required, extend("format" = "date"))]
    pub expires: Option<Spanned<Day>>,
}

/// One `[[sink]]`: exactly one of `env`, `file`, `kubernetes` and `command`. Files and words may hold `{host}`, `{user}`
/// and `{token}`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SinkEntry {
    /// Name that tokens and `--sink` use.
    #[schemars(with = "String", required)]
    pub name: Option<Spanned<String>>,
    /// File of `NAME='value'` lines, relative to this file or `~/…`; its other lines stay.
    #[schemars(with = "Option<String>")]
    pub env: Option<Spanned<String>>,
    /// With `env`: beginning of the names, `PROXMOX_<HOST>` when left out.
    #[schemars(with = "Option<String>")]
    pub variable: Option<Spanned<String>>,
    /// File with the secret alone, relative to this file or `~/…`.
    #[schemars(with = "Option<String>")]
    pub file: Option<Spanned<String>>,
    /// File with the manifest of a Kubernetes Secret, relative to this file or `~/…`.
    #[schemars(with = "Option<String>")]
    pub kubernetes: Option<Spanned<String>>,
    /// With `kubernetes`: namespace of the Secret.
    #[schemars(with = "Option<String>")]
    pub namespace: Option<Spanned<String>>,
    /// With `kubernetes`: name of the Secret, `proxmox-credentials` when left out.
    #[schemars(with = "Option<String>")]
    pub secret: Option<Spanned<String>>,
    /// With `kubernetes`: key in the Secret, `credentials.json` when left out.
    #[schemars(with = "Option<String>")]
    pub key: Option<Spanned<String>>,
    /// Program and arguments that read the secret from standard input; no shell.
    #[schemars(with = "Option<Vec<String>>")]
    pub command: Option<Spanned<Vec<Spanned<String>>>>,
    /// With `command`: a program and arguments that end with 0 when the command will work.
    #[schemars(with = "Option<Vec<String>>")]
    pub check: Option<Spanned<Vec<Spanned<String>>>>,
    /// With `command`: what it reads, `json` when left out.
    #[schemars(with = "Option<SinkFormat>")]
    pub format: Option<Spanned<SinkFormat>>,
}

/// A day as TOML or a string writes it; judged where it is read.
#[derive(Clone, Debug)]
pub struct Day(pub String);

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => text,
            other => other.to_string(),
        }))
    }
}
