//! The password proof where `su` is not for everybody.

use crate::support::lab::Lab;

fn newest_journal(lab: &Lab) -> String {
    lab.on("pve1", "cat \"$(ls -dt /var/lib/pve-harden/runs/*/ | head -n 1)journal\"")
}

fn with_su_restricted(test: &str, options: &[&str]) {
    let Some(lab) = Lab::up(test, &["pve1"], options) else { return };
    lab.on("pve1", "sed -i 's/^# *auth *required *pam_wheel.so$/auth required pam_wheel.so use_uid/' /etc/pam.d/su");
    lab.on("pve1", "grep -q '^auth required pam_wheel.so use_uid' /etc/pam.d/su");
    lab.harden(&["apply", "pve1", "--yes"]).exits(0);
    let journal = newest_journal(&lab);
    assert!(journal.contains(" proved password") && !journal.contains("is left out"), "{journal}");
    assert_ne!(lab.exec("pve1", "getent passwd pve-harden-proof").status, 0, "the account of a proof is left");

    // A stack that takes any password is found by this way as well.
    lab.on("pve1", "sed -i 's/^@include common-auth$/auth sufficient pam_permit.so\\n&/' /etc/pam.d/chsh");
    lab.on("pve1", "sed -i 's/^deny.*/deny = 99/' /etc/security/faillock.conf");
    let said = lab.harden(&["apply", "pve1", "--yes"]).exits(5);
    assert!(said.stderr.contains("a wrong password was let in"), "{}", said.stderr);

    lab.on("pve1", "chmod u-s /usr/bin/chsh");
    let said = lab.harden(&["apply", "pve1", "--yes"]).exits(0);
    assert!(said.stderr.contains("the password proof is left out"), "{}", said.stderr);
}

#[test]
fn su_for_wheel_only_on_pve_9() {
    with_su_restricted("wheel9", &[]);
}

#[test]
fn su_for_wheel_only_on_pve_8() {
    with_su_restricted("wheel8", &["--pve", "8"]);
}
