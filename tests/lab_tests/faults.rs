//! What goes wrong while a node is changed: each time the node is reachable afterwards, and its files are byte for byte
//! what they were unless the run was confirmed.

mod every_step;
mod half_undone;
mod node;
mod people;
mod rollback;
mod truncated;

use std::io::Read as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::lab::{Lab, Said, eventually};

/// Long enough for a slow machine, short enough to end a hung test.
const PATIENCE: Duration = Duration::from_secs(120);

/// Stands before sync(1): when the journal has as many lines as /run/lab/hold says, the node stands still there.
const HOLDING_SYNC: &str = r#"#!/bin/sh
/usr/bin/sync "$@" || exit
case "$1 $2" in '-d '*/journal) ;; *) exit 0 ;; esac
hold=$(cat /run/lab/hold 2>/dev/null) || exit 0
[ "$(wc -l <"$2")" = "$hold" ] || exit 0
: >/run/lab/held
while [ -e /run/lab/hold ]; do sleep 0.05; done
"#;

/// Stands before systemd-run(1): once a test wants no more than the end, new deadlines are two seconds away.
const HURRYING_SYSTEMD_RUN: &str = r#"#!/bin/sh
if [ -e /run/lab/hurry ]; then
    for word; do
        shift
        case $word in --on-active=*) word=--on-active=2 ;; esac
        set -- "$@" "$word"
    done
fi
exec /usr/bin/systemd-run "$@"
"#;

/// Short deadlines; everything else as shipped.
const PROFILE: &str = "extends = \"baseline\"\n[run]\nstage-window = 30\n";

/// Every kind of step but packages, which are installed once.
const CONTROLS: [&str; 6] = ["--control", "accounts.*", "--control", "password.quality", "--control", "ssh.*"];

/// A node that was hardened and rolled back once, so that packages are there, with the means to hold it still.
struct Node {
    lab: Lab,
    name: &'static str,
    before: String,
}

impl Node {
    fn up(test: &str) -> Option<Self> {
        let lab = Lab::up(test, &["pve1"], &[])?;
        Some(Self::made_ready(lab, "pve1"))
    }

    fn made_ready(lab: Lab, name: &'static str) -> Self {
        let mut node = Self { lab, name, before: String::new() };
        std::fs::write(node.profile(), PROFILE).unwrap();
        for (path, script) in
            [("/usr/local/sbin/sync", HOLDING_SYNC), ("/usr/local/sbin/systemd-run", HURRYING_SYSTEMD_RUN)]
        {
            node.on(&format!("mkdir -p /run/lab; cat >{path} <<'SCRIPT'\n{script}SCRIPT\nchmod 755 {path}"));
        }
        Said::of(&node.apply(&[]).output().unwrap()).exits(0);
        node.harden(&["rollback", name, "--yes"]).exits(0);
        node.wait_until_settled();
        node.before = node.lab.fingerprint(name);
        node
    }

    fn profile(&self) -> std::path::PathBuf {
        self.lab.site.with_file_name("short.toml")
    }

    /// `apply --yes` of the controls above with the shortest window; `more` at its end.
    fn apply(&self, more: &[&str]) -> Command {
        self.apply_with(&CONTROLS, &["--yes", "--commit-window", "10s"], more)
    }

    fn apply_with(&self, controls: &[&str], options: &[&str], more: &[&str]) -> Command {
        let profile = self.profile();
        let mut words = vec!["apply", self.name, "--profile", profile.to_str().unwrap()];
        words.extend(controls.iter().chain(options).chain(more));
        self.lab.command(&words)
    }

    fn harden(&self, arguments: &[&str]) -> Said {
        self.lab.harden(arguments)
    }

    /// As root at the node's console.
    #[track_caller]
    fn on(&self, script: &str) -> String {
        self.lab.on(self.name, script)
    }

    fn console_says_yes(&self, script: &str) -> bool {
        self.lab.exec(self.name, script).status == 0
    }

    /// The folder of the newest run.
    fn newest(&self) -> String {
        self.on("ls -d /var/lib/pve-harden/runs/*/ 2>/dev/null | tail -n 1 | sed 's|/$||'").trim().to_owned()
    }

    fn newest_id(&self) -> String {
        self.newest().rsplit('/').next().unwrap_or_default().to_owned()
    }

    fn journal(&self) -> String {
        self.on(&format!("cat {}/journal", self.newest()))
    }

    /// The one name that holds the newest run's outcome.
    fn outcome(&self) -> String {
        self.on(&format!(
            "cd {} && ls -d new open committed undoing undone refused rolled-back 2>/dev/null; true",
            self.newest()
        ))
        .trim()
        .to_owned()
    }

    /// The node will stand still when the journal has so many lines.
    fn hold_at(&self, line: usize) {
        self.on(&format!("rm -f /run/lab/held /run/lab/hurry; echo {line} >/run/lab/hold"));
    }

    #[track_caller]
    fn wait_until_held(&self, tool: &mut Child) {
        let mut ended = false;
        eventually(PATIENCE, "the node stands still at the line", || {
            ended = tool.try_wait().unwrap().is_some();
            ended || self.console_says_yes("[ -e /run/lab/held ]")
        });
        assert!(!ended, "the tool ended before the line was reached:\n{}", self.journal());
    }

    fn release(&self) {
        self.on("rm -f /run/lab/hold");
    }

    /// New deadlines are near, then the node goes on.
    fn release_in_a_hurry(&self) {
        self.on(": >/run/lab/hurry; rm -f /run/lab/hold");
    }

    /// The newest run is in its commit window.
    #[track_caller]
    fn wait_for_window(&self) {
        eventually(PATIENCE, "a run waits for its confirmation", || {
            self.console_says_yes(
                "cd \"$(ls -d /var/lib/pve-harden/runs/*/ | tail -n 1)\" && [ -e open ] && grep -q ' window ' journal",
            )
        });
    }

    /// No run is undecided, and no unit of ours is left.
    #[track_caller]
    fn wait_until_settled(&self) {
        eventually(PATIENCE, "the run is decided and nothing of it is running", || {
            self.console_says_yes(
                "cd /var/lib/pve-harden/runs 2>/dev/null || exit 0
                ! ls -d */new */open */undoing 2>/dev/null | grep -q . &&
                    [ -z \"$(systemctl list-units --plain --no-legend 'pve-harden*')\" ]",
            )
        });
        self.on("rm -f /run/lab/hold /run/lab/hurry");
    }

    /// Reachable the old way, every file as it was, nothing left behind.
    #[track_caller]
    fn assert_as_before(&self, when: &str) {
        let login = self.lab.root_password_login(self.name);
        assert_eq!(login.status, 0, "{when}: root's password login: {}\n{}", login.stderr, self.journal());
        assert_same(&self.before, &self.lab.fingerprint(self.name), &format!("{when}:\n{}", self.journal()));
        let left = self
            .on("ls -d /var/lib/pve-harden/undo-at-boot.sh /etc/systemd/system/pve-harden* /run/motd.d/pve-harden \
             /var/lib/pve-harden/runs/.*.new 2>/dev/null; flock -n /run/pve-harden.lock true || echo locked");
        assert_eq!(left, "", "{when}: left behind");
    }

    /// Whatever the outcome: decided, reachable, and the next test finds the node as it was.
    #[track_caller]
    fn assert_safe(&self, when: &str) -> String {
        self.wait_until_settled();
        let outcome = self.outcome();
        if outcome == "committed" {
            self.lab.ssh(self.name, &[], "sudo id -u").exits(0);
            self.on("pve-harden-undo");
            self.wait_until_settled();
        } else {
            assert_eq!(outcome, "undone", "{when}:\n{}", self.journal());
        }
        self.assert_as_before(when);
        outcome
    }
}

#[track_caller]
fn assert_same(before: &str, after: &str, when: &str) {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    let (before, after) = (lines(before), lines(after));
    let gone: Vec<_> = before.difference(&after).collect();
    let new: Vec<_> = after.difference(&before).collect();
    assert!(gone.is_empty() && new.is_empty(), "{when}: gone {gone:#?}, new {new:#?}");
}

/// Starts it with both streams kept for [`end`].
fn start(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn send(tool: &Child, signal: Signal) {
    kill_process(Pid::from_child(tool), signal).unwrap();
}

/// Waits for its end, however long its answer.
#[track_caller]
fn end(mut tool: Child) -> Said {
    let streams = (tool.stdout.take().unwrap(), tool.stderr.take().unwrap());
    let (mut out, mut err) = streams;
    let stdout = std::thread::spawn(move || {
        let mut text = Vec::new();
        out.read_to_end(&mut text).map(|_| text)
    });
    let stderr = std::thread::spawn(move || {
        let mut text = Vec::new();
        err.read_to_end(&mut text).map(|_| text)
    });
    let mut status = None;
    eventually(PATIENCE, "the tool ends", || {
        status = tool.try_wait().unwrap();
        status.is_some()
    });
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Said {
        status: status.and_then(|status| status.code()).unwrap_or(-1),
        stdout: text(stdout.join().unwrap().unwrap()),
        stderr: text(stderr.join().unwrap().unwrap()),
    }
}
