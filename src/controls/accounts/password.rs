//! Whether an administrator's password is the site's.

use crate::change::{Action, Stage};
use crate::facts::{Facts, PasswordState, Shadow};
use crate::profile::policy::{Admin, AdminPassword};
use crate::secret::Secret;

use super::work::{Stop, Work};

/// What no password can match; stands in a plan until a prompt or the generator has given one.
const NO_PASSWORD: &str = "!";

/// Whether a password that is asked for or generated is needed: the account is to be made, or has none. The command
/// replaces [`AdminPassword::Prompt`] and [`AdminPassword::Generate`] by a hash for exactly these before it evaluates.
pub fn needs_password(facts: &Facts, admin: &Admin) -> bool {
    let asked = matches!(admin.password, Some(AdminPassword::Prompt | AdminPassword::Generate(_)));
    let shadow = facts.accounts.shadow.known().and_then(|shadow| shadow.get(&admin.name));
    asked && shadow.is_none_or(|shadow| !matches!(shadow.password, PasswordState::Hash(_)))
}

/// Plans the password of an account, present or about to be made.
pub fn plan(work: &mut Work, facts: &Facts, admin: &Admin, shadow: Option<&Shadow>) -> Result<(), Stop> {
    match &admin.password {
        Some(AdminPassword::Hash(hash)) => plan_hash(work, facts, admin, shadow, hash),
        Some(how) => {
            if needs_password(facts, admin) {
                let how = match how {
                    AdminPassword::Generate(path) => format!("generated into {}", path.display()),
                    _ => "asked for at apply".into(),
                };
                set(work, format!("password of {}, {how}", admin.name), admin, Secret::new(NO_PASSWORD));
            }
            Ok(())
        }
        None => {
            if shadow.is_some_and(|shadow| shadow.password == PasswordState::Empty) {
                work.saw(format!("/etc/shadow, {}", admin.name), "empty: no password is asked for", "none, keys only");
                set(work, format!("take away the empty password of {}", admin.name), admin, Secret::new(NO_PASSWORD));
            }
            Ok(())
        }
    }
}

fn plan_hash(
    work: &mut Work,
    facts: &Facts,
    admin: &Admin,
    shadow: Option<&Shadow>,
    hash: &Secret,
) -> Result<(), Stop> {
    let summary = format!("password of {}, from the site's hash", admin.name);
    let Some(shadow) = shadow else {
        set(work, summary, admin, hash.clone());
        return Ok(());
    };
    let source = format!("/etc/shadow, {}", admin.name);
    if !matches!(shadow.password, PasswordState::Hash(_)) {
        work.saw(source, "no usable password", "the site's");
        set(work, summary, admin, hash.clone());
        return Ok(());
    }
    match facts.accounts.has_hash(&admin.name, hash.expose()) {
        Some(true) => work.proved(source, "the site's password"),
        Some(false) => {
            work.saw(source, "another password", "the site's");
            set(work, summary, admin, hash.clone());
        }
        None => {
            let why = format!("whether {}'s password is the site's: the capture has no digest of it", admin.name);
            return Err(Stop::Unknown(why));
        }
    }
    Ok(())
}

fn set(work: &mut Work, summary: String, admin: &Admin, hash: Secret) {
    work.change(Stage::Accounts, summary, Action::UserPassword { name: admin.name.clone(), hash });
}
