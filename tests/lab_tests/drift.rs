//! What others do to a hardened node: found, attributed, put back.

use serde_json::Value;

use crate::support::lab::{Lab, eventually};

/// Entries of the drift that `check` reports: control, path, author, reason.
fn drift(lab: &Lab) -> Vec<(String, String, String, String)> {
    let said = lab.harden(&["check", "pve1", "--format", "json"]).exits(1);
    let document: Value = serde_json::from_str(&said.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let entries = document["nodes"][0]["drift"].as_array().cloned().unwrap_or_default();
    entries
        .iter()
        .map(|one| (text(&one["control"]), text(&one["path"]), text(&one["by"]), text(&one["because"])))
        .collect()
}

#[track_caller]
fn assert_drift(lab: &Lab, control: &str, path: &str, by: &str, because: &[&str]) {
    let found = drift(lab);
    let one = found.iter().find(|one| one.0 == control && one.1 == path && one.2 == by);
    let (.., reason) = one.unwrap_or_else(|| {
        panic!("no {by} for {control} {path}: {found:#?}\n{}", lab.harden(&["check", "pve1"]).stdout)
    });
    for part in because {
        assert!(reason.contains(part), "{part}: {reason}");
    }
}

#[test]
fn who_changed_what_since_the_last_run() {
    let Some(lab) = Lab::up("drift-who", &["pve1"], &[]) else { return };
    lab.harden(&["apply", "pve1", "--yes"]).exits(0);

    // Somebody who logged in before, in a file of ours and in one that wins over ours.
    let faillock = "/etc/security/faillock.conf";
    lab.ssh("pve1", &[], &format!("sudo sh -c 'printf \"deny = 50\\n\" >>{faillock}'")).exits(0);
    let other = "/etc/ssh/sshd_config.d/00-a.conf";
    // restart, not reload: a reload is over before sshd listens again, and a login in between is refused.
    lab.on("pve1", &format!("printf 'Match User root\\n PermitRootLogin yes\\n' >{other} && systemctl restart ssh"));
    let because = ["changed at ", "owner root; ops had logged in from ", " UTC, as this tool does"];
    assert_drift(&lab, "lockout.pam", faillock, "somebody", &because);
    assert_drift(&lab, "ssh.root-login", other, "somebody", &["changed at "]);
    lab.on("pve1", &format!("rm {other} && systemctl restart ssh"));

    // A file of ours that a service reads: what changed the file explains the service as well.
    let dropin = "/etc/ssh/sshd_config.d/00-pve-harden.conf";
    lab.on("pve1", &format!("printf '# by hand\\n' >>{dropin}"));
    assert_drift(&lab, "ssh.root-login", dropin, "somebody", &["changed at "]);
    let unexplained: Vec<_> = drift(&lab).into_iter().filter(|one| one.2 == "unknown").collect();
    assert!(unexplained.is_empty(), "{unexplained:#?}");

    // A package that somebody removed: when, by which command, at whose wish.
    let remove = "sudo DEBIAN_FRONTEND=noninteractive apt-get -q -y remove libpam-pwquality";
    lab.ssh("pve1", &[], remove).exits(0);
    let because =
        ["remove of libpam-pwquality 1.", "by `apt-get -q -y remove libpam-pwquality`", "which ops asked for"];
    assert_drift(&lab, "password.quality", "", "package", &because);

    // A package that writes a file of ours.
    let defs = "/etc/login.defs";
    lab.on(
        "pve1",
        &format!(
            "sed -i 's/^PASS_MAX_DAYS.*/PASS_MAX_DAYS 99999/' {defs}; date '+%F %T upgrade login.defs:all 1:4.17.4-1 1:4.17.4-2' >>/var/log/dpkg.log"
        ),
    );
    assert_drift(&lab, "password.aging", defs, "package", &["upgrade of login.defs 1:4.17.4-1 → 1:4.17.4-2"]);

    let plan = lab.harden(&["plan", "pve1"]).exits(1);
    assert!(plan.stdout.contains("libpam-pwquality") && plan.stdout.contains(faillock), "{}", plan.stdout);
    lab.harden(&["apply", "pve1", "--yes"]).exits(0);
    lab.harden(&["plan", "pve1"]).exits(0);
    assert_eq!(lab.exec("pve1", &format!("grep -x 'deny = 50' {faillock}")).status, 1);
}

/// A node that joins: the others' sshd must let it in, and no file of theirs changed.
#[test]
fn a_join_is_attributed_to_pve_itself() {
    let Some(lab) = Lab::up("drift-join", &["pve1", "pve2"], &["--cluster"]) else { return };
    lab.harden(&["apply", "pve1", "--yes"]).exits(0);
    let dropin = "/etc/ssh/sshd_config.d/00-pve-harden.conf";
    lab.harden(&["check", "pve1"]).exits(0);

    // `pvecm updatecerts` links root's keys again, which is nobody's drift, and makes a certificate that pveproxy does not
    // serve yet.
    let broken = "rm /root/.ssh/authorized_keys /root/.ssh/config && : >/root/.ssh/authorized_keys && \
        date '+%F %T upgrade pve-manager:all 9.2.10 9.2.11' >>/var/log/dpkg.log && pvecm updatecerts --force --silent";
    lab.on("pve1", broken);
    let link = lab.on("pve1", "readlink /root/.ssh/authorized_keys; head -c 7 /root/.ssh/config");
    assert_eq!(link, "/etc/pve/priv/authorized_keys\nCiphers");
    let certificate = "/etc/pve/nodes/pve1/pve-ssl.pem";
    assert_drift(&lab, "cert.renewal", certificate, "pve", &["pvecm updatecerts or pve-daily-update wrote it at "]);
    assert_eq!(drift(&lab).len(), 1);
    lab.on("pve1", "systemctl restart pveproxy");
    let settled = || lab.harden(&["check", "pve1"]).status == 0;
    eventually(std::time::Duration::from_secs(90), "8006 serves the new certificate", settled);

    // What `pvecm add` on the new node makes of the file that all members share, and what pveproxy's restart runs after it.
    let join = "sed -e 's/config_version: .*/config_version: 99/' \
        -e 's/^nodelist {/&\\n  node {\\n    name: pve3\\n    nodeid: 3\\n    quorum_votes: 1\\n    ring0_addr: 192.0.2.3\\n  }/' \
        /etc/pve/corosync.conf >/root/joined && cp /root/joined /etc/pve/corosync.conf && pvecm updatecerts --silent";
    lab.on("pve2", join);
    let known = || lab.exec("pve1", "grep -q 'config_version: 99' /etc/pve/corosync.conf").status == 0;
    eventually(std::time::Duration::from_secs(90), "pve1 knows of the third member", known);
    // A reading that falls into the change itself cannot tell who the members are.
    let told = || drift(&lab).iter().any(|(control, ..)| control == "ssh.root-login");
    eventually(std::time::Duration::from_secs(90), "the drop-in lacks the third member", told);
    assert_drift(&lab, "ssh.root-login", dropin, "pve", &["the cluster's members or their addresses changed at "]);
}
