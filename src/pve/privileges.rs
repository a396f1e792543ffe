//! Privileges and built-in roles per release: pve-access-control, `src/PVE/AccessControl.pm` (`$privgroups` and
//! `create_roles`) of 8.2.2 and 9.1.1.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

/// The area of a privilege and the level of trust it is meant for.
struct Area {
    name: &'static str,
    /// Only with Administrator.
    root: &'static [&'static str],
    admin: &'static [&'static str],
    user: &'static [&'static str],
    audit: &'static [&'static str],
    /// Whether a role `PVE…User` is made of it.
    user_role: bool,
}

const SHARED: &[Area] = &[
    Area {
        name: "VM",
        root: &[],
        admin: &[
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
        ],
        user: &["VM.Config.CDROM", "VM.Config.Cloudinit", "VM.Console", "VM.Backup", "VM.PowerMgmt"],
        audit: &["VM.Audit"],
        user_role: true,
    },
    Area {
        name: "Sys",
        root: &["Sys.PowerMgmt", "Sys.Modify", "Sys.Incoming", "Sys.AccessNetwork"],
        admin: &["Sys.Console", "Sys.Syslog"],
        user: &[],
        audit: &["Sys.Audit"],
        user_role: false,
    },
    Area {
        name: "Datastore",
        root: &[],
        admin: &["Datastore.Allocate", "Datastore.AllocateTemplate"],
        user: &["Datastore.AllocateSpace"],
        audit: &["Datastore.Audit"],
        user_role: true,
    },
    Area {
        name: "SDN",
        root: &[],
        admin: &["SDN.Allocate", "SDN.Audit"],
        user: &["SDN.Use"],
        audit: &["SDN.Audit"],
        user_role: true,
    },
    Area {
        name: "User",
        root: &["Realm.Allocate"],
        admin: &["User.Modify", "Group.Allocate", "Realm.AllocateUser"],
        user: &[],
        audit: &[],
        user_role: false,
    },
    Area {
        name: "Pool",
        root: &[],
        admin: &["Pool.Allocate"],
        user: &["Pool.Audit"],
        audit: &["Pool.Audit"],
        user_role: true,
    },
    Area {
        name: "Mapping",
        root: &[],
        admin: &["Mapping.Modify"],
        user: &["Mapping.Use"],
        audit: &["Mapping.Audit"],
        user_role: true,
    },
];

const ONLY_8: Area = Area { name: "VM", root: &[], admin: &[MONITOR], user: &[], audit: &[], user_role: true };

const ONLY_9: Area = Area {
    name: "VM",
    root: &[],
    admin: &["VM.GuestAgent.Unrestricted", "VM.Replicate"],
    user: &["VM.GuestAgent.FileRead", "VM.GuestAgent.FileSystemMgmt", "VM.GuestAgent.FileWrite"],
    audit: &["VM.GuestAgent.Audit"],
    user_role: true,
};

/// The privilege that access-control 9.0.2 dropped.
pub const MONITOR: &str = "VM.Monitor";

/// What [`MONITOR`] was asked for mostly, on release 9: `info` in the monitor, and the guest agent's read-only commands
/// (pve-access-control 0706945, 922f710). Files, freezing and commands in the guest need privileges of their own.
pub const MONITOR_ON_9: [&str; 2] = ["Sys.Audit", "VM.GuestAgent.Audit"];

/// The role that forbids.
pub const NO_ACCESS: &str = "NoAccess";

/// The role of root.
pub const ADMINISTRATOR: &str = "Administrator";

/// Privileges and built-in roles of a release.
#[derive(Debug)]
pub struct Catalogue {
    /// 8 or 9; later releases are taken for 9.
    pub major: u32,
    /// Every privilege.
    pub privileges: BTreeSet<&'static str>,
    /// Built-in roles.
    pub built_in: BTreeMap<String, BTreeSet<&'static str>>,
}

impl Catalogue {
    /// The catalogue of a major release.
    pub fn of(major: u32) -> &'static Self {
        static OLD: OnceLock<Catalogue> = OnceLock::new();
        static NEW: OnceLock<Catalogue> = OnceLock::new();
        if major <= 8 { OLD.get_or_init(|| Self::make(8, &ONLY_8)) } else { NEW.get_or_init(|| Self::make(9, &ONLY_9)) }
    }

    /// Both catalogues, for what must hold on some release.
    pub fn all() -> [&'static Self; 2] {
        [Self::of(8), Self::of(9)]
    }

    fn make(major: u32, own: &'static Area) -> Self {
        let mut privileges = BTreeSet::from(["Permissions.Modify"]);
        let mut built_in: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
        for Area { name, root, admin, user, audit, user_role } in SHARED.iter().chain([own]) {
            privileges.extend([*root, admin, user, audit].concat());
            let with_admin = [*admin, user, audit].concat();
            built_in.entry(format!("PVE{name}Admin")).or_default().extend(&with_admin);
            built_in.entry("PVEAdmin".into()).or_default().extend(&with_admin);
            if *user_role {
                built_in.entry(format!("PVE{name}User")).or_default().extend([*user, audit].concat());
            }
            built_in.entry("PVEAuditor".into()).or_default().extend(*audit);
        }
        if let Some(admin) = built_in.get_mut("PVEAdmin") {
            admin.remove("Mapping.Modify");
        }
        built_in.insert("PVETemplateUser".into(), BTreeSet::from(["VM.Clone", "VM.Audit"]));
        built_in.insert(NO_ACCESS.into(), BTreeSet::new());
        built_in.insert(ADMINISTRATOR.into(), privileges.clone());
        Self { major, privileges, built_in }
    }

    /// What this release makes of wanted privileges: each as it is, or what replaces it here.
    pub fn translated<'a>(&self, wanted: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
        let mut out = BTreeSet::new();
        for name in wanted {
            if name == MONITOR && self.major >= 9 {
                out.extend(MONITOR_ON_9.map(str::to_owned));
            } else {
                out.insert(name.to_owned());
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(major: u32, name: &str) -> String {
        Catalogue::of(major).built_in[name].iter().copied().collect::<Vec<_>>().join(",")
    }

    /// As `pveum role list` of the real program prints them (pveum-basics transcript).
    #[test]
    fn roles_of_release_9() {
        for (name, privileges) in [
            ("PVEAuditor", "Datastore.Audit,Mapping.Audit,Pool.Audit,SDN.Audit,Sys.Audit,VM.Audit,VM.GuestAgent.Audit"),
            ("PVESysAdmin", "Sys.Audit,Sys.Console,Sys.Syslog"),
            ("PVEUserAdmin", "Group.Allocate,Realm.AllocateUser,User.Modify"),
            ("PVEPoolUser", "Pool.Audit"),
            ("PVEPoolAdmin", "Pool.Allocate,Pool.Audit"),
            ("PVETemplateUser", "VM.Audit,VM.Clone"),
            ("PVEDatastoreUser", "Datastore.AllocateSpace,Datastore.Audit"),
            ("PVEMappingAdmin", "Mapping.Audit,Mapping.Modify,Mapping.Use"),
            (
                "PVEVMUser",
                "VM.Audit,VM.Backup,VM.Config.CDROM,VM.Config.Cloudinit,VM.Console,VM.GuestAgent.Audit,VM.GuestAgent.FileRead,VM.GuestAgent.FileSystemMgmt,VM.GuestAgent.FileWrite,VM.PowerMgmt",
            ),
            ("NoAccess", ""),
        ] {
            assert_eq!(role(9, name), privileges, "{name}");
        }
        assert!(!Catalogue::of(9).built_in["PVEAdmin"].contains("Mapping.Modify"));
        assert_eq!(Catalogue::of(9).built_in.len(), 17);
        assert_eq!(Catalogue::of(9).privileges.len(), 47);
    }

    #[test]
    fn the_monitor_privilege_is_of_release_8_only_and_is_translated() {
        assert!(role(8, "PVEVMAdmin").contains(MONITOR));
        assert!(!Catalogue::of(9).privileges.contains(MONITOR));
        assert!(!Catalogue::of(8).privileges.contains("VM.GuestAgent.Audit"));
        let wanted = ["VM.Monitor", "VM.Audit"];
        assert_eq!(Vec::from_iter(Catalogue::of(8).translated(wanted)), ["VM.Audit", "VM.Monitor"]);
        assert_eq!(
            Vec::from_iter(Catalogue::of(9).translated(wanted)),
            ["Sys.Audit", "VM.Audit", "VM.GuestAgent.Audit"]
        );
        assert_eq!(Catalogue::of(11).major, 9);
    }
}
