//! Judges `[ssh.*]` values.

use super::diagnostic::Diagnostic;
use super::lint::Lint;
use super::shape::nearest;
use super::source::printable;

/// What OpenSSH 9.2 (PVE 8) and 10.0 (PVE 9) know, `ssh -Q`; the second word of a pair says since when.
struct Known {
    key: &'static str,
    what: &'static str,
    /// Known to both.
    both: &'static [&'static str],
    /// Known to 10.0 only.
    new: &'static [&'static str],
    /// Known, and broken or too weak.
    weak: &'static [&'static str],
}

const KNOWN: &[Known] = &[
    Known {
        key: "ssh.crypto.kex",
        what: "key exchange",
        both: &[
            "sntrup761x25519-sha512@openssh.com",
            "curve25519-sha256",
            "curve25519-sha256@libssh.org",
            "diffie-hellman-group14-sha256",
            "diffie-hellman-group16-sha512",
            "diffie-hellman-group18-sha512",
            "diffie-hellman-group-exchange-sha256",
            "ecdh-sha2-nistp256",
            "ecdh-sha2-nistp384",
            "ecdh-sha2-nistp521",
        ],
        new: &["mlkem768x25519-sha256", "sntrup761x25519-sha512"],
        weak: &["diffie-hellman-group1-sha1", "diffie-hellman-group14-sha1", "diffie-hellman-group-exchange-sha1"],
    },
    Known {
        key: "ssh.crypto.ciphers",
        what: "cipher",
        both: &[
            "chacha20-poly1305@openssh.com",
            "aes128-gcm@openssh.com",
            "aes256-gcm@openssh.com",
            "aes128-ctr",
            "aes192-ctr",
            "aes256-ctr",
        ],
        new: &[],
        weak: &["3des-cbc", "aes128-cbc", "aes192-cbc", "aes256-cbc", "rijndael-cbc@lysator.liu.se"],
    },
    Known {
        key: "ssh.crypto.macs",
        what: "MAC",
        both: &[
            "hmac-sha2-256",
            "hmac-sha2-512",
            "hmac-sha2-256-etm@openssh.com",
            "hmac-sha2-512-etm@openssh.com",
            "umac-128@openssh.com",
            "umac-128-etm@openssh.com",
        ],
        new: &[],
        weak: &[
            "hmac-sha1",
            "hmac-sha1-96",
            "hmac-md5",
            "hmac-md5-96",
            "umac-64@openssh.com",
            "hmac-sha1-etm@openssh.com",
            "hmac-sha1-96-etm@openssh.com",
            "hmac-md5-etm@openssh.com",
            "hmac-md5-96-etm@openssh.com",
            "umac-64-etm@openssh.com",
        ],
    },
    Known {
        key: "ssh.crypto.host-key-algorithms",
        what: "host key algorithm",
        both: SIGNATURES,
        new: &[],
        weak: WEAK_SIGNATURES,
    },
    Known {
        key: "ssh.crypto.pubkey-accepted-algorithms",
        what: "key algorithm",
        both: SIGNATURES,
        new: &[],
        weak: WEAK_SIGNATURES,
    },
];

const SIGNATURES: &[&str] = &[
    "ssh-ed25519",
    "ssh-ed25519-cert-v01@openssh.com",
    "sk-ssh-ed25519@openssh.com",
    "sk-ssh-ed25519-cert-v01@openssh.com",
    "rsa-sha2-512",
    "rsa-sha2-512-cert-v01@openssh.com",
    "rsa-sha2-256",
    "rsa-sha2-256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "webauthn-sk-ecdsa-sha2-nistp256@openssh.com",
];
const WEAK_SIGNATURES: &[&str] =
    &["ssh-rsa", "ssh-rsa-cert-v01@openssh.com", "ssh-dss", "ssh-dss-cert-v01@openssh.com"];

/// Judges every key below `[ssh]`.
pub fn lint(lint: &mut Lint<'_>) {
    lint.networks("ssh.root-login.allow-key-from");
    sessions(lint);
    startups(lint);
    log_level(lint);
    for known in KNOWN {
        algorithms(lint, known);
    }
    must_keep(
        lint,
        "ssh.crypto.ciphers",
        |word| word.starts_with("aes"),
        "no AES cipher is left: PVE's own ssh configuration prefers AES, and cluster nodes could not talk",
        "keep aes256-gcm@openssh.com",
    );
    must_keep(
        lint,
        "ssh.crypto.host-key-algorithms",
        |word| matches!(word, "rsa-sha2-512" | "rsa-sha2-256"),
        "no rsa-sha2 is left: cluster nodes know each other by their RSA host keys only (pve-cluster SSHInfo.pm)",
        "keep rsa-sha2-512 and rsa-sha2-256",
    );
    must_keep(
        lint,
        "ssh.crypto.pubkey-accepted-algorithms",
        |word| matches!(word, "rsa-sha2-512" | "rsa-sha2-256"),
        "no rsa-sha2 is left: cluster nodes log in to each other with root's RSA key",
        "keep rsa-sha2-512 and rsa-sha2-256, or leave the list empty",
    );
}

fn sessions(lint: &mut Lint<'_>) {
    if let Some((sessions, leaf)) = lint.number("ssh.limits.max-sessions").filter(|(n, _)| (2..10).contains(n)) {
        let found = Diagnostic::warning(format!("{sessions} sessions are few: tools that share one connection fail"));
        lint.push(found.at(leaf.at.clone()).expected("10 is sshd's default"));
    }
}

fn startups(lint: &mut Lint<'_>) {
    let Some((text, leaf)) = lint.text("ssh.limits.max-startups") else { return };
    let parts: Option<Vec<u32>> = text.split(':').map(|p| p.parse().ok()).collect();
    let found = match parts.as_deref() {
        Some(&[start, rate, full]) if start >= 1 && (1..=100).contains(&rate) && full >= start => {
            if start >= 10 {
                return;
            }
            Diagnostic::warning("parallel migrations and replication fail at random below 10 waiting connections")
        }
        _ => Diagnostic::error("not a value of MaxStartups"),
    };
    lint.push(found.at(leaf.at.clone()).expected("start:rate:full, e.g. \"10:30:60\""));
}

fn log_level(lint: &mut Lint<'_>) {
    const LEVELS: [&str; 9] = ["INFO", "VERBOSE", "QUIET", "FATAL", "ERROR", "DEBUG", "DEBUG1", "DEBUG2", "DEBUG3"];
    let Some((level, leaf)) = lint.text("ssh.limits.log-level") else { return };
    let found = match level {
        "INFO" | "VERBOSE" => return,
        "QUIET" | "FATAL" | "ERROR" => Diagnostic::error("logins would not be logged: nobody could tell who was there"),
        "DEBUG" | "DEBUG1" | "DEBUG2" | "DEBUG3" => {
            Diagnostic::warning("DEBUG logs things that people may want to keep private (sshd_config(5))")
        }
        other => {
            let found = Diagnostic::error(format!("`{}` is not a LogLevel", printable(other)));
            match nearest(other, LEVELS.into_iter()) {
                Some(near) => found.help(format!("did you mean \"{near}\"?")),
                None => found,
            }
        }
    };
    lint.push(found.at(leaf.at.clone()).expected("\"VERBOSE\" or \"INFO\""));
}

fn algorithms(lint: &mut Lint<'_>, known: &Known) {
    let Some((words, leaf)) = lint.words(known.key) else { return };
    let optional = known.key.ends_with("pubkey-accepted-algorithms");
    if words.is_empty() && !optional {
        let found = Diagnostic::error(format!("no {} is left: nobody could connect", known.what));
        lint.push(found.at(leaf.at.clone()));
        return;
    }
    for (index, word) in words.iter().enumerate() {
        if let Some(found) = algorithm(known, word, &words[..index]) {
            lint.push(found.at(leaf.item(index)));
        }
    }
    if !words.is_empty() && words.iter().all(|w| known.new.contains(w)) {
        let found = Diagnostic::warning(format!("OpenSSH 9.2 (PVE 8) knows no {} of this list", known.what));
        lint.push(found.at(leaf.at.clone()).help("a node that knows none of the names is refused, not changed"));
    }
}

fn algorithm(known: &Known, word: &str, before: &[&str]) -> Option<Diagnostic> {
    let what = known.what;
    if !word.chars().all(|c| c.is_ascii_alphanumeric() || "@.-".contains(c)) || word.starts_with('-') || word.is_empty()
    {
        let found = Diagnostic::error(format!("`{}` is not the name of a {what}", printable(word)));
        return Some(found.help("one name per string; the signs + - ^ of sshd_config are not used here"));
    }
    if before.contains(&word) {
        return Some(Diagnostic::warning(format!("{word} is named twice")));
    }
    if known.weak.contains(&word) {
        return Some(Diagnostic::error(format!("{word} is too weak for a hardening profile")).expected("remove it"));
    }
    if known.both.contains(&word) || known.new.contains(&word) {
        return None;
    }
    let found = Diagnostic::warning(format!("no OpenSSH of PVE 8 or 9 knows a {what} `{word}`; it would be left out"));
    Some(match nearest(word, known.both.iter().chain(known.new).copied()) {
        Some(near) => found.expected(format!("did you mean \"{near}\"?")),
        None => found,
    })
}

fn must_keep(lint: &mut Lint<'_>, key: &str, fits: impl Fn(&str) -> bool, why: &str, help: &str) {
    let Some((words, leaf)) = lint.words(key) else { return };
    if !words.is_empty() && !words.iter().any(|w| fits(w)) {
        lint.push(Diagnostic::error(why).at(leaf.at.clone()).help(help));
    }
}

/// Names under which an OpenSSH public key of this type may sign, to compare it with `pubkey-accepted-algorithms`.
pub fn signatures_of(key_type: &str) -> &[&str] {
    match key_type {
        "ssh-rsa" => &["rsa-sha2-512", "rsa-sha2-256"],
        other => SIGNATURES.iter().find(|s| **s == other).map_or(&[], std::slice::from_ref),
    }
}
