//! Where administrators' keys lie: homes elsewhere, and homes that hang on something that is no local disk.

use crate::support::lab::Lab;

#[test]
fn a_home_elsewhere_is_used_and_one_off_the_disk_is_refused() {
    let Some(lab) = Lab::up("homes", &["pve1"], &[]) else { return };
    // /etc/pve is the node's own example of a file system that may be gone tomorrow.
    lab.on("pve1", "mount --bind /etc/pve/nodes /home");
    let plan = lab.harden(&["plan", "pve1"]).exits(4);
    assert!(plan.stdout.contains("would lie on /home (fuse), which is not a local disk"), "{}", plan.stdout);
    lab.on("pve1", "umount /home && mkdir -p /srv/people && useradd -m -d /srv/people/ops -s /bin/bash ops");
    lab.harden(&["apply", "pve1", "--yes"]).exits(0);
    assert_eq!(lab.on("pve1", "stat -c '%U %a' /srv/people/ops/.ssh/authorized_keys; ls -A /home"), "ops 600\n");
    assert!(lab.harden(&["apply", "pve1", "--yes"]).exits(0).stdout.contains("0 changes"));
    lab.on("pve1", "echo 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti x' >>/srv/people/ops/.ssh/authorized_keys2");
    let plan = lab.harden(&["plan", "pve1"]).exits(1);
    assert!(plan.stdout.contains("--- /srv/people/ops/.ssh/authorized_keys2"), "{}", plan.stdout);
}
