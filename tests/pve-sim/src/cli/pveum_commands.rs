//! The commands of `pveum`: words, the API call behind them, and their usage lines.

/// One command.
pub struct Command {
    /// Its words.
    pub words: &'static [&'static str],
    /// HTTP method of the call.
    pub method: &'static str,
    /// Path of the call.
    pub path: &'static str,
    /// Parameters that are plain words.
    pub places: &'static [&'static str],
    /// Plain words that may be left out.
    pub optional: &'static [&'static str],
    /// Parameters that the command sets itself.
    pub fixed: &'static [(&'static str, &'static str)],
    /// Whether it takes options for printing.
    pub format: bool,
    /// What follows its words in the usage.
    pub usage: &'static str,
}

const fn quiet(
    words: &'static [&'static str],
    method: &'static str,
    path: &'static str,
    places: &'static [&'static str],
    usage: &'static str,
) -> Command {
    Command { words, method, path, places, optional: &[], fixed: &[], format: false, usage }
}

const fn shown(
    words: &'static [&'static str],
    method: &'static str,
    path: &'static str,
    places: &'static [&'static str],
    usage: &'static str,
) -> Command {
    Command { format: true, ..quiet(words, method, path, places, usage) }
}

const TOKEN: &str = "/access/users/{userid}/token/{tokenid}";
const ACL_USAGE: &str = "<path> --roles <string> [OPTIONS]";

/// Group by group in the order of the real usage.
pub const COMMANDS: &[&[Command]] = &[
    &[
        Command { fixed: &[("delete", "1")], ..quiet(&["acl", "delete"], "PUT", "/access/acl", &["path"], ACL_USAGE) },
        shown(&["acl", "list"], "GET", "/access/acl", &[], " [FORMAT_OPTIONS]"),
        Command { fixed: &[("delete", "0")], ..quiet(&["acl", "modify"], "PUT", "/access/acl", &["path"], ACL_USAGE) },
    ],
    &[
        quiet(&["group", "add"], "POST", "/access/groups", &["groupid"], "<groupid> [OPTIONS]"),
        quiet(&["group", "delete"], "DELETE", "/access/groups/{groupid}", &["groupid"], "<groupid>"),
        shown(&["group", "list"], "GET", "/access/groups", &[], " [FORMAT_OPTIONS]"),
        quiet(&["group", "modify"], "PUT", "/access/groups/{groupid}", &["groupid"], "<groupid> [OPTIONS]"),
    ],
    &[
        quiet(&["pool", "add"], "POST", "/pools", &["poolid"], "<poolid> [OPTIONS]"),
        quiet(&["pool", "delete"], "DELETE", "/pools/{poolid}", &["poolid"], "<poolid>"),
        shown(&["pool", "list"], "GET", "/pools", &[], " [OPTIONS] [FORMAT_OPTIONS]"),
        quiet(&["pool", "modify"], "PUT", "/pools/{poolid}", &["poolid"], "<poolid> [OPTIONS]"),
    ],
    &[
        quiet(&["realm", "add"], "POST", "/access/domains", &["realm"], "<realm> --type <string> [OPTIONS]"),
        quiet(&["realm", "delete"], "DELETE", "/access/domains/{realm}", &["realm"], "<realm>"),
        shown(&["realm", "list"], "GET", "/access/domains", &[], " [FORMAT_OPTIONS]"),
        quiet(&["realm", "modify"], "PUT", "/access/domains/{realm}", &["realm"], "<realm> [OPTIONS]"),
        quiet(&["realm", "sync"], "POST", "/access/domains/{realm}/sync", &["realm"], "<realm> [OPTIONS]"),
    ],
    &[
        quiet(&["role", "add"], "POST", "/access/roles", &["roleid"], "<roleid> [OPTIONS]"),
        quiet(&["role", "delete"], "DELETE", "/access/roles/{roleid}", &["roleid"], "<roleid>"),
        shown(&["role", "list"], "GET", "/access/roles", &[], " [FORMAT_OPTIONS]"),
        quiet(&["role", "modify"], "PUT", "/access/roles/{roleid}", &["roleid"], "<roleid> [OPTIONS]"),
    ],
    &[
        quiet(&["user", "tfa", "unlock"], "PUT", "/access/users/{userid}/unlock-tfa", &["userid"], "<userid>"),
        quiet(&["user", "tfa", "delete"], "DELETE", "/access/tfa/{userid}", &["userid"], "<userid> [OPTIONS]"),
        Command { optional: &["userid"], ..quiet(&["user", "tfa", "list"], "GET", "/access/tfa", &[], "[<userid>]") },
        shown(
            &["user", "token", "add"],
            "POST",
            TOKEN,
            &["userid", "tokenid"],
            "<userid> <tokenid> [OPTIONS] [FORMAT_OPTIONS]",
        ),
        shown(
            &["user", "token", "delete"],
            "DELETE",
            TOKEN,
            &["userid", "tokenid"],
            "<userid> <tokenid> [FORMAT_OPTIONS]",
        ),
        shown(
            &["user", "token", "list"],
            "GET",
            "/access/users/{userid}/token",
            &["userid"],
            "<userid> [FORMAT_OPTIONS]",
        ),
        shown(
            &["user", "token", "modify"],
            "PUT",
            TOKEN,
            &["userid", "tokenid"],
            "<userid> <tokenid> [OPTIONS] [FORMAT_OPTIONS]",
        ),
        shown(
            &["user", "token", "permissions"],
            "GET",
            "/access/permissions",
            &["userid", "tokenid"],
            "<userid> <tokenid> [OPTIONS] [FORMAT_OPTIONS]",
        ),
        Command {
            optional: &["userid"],
            ..shown(
                &["user", "permissions"],
                "GET",
                "/access/permissions",
                &[],
                "[<userid>] [OPTIONS] [FORMAT_OPTIONS]",
            )
        },
        quiet(&["user", "add"], "POST", "/access/users", &["userid"], "<userid> [OPTIONS]"),
        quiet(&["user", "delete"], "DELETE", "/access/users/{userid}", &["userid"], "<userid>"),
        shown(&["user", "list"], "GET", "/access/users", &[], " [OPTIONS] [FORMAT_OPTIONS]"),
        quiet(&["user", "modify"], "PUT", "/access/users/{userid}", &["userid"], "<userid> [OPTIONS]"),
    ],
    &[
        quiet(&["passwd"], "PUT", "/access/password", &["userid"], "<userid> [OPTIONS]"),
        quiet(&["ticket"], "POST", "/access/ticket", &["username"], "<username> [OPTIONS]"),
    ],
];

/// Former names of commands.
pub const ALIASES: &[(&[&str], &[&str])] = &[
    (&["useradd"], &["user", "add"]),
    (&["usermod"], &["user", "modify"]),
    (&["userdel"], &["user", "delete"]),
    (&["groupadd"], &["group", "add"]),
    (&["groupmod"], &["group", "modify"]),
    (&["groupdel"], &["group", "delete"]),
    (&["roleadd"], &["role", "add"]),
    (&["rolemod"], &["role", "modify"]),
    (&["roledel"], &["role", "delete"]),
    (&["aclmod"], &["acl", "modify"]),
    (&["acldel"], &["acl", "delete"]),
    (&["user", "token", "remove"], &["user", "token", "delete"]),
];
