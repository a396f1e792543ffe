//! ssh's prose, once, turned into an [`Error`].

use super::error::Error;
use super::sanitize;

/// Who was called, for messages.
#[derive(Clone, Debug)]
pub(super) struct Callee<'a> {
    pub user: &'a str,
    pub host: &'a str,
}

/// Judges what ssh wrote to standard error before it gave up (OpenSSH 9.2 to 10; its messages are not localised).
pub(super) fn diagnose(stderr: &str, callee: &Callee<'_>) -> Error {
    let lines: Vec<&str> = stderr.lines().map(str::trim_end).collect();
    let has = |phrase: &str| lines.iter().any(|line| line.contains(phrase));
    let host = callee.host.to_owned();
    if has("HOST IDENTIFICATION HAS CHANGED") || has("REVOKED HOST KEY") {
        return changed(&lines, callee);
    }
    if has("Host key verification failed") || has("authenticity of host") {
        return Error::HostKeyUnknown { host, offered: None };
    }
    if let Some(line) = lines.iter().rev().find(|line| line.contains("Permission denied (")) {
        return Error::Auth { user: callee.user.into(), host, detail: refused(line), wrong_password: false };
    }
    if has("Too many authentication failures") {
        let detail = "too many keys were offered before the right one; name it with --identity".into();
        return Error::Auth { user: callee.user.into(), host, detail, wrong_password: false };
    }
    let detail = sanitize::tail(telling(&lines).as_bytes(), 400);
    // Behind a jump host the node's refusal arrives as a closed channel.
    let hop = has("stdio forwarding failed") || has("open failed");
    let early = ["kex_exchange_identification", "Not allowed at this time", "Exceeded MaxStartups", "banner exchange"];
    if !hop && early.iter().any(|phrase| has(phrase)) && !has("timed out") && !has("Connection refused") {
        return Error::Throttled { host, detail };
    }
    if !hop && (has("Connection closed by") || has("Connection reset by")) {
        return Error::Throttled { host, detail };
    }
    Error::Unreachable { host, detail }
}

fn refused(line: &str) -> String {
    let methods = line.rsplit_once('(').map_or("", |(_, rest)| rest.trim_end_matches([')', '.']));
    format!("no login was accepted; the node offers {}", sanitize::line(&methods.replace(',', ", ")))
}

fn changed(lines: &[&str], callee: &Callee<'_>) -> Error {
    let after = |prefix: &str| lines.iter().find_map(|line| line.strip_prefix(prefix));
    let safe = |value: &str| sanitize::line(value.trim()).into_owned();
    let key_type = after("The fingerprint for the ").and_then(|rest| rest.split(' ').next()).unwrap_or("another");
    let fingerprint =
        lines.iter().find(|line| line.starts_with("SHA256:")).map_or("key", |line| line.trim_end_matches('.'));
    let host =
        after("Host key for ").and_then(|rest| rest.split_once(" has changed")).map_or(callee.host, |(host, _)| host);
    let file = lines.iter().find_map(|line| {
        let (_, place) = line.strip_prefix("Offending ")?.split_once(" key in ")?;
        place.rsplit_once(':').map(|(file, _)| file)
    });
    let forget = file.map(|file| format!("ssh-keygen -f {} -R {}", quoted(&safe(file)), quoted(&safe(host))));
    Error::HostKeyChanged {
        host: safe(host),
        expected: "known one".into(),
        offered: safe(&format!("{key_type} {fingerprint}")),
        forget,
    }
}

fn quoted(value: &str) -> String {
    shlex::try_quote(value).map_or_else(|_| value.to_owned(), std::borrow::Cow::into_owned)
}

/// The lines that tell why, without warnings and notes.
fn telling(lines: &[&str]) -> String {
    let noise = ["Warning: Permanently added", "debug1:", "** "];
    let kept: Vec<&str> = lines
        .iter()
        .filter(|line| !line.is_empty() && !noise.iter().any(|start| line.starts_with(start)))
        .map(|line| line.strip_prefix("ssh: ").unwrap_or(line))
        .collect();
    let last = &kept[kept.len().saturating_sub(2)..];
    if last.is_empty() { "ssh gave up without a word".into() } else { last.join("; ") }
}
