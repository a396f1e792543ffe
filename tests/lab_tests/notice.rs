//! The notice before a login: where people see it, and where PVE must not.

use crate::support::lab::{Lab, Said};

const MEMBERS: [&str; 2] = ["pve1", "pve2"];
const WORDS: &str = "This system is for authorised users only.";
/// What a console shows, by the program that shows it; it wants a terminal.
const CONSOLE: &str = "script -qec 'agetty --show-issue' /dev/null </dev/null";
/// What the page of 8006 decodes.
const WEB: &str = "pvesh get /cluster/options --output-format json | sed -n 's/.*\"consent-text\":\"\\([^\"]*\\)\".*/\\1/p' | base64 -d";

fn files(lab: &Lab, node: &str) -> String {
    lab.on(node, "cat /etc/issue.net /etc/pve/datacenter.cfg; stat -c '%a %U:%G' /etc/issue.net /etc/pve/datacenter.cfg; ls -d /etc/issue.d; :")
}

/// As PVE calls ssh between members (`PVE::SSHInfo`), with what it would write into a task log.
fn between(lab: &Lab, from: &str, to: &str) -> String {
    let ssh = format!(
        "ssh -e none -o BatchMode=yes -o ConnectTimeout=20 -o HostKeyAlias={to} \
         -o UserKnownHostsFile=/etc/pve/nodes/{to}/ssh_known_hosts root@{} echo migrated 2>&1",
        lab.address(to)
    );
    lab.on(from, &ssh)
}

#[test]
fn people_read_the_notice_and_peers_do_not() {
    let Some(lab) = Lab::up("notice", &MEMBERS, &["--cluster"]) else { return };
    let before = MEMBERS.map(|node| files(&lab, node));
    let command = |words: &[&str]| -> Said {
        let controls = ["session.notice", "ssh.banner", "web.consent", "accounts.admin"];
        let mine: Vec<&str> = controls.iter().flat_map(|id| ["--control", id]).collect();
        lab.harden(&[words, &["--profile", "strict"], &mine].concat())
    };
    command(&["apply", "pve1", "--cluster", "--yes"]).exits(0);
    for (node, peer) in [("pve1", "pve2"), ("pve2", "pve1")] {
        let person = lab.ssh(node, &[], "echo in").exits(0);
        assert_eq!(person.stdout, "in\n");
        assert!(person.stderr.contains(WORDS), "{node}: {}", person.stderr);
        let stranger = lab.ssh(node, &["-o", "User=nobody", "-o", "BatchMode=yes"], "true");
        assert!(stranger.status != 0 && stranger.stderr.contains(WORDS), "{node}: {}", stranger.stderr);
        assert_eq!(between(&lab, peer, node), "migrated\n", "from {peer} to {node}");
        let console = lab.on(node, CONSOLE);
        assert!(console.contains(WORDS), "{node}: {console}");
        assert!(lab.on(node, WEB).starts_with(WORDS), "{node}");
    }
    let datacenter = lab.on("pve2", "cat /etc/pve/datacenter.cfg");
    assert!(datacenter.starts_with("keyboard: en-us\n"), "{datacenter}");

    // The tool's own words are its own, with a banner before each of its logins.
    let again = command(&["plan", "pve1", "--cluster"]).exits(0);
    assert!(!again.stderr.contains(WORDS) && !again.stdout.contains(WORDS), "{}{}", again.stdout, again.stderr);

    for node in MEMBERS {
        lab.harden(&["rollback", node, "--yes"]).exits(0);
    }
    assert_eq!(MEMBERS.map(|node| files(&lab, node)), before);
    for node in MEMBERS {
        assert!(!lab.root_password_login(node).exits(0).stderr.contains(WORDS), "{node}");
        assert!(!lab.on(node, CONSOLE).contains(WORDS), "{node}");
    }
}
