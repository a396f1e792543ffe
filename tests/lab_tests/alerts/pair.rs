//! What every member of a cluster sees is told once, by the first of them. On PVE 8.

use std::time::Duration;

use super::STATE;
use super::receiver::Receiver;
use crate::support::lab::{Lab, eventually};

#[test]
fn one_member_tells_what_all_of_them_see() {
    let Some(lab) = Lab::up("alertpair", &["pve1", "pve2"], &["--pve", "8", "--cluster"]) else { return };
    let receiver = Receiver::start(&lab);
    for node in ["pve1", "pve2"] {
        receiver.trusted_by(&lab, node);
        receiver.hook(&lab, node);
    }
    let nodes = ["pve1", "pve2"];
    lab.harden(&[&["apply"], &nodes[..], &["--control", "accounts.admin", "--yes"]].concat()).exits(0);
    let words = ["--profile", "strict", "--control", "alerts.events", "--yes"];
    lab.harden(&[&["apply"], &nodes[..], &words[..]].concat()).exits(0);
    for node in nodes {
        eventually(Duration::from_secs(120), "the service has looked around", || {
            lab.exec(node, &format!("grep -q '\"users\"' {STATE}/state.json")).status == 0
        });
    }
    // On the second member, so that the first tells of what it did not do itself.
    lab.on("pve2", "pveum user add mallory@pve && pveum acl modify / --users mallory@pve --roles Administrator");
    let by = |words: &str| -> Vec<String> {
        let posted = receiver.posted.lock().unwrap();
        let told = posted.iter().filter(|body| body["message"].as_str().is_some_and(|text| text.contains(words)));
        told.map(|body| body["node"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let wanted = ["new user mallory@pve", "new right: mallory@pve has Administrator on / and below"];
    receiver.wait_for(&lab, "pve1", &wanted, || true);
    // The second member has seen the user as well by now, and says nothing of it.
    eventually(Duration::from_secs(120), "both members know the user", || {
        lab.exec("pve2", &format!("grep -q mallory@pve {STATE}/state.json")).status == 0
    });
    assert_eq!(by("new user mallory@pve"), ["pve1"]);
    assert_eq!(by("new right: mallory@pve"), ["pve1"]);
    let pending = lab.on("pve2", &format!("cat {STATE}/state.json"));
    let pending: serde_json::Value = serde_json::from_str(&pending).unwrap();
    assert!(pending["digest"]["pending"].get("users").is_none(), "{pending}");
}
