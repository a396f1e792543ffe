use super::lint;

/// A line below a table → what the message must say; empty: nothing.
const CASES: &[(&str, &str, &str)] = &[
    ("lockout.pam", "unlock-time = 0", "0 means never"),
    ("lockout.pam", "deny = 1", "first slip of a finger"),
    ("lockout.pam", "even-deny-root = true", "warning: anybody who reaches port 8006"),
    ("lockout.pam", "unlock-time = 900", ""),
    ("ssh.limits", "max-sessions = 9", "warning: 9 sessions are few"),
    ("ssh.limits", "max-sessions = 0", "0 forbids every shell"),
    ("ssh.limits", "login-grace-time = 0", "0 means no limit"),
    ("ssh.limits", "max-startups = \"10:30\"", "start:rate:full"),
    ("ssh.limits", "max-startups = \"10:130:60\"", "start:rate:full"),
    ("ssh.limits", "max-startups = \"4:30:60\"", "warning: parallel migrations"),
    ("ssh.limits", "log-level = \"QUIET\"", "would not be logged"),
    ("ssh.limits", "log-level = \"VERBOS\"", "did you mean \"VERBOSE\"?"),
    ("ssh.limits", "log-level = \"INFO\"", ""),
    ("ssh.crypto", "ciphers = [\"chacha20-poly1305@openssh.com\"]", "no AES cipher is left"),
    ("ssh.crypto", "ciphers = [\"aes256-cbc\", \"aes256-ctr\"]", "too weak"),
    ("ssh.crypto", "ciphers = []", "nobody could connect"),
    ("ssh.crypto", "ciphers = [\"aes256-ctr\", \"aes256-ctr\"]", "named twice"),
    ("ssh.crypto", "ciphers = [\"aes256-ctr,aes128-ctr\"]", "not the name of a cipher"),
    ("ssh.crypto", "ciphers = [\"^aes256-ctr\"]", "signs + - ^"),
    ("ssh.crypto", "ciphers = [\"aes256-ctr\\nPermitRootLogin yes\"]", "not the name of a cipher"),
    ("ssh.crypto", "kex = [\"mlkem768x25519-sha256\"]", "warning: OpenSSH 9.2 (PVE 8) knows no"),
    ("ssh.crypto", "macs = [\"hmac-sha2-513\"]", "did you mean \"hmac-sha2-512\"?"),
    ("ssh.crypto", "host-key-algorithms = [\"ssh-ed25519\"]", "RSA host keys only"),
    ("ssh.crypto", "pubkey-accepted-algorithms = [\"ssh-ed25519\"]", "root's RSA key"),
    ("ssh.crypto", "pubkey-accepted-algorithms = []", ""),
    ("ssh.crypto", "required-rsa-size = 8192", "4096-bit"),
    ("ssh.root-login", "permit = \"yes\"", "expected `no` or `prohibit-password`"),
    ("ssh.root-login", "permit = \"prohibit-pasword\"", "did you mean `prohibit-password`?"),
    ("ssh.root-login", "allow-key-from = [\"192.0.2.1\"]", "192.0.2.1/32"),
    ("ssh.root-login", "allow-key-from = [\"192.0.2.0/24\"]", ""),
    ("session.umask", "umask = \"0777\"", "could not use their own files"),
    ("session.umask", "umask = \"028\"", "three octal digits"),
    ("session.umask", "umask = 27", "expected a string"),
    ("session.umask", "umask = \"000\"", "warning: new files would be writable"),
    ("session.umask", "umask = \"077\"", ""),
    ("session.notice", "text = \" \\n\"", "says nothing"),
    ("session.notice", "text = 'Node \\n, \\m'", "a backslash"),
    ("session.notice", "text = \"\\u001b[2J\"", "formatting characters"),
    ("session.notice", "text = \"a\\u202Eb\"", "formatting characters"),
    ("session.notice", "text = \"Für Befugte.\\nSonst niemand.\"", ""),
    ("session.timeout", "seconds = 0", "enabled = false"),
    ("accounts.admin", "group = \"shadow\"", "would become administrators"),
    ("accounts.admin", "group = \"Admins\"", "lower-case"),
    ("accounts.admin", "shell = \"bash\"", "absolute path"),
    ("accounts.admin", "shell = \"/usr/sbin/nologin\"", "could not log in"),
    ("password.aging", "max-days = 0", "0 expires a password"),
    ("password.hash", "method = \"md5\"", "`yescrypt` or `sha512`"),
    ("password.quality", "min-length = -1", "cannot go below 6"),
    ("password.quality", "min-length = 14.5", "a number with a fraction"),
    ("password.quality", "min-length = 99999999999999999999", "out of range"),
    ("run", "commit-window = 1", "a new login needs some seconds"),
];

#[test]
fn values_that_lock_out_break_or_do_nothing_are_named() {
    for (table, line, expected) in CASES {
        let found = lint(&format!("[{table}]\n{line}\n"));
        if expected.is_empty() {
            assert_eq!(found, "", "[{table}] {line}");
        } else {
            assert!(found.contains(expected) && found.contains("my.toml:2:"), "[{table}] {line}: {found}");
        }
    }
}

#[test]
fn values_are_compared_with_each_other() {
    let found = lint("extends = \"baseline\"\n[password.aging]\nmax-days = 5\n");
    assert!(found.contains("warn-days 7 is not below max-days 5"), "{found}");
}

/// Slips in keys → the right key.
const SLIPS: &[(&str, &str, &str)] = &[
    ("ssh.limits", "max_auth_tries = 4", "did you mean `max-auth-tries`?"),
    ("ssh.limits", "MaxAuthTries = 4", "did you mean `max-auth-tries`?"),
    ("ssh.limits", "max-auth-trys = 4", "did you mean `max-auth-tries`?"),
    ("ssh.limits", "permit = \"no\"", "did you mean `permit` in [ssh.root-login]?"),
    ("password.quality", "minlen = 14", "did you mean `min-length`?"),
    ("password.aging", "PASS_MAX_DAYS = 365", "did you mean `max-days`?"),
    ("session.timeout", "TMOUT = 900", "did you mean `seconds`?"),
    ("lockout.pam", "something = 1", "expected `deny`, `enabled`"),
    ("ssh.root-logn", "permit = \"no\"", "did you mean `root-login`?"),
];

#[test]
fn slips_in_keys_are_understood() {
    for (table, line, expected) in SLIPS {
        let found = lint(&format!("[{table}]\n{line}\n"));
        assert!(found.contains(expected), "[{table}] {line}: {found}");
    }
}
