//! One administrator the site names: account, group, home, keys, password.

use std::collections::BTreeMap;

use crate::change::{Action, Stage};
use crate::facts::{Facts, Group, PasswordState, Reading, Shadow, User};
use crate::profile::policy::{Admin, Policy};

use super::ending::{AHEAD, Ending};
use super::keys::{self, Owner};
use super::work::{Stop, Work, directory};
use super::{day, login_name, password};

/// Debian's range of ordinary accounts (`FIRST_UID` and `LAST_UID` of adduser.conf).
const PEOPLE: std::ops::RangeInclusive<u32> = 1000..=59999;

/// Account databases that must be certain.
pub struct Databases<'a> {
    pub users: &'a BTreeMap<String, User>,
    pub groups: &'a BTreeMap<String, Group>,
    pub shadow: &'a BTreeMap<String, Shadow>,
    /// Today, in days since 1970, by the node's clock.
    pub today: i64,
}

impl<'a> Databases<'a> {
    pub fn of(facts: &'a Facts) -> Result<Self, String> {
        Ok(Self {
            users: facts.accounts.users.required("/etc/passwd")?,
            groups: facts.accounts.groups.required("/etc/group")?,
            shadow: facts.accounts.shadow.required("/etc/shadow")?,
            today: day(*facts.taken.required("the node's clock")?),
        })
    }

    /// Whether an account has expired.
    pub fn expired(&self, shadow: &Shadow) -> bool {
        shadow.expires.is_some_and(|expires| expires >= 0 && expires <= self.today)
    }

    /// Whether the account belongs to the group, primarily or not.
    pub fn member(&self, user: &User, group: &str) -> bool {
        self.groups.get(group).is_some_and(|group| group.gid == user.gid || group.members.contains(&user.name))
    }

    fn group_name(&self, gid: u32) -> Option<&'a str> {
        self.groups.iter().find(|(_, group)| group.gid == gid).map(|(name, _)| name.as_str())
    }
}

/// Plans what the administrator lacks.
pub fn plan(work: &mut Work, facts: &Facts, policy: &Policy, data: &Databases, admin: &Admin) -> Result<(), Stop> {
    if admin.name == "root" || !login_name(&admin.name) {
        return Err(Stop::Refused(format!("`{}` cannot be the name of an administrator", admin.name.escape_debug())));
    }
    match data.users.get(&admin.name) {
        None => plan_new(work, facts, policy, data, admin),
        Some(user) => plan_present(work, facts, policy, data, (admin, user)),
    }
}

fn plan_new(work: &mut Work, facts: &Facts, policy: &Policy, data: &Databases, admin: &Admin) -> Result<(), Stop> {
    let name = &admin.name;
    if data.groups.contains_key(name) {
        return Err(Stop::Refused(format!(
            "a group `{name}` exists without an account, so useradd would refuse; rename the group or the administrator"
        )));
    }
    let home = format!("/home/{name}");
    local_place(facts, name, &home)?;
    let groups = groups(policy, data, admin)?;
    work.saw("/etc/passwd", format!("no account {name}"), "an administrator of the site");
    work.change(
        Stage::Accounts,
        if admin.full_name.is_empty() {
            format!("account {name}")
        } else {
            format!("account {name} ({})", admin.full_name)
        },
        Action::User {
            name: name.clone(),
            full_name: admin.full_name.clone(),
            shell: policy.profile.accounts.admin.shell.clone(),
            home: home.clone(),
            groups,
        },
    );
    let owner = Owner { name, group: name, home: &home };
    plan_home(work, facts, &owner)?;
    keys::plan(work, facts, admin, &owner)?;
    password::plan(work, facts, admin, None)
}

fn plan_present(
    work: &mut Work,
    facts: &Facts,
    policy: &Policy,
    data: &Databases,
    (admin, user): (&Admin, &User),
) -> Result<(), Stop> {
    let name = &admin.name;
    if !PEOPLE.contains(&user.uid) {
        return Err(Stop::Refused(format!(
            "`{name}` is a system account (uid {}); give the administrator another name",
            user.uid
        )));
    }
    local_home(facts, user)?;
    let (present, join): (Vec<_>, Vec<_>) =
        groups(policy, data, admin)?.into_iter().partition(|group| data.member(user, group));
    if !present.is_empty() {
        work.proved("/etc/group", format!("{name} is in {}", present.join(", ")));
    }
    if !join.is_empty() {
        let list = join.join(", ");
        work.saw("/etc/group", format!("{name} is not in {list}"), "a member");
        let action = Action::UserGroups { name: name.clone(), join, leave: Vec::new() };
        work.change(Stage::Accounts, format!("{name} joins {list}"), action);
    }
    let Some(own_group) = data.group_name(user.gid) else {
        return Err(Stop::Unknown(format!("the primary group {} of {name} has no name", user.gid)));
    };
    let owner = Owner { name, group: own_group, home: &user.home };
    plan_home(work, facts, &owner)?;
    keys::plan(work, facts, admin, &owner)?;
    let shadow = data.shadow.get(name).ok_or_else(|| format!("{name} has no line in /etc/shadow"))?;
    plan_usable(work, policy, data, (admin, user, shadow));
    password::plan(work, facts, admin, Some(shadow))?;
    tell_ending(work, facts, data, admin, shadow);
    Ok(())
}

/// The group that carries sudo, and the person's further ones, which must exist: a name with a typing error would make
/// a group that gives nothing.
fn groups(policy: &Policy, data: &Databases, admin: &Admin) -> Result<Vec<String>, Stop> {
    let carrying = &policy.profile.accounts.admin.group;
    if let Some(missing) = admin.groups.iter().find(|name| *name != carrying && !data.groups.contains_key(*name)) {
        return Err(Stop::Refused(format!(
            "the group `{}` of `{}` does not exist on this node; make it, or take it out of the site",
            missing.escape_debug(),
            admin.name
        )));
    }
    let mut groups = vec![carrying.clone()];
    groups.extend(admin.groups.iter().filter(|name| *name != carrying).cloned());
    Ok(groups)
}

/// Everything that would turn the administrator away in spite of the key.
fn plan_usable(work: &mut Work, policy: &Policy, data: &Databases, (admin, user, shadow): (&Admin, &User, &Shadow)) {
    let name = &admin.name;
    if ["/nologin", "/false"].iter().any(|end| user.shell.ends_with(end)) {
        let shell = policy.profile.accounts.admin.shell.clone();
        work.saw("/etc/passwd", format!("{name} has the shell {}", user.shell), &shell);
        work.change(Stage::Accounts, format!("login shell of {name}"), Action::UserShell { name: name.clone(), shell });
    }
    let locked = matches!(shadow.password, PasswordState::Locked(_)) && admin.password.is_some();
    if data.expired(shadow) || locked {
        let found = if data.expired(shadow) { "the account has expired" } else { "the password is locked" };
        work.saw(format!("/etc/shadow, {name}"), found, "usable");
        let action = Action::UserLock { name: name.clone(), locked: false };
        work.change(Stage::Accounts, format!("unlock {name}"), action);
    }
    if shadow.last_change == Some(0) && !matches!(admin.password, Some(crate::profile::policy::AdminPassword::Hash(_)))
    {
        work.saw(format!("/etc/shadow, {name}"), "a new password is demanded at the next login", "usable");
        work.advise(format!("{name} must log in once and set a new password, or run `chage -d -1 {name}`"));
    }
}

/// Somebody must act before PAM turns the person away: the plan cannot choose a password.
fn tell_ending(work: &mut Work, facts: &Facts, data: &Databases, admin: &Admin, shadow: &Shadow) {
    let name = &admin.name;
    let Some(ending) = Ending::of(facts, shadow) else { return };
    let planned = work.touches_login_days(name);
    if planned || ending.has_come(Some(data.today)) && shadow.last_change == Some(0) || data.expired(shadow) {
        return;
    }
    if ending.has_come(Some(data.today + AHEAD)) {
        let told = ending.told(Some(data.today));
        work.saw(format!("/etc/shadow, {name}"), &told, format!("a login that lasts {AHEAD} days more"));
        work.advise(format!("{name} will be refused although the key is right: {told}; {}", ending.way_out(admin)));
    }
}

/// sshd refuses keys below a home that others can write.
fn plan_home(work: &mut Work, facts: &Facts, owner: &Owner) -> Result<(), Stop> {
    let Some(home) = directory(facts, owner.home)? else { return Ok(()) };
    if home.owner == owner.name && home.mode & 0o022 == 0 {
        return Ok(());
    }
    let found = format!("mode {:04o}, owner {}", home.mode, home.owner);
    work.saw(owner.home, found, format!("owner {}, not writable by others", owner.name));
    let action = Action::Directory {
        path: owner.home.into(),
        mode: home.mode & 0o755,
        owner: owner.name.into(),
        group: owner.group.into(),
    };
    work.change(Stage::Accounts, format!("home of {}", owner.name), action);
    Ok(())
}

fn local_home(facts: &Facts, user: &User) -> Result<(), Stop> {
    let bad = ["/", "/nonexistent", "/root", "/tmp", "/dev/null"].contains(&user.home.as_str())
        || user.home.starts_with("/etc/pve")
        || !user.home.starts_with('/')
        || user.home.ends_with('/');
    if bad {
        return Err(Stop::Refused(format!(
            "the home of {} is {}, where keys cannot lie; give the account a home of its own (`usermod -d`)",
            user.name,
            user.home.escape_debug()
        )));
    }
    let keys = facts.accounts.authorized_keys.get(&user.name).and_then(|keys| keys.known());
    if let Some(keys) = keys.filter(|keys| !keys.local) {
        return Err(Stop::Refused(format!(
            "the keys of {} lie on {}, which is not a local disk: without network or quorum nobody could log in",
            user.name,
            keys.path.escape_debug()
        )));
    }
    local_place(facts, &user.name, &user.home)
}

/// Keys that are still to be written must come to lie on a local disk as well.
fn local_place(facts: &Facts, name: &str, home: &str) -> Result<(), Stop> {
    let place = facts.accounts.key_places.get(name).unwrap_or(&Reading::NotAsked);
    let place = place.required(&format!("the file system below {home}"))?;
    if place.home != home {
        return Err(Stop::Unknown(format!("the file system below {home} was not asked for, but {}", place.home)));
    }
    if place.local {
        return Ok(());
    }
    Err(Stop::Refused(format!(
        "the keys of {name} would lie on {} ({}), which is not a local disk: without network or quorum nobody could log \
         in; keep {home} on a disk of this node",
        place.exists.escape_debug(),
        place.file_system.escape_debug()
    )))
}
