//! ssh's prose, once, turned into an [`Error`].

use super::error::Error;
use super::sanitize;

/// Characters of [`spoken`].
const SPOKEN: usize = 2000;

/// Who was called, for messages.
#[derive(Clone, Debug)]
pub(super) struct Callee<'a> {
    pub user: &'a str,
    pub host: &'a str,
}

/// Judges what ssh wrote to standard error before it gave up (OpenSSH 9.2 to 10; its messages are not localised).
pub(super) fn diagnose(stderr: &str, callee: &Callee<'_>) -> Error {
    let lines: Vec<&str> = stderr.lines().map(str::trim_end).filter(|line| !line.starts_with("debug1: ")).collect();
    let has = |phrase: &str| lines.iter().any(|line| line.contains(phrase));
    let host = callee.host.to_owned();
    // Whatever a banner says, it comes before ssh's own last word.
    match lines.iter().rev().find_map(|line| verdict(line)) {
        Some(Verdict::HostKey) if has("HOST IDENTIFICATION HAS CHANGED") || has("REVOKED HOST KEY") => {
            return changed(&lines, callee);
        }
        Some(Verdict::HostKey) => return Error::HostKeyUnknown { host, offered: None },
        Some(Verdict::Denied(line)) => {
            // "user@host: Permission denied (…)" may speak of a machine on the way.
            let account = line.split_once(": ").and_then(|(account, _)| account.rsplit_once('@'));
            let (user, host) = account.unwrap_or((callee.user, callee.host));
            let safe = |value: &str| sanitize::line(value).into_owned();
            return Error::Auth { user: safe(user), host: safe(host), detail: refused(line), wrong_password: false };
        }
        Some(Verdict::TooMany) => {
            let detail = "too many keys were offered before the right one; name it with --identity".into();
            return Error::Auth { user: callee.user.into(), host, detail, wrong_password: false };
        }
        None => {}
    }
    if closed_after_key(stderr) {
        let detail = "the key was accepted, and then the node closed the connection: its account is expired or locked, \
                      or the node's PAM rules keep it out";
        return Error::Auth { user: callee.user.into(), host, detail: detail.into(), wrong_password: false };
    }
    let detail = sanitize::tail(telling(&lines).as_bytes(), 400);
    // Behind a jump host the node's refusal arrives as a closed channel.
    let hop = has("stdio forwarding failed") || has("open failed");
    let closed = ["Connection closed by", "Connection reset by", "Not allowed at this time", "Exceeded MaxStartups"];
    if !hop && closed.iter().any(|phrase| has(phrase)) {
        return Error::Throttled { host, detail };
    }
    Error::Unreachable { host, detail }
}

/// What ssh and the node said on standard error, without the chatter of `ssh -v`; at most [`SPOKEN`] characters.
pub(super) fn spoken(stderr: &str) -> String {
    let chatter = ["debug1: ", "OpenSSH_", "Authenticated to ", "Transferred: sent ", "Bytes per second: sent "];
    // The launcher's first question; a refusal is told by its frame.
    let asks = |line: &str| line == "sudo: a password is required";
    let kept = stderr.lines().filter(|line| !asks(line) && !chatter.iter().any(|start| line.starts_with(start)));
    sanitize::tail(kept.collect::<Vec<_>>().join("\n").as_bytes(), SPOKEN)
}

/// Whether the last key that a server took led to no login (`ssh -v`). A jump host's login comes before the node's.
fn closed_after_key(stderr: &str) -> bool {
    let last = stderr.lines().rev().find_map(|line| {
        let said = line.strip_prefix("debug1: ").unwrap_or(line);
        if said.starts_with("Server accepts key: ") {
            Some(true)
        } else {
            said.starts_with("Authenticated to ").then_some(false)
        }
    });
    last == Some(true)
        && stderr.lines().any(|line| line.contains("Connection closed by") || line.contains("Connection reset by"))
}

/// Lines with which ssh ends.
enum Verdict<'a> {
    HostKey,
    Denied(&'a str),
    TooMany,
}

fn verdict(line: &str) -> Option<Verdict<'_>> {
    if line.starts_with("Host key verification failed") || line.contains("authenticity of host") {
        Some(Verdict::HostKey)
    } else if line.contains("Permission denied (") {
        Some(Verdict::Denied(line))
    } else {
        line.contains("Too many authentication failures").then_some(Verdict::TooMany)
    }
}

fn refused(line: &str) -> String {
    let methods = line.rsplit_once('(').map_or("", |(_, rest)| rest.trim_end_matches([')', '.']));
    format!("no login was accepted; {} would be possible", sanitize::line(&methods.replace(',', ", ")))
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
    // The greeting of `ssh -v`, warnings, and advice that is no cause.
    let noise = ["Warning: Permanently added", "OpenSSH_", "Connection closed by UNKNOWN port", "** "];
    let kept: Vec<&str> = lines
        .iter()
        .filter(|line| !line.is_empty() && !noise.iter().any(|start| line.starts_with(start)))
        .map(|line| line.strip_prefix("ssh: ").unwrap_or(line))
        .collect();
    let last = &kept[kept.len().saturating_sub(2)..];
    if last.is_empty() { "ssh gave up without a word".into() } else { last.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(stderr: &str) -> Error {
        diagnose(stderr, &Callee { user: "ops", host: "pve1" })
    }

    fn auth(detail: &str) -> Error {
        Error::Auth { user: "ops".into(), host: "pve1".into(), detail: detail.into(), wrong_password: false }
    }

    fn unreachable(detail: &str) -> Error {
        Error::Unreachable { host: "pve1".into(), detail: detail.into() }
    }

    fn throttled(detail: &str) -> Error {
        Error::Throttled { host: "pve1".into(), detail: detail.into() }
    }

    #[test]
    fn the_chatter_of_a_verbose_ssh_is_not_spoken() {
        let stderr = "OpenSSH_10.0p2 Debian-7, OpenSSL 3.5.1 1 Jul 2025\ndebug1: Reading configuration data /x\r\n\
                      Authenticated to pve1 ([10.0.0.1]:22) using \"publickey\".\r\nsh: 1: dash: not found\n\
                      Transferred: sent 2600, received 2900 bytes, in 0.1 seconds\nBytes per second: sent 1, received 2\n";
        assert_eq!(spoken(stderr), "sh: 1: dash: not found");
        assert_eq!(spoken(""), "");
    }

    #[test]
    fn messages_of_openssh_become_errors() {
        let cases: &[(&str, Error)] = &[
            (
                "ops@pve1: Permission denied (publickey,password).\r\n",
                auth("no login was accepted; publickey, password would be possible"),
            ),
            (
                "Load key \"/k\": error in libcrypto\r\nops@pve1: Permission denied (publickey).",
                auth("no login was accepted; publickey would be possible"),
            ),
            (
                "jumper@bastion: Permission denied (publickey).\r\n\
                 kex_exchange_identification: Connection closed by remote host\r\n",
                Error::Auth {
                    user: "jumper".into(),
                    host: "bastion".into(),
                    detail: "no login was accepted; publickey would be possible".into(),
                    wrong_password: false,
                },
            ),
            (
                "kex_exchange_identification: banner line contains invalid characters\r\n\
                 banner exchange: Connection to 10.0.0.1 port 80: invalid format\r\n",
                unreachable(
                    "kex_exchange_identification: banner line contains invalid characters; \
                     banner exchange: Connection to 10.0.0.1 port 80: invalid format",
                ),
            ),
            (
                "Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures\r\nDisconnected from 10.0.0.1 port 22\r\n",
                auth("too many keys were offered before the right one; name it with --identity"),
            ),
            (
                "ssh: connect to host 10.0.0.1 port 22: Connection refused\r\n",
                unreachable("connect to host 10.0.0.1 port 22: Connection refused"),
            ),
            (
                "ssh: connect to host 10.0.0.1 port 22: No route to host\r\n",
                unreachable("connect to host 10.0.0.1 port 22: No route to host"),
            ),
            (
                "ssh: connect to host 10.0.0.1 port 22: Connection timed out\r\n",
                unreachable("connect to host 10.0.0.1 port 22: Connection timed out"),
            ),
            (
                "ssh: connect to host fd00::1 port 22: Network is unreachable",
                unreachable("connect to host fd00::1 port 22: Network is unreachable"),
            ),
            (
                "ssh: Could not resolve hostname pve1: Name or service not known\r\n",
                unreachable("Could not resolve hostname pve1: Name or service not known"),
            ),
            (
                "Connection timed out during banner exchange\r\nConnection to 10.0.0.1 port 22 timed out\r\n",
                unreachable("Connection timed out during banner exchange; Connection to 10.0.0.1 port 22 timed out"),
            ),
            (
                "channel 0: open failed: connect failed: Connection refused\r\nstdio forwarding failed\r\n\
                 kex_exchange_identification: Connection closed by remote host\r\nConnection closed by UNKNOWN port 65535\r\n",
                unreachable("stdio forwarding failed; kex_exchange_identification: Connection closed by remote host"),
            ),
            (
                "Unable to negotiate with 10.0.0.1 port 22: no matching host key type found. Their offer: ssh-rsa,ssh-dss\r\n",
                unreachable(
                    "Unable to negotiate with 10.0.0.1 port 22: no matching host key type found. Their offer: ssh-rsa,ssh-dss",
                ),
            ),
            (
                "kex_exchange_identification: read: Connection reset by peer\r\nConnection reset by 10.0.0.1 port 22\r\n",
                throttled(
                    "kex_exchange_identification: read: Connection reset by peer; Connection reset by 10.0.0.1 port 22",
                ),
            ),
            (
                "kex_exchange_identification: Connection closed by remote host\r\nConnection closed by 10.0.0.1 port 22\r\n",
                throttled(
                    "kex_exchange_identification: Connection closed by remote host; Connection closed by 10.0.0.1 port 22",
                ),
            ),
            (
                "debug1: kex_exchange_identification: banner line 0: Not allowed at this time\r\n\
                 kex_exchange_identification: Connection closed by remote host\r\n",
                throttled("kex_exchange_identification: Connection closed by remote host"),
            ),
            ("Connection closed by 10.0.0.1 port 22\r\n", throttled("Connection closed by 10.0.0.1 port 22")),
            (
                "No ED25519 host key is known for pve1 and you have requested strict checking.\r\nHost key verification failed.\r\n",
                Error::HostKeyUnknown { host: "pve1".into(), offered: None },
            ),
            ("", unreachable("ssh gave up without a word")),
        ];
        for (stderr, expected) in cases {
            assert_eq!(judge(stderr), *expected, "{stderr}");
        }
    }

    #[test]
    fn a_changed_key_names_the_command_that_forgets_it() {
        let stderr = "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r\n\
            @    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n\
            @@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r\n\
            IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\r\n\
            Someone could be eavesdropping on you right now (man-in-the-middle attack)!\r\n\
            It is also possible that a host key has just been changed.\r\n\
            The fingerprint for the ED25519 key sent by the remote host is\nSHA256:abc/def.\r\n\
            Please contact your system administrator.\r\n\
            Add correct host key in /home/o p/.ssh/known_hosts to get rid of this message.\r\n\
            Offending RSA key in /home/o p/.ssh/known_hosts:12\r\n\
            Host key for [10.0.0.1]:2222 has changed and you have requested strict checking.\r\n\
            Host key verification failed.\r\n";
        let expected = Error::HostKeyChanged {
            host: "[10.0.0.1]:2222".into(),
            expected: "known one".into(),
            offered: "ED25519 SHA256:abc/def".into(),
            forget: Some("ssh-keygen -f '/home/o p/.ssh/known_hosts' -R '[10.0.0.1]:2222'".into()),
        };
        assert_eq!(judge(stderr), expected);
    }

    #[test]
    fn an_account_that_pam_keeps_out_is_refused_and_not_throttled() {
        let closed =
            "debug1: Server accepts key: /k ED25519 SHA256:abc explicit\r\nConnection closed by 10.0.0.1 port 22\r\n";
        assert!(matches!(judge(closed), Error::Auth { wrong_password: false, .. }));
        let jumped = "debug1: Server accepts key: /k ED25519 SHA256:abc\r\nAuthenticated to jump ([10.0.0.2]:22) using \"publickey\".\r\n\
            kex_exchange_identification: Connection closed by remote host\r\nConnection closed by UNKNOWN port 65535\r\n";
        assert!(matches!(judge(jumped), Error::Throttled { .. }));
    }

    #[test]
    fn a_banner_cannot_speak_for_ssh() {
        let banner = "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\nOffending ED25519 key in /k:3\n\
            Host key verification failed.\nroot@elsewhere: Permission denied (forged).\n";
        let refused = judge(&format!("{banner}ops@pve1: Permission denied (publickey).\r\n"));
        assert_eq!(refused, auth("no login was accepted; publickey would be possible"));
    }

    proptest::proptest! {
        #[test]
        fn any_prose_is_judged_and_made_safe(stderr in "(?s).{0,300}") {
            proptest::prop_assert!(!judge(&stderr).to_string().contains('\x1b'));
        }
    }
}
