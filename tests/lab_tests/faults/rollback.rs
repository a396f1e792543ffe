//! Taking back what was confirmed.

use super::{Node, end, start};
use crate::support::lab::Said;

fn commit(node: &Node) -> String {
    Said::of(&node.apply(&[]).output().unwrap()).exits(0);
    node.wait_until_settled();
    assert_eq!(node.outcome(), "committed");
    node.newest_id()
}

#[test]
fn a_changed_file_stops_a_rollback_until_it_is_forced() {
    let Some(node) = Node::up("faults-changed") else { return };
    let id = commit(&node);
    let said = Said::of(&node.apply(&[]).output().unwrap()).exits(0);
    assert!(said.stdout.contains("pve1: nothing to do"), "{}", said.stdout);
    node.on("echo '# mine' >>/etc/sudoers.d/pve-harden-admins");
    let said = node.harden(&["rollback", "pve1", "--yes"]).exits(4);
    assert!(said.stderr.contains("/etc/sudoers.d/pve-harden-admins"), "{}", said.stderr);
    assert_eq!(node.newest_id(), id);
    assert_eq!(node.outcome(), "committed");
    let said = node.harden(&["history", "pve1"]).exits(0);
    assert!(said.stdout.contains("changed since: /etc/sudoers.d/pve-harden-admins"), "{}", said.stdout);
    node.harden(&["rollback", "pve1", "--yes", "--force"]).exits(0);
    node.wait_until_settled();
    node.assert_as_before("forced");
}

#[test]
fn an_account_with_data_of_its_own_is_locked_not_deleted() {
    let Some(node) = Node::up("faults-data") else { return };
    commit(&node);
    node.on("echo precious >/home/ops/notes; chown ops: /home/ops/notes");
    let said = node.harden(&["rollback", "pve1", "--yes"]).exits(0);
    assert!(
        format!("{}{}", said.stdout, said.stderr).contains("locked, not deleted"),
        "{}\n{}",
        said.stdout,
        said.stderr
    );
    node.wait_until_settled();
    node.lab.root_password_login("pve1").exits(0);
    assert_eq!(
        node.on("cat /home/ops/notes; getent shadow ops | cut -c1-5; [ ! -e /home/ops/.ssh/authorized_keys ]"),
        "precious\nops:!\n"
    );
    assert_ne!(node.lab.ssh("pve1", &[], "true").status, 0, "the key does not open the account any more");
    let others = |text: &str| -> String {
        text.lines()
            .filter(|line| {
                !["home/ops", "passwd", "shadow", "group", "subuid", "subgid", ".pwd.lock"]
                    .iter()
                    .any(|word| line.contains(word))
            })
            .flat_map(|line| [line, "\n"])
            .collect()
    };
    super::assert_same(&others(&node.before), &others(&node.lab.fingerprint("pve1")), "everything else");
}

#[test]
fn a_rollback_that_is_cut_ends_in_one_of_the_two_states() {
    let Some(node) = Node::up("faults-backcut") else { return };
    commit(&node);
    let hardened = node.lab.fingerprint("pve1");
    // 1 locked, 2 prepared, 3 armed, 4 stage, then two for each step, and the window.
    for line in [3, 5, 8, 13, 18, 24] {
        let when = format!("rollback killed at line {line}");
        node.hold_at(line);
        let mut tool = start(node.lab.command(&["rollback", "pve1", "--yes", "--commit-window", "10s"]));
        node.wait_until_held(&mut tool);
        tool.kill().unwrap();
        tool.wait().unwrap();
        node.release_in_a_hurry();
        node.wait_until_settled();
        assert_eq!(node.outcome(), "undone", "{when}\n{}", node.journal());
        node.lab.ssh("pve1", &[], "sudo id -u").exits(0);
        super::assert_same(&hardened, &node.lab.fingerprint("pve1"), &when);
    }
    end(start(node.lab.command(&["rollback", "pve1", "--yes"]))).exits(0);
    node.wait_until_settled();
    node.assert_as_before("rolled back in the end");
}

#[test]
fn the_console_takes_a_confirmed_run_back_without_ssh() {
    let Some(node) = Node::up("faults-console") else { return };
    let id = commit(&node);
    node.on("systemctl stop ssh.service");
    let said = node.on("pve-harden-undo");
    assert!(said.contains(&id), "{said}");
    node.wait_until_settled();
    node.assert_as_before("undone at the console");
    // Typed once more it must not bring anything back: the only committed run left is a rollback.
    assert_eq!(node.lab.exec("pve1", "pve-harden-undo").status, 4);
    node.assert_as_before("typed twice");
    let said = node.harden(&["history", "pve1"]).exits(0);
    assert!(said.stdout.contains(&id), "{}", said.stdout);
}
