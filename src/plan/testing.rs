//! Controls, policies and facts for the tests of this room.

use crate::change::{Action, Change, FileChange, FileImage, Stage};
use crate::controls::{Control, Meta, Severity, Verdict};
use crate::facts::{Facts, FileFact, FileKind, Reading};
use crate::plan::seal;
use crate::profile::policy::{Admin, Host, Policy, Profile, Site, Sudo};

/// A control that answers what it is told.
pub struct Fake {
    meta: &'static Meta,
    enabled: bool,
    answer: Verdict,
}

impl Fake {
    pub fn new(id: &'static str, answer: Verdict) -> Self {
        let meta = Meta {
            id,
            title: "title",
            why: "why",
            checked: "checked",
            naive: "naive",
            references: &[],
            level: 1,
            severity: Severity::Medium,
        };
        Self { meta: Box::leak(Box::new(meta)), enabled: true, answer }
    }

    pub fn level(self, level: u8) -> Self {
        let Meta { id, title, why, checked, naive, references, level: _, severity } = *self.meta;
        let meta = Meta { id, title, why, checked, naive, references, level, severity };
        Self { meta: Box::leak(Box::new(meta)), ..self }
    }

    pub fn disabled(id: &'static str) -> Self {
        Self { enabled: false, ..Self::new(id, Verdict::compliant(vec![])) }
    }

    pub fn wants(id: &'static str, changes: Vec<Change>) -> Self {
        Self::new(id, Verdict::differs(changes, vec![]))
    }
}

impl Control for Fake {
    fn meta(&self) -> &'static Meta {
        self.meta
    }

    fn enabled(&self, _: &Policy) -> bool {
        self.enabled
    }

    fn evaluate(&self, _: &Facts, _: &Policy) -> Verdict {
        self.answer.clone()
    }
}

pub fn change(control: &str, stage: Stage, action: Action) -> Change {
    Change { controls: vec![control.into()], stage, summary: format!("{control} step"), interrupts: None, action }
}

pub fn new_file(path: &str, content: &str, mode: u32) -> Action {
    Action::File(FileChange {
        path: path.into(),
        before: None,
        after: Some(FileImage::root(content, mode)),
        validate: None,
    })
}

pub fn regular(content: &str, mode: u32, owner: &str) -> Reading<FileFact> {
    Reading::Known(FileFact {
        kind: FileKind::Regular,
        mode,
        owner: owner.into(),
        group: owner.into(),
        digest: Some(seal::digest(content)),
        content: Some(content.into()),
        modified: None,
    })
}

pub fn directory(mode: u32, owner: &str) -> Reading<FileFact> {
    Reading::Known(FileFact {
        kind: FileKind::Directory,
        mode,
        owner: owner.into(),
        group: owner.into(),
        digest: None,
        content: None,
        modified: None,
    })
}

pub const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ ops@example";
pub const OTHER_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti other@example";

pub fn policy() -> Policy {
    let profile = profile();
    let site = Site {
        management: vec!["192.0.2.0/24".parse().unwrap()],
        admins: vec![Admin {
            name: "ops".into(),
            full_name: "Ops".into(),
            groups: Vec::new(),
            keys: vec![KEY.into()],
            sudo: Sudo::Nopasswd,
            password: None,
        }],
        ..Site::default()
    };
    Policy {
        profile,
        site,
        host: Host { name: "pve1".into(), address: "192.0.2.11".into(), ..Host::default() },
        origins: std::sync::Arc::default(),
        profile_names: vec!["baseline".into()],
        digests: crate::profile::policy::Digests::default(),
        left_out: std::collections::BTreeSet::new(),
        today: jiff::civil::date(2026, 6, 1),
        material: std::collections::BTreeMap::new(),
    }
}

/// The shipped baseline with the values below.
fn profile() -> Profile {
    let mut profile: toml::Table = toml::from_str(include_str!("../../profiles/baseline.toml")).unwrap();
    profile.remove("description");
    for (family, tables) in toml::from_str::<toml::Table>(PROFILE).unwrap() {
        for (name, value) in tables.as_table().unwrap() {
            profile[&family].as_table_mut().unwrap().insert(name.clone(), value.clone());
        }
    }
    profile.try_into().unwrap()
}

const PROFILE: &str = r#"
[run]
commit-window = 120
stage-window = 120
require-reason = false
[accounts.admin]
enabled = true
group = "pve-admins"
shell = "/bin/bash"
sudo-timeout = 300
[accounts.root-password]
enabled = true
max-age-days = 365
[ssh.root-login]
enabled = true
permit = "no"
allow-key-from = []
[ssh.password-auth]
enabled = true
[ssh.limits]
enabled = true
max-auth-tries = 4
login-grace-time = 60
max-sessions = 10
max-startups = "10:30:60"
client-alive-interval = 300
client-alive-count-max = 3
tcp-keep-alive = true
compression = true
log-level = "VERBOSE"
[ssh.forwarding]
enabled = true
tcp-for-admins = true
[ssh.crypto]
enabled = true
kex = []
ciphers = []
macs = []
host-key-algorithms = []
pubkey-accepted-algorithms = []
required-rsa-size = 0
[password.quality]
enabled = true
min-length = 14
min-class = 3
difference = 3
max-repeat = 3
max-sequence = 3
dictionary-check = true
user-check = true
enforce-for-root = true
[password.history]
enabled = true
remember = 24
enforce-for-root = true
[password.aging]
enabled = true
max-days = 365
min-days = 1
warn-days = 14
inactive-days = 30
[password.hash]
enabled = true
method = "yescrypt"
[lockout.pam]
enabled = true
deny = 5
fail-interval = 900
unlock-time = 900
even-deny-root = false
root-unlock-time = 60
[session.timeout]
enabled = true
seconds = 900
[session.umask]
enabled = true
umask = "027"
[session.notice]
enabled = false
text = "For authorised users only."
"#;

pub fn empty_plan() -> crate::plan::Plan {
    crate::plan::Plan {
        node: "pve1".into(),
        seal: "0".repeat(64),
        changes: vec![],
        brings: vec![],
        expects: std::collections::BTreeMap::new(),
        verdicts: vec![],
        drift: Vec::new(),
        notes: vec![],
        refusals: vec![],
        proofs: vec![],
        reach: None,
        firewall_questions: Vec::new(),
        digests: crate::profile::policy::Digests::default(),
    }
}
