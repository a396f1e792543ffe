//! `ssh.limits`.

use crate::controls::{Meta, Reference, Severity, Status};
use crate::facts::SshdCase;
use crate::profile::policy::{Policy, SshLimits};

use super::node::{Node, address_list};
use super::section::{Block, Section};
use super::want::{Accept, Want, startups};
use super::{Ssh, SshControl};

/// The control.
pub const LIMITS: Ssh = Ssh(&Limits);

struct Limits;

const META: Meta = Meta {
    id: "ssh.limits",
    title: "sshd bounds tries, waiting logins, sessions and silent connections, and logs key fingerprints",
    why: "Bots that hold half-open logins keep administrators out, a connection left behind is a door left open, and \
          `LogLevel VERBOSE` writes down which key opened a session.",
    checked: "`sshd -T -C` in every case; a stricter value of the node's own files is kept. `LoginGraceTime 0`, \
              `ClientAliveInterval 0` and `ClientAliveCountMax 0` mean \"never\" and do not pass as small numbers. \
              `tcp-keep-alive` and `compression` are looked at only where the profile says false.",
    naive: "A `MaxSessions` below 10 breaks tools that share one connection; cluster peers keep sshd's default of 10. \
            A small `MaxStartups` drops migrations and replications that start together at random, it cannot \
            be set per address, and of all lines that set it sshd takes the last. `TCPKeepAlive no` without `ClientAliveInterval` \
            keeps dead connections for ever; this tool always sets both. Settings pasted after a `Match` at the end of sshd_config are inside it.",
    references: &[
        Reference::Cis13("5.1.7"),
        Reference::Cis13("5.1.14"),
        Reference::Cis13("5.1.15"),
        Reference::Cis13("5.1.17"),
        Reference::Cis13("5.1.18"),
        Reference::Cis13("5.1.19"),
        Reference::Cis12("5.1.7"),
        Reference::Cis12("5.1.13"),
        Reference::Cis12("5.1.14"),
        Reference::Cis12("5.1.16"),
        Reference::Cis12("5.1.17"),
        Reference::Cis12("5.1.18"),
        Reference::Man("sshd_config(5)"),
        Reference::Source("openssh servconf.c sMaxStartups"),
    ],
    level: 1,
    severity: Severity::Medium,
};

/// sshd's default, which peers keep.
const DEFAULT_MAX_SESSIONS: u32 = 10;
/// sshd's default start of `MaxStartups`, which a cluster needs.
const DEFAULT_STARTUPS: u32 = 10;

const LOG_LEVELS: [&str; 2] = ["INFO", "VERBOSE"];

const MAX_SESSIONS: &str = "ssh.limits.max-sessions";

impl SshControl for Limits {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.ssh.limits.enabled
    }

    fn wants(&self, node: &Node, case: &SshdCase) -> Vec<Want> {
        let limits = &node.policy.profile.ssh.limits;
        let sessions =
            if case.user == "root" && node.is_peer(case.address) && limits.max_sessions < DEFAULT_MAX_SESSIONS {
                Want::exactly("maxsessions", DEFAULT_MAX_SESSIONS.to_string(), MAX_SESSIONS)
            } else {
                Want::accepting(Accept::AtMost, "maxsessions", limits.max_sessions.to_string(), MAX_SESSIONS)
            };
        let nonzero =
            |keyword, value: u32, key| Want::accepting(Accept::AtMostNonzero, keyword, value.to_string(), key);
        let mut wants = vec![
            nonzero("maxauthtries", limits.max_auth_tries, "ssh.limits.max-auth-tries"),
            nonzero("logingracetime", limits.login_grace_time, "ssh.limits.login-grace-time"),
            sessions,
            Want::accepting(
                Accept::Startups,
                "maxstartups",
                printed_startups(&limits.max_startups),
                "ssh.limits.max-startups",
            ),
            nonzero("clientaliveinterval", limits.client_alive_interval, "ssh.limits.client-alive-interval"),
            nonzero("clientalivecountmax", limits.client_alive_count_max, "ssh.limits.client-alive-count-max"),
            Want::accepting(Accept::LogLevel, "loglevel", limits.log_level.to_uppercase(), "ssh.limits.log-level"),
        ];
        wants.extend(off(limits).map(|(_, printed, key)| Want::exactly(printed, "no", key)));
        wants
    }

    fn section(&self, node: &Node) -> Section {
        let limits = &node.policy.profile.ssh.limits;
        let everybody = vec![
            ("MaxAuthTries", limits.max_auth_tries.to_string()),
            ("MaxSessions", limits.max_sessions.to_string()),
            ("ClientAliveInterval", limits.client_alive_interval.to_string()),
            ("ClientAliveCountMax", limits.client_alive_count_max.to_string()),
            ("LogLevel", limits.log_level.to_uppercase()),
        ];
        let mut globals = everybody.clone();
        globals.insert(1, ("LoginGraceTime", limits.login_grace_time.to_string()));
        globals.insert(3, ("MaxStartups", printed_startups(&limits.max_startups)));
        globals.extend(off(limits).map(|(keyword, ..)| (keyword, "no".into())));
        let mut exceptions = Vec::new();
        if node.clustered() && limits.max_sessions < DEFAULT_MAX_SESSIONS {
            exceptions.push(Block {
                note: "cluster peers",
                criteria: format!("User root Address {}", address_list(&node.peers)),
                lines: vec![("MaxSessions", DEFAULT_MAX_SESSIONS.to_string())],
            });
        }
        Section { globals, exceptions, everybody }
    }

    fn obstacle(&self, node: &Node) -> Option<Status> {
        let limits = &node.policy.profile.ssh.limits;
        let zero = [
            ("max-auth-tries", limits.max_auth_tries),
            ("max-sessions", limits.max_sessions),
            ("login-grace-time", limits.login_grace_time),
            ("client-alive-interval", limits.client_alive_interval),
            ("client-alive-count-max", limits.client_alive_count_max),
        ]
        .into_iter()
        .find(|(_, value)| *value == 0);
        let why = if let Some((key, _)) = zero {
            format!("`{key} = 0` switches the limit off or every login; set it to 1 or more")
        } else if !LOG_LEVELS.contains(&limits.log_level.to_uppercase().as_str()) {
            "`log-level` must be INFO or VERBOSE: less hides logins, more writes private data into the log".into()
        } else {
            match startups(&limits.max_startups) {
                None => "`max-startups` must be start:rate:full, e.g. \"10:30:60\"".into(),
                Some((start, ..)) if node.clustered() && start < DEFAULT_STARTUPS => format!(
                    "`max-startups` begins to drop connections at {start}: in a cluster, migrations and replications \
                     that start together would fail at random; begin at {DEFAULT_STARTUPS} or more"
                ),
                Some(_) => return None,
            }
        };
        Some(Status::Refused { why })
    }
}

/// What the policy switches off for everybody (sshd has it per connection, not per login): keyword in the file, as
/// printed, profile key.
fn off(limits: &SshLimits) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let switches = [
        (limits.tcp_keep_alive, ("TCPKeepAlive", "tcpkeepalive", "ssh.limits.tcp-keep-alive")),
        (limits.compression, ("Compression", "compression", "ssh.limits.compression")),
    ];
    switches.into_iter().filter(|(on, _)| !on).map(|(_, names)| names)
}

/// As `sshd -T` prints it, which is also a way to write it.
fn printed_startups(text: &str) -> String {
    startups(text).map_or_else(|| text.into(), |(start, rate, full)| format!("{start}:{rate}:{full}"))
}
