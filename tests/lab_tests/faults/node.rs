//! What goes wrong on the node itself.

use super::{Node, end, start};
use crate::support::lab::Said;

/// Seconds between two journal lines, the first of each kind.
fn seconds_between(journal: &str, from: &str, to: &str) -> i64 {
    let time = |word: &str| {
        let line = journal
            .lines()
            .find(|line| line.split(' ').nth(1) == Some(word))
            .unwrap_or_else(|| panic!("no {word}:\n{journal}"));
        line.split(' ').next().unwrap().parse::<i64>().unwrap()
    };
    time(to) - time(from)
}

const MANUAL: [&str; 2] = ["--confirm", "manual"];

#[test]
fn a_window_nobody_confirms_ends_on_time() {
    let Some(node) = Node::up("faults-window") else { return };
    let said = end(start(node.apply(&MANUAL))).exits(5);
    assert!(said.stderr.contains("pve1 was rolled back"), "{}", said.stderr);
    assert!(said.stderr.contains("confirmed the run in time"), "{}", said.stderr);
    assert_eq!(node.assert_safe("window passed"), "undone");
    let journal = node.journal();
    assert!(journal.contains(" undoing guard"), "{journal}");
    // The timer is armed a moment before the line is written.
    let waited = seconds_between(&journal, "window", "undoing");
    assert!((9..=13).contains(&waited), "{waited} s\n{journal}");
}

#[test]
fn a_killed_run_or_undo_is_taken_over() {
    let Some(node) = Node::up("faults-units") else { return };
    let long = ["--confirm", "manual", "--commit-window", "10m"];
    let apply = || start(node.apply_with(&super::CONTROLS, &["--yes"], &long));

    // The unit that applies, while it waits: the guard does not wait for its time.
    let tool = apply();
    node.wait_for_window();
    node.on("systemctl kill --kill-whom=main -s KILL 'pve-harden-apply-*'");
    end(tool).exits(5);
    assert_eq!(node.assert_safe("the run's unit was killed"), "undone");
    assert!(seconds_between(&node.journal(), "window", "undoing") < 60, "{}", node.journal());
    let undo_lines: Vec<String> =
        node.journal().lines().skip_while(|line| !line.contains(" undoing ")).map(str::to_owned).collect();
    let forward = node.journal().lines().count() - undo_lines.len();

    // The undo itself, at some of its lines, whoever began it.
    for (place, mode) in
        [(1, "operator"), (undo_lines.len() / 2, "operator"), (undo_lines.len() - 1, "guard"), (2, "guard")]
    {
        let when = format!("undo by {mode} killed at its line {place}");
        node.hold_at(forward + place);
        let mut tool = apply();
        node.wait_for_window();
        match mode {
            "operator" => super::send(&tool, rustix::process::Signal::INT),
            _ => drop(node.on("systemctl start --no-block \"$(systemctl list-units --plain --no-legend 'pve-harden-guard-*.timer' | cut -d' ' -f1 | sed s/timer/service/)\"")),
        }
        node.wait_until_held(&mut tool);
        node.on("systemctl kill -s KILL 'pve-harden-undo-*' 'pve-harden-guard-*.service' 2>/dev/null; true");
        node.release();
        end(tool).exits(5);
        assert_eq!(node.assert_safe(&when), "undone", "{when}");
    }
}

#[test]
fn sshd_that_does_not_come_back_is_put_back() {
    let Some(mut node) = Node::up("faults-sshd") else { return };
    // A daemon that passes every check of its files and dies of the new ones when it starts.
    node.on("mv /usr/sbin/sshd /usr/sbin/sshd.real; cat >/usr/sbin/sshd <<'SCRIPT'
#!/bin/bash
if [ \"$1\" = -D ] && ls /etc/ssh/sshd_config.d/*pve-harden* >/dev/null 2>&1; then
    echo 'fatal: the lab does not want this' | systemd-cat -t sshd
    exit 255
fi
exec -a /usr/sbin/sshd /usr/sbin/sshd.real \"$@\"
SCRIPT
chmod 755 /usr/sbin/sshd; systemctl restart ssh");
    node.before = node.lab.fingerprint(node.name);
    let said = end(start(node.apply(&[]))).exits(5);
    assert!(said.stderr.contains("ssh.service did not come back"), "{}", said.stderr);
    assert!(said.stderr.contains("the lab does not want this"), "{}", said.stderr);
    assert_eq!(node.assert_safe("sshd died of its reload"), "undone");
    assert!(node.journal().contains(" undoing failure"), "{}", node.journal());
}

#[test]
fn a_reload_that_would_shut_the_door_is_refused() {
    let Some(mut node) = Node::up("faults-listen") else { return };
    for (setting, word) in [("ListenAddress 198.51.100.7", "198.51.100.7"), ("Port 2222", "port 22 ")] {
        node.on(&format!("echo '{setting}' >/etc/ssh/sshd_config.d/50-somebody.conf"));
        node.before = node.lab.fingerprint(node.name);
        let said = end(start(node.apply(&[]))).exits(4);
        assert!(said.stderr.contains("nothing was changed on pve1") && said.stderr.contains(word), "{}", said.stderr);
        node.wait_until_settled();
        node.assert_as_before(setting);
    }
}

#[test]
fn a_reboot_inside_the_window_undoes_before_sshd_starts() {
    let Some(node) = Node::up("faults-reboot") else { return };
    for cut in [&[][..], &["--power-cut"]] {
        let tool =
            start(node.apply_with(&super::CONTROLS, &["--yes"], &["--confirm", "manual", "--commit-window", "4m"]));
        node.wait_for_window();
        node.lab.lab(["reboot", node.name].iter().chain(cut)).exits(0);
        let said = end(tool).exits(5);
        assert!(said.stderr.contains("restarted"), "{}", said.stderr);
        node.on("mkdir -p /run/lab");
        assert_eq!(node.assert_safe(&format!("rebooted {cut:?}")), "undone");
        let journal = node.journal();
        assert!(journal.contains(" undoing boot-local"), "{journal}");
        let undone = journal.lines().last().unwrap().split(' ').next().unwrap().to_owned();
        let started = node.on("date -d \"$(systemctl show -p ExecMainStartTimestamp --value ssh.service)\" +%s");
        assert!(undone.parse::<i64>().unwrap() <= started.trim().parse().unwrap(), "{undone} {started}");
    }
}

#[test]
fn a_full_disk_refuses_before_and_does_not_stop_an_undo() {
    let Some(node) = Node::up("faults-full") else { return };
    let runs = node.on("ls -A /var/lib/pve-harden/runs");
    node.lab.lab(["fill", node.name]).exits(0);
    let said = Said::of(&node.apply(&[]).output().unwrap());
    node.lab.lab(["unfill", node.name]).exits(0);
    let said = said.exits(4);
    assert!(said.stderr.contains("nothing was changed on pve1") && said.stderr.contains("disk"), "{}", said.stderr);
    node.wait_until_settled();
    assert_eq!(node.on("ls -A /var/lib/pve-harden/runs"), runs);
    node.assert_as_before("full before the run");

    let tool = start(node.apply(&MANUAL));
    node.wait_for_window();
    node.lab.lab(["fill", node.name]).exits(0);
    let said = end(tool);
    node.lab.lab(["unfill", node.name]).exits(0);
    assert_eq!(said.status, 5, "{}\n{}", said.stderr, node.journal());
    assert_eq!(node.assert_safe("full inside the window"), "undone");
}
