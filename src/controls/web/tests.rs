//! web.* on recorded nodes.

use super::{ALLOW_FROM, LISTEN, TLS, questions};
use crate::change::Action;
use crate::controls::testing::{advice, baseline, carry_out, changes, put, put_text, regular, story};
use crate::controls::{Control, Status};
use crate::facts::network::{Flow, Handshake};
use crate::facts::{Facts, Reading};
use crate::profile::policy::{Policy, UnusedService};
use crate::pve::pveproxy::{PATH, Settings};

fn policy() -> Policy {
    let mut policy = baseline();
    policy.site.management = vec!["10.77.0.0/24".parse().unwrap()];
    policy.profile.web.allow_from.enabled = true;
    policy
}

fn node() -> Facts {
    let mut facts = Facts::cluster_of_three();
    put(&mut facts, PATH, Reading::Absent);
    facts
}

/// Lets 8006 agree to what the policy leaves out, for these labels.
fn weak(facts: &mut Facts, policy: &Policy, labels: &[&str]) {
    let Reading::Known(tls) = &mut facts.network.tls else { panic!("no handshakes") };
    let agreed = |protocol: &str, cipher: &str| Handshake::Agreed { protocol: protocol.into(), cipher: cipher.into() };
    tls.asked.clear();
    for question in questions(policy) {
        let answer = match question.label.as_str() {
            label if labels.contains(&label) => agreed("TLSv1.2", "AES128-SHA"),
            "wanted" => agreed("TLSv1.3", "TLS_AES_256_GCM_SHA384"),
            _ => Handshake::Refused("handshake failure".into()),
        };
        tls.asked.insert(question.label.clone(), (question, Some(answer)));
    }
}

fn written(control: &dyn Control, facts: &Facts, policy: &Policy) -> String {
    let verdict = control.evaluate(facts, policy);
    let file = changes(&verdict).iter().find_map(|change| match &change.action {
        Action::File(file) if file.path == PATH => file.after.clone(),
        _ => None,
    });
    file.unwrap_or_else(|| panic!("{}", story(&verdict))).content
}

#[test]
fn what_others_wrote_into_the_file_stays() {
    let mut facts = node();
    put_text(&mut facts, PATH, "# ours\nMAX_WORKERS=5\n#ALLOW_FROM=\"x\"\nPOLICY=deny\nDENY_FROM='10.0.0.0/8'\n");
    let text = written(&ALLOW_FROM, &facts, &policy());
    insta::assert_snapshot!(text, @r##"
    # ours
    MAX_WORKERS=5
    #ALLOW_FROM="x"
    ALLOW_FROM="10.77.0.0/24,10.78.0.3,10.78.0.4,127.0.0.1,::1,fd77::3,fd77::4"
    POLICY="allow"
    DENY_FROM="all"
    "##);
    let access = Settings::parse(&text).access().unwrap();
    for (client, gets_in) in [
        ("10.77.0.9", true),
        ("10.78.0.4", true),
        ("127.0.0.1", true),
        ("::1", true),
        ("fd77::9", false),
        ("192.0.2.1", false),
    ] {
        assert_eq!(access.permits(client.parse().unwrap()), gets_in, "{client}");
    }
}

#[test]
fn the_same_list_in_other_words_is_compliant() {
    let mut facts = node();
    let list = "::1,127.0.0.1,10.77.0.0-10.77.0.255,10.78.0.3-10.78.0.4,fd77::3,fd77::4,10.77.0.9";
    put_text(&mut facts, PATH, &format!("export ALLOW_FROM={list} # all of them\nPOLICY='deny'\n"));
    assert_eq!(ALLOW_FROM.evaluate(&facts, &policy()).status, Status::Compliant);
    put_text(&mut facts, PATH, &format!("ALLOW_FROM={list},192.0.2.7\nPOLICY=deny\n"));
    assert!(matches!(ALLOW_FROM.evaluate(&facts, &policy()).status, Status::Differs { .. }), "one more gets in");
}

#[test]
fn a_quote_that_never_closes_is_a_persons_to_repair() {
    let mut facts = node();
    put_text(&mut facts, PATH, "ALLOW_FROM=\"10.77.0.0/24\nPOLICY=deny\n");
    let verdict = ALLOW_FROM.evaluate(&facts, &policy());
    assert!(changes(&verdict).is_empty());
    assert!(advice(&verdict).contains("line 1: a quote is never closed"), "{}", story(&verdict));
    assert!(advice(&LISTEN.evaluate(&facts, &policy())).contains("line 1"));
}

#[test]
fn a_list_that_www_data_cannot_read_is_no_list() {
    let mut facts = node();
    let text = written(&ALLOW_FROM, &facts, &policy());
    put(&mut facts, PATH, regular(&text, 0o600));
    let verdict = ALLOW_FROM.evaluate(&facts, &policy());
    assert!(story(&verdict).contains("www-data may not read it"), "{}", story(&verdict));
    assert!(matches!(&changes(&verdict)[0].action, Action::File(file) if file.after.as_ref().unwrap().mode == 0o644));
    carry_out(&mut facts, &verdict);
    assert_eq!(ALLOW_FROM.evaluate(&facts, &policy()).status, Status::Compliant);
}

#[test]
fn a_list_that_pveproxy_has_not_read_yet_is_reloaded() {
    let mut facts = node();
    let text = written(&ALLOW_FROM, &facts, &policy());
    let Reading::Known(mut fact) = regular(&text, 0o644) else { unreachable!() };
    fact.modified = Some(facts.network.web_since.known().unwrap() + 5);
    put(&mut facts, PATH, Reading::Known(fact));
    let verdict = ALLOW_FROM.evaluate(&facts, &policy());
    assert!(changes(&verdict).iter().all(|change| matches!(change.action, Action::Unit { .. })), "{}", story(&verdict));
    assert_eq!(changes(&verdict).len(), 2);
    facts.network.web_since = Reading::Unreadable("no systemd".into());
    assert!(matches!(ALLOW_FROM.evaluate(&facts, &policy()).status, Status::Unknown { .. }));
}

#[test]
fn nobody_shuts_himself_out() {
    let mut policy = policy();
    policy.site.management = vec!["192.0.2.0/24".parse().unwrap()];
    let verdict = ALLOW_FROM.evaluate(&node(), &policy);
    assert!(matches!(&verdict.status, Status::Refused { why } if why.contains("10.77.0.1")), "{}", story(&verdict));
    policy.profile.web.allow_from.also = vec!["10.77.0.1/32".parse().unwrap()];
    assert!(matches!(ALLOW_FROM.evaluate(&node(), &policy).status, Status::Differs { .. }));
    policy.site.management.clear();
    assert!(advice(&ALLOW_FROM.evaluate(&node(), &policy)).contains("management = "));
}

#[test]
fn who_is_connected_and_would_be_cut_is_told() {
    let mut facts = node();
    let Reading::Known(flows) = &mut facts.network.flows else { panic!("no flows") };
    let peer = "198.51.100.7".parse().unwrap();
    flows.push(Flow { peer, port: 8006, ..flows[0].clone() });
    flows.push(Flow { peer: "10.78.0.3".parse().unwrap(), port: 8006, ..flows[0].clone() });
    let story = story(&ALLOW_FROM.evaluate(&facts, &policy()));
    assert_eq!(story.matches("would be turned away").count(), 1, "{story}");
    assert!(story.contains("198.51.100.7"));
}

#[test]
fn networks_with_host_bits_are_written_without() {
    let mut policy = policy();
    policy.profile.web.allow_from.also = vec!["10.99.0.5/24".parse().unwrap()];
    let text = written(&ALLOW_FROM, &node(), &policy);
    assert!(text.contains("10.99.0.0/24") && !text.contains("10.99.0.5"), "Net::IP dies of 10.99.0.5/24");
}

#[test]
fn both_controls_write_one_file() {
    let (mut facts, policy) = (node(), policy());
    weak(&mut facts, &policy, &["old", "other-ciphers", "other-suites"]);
    let text = written(&TLS, &facts, &policy);
    assert_eq!(text, written(&ALLOW_FROM, &facts, &policy));
    let settings = Settings::parse(&text);
    assert_eq!(
        settings.value("CIPHERSUITES"),
        Some("TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256")
    );
    assert!(settings.value("CIPHERS").unwrap().starts_with("ECDHE-ECDSA-AES256-GCM-SHA384:"));
    let mut alone = policy.clone();
    alone.left_out.insert("web.allow-from".into());
    assert!(!written(&TLS, &facts, &alone).contains("ALLOW_FROM"));
}

#[test]
fn tls_1_3_alone_is_asked_for_as_such() {
    let mut policy = policy();
    policy.left_out.insert("web.allow-from".into());
    policy.profile.web.tls.min_version = crate::profile::policy::TlsVersion::Tls13;
    let mut facts = node();
    weak(&mut facts, &policy, &["other-ciphers"]);
    assert_eq!(written(&TLS, &facts, &policy), "DISABLE_TLS_1_2=\"1\"\n");
    let asked = questions(&policy);
    let other = asked.iter().find(|question| question.label == "other-ciphers").unwrap();
    assert_eq!(other.ciphers, "ALL:COMPLEMENTOFALL:@SECLEVEL=0", "every cipher of TLS 1.2");
}

#[test]
fn what_nobody_answered_is_unknown() {
    let (mut facts, policy) = (node(), policy());
    let unknown = |facts: &Facts| match TLS.evaluate(facts, &policy).status {
        Status::Unknown { why } => why,
        other => panic!("{other:?}"),
    };
    weak(&mut facts, &policy, &[]);
    assert_eq!(TLS.evaluate(&facts, &policy).status, Status::Compliant);
    let Reading::Known(tls) = &mut facts.network.tls else { panic!() };
    tls.asked.get_mut("old").unwrap().1 = None;
    assert!(unknown(&facts).contains("was not asked"));
    let Reading::Known(tls) = &mut facts.network.tls else { panic!() };
    tls.asked.get_mut("old").unwrap().0.ciphers = "AES128-SHA".into();
    assert!(unknown(&facts).contains("other questions"));
    let Reading::Known(tls) = &mut facts.network.tls else { panic!() };
    tls.first = Some(Handshake::Silent("no answer within 6 s".into()));
    assert!(unknown(&facts).contains("does not answer"));
}

#[test]
fn ciphers_that_would_hang_pveproxy_are_refused() {
    for (ciphers, suites) in [
        (vec!["NO SUCH"], vec!["TLS_AES_256_GCM_SHA384"]),
        (vec!["ALL:!aNULL"], vec!["TLS_AES_256_GCM_SHA384"]),
        (vec![], vec!["TLS_AES_256_GCM_SHA384"]),
        (vec!["ECDHE-RSA-AES256-GCM-SHA384"], vec!["TLS_NOSUCH"]),
        (vec!["ECDHE-RSA-AES256-GCM-SHA384"], vec![]),
    ] {
        let mut policy = policy();
        policy.profile.web.tls.ciphers = ciphers.iter().map(ToString::to_string).collect();
        policy.profile.web.tls.ciphersuites = suites.iter().map(ToString::to_string).collect();
        let verdict = TLS.evaluate(&node(), &policy);
        assert!(matches!(verdict.status, Status::Refused { .. }), "{ciphers:?} {suites:?}: {}", story(&verdict));
        assert!(questions(&policy).is_empty());
    }
}

#[test]
fn an_address_to_listen_on_is_a_finding_in_a_cluster_only() {
    let text = "LISTEN_IP=10.77.0.2\n";
    let mut facts = node();
    put_text(&mut facts, PATH, text);
    assert!(advice(&LISTEN.evaluate(&facts, &policy())).contains("take LISTEN_IP out"));
    let mut facts = Facts::fresh_pve9();
    put_text(&mut facts, PATH, text);
    let verdict = LISTEN.evaluate(&facts, &policy());
    assert_eq!(verdict.status, Status::Compliant);
    assert!(story(&verdict).contains("10.77.0.2"));
}

#[test]
fn spiceproxy_stays_where_it_is_used_and_is_not_reloaded_where_it_goes() {
    let mut policy = policy();
    policy.profile.web.listen.spiceproxy = UnusedService::StopUnused;
    let mut facts = node();
    let reloads = |facts: &Facts| changes(&ALLOW_FROM.evaluate(facts, &policy)).len() - 1;
    assert_eq!(reloads(&facts), 1, "a stopped spiceproxy cannot be reloaded");
    assert_eq!(changes(&LISTEN.evaluate(&facts, &policy)).len(), 3);
    let Reading::Known(guests) = &mut facts.network.guests else { panic!("no guests") };
    guests[0].spice = true;
    assert_eq!(LISTEN.evaluate(&facts, &policy).status, Status::Compliant);
    assert_eq!(reloads(&facts), 2);
}
