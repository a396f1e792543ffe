//! The state a plan leads to, as far as logins depend on it: the facts with the changes laid over them.

use std::collections::{BTreeMap, BTreeSet};

use crate::change::{Action, Change, FileImage, SshdExpectation, Validate};
use crate::controls::accounts::Ending;
use crate::facts::{CaseKind, Facts, FileKind, PasswordState, Reading, Shadow, SshdSettings, SudoRights};

/// Facts with changes laid over them.
pub struct Planned<'a> {
    facts: &'a Facts,
    files: BTreeMap<&'a str, Option<&'a FileImage>>,
    directories: BTreeMap<&'a str, Owned>,
    expectations: Vec<&'a SshdExpectation>,
    installs: BTreeSet<&'a str>,
    users: BTreeMap<String, Account>,
    /// Group name → supplementary members.
    groups: BTreeMap<String, BTreeSet<String>>,
    /// Days since 1970 on the node's clock.
    pub today: Option<i64>,
}

/// One account as it will be.
#[derive(Clone, Debug)]
pub struct Account {
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
    /// Name of the primary group, if known.
    pub primary_group: Option<String>,
    /// Made by this plan.
    pub created: bool,
    /// Password and aging; `Err` says why they cannot be told.
    pub shadow: Result<Shadow, String>,
}

/// Mode and owner of something that will be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// Permission bits.
    pub mode: u32,
    /// Owner name.
    pub owner: String,
}

impl<'a> Planned<'a> {
    /// Lays the changes over the facts; `Err` when the account databases cannot be told.
    pub fn of(facts: &'a Facts, changes: &'a [Change]) -> Result<Self, String> {
        let mut planned = Self {
            facts,
            files: BTreeMap::new(),
            directories: BTreeMap::new(),
            expectations: Vec::new(),
            installs: BTreeSet::new(),
            users: accounts(facts)?,
            groups: facts
                .accounts
                .groups
                .required("/etc/group")?
                .iter()
                .map(|(name, group)| (name.clone(), group.members.clone()))
                .collect(),
            today: facts.taken.known().map(|taken| taken.as_second().div_euclid(86_400)),
        };
        for change in changes {
            planned.lay(&change.action);
        }
        Ok(planned)
    }

    fn lay(&mut self, action: &'a Action) {
        match action {
            Action::File(file) => {
                self.files.insert(&file.path, file.after.as_ref());
                if let Some(Validate::Sshd { expect }) = &file.validate {
                    self.expectations.extend(expect);
                }
            }
            Action::Directory { path, mode, owner, .. } => {
                self.directories.insert(path, Owned { mode: *mode, owner: owner.clone() });
            }
            Action::Packages { install } => self.installs.extend(install.iter().map(String::as_str)),
            Action::Group { name, .. } => {
                self.groups.entry(name.clone()).or_default();
            }
            Action::User { name, shell, home, groups, .. } => self.create(name, shell, home, groups),
            Action::UserGroups { name, join, leave } => self.regroup(name, join, leave),
            Action::UserPassword { name, .. } => {
                let today = self.today;
                self.age(name, |shadow| {
                    shadow.password = PasswordState::Hash(String::new());
                    shadow.last_change = today;
                });
            }
            Action::UserLock { name, locked } => self.age(name, |shadow| lock(shadow, *locked)),
            Action::UserShell { name, shell } => {
                if let Some(user) = self.users.get_mut(name) {
                    user.shell.clone_from(shell);
                }
            }
            Action::UserAging { name, max_days, inactive_days, .. } => self.age(name, |shadow| {
                shadow.max_days = (*max_days >= 0).then_some(*max_days);
                shadow.inactive_days = (*inactive_days >= 0).then_some(*inactive_days);
            }),
            Action::PamProfiles { .. }
            | Action::PveAccess { .. }
            | Action::Token { .. }
            | Action::Certificate { .. }
            | Action::Sysctl { .. }
            | Action::Unit { .. } => {}
        }
    }

    fn create(&mut self, name: &str, shell: &str, home: &str, groups: &[String]) {
        let shadow = Shadow {
            password: PasswordState::None,
            last_change: self.today,
            min_days: None,
            max_days: self.useradd_max_days(),
            warn_days: None,
            inactive_days: None,
            expires: None,
            hash_digest: None,
        };
        let account = Account {
            home: home.into(),
            shell: shell.into(),
            primary_group: Some(name.into()),
            created: true,
            shadow: Ok(shadow),
        };
        self.users.insert(name.into(), account);
        self.regroup(name, groups, &[]);
    }

    /// What useradd copies from login.defs as it is today: the plan's own change of that file comes later.
    fn useradd_max_days(&self) -> Option<i64> {
        let text = self.facts.text("/etc/login.defs");
        let last = text.known()?.lines().rev().find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("PASS_MAX_DAYS")).then(|| words.next()).flatten()
        });
        last?.parse().ok()
    }

    fn regroup(&mut self, name: &str, join: &[String], leave: &[String]) {
        for group in join {
            self.groups.entry(group.clone()).or_default().insert(name.into());
        }
        for group in leave {
            if let Some(members) = self.groups.get_mut(group) {
                members.remove(name);
            }
        }
    }

    fn age(&mut self, name: &str, change: impl FnOnce(&mut Shadow)) {
        if let Some(Account { shadow: Ok(shadow), .. }) = self.users.get_mut(name) {
            change(shadow);
        }
    }

    /// When PAM stops letting an account in; `None` when it never does.
    pub fn ending(&self, shadow: &Shadow) -> Option<Ending> {
        Ending::of(self.facts, shadow)
    }

    /// The account with this name.
    pub fn account(&self, name: &str) -> Option<&Account> {
        self.users.get(name)
    }

    /// Names of all groups of an account.
    pub fn groups_of(&self, name: &str) -> BTreeSet<&str> {
        let supplementary =
            self.groups.iter().filter(|(_, members)| members.contains(name)).map(|(group, _)| group.as_str());
        let primary = self.users.get(name).and_then(|user| user.primary_group.as_deref());
        supplementary.chain(primary).collect()
    }

    /// Lines of a key file of `user`; empty when there is none, `Err` when it cannot be told or does not count.
    pub fn key_lines(&self, user: &str, path: &str) -> Result<Vec<&str>, String> {
        if let Some(image) = self.files.get(path) {
            return Ok(image.map(|image| image.content.lines().collect()).unwrap_or_default());
        }
        let read = self.facts.accounts.authorized_keys.get(user).and_then(Reading::known);
        if let Some(keys) = read.filter(|keys| keys.path == path || path.ends_with("/.ssh/authorized_keys")) {
            if !keys.local {
                return Err(format!("{path} leads to {}, which is not on local disk", keys.path));
            }
            return Ok(keys.lines.iter().map(String::as_str).collect());
        }
        let absent_home = self.users.get(user).is_some_and(|account| account.created);
        match self.text(path) {
            Ok(text) => Ok(text.map(|text| text.lines().collect()).unwrap_or_default()),
            Err(_) if absent_home || path.ends_with("/.ssh/authorized_keys2") => Ok(Vec::new()),
            Err(why) => Err(format!("{path} cannot be told: {why}")),
        }
    }

    /// The text that will be at a path; `None` when nothing will be there, `Err` says why it cannot be told.
    pub fn text(&self, path: &str) -> Result<Option<&str>, String> {
        if let Some(image) = self.files.get(path) {
            return Ok(image.map(|image| image.content.as_str()));
        }
        let Some(fact) = self.facts.file(path).certain()? else { return Ok(None) };
        match &fact.kind {
            FileKind::Symlink(target) => Err(format!("it is a link to {target}")),
            _ => fact
                .content
                .as_deref()
                .map(Some)
                .ok_or_else(|| "its content was not read: it is too large, or not text in UTF-8".into()),
        }
    }

    /// Mode and owner of what will be at a path; `None` when nothing will be there.
    pub fn owned(&self, path: &str) -> Result<Option<Owned>, String> {
        if let Some(image) = self.files.get(path) {
            return Ok(image.map(|image| Owned { mode: image.mode, owner: image.owner.clone() }));
        }
        if let Some(directory) = self.directories.get(path) {
            return Ok(Some(directory.clone()));
        }
        let fact = self.facts.file(path).certain()?;
        Ok(fact.map(|fact| Owned { mode: fact.mode, owner: fact.owner.clone() }))
    }

    /// Files the plan writes below a folder: path, and the image when it is not a removal.
    pub fn written_below(&self, folder: &str) -> impl Iterator<Item = (&str, Option<&FileImage>)> {
        self.files.iter().filter(move |(path, _)| path.starts_with(folder)).map(|(path, image)| (*path, *image))
    }

    /// Whether the node has something at a path before the plan runs; what cannot be told counts as there.
    pub fn exists_today(&self, path: &str) -> bool {
        !matches!(self.facts.file(path), Reading::Absent)
    }

    /// Whether a package will be installed.
    pub fn has_package(&self, name: &str) -> Result<bool, String> {
        if self.installs.contains(name) {
            return Ok(true);
        }
        let packages = self.facts.packages.required("the list of packages")?;
        Ok(packages.get(name).is_some_and(|package| package.installed))
    }

    /// What `sudo -l -U` says of an account today.
    pub fn sudo_today(&self, user: &str) -> Option<&'a SudoRights> {
        self.facts.sudo.get(user).and_then(Reading::known)
    }

    /// sshd's settings for an administrator's login: what it says today, with what the plan makes effective.
    pub fn sshd_for(&self, user: &str) -> Result<SshdSettings, String> {
        let case = self.facts.sshd.cases.iter().find(|(case, _)| case.who == CaseKind::Admin && case.user == user);
        let today = match case {
            Some((_, reading)) => reading,
            None => &self.facts.sshd.global,
        };
        let mut settings = today.required("sshd's effective settings")?.clone();
        let applies = |expected: &str| match case {
            Some((case, _)) => expected == case.spec(),
            None => expected.split(',').any(|part| part.strip_prefix("user=") == Some(user)),
        };
        for expectation in self.expectations.iter().filter(|expectation| applies(&expectation.case)) {
            settings.extend(expectation.settings.clone());
        }
        Ok(settings)
    }
}

/// `usermod -L -e 1`, or `usermod -U -e ''`.
fn lock(shadow: &mut Shadow, locked: bool) {
    shadow.expires = locked.then_some(1);
    shadow.password = match (std::mem::replace(&mut shadow.password, PasswordState::None), locked) {
        (PasswordState::Hash(kind), true) => PasswordState::Locked(kind),
        (PasswordState::Locked(kind), false) => PasswordState::Hash(kind),
        (other, _) => other,
    };
}

fn accounts(facts: &Facts) -> Result<BTreeMap<String, Account>, String> {
    let users = facts.accounts.users.required("/etc/passwd")?;
    let groups = facts.accounts.groups.required("/etc/group")?;
    let shadow = facts.accounts.shadow.required("/etc/shadow");
    let account = |user: &crate::facts::User| Account {
        home: user.home.clone(),
        shell: user.shell.clone(),
        primary_group: groups.iter().find(|(_, group)| group.gid == user.gid).map(|(name, _)| name.clone()),
        created: false,
        shadow: match &shadow {
            Err(why) => Err(why.clone()),
            Ok(shadow) => shadow.get(&user.name).cloned().ok_or_else(|| "/etc/shadow has no line for it".into()),
        },
    };
    Ok(users.iter().map(|(name, user)| (name.clone(), account(user))).collect())
}
