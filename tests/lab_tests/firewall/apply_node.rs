//! One node: what spoils its rules or port 8006 is taken back by the node itself.

use pve_harden::apply::engine::Outcome;
use pve_harden::apply::journal::Event;
use pve_harden::change::UnitVerb;

use super::by_hand::{
    CLUSTER_FW, PATIENCE, Way, assert_as_before, good_rules, journal, local_file, locking_rules, order, plan, pve_file,
    settles, state, unit, web,
};
use crate::support::lab::{Lab, eventually};

/// Writes cluster.fw past everybody.
fn spoil(lab: &Lab, node: &str, rules: &str) {
    lab.on(node, &format!("cat >/etc/pve/x <<'RULES'\n{rules}RULES\nmv /etc/pve/x {CLUSTER_FW}"));
}

fn enforced(lab: &Lab, node: &str) -> bool {
    lab.exec(node, "iptables-save | grep -q PVEFW-HOST-IN").status == 0
}

#[track_caller]
fn rolled_back(outcome: &Outcome, lab: &Lab, word: &str) {
    let Outcome::RolledBack { why } = outcome else { panic!("{outcome:?}\n{}", journal(lab, "pve1")) };
    assert!(why.contains(word), "{why}\n{}", journal(lab, "pve1"));
}

#[tokio::test]
async fn a_pveproxy_that_hangs_is_put_back() {
    let Some(lab) = Lab::up("fw-web", &["pve1"], &[]) else { return };
    let before = state(&lab, "pve1");
    let way = Way::to(&lab, "pve1").await;
    // Active, and every connection hangs; and one that does not start at all.
    for (number, content, verb, word) in [
        (1, "CIPHERS=\"NOSUCH\"\n", UnitVerb::TryRestart, "port 8006 does not answer"),
        (2, "POLICY=\"nonsense\"\n", UnitVerb::TryRestart, "pveproxy.service failed"),
        // The reload itself succeeds, and the old workers answer for a while.
        (3, "CIPHERS=\"NOSUCH\"\n", UnitVerb::Reload, "port 8006 does not answer"),
        (4, "POLICY=\"nonsense\"\n", UnitVerb::Reload, "port 8006 does not answer"),
    ] {
        let changes = vec![local_file("/etc/default/pveproxy", content), unit("pveproxy.service", verb)];
        let outcome = way.drive(&plan("pve1", changes), &order("pve1", number, 60, false), |_| ()).await;
        rolled_back(&outcome, &lab, word);
        assert_as_before(&lab, "pve1", &before);
    }
}

/// As with high availability at work: a guest that it manages, and the watchdog, which is fed only while the node has
/// quorum and fences it after a minute.
fn manage_a_guest(lab: &Lab) {
    lab.on(
        "pve1",
        r#"mkdir -p /etc/pve/ha /etc/pve/nodes/pve1/qemu-server
        printf 'vm: 100\n\tstate started\n\n' >/etc/pve/ha/resources.cfg
        printf 'name: web\nmemory: 512\n' >/etc/pve/nodes/pve1/qemu-server/100.conf
        printf '%s' '{"master_node":"pve1","node_status":{"pve1":"online","pve2":"online"},"service_status":{"vm:100":{"node":"pve1","state":"started","uid":"x"}},"timestamp":1763800000}' >/etc/pve/ha/manager_status
        printf '%s' '{"mode":"active","state":"active","results":{},"timestamp":1763800000}' >/etc/pve/nodes/pve1/lrm_status
        systemd-run -q --unit watchdog sh -c 'fed=$(date +%s); while sleep 1; do now=$(date +%s)
            case $(stat -c %A /etc/pve/nodes) in drw*) fed=$now ;; *) touch /root/unfed ;; esac
            [ $((now - fed)) -lt 60 ] || touch /root/fenced; done'"#,
    );
}

/// The members are two, so that one that is not heard costs the other its quorum.
async fn what_cuts_corosync_is_gone_before_the_watchdog_fences(lab: &Lab) {
    lab.on("pve1", "printf '[OPTIONS]\n\nenable: 0\n' >/etc/pve/nodes/pve2/host.fw");
    manage_a_guest(lab);
    let before = state(lab, "pve1");
    let way = Way::to(lab, "pve1").await;
    let rules = format!("{}[RULES]\n\nIN DROP -p udp -dport 5405:5412\n\n", good_rules(lab));
    let changes = vec![pve_file(CLUSTER_FW, Some(&rules))];
    let outcome = way.drive(&plan("pve1", changes), &order("pve1", 2, 300, false), |_| ()).await;
    rolled_back(&outcome, lab, "lost its quorum");
    assert_as_before(lab, "pve1", &before);
    // The connection that corosync had would have gone on: only its packets of that moment showed it.
    assert_eq!(
        lab.on("pve1", "ls /root/unfed /root/fenced 2>/dev/null || true"),
        "/root/unfed\n",
        "{}",
        journal(lab, "pve1")
    );
    assert!(journal(lab, "pve1").contains("settling firewall"));
}

#[tokio::test]
async fn a_cluster_without_quorum_is_not_touched_and_rules_that_cost_it_are_taken_back() {
    let Some(lab) = Lab::up("fw-quorum", &["pve1", "pve2"], &["--cluster"]) else { return };
    let before = state(&lab, "pve1");
    lab.lab(["cut", "pve2"]).exits(0);
    let quorum = || lab.exec("pve1", "case $(stat -c %A /etc/pve/nodes) in drw*) exit 1 ;; esac").status == 0;
    eventually(PATIENCE, "quorum is lost", quorum);
    let way = Way::to(&lab, "pve1").await;
    let changes = vec![pve_file(CLUSTER_FW, Some("[OPTIONS]\n\nenable: 1\n"))];
    let outcome = way.drive(&plan("pve1", changes), &order("pve1", 1, 60, false), |_| ()).await;
    let Outcome::Refused { word, why } = &outcome else { panic!("{outcome:?}\n{}", journal(&lab, "pve1")) };
    assert_eq!(word, "quorum");
    assert!(why.contains("no quorum"), "{why}");
    lab.lab(["mend", "pve2"]).exits(0);
    eventually(PATIENCE, "quorum is back", || !quorum());
    assert_eq!(before, state(&lab, "pve1"));
    assert_eq!(lab.on("pve1", "ls -A /var/lib/pve-harden/runs"), "");
    what_cuts_corosync_is_gone_before_the_watchdog_fences(&lab).await;
}

#[tokio::test]
async fn the_rules_are_live_before_any_proof_and_stay_after_the_commit() {
    let Some(lab) = Lab::up("fw-commit", &["pve1"], &[]) else { return };
    let before = state(&lab, "pve1");
    let way = Way::to(&lab, "pve1").await;
    let changes = vec![pve_file(CLUSTER_FW, Some(&good_rules(&lab)))];
    let mut live_at_proof = None;
    let outcome = way
        .drive(&plan("pve1", changes), &order("pve1", 1, 60, false), |event| {
            if matches!(event, Event::Proof { name, .. } if name == "firewall") {
                live_at_proof = Some(enforced(&lab, "pve1"));
            }
        })
        .await;
    assert_eq!(outcome, Outcome::Committed, "{}", journal(&lab, "pve1"));
    assert_eq!(live_at_proof, Some(true), "{}", journal(&lab, "pve1"));
    let address = lab.address("pve1");
    lab.root_password_login("pve1").exits(0);
    assert!(web(&lab, &["operator", "--"], &address));
    assert!(!web(&lab, &["outside", "--"], &address), "an outsider reaches 8006");

    // Taken back at the console while the rules are in force.
    lab.on("pve1", "pve-harden-undo");
    assert_as_before(&lab, "pve1", &before);
    assert!(web(&lab, &["outside", "--"], &address) && !enforced(&lab, "pve1"));
}

#[tokio::test]
async fn rules_that_lock_the_operator_out_are_taken_back() {
    let Some(lab) = Lab::up("fw-lockout", &["pve1"], &[]) else { return };
    let before = state(&lab, "pve1");
    let way = Way::to(&lab, "pve1").await;
    let changes = || vec![pve_file(CLUSTER_FW, Some(&locking_rules(&lab)))];
    let outcome = way.drive(&plan("pve1", changes()), &order("pve1", 1, 60, false), |_| ()).await;
    rolled_back(&outcome, &lab, "8006 answered from here before");
    assert_as_before(&lab, "pve1", &before);

    // Nobody who could ask for the undo: at the deadline the node comes back by itself.
    let outcome = way.drive(&plan("pve1", changes()), &order("pve1", 2, 12, true), |_| ()).await;
    rolled_back(&outcome, &lab, "confirmed the run in time");
    assert!(journal(&lab, "pve1").contains(" undoing guard"), "{}", journal(&lab, "pve1"));
    assert_as_before(&lab, "pve1", &before);
}

#[tokio::test]
async fn an_outside_hand_right_after_the_write_is_taken_back() {
    let Some(lab) = Lab::up("fw-spoiled", &["pve1"], &[]) else { return };
    let before = state(&lab, "pve1");
    let way = Way::to(&lab, "pve1").await;
    // Before the rules are live: a login at that moment would have proved nothing.
    for (number, moment) in [(1, "settling"), (2, "window")] {
        let changes = vec![pve_file(CLUSTER_FW, Some(&good_rules(&lab)))];
        let mut login = None;
        let outcome = way
            .drive(&plan("pve1", changes), &order("pve1", number, 60, moment == "window"), |event| {
                let now = match event {
                    Event::Settling { .. } => "settling",
                    Event::Window { .. } => "window",
                    _ => return,
                };
                if now == moment {
                    spoil(&lab, "pve1", &locking_rules(&lab));
                    login = Some(lab.root_password_login("pve1").status);
                }
            })
            .await;
        assert_eq!(login, Some(0), "the old rules still let everybody in");
        rolled_back(&outcome, &lab, "somebody else changed /etc/pve/firewall/cluster.fw");
        assert_as_before(&lab, "pve1", &before);
    }
}

#[tokio::test]
async fn a_reboot_inside_the_window_comes_up_without_the_rules() {
    let Some(lab) = Lab::up("fw-reboot", &["pve1"], &[]) else { return };
    let before = state(&lab, "pve1");
    for (number, cut) in [(1, &[][..]), (2, &["--power-cut"])] {
        let way = Way::to(&lab, "pve1").await;
        let changes = vec![pve_file(CLUSTER_FW, Some(&locking_rules(&lab)))];
        let (plan, order) = (plan("pve1", changes), order("pve1", number, 300, true));
        let tool = way.drive(&plan, &order, |_| ());
        let reboot = async {
            let open = || lab.exec("pve1", "grep -q ' window ' /var/lib/pve-harden/runs/*/journal").status == 0;
            while !open() || !enforced(&lab, "pve1") {
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
        };
        tokio::select! {
            outcome = tool => panic!("{outcome:?}\n{}", journal(&lab, "pve1")),
            () = reboot => {}
        }
        lab.lab(["reboot", "pve1"].iter().chain(cut)).exits(0);
        settles(&lab, "pve1");
        let journal = journal(&lab, "pve1");
        assert!(journal.contains(" undoing boot-local") && journal.contains(" undoing boot-pve"), "{journal}");
        assert_as_before(&lab, "pve1", &before);
        assert!(!enforced(&lab, "pve1"));
        lab.on("pve1", "rm -rf /var/lib/pve-harden/runs/*");
    }
}
