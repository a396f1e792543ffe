//! What changes meaning when a PVE 8 node becomes a PVE 9 node (Debian 12 to 13): of its configuration, its roles and the
//! profile.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::facts::{Facts, Reading};
use crate::profile::policy::Policy;
use crate::pve::privileges::{MONITOR, MONITOR_ON_9};

/// One thing that means something else afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Meaning {
    /// What: a file, a role, a part of the profile.
    pub subject: String,
    /// What it means on PVE 8, and on 9.
    pub change: String,
    /// What to do.
    pub todo: String,
}

/// Everything that was found; empty on a node that is no PVE 8 node.
pub fn to_nine(facts: &Facts, policy: &Policy) -> Vec<Meaning> {
    if facts.pve.known().is_none_or(|pve| pve.major != 8) {
        return Vec::new();
    }
    let mut found = roles(facts);
    found.extend(wanted_roles(policy));
    found.extend(files(facts));
    found.extend(ssh(facts, policy));
    found.push(meaning(
        "everything that was applied",
        "packages replace configuration files, and postinst scripts of pve-manager run `pvecm updatecerts`",
        "after the upgrade run `pve-harden plan`: it shows what to apply again, and who changed it",
    ));
    found
}

/// Why nothing can be said of an upgrade to PVE 9; absent on a PVE 8 node.
pub fn nothing_to_say(facts: &Facts, node: &str) -> Option<String> {
    match facts.pve.known().map(|pve| pve.major) {
        Some(8) => None,
        Some(major @ 9..) => Some(format!("{node} is PVE {major} already")),
        Some(major) => Some(format!("{node} is PVE {major}; only what changes from PVE 8 to 9 is known")),
        None => Some(format!("the release of {node} is not known, so that nothing can be said of PVE 9")),
    }
}

fn meaning(subject: &str, change: &str, todo: &str) -> Meaning {
    Meaning { subject: subject.into(), change: change.into(), todo: todo.into() }
}

/// `role:NAME:PRIVILEGES:` of user.cfg. PVE 9 passes over privileges that it does not know (pve-access-control).
fn roles(facts: &Facts) -> Vec<Meaning> {
    const PATH: &str = "/etc/pve/user.cfg";
    let text = match facts.text(PATH) {
        Reading::Known(text) => text,
        Reading::Unreadable(why) => {
            return vec![meaning(PATH, &format!("it could not be read: {why}"), "read it, then ask again")];
        }
        Reading::Absent | Reading::NotAsked => return Vec::new(),
    };
    let weaker = |line: &str| {
        let mut fields = line.strip_prefix("role:")?.split(':');
        let (name, privileges) = (fields.next()?, fields.next()?);
        let monitor = privileges.split([',', ';', ' ']).any(|privilege| privilege.trim() == MONITOR);
        monitor.then(|| {
            meaning(
                &format!("role {name}"),
                "VM.Monitor does not exist on PVE 9: the role silently loses it",
                "add Sys.Audit, and VM.GuestAgent.Audit or further VM.GuestAgent privileges where the guest agent is used",
            )
        })
    };
    text.lines().filter_map(weaker).collect()
}

/// `[[access.role]]` of profile and site, which are translated on each node for its own release.
fn wanted_roles(policy: &Policy) -> Vec<Meaning> {
    let access = &policy.profile.access;
    let lists = |privileges: &[String]| privileges.iter().any(|privilege| privilege == MONITOR);
    let roles = access.role.iter().filter(|role| access.roles.enabled && lists(&role.privileges));
    let instead = MONITOR_ON_9.join(" and ");
    roles
        .map(|role| {
            let origin = policy.origin(&format!("access.role.{}", role.id));
            let place = origin.map(|origin| format!(" of {origin}")).unwrap_or_default();
            meaning(
                &format!("[[access.role]] {}{place}", role.id),
                &format!(
                    "{MONITOR} does not exist on PVE 9: there `pve-harden apply` gives the role {instead} in its place"
                ),
                &format!("once no node is PVE 8, write {instead}, or what is really needed"),
            )
        })
        .collect()
}

fn files(facts: &Facts) -> Vec<Meaning> {
    let mut found = Vec::new();
    let says = |text: &str| text.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
    if facts.text("/etc/sysctl.conf").known().is_some_and(|text| says(text)) {
        found.push(meaning(
            "/etc/sysctl.conf",
            "systemd-sysctl of Debian 13 does not read it any more",
            "move its lines to a file in /etc/sysctl.d",
        ));
    }
    if facts.text("/etc/pve/ha/groups.cfg").known().is_some_and(|text| says(text)) {
        found.push(meaning(
            "/etc/pve/ha/groups.cfg",
            "HA groups become HA rules",
            "look at the rules after the upgrade",
        ));
    }
    let lists: Vec<&str> = facts
        .files
        .iter()
        .filter(|(path, file)| {
            path.starts_with("/etc/apt/") && path.strip_suffix(".list").is_some() && matches!(file, Reading::Known(_))
        })
        .map(|(path, _)| path.as_str())
        .collect();
    if !lists.is_empty() {
        let todo = "change the suites to trixie, or `apt modernize-sources` afterwards";
        found.push(meaning(&lists.join(", "), "PVE 9 writes deb822 .sources files; both are read", todo));
    }
    found
}

fn ssh(facts: &Facts, policy: &Policy) -> Vec<Meaning> {
    let mut found = vec![meaning(
        "sshd",
        "OpenSSH 10 slows down addresses that fail often (PerSourcePenalties), logs logins as sshd-session, and knows no DSA keys",
        "let monitors and scanners log in or stay away; filters of log lines must know sshd-session",
    )];
    if policy.profile.ssh.crypto.enabled {
        found.push(meaning(
            "ssh.crypto",
            "OpenSSH 10 has mlkem768x25519-sha256, OpenSSH 9.2 has not: the same profile gives a longer list",
            "in a cluster upgrade every member before the next `pve-harden apply`, so that all keep a name in common",
        ));
    }
    let old = |line: &str| line.split_whitespace().any(|word| word == "ssh-dss");
    if facts.text("/root/.ssh/authorized_keys").known().is_some_and(|text| text.lines().any(old)) {
        found.push(meaning("/root/.ssh/authorized_keys", "DSA keys are refused", "replace them by ed25519 keys"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::PveRelease;
    use crate::plan::testing::{policy, regular};
    use crate::profile::policy::{Origin, WantedRole};

    fn node(major: u32) -> Facts {
        let pve = PveRelease { major, minor: 1, text: format!("{major}.1"), debian: major + 4 };
        Facts { pve: Reading::Known(pve), ..Facts::default() }
    }

    fn subjects(facts: &Facts) -> Vec<String> {
        to_nine(facts, &policy()).into_iter().map(|one| one.subject).collect()
    }

    #[test]
    fn a_pve_9_node_has_nothing_before_it() {
        assert_eq!(to_nine(&node(9), &policy()), []);
        assert_eq!(to_nine(&Facts::default(), &policy()), []);
    }

    #[test]
    fn roles_that_lose_a_privilege_are_named() {
        let mut facts = node(8);
        let text = "user:root@pam:1:0:::::\nrole:WebDev:VM.Audit,VM.Console,VM.Monitor:\nrole:Fine:VM.Audit:\n";
        facts.files.insert("/etc/pve/user.cfg".into(), regular(text, 0o640, "root"));
        let found = subjects(&facts);
        assert!(found.contains(&"role WebDev".to_owned()) && !found.contains(&"role Fine".to_owned()), "{found:?}");
    }

    #[test]
    fn roles_of_the_profile_are_named_with_their_place() {
        let mut policy = policy();
        let role = |id: &str, privileges: &[&str]| WantedRole {
            id: id.into(),
            privileges: privileges.iter().map(ToString::to_string).collect(),
        };
        policy.profile.access.roles.enabled = true;
        policy.profile.access.role = vec![role("WebDev", &["VM.Audit", "VM.Monitor"]), role("Fine", &["VM.Audit"])];
        let origin = Origin { file: "site.toml".into(), line: 12 };
        std::sync::Arc::make_mut(&mut policy.origins).insert("access.role.WebDev".into(), origin);
        let found = to_nine(&node(8), &policy);
        let named: Vec<_> = found.iter().filter(|one| one.subject.contains("role")).collect();
        assert_eq!(named.len(), 1, "{found:?}");
        assert_eq!(named[0].subject, "[[access.role]] WebDev of site.toml:12");
        assert!(
            named[0].change.ends_with("gives the role Sys.Audit and VM.GuestAgent.Audit in its place"),
            "{named:?}"
        );
        policy.profile.access.roles.enabled = false;
        assert!(to_nine(&node(8), &policy).iter().all(|one| !one.subject.contains("role")));
    }

    #[test]
    fn why_nothing_is_said() {
        let said = |facts: &Facts| nothing_to_say(facts, "pve1").unwrap_or_default();
        assert_eq!(said(&node(8)), "");
        assert_eq!(said(&node(9)), "pve1 is PVE 9 already");
        assert_eq!(said(&node(7)), "pve1 is PVE 7; only what changes from PVE 8 to 9 is known");
        assert!(said(&Facts::default()).starts_with("the release of pve1 is not known"));
    }

    #[test]
    fn a_role_file_that_cannot_be_read_is_said_to_be_unread() {
        let mut facts = node(8);
        facts.files.insert("/etc/pve/user.cfg".into(), Reading::Unreadable("no quorum".into()));
        let found = to_nine(&facts, &policy());
        assert!(found[0].change.contains("could not be read: no quorum"), "{found:?}");
    }

    #[test]
    fn files_that_are_no_longer_read() {
        let mut facts = node(8);
        facts.files.insert("/etc/sysctl.conf".into(), regular("# only\n\n", 0o644, "root"));
        assert!(!subjects(&facts).contains(&"/etc/sysctl.conf".to_owned()));
        facts.files.insert("/etc/sysctl.conf".into(), regular("net.ipv4.ip_forward=1\n", 0o644, "root"));
        assert!(subjects(&facts).contains(&"/etc/sysctl.conf".to_owned()));
    }
}
