//! Passwords of PVE's users. PVE would hand a Linux account's hash to `usermod -p`, where every process can read it; so that
//! `chpasswd` gets it by standard input here.

use super::calls::{Answers, Calls, Words};
use crate::error::{Error, Kind, Result};
use crate::sanitize;
use crate::secret::Secret;

const SET: &str = "set";
const LOGIN: &str = "login-proof";

/// Sets the Linux password named by ACCOUNT and HASH.
const CHPASSWD: &str = r#"getent passwd "$ACCOUNT" >/dev/null || {
    emit set 1 'this node has no Linux account of that name'
    exit 0
}
said=$(printf '%s:%s\n' "$ACCOUNT" "$HASH" | chpasswd -e 2>&1 4>&- 9>&-) || {
    emit set 1 "$said"
    exit 0
}
emit set 0 ''"#;

const CHAGE: &str = r#"said=$(chage -d 0 -- "$ACCOUNT" 2>&1 4>&- 9>&-) || {
    emit set 1 "$said"
    exit 0
}
emit set 0 ''"#;

/// Of a user of PVE's own realm.
pub fn of_user(user: &str, password: &Secret, by: &str) -> Calls {
    let words = Words::new("set /access/password").option("userid", user).secret("password", password);
    proved(Calls::new().pvesh(SET, words), user, password, by)
}

/// Of a Linux account on this node.
pub fn of_account(user: &str, account: &str, hash: &Secret, password: &Secret, by: &str) -> Calls {
    let calls = Calls::new().script(&[("ACCOUNT", &Secret::new(account)), ("HASH", hash)], CHPASSWD);
    proved(calls, user, password, by)
}

/// Whoever uses the Linux account must choose a new password.
pub fn expire(user: &str, account: &str, by: &str) -> Calls {
    let calls = Calls::new().script(&[("ACCOUNT", &Secret::new(account))], CHAGE);
    calls.record(&format!("password of {user} expired by {by}"))
}

/// A login as PVE judges one; its ticket is thrown away.
fn proved(calls: Calls, user: &str, password: &Secret, by: &str) -> Calls {
    let login = Words::new("create /access/ticket").option("username", user).secret("password", password);
    calls.record(&format!("password of {user} set by {by}")).tries().pvesh(LOGIN, login)
}

/// Whether it was set or expired.
pub fn set(answers: &Answers) -> Result<()> {
    match answers.get(SET) {
        Some(answer) if answer.status != 0 && !answer.out.expose().trim().is_empty() => {
            Err(Error::msg(Kind::Refused, sanitize::line(answer.out.expose().trim()).into_owned()))
        }
        _ => answers.done(SET).map(|_| ()),
    }
}

/// Whether PVE takes it; else what PVE says.
pub fn works(answers: &Answers) -> Result<(), String> {
    answers.done(LOGIN).map(|_| ()).map_err(|error| error.to_string())
}
