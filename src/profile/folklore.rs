//! What guides say about Proxmox VE and PVE does not do: named where a file uses it, with what is true and what works.
//!
//! Adding a row: how to recognise it, the truth (with the PVE source that shows it), the working equivalent, and a
//! sample in the tests.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use regex_lite::Regex;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Severity};
use super::shape::Walk;
use super::source::At;
use crate::pve::privileges::{MONITOR, MONITOR_ON_9};

/// One piece of folklore.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The name people know it by.
    pub said: &'static str,
    /// Keys, as written with `-` between words.
    pub keys: &'static [&'static str],
    /// Matches inside any string (and key), a regular expression; empty for none.
    pub text: &'static str,
    /// What is true, and where that can be seen.
    pub truth: &'static str,
    /// The working equivalent.
    pub instead: &'static str,
    /// Error for what does not work, warning for what works differently than said.
    pub severity: Severity,
}

const fn row(
    said: &'static str,
    keys: &'static [&'static str],
    text: &'static str,
    truth: &'static str,
    instead: &'static str,
) -> Row {
    Row { said, keys, text, truth, instead, severity: Severity::Error }
}

const fn works(row: Row) -> Row {
    Row { severity: Severity::Warning, ..row }
}

const NO_PASSWORD_KEYS: &str = "PVE has no such key: /etc/pve/user.cfg knows none, warns and drops it at the next write. Passwords of @pam users go through the node's PAM stack; those of @pve users need 8 to 64 characters and nothing else (pve-access-control API2/User.pm)";
const NO_LOCKOUT: &str = "PVE has no such key: /etc/pve/user.cfg knows none, warns and drops it at the next write. @pve users are never locked for wrong passwords (each costs 3 s); @pam users are locked by the node's pam_faillock; PVE itself locks second factors only (pve-access-control AccessControl.pm)";

/// Every row.
pub const ROWS: &[Row] = &[
    row("minpwlen", &["minpwlen"], "", NO_PASSWORD_KEYS, "[password.quality] min-length"),
    row(
        "minpwqual",
        &["minpwqual"],
        "",
        NO_PASSWORD_KEYS,
        "[password.quality] min-class, difference, dictionary-check",
    ),
    row("maxfailed", &["maxfailed"], "", NO_LOCKOUT, "[lockout.pam] deny"),
    row("locktime", &["locktime"], "", NO_LOCKOUT, "[lockout.pam] unlock-time (seconds)"),
    row(
        "pveum user 2fa",
        &["2fa"],
        r"\buser\s+2fa\b",
        "the second factor is called tfa everywhere in PVE (pve-access-control CLI/pveum.pm)",
        "`pveum user tfa list`, or `pvesh get /access/tfa --output-format json`",
    ),
    row("PVEPowerAdmin", &[], r"\bPVEPowerAdmin\b", "PVE has no such role", "PVEVMAdmin"),
    row("PVEAudit", &[], r"\bPVEAudit\b", "PVE has no such role", "PVEAuditor"),
    row("PVEStorageAdmin", &[], r"\bPVEStorageAdmin\b", "PVE has no such role", "PVEDatastoreAdmin"),
    row("PVEUser", &[], r"\bPVEUser\b", "PVE has no such role", "PVEVMUser"),
    works(row(
        "PVESysAdmin",
        &[],
        r"\bPVESysAdmin\b",
        "the role exists, but it does not manage a node: it is only Sys.Audit, Sys.Console and Sys.Syslog",
        "Sys.Modify and Sys.PowerMgmt in a role of your own, or a Linux administrator with sudo ([[admin]])",
    )),
    row(
        "VM.Monitor",
        &["vm.monitor"],
        r"\bVM\.Monitor\b",
        "the privilege is gone since PVE 9 (pve-access-control 9.0.2): adding it fails, and an old entry is dropped at the next write",
        "Sys.Audit for the monitor commands, VM.GuestAgent.* for the guest agent",
    ),
    row(
        "--privelist",
        &["privelist"],
        r"--?privelist\b",
        "`pveum role add` has no such option (pve-access-control API2/Role.pm)",
        "--privs \"VM.Audit,VM.PowerMgmt\"",
    ),
    works(row(
        "roleadd, aclmod, useradd",
        &["roleadd", "aclmod"],
        r"\bpveum\s+(?:roleadd|rolemod|aclmod|acldel|useradd|usermod|groupadd)\b",
        "these are old aliases that still work (pve-access-control CLI/pveum.pm)",
        "`pveum role add`, `pveum acl modify`, `pveum user add`",
    )),
    row(
        "an expiry date",
        &[],
        r"--?expire[ =]+\d{4}-\d\d-\d\d",
        "users and tokens expire at seconds since 1970, 0 means never, and a time in the past is accepted (pve-access-control API2/User.pm)",
        "`date -d 2026-12-31 +%s` gives the number",
    ),
    row(
        "user token delete --all",
        &[],
        r"\btoken\s+(?:delete|remove)\b.*--?all\b",
        "tokens are deleted one by one (pve-access-control CLI/pveum.pm)",
        "`pveum user token list USER`, then `pveum user token delete USER TOKENID` for each",
    ),
    row(
        "/access/token/ID",
        &[],
        r"(?:/api2/json/access/|\s/access/|^/access/)tokens?/|\bpvesh\s+\w+\s+/api2/json",
        "pvesh paths start below /api2/json, and a token lies below its user; its secret never comes back (pve-access-control API2/User.pm)",
        "`pvesh get /access/users/USER/token/ID`",
    ),
    row(
        "'user=token' in an ACL",
        &[],
        r"^'?[A-Za-z0-9._-]+@[A-Za-z0-9._-]+=[A-Za-z0-9_-]+'?$|--?(?:role|roles|user|users|tokenid|tokens)\b.*\s'?[A-Za-z0-9._-]+@[A-Za-z0-9.-]+=[A-Za-z0-9_-]+|'[A-Za-z0-9._-]+@[A-Za-z0-9.-]+=[A-Za-z0-9_-]+'",
        "a token is named user@realm!token",
        "`pveum acl modify PATH --tokens 'user@realm!token' --roles ROLE`",
    ),
    row(
        "pvesh create …/firewall/options",
        &[],
        r"\bpvesh\s+create\s+\S*/firewall/options\b",
        "options are not created (pve-firewall API2/Firewall/Host.pm)",
        "`pvesh set …/firewall/options --enable 1`",
    ),
    row(
        "/nodes/NODE/rules",
        &[],
        r"/nodes/[^/\s]+/rules\b",
        "there is no such path; and a rule posted without `enable` is stored disabled, at position 0 (pve-firewall API2/Firewall/Rules.pm)",
        "`pvesh create /nodes/NODE/firewall/rules --enable 1 …`",
    ),
    row(
        "/etc/pve/pve-proxy.cfg",
        &["pve-proxy.cfg", "pve-proxy"],
        r"\bpve-?proxy\.cfg\b",
        "no program reads such a file (pve-http-server APIServer/Utils.pm)",
        "/etc/default/pveproxy on each node: CIPHERS, CIPHERSUITES, DISABLE_TLS_1_2, ALLOW_FROM, POLICY",
    ),
    row(
        "Enforce HTTPS",
        &["enforce-https", "force-https"],
        r"(?i)\b(?:enforce|force)[ _-]https\b",
        "there is no such switch: port 8006 speaks TLS only, and plain HTTP is redirected",
        "nothing needs to be done; CIPHERS and DISABLE_TLS_1_2 in /etc/default/pveproxy choose how",
    ),
    row(
        "API rate limit",
        &["rate-limit", "ratelimit", "rate-limits", "rate-limiting", "api-rate-limit", "api-ratelimit"],
        r"(?i)\bapi[ _-]rate[ _-]?limit",
        "PVE has no rate limit for its API (DataCenterConfig.pm); a wrong password costs 3 s",
        "[bruteforce.fail2ban] bans who guesses, [web.allow-from] lets management networks alone reach 8006, [lockout.pam] locks @pam users",
    ),
    row(
        "security alerts",
        &["security-alerts", "alert-on"],
        r"\bpve(?:um|am)\s+access\s+log\b",
        "PVE has no alerts for logins and no such command: notifications know backups, replication, updates and fencing",
        "logins are in the journal (`journalctl -u pvedaemon`) and in /var/log/pveproxy/access.log",
    ),
    row(
        "an API token of root@pam",
        &[],
        r"\broot@pam!",
        "such a token skips the second factor, and without privsep it is root; ACLs for root@pam are not stored, so nothing limits it",
        "a token of a user of its own, e.g. svc-backup@pve!daily, with --privsep 1 and one role on one path",
    ),
];

/// Keys whose value is an expiry.
const EXPIRY_KEYS: &[&str] = &["expire", "expires", "expiry", "expiration"];

fn patterns() -> &'static [Option<Regex>] {
    static PATTERNS: OnceLock<Vec<Option<Regex>>> = OnceLock::new();
    PATTERNS.get_or_init(|| {
        ROWS.iter().map(|row| (!row.text.is_empty()).then(|| Regex::new(row.text).ok()).flatten()).collect()
    })
}

fn by_key(key: &str) -> Option<&'static Row> {
    let written = key.to_ascii_lowercase().replace('_', "-");
    ROWS.iter().find(|row| row.keys.contains(&written.as_str())).or_else(|| by_text(key))
}

fn by_text(text: &str) -> Option<&'static Row> {
    ROWS.iter().zip(patterns()).find(|(_, p)| p.as_ref().is_some_and(|p| p.is_match(text))).map(|(row, _)| row)
}

fn expiry() -> Option<&'static Row> {
    ROWS.iter().find(|row| row.said == "an expiry date")
}

/// Reports every use of folklore in a tree, whether its key is known or not.
pub fn search(walk: &mut Walk<'_>, table: &DeTable<'_>) {
    for (key, value) in table {
        let name = key.get_ref();
        // A waiver has prose and a day of its own, and neither reaches PVE.
        if name == "waiver" {
            continue;
        }
        if let Some(row) = by_key(name) {
            report(walk, row, &key.span());
        } else if EXPIRY_KEYS.contains(&name.to_ascii_lowercase().as_str()) && is_date(value.get_ref()) {
            // The key may well be right: only the value is reported.
            if let Some(row) = expiry() {
                report(walk, row, &value.span());
            }
        }
        search_value(walk, value);
    }
}

fn search_value(walk: &mut Walk<'_>, value: &toml::Spanned<DeValue<'_>>) {
    match value.get_ref() {
        DeValue::Table(table) => search(walk, table),
        DeValue::Array(items) => {
            for item in items {
                search_value(walk, item);
            }
        }
        DeValue::String(text) => {
            if let Some(row) = by_text(text) {
                report(walk, row, &value.span());
            }
        }
        _ => {}
    }
}

fn is_date(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::Datetime(_) => true,
        DeValue::String(text) => {
            let bytes = text.trim().as_bytes();
            bytes.len() >= 10 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-' && bytes[7] == b'-'
        }
        _ => false,
    }
}

fn report(walk: &mut Walk<'_>, row: &Row, span: &Range<usize>) {
    if !walk.seen.insert((span.start, span.end)) {
        return;
    }
    let at = At { source: Arc::clone(walk.source), span: span.clone() };
    // As a privilege of its own it is right on release 8, and translated for later ones.
    let alone = walk.source.text.get(span.clone()).is_some_and(|text| text.trim_matches(['"', '\'']) == MONITOR);
    if alone {
        let message = format!("{MONITOR} does not exist from PVE 9 on");
        let note = format!("on nodes of PVE 9 the role gets {} in its place", MONITOR_ON_9.join(" and "));
        let found = Diagnostic { severity: Severity::Warning, ..Diagnostic::error(message) };
        walk.found.push(found.at(at).note(note).help("once no node is PVE 8, write what is needed of these"));
        return;
    }
    let found = Diagnostic { severity: row.severity, ..Diagnostic::error(format!("`{}` is folklore", row.said)) };
    walk.found.push(found.at(at).note(row.truth).help(format!("instead: {}", row.instead)));
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::profile::diagnostic::Diagnostics;
    use crate::profile::layer;
    use crate::profile::source::Source;

    /// Name of the row → a file that uses it.
    const SAMPLES: &[(&str, &str)] = &[
        ("minpwlen", "[password.quality]\nminpwlen = 12"),
        ("minpwlen", "minpwlen = 12"),
        ("minpwqual", "[a.b]\nminpwqual = 3"),
        ("maxfailed", "[lockout]\nmaxfailed = 5"),
        ("locktime", "[lockout.pam]\nLockTime = 30"),
        ("pveum user 2fa", "x = \"pveum user 2fa list admin@pve\""),
        ("PVEPowerAdmin", "[[access.acl]]\nrole = \"PVEPowerAdmin\""),
        ("PVEAudit", "roles = [\"PVEAuditor\", \"PVEAudit\"]"),
        ("PVEStorageAdmin", "role = 'PVEStorageAdmin'"),
        ("PVEUser", "role = 'PVEUser'"),
        ("PVESysAdmin", "role = 'PVESysAdmin'"),
        ("VM.Monitor", "privs = \"VM.Audit VM.Monitor\""),
        ("--privelist", "x = \"pveum role add R --privelist VM.Audit\""),
        ("--privelist", "privelist = ['VM.Audit']"),
        ("roleadd, aclmod, useradd", "x = \"pveum roleadd VMControl -privs VM.PowerMgmt\""),
        ("roleadd, aclmod, useradd", "x = \"pveum aclmod /vms -user a@pve -role R\""),
        ("roleadd, aclmod, useradd", "x = \"pveum useradd a@pve\""),
        ("an expiry date", "[[access.token]]\nexpire = \"2025-12-31\""),
        ("an expiry date", "expires = 2025-12-31"),
        ("an expiry date", "x = \"--expire 2025-12-31 --privsep 1\""),
        ("user token delete --all", "x = \"pveum user token delete a@pve --all\""),
        ("/access/token/ID", "x = \"pvesh get /api2/json/access/token/ci\""),
        ("'user=token' in an ACL", "x = \"admin@example.com=backup\""),
        ("'user=token' in an ACL", "x = \"pveum acl modify /vms 'admin@example.com=backup' --role R\""),
        ("pvesh create …/firewall/options", "x = \"pvesh create /cluster/firewall/options --enable 1\""),
        ("/nodes/NODE/rules", "x = \"pvesh create /nodes/localhost/rules/100 --type in\""),
        ("/etc/pve/pve-proxy.cfg", "x = \"/etc/pve/pve-proxy.cfg\""),
        ("/etc/pve/pve-proxy.cfg", "[\"pve-proxy.cfg\"]\ncipher = 1"),
        ("Enforce HTTPS", "enforce-https = true"),
        ("Enforce HTTPS", "x = \"Enforce HTTPS\""),
        ("API rate limit", "[web]\nrate_limit = 10"),
        ("API rate limit", "[rate-limit]\nrequests = 10"),
        ("security alerts", "[security-alerts]\nevents = ['login-failed']"),
        ("security alerts", "x = \"pveum access log --user a@pve\""),
        ("an API token of root@pam", "token = \"root@pam!crossplane-instance-1\""),
    ];

    fn lint(text: &str) -> Diagnostics {
        let mut found = Diagnostics::default();
        layer::parse(&Source::new("x.toml", text), &mut found);
        found
    }

    #[test]
    fn every_row_names_itself_tells_the_truth_and_offers_what_works() {
        let mut tested = HashSet::new();
        for (said, text) in SAMPLES {
            let row = ROWS.iter().find(|r| r.said == *said).unwrap();
            let found = lint(text);
            let hit = found.iter().find(|d| d.note == row.truth && d.message.contains(said));
            let hit = hit.unwrap_or_else(|| panic!("{said} not found in {text:?}: {found}"));
            assert!(hit.at.is_some() && hit.help.iter().any(|h| h.contains(row.instead)), "{said}");
            assert_eq!(hit.severity, row.severity);
            tested.insert(*said);
        }
        let untested: Vec<_> = ROWS.iter().filter(|r| !tested.contains(r.said)).map(|r| r.said).collect();
        assert!(untested.is_empty(), "rows without a sample: {untested:?}");
    }

    #[test]
    fn a_privilege_of_release_8_is_no_folklore() {
        let found = lint("[[access.role]]\nid = \"R\"\nprivileges = [\"VM.Monitor\"]");
        let one = found.iter().find(|one| one.message == "VM.Monitor does not exist from PVE 9 on");
        assert_eq!(one.map(|one| one.severity), Some(Severity::Warning), "{found}");
        assert!(found.iter().all(|one| !one.message.contains("folklore")), "{found}");
    }

    #[test]
    fn every_pattern_compiles() {
        for (row, pattern) in ROWS.iter().zip(patterns()) {
            assert_eq!(pattern.is_some(), !row.text.is_empty(), "{}", row.said);
        }
    }

    #[test]
    fn what_pve_has_is_not_folklore() {
        for word in ["PVEAuditor", "PVEVMUser", "PVEVMAdmin", "PVEDatastoreAdmin", "ops@pve!ci", "Sys.Audit", "useradd"]
        {
            assert!(by_text(word).is_none(), "{word}");
        }
        assert!(by_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ== ops@example.com").is_none());
    }
}
