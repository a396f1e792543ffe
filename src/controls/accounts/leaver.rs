//! A person the site names as gone: locked, without keys, out of the groups that give rights. The account stays, so
//! that files keep an owner.

use crate::change::{Action, Stage};
use crate::facts::{Facts, PasswordState, User};
use crate::profile::policy::Policy;

use super::person::Databases;
use super::work::{Stop, Wanted, Work, regular};

/// Plans what is left of the person's access.
pub fn plan(work: &mut Work, facts: &Facts, policy: &Policy, data: &Databases, name: &str) -> Result<(), Stop> {
    let shown = name.escape_debug();
    let Some(user) = data.users.get(name) else {
        work.proved("/etc/passwd", format!("no account {shown}"));
        return Ok(());
    };
    if user.uid == 0 || name == "root" {
        return Err(Stop::Refused(
            "root is never locked: it is the way in at the console; take it out of `removed-admins`".into(),
        ));
    }
    if policy.site.admins.iter().any(|admin| admin.name == name) {
        return Err(Stop::Refused(format!("`{shown}` is both an administrator and a removed one; decide in the site")));
    }
    plan_lock(work, facts, data, user)?;
    for file in ["authorized_keys", "authorized_keys2"] {
        let path = format!("{}/.ssh/{file}", user.home);
        if let Some(present) = regular(facts, &path)? {
            work.saw(&path, "present", "absent: the person left");
            let wanted = Wanted { path, image: None, validate: None };
            work.file(format!("take away the keys of {shown}"), Some(present), wanted);
        }
    }
    plan_groups(work, policy, data, user);
    Ok(())
}

fn plan_lock(work: &mut Work, facts: &Facts, data: &Databases, user: &User) -> Result<(), Stop> {
    let name = &user.name;
    let shadow = data.shadow.get(name).ok_or_else(|| format!("{} has no line in /etc/shadow", name.escape_debug()))?;
    let usable = matches!(shadow.password, PasswordState::Hash(_) | PasswordState::Empty);
    if data.expired(shadow) && !usable {
        work.proved(format!("/etc/shadow, {name}"), "locked and expired");
        return Ok(());
    }
    still_here(facts, name)?;
    let found = if usable { "has a password and has not expired" } else { "has not expired" };
    work.saw(format!("/etc/shadow, {name}"), found, "locked and expired");
    let action = Action::UserLock { name: name.clone(), locked: true };
    work.change(Stage::Accounts, format!("lock {}", name.escape_debug()), action);
    Ok(())
}

/// Nobody is locked while logged in: this may be the only one who can repair what goes wrong.
fn still_here(facts: &Facts, name: &str) -> Result<(), Stop> {
    let session = facts.session.required("who is logged in")?;
    let connected = facts.accounts.connected.required("who is logged in")?;
    if session.user == name {
        return Err(Stop::Refused(format!(
            "you are logged in as `{name}`, whom the site names in `removed-admins`; log in as another administrator"
        )));
    }
    if connected.contains(name) {
        return Err(Stop::Refused(format!(
            "`{}` is logged in and is not locked before the session ends; end it (`loginctl terminate-user`) and plan again",
            name.escape_debug()
        )));
    }
    Ok(())
}

fn plan_groups(work: &mut Work, policy: &Policy, data: &Databases, user: &User) {
    let giving = [policy.profile.accounts.admin.group.as_str(), "sudo"];
    let leave: Vec<String> = giving
        .iter()
        .filter(|name| data.groups.get(**name).is_some_and(|group| group.members.contains(&user.name)))
        .map(ToString::to_string)
        .collect();
    if !leave.is_empty() {
        let shown = user.name.escape_debug();
        work.saw("/etc/group", format!("{shown} is in {}", leave.join(", ")), "not a member");
        let summary = format!("{shown} leaves {}", leave.join(", "));
        let action = Action::UserGroups { name: user.name.clone(), join: Vec::new(), leave };
        work.change(Stage::Accounts, summary, action);
    }
}
