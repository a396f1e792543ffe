//! cert.*: what they say of a node whose 8006 serves a certificate that ends soon, is not the installed one, or is for
//! other names.

use pve_harden::change::certificate::CertStep;
use pve_harden::change::{Action, Change};
use pve_harden::controls::{Status, Verdict};
use pve_harden::facts::cert::{Account, Served};
use pve_harden::facts::{Facts, Reading, Unit};
use pve_harden::profile::policy::{CertDns, Policy};
use pve_harden::pve::certificate::{self as certificates, Certificate};
use pve_harden::secret::Secret;

use super::fixtures::{refused, snapshot};
use super::{advice, asked, changes, control, model, policy, refusal, show};

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

/// A node that may ask Let's Encrypt for its name.
fn acme_node() -> (Facts, Policy) {
    let mut policy = policy("baseline");
    let acme = &mut policy.profile.cert.acme;
    acme.enabled = true;
    acme.domains = vec!["{node}.example.com".into()];
    acme.contact = vec!["ops@example.com".into()];
    acme.agree_to_terms = true;
    let mut facts = node(&policy, 500);
    let own = facts.addresses.known().unwrap().iter().find(|net| net.addr().is_ipv4() && !net.addr().is_loopback());
    let own = own.unwrap().addr();
    facts.cert.accounts = Reading::Known([("default".into(), None)].into());
    facts.cert.names = Reading::Known([("pve1.example.com".into(), [own].into())].into());
    (facts, policy)
}

#[test]
fn acme() {
    let (facts, policy) = acme_node();
    let first = judged("cert.acme", "differs", &facts, &policy);
    assert_eq!(changes(&first).len(), 3, "account, configuration, order");

    let mut after = model::apply(&facts, changes(&first));
    let second = judged("cert.acme", "compliant", &after, &policy);
    assert_eq!(second.status, Status::Compliant);

    after.cert.accounts = refused();
    let blind = judged("cert.acme", "unreadable", &after, &policy);
    assert!(matches!(blind.status, Status::Unknown { .. }));
}

#[test]
fn what_would_make_an_order_fail_is_said_before_one_is_placed() {
    let (facts, policy) = acme_node();
    let advised = |change: &dyn Fn(&mut Facts)| {
        let mut facts = facts.clone();
        change(&mut facts);
        let verdict = control("cert.acme").evaluate(&facts, &policy);
        assert!(changes(&verdict).is_empty());
        advice(&verdict).to_owned()
    };
    let name = || "pve1.example.com".to_owned();
    assert!(
        advised(&|facts| drop(known(&mut facts.cert.names).insert(name(), [].into()))).contains("does not resolve")
    );
    let elsewhere = advised(&|facts| {
        known(&mut facts.cert.names).insert(name(), ["198.51.100.9".parse().unwrap()].into());
    });
    assert!(elsewhere.contains("198.51.100.9") && elsewhere.contains("forwarded"), "{elsewhere}");
    let taken = advised(&|facts| {
        let mut listener = facts.listeners.known().unwrap()[0].clone();
        (listener.protocol, listener.port) = ("tcp".into(), 80);
        (listener.address, listener.process) = ("0.0.0.0".parse().unwrap(), Some("nginx".into()));
        known(&mut facts.listeners).push(listener);
    });
    assert!(taken.contains("nginx listens on port 80"), "{taken}");
    let own = advised(&|facts| {
        let other = certificate("CN=Corporate CA", &["pve1.example.com"], "CC:33", i64::MAX / 2);
        facts.cert.installed = Reading::Known(vec![other]);
    });
    assert!(own.contains("replace-own"), "{own}");
    let foreign = advised(&|facts| {
        let account = Account { directory: "https://other.example/dir".into(), ..Account::default() };
        facts.cert.accounts = Reading::Known([("default".into(), Some(account))].into());
    });
    assert!(foreign.contains("another CA"), "{foreign}");
}

#[test]
fn a_certificate_is_ordered_again_only_for_a_reason() {
    let (facts, mut policy) = acme_node();
    let first = control("cert.acme").evaluate(&facts, &policy);
    let after = model::apply(&facts, changes(&first));
    let orders = |facts: &Facts, policy: &Policy| match control("cert.acme").evaluate(facts, policy).status {
        Status::Differs { changes, .. } => {
            let order =
                |change: &&Change| matches!(&change.action, Action::Certificate { step: CertStep::Order { .. } });
            changes.iter().filter(order).count()
        }
        _ => 0,
    };
    assert_eq!(orders(&after, &policy), 0);
    let mut soon = after.clone();
    let now = soon.taken.known().unwrap().as_second();
    known(&mut soon.cert.installed)[0].not_after = now + 5 * DAY;
    assert_eq!(orders(&soon, &policy), 1);
    policy.profile.cert.acme.retired = vec!["dd44".into()];
    assert_eq!(orders(&after, &policy), 1);
    policy.profile.cert.acme.retired.clear();
    policy.profile.cert.acme.domains.push("web.example.com".into());
    let mut more = after;
    let addresses = known(&mut more.cert.names)["pve1.example.com"].clone();
    known(&mut more.cert.names).insert("web.example.com".into(), addresses);
    assert_eq!(orders(&more, &policy), 1);
}

#[test]
fn what_pve_could_not_work_with_is_refused() {
    let (facts, policy) = acme_node();
    let why = |change: &dyn Fn(&mut Policy)| {
        let mut policy = policy.clone();
        change(&mut policy);
        refusal(&control("cert.acme").evaluate(&facts, &policy)).to_owned()
    };
    assert!(why(&|policy| policy.profile.cert.acme.domains = vec!["*.example.com".into()]).contains("wildcard"));
    assert!(why(&|policy| policy.profile.cert.acme.agree_to_terms = false).contains("terms"));
    assert!(why(&|policy| policy.profile.cert.acme.contact.clear()).contains("contact"));
    assert!(why(&|policy| policy.profile.cert.acme.directory = "http://ca.example".into()).contains("https://"));
    assert!(why(&|policy| policy.profile.cert.acme.dns_api = "nosuch".into()).contains("no DNS plugin"));
    assert!(why(&|policy| policy.profile.cert.custom.enabled = true).contains("enable one"));
    assert!(why(&|policy| policy.profile.firewall.enable.enabled = true).contains("acme-http"));
    let secret = why(&|policy| {
        policy.profile.cert.acme.dns_api = "cf".into();
        policy.material.insert("cert.acme.dns-data".into(), Ok(Secret::new("A=1\nhunter2")));
    });
    assert!(secret.contains("line 2") && !secret.contains("hunter2"), "{secret}");
}

#[test]
fn a_rehearsal_needs_a_staging_ca() {
    let (facts, policy) = acme_node();
    let verdict = |directory: &str, staging: &str| {
        let mut policy = policy.clone();
        policy.profile.cert.acme.rehearse = true;
        policy.profile.cert.acme.directory = directory.into();
        policy.profile.cert.acme.staging_directory = staging.into();
        control("cert.acme").evaluate(&facts, &policy)
    };
    assert!(refusal(&verdict("https://ca.example/dir", "")).contains("staging-directory"));
    assert!(refusal(&verdict("https://ca.example/dir", "https://ca.example/dir")).contains("another CA"));
    assert!(refusal(&verdict("production", "http://ca.example/dir")).contains("another CA"));
    let mut idle = policy.clone();
    idle.profile.cert.acme.staging_directory = "https://staging.example/dir".into();
    assert!(refusal(&control("cert.acme").evaluate(&facts, &idle)).contains("rehearse"));
}

/// A name at the node's port 80 and two by services with settings of their own.
#[test]
fn each_name_has_a_service_of_its_own() {
    let (mut facts, mut policy) = acme_node();
    let service = |name: &str, domain: &str| CertDns {
        name: name.into(),
        api: "acmeproxy".into(),
        data: format!("env:{name}"),
        domains: vec![domain.into()],
        alias: String::new(),
        delay: 5,
    };
    policy.profile.cert.acme.dns =
        vec![service("inside", "{node}.inside.example"), service("out", "{node}.out.example")];
    for (name, data) in [("inside", "A=hunter1\n"), ("out", "A=hunter2\n")] {
        policy.material.insert(format!("cert.acme.dns.{name}.data"), Ok(Secret::new(data)));
    }
    let verdict = judged("cert.acme", "differs-two-services", &facts, &policy);
    assert!(!show::verdict(&verdict).contains("hunter"));
    assert_eq!(changes(&verdict).len(), 5, "account, two plugins, configuration, order");

    let refused = |change: &dyn Fn(&mut Policy)| {
        let mut policy = policy.clone();
        change(&mut policy);
        refusal(&control("cert.acme").evaluate(&facts, &policy)).to_owned()
    };
    assert!(refused(&|policy| policy.profile.cert.acme.dns[1].name = "inside".into()).contains("two of cert.acme.dns"));
    assert!(refused(&|policy| policy.profile.cert.acme.dns[1].name = "in side".into()).contains("is no name"));
    assert!(refused(&|policy| policy.profile.cert.acme.dns[1].domains.clear()).contains("proves no names"));
    let twice = refused(&|policy| policy.profile.cert.acme.dns[1].domains = vec!["{node}.inside.example".into()]);
    assert!(twice.contains("pve1.inside.example is to be proved in two ways"), "{twice}");
    let many = |policy: &mut Policy| {
        policy.profile.cert.acme.dns[1].domains = (0..6).map(|number| format!("n{number}.out.example")).collect();
    };
    assert!(refused(&many).contains("6 names by DNS"));
    assert!(
        refused(&|policy| drop(policy.material.remove("cert.acme.dns.out.data"))).contains("cert.acme.dns.out.data")
    );

    // Only what is asked at port 80 must lead to the node.
    facts.cert.names = Reading::Known([("pve1.example.com".to_owned(), ["192.0.2.99".parse().unwrap()].into())].into());
    assert!(advice(&control("cert.acme").evaluate(&facts, &policy)).contains("192.0.2.99"));
}

#[test]
fn dns_needs_no_port_and_its_data_is_never_shown() {
    let (mut facts, mut policy) = acme_node();
    policy.profile.cert.acme.dns_api = "cf".into();
    policy.material.insert("cert.acme.dns-data".into(), Ok(Secret::new("CF_Token=hunter2")));
    facts.cert.names = refused();
    let verdict = judged("cert.acme", "differs-dns", &facts, &policy);
    assert!(!show::verdict(&verdict).contains("hunter2"));
    assert_eq!(changes(&verdict).len(), 4, "account, plugin, configuration, order");
}

#[test]
fn custom() {
    let mut policy = policy("baseline");
    let names = ["pve1.example.com".to_owned()];
    let key = rcgen::KeyPair::generate().unwrap();
    let made = rcgen::CertificateParams::new(names.clone()).unwrap().self_signed(&key).unwrap().pem();
    let other = rcgen::KeyPair::generate().unwrap();
    policy.profile.cert.custom.enabled = true;
    policy.profile.cert.custom.certificate = "certs/{node}.pem".into();
    policy.profile.cert.custom.names = names.into();
    policy.material.insert("cert.custom.certificate".into(), Ok(Secret::new(&made)));
    policy.material.insert("cert.custom.key".into(), Ok(Secret::new(other.serialize_pem())));
    let facts = node(&policy, 500);
    let refused_one = control("cert.custom").evaluate(&facts, &policy);
    assert!(refusal(&refused_one).contains("does not belong"), "{}", refusal(&refused_one));

    policy.material.insert("cert.custom.key".into(), Ok(Secret::new(key.serialize_pem())));
    let chain = certificates::split(&made).unwrap().concat();
    let mark = certificates::chain(&made).unwrap()[0].fingerprint.clone();
    let judged = |state: &str, facts: &Facts| {
        let verdict = control("cert.custom").evaluate(facts, &policy);
        let text = show::verdict(&verdict).replace(&mark, "FINGERPRINT");
        assert!(!text.contains("PRIVATE"), "{text}");
        snapshot("cert.custom", state, &text.replace(&serde_json::to_string(&chain).unwrap(), "CHAIN"));
        verdict
    };
    let first = judged("differs", &facts);
    assert_eq!(changes(&first).len(), 1);
    let mut after = model::apply(&facts, changes(&first));
    assert_eq!(judged("compliant", &after).status, Status::Compliant);
    after.cert.served = refused();
    assert!(matches!(judged("unreadable", &after).status, Status::Unknown { .. }));
}
