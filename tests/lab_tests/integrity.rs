//! Changed programs and configuration: found by the real AIDE and debsums, told once.

use crate::support::lab::Lab;

/// What the service starts, without its low priority: a busy machine would let it wait.
const CHECK: &str = "cd / && /usr/local/lib/pve-harden/integrity";
/// Takes mail as postfix would.
const SENDMAIL: &str = "printf '#!/bin/sh\\n{ echo; echo \"== $*\"; cat; } >>/root/mails\\n' >/usr/sbin/sendmail && \
                        chmod 755 /usr/sbin/sendmail";

fn mails(lab: &Lab) -> String {
    lab.on("pve1", "cat /root/mails 2>/dev/null; rm -f /root/mails")
}

#[test]
fn changed_programs_are_told_once() {
    let Some(lab) = Lab::up("integrity", &["pve1"], &[]) else { return };
    let profile = lab.site.with_file_name("integrity.toml");
    let text = "extends = \"strict\"\n[os.integrity]\nleave-out = [\"/opt/cache-1.0\"]\n";
    std::fs::write(&profile, text).unwrap();
    let profile = profile.display().to_string();
    let mine = [
        "--profile",
        &profile,
        "--control",
        "accounts.admin",
        "--control",
        "os.integrity",
        "--control",
        "os.core-dumps",
    ];
    let apply: Vec<&str> = ["apply", "pve1", "--yes"].into_iter().chain(mine).collect();
    let plan: Vec<&str> = ["plan", "pve1"].into_iter().chain(mine).collect();
    lab.harden(&apply).exits(0);
    lab.harden(&plan).exits(0);
    assert_eq!(lab.on("pve1", "systemctl is-active pve-harden-integrity.timer").trim(), "active");
    // PAM's own word on the limit: somebody's session, and root's.
    assert_eq!(lab.ssh("pve1", &[], "ulimit -Hc").exits(0).stdout.trim(), "0");
    assert_eq!(lab.ssh("pve1", &[], "sudo -i sh -c 'ulimit -Hc'").exits(0).stdout.trim(), "0");

    lab.on("pve1", "systemd-analyze verify pve-harden-integrity.service pve-harden-integrity.timer");
    lab.on("pve1", SENDMAIL);
    lab.on("pve1", "mkdir -p /var/lib/vz/images /etc/lvm/archive");
    lab.on("pve1", CHECK);
    let first = mails(&lab);
    assert!(first.contains("Subject: [pve1] integrity check: the first reference was recorded"), "{first}");
    assert!(first.contains("debsums: every file of the packages is what its package brought"), "{first}");

    // What the cluster, a guest or a program of the node's writes is nobody's business; the same content is no difference.
    lab.on(
        "pve1",
        "echo x >/etc/pve/note; mkdir -p /opt/cache-1.0; echo x >/opt/cache-1.0/a; echo x >/etc/lvm/archive/a; \
         echo x >/var/lib/vz/images/a; cp -p /etc/hosts /etc/h && mv /etc/h /etc/hosts; touch /usr/bin/chfn",
    );
    lab.on("pve1", CHECK);
    assert_eq!(mails(&lab), "", "nothing that matters changed");

    let evil = "cp /usr/bin/true /usr/bin/evil; chmod 4755 /usr/bin/evil; printf x >>/usr/bin/chfn; \
                date '+%F %T upgrade passwd:amd64 1 2' >>/var/log/dpkg.log";
    lab.on("pve1", evil);
    lab.on("pve1", CHECK);
    let told = mails(&lab);
    for line in [
        "integrity check: differences",
        "/usr/bin/evil",
        "/usr/bin/chfn (from passwd package)",
        "  upgrade passwd:amd64 1 2",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    lab.on("pve1", CHECK);
    assert_eq!(mails(&lab), "", "told before");
    let said = lab.harden(&["check", "pve1", "--profile", &profile, "--control", "os.integrity", "--format", "json"]);
    assert!(said.stdout.contains("no difference"), "{}", said.stdout);

    // Somebody exchanges the reference, and then breaks the check.
    lab.on("pve1", "cp /var/lib/aide/aide.db.previous /var/lib/aide/aide.db && echo '# x' >>/var/lib/aide/aide.db");
    lab.on("pve1", CHECK);
    assert!(mails(&lab).contains("the reference itself is not the one of the last check"));
    lab.on("pve1", "echo nonsense >>/etc/aide/aide.conf");
    assert_ne!(lab.exec("pve1", CHECK).status, 0);
    assert!(mails(&lab).contains("integrity check failed: AIDE ended with 17"));
    lab.harden(&["check", "pve1", "--profile", &profile, "--control", "os.integrity"]).exits(1);
}
