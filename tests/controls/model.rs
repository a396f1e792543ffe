//! What a change does to a node, on facts alone: enough to ask a control again after its changes.

use std::collections::{BTreeMap, BTreeSet};

use pve_harden::change::access::AccessCall;
use pve_harden::change::certificate::CertStep;
use pve_harden::change::token::NewToken;
use pve_harden::change::{Action, Change, FileImage, UnitVerb, Validate};
use pve_harden::facts::cert::Account;
use pve_harden::facts::network::Handshake;
use pve_harden::facts::os::Sysctl;
use pve_harden::facts::{
    AuthorizedKeys, Facts, FileFact, FileKind, Group, Package, PasswordState, Reading, Shadow, SudoRights, User,
};
use pve_harden::pve::certificate::Certificate;
use pve_harden::pve::user_cfg::Token;
use sha2::{Digest as _, Sha256};

/// Hex SHA-256.
pub fn digest(text: &str) -> String {
    format!("{:x}", Sha256::digest(text))
}

/// The facts after these changes.
pub fn apply(facts: &Facts, changes: &[Change]) -> Facts {
    let mut after = facts.clone();
    for change in changes {
        step(&mut after, &change.action);
    }
    sudo(&mut after);
    after
}

fn known<T>(reading: &mut Reading<T>) -> &mut T {
    match reading {
        Reading::Known(value) => value,
        _ => panic!("the model changes only what is known"),
    }
}

fn step(facts: &mut Facts, action: &Action) {
    match action {
        Action::File(file) => {
            let fact = file.after.as_ref().map_or(Reading::Absent, |image| Reading::Known(regular(image)));
            facts.files.insert(file.path.clone(), fact);
            if let Some(Validate::Sshd { expect }) = &file.validate {
                overlay(facts, expect);
            }
            keys(facts, &file.path, file.after.as_ref());
            pveproxy(facts, &file.path, file.after.as_ref());
        }
        Action::Directory { path, mode, owner, group } => {
            let fact = directory(*mode, owner, group);
            facts.files.insert(path.clone(), Reading::Known(fact));
        }
        Action::Packages { install } => {
            let package = Package { version: "1".into(), installed: true };
            known(&mut facts.packages).extend(install.iter().map(|name| (name.clone(), package.clone())));
        }
        Action::Group { name, .. } => {
            let group = Group { gid: 900, members: BTreeSet::default() };
            known(&mut facts.accounts.groups).insert(name.clone(), group);
        }
        Action::User { name, full_name, shell, home, groups } => user(facts, [name, full_name, shell, home], groups),
        Action::UserGroups { name, join, leave } => members(facts, name, join, leave),
        Action::UserPassword { name, hash } => {
            let salt = facts.accounts.digest_salt.known().cloned().unwrap_or_default();
            let shadow = known(&mut facts.accounts.shadow).get_mut(name).unwrap();
            shadow.hash_digest = Some(digest(&format!("{salt}{}", hash.expose())));
            shadow.password = if hash.expose() == "!" { PasswordState::None } else { PasswordState::Hash("y".into()) };
        }
        Action::UserLock { name, locked } => {
            let shadow = known(&mut facts.accounts.shadow).get_mut(name).unwrap();
            shadow.expires = locked.then_some(1);
            shadow.password = match (&shadow.password, locked) {
                (PasswordState::Hash(kind), true) => PasswordState::Locked(kind.clone()),
                (PasswordState::Locked(kind), false) => PasswordState::Hash(kind.clone()),
                (PasswordState::Empty, true) => PasswordState::None,
                (other, _) => other.clone(),
            };
        }
        Action::UserShell { name, shell } => {
            known(&mut facts.accounts.users).get_mut(name).unwrap().shell.clone_from(shell);
        }
        Action::UserAging { name, min_days, max_days, warn_days, inactive_days } => {
            let shadow = known(&mut facts.accounts.shadow).get_mut(name).unwrap();
            let days = |days: i64| (days >= 0).then_some(days);
            (shadow.min_days, shadow.max_days) = (days(*min_days), days(*max_days));
            (shadow.warn_days, shadow.inactive_days) = (days(*warn_days), days(*inactive_days));
        }
        Action::Unit { unit, verb: UnitVerb::DisableNow } => stopped(facts, unit),
        Action::Sysctl { set } => {
            for (name, value) in set {
                let value = Sysctl::Value { value: value.clone(), writable: true };
                known(&mut facts.os.sysctl).insert(name.clone(), value);
            }
        }
        Action::PveAccess { steps } => {
            for step in steps {
                realm(facts, &step.call);
                pve_harden::access::model::apply(known(&mut facts.access.config), &step.call);
            }
        }
        Action::Token { token: NewToken { id, comment, days, separated, rights, .. } } => {
            let expires = facts.taken.known().map_or(0, |at| u64::try_from(at.as_second()).unwrap()) + days * 86_400;
            let token = Token { expires, separated: *separated, comment: comment.clone() };
            known(&mut facts.access.config).tokens.insert(id.clone(), token);
            for call in rights {
                pve_harden::access::model::apply(known(&mut facts.access.config), call);
            }
        }
        Action::Certificate { step } => certificate(facts, step),
        Action::PamProfiles { .. } | Action::Unit { .. } => {}
    }
}

/// A CA that issues what is asked for, and a pveproxy that serves what is installed.
fn certificate(facts: &mut Facts, step: &CertStep) {
    match step {
        CertStep::Account { name, directory, contact, .. } => {
            let contact = contact.split(',').map(str::to_owned).collect();
            let account = Account { directory: directory.clone(), contact, status: Some("valid".into()) };
            known(&mut facts.cert.accounts).insert(name.clone(), Some(account));
        }
        CertStep::Order { names, .. } => {
            let now = facts.taken.known().unwrap().as_second();
            let issued = Certificate {
                subject: format!("CN={}", names[0]),
                issuer: "CN=R11,O=Let's Encrypt".into(),
                names: names.iter().cloned().collect(),
                not_before: now,
                not_after: now + 90 * 86_400,
                fingerprint: "DD:44".into(),
            };
            serves(facts, vec![issued]);
        }
        CertStep::Upload { chain, .. } => serves(facts, pve_harden::pve::certificate::chain(chain).unwrap()),
        CertStep::Trust { .. } | CertStep::Plugin { .. } => {}
    }
}

fn serves(facts: &mut Facts, chain: Vec<Certificate>) {
    let served = known(&mut facts.cert.served);
    (served.chain, served.verify) = (chain.clone(), (0, "(ok)".into()));
    facts.cert.installed = Reading::Known(chain);
}

/// A unit that is off, and what its process listened on.
fn stopped(facts: &mut Facts, unit: &str) {
    let state = known(&mut facts.units).get_mut(unit).unwrap();
    state.active = "inactive".into();
    state.file_state = "disabled".into();
    let process = unit.rsplit_once('.').unwrap().0;
    known(&mut facts.listeners).retain(|listener| listener.process.as_deref() != Some(process));
}

/// pveproxy with these settings refuses what they leave out.
fn pveproxy(facts: &mut Facts, path: &str, image: Option<&FileImage>) {
    let Some(image) = image.filter(|_| path == "/etc/default/pveproxy") else { return };
    let Reading::Known(tls) = &mut facts.network.tls else { return };
    let settings = pve_harden::pve::pveproxy::Settings::parse(&image.content);
    for (label, name) in
        [("other-ciphers", "CIPHERS"), ("other-ciphers", "DISABLE_TLS_1_2"), ("other-suites", "CIPHERSUITES")]
    {
        if let (Some(_), Some((_, answer))) = (settings.value(name), tls.asked.get_mut(label)) {
            *answer = Some(Handshake::Refused("handshake failure".into()));
        }
    }
}

/// Realms lie in a file of their own.
fn realm(facts: &mut Facts, call: &AccessCall) {
    let AccessCall::RealmModify { realm, comment, default, settings } = call else { return };
    let realms = known(&mut facts.access.realms);
    if *default == Some(true) {
        for realm in realms.values_mut() {
            realm.settings.remove("default");
        }
        realms.get_mut(realm).unwrap().settings.insert("default".into(), "1".into());
    }
    if let Some(comment) = comment {
        realms.get_mut(realm).unwrap().settings.insert("comment".into(), comment.clone());
    }
    let kept = &mut realms.get_mut(realm).unwrap().settings;
    for (name, value) in settings.iter().filter(|(name, _)| *name != "check-connection") {
        if value.is_empty() {
            kept.remove(name);
        } else {
            kept.insert(name.clone(), value.clone());
        }
    }
}

/// A regular file as the capture would read it.
pub fn regular(image: &FileImage) -> FileFact {
    FileFact {
        kind: FileKind::Regular,
        mode: image.mode,
        owner: image.owner.clone(),
        group: image.group.clone(),
        digest: Some(digest(&image.content)),
        content: Some(image.content.clone()),
        modified: None,
    }
}

/// A directory as the capture would read it.
pub fn directory(mode: u32, owner: &str, group: &str) -> FileFact {
    FileFact {
        kind: FileKind::Directory,
        mode,
        owner: owner.into(),
        group: group.into(),
        digest: None,
        content: None,
        modified: None,
    }
}

fn overlay(facts: &mut Facts, expect: &[pve_harden::change::SshdExpectation]) {
    for (case, reading) in &mut facts.sshd.cases {
        if let Some(expected) = expect.iter().find(|expected| expected.case == case.spec()) {
            known(reading).extend(expected.settings.clone());
        }
    }
}

fn keys(facts: &mut Facts, path: &str, image: Option<&FileImage>) {
    let Some(home) = path.strip_suffix("/.ssh/authorized_keys") else { return };
    let users = facts.accounts.users.known().unwrap();
    let Some(name) = users.values().find(|user| user.home == home).map(|user| user.name.clone()) else { return };
    let lines = |image: &FileImage| -> Vec<String> {
        image.content.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    };
    let reading = image.map_or(Reading::Absent, |image| {
        Reading::Known(AuthorizedKeys { path: path.into(), local: true, lines: lines(image), changed: None })
    });
    facts.accounts.authorized_keys.insert(name, reading);
}

fn user(facts: &mut Facts, [name, full_name, shell, home]: [&String; 4], groups: &[String]) {
    let users = known(&mut facts.accounts.users);
    let uid = 1000 + u32::try_from(users.values().filter(|user| user.uid >= 1000 && user.uid < 60000).count()).unwrap();
    let user =
        User { name: name.clone(), uid, gid: uid, gecos: full_name.clone(), home: home.clone(), shell: shell.clone() };
    users.insert(name.clone(), user);
    known(&mut facts.accounts.groups).insert(name.clone(), Group { gid: uid, members: BTreeSet::default() });
    let shadow = Shadow {
        password: PasswordState::None,
        last_change: Some(20_000),
        min_days: Some(0),
        max_days: Some(99_999),
        warn_days: Some(7),
        inactive_days: None,
        expires: None,
        hash_digest: None,
    };
    known(&mut facts.accounts.shadow).insert(name.clone(), shadow);
    facts.files.insert(home.clone(), Reading::Known(directory(0o700, name, name)));
    members(facts, name, groups, &[]);
}

fn members(facts: &mut Facts, name: &str, join: &[String], leave: &[String]) {
    let groups = known(&mut facts.accounts.groups);
    for group in join {
        groups.get_mut(group).unwrap().members.insert(name.into());
    }
    for group in leave {
        groups.get_mut(group).unwrap().members.remove(name);
    }
}

/// `sudo -l` of the people, as the drop-in gives it.
fn sudo(facts: &mut Facts) {
    let Some(text) = facts.file("/etc/sudoers.d/pve-harden-admins").known().and_then(|fact| fact.content.clone())
    else {
        return;
    };
    let names: Vec<String> = facts.sudo.keys().cloned().collect();
    let rights: BTreeMap<_, _> = names
        .into_iter()
        .map(|name| {
            let nopasswd = text.contains(&format!("\n{name} ALL=(ALL:ALL) NOPASSWD: ALL\n"));
            let groups = facts.accounts.groups.known().unwrap();
            let member = groups.iter().any(|(group, data)| {
                data.members.contains(&name) && text.contains(&format!("\n%{group} ALL=(ALL:ALL) ALL\n"))
            });
            let rights = SudoRights { all_as_root: nopasswd || member, nopasswd, lines: Vec::new() };
            (name, Reading::Known(rights))
        })
        .collect();
    facts.sudo = rights;
}
