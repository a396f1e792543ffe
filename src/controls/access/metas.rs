//! Catalogue texts.

use crate::controls::{Meta, Reference, Severity};

const USER_CFG: Reference = Reference::Source("pve-access-control, src/PVE/AccessControl.pm (parse_user_config)");

pub(super) static ROLES: Meta = Meta {
    id: "access.roles",
    title: "Own roles have exactly the privileges that are listed",
    why: "A role is what a job may do. Privileges that pile up in it reach everybody who has it, and a privilege that \
          PVE dropped leaves a role silently weaker after an upgrade.",
    checked: "The roles of /etc/pve/user.cfg against [[access.role]], with the privileges of the node's own release: \
              VM.Monitor of PVE 8 becomes Sys.Audit and VM.GuestAgent.Audit on 9, nothing more: files and commands in \
              guests need VM.GuestAgent.FileRead, .FileWrite, .FileSystemMgmt or .Unrestricted by name. In mode exact a role that nobody \
              has and that is not listed goes; one in use stays and is reported.",
    naive: "Guides use roles that PVE does not have (PVEPowerAdmin, PVEAudit, PVEStorageAdmin) and VM.Monitor, which \
            PVE 9 refuses. `pveum role delete` leaves the rights that name the role in the file, and the next write \
            drops them without a word. Names that begin with PVE are refused.",
    references: &[
        Reference::Guide("2.1.2"),
        Reference::Man("pveum(1)"),
        Reference::Source("pve-access-control, src/PVE/AccessControl.pm (create_roles)"),
    ],
    level: 1,
    severity: Severity::Medium,
};

pub(super) static GROUPS: Meta = Meta {
    id: "access.groups",
    title: "The listed groups are there",
    why: "Rights given to groups survive people: who joins or leaves a team changes a membership and no right, and a \
          review reads a few groups instead of every account.",
    checked: "The groups of /etc/pve/user.cfg against [[access.group]]. Members stand with the users. In mode exact \
              groups that are not listed go, with their rights; the plan shows both.",
    naive: "A right for a group that does not exist stays in the file and works the moment somebody makes a group of \
            that name. Deleting a group deletes its rights with it.",
    references: &[Reference::Guide("2.1.2"), Reference::Man("pveum(1)"), USER_CFG],
    level: 1,
    severity: Severity::Low,
};

pub(super) static USERS: Meta = Meta {
    id: "access.users",
    title: "The listed accounts are there, in their groups, and end when they should",
    why: "Work as root@pam cannot be told from anybody else's, and nothing limits it. People and services need accounts \
          of their own that end with the job; a membership for an emergency must end by itself.",
    checked: "The users and memberships of /etc/pve/user.cfg against [[access.user]]; realms against domains.cfg. A \
              membership in temporary-groups goes after its last day. root@pam and the site's administrators are \
              never removed.",
    naive: "`pveum user add` takes a user of a realm that does not exist. `pveum user modify root@pam --enable 0` \
            closes root's login and tokens; `pveum user delete root@pam` exits 0 and loses its mail address. \
            `--groups` without `--append` takes a user out of every other group. `--expire` takes seconds, not a date.",
    references: &[
        Reference::Guide("2.1.1"),
        Reference::Man("pveum(1)"),
        Reference::Source("pve-access-control, src/PVE/API2/User.pm"),
    ],
    level: 1,
    severity: Severity::Medium,
};

pub(super) static POOLS: Meta = Meta {
    id: "access.pools",
    title: "The listed pools are there with their members",
    why: "A right on a pool reaches what is in it and nothing else, so that a team's rights follow its guests and do \
          not grow with every new one.",
    checked: "The pools of /etc/pve/user.cfg against [[access.pool]]: comment, guests, storages. In mode exact what is \
              not listed leaves, and empty pools that are not listed go.",
    naive: "A guest is in one pool only. Rights on a pool count for the pool's members but do not go below them, and \
            NoAccess on a pool beats rights on the guest itself. Deleting a pool deletes the rights on it.",
    references: &[
        Reference::Guide("2.1.5"),
        Reference::Man("pveum(1)"),
        Reference::Source("pve-access-control, src/PVE/RPCEnvironment.pm (compile_acl_path)"),
    ],
    level: 1,
    severity: Severity::Low,
};

pub(super) static ACLS: Meta = Meta {
    id: "access.acls",
    title: "The listed rights are given, and temporary ones end",
    why: "Rights that were given once and never taken away are what an intruder finds. A list that is compared says \
          who may do what, and a right with a last day ends without anybody remembering it.",
    checked: "The ACL of /etc/pve/user.cfg against [[access.acl]]: path, role, subject and whether it goes below. The \
              plan shows who gains and loses which privilege where. In mode exact every other right goes, those of \
              root@pam and the site's administrators excepted.",
    naive: "A right for root@pam is accepted and not stored. `pveum acl modify` adds and never replaces: an old role \
            stays beside the new one. A user's own right on a path hides those of his groups there. \
            'user=token' is no token; PVE names it user@realm!token.",
    references: &[
        Reference::Guide("2.1.2"),
        Reference::Man("pveum(1)"),
        Reference::Source("pve-access-control, src/PVE/API2/ACL.pm"),
        Reference::Source("pve-access-control, src/PVE/AccessControl.pm (roles)"),
    ],
    level: 1,
    severity: Severity::Medium,
};

pub(super) static TOKENS: Meta = Meta {
    id: "access.tokens",
    title: "API tokens end, have rights of their own, and are not root's",
    why: "A token is a password in a file somewhere that skips the second factor. What it can do, for how long, and \
          who answers for it must be known before it leaks.",
    checked: "The tokens of /etc/pve/user.cfg against [[access.token]]: expiry within max-days, privilege separation, \
              a comment with purpose and owner. A listed one that is not there is made last, when its sink is in the site: \
              its secret goes there and nowhere else. Tokens of root@pam, without an end or with all rights of their user \
              are reported, listed or not, and so are secrets in priv/token.cfg whose token is gone. Secrets are \
              never read.",
    naive: "`--expire 2026-12-31` is refused: PVE wants seconds since 1970. A separated token without a right of its \
            own can do nothing at all. Deleting and making a token anew loses its rights. The secret of a deleted \
            user's token stays in priv/token.cfg.",
    references: &[
        Reference::Guide("2.2.1"),
        Reference::Guide("2.2.4"),
        Reference::Man("pveum(1)"),
        Reference::Source("pve-access-control, src/PVE/API2/User.pm"),
    ],
    level: 1,
    severity: Severity::High,
};

pub(super) static REALMS: Meta = Meta {
    id: "access.realms",
    title: "Realms say what they are, ask for a second factor where that is wanted, and verify their servers",
    why: "People who pick the wrong realm on the login page try their password where it cannot work. A second factor that is \
          each person's own choice is missing where it matters most, and a directory that is asked in the clear gives every \
          password to whoever listens.",
    checked: "Comment, default, tfa, mode, verify and autocreate of the realms in /etc/pve/domains.cfg against [[access.realm]]. \
              Before TOTP for a whole realm: every enabled user who could log in with a password has TOTP or recovery keys, or \
              is named in may-refuse; the others are listed with their last login, and the plan is refused. The logs of \
              a node tell who logged in and by which door, not with what program: logins that never came from the login page \
              are called a program's. Somebody who may do everything must be able to log in afterwards. Realms are \
              not made, and secrets of realms are not handled.",
    naive: "`pveum realm modify pam --tfa type=oath` refuses, from that moment on, every user of the realm without TOTP: root@pam \
            first of all, people with a security key alone (WebAuthn), and programs that log in with a password; tokens go on \
            working. `pveum realm delete pam` works; PVE brings the realm back without its settings. A directory that is moved to \
            TLS without a try refuses everybody: the change is made with --check-connection.",
    references: &[
        Reference::Guide("2.1.3"),
        Reference::Man("pveum(1)"),
        Reference::Source("pve-access-control, src/PVE/API2/Domains.pm"),
        Reference::Source("pve-access-control, src/PVE/AccessControl.pm (authenticate_2nd_new_do)"),
    ],
    level: 1,
    severity: Severity::Medium,
};

pub(super) static LEFTOVERS: Meta = Meta {
    id: "access.leftovers",
    title: "user.cfg holds nothing that PVE ignores and no right that waits for a name",
    why: "A setting that PVE does not know protects nobody and is gone after the next change. A right for a group that \
          does not exist belongs to whoever makes that group.",
    checked: "Every line of /etc/pve/user.cfg as PVE itself reads it: comments, unknown lines and privileges, roles and \
              tokens that do not exist, rights of root@pam, and rights for users and groups that are not there.",
    naive: "Password rules (minpwlen, maxfailed) written into user.cfg are ignored with a warning that only the console \
            shows, and the next change of any user deletes them.",
    references: &[Reference::Man("pveum(1)"), USER_CFG],
    level: 1,
    severity: Severity::Medium,
};
