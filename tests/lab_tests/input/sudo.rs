//! An administrator who has a password for sudo.

use super::tool::Tool;
use crate::support::lab::Lab;

const PASSWORD: &str = "Correct-horse-7-battery";

/// What the node counts against ops.
fn failures(lab: &Lab) -> usize {
    lab.on("pve1", "faillock --user ops").lines().filter(|line| line.trim_end().ends_with('V')).count()
}

#[test]
fn sudo_s_password_is_asked_for_and_tried_once() {
    let Some(lab) = Lab::up("in-sudo", &["pve1"], &[]) else { return };
    let hash = std::process::Command::new("openssl").args(["passwd", "-6", PASSWORD]).output().unwrap();
    let hash = String::from_utf8(hash.stdout).unwrap();
    let how = format!("sudo = \"password\"\npassword = {{ hash = \"{}\" }}", hash.trim());
    let tool = || Tool::new(&lab).site(&[("sudo = \"nopasswd\"", &how)]);
    let knowing = tool().env("PVE_HARDEN_SUDO_PASS", PASSWORD);
    let applied = knowing.run(&["apply", "pve1", "--yes"]).exits(0);
    assert!(!format!("{}{}", applied.stdout, applied.stderr).contains(hash.trim()));
    assert_ne!(lab.ssh("pve1", &[], "sudo -n true").status, 0, "sudo asks");

    knowing.run(&["plan", "pve1"]).exits(0);
    assert_eq!(failures(&lab), 0);
    let tool_without = tool();
    insta::assert_snapshot!(tool_without.told(&tool_without.run(&["plan", "pve1"])), @r"
    exit 3
    error: nothing was changed on pve1
    cause: sudo wants the password of ops, and there is none
    hint: set PVE_HARDEN_SUDO_PASS, or run on a terminal and be asked
    ");
    let mistaken = tool().env("PVE_HARDEN_SUDO_PASS", "wrong");
    insta::assert_snapshot!(mistaken.told(&mistaken.run(&["apply", "pve1", "--yes"])), @r"
    exit 3
    error: nothing was changed on pve1
    cause: sudo refused ops: the password is wrong
    hint: correct PVE_HARDEN_SUDO_PASS; it was tried once and is not tried again, because the node may lock the account
    ");
    assert_eq!(failures(&lab), 1, "a wrong password counts once");
    mistaken.run(&["plan", "pve1"]).exits(3);
    assert_eq!(failures(&lab), 2);
    knowing.run(&["plan", "pve1"]).exits(0);
    assert_eq!(failures(&lab), 0, "a right one forgets them");
}
