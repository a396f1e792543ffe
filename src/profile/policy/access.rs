//! `access.*`: PVE's users, groups, roles, pools, rights, tokens and realms. The lists may stand in profiles and in the
//! site; entries of several files come together, a later one of the same `id` replaces an earlier one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[access]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AccessPolicy {
    /// Own roles.
    pub roles: AccessKind,
    /// Groups.
    pub groups: AccessKind,
    /// Users and whose groups they are in.
    pub users: AccessKind,
    /// Pools and their members.
    pub pools: AccessKind,
    /// ACL entries.
    pub acls: AccessKind,
    /// API tokens.
    pub tokens: TokenPolicy,
    /// Realms.
    pub realms: RealmPolicy,
    /// What PVE ignores in user.cfg, and rights that wait for a name.
    pub leftovers: LeftoverPolicy,
    /// Who has a second factor.
    pub second_factors: SecondFactorPolicy,
    /// The web login of root@pam.
    pub root_web: RootWebPolicy,
    /// Roles that shall be there.
    pub role: Vec<WantedRole>,
    /// Groups that shall be there.
    pub group: Vec<WantedGroup>,
    /// Users that shall be there.
    pub user: Vec<WantedUser>,
    /// Pools that shall be there.
    pub pool: Vec<WantedPool>,
    /// Rights that shall be there.
    pub acl: Vec<WantedAcl>,
    /// Tokens that shall be there.
    pub token: Vec<WantedToken>,
    /// Settings of realms that are there.
    pub realm: Vec<WantedRealm>,
}

/// A table for one kind of object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AccessKind {
    /// Part of the policy.
    pub enabled: bool,
    /// What happens to what is there and not listed.
    pub mode: AccessMode,
}

/// What happens to what is there and not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AccessMode {
    /// It stays.
    Merge,
    /// It is removed; root@pam and the site's administrators never are.
    Exact,
}

/// `[access.tokens]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TokenPolicy {
    /// Part of the policy.
    pub enabled: bool,
    /// What happens to tokens that are not listed.
    pub mode: AccessMode,
    /// Days a new token is valid when its entry does not say.
    pub default_days: u32,
    /// Days a token may be valid at most, from now on.
    pub max_days: u32,
}

/// `[access.realms]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RealmPolicy {
    /// Part of the policy.
    pub enabled: bool,
}

/// `[access.leftovers]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LeftoverPolicy {
    /// Part of the policy.
    pub enabled: bool,
}

/// `[access.second-factors]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SecondFactorPolicy {
    /// Part of the policy.
    pub enabled: bool,
    /// Users who need none: service accounts that only have tokens.
    pub except: Vec<String>,
}

/// `[[access.role]]`: exactly these privileges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WantedRole {
    /// Name (`roleid`); PVE keeps names that begin with PVE for itself.
    pub id: String,
    /// Privileges (`privs`), e.g. "VM.Audit"; what a release has under another name is translated.
    pub privileges: Vec<String>,
}

/// `[[access.group]]`. Who is in it stands with the users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WantedGroup {
    /// Name (`groupid`).
    pub id: String,
    /// Comment; left out: it stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// `[[access.user]]`. What is left out stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WantedUser {
    /// Name with realm (`userid`), e.g. "nancy@pve".
    pub id: String,
    /// First name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// Last name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    /// Mail address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Comment: whose account it is and for what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// May log in (`enable`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Last day of the account, e.g. "2027-03-31" (UTC), or "never".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Groups for a time: afterwards a plan takes the user out again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub temporary_groups: Vec<WantedMembership>,
}

/// `temporary-groups = [{ group = "admins", until = "2027-03-31" }]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WantedMembership {
    /// Group.
    pub group: String,
    /// Last day, e.g. "2027-03-31" (UTC).
    pub until: String,
}

/// `[[access.pool]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WantedPool {
    /// Name (`poolid`); a pool inside another is "outer/inner".
    pub id: String,
    /// Comment; left out: it stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Guests by number (`vms`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guests: Vec<u32>,
    /// Storages (`storage`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub storages: Vec<String>,
}

/// `[[access.acl]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WantedAcl {
    /// Where, e.g. "/pool/web" or "/vms/100".
    pub path: String,
    /// What (`roles`, `roleid`): one role.
    pub role: String,
    /// Which groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Which users; groups are easier to review.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Which tokens, "user@realm!token".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<String>,
    /// Also below the path; true when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub propagate: Option<bool>,
    /// Last day, e.g. "2027-03-31" (UTC): afterwards a plan removes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

/// `[[access.token]]`. Its rights are ACL entries of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WantedToken {
    /// "user@realm!token" (`tokenid`).
    pub id: String,
    /// Who answers for it.
    pub owner: String,
    /// What it is for.
    pub purpose: String,
    /// Days a new one is valid; the profile's default when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<u32>,
    /// Rights of its own, never more than its user (`privsep`); true when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privilege_separation: Option<bool>,
    /// Where its secret goes: the name of a `[[sink]]` of the site.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<String>,
}

/// `[access.root-web]`: the web login of root@pam, with its API and tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RootWebPolicy {
    /// Part of the policy.
    pub enabled: bool,
    /// Who administers instead, e.g. "nancy@pve", and shows it by a login before root's is closed; empty: nobody yet.
    pub administrator: String,
}

/// A second factor for everybody of a realm (`tfa`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RealmFactor {
    /// TOTP.
    Oath,
    /// Each user's own.
    None,
}

/// How a directory is spoken to (`mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DirectoryMode {
    /// In the clear.
    #[serde(rename = "ldap")]
    Ldap,
    /// TLS from the start.
    #[serde(rename = "ldaps")]
    Ldaps,
    /// TLS on the usual port.
    #[serde(rename = "ldap+starttls")]
    StartTls,
}

impl DirectoryMode {
    /// PVE's word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ldap => "ldap",
            Self::Ldaps => "ldaps",
            Self::StartTls => "ldap+starttls",
        }
    }
}

/// `[[access.realm]]`. Realms are not made here: their servers and secrets are nobody's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WantedRealm {
    /// Name, e.g. "pve".
    pub id: String,
    /// Comment; left out: it stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The login page offers it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<bool>,
    /// Second factor that everybody of the realm must have; not for `OpenID`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tfa: Option<RealmFactor>,
    /// Users whom `tfa` may refuse; where anybody else would be, the plan is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub may_refuse: Vec<String>,
    /// How the directory of a realm of type ldap or ad is spoken to; PVE tries it before it takes the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<DirectoryMode>,
    /// The certificate of the directory is verified (ldap, ad).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<bool>,
    /// Whoever the provider lets in becomes a user of PVE (openid).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autocreate: Option<bool>,
}

/// `[access]` of a site: the lists, without the tables that say how they are used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[schemars(default)]
pub struct SiteAccess {
    /// Roles that shall be there.
    pub role: Vec<WantedRole>,
    /// Groups that shall be there.
    pub group: Vec<WantedGroup>,
    /// Users that shall be there.
    pub user: Vec<WantedUser>,
    /// Pools that shall be there.
    pub pool: Vec<WantedPool>,
    /// Rights that shall be there.
    pub acl: Vec<WantedAcl>,
    /// Tokens that shall be there.
    pub token: Vec<WantedToken>,
    /// Settings of realms that are there.
    pub realm: Vec<WantedRealm>,
}

impl WantedToken {
    /// The comment that PVE shows for it.
    pub fn comment(&self) -> String {
        format!("{}; owner {}", self.purpose, self.owner)
    }
}

impl WantedAcl {
    /// Subjects as PVE's ACL names them.
    pub fn subjects(&self) -> impl Iterator<Item = String> {
        let groups = self.groups.iter().map(|group| format!("@{group}"));
        groups.chain(self.users.iter().cloned()).chain(self.tokens.iter().cloned())
    }
}

/// First second after the day, in seconds since 1970; 0 for "never". Tells what is wrong with the text.
pub fn end_of(day: &str) -> Result<u64, String> {
    if day == "never" {
        return Ok(0);
    }
    let date: jiff::civil::Date =
        day.parse().ok().filter(|_| day.len() == 10).ok_or("a day is written 2027-03-31, or \"never\"")?;
    let next = date.tomorrow().ok().and_then(|next| next.to_zoned(jiff::tz::TimeZone::UTC).ok());
    next.and_then(|next| u64::try_from(next.timestamp().as_second()).ok()).ok_or_else(|| "a day after 1970".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_with_its_last_second() {
        assert_eq!(end_of("1970-01-01"), Ok(86_400));
        assert_eq!(end_of("2029-12-31"), Ok(1_893_456_000));
        assert_eq!(end_of("never"), Ok(0));
        for bad in ["", "2027-02-30", "2027-1-1", "1893456000", "2027-03-31T00:00:00Z", "1960-01-01", "9999-12-31"] {
            assert!(end_of(bad).is_err(), "{bad}");
        }
    }
}
