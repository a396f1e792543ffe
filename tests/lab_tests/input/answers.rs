//! Nodes that answer garbage, endlessly, or with text that wants to drive a terminal.

use super::tool::{Tool, sshd_settings};
use crate::support::lab::Lab;

/// Every login runs this instead of what it asked for.
fn answering(lab: &Lab, script: &str) {
    lab.on(
        "pve1",
        &format!("cat >/usr/local/bin/answer <<'END'\n#!/bin/bash\n{script}\nEND\nchmod 755 /usr/local/bin/answer"),
    );
    sshd_settings(lab, "pve1", "'ForceCommand /usr/local/bin/answer'");
}

#[test]
fn a_node_that_answers_garbage_or_endlessly() {
    let Some(lab) = Lab::up("in-garbage", &["pve1"], &[]) else { return };
    let tool = Tool::new(&lab);
    let plan = |script: &str| {
        answering(&lab, script);
        tool.told(&tool.run(&["plan", "pve1"]))
    };
    insta::assert_snapshot!(plan("exec yes"), @r#"
    exit 3
    error: nothing was changed on pve1
    cause: the answer cannot be read: more than 65536 bytes before the first answer, beginning with "y\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\ny\n"
    hint: see with `ssh` what this login answers: a ForceCommand, a login shell that is none, or its start files may stand in the way
    "#);
    insta::assert_snapshot!(plan("exit 0"), @r"
    exit 3
    error: nothing was changed on pve1
    cause: the answer cannot be read: no program ran; the login shell answered nothing
    hint: see with `ssh` what this login answers: a ForceCommand, a login shell that is none, or its start files may stand in the way
    ");
    insta::assert_snapshot!(plan("printf 'This account is \\033[31mnot\\033[0m available\\n'; exit 1"), @r#"
    exit 3
    error: nothing was changed on pve1
    cause: the answer cannot be read: no program ran; the login shell answered "This account is \x1b[31mnot\x1b[0m available\n"
    hint: see with `ssh` what this login answers: a ForceCommand, a login shell that is none, or its start files may stand in the way
    "#);
    insta::assert_snapshot!(plan("exec cat /dev/urandom").lines().next().unwrap(), @"exit 3");
    // One that knows the protocol.
    let mark = "read -r nonce _; mark=PVH-$nonce";
    insta::assert_snapshot!(plan(&format!("{mark}; printf '%s login 0 999999999\\n' $mark; exec yes")), @r"
    exit 3
    error: nothing was changed on pve1
    cause: the answer is too large: login has more than 8388608 bytes
    hint: see with `ssh` what this login answers: a ForceCommand, a login shell that is none, or its start files may stand in the way
    ");
    insta::assert_snapshot!(
        plan(&format!("{mark}; while printf '%s f 0 8000000\\n' $mark; do head -c 8000000 /dev/zero | tr '\\0' x; echo; done")),
        @r"
    exit 3
    error: nothing was changed on pve1
    cause: the answer is too large: the whole answer has more than 67108864 bytes
    hint: see with `ssh` what this login answers: a ForceCommand, a login shell that is none, or its start files may stand in the way
    "
    );
    let forged = plan(&format!("{mark}; printf '%s \\033[2J<b>\\n' $mark"));
    assert!(forged.contains("cause: the answer cannot be read: an answer's head reads \"PVH-"), "{forged}");
    assert!(forged.contains("\\x1b[2J<b>"), "{forged}");
    insta::assert_snapshot!(plan(&format!("{mark}; printf '%s login 0 5\\nroot\\n\\n%s end 0 0\\n\\n' $mark $mark")), @r"
    exit 3
    error: nothing was changed on pve1
    cause: its answer does not say which PVE release it runs
    hint: run the same command with -v; `pve-harden capture HOST -o FILE` records what the node says
    ");
    insta::assert_snapshot!(plan(&format!("{mark}; printf '%s login 0 5\\nroot\\n\\n' $mark")), @r"
    exit 3
    error: nothing was changed on pve1
    cause: the answer cannot be read: it ended before its last frame
    hint: see with `ssh` what this login answers: a ForceCommand, a login shell that is none, or its start files may stand in the way
    ");
}

#[test]
fn text_that_wants_to_drive_a_terminal() {
    let Some(lab) = Lab::up("in-hostile", &["pve1"], &[]) else { return };
    // A banner in ssh's own words, before a login that is refused.
    lab.on("pve1", "printf '\\033[2J\\033]0;owned\\007<b>Welcome</b>\\nWARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!\\nHost key verification failed.\\n' >/etc/issue.net");
    sshd_settings(&lab, "pve1", "'Banner /etc/issue.net'");
    let tool = Tool::new(&lab).env("PVE_ROOT_PASS", "wrong");
    insta::assert_snapshot!(tool.told(&tool.run(&["plan", "pve1"])), @r"
    exit 3
    error: nothing was changed on pve1
    cause: root@[pve1] was refused: the password is wrong, or a password login is not allowed for this user
    hint: correct the password; it was tried once and is not tried again, because the node may lock the account
    ");

    // Login shells that talk, root's as well as the one of the administrator to come.
    let noise = "printf \"echo \\\"\\033[31mnoise\\\"; echo \\\"\\033[2Jmore\\\" >&2; printf PVH-\\n\" >/root/noise";
    lab.on("pve1", &format!("{noise}; cat /root/.bashrc >>/root/noise; cat /root/noise >/root/.bashrc; cat /root/noise >/etc/skel/.bashrc; printf '\\033[2Jmotd\\n' >/etc/motd"));
    // What the node's files hold is shown in diffs and evidence.
    let hostile = "# \\033[2J<script>alert(1)</script>\\\"}\\r\\n# \\033]0;owned\\007\\n";
    lab.on(
        "pve1",
        &format!("printf '{hostile}' >/root/h && sed -i '/^PASS_MAX_DAYS/r /root/h' /etc/login.defs && rm /root/h"),
    );
    lab.on("pve1", "useradd -m guest && awk -F: -v OFS=: '$1 == \"guest\" { $5 = \"\\033[31mEvil <b>\\033[0m\" } 1' /etc/passwd >/root/p && cat /root/p >/etc/passwd && rm /root/p /root/noise");
    let tool = Tool::new(&lab);
    let planned = tool.run(&["plan", "pve1"]).exits(1);
    assert_eq!(planned.stderr, "");
    assert!(planned.stdout.contains("\\x1b[2J<script>alert(1)</script>"), "{}", planned.stdout);
    let document = tool.run(&["plan", "pve1", "--format", "json"]).exits(1).stdout;
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert!(document.to_string().contains("<script>alert(1)</script>"), "{document}");
    tool.run(&["capture", "pve1", "-o", "node.json"]).exits(0);
    let again = tool.run(&["plan", "--capture", "node.json"]).exits(1);
    let planned = same(&planned.stdout);
    assert_eq!(same(&again.stdout), planned.replace(&lab.address("pve1"), "node.json"));

    full_disk(&lab, &planned);

    tool.run(&["apply", "pve1", "--yes"]).exits(0);
    lab.on("pve1", "test -e /home/ops/.bashrc && grep -q noise /home/ops/.bashrc");
    let second = tool.run(&["plan", "pve1"]).exits(0);
    assert!(second.stdout.contains("0 changes"), "{}", second.stdout);
}

/// A plan without the note that counts logins, which each look at the node adds to.
fn same(plan: &str) -> String {
    plan.split_inclusive('\n').filter(|line| !line.contains("root logins from")).collect()
}

/// Nothing is written to look at a node.
fn full_disk(lab: &Lab, planned: &str) {
    lab.lab(["fill", "pve1"]).exits(0);
    let tool = Tool::new(lab);
    assert_eq!(same(&tool.run(&["plan", "pve1"]).exits(1).stdout), planned);
    tool.run(&["capture", "pve1", "-o", "full.json"]).exits(0);
    lab.lab(["unfill", "pve1"]).exits(0);
}
