//! Ten thousand events are a few alerts, and hide nothing. On PVE 8.

use std::time::{Duration, Instant};

use super::receiver::Receiver;
use super::{STATE, root_login_words};
use crate::support::lab::{Lab, eventually};

const CALLS: u64 = 10_000;
/// Seconds between two alerts (`digest.py`).
const GAP: u64 = 30;

/// Calls of root@pam's at port 8006, one after the other.
fn flood(lab: &Lab) {
    let script = format!(
        r#"set -eu
        secret=$(pveum user token add root@pam flood --privsep 0 --output-format json |
            sed 's/.*"value" *: *"\([^"]*\)".*/\1/')
        printf '%s\n' insecure silent 'request = PUT' 'data = "description=flood"' 'output = /dev/null' \
            "header = \"Authorization: PVEAPIToken=root@pam!flood=$secret\"" \
            'url = "https://127.0.0.1:8006/api2/json/nodes/pve1/config#[1-{CALLS}]"' >/root/flood
        systemd-run --quiet --unit=flood curl -K /root/flood"#
    );
    lab.on("pve1", &script);
}

#[test]
fn ten_thousand_calls_are_a_few_alerts() {
    let Some(lab) = Lab::up("alertflood", &["pve1"], &["--pve", "8"]) else { return };
    let receiver = Receiver::start(&lab);
    receiver.trusted_by(&lab, "pve1");
    receiver.hook(&lab, "pve1");
    lab.harden(&["apply", "pve1", "--control", "accounts.admin", "--yes"]).exits(0);
    lab.harden(&["apply", "pve1", "--profile", "strict", "--control", "alerts.events", "--yes"]).exits(0);
    eventually(Duration::from_secs(120), "the service has looked around", || {
        lab.exec("pve1", &format!("grep -q '\"users\"' {STATE}/state.json")).status == 0
    });
    let begun = Instant::now();
    flood(&lab);
    // In the middle of it, and read from the journal.
    assert_eq!(lab.root_password_login("pve1").stdout.trim(), "0");
    receiver.wait_for(&lab, "pve1", &[root_login_words(), "new token root@pam!flood"], || {
        receiver.told("root-operations") >= CALLS
    });
    let (seconds, posted) = (begun.elapsed().as_secs(), receiver.posted.lock().unwrap().clone());
    assert_eq!(receiver.told("root-operations"), CALLS, "nothing is lost from the count, and nothing told twice");
    assert!(posted.len() as u64 <= 2 + seconds / GAP, "{} alerts in {seconds} s", posted.len());
    for body in &posted {
        assert!(body["message"].as_str().unwrap().len() < 8000, "{body}");
    }
}
