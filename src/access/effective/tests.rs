//! A table of cases. The last word of each row names where the answer comes from: a transcript of the real `pveum`, a
//! check of pve-access-control's own suite that asks the same question (names are ours), or a line of its source.

use super::*;
use crate::pve::user_cfg;

const USERS: &str = "user:ann@pve:1:0::::::\nuser:ben@pve:1:0::::::\nuser:cid@pve:1:0::::::\nuser:dot@pve:1:0::::::\n\
    user:eve@pam:1:0::::::\n";

/// A user's own entries, groups, `NoAccess` and tokens.
const OFFICE: &str = "group:builders:ben@pve,ann@pve,dot@pve::\ngroup:keepers:cid@pve,eve@pam,dot@pve::\n\
    group:third:ann@pve::\ntoken:ann@pve!full:0:0::\ntoken:ann@pve!own:0:1::\ntoken:eve@pam!ci:0:0::\n\
    token:ben@pve!none:0:1::\ntoken:root@pam!sep:0:1::\ntoken:root@pam!all:0:0::\n\
    role:Keeper:Datastore.AllocateSpace,Datastore.Audit:\nrole:Visitor:VM.Audit,VM.PowerMgmt:\n\
    role:Builder:VM.Audit,VM.Allocate,VM.Console:\n\
    acl:1:/vms:@builders:Builder:\nacl:0:/vms/300:ann@pve:Visitor:\nacl:1:/vms/300:ann@pve:Builder:\n\
    acl:1:/vms/100/:cid@pve,ann@pve:Visitor:\nacl:1:/storage/nfs:@keepers:Keeper:\n\
    acl:1:/vms/200:@third:Keeper:\nacl:1:/vms/200:@keepers:NoAccess:\nacl:1:/vms/200:eve@pam!ci:Builder:\n\
    acl:1:/vms/200:ann@pve!full:Keeper:\nacl:1:/vms/200:ann@pve!own:Visitor:\n\
    acl:1:/vms/300:ann@pve!own:Administrator:\nacl:1:/vms/400:cid@pve:PVEVMUser:\nacl:1:/vms/500:cid@pve:PVEPoolUser:\n\
    acl:1:/vms:root@pam!sep:Visitor:\n";

/// Entries that do not propagate, and deep paths.
const DEPTH: &str = "group:all:ann@pve,ben@pve::\ngroup:some:ann@pve::\nrole:One:VM.PowerMgmt:\nrole:Two:VM.Console:\n\
    role:Three:VM.Audit:\nacl:1:/vms:ann@pve:One:\nacl:1:/vms/100/a/b:ann@pve:Two:\nacl:0:/nodes:ben@pve:Two:\n\
    acl:0:/nodes/a:ben@pve:One:\nacl:0:/nodes/a/b/c:ben@pve:Three:\nacl:1:/storage:@all:One:\n\
    acl:1:/storage:@some:Two:\nacl:1:/storage/x:@some:Three:\nacl:1:/sdn:@all:One:\nacl:1:/sdn:ben@pve:NoAccess:\n\
    acl:0:/mapping:cid@pve:NoAccess:\nacl:1:/:cid@pve:Three:\nacl:0:/:dot@pve:Three:\n";

/// Pools, one inside another.
const POOLS: &str = "group:dev:ann@pve,ben@pve,cid@pve::\ngroup:sales:ann@pve,dot@pve::\ngroup:guests:eve@pam::\n\
    role:Dev:VM.PowerMgmt:\nrole:Sales:VM.Console:\nrole:Look:VM.Audit:\nrole:Talk:VM.Console:\n\
    token:dot@pve!sales:0:1::\nacl:1:/pool/sales:dot@pve!sales:Sales:\n\
    acl:1:/pool/dev:@dev:Dev:\nacl:1:/pool/sales:@sales:Sales:\nacl:1:/pool/sales/interns:@guests:Look:\n\
    acl:1:/vms:@dev:Talk:\nacl:1:/vms:cid@pve:NoAccess:\nacl:1:/vms/300:@sales:Talk:\n\
    acl:1:/pool/closed:ann@pve:NoAccess:\nacl:0:/pool/flat:eve@pam:Look:\nacl:0:/pool/deep:eve@pam:Look:\n\
    pool:dev:the devs:500,501,502:store1 store2:\npool:sales:the sellers:600:store1:\n\
    pool:sales/interns::700:store3:\npool:closed::800::\npool:flat::900::\npool:deep/down::901::\n";

/// The file of the transcript pveum-tokens-acl.txt when its permissions were asked.
const RECORDED: &str = "user:alice@nosuchrealm:1:0::::::\nuser:alice@pve:1:0:::alice@example.com:Alice::\n\
    token:alice@pve!ci:0:1::\ntoken:alice@pve!mon:0:1:monitoring:\nuser:bob@pam:1:0::::::\nuser:carol@pve:1:0::::::\n\
    user:dave@pve:0:1893456000::::::\nuser:root@pam:1:0::::::\ntoken:root@pam!full:0:0::\n\ngroup:admins::new:\n\
    group:auditors:alice@pve,bob@pam::\n\nrole:EmptyRole::\nrole:HardAuditor:Datastore.Audit,Sys.Audit,VM.Audit:\n\
    role:HardOps:VM.Audit,VM.PowerMgmt:\n\nacl:1:/:@admins:Administrator:\nacl:1:/:alice@pve!mon:PVEAuditor:\n\
    acl:1:/access/groups:alice@pve:PVEUserAdmin:\nacl:1:/nodes/pve1:bob@pam:HardOps:\n\
    acl:1:/storage/nosuch:alice@pve:PVEDatastoreUser:\nacl:0:/vms:@auditors:HardAuditor:\n\
    acl:1:/vms/9999:alice@pve:PVEAuditor:\n";

const AUDITOR: &str = "Datastore.Audit,Mapping.Audit,Pool.Audit,SDN.Audit,Sys.Audit,VM.Audit,VM.GuestAgent.Audit";

/// Configuration, subject, path, roles of the ACL, source.
const ROLES: &[(&str, &str, &str, &str, &str)] = &[
    (OFFICE, "ann@pve", "/", "", "perm-test1.pl: max on /"),
    (OFFICE, "ann@pve", "/vms", "Builder", "perm-test1.pl: max on /vms, through a group"),
    (OFFICE, "ann@pve", "/vms/100", "Visitor", "perm-test1.pl: max on /vms/100, own entries beat those of groups"),
    (OFFICE, "ann@pve", "/vms/101", "Builder", "perm-test1.pl: max on /vms/101"),
    (OFFICE, "ann@pve", "/vms/200", "Keeper", "perm-test8.pl: max on /vms/200, below replaces above"),
    (OFFICE, "ben@pve", "/vms/200", "Builder", "perm-test8.pl: joe on /vms/200, not in the groups named there"),
    (OFFICE, "dot@pve", "/vms/200", "NoAccess", "perm-test8.pl: sue on /vms/200"),
    (OFFICE, "eve@pam", "/vms/200", "NoAccess", "perm-test8.pl: carol on /vms/200"),
    (OFFICE, "eve@pam!ci", "/vms/200", "NoAccess", "perm-test8.pl: carol's token without separation is carol"),
    (OFFICE, "ann@pve!full", "/vms/200", "Keeper", "perm-test8.pl: max!token on /vms/200"),
    (OFFICE, "ann@pve!own", "/vms/200", "Visitor", "perm-test8.pl: max!token2 on /vms/200"),
    (OFFICE, "ann@pve!own", "/vms/100", "", "AccessControl.pm roles: a separated token is in no group"),
    (OFFICE, "ann@pve!gone", "/vms/200", "", "AccessControl.pm roles: no such token"),
    (OFFICE, "cid@pve", "/vms", "", "perm-test1.pl: alex on /vms"),
    (OFFICE, "ann@pve", "/vms/300", "Builder,Visitor", "AccessControl.pm roles: both entries on the path itself"),
    (OFFICE, "ann@pve", "/vms/300/x", "Builder", "AccessControl.pm roles: only what propagates goes below"),
    (OFFICE, "root@pam", "/vms/200", "Administrator", "AccessControl.pm roles: root can do anything"),
    (DEPTH, "ann@pve", "/vms", "One", "perm-test5.pl: User1 on /vms"),
    (DEPTH, "ann@pve", "/vms/100", "One", "perm-test5.pl: User1 on /vms/100"),
    (DEPTH, "ann@pve", "/vms/100/a", "One", "perm-test5.pl: User1 on /vms/100/a"),
    (DEPTH, "ann@pve", "/vms/100/a/b", "Two", "perm-test5.pl: User1 on /vms/100/a/b"),
    (DEPTH, "ann@pve", "/vms/100/a/b/c", "Two", "perm-test5.pl: User1 on /vms/100/a/b/c"),
    (DEPTH, "ann@pve", "/vms/200", "One", "perm-test5.pl: User1 on /vms/200"),
    (DEPTH, "ben@pve", "/nodes", "Two", "perm-test5.pl: User2 on /kvm"),
    (DEPTH, "ben@pve", "/nodes/a", "One", "perm-test5.pl: User2 on /kvm/vms"),
    (DEPTH, "ben@pve", "/nodes/a/b", "", "perm-test5.pl: User2 on /kvm/vms/100"),
    (DEPTH, "ben@pve", "/nodes/a/b/c", "Three", "perm-test5.pl: User2 on /kvm/vms/100/a"),
    (DEPTH, "ben@pve", "/nodes/a/b/c/d", "", "perm-test5.pl: User2 on /kvm/vms/100/a/b"),
    (DEPTH, "ann@pve", "/storage", "One,Two", "perm-test2.pl: roles of all groups"),
    (DEPTH, "ann@pve", "/storage/y", "One,Two", "perm-test2.pl: and below"),
    (DEPTH, "ann@pve", "/storage/x", "Three", "perm-test3.pl: an entry of one group below replaces those above"),
    (DEPTH, "ben@pve", "/storage/x", "One", "perm-test3.pl: for its members only"),
    (DEPTH, "ann@pve", "/sdn/zones", "One", "perm-test4.pl: User1"),
    (DEPTH, "ben@pve", "/sdn/zones", "NoAccess", "perm-test4.pl: User2"),
    (DEPTH, "cid@pve", "/mapping", "NoAccess", "AccessControl.pm roles: NoAccess on the path itself"),
    (DEPTH, "cid@pve", "/mapping/pci", "Three", "AccessControl.pm roles: it does not propagate"),
    (DEPTH, "dot@pve", "/", "Three", "AccessControl.pm roles: the root is its own path"),
    (DEPTH, "dot@pve", "/vms", "", "AccessControl.pm roles: and does not propagate"),
    (POOLS, "cid@pve", "/vms/500", "NoAccess", "perm-test6.pl: User3 on /vms/500 without the pool"),
    (POOLS, "dot@pve", "/vms/500", "", "perm-test6.pl: User4 on /vms/500 without the pool"),
    (POOLS, "ann@pve", "/vms/300", "Talk", "perm-test6.pl: User1 on /vms/300"),
    (POOLS, "eve@pam", "/vms/700", "", "perm-test6.pl: intern on /vms/700 without the pool"),
    (POOLS, "eve@pam", "/pool/sales/interns", "Look", "perm-test6.pl: intern on the inner pool"),
    (POOLS, "dot@pve", "/pool/sales/interns", "Sales", "perm-test6.pl: User4 on the inner pool"),
];

/// Configuration, subject, path, privileges (`*`: not below the path), source.
const PRIVILEGES: &[(&str, &str, &str, &str, &str)] = &[
    (OFFICE, "ann@pve", "/", "", "perm-test1.pl: max on /"),
    (OFFICE, "ann@pve", "/vms", "VM.Allocate,VM.Audit,VM.Console", "perm-test8.pl: max on /vms"),
    (OFFICE, "ann@pve", "/vms/100", "VM.Audit,VM.PowerMgmt", "perm-test1.pl: max on /vms/100"),
    (OFFICE, "cid@pve", "/vms", "", "perm-test8.pl: alex on /vms"),
    (OFFICE, "cid@pve", "/vms/100", "VM.Audit,VM.PowerMgmt", "perm-test8.pl: alex on /vms/100"),
    (
        OFFICE,
        "cid@pve",
        "/vms/400",
        "VM.Audit,VM.Backup,VM.Config.CDROM,VM.Config.Cloudinit,VM.Console,VM.GuestAgent.Audit,VM.GuestAgent.FileRead,VM.GuestAgent.FileSystemMgmt,VM.GuestAgent.FileWrite,VM.PowerMgmt",
        "pveum-basics.txt: privileges of PVEVMUser",
    ),
    (OFFICE, "cid@pve", "/vms/500", "Pool.Audit", "pveum-basics.txt: privileges of PVEPoolUser"),
    (
        OFFICE,
        "ann@pve!own",
        "/vms/300",
        "VM.Allocate,VM.Audit,VM.Console,VM.PowerMgmt*",
        "perm-test8.pl: max!token2 on /vms/300, an Administrator has no more than his user",
    ),
    (OFFICE, "ann@pve!own", "/vms/200", "", "RPCEnvironment.pm compile_acl_path: nothing both have"),
    (OFFICE, "ann@pve!full", "/vms/100", "VM.Audit,VM.PowerMgmt", "RPCEnvironment.pm permissions: not separated"),
    (OFFICE, "ann@pve!full", "/vms/200", "Datastore.AllocateSpace,Datastore.Audit", "RPCEnvironment.pm permissions"),
    (OFFICE, "ben@pve!none", "/vms", "", "README of the transcripts, 5: separated without an ACL has nothing"),
    (OFFICE, "ann@pve!gone", "/vms", "", "RPCEnvironment.pm permissions: no such token"),
    (OFFICE, "dot@pve", "/vms/200", "", "perm-test1.pl: sue on /vms/200, NoAccess has no privileges"),
    (OFFICE, "dot@pve", "/storage/nfs", "Datastore.AllocateSpace,Datastore.Audit", "perm-test1.pl: testgroup2"),
    (OFFICE, "root@pam!sep", "/vms/1", "VM.Audit,VM.PowerMgmt", "RPCEnvironment.pm: root's separated token"),
    (OFFICE, "root@pam!sep", "/nodes", "", "RPCEnvironment.pm: root's separated token elsewhere"),
    (POOLS, "ann@pve", "/vms/500", "VM.Console,VM.PowerMgmt*", "perm-test6.pl: User1 on /vms/500"),
    (POOLS, "ben@pve", "/vms/500", "VM.Console,VM.PowerMgmt*", "perm-test6.pl: User2 on /vms/500"),
    (POOLS, "cid@pve", "/vms/500", "", "perm-test6.pl: User3, no pool beats NoAccess"),
    (POOLS, "dot@pve", "/vms/500", "", "perm-test6.pl: User4 on /vms/500"),
    (POOLS, "eve@pam", "/vms/600", "", "perm-test6.pl: intern on a guest of the outer pool"),
    (POOLS, "eve@pam", "/vms/700", "VM.Audit*", "perm-test6.pl: intern on a guest of the inner pool"),
    (POOLS, "dot@pve", "/vms/700", "VM.Console*", "perm-test6.pl: User4, rights on a pool reach pools inside it"),
    (POOLS, "ann@pve", "/vms/600", "VM.Console", "perm-test6.pl: User1 on /vms/600"),
    (POOLS, "cid@pve", "/vms/600", "", "perm-test6.pl: User3 on /vms/600"),
    (POOLS, "dot@pve", "/vms/600", "VM.Console*", "perm-test6.pl: User4 on /vms/600"),
    (POOLS, "ann@pve", "/storage/store1", "VM.Console*,VM.PowerMgmt*", "perm-test6.pl: a storage in two pools"),
    (POOLS, "ben@pve", "/storage/store1", "VM.PowerMgmt*", "perm-test6.pl: User2 on /storage/store1"),
    (POOLS, "cid@pve", "/storage/store1", "VM.PowerMgmt*", "perm-test6.pl: NoAccess on /vms is none on /storage"),
    (POOLS, "dot@pve", "/storage/store2", "", "perm-test6.pl: User4 on /storage/store2"),
    (POOLS, "ann@pve", "/vms/800", "", "perm-test7.pl: NoAccess on the pool beats the ACL of the guest"),
    (POOLS, "ann@pve", "/vms/801", "VM.Console", "perm-test7.pl: and only in that pool"),
    (POOLS, "eve@pam", "/vms/900", "VM.Audit*", "RPCEnvironment.pm compile_acl_path: a pool's own path counts"),
    (POOLS, "eve@pam", "/vms/901", "", "RPCEnvironment.pm compile_acl_path: not propagated to the pool inside"),
    (POOLS, "dot@pve!sales", "/vms/600", "VM.Console*", "RPCEnvironment.pm compile_acl_path: pools count for tokens"),
    (POOLS, "dot@pve!sales", "/vms/300", "", "RPCEnvironment.pm compile_acl_path: no group of the user's"),
    (
        RECORDED,
        "alice@pve",
        "/access/groups",
        "Group.Allocate,Realm.AllocateUser,User.Modify",
        "pveum-tokens-acl.txt: user permissions alice@pve",
    ),
    (RECORDED, "alice@pve", "/storage/nosuch", "Datastore.AllocateSpace,Datastore.Audit", "pveum-tokens-acl.txt"),
    (RECORDED, "alice@pve", "/vms", "Datastore.Audit*,Sys.Audit*,VM.Audit*", "pveum-tokens-acl.txt"),
    (RECORDED, "alice@pve", "/vms/9999", AUDITOR, "pveum-tokens-acl.txt"),
    (RECORDED, "alice@pve", "/", "", "pveum-tokens-acl.txt: not listed"),
    (RECORDED, "alice@pve", "/nodes/pve1", "", "pveum-tokens-acl.txt: not listed"),
    (RECORDED, "alice@pve!mon", "/storage/nosuch", "Datastore.Audit", "pveum-tokens-acl.txt: permissions of the token"),
    (RECORDED, "alice@pve!mon", "/vms", "Datastore.Audit*,Sys.Audit*,VM.Audit*", "pveum-tokens-acl.txt"),
    (RECORDED, "alice@pve!mon", "/vms/9999", AUDITOR, "pveum-tokens-acl.txt"),
    (RECORDED, "alice@pve!mon", "/access/groups", "", "pveum-tokens-acl.txt: not listed"),
    (RECORDED, "alice@pve!mon", "/", "", "pveum-tokens-acl.txt: not listed"),
    (RECORDED, "nosuch@pve", "/", "", "pveum-tokens-acl.txt: permissions of nobody"),
    (
        RECORDED,
        "alice@pve!ci",
        "/vms/9999",
        "",
        "pveum-tokens-acl.txt: `user token permissions` of a token without ACL",
    ),
];

#[test]
fn roles_and_privileges_are_those_of_pve() {
    // Recorded, or a question of PVE's own suite, or one of the transcripts' README; what only a line of the source says
    // comes on top.
    let recorded = |source: &&str| {
        ["pveum-", "perm-test", "README of the transcripts"].iter().any(|from| source.starts_with(from))
    };
    let sources = ROLES.iter().chain(PRIVILEGES).map(|(.., source)| *source);
    assert!(sources.clone().filter(recorded).count() >= 60, "{}", sources.clone().filter(recorded).count());
    let read = |source: &&str| ["AccessControl.pm ", "RPCEnvironment.pm"].iter().any(|from| source.starts_with(from));
    assert!(sources.filter(|source| !recorded(source)).all(|source| read(&source)), "every row names its source");
    for (text, subject, path, wanted, source) in ROLES {
        let config = user_cfg::parse(&format!("{USERS}{text}"), Catalogue::of(9));
        assert_eq!(config.dropped, [], "{source}");
        let effective = Effective::new(&config, Catalogue::of(9));
        let found = effective.roles(subject, path).into_keys().collect::<Vec<_>>().join(",");
        assert_eq!(found, *wanted, "roles of {subject} on {path} ({source})");
    }
    for (text, subject, path, wanted, source) in PRIVILEGES {
        let config = user_cfg::parse(&format!("{USERS}{text}"), Catalogue::of(9));
        let effective = Effective::new(&config, Catalogue::of(9));
        let shown = |(name, propagate): (&str, bool)| format!("{name}{}", if propagate { "" } else { "*" });
        let found = effective.privileges(subject, path).into_iter().map(shown).collect::<Vec<_>>().join(",");
        assert_eq!(found, *wanted, "privileges of {subject} on {path} ({source})");
    }
}

#[test]
fn root_has_every_privilege_and_a_token_that_is_not_separated_has_them_too() {
    let config = user_cfg::parse(&format!("{USERS}{OFFICE}"), Catalogue::of(9));
    let effective = Effective::new(&config, Catalogue::of(9));
    for subject in ["root@pam", "root@pam!all"] {
        assert_eq!(effective.privileges(subject, "/vms/1").len(), Catalogue::of(9).privileges.len(), "{subject}");
    }
}

/// The recorded overview of alice lists these paths and no others.
#[test]
fn the_overview_lists_the_paths_of_the_recorded_one() {
    let config = user_cfg::parse(RECORDED, Catalogue::of(9));
    let effective = Effective::new(&config, Catalogue::of(9));
    let listed = |subject: &str| {
        let paths = effective.paths().into_iter();
        paths.filter(|path| !effective.privileges(subject, path).is_empty()).collect::<Vec<_>>()
    };
    assert_eq!(listed("alice@pve"), ["/access/groups", "/storage/nosuch", "/vms", "/vms/9999"]);
    assert_eq!(listed("alice@pve!mon"), ["/storage/nosuch", "/vms", "/vms/9999"]);
}
