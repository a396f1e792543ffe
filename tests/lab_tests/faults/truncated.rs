//! The program that applies, cut on its way.

use super::Node;
use crate::support::lab::Said;

/// Root's shell on the node: the second exec of a login is the run; its input ends after /run/lab/length bytes, or is
/// kept whole when there is no such file.
const CUTTING_SHELL: &str = r#"#!/bin/sh
number=$(($(cat /run/lab/execs 2>/dev/null || echo 0) + 1))
echo "$number" >/run/lab/execs
[ "$number" = 2 ] || exec /bin/bash "$@"
if [ -e /run/lab/length ]; then
    head -c "$(cat /run/lab/length)" | /bin/bash "$@"
else
    tee /run/lab/stream | /bin/bash "$@"
fi
"#;

#[test]
fn a_program_cut_at_every_tenth_changes_nothing() {
    let Some(mut node) = Node::up("faults-truncated") else { return };
    node.on(&format!(
        "cat >/usr/local/sbin/cutting-shell <<'SCRIPT'\n{CUTTING_SHELL}SCRIPT\nchmod 755 /usr/local/sbin/cutting-shell
        usermod -s /usr/local/sbin/cutting-shell root; rm -f /run/lab/execs"
    ));
    node.before = node.lab.fingerprint(node.name);
    Said::of(&node.apply(&[]).output().unwrap()).exits(0);
    assert_eq!(node.assert_safe("whole"), "committed");
    let length: usize = node.on("wc -c </run/lab/stream").trim().parse().unwrap();
    assert!(length > 10_000, "{length} bytes");
    let runs = node.on("ls /var/lib/pve-harden/runs");
    for tenth in 0..10 {
        let bytes = length * tenth / 10;
        node.on(&format!("rm -f /run/lab/execs; echo {bytes} >/run/lab/length"));
        let said = Said::of(&node.apply(&[]).output().unwrap()).exits(3);
        assert!(said.stderr.contains("nothing was changed on pve1"), "{bytes} bytes: {}", said.stderr);
        assert_eq!(node.on("ls /var/lib/pve-harden/runs"), runs, "{bytes} of {length} bytes");
        node.wait_until_settled();
        node.assert_as_before(&format!("cut after {bytes} of {length} bytes"));
    }
}
