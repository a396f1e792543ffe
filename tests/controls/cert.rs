//! cert.*: what they say of a node whose 8006 serves a certificate that ends soon, is not the installed one, or is for
//! other names.

use pve_harden::controls::{Status, Verdict};
use pve_harden::facts::cert::Served;
use pve_harden::facts::{Facts, Reading, Unit};
use pve_harden::profile::policy::Policy;
use pve_harden::pve::certificate::Certificate;

use super::fixtures::{refused, snapshot};
use super::{advice, asked, changes, control, model, policy, show};

const DAY: i64 = 86_400;
const TIMER: &str = "pve-daily-update.timer";

fn known<T>(reading: &mut Reading<T>) -> &mut T {
    match reading {
        Reading::Known(value) => value,
        _ => panic!("not known"),
    }
}

fn certificate(issuer: &str, names: &[&str], mark: &str, ends: i64) -> Certificate {
    Certificate {
        subject: "CN=pve1.example.com".into(),
        issuer: issuer.into(),
        names: names.iter().map(ToString::to_string).collect(),
        not_before: 0,
        not_after: ends,
        fingerprint: mark.into(),
    }
}

/// A fresh node that serves the certificate PVE made, one that ends in `days`.
fn node(policy: &Policy, days: i64) -> Facts {
    let mut facts = asked(Facts::fresh_pve9(), policy);
    let now = facts.taken.known().unwrap().as_second();
    let own =
        certificate("CN=Proxmox Virtual Environment,O=PVE Cluster Manager CA", &["pve1"], "AA:11", now + days * DAY);
    let verify = (20, "(unable to get local issuer certificate)".into());
    facts.cert.served = Reading::Known(Served { address: "127.0.0.1".into(), chain: vec![own.clone()], verify });
    facts.cert.own = Reading::Known(vec![own]);
    facts.cert.installed = Reading::Absent;
    facts.cert.plugins = Reading::Known([].into());
    facts.files.insert("/etc/pve/nodes/pve1/config".into(), Reading::Absent);
    facts.files.insert("/etc/pve/nodes/pve1/pveproxy-ssl.pem".into(), Reading::Absent);
    let unit = Unit { load: "loaded".into(), active: "active".into(), file_state: "enabled".into() };
    known(&mut facts.units).insert(TIMER.into(), unit);
    facts
}

fn judged(id: &str, state: &str, facts: &Facts, policy: &Policy) -> Verdict {
    let verdict = control(id).evaluate(facts, policy);
    snapshot(id, state, &show::verdict(&verdict));
    verdict
}

#[test]
fn renewal() {
    let policy = policy("baseline");
    let mut facts = node(&policy, 3);
    known(&mut facts.units).get_mut(TIMER).unwrap().active = "inactive".into();
    let soon = judged("cert.renewal", "differs-pve", &facts, &policy);
    assert_eq!(changes(&soon).len(), 1, "the timer is started");
    assert!(advice(&soon).contains("pve-daily-update.service"));

    let mut facts = model::apply(&facts, changes(&soon));
    known(&mut facts.units).get_mut(TIMER).unwrap().active = "active".into();
    let now = facts.taken.known().unwrap().as_second();
    known(&mut facts.cert.served).chain[0].not_after = now + 500 * DAY;
    let fine = judged("cert.renewal", "compliant", &facts, &policy);
    assert_eq!(fine.status, Status::Compliant);

    facts.cert.served = refused();
    let blind = judged("cert.renewal", "unreadable", &facts, &policy);
    assert!(matches!(blind.status, Status::Unknown { .. }));
}

#[test]
fn a_certificate_that_lies_there_unread_makes_pveproxy_read_it() {
    let policy = policy("baseline");
    let mut facts = node(&policy, 500);
    let now = facts.taken.known().unwrap().as_second();
    facts.cert.installed = Reading::Known(vec![certificate("CN=R11", &["pve1.example.com"], "BB:22", now + 60 * DAY)]);
    let verdict = judged("cert.renewal", "differs-unread", &facts, &policy);
    assert_eq!(changes(&verdict).len(), 1);
}

#[test]
fn nobody_renews_an_administrators_own() {
    let policy = policy("baseline");
    let mut facts = node(&policy, 500);
    let now = facts.taken.known().unwrap().as_second();
    let own = certificate("CN=Corporate CA", &["pve1.example.com"], "CC:33", now + 9 * DAY);
    known(&mut facts.cert.served).chain = vec![own.clone()];
    facts.cert.installed = Reading::Known(vec![own]);
    let verdict = judged("cert.renewal", "differs-own", &facts, &policy);
    assert!(advice(&verdict).contains("cert.custom"), "{}", advice(&verdict));
}
