//! The controls, judged from outside: what they say of recorded nodes, that applying what they want satisfies them,
//! and that the real sshd and sudo of this machine read their files as meant.

mod access;
mod access_calls;
mod accounts;
mod alerts;
mod catalogue;
mod cert;
mod fixtures;
mod model;
mod notice;
mod os;
mod scale;
mod show;
mod ssh;
mod sshd;
mod system;
mod watch;
mod whole;

use pve_harden::controls::{CATALOGUE, Control, Status, Verdict};
use pve_harden::facts::{Facts, KeyPlace, Reading};
use pve_harden::profile::policy::{Admin, Host, Policy, Site, Sudo};

/// A key of the site.
pub const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ ops@example";
/// A key nobody named.
pub const OTHER_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti other@example";

/// An administrator with a key.
pub fn admin(name: &str, sudo: Sudo) -> Admin {
    Admin {
        name: name.into(),
        full_name: format!("The {name} person"),
        groups: Vec::new(),
        keys: vec![KEY.into()],
        sudo,
        password: None,
    }
}

/// A shipped profile and a site with the administrator `ops`.
pub fn policy(profile: &str) -> Policy {
    let site = Site {
        management: vec!["10.77.0.0/24".parse().unwrap()],
        hosts: vec![Host { name: "pve1".into(), address: "10.77.0.2".into(), ..Host::default() }],
        admins: vec![admin("ops", Sudo::Nopasswd)],
        ..Site::default()
    };
    Policy::from_embedded(profile, site).unwrap()
}

/// The control with this id.
pub fn control(id: &str) -> &'static dyn Control {
    *CATALOGUE.iter().find(|control| control.meta().id == id).unwrap()
}

/// Completes a recording with what a capture for this policy would have asked and not found.
pub fn asked(mut facts: Facts, policy: &Policy) -> Facts {
    for path in CATALOGUE.iter().flat_map(|control| control.reads(policy)).filter(|path| !path.contains('*')) {
        facts.files.entry(path).or_insert(Reading::Absent);
    }
    for admin in &policy.site.admins {
        let user = facts.accounts.users.known().and_then(|users| users.get(&admin.name));
        let home = user.map_or_else(|| format!("/home/{}", admin.name), |user| user.home.clone());
        let place = KeyPlace { home, exists: "/home".into(), file_system: "xfs".into(), local: true };
        facts.accounts.key_places.entry(admin.name.clone()).or_insert(Reading::Known(place));
    }
    facts
}

/// The changes of a verdict that differs.
pub fn changes(verdict: &Verdict) -> &[pve_harden::change::Change] {
    match &verdict.status {
        Status::Differs { changes, .. } => changes,
        other => panic!("expected a difference, not {other:?}"),
    }
}

/// The advice of a verdict that differs.
pub fn advice(verdict: &Verdict) -> &str {
    match &verdict.status {
        Status::Differs { advice: Some(advice), .. } => advice,
        other => panic!("expected advice, not {other:?}"),
    }
}

/// The reason of a refusal.
pub fn refusal(verdict: &Verdict) -> &str {
    match &verdict.status {
        Status::Refused { why } => why,
        other => panic!("expected a refusal, not {other:?}"),
    }
}

/// The reason why it cannot be told.
pub fn unknown(verdict: &Verdict) -> &str {
    match &verdict.status {
        Status::Unknown { why } => why,
        other => panic!("expected unknown, not {other:?}"),
    }
}
