//! `session.timeout`.

use crate::controls::conf::{self, wanted};
use crate::controls::{Control, Evidence, Meta, Reference, Severity, Verdict};
use crate::facts::Facts;
use crate::profile::policy::Policy;

use super::shells;

/// The control.
pub struct Timeout;
/// `session.timeout`.
pub const TIMEOUT: Timeout = Timeout;

const ID: &str = "session.timeout";
const PATH: &str = "/etc/profile.d/pve-harden-timeout.sh";

static META: Meta = Meta {
    id: ID,
    title: "Idle interactive shells end (TMOUT)",
    why: "A root shell left open in a browser tab or on a console is root for whoever sits down there.",
    checked: "Our file in /etc/profile.d, the line in /etc/bash.bashrc that makes bash read it when it is no login \
              shell (`sudo -s`, `su`), and that no other file there sets TMOUT: it is read-only once set.",
    naive: "`export TMOUT` also ends `read` and `select` in every script started from that shell; a bare line without \
            a check for interactive shells reaches scripts. /etc/profile.d alone misses `sudo -s`, `su` and \
            tmux panes. PVE's consoles (xterm.js, noVNC shell, node shell through a peer) are login shells: an idle \
            one closes, the guests' consoles do not. A command that runs is never ended, nor are scp, sftp, \
            migration or anything else that starts no interactive shell. dash knows no TMOUT.",
    references: &[
        Reference::Cis13("5.4.3.2"),
        Reference::Cis12("5.4.3.2"),
        Reference::Man("bash(1)"),
        Reference::Source("pve-manager PVE/API2/Nodes.pm"),
    ],
    level: 1,
    severity: Severity::Low,
};

impl Control for Timeout {
    fn meta(&self) -> &'static Meta {
        &META
    }

    fn enabled(&self, policy: &Policy) -> bool {
        policy.profile.session.timeout.enabled
    }

    fn reads(&self, _: &Policy) -> Vec<String> {
        let mut paths = shells::reads();
        paths.push(PATH.into());
        paths
    }

    fn evaluate(&self, facts: &Facts, policy: &Policy) -> Verdict {
        if policy.profile.session.timeout.seconds == 0 {
            return Verdict::refused("session.timeout: 0 seconds switch it off; say enabled = false instead");
        }
        judge(facts, policy).unwrap_or_else(Verdict::unknown)
    }
}

fn judge(facts: &Facts, policy: &Policy) -> Result<Verdict, String> {
    let seconds = policy.profile.session.timeout.seconds;
    let script = shells::script(include_str!("timeout.sh")).replace("@SECONDS@", &seconds.to_string());
    let found = match conf::text(facts, PATH)? {
        None => "not there",
        Some(text) if text == script => "as written by this tool",
        Some(_) => "changed",
    };
    let want = wanted(policy, "session.timeout.seconds", format!("TMOUT={seconds}, read-only, not exported"));
    let mut evidence = vec![Evidence::new(PATH, found, want)];
    let others = shells::others(facts)?;
    let setters = shells::lines(&others, sets_tmout);
    for (path, line) in &setters {
        evidence.push(Evidence::new(*path, *line, "TMOUT set in one place"));
    }
    if !setters.is_empty() {
        // Setting a read-only variable twice ends the reading of /etc/profile with an error, at every login.
        let mut places: Vec<&str> = setters.iter().map(|(path, _)| *path).collect();
        places.dedup();
        let advice = format!("take the lines that set TMOUT out of {} and run again", places.join(", "));
        return Ok(Verdict::advise(advice, evidence));
    }
    let mut changes = Vec::new();
    changes.extend(conf::own(facts, ID, PATH, &script, &format!("end shells that are idle for {seconds} s"))?);
    changes.extend(shells::hook(facts, ID)?);
    Ok(Verdict::outcome(changes, shells::unread(facts)?, evidence))
}

/// Whether a line assigns TMOUT, in whatever form.
fn sets_tmout(line: &str) -> bool {
    line.match_indices("TMOUT=").any(|(at, _)| {
        line[..at].chars().next_back().is_none_or(|before| before.is_whitespace() || matches!(before, ';' | '&' | '|'))
    })
}
