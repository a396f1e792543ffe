//! Sites with which a run would shut the operator out: refused with the reason and the way out, nothing changed.

use std::fs;

use super::tool::{Tool, new_key, sshd_settings};
use crate::support::lab::{Lab, Said};

/// What the report says of its refusals.
fn refusals(said: &Said) -> String {
    let found = said.stdout.split("\n\n").filter(|block| block.starts_with("refused"));
    found.collect::<Vec<_>>().join("\n\n")
}

/// The lab's site without its administrator.
fn without_admins(lab: &Lab) -> String {
    let site = fs::read_to_string(&lab.site).unwrap();
    site.split("[[admin]]").next().unwrap().to_owned()
}

#[test]
fn a_run_that_would_shut_the_operator_out() {
    let Some(lab) = Lab::up("in-refusals", &["pve1"], &[]) else { return };
    sshd_settings(&lab, "pve1", "");
    let before = lab.fingerprint("pve1");
    let address = lab.address("pve1");

    // No site at all: the node is read, and what is missing is said.
    let tool = Tool::new(&lab);
    fs::remove_file(tool.path("site.toml")).unwrap();
    let said = tool.run(&["plan", &format!("root@{address}")]).exits(4);
    insta::assert_snapshot!(refusals(&said), @r"
    refused: this plan will not be applied
      - accounts.admin: the site names no administrator with a public key; add one under `[[admin]]` with `keys`
        way out: change the profile or the site; `pve-harden explain accounts.admin` says why
      - ssh.password-auth: no administrator of the site has a public key, so nobody could log in once passwords are refused; name one under `[[admin]]` with `keys`
        way out: change the profile or the site; `pve-harden explain ssh.password-auth` says why
      - the site names no administrator, so root would be the only login left and nobody could prove the way in
        way out: name one with a public key: `pve-harden init`, or [[admin]] in the site file
    ");

    let tool = Tool::new(&lab).file("site.toml", &without_admins(&lab));
    let said = tool.run(&["apply", "pve1", "--yes"]).exits(4);
    insta::assert_snapshot!(refusals(&said), @r"
    refused: this plan will not be applied
      - accounts.admin: the site names no administrator with a public key; add one under `[[admin]]` with `keys`
        way out: change the profile or the site; `pve-harden explain accounts.admin` says why
      - ssh.password-auth: no administrator of the site has a public key, so nobody could log in once passwords are refused; name one under `[[admin]]` with `keys`
        way out: change the profile or the site; `pve-harden explain ssh.password-auth` says why
      - the site names no administrator, so root would be the only login left and nobody could prove the way in
        way out: name one with a public key: `pve-harden init`, or [[admin]] in the site file
    ");

    let tool = Tool::new(&lab);
    new_key(&tool, "elsewhere", "");
    let key = fs::read_to_string(lab.admin_key().with_extension("pub")).unwrap();
    let other = fs::read_to_string(tool.path("elsewhere.pub")).unwrap();
    fs::remove_file(tool.path("elsewhere")).unwrap();
    let tool = tool.site(&[(key.trim(), other.trim())]);
    let said = tool.run(&["apply", "pve1", "--yes"]).exits(4);
    insta::assert_snapshot!(refusals(&said), @r"
    refused: this plan will not be applied
      - this machine holds no private key of an administrator who could log in afterwards (ops)
        way out: add the key to the ssh agent or pass `--identity FILE`; if somebody else will confirm on the node, use `--confirm manual`
    ");

    let site = fs::read_to_string(&lab.site).unwrap();
    let management = site.lines().find(|line| line.starts_with("management")).unwrap();
    let tool = Tool::new(&lab).site(&[(management, "management = [\"192.0.2.0/24\"]")]);
    let said = tool.run(&["apply", "pve1", "--yes"]).exits(4);
    let own = address.replace(".32", ".2");
    insta::assert_snapshot!(refusals(&said).replace(&own, "[operator]"), @r"
    refused: this plan will not be applied
      - the node sees you at [operator], which is outside the management networks (192.0.2.0/24)
        way out: connect from a management network, or add yours to `management` in the site file
    ");

    // Nobody is there to say yes.
    let tool = Tool::new(&lab);
    insta::assert_snapshot!(tool.told(&tool.run(&["apply", "pve1"])), @r"
    exit 4
    error: nothing was changed on pve1
    cause: nobody is at a terminal to say yes
    hint: look at the plan, then run the same command with --yes
    ");

    assert_eq!(lab.fingerprint("pve1"), before);
    lab.on("pve1", "test ! -e /var/lib/pve-harden");
}
