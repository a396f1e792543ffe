//! What PAM's account phase does to logins with a key, on real nodes, and that the tool knows of it beforehand.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pve_harden::transport::{Credentials, Limits, Methods, Operator, Program, Target, fresh_run};

use crate::support::lab::{Lab, Said};

/// Gives ops a password that is so old, with the 365 days of the profile and these inactive days.
fn age(lab: &Lab, days: u32, inactive: &str) {
    lab.on("pve1", &format!("chage -M 365 -I {inactive} -d $(date -d '{days} days ago' +%F) ops"));
}

/// An interactive login with the key: what its terminal shows. Whoever is asked there is answered nothing.
fn terminal(lab: &Lab) -> String {
    let mut command = Command::new("timeout");
    command.args(["10", "ssh", "-tt", "-o", "BatchMode=yes", "-o", "ControlPath=none", "-F"]).arg(&lab.ssh_config);
    let said = Said::of(&command.args(["pve1", "echo a shell"]).stdin(Stdio::null()).output().unwrap());
    said.stdout + &said.stderr
}

fn an_old_password_stops_commands_and_inactive_days_everything(lab: &Lab) {
    age(lab, 364, "45");
    lab.ssh("pve1", &[], "true").exits(0);
    age(lab, 366, "-1");
    assert_ne!(lab.ssh("pve1", &[], "true").status, 0, "a command in spite of the old password");
    let shown = terminal(lab);
    assert!(shown.contains("urrent password:"), "nobody was asked for a new password: {shown}");
    age(lab, 365 + 46, "45");
    let shown = terminal(lab);
    assert!(!shown.contains("urrent password:") && !shown.contains("a shell"), "{shown}");
    age(lab, 366 + 365, "-1");
    assert!(terminal(lab).contains("urrent password:"), "without inactive days the key still opens the way to passwd");
}

fn the_tool_knows_before(lab: &Lab) {
    age(lab, 340, "-1");
    let check = lab.harden(&["check", "pve1"]).exits(1);
    assert!(check.stdout.contains("ops will be refused although the key is right"), "{}", check.stdout);
    lab.on("pve1", "rm /etc/ssh/sshd_config.d/*pve-harden*");
    let plan = lab.harden(&["plan", "pve1"]).exits(4);
    assert!(plan.stdout.contains("in 30 days no administrator could log in any more"), "{}", plan.stdout);
    assert!(plan.stdout.contains("`passwd ops` sets a new password"), "{}", plan.stdout);
    lab.harden(&["apply", "pve1", "--yes"]).exits(4);
    age(lab, 0, "-1");
    lab.harden(&["apply", "pve1", "--yes"]).exits(0);
    assert_eq!(lab.on("pve1", "getent shadow ops | cut -d: -f5,7"), "365:\n", "the tool gave no inactive days");
}

/// A login that PAM closes is not taken for one that sshd turned away for now, which would be waited for.
async fn a_fresh_login_names_it_at_once(lab: &Lab) {
    lab.on("pve1", "chage -E 1 ops");

    let target = Target {
        user: Some("ops".into()),
        ssh_config: Some(lab.ssh_config.clone()),
        identity: Some(lab.admin_key()),
        ..Target::new(lab.address("pve1"))
    };
    let credentials = Credentials { methods: Methods::KeyOnly, ..Credentials::default() };
    let operator = Arc::new(Operator::absent().through(env!("CARGO_BIN_EXE_pve-harden")));
    let began = Instant::now();
    let said = fresh_run(&target, &credentials, &operator, &Program::new("emit x 0"), Limits::default()).await;
    let error = said.unwrap_err().to_string();
    assert!(error.contains("the key was accepted, and then the node closed the connection"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    lab.on("pve1", "chage -E -1 ops");
    fresh_run(&target, &credentials, &operator, &Program::new("emit x 0"), Limits::default()).await.unwrap();
}

fn expiry(test: &str, options: &[&str]) {
    let Some(lab) = Lab::up(test, &["pve1"], options) else { return };
    lab.harden(&["apply", "pve1", "--yes"]).exits(0);
    lab.on("pve1", "usermod -p '$6$salt$x' ops && useradd -D | grep -q INACTIVE=45");
    an_old_password_stops_commands_and_inactive_days_everything(&lab);
    the_tool_knows_before(&lab);
    tokio::runtime::Runtime::new().unwrap().block_on(a_fresh_login_names_it_at_once(&lab));
}

#[test]
fn expiry_on_pve_9() {
    expiry("expiry9", &[]);
}

#[test]
fn expiry_on_pve_8() {
    expiry("expiry8", &["--pve", "8"]);
}
