//! An undo that meets an obstacle: exit 6.

use std::time::{Duration, Instant};

use super::{Node, end, start};

const AGING: [&str; 2] = ["--control", "password.aging"];

#[test]
fn an_undo_that_meets_an_obstacle_is_told_and_heals() {
    let Some(node) = Node::up("faults-half") else { return };
    let controls: Vec<&str> = super::CONTROLS.into_iter().chain(AGING).collect();
    let tool = start(node.apply_with(&controls, &["--yes", "--commit-window", "10s"], &["--confirm", "manual"]));
    node.wait_for_window();
    let began = Instant::now();
    // rename(2) does not replace what something is mounted on.
    node.on("mount --bind /etc/login.defs /etc/login.defs");
    let said = end(tool).exits(6);
    assert!(began.elapsed() < Duration::from_secs(30), "told after {:?}", began.elapsed());
    for word in ["pve1 is not wholly undone", "/etc/login.defs", "/usr/local/sbin/pve-harden-undo", "in time"] {
        assert!(said.stderr.contains(word), "{word}: {}", said.stderr);
    }
    assert_eq!(node.outcome(), "undoing");

    // The way in and everything else are back, and whoever logs in is told.
    node.lab.root_password_login(node.name).exits(0);
    assert_ne!(node.lab.exec(node.name, "getent passwd ops").status, 0, "the administrator is still there");
    let message = node.on("stat -c %a /run/motd.d/pve-harden; cat /run/motd.d/pve-harden");
    assert!(
        message.starts_with("644\n") && message.contains("run /usr/local/sbin/pve-harden-undo as root"),
        "{message}"
    );
    let journal = node.journal();
    let count = |word: &str| journal.lines().filter(|line| line.split(' ').nth(1) == Some(word)).count();
    assert!(count("restored") >= count("begin") - 1 && count("undo-failed") >= 1, "{journal}");

    // The obstacle stays: the command says so. It goes: the command, or the node by itself, puts the rest back.
    let said = node.lab.exec(node.name, "pve-harden-undo");
    assert_eq!(said.status, 6, "{said:?}");
    assert!(said.stderr.contains("not wholly undone") && said.stderr.contains("/etc/login.defs"), "{}", said.stderr);
    node.on("umount /etc/login.defs");
    node.on("pve-harden-undo || [ -e \"$(ls -d /var/lib/pve-harden/runs/*/ | tail -n 1)undone\" ]");
    assert_eq!(node.assert_safe("the obstacle is gone"), "undone");
}

#[test]
fn without_the_obstacle_the_node_heals_by_itself() {
    let Some(node) = Node::up("faults-heals") else { return };
    let controls: Vec<&str> = super::CONTROLS.into_iter().chain(AGING).collect();
    let tool = start(node.apply_with(&controls, &["--yes", "--commit-window", "10s"], &["--confirm", "manual"]));
    node.wait_for_window();
    node.on("mount --bind /etc/login.defs /etc/login.defs");
    end(tool).exits(6);
    node.on("umount /etc/login.defs");
    assert_eq!(node.assert_safe("the guard tried again"), "undone");
}
