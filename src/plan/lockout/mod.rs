//! The lock-out guard: asks the *planned* state whether this operator can still get in, and refuses when the answer
//! is not a plain yes. Pure; what cannot be told counts as no.

mod ban;
mod planned;
mod sshd;
mod sudo;
mod web;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Operator, Refusal};
use crate::change::{Action, Change};
use crate::controls::accounts::AHEAD;
use crate::facts::{Facts, PasswordState, Reading};
use crate::profile::policy::{Admin, Policy};
use planned::{Account, Planned};

/// Paths the guard looks at, whatever controls are enabled: what `StrictModes` judges, and what keeps people out.
pub fn reads(policy: &Policy) -> impl Iterator<Item = String> {
    let home = |admin: &Admin| ["", "/.ssh", "/.ssh/authorized_keys"].map(|path| format!("/home/{}{path}", admin.name));
    policy.site.admins.iter().flat_map(home).chain(["/etc/nologin".into(), "/etc/sudoers".into()])
}

/// Reasons why this plan must not run; empty for a plan without changes.
pub fn refusals(facts: &Facts, policy: &Policy, operator: &Operator, changes: &[Change]) -> Vec<Refusal> {
    if changes.is_empty() {
        return Vec::new();
    }
    let address = operator_address(facts, operator);
    let mut refusals = Vec::new();
    match Planned::of(facts, changes) {
        Ok(planned) => {
            refusals.extend(
                no_way_in(&planned, policy, operator, address).or_else(|| no_way_in_soon(&planned, policy, address)),
            );
            refusals.extend(ban::refusals(&planned, facts, address));
        }
        Err(why) => refusals.push(refusal(
            format!("whether an administrator can still log in cannot be told: {why}"),
            "make it readable for root on the node, then plan again",
        )),
    }
    refusals.extend(outside_management(policy, address));
    refusals.extend(removals(facts, policy, changes));
    refusals.extend(cluster_files(facts, changes));
    refusals.extend(web::refusals(facts, changes));
    refusals
}

/// The administrator whose fresh login will prove the way in: one whose key this operator holds, preferably who is
/// logged in already.
pub fn proving_admin(facts: &Facts, policy: &Policy, operator: &Operator, changes: &[Change]) -> Option<String> {
    let planned = Planned::of(facts, changes).ok()?;
    let address = operator_address(facts, operator);
    let able: Vec<&str> = policy
        .site
        .admins
        .iter()
        .filter(|admin| {
            way_in(&planned, admin, address).is_ok_and(|keys| !keys.is_disjoint(&operator.key_fingerprints))
        })
        .map(|admin| admin.name.as_str())
        .collect();
    let current = facts.session.known().map(|session| session.user.as_str());
    able.iter().find(|name| Some(**name) == current).or(able.first()).map(ToString::to_string)
}

/// Administrators of the site who will not be able to log in or become root, with the reason.
pub fn shut_out(facts: &Facts, policy: &Policy, operator: &Operator, changes: &[Change]) -> BTreeMap<String, String> {
    let Ok(planned) = Planned::of(facts, changes) else { return BTreeMap::new() };
    let address = operator_address(facts, operator);
    let reason = |admin: &Admin| way_in(&planned, admin, address).err().map(|why| (admin.name.clone(), why));
    policy.site.admins.iter().filter_map(reason).collect()
}

fn refusal(reason: impl Into<String>, way_out: impl Into<String>) -> Refusal {
    Refusal { reason: reason.into(), way_out: way_out.into() }
}

fn operator_address(facts: &Facts, operator: &Operator) -> Option<IpAddr> {
    facts.session.known().and_then(|session| session.operator).or(operator.address)
}

fn no_way_in(planned: &Planned<'_>, policy: &Policy, operator: &Operator, from: Option<IpAddr>) -> Option<Refusal> {
    if policy.site.admins.is_empty() {
        return Some(refusal(
            "the site names no administrator, so root would be the only login left and nobody could prove the way in",
            "name one with a public key: `pve-harden init`, or [[admin]] in the site file",
        ));
    }
    let ways: Vec<_> = policy.site.admins.iter().map(|admin| (admin, way_in(planned, admin, from))).collect();
    if ways.iter().all(|(_, way)| way.is_err()) {
        let reasons =
            ways.iter().filter_map(|(admin, way)| way.as_ref().err().map(|why| format!("{}: {why}", admin.name)));
        return Some(refusal(
            format!(
                "no administrator could log in with a key and become root afterwards ({})",
                reasons.collect::<Vec<_>>().join("; ")
            ),
            "put right what is named, or let the plan do it: select `accounts.admin` too and give the admin a key in the site file",
        ));
    }
    if let Some(refusal) = nothing_in_common(planned, operator, &ways) {
        return Some(refusal);
    }
    let held =
        ways.iter().filter_map(|(_, way)| way.as_ref().ok()).any(|keys| !keys.is_disjoint(&operator.key_fingerprints));
    if held || operator.confirm_manual {
        return None;
    }
    let names = ways.iter().filter(|(_, way)| way.is_ok()).map(|(admin, _)| admin.name.as_str()).collect::<Vec<_>>();
    Some(refusal(
        format!(
            "this machine holds no private key of an administrator who could log in afterwards ({})",
            names.join(", ")
        ),
        "add the key to the ssh agent or pass `--identity FILE`; if somebody else will confirm on the node, use `--confirm manual`",
    ))
}

/// Lists of algorithms of which this operator's ssh offers nothing: no login would begin.
fn nothing_in_common(
    planned: &Planned<'_>,
    operator: &Operator,
    ways: &[(&Admin, Result<BTreeSet<String>, String>)],
) -> Option<Refusal> {
    const LISTS: [(&str, &str, &str); 3] = [
        ("kexalgorithms", "key exchange", "kex"),
        ("ciphers", "cipher", "ciphers"),
        ("hostkeyalgorithms", "kind of host key", "host-key-algorithms"),
    ];
    if operator.confirm_manual {
        return None;
    }
    let settings: Vec<_> = ways
        .iter()
        .filter(|(_, way)| way.is_ok())
        .filter_map(|(admin, _)| planned.sshd_for(&admin.name).ok())
        .collect();
    LISTS.iter().find_map(|(keyword, what, key)| {
        let offered = operator.algorithms.get(*keyword)?;
        let accepted = settings.iter().map(|settings| settings.get(*keyword)).collect::<Option<Vec<_>>>()?;
        let meets = |list: &&String| list.split(',').any(|name| offered.contains(name));
        let first = accepted.first()?;
        (!accepted.iter().any(meets)).then(|| {
            refusal(
                format!("this machine's ssh offers no {what} that sshd would accept ({first})"),
                format!("use a newer OpenSSH here (`ssh -G HOST` shows what it offers), or add a name it knows to `ssh.crypto.{key}`"),
            )
        })
    })
}

/// A plan may close other ways in; then the one it relies on must last until somebody looks again.
fn no_way_in_soon(planned: &Planned<'_>, policy: &Policy, from: Option<IpAddr>) -> Option<Refusal> {
    let soon = |admin: &Admin| way_in_ahead(planned, admin, from, AHEAD).err();
    let reasons: Option<Vec<String>> =
        policy.site.admins.iter().map(|admin| soon(admin).map(|why| format!("{}: {why}", admin.name))).collect();
    let ways_out = policy.site.admins.iter().filter_map(|admin| {
        let shadow = planned.account(&admin.name)?.shadow.as_ref().ok()?;
        way_in(planned, admin, from).ok()?;
        Some(planned.ending(shadow)?.way_out(admin))
    });
    Some(refusal(
        format!("in {AHEAD} days no administrator could log in any more ({})", reasons?.join("; ")),
        format!("{}; or name a further administrator in the site", ways_out.collect::<Vec<_>>().join(", ")),
    ))
}

/// Administrators who can log in after the plan and not much longer, with the reason.
pub fn soon_shut_out(
    facts: &Facts,
    policy: &Policy,
    operator: &Operator,
    changes: &[Change],
) -> BTreeMap<String, String> {
    let Ok(planned) = Planned::of(facts, changes) else { return BTreeMap::new() };
    let from = operator_address(facts, operator);
    let ends = |admin: &&Admin| way_in(&planned, admin, from).is_ok();
    let reason = |admin: &Admin| way_in_ahead(&planned, admin, from, AHEAD).err().map(|why| (admin.name.clone(), why));
    policy.site.admins.iter().filter(ends).filter_map(reason).collect()
}

/// Fingerprints with which this administrator will get in and become root, or the first obstacle.
fn way_in(planned: &Planned<'_>, admin: &Admin, from: Option<IpAddr>) -> Result<BTreeSet<String>, String> {
    way_in_ahead(planned, admin, from, 0)
}

/// As [`way_in`], so many days from now, if nobody does anything until then.
fn way_in_ahead(
    planned: &Planned<'_>,
    admin: &Admin,
    from: Option<IpAddr>,
    ahead: i64,
) -> Result<BTreeSet<String>, String> {
    let name = admin.name.as_str();
    let account = planned.account(name).ok_or("the account does not exist and the plan does not make it")?;
    let settings = planned.sshd_for(name).map_err(|why| format!("whether sshd lets it in cannot be told: {why}"))?;
    let use_pam = settings.get("usepam").is_some_and(|value| value == "yes");
    if let Some(why) = no_session(planned, account, use_pam, ahead) {
        return Err(why);
    }
    let login = sshd::Login { user: name, from };
    if let Some(why) = sshd::refused(planned, &settings, &login) {
        return Err(why);
    }
    let keys = sshd::usable_keys(planned, &settings, &login, account)?;
    match sudo::refused(planned, name, account) {
        Some(why) => Err(why),
        None => Ok(keys),
    }
}

/// Why the account cannot hold a session whatever key it shows: shell, expiry, lock, forced password change
/// (`pam_unix`'s account phase runs after a key login as well), all as it will be `ahead` days from now.
fn no_session(planned: &Planned<'_>, account: &Account, use_pam: bool, ahead: i64) -> Option<String> {
    let shell = account.shell.rsplit('/').next().unwrap_or_default();
    if matches!(shell, "nologin" | "false" | "true" | "sync") {
        return Some(format!("its login shell is {}", account.shell));
    }
    if planned.text("/etc/nologin").is_ok_and(|text| text.is_some()) {
        return Some("/etc/nologin is there, which keeps everybody but root out".into());
    }
    let shadow = match &account.shadow {
        Ok(shadow) => shadow,
        Err(why) => return Some(format!("whether it is locked or expired cannot be told: {why}")),
    };
    if !use_pam && matches!(shadow.password, PasswordState::Locked(_) | PasswordState::None) {
        return Some("it is locked, and with `UsePAM no` sshd refuses locked accounts".into());
    }
    let ending = planned.ending(shadow)?;
    ending.has_come(planned.today.map(|today| today + ahead)).then(|| ending.told(planned.today))
}

fn outside_management(policy: &Policy, address: Option<IpAddr>) -> Option<Refusal> {
    let management = &policy.site.management;
    let address = address?;
    if management.is_empty() || management.iter().any(|network| network.contains(&address)) {
        return None;
    }
    let networks = management.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Some(refusal(
        format!("the node sees you at {address}, which is outside the management networks ({networks})"),
        "connect from a management network, or add yours to `management` in the site file",
    ))
}

/// Taking away the account of somebody who is logged in, or root's.
fn removals(facts: &Facts, policy: &Policy, changes: &[Change]) -> Vec<Refusal> {
    let session = facts.session.known().map(|session| session.user.as_str());
    let targets: BTreeSet<&str> = changes.iter().filter_map(|change| taken_away(&change.action, policy)).collect();
    targets
        .into_iter()
        .filter_map(|name| {
            if name == "root" {
                return Some(refusal(
                    "the plan would lock root, the way back in at the console",
                    "leave root unlocked: PVE itself and every rescue need it",
                ));
            }
            if session == Some(name) {
                return Some(refusal(
                    format!("the plan would remove {name}, the account this run is logged in as"),
                    "run it as another administrator",
                ));
            }
            match &facts.accounts.connected {
                Reading::Known(names) if !names.contains(name) => None,
                Reading::Known(_) => Some(refusal(
                    format!("the plan would remove {name}, who is logged in on the node now"),
                    format!("wait until {name} is gone (`loginctl list-sessions`), or end the session there"),
                )),
                other => Some(refusal(
                    format!(
                        "whether {name}, whom the plan would remove, is logged in cannot be told: {}",
                        other.certain().err().unwrap_or_else(|| "no list of sessions".into())
                    ),
                    "look with `who` on the node, then keep the account in the site until it can be told",
                )),
            }
        })
        .collect()
}

/// The account that an action locks or strips.
fn taken_away<'a>(action: &'a Action, policy: &Policy) -> Option<&'a str> {
    match action {
        Action::UserLock { name, locked: true } => Some(name),
        Action::UserGroups { name, leave, .. } if leave.contains(&policy.profile.accounts.admin.group) => Some(name),
        _ => None,
    }
}

/// /etc/pve takes no writes without quorum, and looks like an ordinary empty folder when pmxcfs is not mounted.
fn cluster_files(facts: &Facts, changes: &[Change]) -> Option<Refusal> {
    let path = changes.iter().flat_map(|change| change.action.touches()).find(|path| path.starts_with("/etc/pve/"))?;
    if facts.pmxcfs_mounted.known() != Some(&true) {
        return Some(refusal(
            format!("the plan writes {path}, and /etc/pve is not mounted on this node"),
            "look at `systemctl status pve-cluster` on the node first",
        ));
    }
    match &facts.cluster {
        Reading::Absent => None,
        Reading::Known(cluster) if cluster.quorate => None,
        Reading::Known(cluster) => Some(refusal(
            format!("the plan writes {path}, and the cluster {} has no quorum: /etc/pve is read-only", cluster.name),
            "bring enough members back (`pvecm status`), then plan again",
        )),
        Reading::Unreadable(_) | Reading::NotAsked => Some(refusal(
            format!("the plan writes {path}, and whether the cluster has quorum cannot be told"),
            "look at `pvecm status` on the node first",
        )),
    }
}

#[cfg(test)]
mod tests;
