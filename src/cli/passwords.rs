//! Administrators' passwords that are asked for or generated: only now, after the yes and before any node is touched.

use std::collections::BTreeMap;

use super::terminal::Terminal;
use crate::change::Action;
use crate::error::{Error, Kind, Result};
use crate::plan::Plan;
use crate::profile::password;
use crate::profile::policy::{Admin, AdminPassword, Policy};
use crate::secret::Secret;

/// This command's new passwords by account, with their hashes: a person has one password on all nodes.
#[derive(Debug, Default)]
pub struct Passwords {
    made: BTreeMap<String, (Secret, Secret)>,
}

impl Passwords {
    /// The plan with real hashes where it has the mark that no password can match.
    pub fn fill_in(&mut self, plan: &Plan, policy: &Policy) -> Result<Plan> {
        let mut plan = plan.clone();
        for change in &mut plan.changes {
            let Action::UserPassword { name, hash } = &mut change.action else { continue };
            let admin = policy.site.admins.iter().find(|admin| admin.name == *name);
            let Some(admin) = admin.filter(|admin| is_open(admin)) else { continue };
            *hash = self.hash_for(admin, policy).map_err(|error| error.untouched(&policy.host.name))?;
        }
        Ok(plan)
    }

    /// The password this command gave the account; sudo asks for it when the login is proved.
    pub fn of(&self, account: &str) -> Option<&Secret> {
        self.made.get(account).map(|(password, _)| password)
    }

    fn hash_for(&mut self, admin: &Admin, policy: &Policy) -> Result<Secret> {
        if let Some((_, hash)) = self.made.get(&admin.name) {
            return Ok(hash.clone());
        }
        let password = match &admin.password {
            Some(AdminPassword::Generate(path)) => {
                let password = password::generate()?;
                password::store(path, &password)?;
                password
            }
            _ => Terminal::new_password(&format!("New password of {} on the nodes", admin.name)).ok_or_else(|| {
                Error::msg(
                    Kind::Usage,
                    format!("the password of {} must be typed, and there is no terminal", admin.name),
                )
                .hint("use `password = { generate = \"FILE\" }` or a hash in the site file")
            })?,
        };
        let hash = password::hash(&password, policy.profile.password.hash.method)?;
        self.made.insert(admin.name.clone(), (password, hash.clone()));
        Ok(hash)
    }
}

const fn is_open(admin: &Admin) -> bool {
    matches!(admin.password, Some(AdminPassword::Prompt | AdminPassword::Generate(_)))
}
