//! The drop-in that lets the administrators become root.

use std::fmt::Write as _;

use crate::change::{Action, FileImage, Stage, Validate};
use crate::facts::{Facts, Reading};
use crate::profile::policy::{Policy, Sudo};

use super::login_name;
use super::work::{Stop, Wanted, Work, regular};

/// Its path. sudo skips names with a dot.
pub const PATH: &str = "/etc/sudoers.d/pve-harden-admins";
/// The package it needs.
pub const PACKAGE: &str = "sudo";

/// Plans the drop-in and the package.
pub fn plan(work: &mut Work, facts: &Facts, policy: &Policy) -> Result<(), Stop> {
    if !login_name(&policy.profile.accounts.admin.group) {
        let group = policy.profile.accounts.admin.group.escape_debug();
        return Err(Stop::Refused(format!("`accounts.admin.group` = `{group}` is no name for a group")));
    }
    let packages = facts.packages.required("the installed packages")?;
    let installed = packages.get(PACKAGE).is_some_and(|package| package.installed);
    if !installed {
        work.saw("dpkg", "sudo is not installed", "installed");
        work.change(Stage::Packages, "install sudo", Action::Packages { install: vec![PACKAGE.into()] });
    }
    let present = regular(facts, PATH)?;
    let image = FileImage::root(render(policy), 0o440);
    let ready = installed && present.as_ref() == Some(&image);
    if ready {
        work.proved(PATH, "as rendered from the site");
    }
    let wanted = Wanted { path: PATH.into(), image: Some(image), validate: Some(Validate::Sudoers) };
    work.file("sudo for the administrators", present, wanted);
    if ready { effective(work, facts, policy) } else { Ok(()) }
}

/// The file. The group alone gives sudo with the member's own password, so that joining it by accident does not make
/// anybody root; who may do without is named. sudo takes the last entry that fits.
pub fn render(policy: &Policy) -> String {
    let admin = &policy.profile.accounts.admin;
    let group = &admin.group;
    let mut text = String::from("# Written by pve-harden from the site's administrators.\n");
    let _ = writeln!(text, "Defaults:%{group} use_pty, env_reset, timestamp_timeout={}", minutes(admin.sudo_timeout));
    let _ = writeln!(text, "%{group} ALL=(ALL:ALL) ALL");
    for person in &policy.site.admins {
        if person.sudo == Sudo::Nopasswd {
            let _ = writeln!(text, "{} ALL=(ALL:ALL) NOPASSWD: ALL", person.name);
        }
    }
    text
}

/// sudoers counts in minutes and takes fractions; rounded up to a hundredth, so that a second stays more than never.
fn minutes(seconds: u32) -> String {
    let hundredths = (u64::from(seconds) * 100).div_ceil(60);
    match (hundredths / 100, hundredths % 100) {
        (whole, 0) => whole.to_string(),
        (whole, part) => format!("{whole}.{part:02}"),
    }
}

/// With the file in place, what sudo itself says decides: a later file or a main file without `@includedir` can undo it.
fn effective(work: &mut Work, facts: &Facts, policy: &Policy) -> Result<(), Stop> {
    for person in &policy.site.admins {
        let source = format!("sudo -l -U {}", person.name);
        let rights = match facts.sudo.get(&person.name).unwrap_or(&Reading::NotAsked) {
            Reading::Known(rights) => rights,
            // The account or its membership is still to be made.
            Reading::Absent => continue,
            other => return Err(Stop::Unknown(other.required(&source).err().unwrap_or_default())),
        };
        let joined = facts.accounts.users.known().zip(facts.accounts.groups.known()).is_some_and(|(users, groups)| {
            let group = groups.get(&policy.profile.accounts.admin.group);
            let user = users.get(&person.name);
            user.zip(group).is_some_and(|(user, group)| group.gid == user.gid || group.members.contains(&user.name))
        });
        if !joined {
            continue;
        }
        let wanted = match person.sudo {
            Sudo::Nopasswd => "every command as root, without a password",
            Sudo::Password => "every command as root, with a password",
        };
        if rights.all_as_root && rights.nopasswd == (person.sudo == Sudo::Nopasswd) {
            work.proved(source, wanted);
        } else {
            work.saw(source, rights.lines.join(" | "), wanted);
            work.advise(format!(
                "{PATH} is in place, yet sudo gives {} other rights: look for a later rule in /etc/sudoers.d, and for \
                 `@includedir /etc/sudoers.d` in /etc/sudoers",
                person.name
            ));
        }
    }
    Ok(())
}
