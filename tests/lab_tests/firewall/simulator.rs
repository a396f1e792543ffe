//! The node's own firewall compiler and simulator are asked before anything changes.

use pve_harden::apply::engine::Outcome;
use pve_harden::apply::journal::Event;
use pve_harden::plan::reach::FirewallQuestion;

use super::by_hand::{CLUSTER_FW, Way, good_rules, local_file, order, plan, pve_file, state};
use crate::firewall::oracle::{Oracle, agrees};
use crate::support::lab::{Lab, Said};

const SIMULATOR: &str = "/usr/share/perl5/PVE/FirewallSimulator.pm";
const COMPILER: &str = "/usr/share/perl5/PVE/Firewall.pm";

/// Log rules and a list of ports, both of which PVE's simulator dies of as they are.
const PROFILE: &str = "extends = \"baseline\"\n[firewall]\nmanagement.enabled = true\nenable.enabled = true\n\
    [firewall.node]\nenabled = true\nlog-level-in = \"info\"\n";

/// The command with a module of the node's in place of its own.
fn with_module(lab: &Lab, path: &str, text: &str, run: impl FnOnce() -> Said) -> Said {
    lab.on("pve1", &format!("cp {path} /root/own.pm && cat >{path} <<'PERL'\n{text}\nPERL"));
    let said = run();
    lab.on("pve1", &format!("mv /root/own.pm {path}"));
    said
}

#[tokio::test]
async fn a_simulator_that_disagrees_stops_the_run_before_it_begins() {
    let Some(lab) = Lab::up("fw-simulator", &["pve1"], &[]) else { return };
    let profile = lab.site.with_file_name("firewall.toml");
    std::fs::write(&profile, PROFILE).unwrap();
    let profile = profile.to_str().unwrap().to_owned();
    let apply = || {
        lab.harden(&["apply", "--yes", "--profile", &profile, "--control", "firewall.*", "--control", "accounts.admin"])
    };
    lab.on("pve1", "mkdir -p /etc/pve/firewall && printf '[RULES]\\n\\nIN ACCEPT -p tcp -dport 80,443 -log info\\n' >/etc/pve/firewall/x && mv /etc/pve/firewall/x /etc/pve/firewall/cluster.fw");
    let before = state(&lab, "pve1") + &lab.fingerprint("pve1");
    let unchanged = || {
        assert_eq!(state(&lab, "pve1") + &lab.fingerprint("pve1"), before);
        assert_eq!(lab.exec("pve1", "ls -A /var/lib/pve-harden/runs").stdout, "");
    };

    let lenient = "package PVE::FirewallSimulator; sub simulate_firewall { return 'ACCEPT' } 1;";
    let said = with_module(&lab, SIMULATOR, lenient, apply).exits(4);
    assert!(said.stderr.contains("error: nothing was changed on pve1\n"), "{}", said.stderr);
    assert!(said.stderr.contains("firewall simulator disagrees with the plan on 3 of "), "{}", said.stderr);
    assert!(said.stderr.contains("8006/tcp: it says ACCEPT, the plan counts on DROP"), "{}", said.stderr);
    unchanged();

    let broken = "package PVE::Firewall; sub load_clusterfw_conf { die \"\\e[2Jbad\\n\" }\n\
        sub load_hostfw_conf {} sub compile {} 1;";
    let said = with_module(&lab, COMPILER, broken, apply).exits(4);
    assert!(said.stderr.contains("compiler does not take the planned files:  [2Jbad"), "{}", said.stderr);
    unchanged();

    // It floods and never ends; the run goes on to what stops it next.
    let hostile =
        "package PVE::FirewallSimulator; $| = 1; while (1) { print \"ACCEPT\\n\"; print STDERR \"\\e]0;x\\a\\n\" } 1;";
    let way = Way::to(&lab, "pve1").await;
    lab.on(
        "pve1",
        &format!(
            "ln -s hostname /etc/to-hostname; cp {SIMULATOR} /root/own.pm; cat >{SIMULATOR} <<'PERL'\n{hostile}\nPERL"
        ),
    );
    let changes = vec![pve_file(CLUSTER_FW, Some(&good_rules(&lab))), local_file("/etc/to-hostname", "x\n")];
    let mut notes = Vec::new();
    let mut asking = plan("pve1", changes);
    asking.firewall_questions = vec![FirewallQuestion {
        source: "203.0.113.1".parse().unwrap(),
        destination: lab.address("pve1").parse().unwrap(),
        protocol: "tcp".into(),
        port: 22,
        expected: "DROP".into(),
    }];
    let outcome = way
        .drive(&asking, &order("pve1", 1, 60, false), |event| {
            if let Event::Note { text } = event {
                notes.push(text.clone());
            }
        })
        .await;
    let Outcome::Refused { word, why } = &outcome else { panic!("{outcome:?}") };
    assert!(word == "prepare" && why.contains("is a symbolic link"), "{outcome:?}");
    assert!(notes[0].contains("firewall simulator gave no answer") && notes[0].is_ascii(), "{notes:?}");
    assert!(notes[0].chars().all(|c| !c.is_control()), "{notes:?}");
    lab.on("pve1", &format!("rm /etc/to-hostname; mv /root/own.pm {SIMULATOR}"));
    unchanged();

    // What a simulator says of generated files is what the model says.
    let told = agrees(&Oracle::new(lab.shell("pve1")), 3);
    assert!(told.answered >= 60, "{told:?}");

    let said = apply().exits(0);
    let agreed = said.stderr.lines().find(|line| line.contains("simulator agrees")).unwrap_or(&said.stderr).to_owned();
    let words: Vec<&str> = agreed.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "of").unwrap();
    assert!(words[at - 1] == words[at + 1] && words[at - 1] != "0", "{agreed}");
}
