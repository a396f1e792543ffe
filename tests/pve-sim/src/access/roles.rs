//! Privileges and the roles made from them, per release.

use std::collections::{BTreeMap, BTreeSet};

use crate::release::Release;

/// A group of privileges: its name, and who gets which.
struct Area {
    name: &'static str,
    /// Only with Administrator.
    root: &'static [&'static str],
    admin: &'static [&'static str],
    user: &'static [&'static str],
    audit: &'static [&'static str],
}

const VM_ADMIN: &[&str] = &[
    "VM.Config.Disk",
    "VM.Config.CPU",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.HWType",
    "VM.Config.Options",
    "VM.Allocate",
    "VM.Clone",
    "VM.Migrate",
    "VM.Snapshot",
    "VM.Snapshot.Rollback",
];
const VM_USER: &[&str] = &["VM.Config.CDROM", "VM.Config.Cloudinit", "VM.Console", "VM.Backup", "VM.PowerMgmt"];

const COMMON: &[Area] = &[
    Area {
        name: "Sys",
        root: &["Sys.PowerMgmt", "Sys.Modify", "Sys.Incoming", "Sys.AccessNetwork"],
        admin: &["Sys.Console", "Sys.Syslog"],
        user: &[],
        audit: &["Sys.Audit"],
    },
    Area {
        name: "Datastore",
        root: &[],
        admin: &["Datastore.Allocate", "Datastore.AllocateTemplate"],
        user: &["Datastore.AllocateSpace"],
        audit: &["Datastore.Audit"],
    },
    Area { name: "SDN", root: &[], admin: &["SDN.Allocate", "SDN.Audit"], user: &["SDN.Use"], audit: &["SDN.Audit"] },
    Area {
        name: "User",
        root: &["Realm.Allocate"],
        admin: &["User.Modify", "Group.Allocate", "Realm.AllocateUser"],
        user: &[],
        audit: &[],
    },
    Area { name: "Pool", root: &[], admin: &["Pool.Allocate"], user: &["Pool.Audit"], audit: &["Pool.Audit"] },
    Area { name: "Mapping", root: &[], admin: &["Mapping.Modify"], user: &["Mapping.Use"], audit: &["Mapping.Audit"] },
];

const VM_9: Area = Area {
    name: "VM",
    root: &[],
    admin: &["VM.GuestAgent.Unrestricted", "VM.Replicate"],
    user: &["VM.GuestAgent.FileRead", "VM.GuestAgent.FileSystemMgmt", "VM.GuestAgent.FileWrite"],
    audit: &["VM.Audit", "VM.GuestAgent.Audit"],
};
const VM_8: Area = Area { name: "VM", root: &[], admin: &["VM.Monitor"], user: &[], audit: &["VM.Audit"] };
const VM_BOTH: Area = Area { name: "VM", root: &[], admin: VM_ADMIN, user: VM_USER, audit: &[] };

/// Privileges and built-in roles of a release.
#[derive(Clone, Debug)]
pub struct Catalogue {
    /// All privileges.
    pub privileges: BTreeSet<&'static str>,
    /// Built-in roles and their privileges.
    pub built_in: BTreeMap<String, BTreeSet<&'static str>>,
}

impl Catalogue {
    /// The catalogue of a release.
    pub fn of(release: Release) -> Self {
        let vm = match release {
            Release::Pve8 => VM_8,
            Release::Pve9 => VM_9,
        };
        let mut privileges = BTreeSet::from(["Permissions.Modify"]);
        let mut built_in: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
        for area in COMMON.iter().chain([&VM_BOTH, &vm]) {
            let all = [area.root, area.admin, area.user, area.audit].concat();
            privileges.extend(all);
            let mut grant = |role: String, groups: &[&[&'static str]]| {
                built_in.entry(role).or_default().extend(groups.concat());
            };
            grant(format!("PVE{}Admin", area.name), &[area.admin, area.user, area.audit]);
            grant("PVEAdmin".to_owned(), &[area.admin, area.user, area.audit]);
            if area.name == "VM" || !area.user.is_empty() {
                grant(format!("PVE{}User", area.name), &[area.user, area.audit]);
            }
            grant("PVEAuditor".to_owned(), &[area.audit]);
        }
        if let Some(admin) = built_in.get_mut("PVEAdmin") {
            admin.remove("Mapping.Modify");
        }
        built_in.insert("PVETemplateUser".to_owned(), BTreeSet::from(["VM.Clone", "VM.Audit"]));
        built_in.insert("NoAccess".to_owned(), BTreeSet::new());
        built_in.insert("Administrator".to_owned(), privileges.clone());
        Self { privileges, built_in }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_role(release: Release, role: &str) -> String {
        let catalogue = Catalogue::of(release);
        catalogue.built_in.get(role).map(|set| set.iter().copied().collect::<Vec<_>>().join(",")).unwrap_or_default()
    }

    /// The lists are those that the real `pveum role list` printed.
    #[test]
    fn roles_of_release_9_are_those_recorded() {
        for (role, privileges) in [
            ("PVEAuditor", "Datastore.Audit,Mapping.Audit,Pool.Audit,SDN.Audit,Sys.Audit,VM.Audit,VM.GuestAgent.Audit"),
            ("PVESysAdmin", "Sys.Audit,Sys.Console,Sys.Syslog"),
            (
                "PVEVMUser",
                "VM.Audit,VM.Backup,VM.Config.CDROM,VM.Config.Cloudinit,VM.Console,VM.GuestAgent.Audit,VM.GuestAgent.FileRead,VM.GuestAgent.FileSystemMgmt,VM.GuestAgent.FileWrite,VM.PowerMgmt",
            ),
            ("PVEUserAdmin", "Group.Allocate,Realm.AllocateUser,User.Modify"),
            ("PVESDNUser", "SDN.Audit,SDN.Use"),
            ("PVEMappingAdmin", "Mapping.Audit,Mapping.Modify,Mapping.Use"),
            (
                "PVEAdmin",
                "Datastore.Allocate,Datastore.AllocateSpace,Datastore.AllocateTemplate,Datastore.Audit,Group.Allocate,Mapping.Audit,Mapping.Use,Pool.Allocate,Pool.Audit,Realm.AllocateUser,SDN.Allocate,SDN.Audit,SDN.Use,Sys.Audit,Sys.Console,Sys.Syslog,User.Modify,VM.Allocate,VM.Audit,VM.Backup,VM.Clone,VM.Config.CDROM,VM.Config.CPU,VM.Config.Cloudinit,VM.Config.Disk,VM.Config.HWType,VM.Config.Memory,VM.Config.Network,VM.Config.Options,VM.Console,VM.GuestAgent.Audit,VM.GuestAgent.FileRead,VM.GuestAgent.FileSystemMgmt,VM.GuestAgent.FileWrite,VM.GuestAgent.Unrestricted,VM.Migrate,VM.PowerMgmt,VM.Replicate,VM.Snapshot,VM.Snapshot.Rollback",
            ),
            ("NoAccess", ""),
        ] {
            assert_eq!(of_role(Release::Pve9, role), privileges, "{role}");
        }
        assert_eq!(Catalogue::of(Release::Pve9).built_in.len(), 17);
    }

    #[test]
    fn the_monitor_privilege_is_of_release_8_only() {
        assert!(Catalogue::of(Release::Pve8).privileges.contains("VM.Monitor"));
        assert!(!Catalogue::of(Release::Pve9).privileges.contains("VM.Monitor"));
    }
}
