//! What every control says of a recorded node: as it came, after its own changes, and with what it depends on
//! unreadable. The texts are in `tests/controls/<id>/<state>.snap`.

use pve_harden::controls::Status;
use pve_harden::controls::web::questions;
use pve_harden::facts::network::Handshake;
use pve_harden::facts::{AuthorizedKeys, Facts, Reading, User};
use pve_harden::profile::policy::Policy;

use super::{asked, changes, control, model, policy, show};

pub fn snapshot(id: &str, state: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(id);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(state, text));
}

/// Judges the node, applies what the control wants to the model, judges again, and once more with something unreadable.
pub fn three_states(id: &str, facts: Facts, policy: &Policy, unreadable: impl FnOnce(&mut Facts)) {
    three_states_of(id, "", facts, policy, unreadable);
}

/// The three kinds of node.
fn nodes() -> [(&'static str, Facts); 3] {
    [("-pve9", Facts::fresh_pve9()), ("-pve8", Facts::fresh_pve8()), ("-cluster", Facts::cluster_of_three())]
}

/// The same, with the kind of node in the snapshots' names.
fn three_states_of(id: &str, node: &str, facts: Facts, policy: &Policy, unreadable: impl FnOnce(&mut Facts)) {
    let facts = asked(facts, policy);
    let control = control(id);
    assert!(control.enabled(policy), "{id} is not enabled");
    let first = control.evaluate(&facts, policy);
    snapshot(id, &format!("differs{node}"), &show::verdict(&first));

    let after = model::apply(&facts, changes(&first));
    let second = control.evaluate(&after, policy);
    snapshot(id, &format!("compliant{node}"), &show::verdict(&second));
    assert_eq!(second.status, Status::Compliant, "{id} is not content with its own changes");
    assert!(!second.evidence.is_empty(), "{id} is compliant without evidence");

    let mut blind = after;
    unreadable(&mut blind);
    let third = control.evaluate(&blind, policy);
    snapshot(id, &format!("unreadable{node}"), &show::verdict(&third));
    assert!(matches!(third.status, Status::Unknown { .. }), "{id} judges what it cannot read: {:?}", third.status);
}

pub fn refused<T>() -> Reading<T> {
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
fn ssh_banner() {
    three_states("ssh.banner", Facts::cluster_of_three(), &policy("strict"), |facts| {
        facts.files.insert("/etc/issue.net".into(), refused());
    });
}

#[test]
fn session_notice() {
    three_states("session.notice", Facts::fresh_pve9(), &policy("strict"), |facts| {
        facts.files.insert("/etc/issue.d/pve-harden.issue".into(), refused());
    });
}

#[test]
fn web_consent() {
    three_states("web.consent", Facts::fresh_pve9(), &policy("strict"), |facts| {
        facts.files.insert("/etc/pve/datacenter.cfg".into(), refused());
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

#[test]
fn web_allow_from() {
    for (node, facts) in nodes() {
        three_states_of("web.allow-from", node, facts, &policy("strict"), |facts| facts.cluster = refused());
    }
}

#[test]
fn web_tls() {
    for (node, mut facts) in nodes() {
        let policy = policy("strict");
        answers(&mut facts, &policy, |label| label == "other-ciphers");
        three_states_of("web.tls", node, facts, &policy, |facts| facts.network.tls = refused());
    }
}

/// Lets 8006 answer this policy's questions; `weak` names those that should have been refused and are not.
fn answers(facts: &mut Facts, policy: &Policy, weak: impl Fn(&str) -> bool) {
    let Reading::Known(tls) = &mut facts.network.tls else { panic!("no handshakes") };
    let agreed = |protocol: &str, cipher: &str| Handshake::Agreed { protocol: protocol.into(), cipher: cipher.into() };
    tls.asked = questions(policy)
        .into_iter()
        .map(|question| {
            let answer = match question.label.as_str() {
                "wanted" => agreed("TLSv1.3", "TLS_AES_256_GCM_SHA384"),
                label if weak(label) => agreed("TLSv1.2", "ECDHE-RSA-AES256-SHA384"),
                _ => Handshake::Refused("handshake failure".into()),
            };
            (question.label.clone(), (question, Some(answer)))
        })
        .collect();
}

#[test]
fn web_listen() {
    for (node, facts) in nodes() {
        three_states_of("web.listen", node, facts, &policy("strict"), |facts| facts.network.guests = refused());
    }
}

#[test]
fn network_listen() {
    for (node, facts) in nodes() {
        three_states_of("network.listen", node, facts, &policy("baseline"), |facts| facts.listeners = refused());
    }
}

/// Judges the node with every control of the firewall; the datacenter's part is the same on each.
fn firewall(id: &str, blind: impl Fn(&mut Facts)) {
    for (node, facts) in nodes() {
        let mut policy = policy("strict");
        let firewall = &mut policy.profile.firewall;
        firewall.management.enabled = true;
        firewall.enable.enabled = true;
        firewall.node.enabled = true;
        firewall.corosync.enabled = true;
        firewall.services.enabled = true;
        three_states_of(id, node, facts, &policy, &blind);
    }
}

#[test]
fn firewall_management() {
    firewall("firewall.management", |facts| facts.cluster = refused());
}

#[test]
fn firewall_enable() {
    firewall("firewall.enable", |facts| {
        facts.files.insert("/etc/pve/firewall/cluster.fw".into(), refused());
    });
}

#[test]
fn firewall_node() {
    firewall("firewall.node", |facts| {
        facts.files.insert("/etc/pve/nodes/pve1/host.fw".into(), refused());
    });
}

/// Only a cluster has links, and only there another than the first needs a rule.
#[test]
fn firewall_corosync() {
    let mut policy = policy("baseline");
    policy.profile.firewall.corosync.enabled = true;
    let blind = |facts: &mut Facts| facts.cluster = refused();
    three_states_of("firewall.corosync", "", Facts::cluster_of_three(), &policy, blind);
}

#[test]
fn firewall_services() {
    let mut policy = policy("baseline");
    policy.profile.firewall.services.enabled = true;
    let blind = |facts: &mut Facts| facts.listeners = refused();
    three_states_of("firewall.services", "", Facts::cluster_of_three(), &policy, blind);
}

/// It wants nothing: a node that is told to use a firewall it does not have is a person's to repair.
#[test]
fn firewall_backend() {
    let id = "firewall.backend";
    let mut policy = policy("strict");
    policy.profile.firewall.backend.enabled = true;
    for (node, facts) in nodes() {
        let mut facts = asked(facts, &policy);
        let path = "/etc/pve/nodes/pve1/host.fw";
        let image = pve_harden::change::FileImage::root("[OPTIONS]\n\nnftables: 1\n", 0o640);
        facts.files.insert(path.into(), Reading::Known(model::regular(&image)));
        let wrong = control(id).evaluate(&facts, &policy);
        snapshot(id, &format!("differs{node}"), &show::verdict(&wrong));
        assert!(changes(&wrong).is_empty(), "the backend is never switched");
        facts.files.insert(path.into(), Reading::Absent);
        let right = control(id).evaluate(&facts, &policy);
        snapshot(id, &format!("compliant{node}"), &show::verdict(&right));
        assert_eq!(right.status, Status::Compliant);
        facts.files.insert(path.into(), refused());
        let blind = control(id).evaluate(&facts, &policy);
        snapshot(id, &format!("unreadable{node}"), &show::verdict(&blind));
        assert!(matches!(blind.status, Status::Unknown { .. }));
    }
}

/// It wants nothing: a key may be somebody's only one. A person repairs what is modelled as repaired.
#[test]
fn ssh_keys() {
    let id = "ssh.keys";
    let mut policy = policy("baseline");
    policy.origins = std::sync::Arc::default();
    let mut facts = asked(Facts::fresh_pve9(), &policy);
    let day = facts.taken.known().unwrap().as_second() / 86_400;
    person(&mut facts, "ops", 1000, &[super::KEY, super::OTHER_KEY, super::KEY], Some(day * 86_400));
    person(&mut facts, "eve", 1001, &[super::OTHER_KEY, RSA_2048], Some((day - 800) * 86_400));
    let aged = format!("{} 2020-02-29", super::KEY.replace("OeZJ", "OeZK"));
    person(&mut facts, "old", 1002, &[&aged, "ssh-rsa AAAAbroken x"], None);
    let wrong = control(id).evaluate(&facts, &policy);
    snapshot(id, "differs", &show::verdict(&wrong));
    assert!(changes(&wrong).is_empty(), "no key is taken away");

    person(&mut facts, "ops", 1000, &[super::KEY], Some(day * 86_400));
    person(&mut facts, "eve", 1001, &[super::OTHER_KEY], None);
    facts.accounts.authorized_keys.insert("old".into(), Reading::Absent);
    let right = control(id).evaluate(&facts, &policy);
    snapshot(id, "compliant", &show::verdict(&right));
    assert_eq!(right.status, Status::Compliant);

    facts.accounts.authorized_keys.remove("eve");
    let blind = control(id).evaluate(&facts, &policy);
    snapshot(id, "unreadable", &show::verdict(&blind));
    assert!(matches!(blind.status, Status::Unknown { .. }));
}

const RSA_2048: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCyMN5vco7MXwLHsOe0U6aK30oADJpRfckI4CQym1E42qrGV/sf7V+Z/CiMW9uZ8z1E1EJqMcel0Hrp8sdoqy9Oo64HgAMqwvsR6DmMLmo5FEzJK0/dRQcRagBS1Hq8GeyA/iYzjtf3Tg9zIcVmpgJ0Ikrz4jmDZaLwQpE7saW7eHNYfT7P/lWxz6iaOFhWxT4YPQGZINbsgfX3j2TnsnC2XL4gijoAOLnVlLks+R2I0zfQsqwuWnLNrRJ4bVli3D8sawov5h7AkEj79BZyNXN7t/cJBlJ5zfQnsd+ZJbdRX1DohaLf+yLsRvrZe4DKl/L4rJO8KHFN49oZDUX5Dy6Z eve@laptop";

fn person(facts: &mut Facts, name: &str, uid: u32, lines: &[&str], changed: Option<i64>) {
    let home = format!("/home/{name}");
    let Reading::Known(users) = &mut facts.accounts.users else { panic!("no passwd") };
    let shell = "/bin/bash".into();
    let user = User { name: name.into(), uid, gid: uid, gecos: String::new(), home: home.clone(), shell };
    users.insert(name.into(), user);
    let path = format!("{home}/.ssh/authorized_keys");
    let lines = lines.iter().map(ToString::to_string).collect();
    let keys = AuthorizedKeys { path, local: true, lines, changed };
    facts.accounts.authorized_keys.insert(name.into(), Reading::Known(keys));
}
