//! What every control says of a recorded node: as it came, after its own changes, and with what it depends on
//! unreadable. The texts are in `tests/controls/<id>/<state>.snap`.

use pve_harden::controls::Status;
use pve_harden::facts::{Facts, Reading};
use pve_harden::profile::policy::Policy;

use super::{asked, changes, control, model, policy, show};

fn snapshot(id: &str, state: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(id);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(state, text));
}

/// Judges the node, applies what the control wants to the model, judges again, and once more with something unreadable.
fn three_states(id: &str, facts: Facts, policy: &Policy, unreadable: impl FnOnce(&mut Facts)) {
    let facts = asked(facts, policy);
    let control = control(id);
    assert!(control.enabled(policy), "{id} is not enabled");
    let first = control.evaluate(&facts, policy);
    snapshot(id, "differs", &show::verdict(&first));

    let after = model::apply(&facts, changes(&first));
    let second = control.evaluate(&after, policy);
    snapshot(id, "compliant", &show::verdict(&second));
    assert_eq!(second.status, Status::Compliant, "{id} is not content with its own changes");
    assert!(!second.evidence.is_empty(), "{id} is compliant without evidence");

    let mut blind = after;
    unreadable(&mut blind);
    let third = control.evaluate(&blind, policy);
    snapshot(id, "unreadable", &show::verdict(&third));
    assert!(matches!(third.status, Status::Unknown { .. }), "{id} judges what it cannot read: {:?}", third.status);
}

fn refused<T>() -> Reading<T> {
    Reading::Unreadable("permission denied".into())
}

#[test]
fn ssh_root_login() {
    three_states("ssh.root-login", Facts::cluster_of_three(), &policy("baseline"), |facts| facts.cluster = refused());
}

#[test]
fn ssh_password_auth() {
    three_states("ssh.password-auth", Facts::fresh_pve9(), &policy("baseline"), |facts| {
        for reading in facts.sshd.cases.values_mut() {
            *reading = refused();
        }
    });
}

#[test]
fn ssh_limits() {
    three_states("ssh.limits", Facts::fresh_pve9(), &policy("baseline"), |facts| {
        facts.sshd.cases.retain(|case, _| case.user == "root");
    });
}

#[test]
fn ssh_forwarding() {
    three_states("ssh.forwarding", Facts::cluster_of_three(), &policy("strict"), |facts| {
        let peer = facts.sshd.cases.keys().find(|case| facts.peer_addresses().contains(&case.address)).cloned();
        facts.sshd.cases.remove(&peer.unwrap());
    });
}

#[test]
fn ssh_crypto() {
    let mut policy = policy("strict");
    policy.profile.ssh.crypto.required_rsa_size = 2048;
    three_states("ssh.crypto", Facts::fresh_pve8(), &policy, |facts| {
        facts.sshd.algorithms.remove("kex");
    });
}

#[test]
fn accounts_admin() {
    three_states("accounts.admin", Facts::fresh_pve9(), &policy("baseline"), |facts| facts.accounts.shadow = refused());
}

/// The only control that wants nothing: an old password is a finding, and the person who sets a new one is modelled.
#[test]
fn accounts_root_password() {
    let id = "accounts.root-password";
    let policy = policy("baseline");
    let mut facts = Facts::fresh_pve9();
    let Reading::Known(shadow) = &mut facts.accounts.shadow else { panic!("no shadow") };
    let changed = shadow["root"].last_change.unwrap();
    shadow.get_mut("root").unwrap().last_change = Some(changed - 400);
    let old = control(id).evaluate(&facts, &policy);
    snapshot(id, "differs", &show::verdict(&old));
    assert!(changes(&old).is_empty(), "root's password is never changed by the tool");

    let Reading::Known(shadow) = &mut facts.accounts.shadow else { panic!("no shadow") };
    shadow.get_mut("root").unwrap().last_change = Some(changed);
    let fresh = control(id).evaluate(&facts, &policy);
    snapshot(id, "compliant", &show::verdict(&fresh));
    assert_eq!(fresh.status, Status::Compliant);

    facts.taken = refused();
    let blind = control(id).evaluate(&facts, &policy);
    snapshot(id, "unreadable", &show::verdict(&blind));
    assert!(matches!(blind.status, Status::Unknown { .. }));
}
