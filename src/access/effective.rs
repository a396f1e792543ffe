//! Effective permissions, as pve-access-control computes them: `AccessControl.pm` `roles`, `RPCEnvironment.pm`
//! `compile_acl_path` and `permissions`.
//!
//! On the way down a path every entry of a token or user replaces what came from above, and so do those of their
//! groups where there is none of their own; entries that do not propagate count on their own path alone. `NoAccess`
//! beats the other roles of its level. Members of a pool get what the pool's path gives, unless `NoAccess` stands
//! there. A token with separated privileges has what both it and its user have.

use std::collections::{BTreeMap, BTreeSet};

use crate::pve::names;
use crate::pve::privileges::{ADMINISTRATOR, Catalogue, NO_ACCESS};
use crate::pve::user_cfg::{Grant, UserConfig};

/// Role → whether it holds below the path, too.
pub type Roles<'a> = BTreeMap<&'a str, bool>;

/// Privilege → whether it holds below the path, too.
pub type Privileges<'a> = BTreeMap<&'a str, bool>;

/// A configuration, ready for many questions.
#[derive(Debug)]
pub struct Effective<'a> {
    config: &'a UserConfig,
    catalogue: &'a Catalogue,
    /// (path, subject) → roles.
    entries: BTreeMap<(&'a str, &'a str), Vec<(&'a str, bool)>>,
    /// User → groups, with the `@` of ACL entries.
    groups: BTreeMap<&'a str, Vec<String>>,
    /// Guest or storage path → pools it belongs to.
    pools: BTreeMap<String, Vec<&'a str>>,
}

impl<'a> Effective<'a> {
    /// Indexes a configuration.
    pub fn new(config: &'a UserConfig, catalogue: &'a Catalogue) -> Self {
        let mut entries: BTreeMap<(&str, &str), Vec<(&str, bool)>> = BTreeMap::new();
        for (Grant { path, subject, role }, propagate) in &config.acl {
            entries.entry((path, subject)).or_default().push((role, *propagate));
        }
        let mut groups: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (name, group) in &config.groups {
            for member in &group.members {
                groups.entry(member).or_default().push(format!("@{name}"));
            }
        }
        let mut pools: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (name, pool) in &config.pools {
            let guests = pool.guests.iter().map(|id| format!("/vms/{id}"));
            for path in guests.chain(pool.storages.iter().map(|id| format!("/storage/{id}"))) {
                pools.entry(path).or_default().push(name);
            }
        }
        Self { config, catalogue, entries, groups, pools }
    }

    /// Roles on a path from the ACL alone: pools and the user behind a token are not looked at.
    pub fn roles(&self, subject: &str, path: &str) -> Roles<'a> {
        if subject == names::ROOT {
            return Roles::from([(ADMINISTRATOR, true)]);
        }
        if let Some((user, _)) = names::token(subject) {
            match self.config.tokens.get(subject) {
                None => return Roles::new(),
                Some(token) if !token.separated => return self.roles(user, path),
                Some(_) => {}
            }
        }
        let mut roles = Roles::new();
        for (level, last) in levels(path) {
            let own = self.level(level, subject, last);
            let found = if own.is_empty() {
                let groups = self.groups.get(subject).into_iter().flatten();
                groups.flat_map(|group| self.level(level, group, last)).collect()
            } else {
                own
            };
            if !found.is_empty() {
                roles = found;
            }
        }
        match roles.get(NO_ACCESS) {
            Some(propagate) => Roles::from([(NO_ACCESS, *propagate)]),
            None => roles,
        }
    }

    fn level(&self, path: &str, subject: &str, last: bool) -> Roles<'a> {
        let entries = self.entries.get(&(path, subject)).into_iter().flatten();
        entries.filter(|(_, propagate)| *propagate || last).copied().collect()
    }

    /// Privileges of a user or token on a path.
    pub fn privileges(&self, subject: &str, path: &str) -> Privileges<'a> {
        if subject == names::ROOT {
            return self.catalogue.privileges.iter().map(|privilege| (*privilege, true)).collect();
        }
        let Some((user, _)) = names::token(subject) else { return self.own(subject, path) };
        let Some(token) = self.config.tokens.get(subject) else { return Privileges::new() };
        let of_user = self.privileges(user, path);
        if !token.separated {
            return of_user;
        }
        let own = self.own(subject, path);
        if user == names::ROOT {
            return own;
        }
        let both = |(privilege, propagate): (&'a str, bool)| {
            of_user.get(privilege).map(|of_user| (privilege, propagate && *of_user))
        };
        own.into_iter().filter_map(both).collect()
    }

    fn own(&self, subject: &str, path: &str) -> Privileges<'a> {
        let roles = self.with_pools(subject, path);
        let mut privileges = Privileges::new();
        for (role, propagate) in roles {
            for privilege in self.config.role(role, self.catalogue).unwrap_or_default() {
                *privileges.entry(privilege).or_default() |= propagate;
            }
        }
        privileges
    }

    /// Roles from the ACL and from the pools the path belongs to.
    fn with_pools(&self, subject: &str, path: &str) -> Roles<'a> {
        let mut roles = self.roles(subject, path);
        let Some(pools) = self.pools.get(path).filter(|_| !roles.contains_key(NO_ACCESS)) else { return roles };
        for pool in pools {
            for role in self.roles(subject, &format!("/pool/{pool}")).into_keys() {
                if role == NO_ACCESS {
                    return Roles::from([(NO_ACCESS, false)]);
                }
                roles.entry(role).or_insert(false);
            }
        }
        roles
    }

    /// Every path that can make a difference: those of PVE's own overview (`get_effective_permissions`).
    pub fn paths(&self) -> BTreeSet<String> {
        const TOP: [&str; 8] = ["/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"];
        let listed = self.entries.keys().map(|(path, _)| *path);
        TOP.into_iter().chain(listed).map(str::to_owned).chain(self.pools.keys().cloned()).collect()
    }
}

/// `/`, `/a`, `/a/b` of `/a/b`, each with whether it is the path itself.
fn levels(path: &str) -> impl Iterator<Item = (&str, bool)> {
    let ends = path.match_indices('/').skip(1).map(|(at, _)| at).chain([path.len()]);
    let below = ends.filter(move |_| path != "/").map(move |end| (&path[..end], end == path.len()));
    std::iter::once(("/", path == "/")).chain(below)
}

#[cfg(test)]
mod tests;
