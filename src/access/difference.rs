//! Who may do what else after a change: effective permissions before and after, where they differ.

use std::collections::{BTreeMap, BTreeSet};

use super::effective::{Effective, Privileges};
use crate::pve::names;
use crate::pve::privileges::{ADMINISTRATOR, Catalogue};
use crate::pve::user_cfg::{Grant, UserConfig};

/// Somebody's privileges on a path, before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// User or token.
    pub subject: String,
    /// ACL path.
    pub path: String,
    /// Privileges that come.
    pub gains: Vec<String>,
    /// Privileges that go.
    pub loses: Vec<String>,
    /// Everything, as Administrator has it, after the change.
    pub everything: bool,
}

/// At most this many subjects with a path are looked at.
const LOOKED_AT: usize = 2000;

/// What differs, and how many subjects with a path were not looked at. A path below another one with the same
/// difference is left out.
pub fn difference(before: &UserConfig, after: &UserConfig, catalogue: &Catalogue) -> (Vec<Difference>, usize) {
    let affected = affected(before, after);
    let more = affected.len().saturating_sub(LOOKED_AT);
    let (old, new) = (Effective::new(before, catalogue), Effective::new(after, catalogue));
    let mut found: Vec<Difference> = Vec::new();
    for (subject, path) in affected.into_iter().take(LOOKED_AT) {
        let (was, is) = (old.privileges(&subject, &path), new.privileges(&subject, &path));
        let gains = missing(&is, &was);
        let loses = missing(&was, &is);
        if gains.is_empty() && loses.is_empty() {
            continue;
        }
        let everything = catalogue.built_in.get(ADMINISTRATOR).is_some_and(|all| is.len() == all.len());
        let same = |other: &Difference| {
            other.subject == subject && other.gains == gains && other.loses == loses && below(&path, &other.path)
        };
        if !found.iter().any(same) {
            found.push(Difference { subject, path, gains, loses, everything });
        }
    }
    (found, more)
}

fn missing(from: &Privileges<'_>, other: &Privileges<'_>) -> Vec<String> {
    from.keys().filter(|privilege| !other.contains_key(*privilege)).map(ToString::to_string).collect()
}

fn below(path: &str, other: &str) -> bool {
    path != other && (other == "/" || path.strip_prefix(other).is_some_and(|rest| rest.starts_with('/')))
}

/// Subjects with the paths on which something about them changed.
fn affected(before: &UserConfig, after: &UserConfig) -> BTreeSet<(String, String)> {
    let mut affected = BTreeSet::new();
    let roles = changed(&before.roles, &after.roles);
    let groups: BTreeSet<&String> = changed(&before.groups, &after.groups);
    let pools: BTreeSet<&String> = changed(&before.pools, &after.pools);
    let tokens: BTreeSet<&String> = changed(&before.tokens, &after.tokens);
    for (one, other) in [(before, after), (after, before)] {
        for (grant @ Grant { path, subject, role }, propagate) in &one.acl {
            let of_pool = path.strip_prefix("/pool/").is_some_and(|pool| pools.contains(&pool.to_owned()));
            let touched = other.acl.get(grant) != Some(propagate)
                || roles.contains(role)
                || of_pool
                || subject.strip_prefix('@').is_some_and(|group| groups.contains(&group.to_owned()))
                || tokens.contains(subject);
            if touched {
                for who in [before, after].into_iter().flat_map(|config| subjects(config, subject)) {
                    affected.insert((who, path.clone()));
                }
            }
        }
    }
    affected
}

/// Names whose value is not the same on both sides.
fn changed<'a, T: PartialEq>(one: &'a BTreeMap<String, T>, other: &'a BTreeMap<String, T>) -> BTreeSet<&'a String> {
    let of = |one: &'a BTreeMap<String, T>, other: &'a BTreeMap<String, T>| {
        one.iter().filter(|(name, value)| other.get(*name) != Some(value)).map(|(name, _)| name)
    };
    of(one, other).chain(of(other, one)).collect()
}

/// Who holds what is given to a subject: the members of a group, a user with those of its tokens that are not
/// separated, a token.
fn subjects(config: &UserConfig, subject: &str) -> Vec<String> {
    match subject.strip_prefix('@') {
        Some(group) => config.groups.get(group).into_iter().flat_map(|group| group.members.iter().cloned()).collect(),
        None if subject == names::ROOT => Vec::new(),
        None => vec![subject.to_owned()],
    }
}

impl Difference {
    /// One line for people.
    pub fn line(&self) -> String {
        let Self { subject, path, gains, loses, everything } = self;
        let gained = match (gains.is_empty(), everything) {
            (true, _) => None,
            (false, true) => Some("may do everything".to_owned()),
            (false, false) => Some(format!("gains {}", gains.join(", "))),
        };
        let lost = (!loses.is_empty()).then(|| format!("loses {}", loses.join(", ")));
        let words: Vec<String> = gained.into_iter().chain(lost).collect();
        format!("{subject} on {path}: {}", words.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pve::user_cfg::parse;

    fn lines(before: &str, after: &str) -> Vec<String> {
        let catalogue = Catalogue::of(9);
        let (found, more) = difference(&parse(before, catalogue), &parse(after, catalogue), catalogue);
        assert_eq!(more, 0);
        found.iter().map(Difference::line).collect()
    }

    const USERS: &str = "user:a@pve:1:0::::::\nuser:b@pve:1:0::::::\ntoken:a@pve!t1:0:1::\ngroup:g:a@pve:x:\nrole:R:VM.Audit,VM.Console:\n";

    #[test]
    fn a_right_for_a_group_reaches_its_members_and_nobody_else() {
        let after = format!("{USERS}acl:1:/vms:@g:R:\nacl:1:/vms/100:@g:R:\n");
        assert_eq!(lines(USERS, &after), ["a@pve on /vms: gains VM.Audit, VM.Console"]);
        assert_eq!(lines(&after, USERS), ["a@pve on /vms: loses VM.Audit, VM.Console"]);
    }

    #[test]
    fn a_role_a_membership_and_no_access_make_a_difference() {
        let acl = "acl:1:/vms:@g:R:\n";
        let role = USERS.replace("VM.Audit,VM.Console", "VM.Audit");
        assert_eq!(lines(&format!("{USERS}{acl}"), &format!("{role}{acl}")), ["a@pve on /vms: loses VM.Console"]);
        let joined = USERS.replace("group:g:a@pve", "group:g:a@pve,b@pve");
        assert_eq!(
            lines(&format!("{USERS}{acl}"), &format!("{joined}{acl}")),
            ["b@pve on /vms: gains VM.Audit, VM.Console"]
        );
        let closed = format!("{USERS}{acl}acl:1:/vms/100:a@pve:NoAccess:\n");
        assert_eq!(lines(&format!("{USERS}{acl}"), &closed), ["a@pve on /vms/100: loses VM.Audit, VM.Console"]);
    }

    #[test]
    fn a_separated_token_gains_what_both_have() {
        let before = format!("{USERS}acl:1:/vms:a@pve:R:\n");
        let after = format!("{before}acl:1:/vms:a@pve!t1:PVEVMAdmin:\n");
        assert_eq!(lines(&before, &after), ["a@pve!t1 on /vms: gains VM.Audit, VM.Console"]);
    }

    #[test]
    fn an_administrator_is_not_a_list_of_forty_words() {
        assert_eq!(lines(USERS, &format!("{USERS}acl:1:/:b@pve:Administrator:\n")), ["b@pve on /: may do everything"]);
    }
}
