//! Who may do what: the roles of a user or token on a path, and the privileges they give.

use std::collections::{BTreeMap, BTreeSet};

use super::names::token_parts;
use super::roles::Catalogue;
use super::user_cfg::{Grants, ROOT, Subject, UserCfg};

/// Privileges with their propagation.
pub type Privileges = BTreeMap<String, bool>;

/// Answers questions on a configuration.
#[derive(Clone, Copy)]
pub struct Judge<'a> {
    /// The configuration.
    pub cfg: &'a UserCfg,
    /// Roles of the release.
    pub catalogue: &'a Catalogue,
}

impl Judge<'_> {
    /// The privileges of a user or a token on a path.
    pub fn privileges(&self, who: &str, path: &str) -> Privileges {
        if who == ROOT {
            return self.of_role("Administrator").into_iter().map(|name| (name, true)).collect();
        }
        let Some((user, name)) = token_parts(who) else {
            return self.of_roles(&self.roles(&Subject::User(who.to_owned()), who, path));
        };
        let Some(token) = self.cfg.users.get(user).and_then(|user| user.tokens.get(name)) else {
            return Privileges::new();
        };
        let of_user = self.privileges(user, path);
        if !token.privsep {
            return of_user;
        }
        let own = self.of_roles(&self.roles(&Subject::Token(who.to_owned()), user, path));
        own.into_iter().filter_map(|(name, spread)| Some((name.clone(), spread && *of_user.get(&name)?))).collect()
    }

    /// Whether `who` has a privilege on a path.
    pub fn may(&self, who: &str, path: &str, privilege: &str) -> bool {
        self.privileges(who, path).contains_key(privilege)
    }

    /// The paths on which something is said, and the privileges there; paths without any are left out.
    pub fn tree(&self, who: &str) -> BTreeMap<String, Privileges> {
        const ALWAYS: [&str; 9] =
            ["/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms", "/mapping"];
        let paths: BTreeSet<&str> = self.cfg.acl.keys().map(String::as_str).chain(ALWAYS).collect();
        let all = paths.into_iter().map(|path| (path.to_owned(), self.privileges(who, path)));
        all.filter(|(_, privileges)| !privileges.is_empty()).collect()
    }

    /// From the root down, the lowest level that says something wins; a user's own permissions beat its groups'.
    fn roles(&self, subject: &Subject, user: &str, path: &str) -> BTreeMap<String, bool> {
        let mut found = BTreeMap::new();
        for (level, last) in levels(path) {
            let Some(grants) = self.cfg.acl.get(&level) else { continue };
            let own = effective(grants, subject, last);
            if !own.is_empty() {
                found = own;
                continue;
            }
            if matches!(subject, Subject::Token(_)) {
                continue;
            }
            let mut by_group = BTreeMap::new();
            for (name, group) in &self.cfg.groups {
                if group.users.contains(user) {
                    by_group.extend(effective(grants, &Subject::Group(name.clone()), last));
                }
            }
            if !by_group.is_empty() {
                found = by_group;
            }
        }
        if found.contains_key("NoAccess") {
            return BTreeMap::new();
        }
        found
    }

    fn of_roles(&self, roles: &BTreeMap<String, bool>) -> Privileges {
        let mut privileges = Privileges::new();
        for (role, spread) in roles {
            for name in self.of_role(role) {
                let before = privileges.entry(name).or_default();
                *before |= *spread;
            }
        }
        privileges
    }

    fn of_role(&self, role: &str) -> Vec<String> {
        match (self.catalogue.built_in.get(role), self.cfg.roles.get(role)) {
            (Some(set), _) => set.iter().map(|name| (*name).to_owned()).collect(),
            (None, Some(set)) => set.iter().cloned().collect(),
            (None, None) => Vec::new(),
        }
    }
}

fn effective(grants: &Grants, subject: &Subject, last: bool) -> BTreeMap<String, bool> {
    let roles = grants.get(subject).cloned().unwrap_or_default();
    roles.into_iter().filter(|(_, spread)| last || *spread).collect()
}

/// `/`, `/vms`, `/vms/100`, each with whether it is the path itself.
fn levels(path: &str) -> Vec<(String, bool)> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    (0..=parts.len()).map(|depth| (format!("/{}", parts[..depth].join("/")), depth == parts.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Release;

    /// From the recording of `pveum user permissions` on such a tree.
    #[test]
    fn a_group_without_propagation_counts_on_its_path_only() {
        let text = "user:alice@pve:1:0::::::\ngroup:auditors:alice@pve::\nrole:HardAuditor:Datastore.Audit,Sys.Audit,VM.Audit:\nacl:0:/vms:@auditors:HardAuditor:\nacl:1:/vms/9999:alice@pve:PVEAuditor:\n";
        let catalogue = Catalogue::of(Release::Pve9);
        let (cfg, _) = UserCfg::parse(text, &catalogue);
        let judge = Judge { cfg: &cfg, catalogue: &catalogue };
        assert_eq!(judge.privileges("alice@pve", "/vms").get("VM.Audit"), Some(&false));
        assert!(judge.privileges("alice@pve", "/vms/100").is_empty());
        assert_eq!(judge.privileges("alice@pve", "/vms/9999").get("Sys.Audit"), Some(&true));
        assert_eq!(judge.tree("alice@pve").len(), 2);
        assert!(judge.may(ROOT, "/nodes/pve1", "Sys.Modify"));
    }
}
