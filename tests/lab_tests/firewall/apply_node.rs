//! One node: what spoils its rules or port 8006 is taken back by the node itself.

use pve_harden::apply::engine::Outcome;
use pve_harden::change::UnitVerb;

use super::by_hand::{
    CLUSTER_FW, PATIENCE, Way, assert_as_before, journal, local_file, order, plan, pve_file, state, unit,
};
use crate::support::lab::{Lab, eventually};

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
    for (number, content, word) in [
        (1, "CIPHERS=\"NOSUCH\"\n", "port 8006 does not answer"),
        (2, "POLICY=\"nonsense\"\n", "pveproxy.service failed"),
    ] {
        let changes =
            vec![local_file("/etc/default/pveproxy", content), unit("pveproxy.service", UnitVerb::TryRestart)];
        let outcome = way.drive(&plan("pve1", changes), &order("pve1", number, 60, false), |_| ()).await;
        rolled_back(&outcome, &lab, word);
        assert_as_before(&lab, "pve1", &before);
    }
}

#[tokio::test]
async fn a_cluster_without_quorum_is_not_touched() {
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
}
