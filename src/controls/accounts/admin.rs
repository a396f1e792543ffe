//! `accounts.admin`.

use crate::change::{Action, Stage};
use crate::controls::{Control, Meta, Reference, Severity, Verdict};
use crate::facts::Facts;
use crate::profile::policy::Policy;

use super::person::{self, Databases};
use super::work::{Stop, Work};
use super::{leaver, sudoers};

/// The control.
pub const ADMIN: NamedAdmins = NamedAdmins;

/// `accounts.admin`.
pub struct NamedAdmins;

pub(super) const ID: &str = "accounts.admin";

const META: Meta = Meta {
    id: ID,
    title: "Named administrators with a key on the local disk and sudo by group",
    why: "root's keys lie on /etc/pve. When pmxcfs is stopped or hangs, that folder is empty and root cannot log in \
          with a key. A named account whose keys lie on the local disk still can, and the log tells people apart.",
    checked: "Account, group, home, ~/.ssh and its key files (exactly the site's keys), lock and expiry, the sudoers \
              drop-in, and what `sudo -l -U NAME` makes of all of sudo's files.",
    naive: "A PVE ISO installs no sudo. A sudoers file with a mistake locks everybody out of root, so it is checked \
            with visudo first. A key in ~/.ssh does nothing when the home is writable by others, the account has \
            expired, or its shell is nologin. Deleting somebody's account leaves files to whoever gets the uid next.",
    references: &[
        Reference::Guide("2.1.1"),
        Reference::Guide("2.1.5"),
        Reference::Cis13("5.2.1"),
        Reference::Cis13("5.2.2"),
        Reference::Cis13("5.2.6"),
        Reference::Cis12("5.2.1"),
        Reference::Cis12("5.2.2"),
        Reference::Cis12("5.2.6"),
        Reference::Man("sudoers(5)"),
        Reference::Man("useradd(8)"),
        Reference::Source("pve-cluster src/PVE/Cluster/Setup.pm setup_ssh_keys"),
    ],
    level: 1,
    severity: Severity::High,
};

impl Control for NamedAdmins {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.accounts.admin.enabled
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        let mut work = Work::default();
        let end = judge(&mut work, facts, policy);
        work.verdict(end)
    }

    fn packages(&self) -> &'static [&'static str] {
        &[sudoers::PACKAGE]
    }

    fn reads(&self, policy: &Policy) -> Vec<String> {
        let databases = ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", sudoers::PATH];
        let mut paths: Vec<String> = databases.iter().map(ToString::to_string).collect();
        let people = policy.site.admins.iter().map(|admin| &admin.name).chain(&policy.site.removed_admins);
        for name in people.filter(|name| super::login_name(name)) {
            let home = format!("/home/{name}");
            paths.extend([
                home.clone(),
                format!("{home}/.ssh"),
                format!("{home}/.ssh/authorized_keys"),
                format!("{home}/.ssh/authorized_keys2"),
            ]);
        }
        paths
    }
}

fn judge(work: &mut Work, facts: &Facts, policy: &Policy) -> Result<(), Stop> {
    if !policy.site.admins.iter().any(|admin| !admin.keys.is_empty()) {
        return Err(Stop::Refused(
            "the site names no administrator with a public key; add one under `[[admin]]` with `keys`".into(),
        ));
    }
    let data = Databases::of(facts)?;
    let group = &policy.profile.accounts.admin.group;
    sudoers::plan(work, facts, policy)?;
    if !data.groups.contains_key(group) {
        work.saw("/etc/group", format!("no group {group}"), "the administrators' group");
        let action = Action::Group { name: group.clone(), system: true };
        work.change(Stage::Accounts, format!("group {group}"), action);
    }
    for admin in &policy.site.admins {
        person::plan(work, facts, policy, &data, admin)?;
    }
    for name in &policy.site.removed_admins {
        leaver::plan(work, facts, policy, &data, name)?;
    }
    strangers(work, policy, &data);
    Ok(())
}

/// Accounts in the group that the site does not know: they can become root, and nobody wrote down why.
fn strangers(work: &mut Work, policy: &Policy, data: &Databases) {
    let group = &policy.profile.accounts.admin.group;
    let known = |name: &str| {
        policy.site.admins.iter().any(|admin| admin.name == name)
            || policy.site.removed_admins.iter().any(|gone| gone == name)
    };
    for user in data.users.values().filter(|user| data.member(user, group) && !known(&user.name)) {
        let name = user.name.escape_debug();
        work.saw("/etc/group", format!("{name} is in {group}"), "only the site's administrators");
        work.advise(format!(
            "`{name}` may become root through {group} and is not in the site: add the person under `[[admin]]`, or name \
             it in `removed-admins`"
        ));
    }
}
