//! Port 8006 of a lab node after the controls of `web.*`: who gets in, and what it agrees on.

use std::time::Duration;

use crate::support::lab::{Lab, eventually};

/// What a handshake from somewhere ends with: the last words of openssl's "New" line.
fn handshake(lab: &Lab, from_outside: bool, address: &str, options: &str) -> String {
    let script = format!(
        "timeout 10 openssl s_client -connect {address}:8006 {options} </dev/null 2>/dev/null | sed -n 's/^New, //p'"
    );
    let said =
        if from_outside { lab.lab(["outside", "--", "sh", "-c", script.as_str()]) } else { lab.exec("pve1", &script) };
    said.stdout.trim().to_owned()
}

#[test]
fn strangers_are_turned_away_and_old_ciphers_refused() {
    const CBC: &str = "-tls1_2 -cipher ECDHE-RSA-AES256-SHA384";
    let Some(lab) = Lab::up("web", &["pve1"], &[]) else { return };
    let address = lab.address("pve1");
    assert!(handshake(&lab, true, &address, "").starts_with("TLSv1.3"), "a stranger gets in before");
    assert!(handshake(&lab, false, "127.0.0.1", CBC).starts_with("TLSv1.2"), "CBC is agreed on before");

    lab.harden(&["apply", "pve1", "--profile", "strict", "--control", "accounts.admin", "--control", "web.*", "--yes"])
        .exits(0);

    // The old workers serve for some seconds more.
    eventually(Duration::from_secs(20), "strangers are turned away", || {
        !handshake(&lab, true, &address, "").starts_with("TLS")
    });
    assert!(handshake(&lab, false, "127.0.0.1", "").starts_with("TLSv1.3"), "a tunnel over SSH still works");
    assert!(handshake(&lab, false, "127.0.0.1", CBC).starts_with("(NONE)"), "CBC is refused");
    assert_eq!(lab.on("pve1", "ss -Htln 'sport = :3128'"), "", "spiceproxy is off");
    let again = lab.harden(&["plan", "pve1", "--profile", "strict", "--control", "web.*"]).exits(0);
    assert!(again.stdout.contains("0 changes") || again.stdout.contains("nothing"), "{}", again.stdout);
    lab.on("pve1", "printf 'ALLOW_FROM=\"10.0.0.0/8\\n' >/etc/default/pveproxy");
    let drift = lab.harden(&["plan", "pve1", "--profile", "strict", "--control", "web.allow-from"]).exits(1);
    assert!(drift.stdout.contains("a quote is never closed"), "{}", drift.stdout);
}
