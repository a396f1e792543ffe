//! Whoever looks over a node's shoulder: every process's arguments from now on, then the journal and the files.

use crate::support::lab::Lab;

/// Starts to write down what processes show of their arguments.
pub fn begin(lab: &Lab, node: &str) {
    lab.on(
        node,
        "systemd-run -q --unit=watch sh -c 'while :; do cat /proc/[0-9]*/cmdline 2>/dev/null | tr \"\\0\" \" \"; echo; done >/run/seen'",
    );
}

/// How many arguments so far have this in them. It comes by standard input: an argument would be seen itself.
pub fn in_arguments(lab: &Lab, node: &str, text: &str) -> usize {
    let script = "cat >/run/secret; grep -caFf /run/secret /run/seen; rm /run/secret";
    let found = crate::support::lab::feed(lab, node, script, format!("{text}\n").as_bytes());
    String::from_utf8_lossy(&found).trim().parse().unwrap()
}

/// Ends it; panics when one of these is in an argument, the journal, or a file outside of PVE's own.
#[track_caller]
pub fn nowhere(lab: &Lab, node: &str, secrets: &[&str]) {
    lab.on(node, "sleep 2.718 & systemctl is-active -q watch; wait; systemctl stop watch; journalctl --sync || true");
    assert_ne!(lab.on(node, "grep -cF 'sleep 2.718' /run/seen").trim(), "0", "the watch sees processes");
    for secret in secrets {
        // What is looked for comes by standard input: an argument would be found in the journal.
        let script = "cat >/run/secret; grep -caFf /run/secret /run/seen; \
            grep -rlFf /run/secret --exclude-dir=pve --exclude-dir=pve-cluster /etc /root /home /var /tmp /run/pve-harden* 2>/dev/null; \
            journalctl --no-pager | grep -Ff /run/secret; rm /run/secret";
        let found = crate::support::lab::feed(lab, node, script, format!("{secret}\n").as_bytes());
        let found = String::from_utf8_lossy(&found).trim().to_owned();
        assert_eq!(found, "0", "in an argument (a number), a file or the journal");
    }
    lab.on(node, "rm /run/seen");
}
