//! An administrator whose sudo asks for a password that this tool generates.

use crate::support::lab::Lab;

#[test]
fn a_generated_password_proves_the_login_and_never_shows() {
    let Some(lab) = Lab::up("passwords", &["pve1"], &[]) else { return };
    let file = lab.site.with_file_name("ops.password");
    let site = std::fs::read_to_string(&lab.site).unwrap();
    let how = format!("sudo = \"password\"\npassword = {{ generate = \"{}\" }}", file.display());
    std::fs::write(&lab.site, site.replace("sudo = \"nopasswd\"", &how)).unwrap();

    let applied = lab.harden(&["apply", "pve1", "--yes", "-v"]).exits(0);
    let password = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    assert!((20..=32).contains(&password.len()), "{} characters", password.len());
    assert!(!applied.stdout.contains(&password) && !applied.stderr.contains(&password));
    assert_ne!(lab.ssh("pve1", &[], "sudo -n true").status, 0, "sudo asks for nothing");
    assert_eq!(lab.exec("pve1", &format!("grep -rqsF '{password}' /var/lib/pve-harden /etc /var/log /run")).status, 1);

    let mut plan = lab.command(&["plan", "pve1"]);
    let said = crate::support::lab::Said::of(&plan.env("PVE_HARDEN_SUDO_PASS", &password).output().unwrap());
    said.exits(0);
}
