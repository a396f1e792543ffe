//! Numbers a profile may hold: key, least, most, and why. The same table bounds the JSON Schema.

/// One bounded key.
pub struct Limit {
    /// Dotted key.
    pub key: &'static str,
    /// Least value.
    pub min: i64,
    /// Greatest value.
    pub max: i64,
    /// What happens outside.
    pub why: &'static str,
}

const fn limit(key: &'static str, min: i64, max: i64, why: &'static str) -> Limit {
    Limit { key, min, max, why }
}

/// Why a key is bounded.
pub fn why(key: &str) -> Option<&'static str> {
    LIMITS.iter().find(|limit| limit.key == key).map(|limit| limit.why)
}

/// Every bounded number.
pub const LIMITS: &[Limit] = &[
    limit("access.tokens.default-days", 1, 3650, "a token without an end is never replaced"),
    limit("access.tokens.max-days", 1, 3650, "a token without an end is never replaced"),
    limit("run.commit-window", 30, 3600, "a new login needs some seconds, and a node must not wait for hours"),
    limit("run.stage-window", 30, 3600, "a stage needs some seconds, and a stuck one must end"),
    limit("accounts.admin.sudo-timeout", 0, 3600, "0 asks every time; more than an hour is no question any more"),
    limit("accounts.root-password.max-age-days", 1, 3650, "an age of 0 days is always a finding"),
    limit("ssh.limits.max-auth-tries", 2, 10, "every key an agent offers counts as a try"),
    limit("ssh.limits.login-grace-time", 10, 600, "0 means no limit at all in sshd_config(5)"),
    limit("ssh.limits.max-sessions", 2, 1000, "0 forbids every shell, 1 forbids multiplexing"),
    limit("ssh.limits.client-alive-interval", 0, 3600, "0 never asks; seconds"),
    limit("ssh.limits.client-alive-count-max", 1, 100, "0 means never disconnect in sshd_config(5)"),
    limit("ssh.crypto.required-rsa-size", 0, 4096, "PVE makes 4096-bit RSA keys at most; 0 keeps sshd's default"),
    limit("ssh.keys.max-age-days", 0, 3650, "0 never counts a key as old"),
    limit("password.quality.min-length", 6, 128, "pwquality cannot go below 6"),
    limit("password.quality.min-class", 0, 4, "there are four classes of characters"),
    limit("password.quality.difference", 0, 64, "characters that must be new"),
    limit("password.quality.max-repeat", 0, 64, "0 switches the check off"),
    limit("password.quality.max-sequence", 0, 64, "0 switches the check off"),
    limit("password.history.remember", 1, 400, "pam_pwhistory(8) keeps at most 400"),
    limit("password.aging.max-days", 1, 99_999, "0 expires a password on the day it is set"),
    limit("password.aging.min-days", 0, 365, "a leaked password must be changeable"),
    limit("password.aging.warn-days", 0, 365, "days before expiry"),
    limit("password.aging.inactive-days", 1, 3650, "0 disables an account on the day its password expires"),
    limit("audit.rules.max-log-mib", 8, 65_536, "auditd needs some files of some MiB"),
    limit("bruteforce.fail2ban.max-retry", 2, 100, "1 bans at the first slip of a finger"),
    limit("bruteforce.fail2ban.find-time", 60, 86_400, "seconds in which the failures must lie"),
    limit("bruteforce.fail2ban.ban-time", 60, 604_800, "seconds; a ban without an end fills the firewall"),
    limit("logs.journal.max-use-mib", 64, 1_048_576, "journald needs some tens of MiB"),
    limit("logs.retention.min-days", 1, 3650, "days"),
    limit("logs.retention.max-days", 0, 3650, "days; 0 leaves the end to the journal's size"),
    limit("logs.forward.queue-mib", 16, 65_536, "a queue without a bound fills the disk"),
    limit("lockout.pam.deny", 2, 100, "0 never locks, 1 locks at the first slip of a finger"),
    limit("lockout.pam.fail-interval", 60, 604_800, "seconds in which the failures must lie"),
    limit(
        "lockout.pam.unlock-time",
        60,
        604_800,
        "0 means never: whoever types wrong passwords shuts people out for good",
    ),
    limit("lockout.pam.root-unlock-time", 1, 604_800, "0 means never: root would be shut out for good"),
    limit("session.timeout.seconds", 60, 86_400, "0 switches TMOUT off, which `enabled = false` says more clearly"),
    limit("firewall.node.synflood-rate", 10, 100_000, "fewer new connections per second stop a busy web interface"),
    limit("firewall.node.synflood-burst", 10, 1_000_000, "a burst smaller than the rate makes the rate unreachable"),
    limit("alerts.events.failed-logins", 1, 1000, "0 would tell of logins that did not fail"),
    limit("alerts.events.window-minutes", 1, 1440, "minutes in which the failures must lie"),
    limit("alerts.events.token-days", 1, 365, "0 tells when a token has ended already"),
    limit("alerts.events.rotate-days", 0, 3650, "0 never tells"),
    limit("alerts.events.certificate-days", 1, 365, "0 tells when browsers warn already"),
    limit("alerts.events.most-per-hour", 2, 60, "strangers can cause half of them; more than one a minute is a flood"),
];
