//! Real wrong logins on a lab node, and who is shut out by them.

use std::path::PathBuf;
use std::time::Duration;

use crate::support::lab::{Lab, eventually};

const PATIENCE: Duration = Duration::from_secs(120);
const CONTROLS: [&str; 5] = ["--yes", "--control", "accounts.admin", "--control", "bruteforce.*"];

/// Three wrong passwords for root on SSH, from `outside` or `operator`.
fn wrong_passwords(lab: &Lab, from: &str, address: &str) {
    let askpass = lab.site.with_file_name("wrong-askpass");
    std::fs::write(&askpass, "#!/bin/sh\necho wrong\n").unwrap();
    std::fs::set_permissions(&askpass, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let askpass = format!("SSH_ASKPASS={}", askpass.display());
    let options = [
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "PubkeyAuthentication=no",
        "PreferredAuthentications=password",
        "NumberOfPasswordPrompts=3",
        "ConnectTimeout=10",
    ];
    let mut words =
        vec![from, "--", "env", &askpass, "SSH_ASKPASS_REQUIRE=force", "timeout", "60", "ssh", "-F", "none"];
    words.extend(options.iter().flat_map(|option| ["-o", option]));
    let target = format!("root@{address}");
    words.extend([target.as_str(), "true"]);
    assert_ne!(lab.lab(words).status, 0, "a wrong password got in");
}

/// A wrong password in the web interface, from `outside` or `operator`.
fn wrong_web_login(lab: &Lab, from: &str, address: &str) {
    let url = format!("https://{address}:8006/api2/json/access/ticket");
    lab.lab([from, "--", "curl", "-sk", "-m", "20", "-o", "/dev/null", "-d", "username=root@pam&password=wrong", &url]);
}

/// How many lines of the journal a filter takes for a wrong login.
fn matched(lab: &Lab, filter: &str) -> u32 {
    let said = lab.on("pve1", &format!("fail2ban-regex systemd-journal {filter}"));
    let line = said.lines().find(|line| line.starts_with("Lines: ")).unwrap_or_else(|| panic!("{said}"));
    line.split(", ").find_map(|part| part.strip_suffix(" matched")).unwrap().parse().unwrap()
}

fn profile(lab: &Lab) -> PathBuf {
    lab.site.with_file_name("ban.toml")
}

fn who_guesses_is_shut_out(test: &str, options: &[&str]) {
    let Some(lab) = Lab::up(test, &["pve1"], options) else { return };
    let (four, six) = (lab.address("pve1"), lab.address6("pve1"));
    std::fs::write(profile(&lab), "extends = \"strict\"\n[bruteforce.fail2ban]\nban-time = 3600\n").unwrap();
    let profile = profile(&lab);
    let harden = |verb: &str| {
        let mut words = vec![verb, "pve1", "--profile", profile.to_str().unwrap()];
        words.extend(if verb == "plan" { &CONTROLS[1..] } else { &CONTROLS[..] });
        lab.harden(&words)
    };
    harden("apply").exits(0);
    harden("plan").exits(0);

    // The operator guesses as badly as a stranger and stays.
    wrong_passwords(&lab, "operator", &four);
    for _ in 0..3 {
        wrong_web_login(&lab, "operator", &four);
    }
    for jail in ["sshd", "proxmox"] {
        let ignored = format!("test $(grep -c '\\[{jail}\\] Ignore .* by ip' /var/log/fail2ban.log) -ge 3");
        eventually(PATIENCE, &format!("{jail} saw the operator and let him be"), || {
            lab.exec("pve1", &ignored).status == 0
        });
    }
    assert!(lab.connects("operator", &four, 22) && lab.connects("operator", &four, 8006), "the operator is banned");

    for (address, port) in [(&six, 22), (&four, 8006)] {
        assert!(lab.connects("outside", address, port), "{port} answers strangers before");
    }
    wrong_passwords(&lab, "outside", &six);
    for _ in 0..3 {
        wrong_web_login(&lab, "outside", &four);
    }
    for (address, port) in [(&six, 22), (&four, 8006)] {
        eventually(PATIENCE, &format!("{port} is shut for who guessed"), || !lab.connects("outside", address, port));
    }
    assert_eq!(lab.ssh("pve1", &[], "sudo -n id -u").exits(0).stdout.trim(), "0");
    assert!(matched(&lab, "pve-harden-sshd") >= 6 && matched(&lab, "pve-harden-web") >= 6);
    harden("plan").exits(0);

    lab.harden(&["rollback", "pve1", "--yes"]).exits(0);
    let left = lab.on(
        "pve1",
        "systemctl is-active fail2ban; systemctl is-enabled fail2ban; find /etc/fail2ban -name '*pve-harden*'; nft list tables | grep f2b; true",
    );
    assert_eq!(left.split_whitespace().collect::<Vec<_>>(), ["inactive", "disabled"]);
    eventually(PATIENCE, "nobody is shut out any more", || lab.connects("outside", &six, 22));
}

#[test]
fn who_guesses_is_shut_out_of_a_pve_9_node_and_the_operator_never() {
    who_guesses_is_shut_out("ban-nine", &[]);
}

#[test]
fn who_guesses_is_shut_out_of_a_pve_8_node_and_the_operator_never() {
    who_guesses_is_shut_out("ban-eight", &["--pve", "8"]);
}
