//! The access matrix and the access review.

use std::fmt::Write as _;

use serde_json::json;

use super::style::{Palette, Tone};
use crate::access::day;
use crate::access::matrix::{Account, Held, Kind};
use crate::access::review::Finding;
use crate::sanitize;

/// A block per account.
pub fn matrix_text(node: &str, accounts: &[Account], palette: Palette) -> String {
    let mut text = format!("{}\n", palette.paint(Tone::Heading, &format!("{node}: {} accounts", accounts.len())));
    for account in accounts {
        let name = palette.paint(Tone::Heading, &sanitize::line(&account.account));
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}  {}", sanitize::line(&state(account)));
        if !account.purpose.is_empty() {
            let _ = writeln!(text, "  {}", sanitize::line(&account.purpose));
        }
        if account.grants.is_empty() {
            text.push_str("  no rights\n");
        }
        for held in &account.grants {
            let _ = writeln!(text, "  {}", sanitize::line(&right(held)));
        }
    }
    text
}

fn state(account: &Account) -> String {
    let mut words = standing(account);
    if account.kind == Kind::User {
        let _ = write!(words, "{}second factors: {}", if words.is_empty() { "" } else { "; " }, factors(account));
    }
    words
}

/// Enabled or not, until when, by whose rights, in which groups.
pub fn standing(account: &Account) -> String {
    let mut words = Vec::new();
    if !account.enabled {
        words.push("disabled".into());
    }
    if let Some(at) = account.expires {
        words.push(format!("until {}", day(at)));
    } else if account.kind == Kind::Token {
        words.push("never ends".into());
    }
    if let Some(separated) = account.separated {
        words.push(if separated { "rights of its own".into() } else { "every right of its user".into() });
    }
    if !account.groups.is_empty() {
        words.push(format!("groups {}", account.groups.iter().cloned().collect::<Vec<_>>().join(", ")));
    }
    words.join("; ")
}

/// Second factors of a user.
pub fn factors(account: &Account) -> String {
    match &account.second_factors {
        None => "not read".into(),
        Some(kinds) if kinds.is_empty() => "none".into(),
        Some(kinds) => kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect::<Vec<_>>().join(", "),
    }
}

/// A role on a path.
pub fn right(held: &Held) -> String {
    let via = held.via.as_ref().map(|group| format!(" through {group}")).unwrap_or_default();
    let reach = if held.propagate { "" } else { ", there only" };
    format!("{} on {}{via}{reach}", held.role, held.path)
}

const COLUMNS: &str = "account,kind,purpose,enabled,expires,groups,path,role,through-group,propagate,privilege-separation,second-factors\r\n";

/// A row per account and right (RFC 4180).
pub fn matrix_csv(accounts: &[Account]) -> String {
    let mut text = COLUMNS.to_owned();
    for account in accounts {
        let nothing = Held { path: String::new(), role: String::new(), via: None, propagate: false };
        let rights = if account.grants.is_empty() { std::slice::from_ref(&nothing) } else { &account.grants };
        for held in rights {
            let kind = match account.kind {
                Kind::User => "user",
                Kind::Token => "token",
            };
            let there = !held.path.is_empty();
            let cells = [
                account.account.clone(),
                kind.into(),
                account.purpose.clone(),
                yes(account.enabled),
                account.expires.map(day).unwrap_or_default(),
                account.groups.iter().cloned().collect::<Vec<_>>().join(" "),
                held.path.clone(),
                held.role.clone(),
                held.via.as_ref().map(|group| group.trim_start_matches('@').to_owned()).unwrap_or_default(),
                if there { yes(held.propagate) } else { String::new() },
                account.separated.map(yes).unwrap_or_default(),
                if account.kind == Kind::User { factors(account) } else { String::new() },
            ];
            text.push_str(&cells.map(|value| cell(&value)).join(","));
            text.push_str("\r\n");
        }
    }
    text
}

fn yes(flag: bool) -> String {
    if flag { "yes".into() } else { "no".into() }
}

/// A cell. What a spreadsheet would take for a formula gets an apostrophe in front.
pub(super) fn cell(cell: &str) -> String {
    let cell = sanitize::line(cell);
    let formula = if cell.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    if cell.contains(['"', ',', '\'']) || !formula.is_empty() {
        format!("\"{formula}{}\"", cell.replace('"', "\"\""))
    } else {
        cell.into_owned()
    }
}

/// One versioned JSON document.
pub fn matrix_json(node: &str, accounts: &[Account]) -> String {
    format!("{:#}\n", json!({ "version": 1, "node": node, "accounts": accounts }))
}

/// A line per finding.
pub fn review_text(node: &str, findings: &[Finding], palette: Palette) -> String {
    let word = if findings.len() == 1 { "finding" } else { "findings" };
    let mut text = format!("{}\n", palette.paint(Tone::Heading, &format!("{node}: {} {word}", findings.len())));
    for finding in findings {
        let kind = palette.paint(Tone::Warn, finding.kind);
        let _ = writeln!(text, "{kind}  {}: {}", sanitize::line(&finding.about), sanitize::line(&finding.text));
    }
    text
}

/// One versioned JSON document; signed and dated when somebody stands for it.
pub fn review_json(node: &str, findings: &[Finding], accounts: &[Account], attested: Option<(&str, &str)>) -> String {
    let mut document = json!({ "version": 1, "node": node, "findings": findings });
    if let Some((name, at)) = attested {
        document["attested"] = json!({ "by": name, "at": at });
        document["accounts"] = json!(accounts);
    }
    format!("{document:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::matrix::matrix;
    use crate::pve::privileges::Catalogue;
    use crate::pve::user_cfg::parse;

    #[test]
    fn every_form_of_the_matrix() {
        let config = parse(
            "user:a@pve:1:0::::=1+1, \"x\"::\nuser:off@pve:0:86400::::::\ntoken:a@pve!ci:0:1:ci:\ngroup:g:a@pve::\n\
             acl:1:/vms:@g:PVEVMUser:\nacl:0:/:a@pve:PVEAuditor:\n",
            Catalogue::of(9),
        );
        let factors = [("a@pve".to_owned(), [("totp".to_owned(), 1)].into())].into();
        let accounts = matrix(&config, Some(&factors));
        let text = matrix_text("pve1", &accounts, Palette::PLAIN);
        assert!(
            text.contains("a@pve  groups g; second factors: totp 1\n  =1+1, \"x\"\n  PVEAuditor on /, there only\n"),
            "{text}"
        );
        assert!(text.contains("a@pve!ci  never ends; rights of its own\n  ci\n  no rights\n"), "{text}");
        let rows = [
            "a@pve,user,\"'=1+1, \"\"x\"\"\",yes,,g,/,PVEAuditor,,no,,totp 1",
            "a@pve,user,\"'=1+1, \"\"x\"\"\",yes,,g,/vms,PVEVMUser,g,yes,,totp 1",
            "a@pve!ci,token,ci,yes,,,,,,,yes,",
            "off@pve,user,,no,1970-01-02,,,,,,,none",
            "root@pam,user,,yes,,,/,Administrator,,yes,,none",
        ];
        assert_eq!(matrix_csv(&accounts), format!("{COLUMNS}{}\r\n", rows.join("\r\n")));
    }
}
