//! Laws of the drop-in, of comparing settings, and of who is a peer.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use proptest::prelude::*;

use super::node::{Node, address_list};
use super::section::{Block, Chunk, Place, Section};
use super::setter::setters;
use super::want::{Accept, Fit, Want, startups};
use super::{dropin, ids};
use crate::facts::{Cluster, Facts, FileFact, FileKind, Peer, Reading};
use crate::profile::policy::{Policy, Site};

fn policy() -> Policy {
    Policy::from_embedded("baseline", Site::default()).unwrap()
}

fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn text_file(content: &str) -> Reading<FileFact> {
    Reading::Known(FileFact {
        kind: FileKind::Regular,
        mode: 0o644,
        owner: "root".into(),
        group: "root".into(),
        digest: None,
        content: Some(content.into()),
        modified: None,
    })
}

fn section() -> impl Strategy<Value = Section> {
    let line = prop::sample::select(vec![("MaxSessions", "10"), ("LogLevel", "VERBOSE"), ("PermitRootLogin", "no")]);
    let lines = prop::collection::vec(line.prop_map(|(keyword, value)| (keyword, value.to_owned())), 0..4);
    (lines.clone(), lines.clone(), lines).prop_map(|(globals, exception, everybody)| {
        let block = |lines| Block { note: "peers", criteria: "User root Address 192.0.2.1".into(), lines };
        let exceptions = if exception.is_empty() { Vec::new() } else { vec![block(exception)] };
        Section { globals, exceptions, everybody }
    })
}

fn chunks(sections: Vec<Section>) -> Vec<Chunk> {
    ids().into_iter().zip(sections).flat_map(|(id, section)| section.chunks(id)).collect()
}

proptest! {
    #[test]
    fn what_is_rendered_is_read_back(sections in prop::collection::vec(section(), 5)) {
        let mut chunks = chunks(sections);
        let text = dropin::render(&chunks, &ids());
        chunks.sort_by_key(|chunk| chunk.place);
        prop_assert_eq!(dropin::parse(&text, &ids()), chunks);
    }

    #[test]
    fn any_file_is_read_without_harm_and_settles_after_one_writing(text in "(?s).{0,400}") {
        let once = dropin::render(&dropin::parse(&text, &ids()), &ids());
        prop_assert_eq!(dropin::render(&dropin::parse(&once, &ids()), &ids()), once);
    }

    #[test]
    fn lines_like_ours_settle_too(lines in prop::collection::vec(prop::sample::select(vec![
        "# ssh.limits", "# ssh.limits: peers", "# ssh.root-login", "Match all", "Match User a", "  match ALL", "",
        "MaxSessions 3", "    PermitRootLogin yes", "# other", "# end", "Include /x",
    ]), 0..24)) {
        let once = dropin::render(&dropin::parse(&lines.join("\n"), &ids()), &ids());
        prop_assert_eq!(dropin::render(&dropin::parse(&once, &ids()), &ids()), once);
    }

    #[test]
    fn a_setter_is_found_where_it_stands(before in 0usize..20, keyword in "[A-Z][a-zA-Z]{3,12}") {
        let mut facts = Facts::default();
        let main = format!("{}{keyword} yes\n", "# x\n".repeat(before));
        facts.files.insert("/etc/ssh/sshd_config".into(), text_file(&main));
        let (_, after) = setters(&facts, &keyword.to_lowercase());
        prop_assert_eq!(after.len(), 1);
        prop_assert_eq!(after[0].line, before + 1);
    }

    #[test]
    fn no_answer_of_sshd_makes_comparing_panic(found in "\\PC{0,40}", wanted in "\\PC{0,40}") {
        for accept in [
            Accept::Exactly, Accept::RootPermit, Accept::AtMost, Accept::AtMostNonzero, Accept::AtLeast,
            Accept::LogLevel, Accept::Startups, Accept::Subset, Accept::NoForwarding,
        ] {
            let _ = Want::accepting(accept, "k", wanted.clone(), "key").fit(&settings(&[("k", &found)]));
        }
    }
}

#[test]
fn zero_is_no_small_number_where_it_means_never() {
    let grace = Want::accepting(Accept::AtMostNonzero, "logingracetime", "60", "key");
    assert_eq!(grace.fit(&settings(&[("logingracetime", "0")])), Fit::Wrong);
    assert_eq!(grace.fit(&settings(&[("logingracetime", "30")])), Fit::Stricter);
    assert_eq!(grace.fit(&settings(&[("logingracetime", "60")])), Fit::Right);
    assert_eq!(grace.fit(&settings(&[("logingracetime", "61")])), Fit::Wrong);
}

#[test]
fn a_setting_sshd_does_not_print_is_missing_and_not_good() {
    let fit = Want::exactly("permitrootlogin", "no", "key").fit(&settings(&[]));
    assert_eq!(fit, Fit::Missing);
    assert!(!fit.good());
}

#[test]
fn root_may_be_stricter_but_never_looser() {
    let permit = Want::accepting(Accept::RootPermit, "permitrootlogin", "without-password", "key");
    let fit = |value| permit.fit(&settings(&[("permitrootlogin", value)]));
    assert_eq!(fit("without-password"), Fit::Right);
    assert_eq!(fit("no"), Fit::Stricter);
    assert_eq!(fit("yes"), Fit::Wrong);
}

#[test]
fn startups_are_compared_part_by_part() {
    let limit = Want::accepting(Accept::Startups, "maxstartups", "10:30:60", "key");
    let good = |value| limit.fit(&settings(&[("maxstartups", value)])).good();
    assert!(good("10:30:60") && good("5:30:60") && good("10:50:20"));
    assert!(!good("11:30:60") && !good("10:20:60") && !good("10:30:100") && !good("garbage"));
    assert_eq!(startups("7"), Some((7, 100, 7)));
    assert_eq!(startups("60:30:10"), None);
    assert_eq!(startups("10:130:60"), None);
}

#[test]
fn a_list_may_only_lose_names() {
    let list = Want::accepting(Accept::Subset, "macs", "a,b", "key");
    let fit = |value| list.fit(&settings(&[("macs", value)]));
    assert_eq!(fit("a,b"), Fit::Right);
    assert_eq!(fit("b,a"), Fit::Right);
    assert_eq!(fit("a"), Fit::Stricter);
    assert_eq!(fit("a,c"), Fit::Wrong);
    assert_eq!(fit(""), Fit::Wrong);
}

#[test]
fn forwarding_is_off_as_a_whole_or_kind_by_kind() {
    let off = Want::accepting(Accept::NoForwarding, "disableforwarding", "yes", "key");
    let mut kinds = vec![
        ("disableforwarding", "no"),
        ("allowtcpforwarding", "no"),
        ("allowstreamlocalforwarding", "no"),
        ("x11forwarding", "no"),
        ("allowagentforwarding", "no"),
        ("permittunnel", "no"),
    ];
    assert!(off.fit(&settings(&kinds)).good());
    kinds[2].1 = "yes";
    assert!(!off.fit(&settings(&kinds)).good());
    kinds[0].1 = "yes";
    assert!(off.fit(&settings(&kinds)).good());
}

#[test]
fn chunks_that_hold_more_than_one_block_are_not_understood() {
    let order = ids();
    let parse = |text: &str| dropin::parse(text, &order);
    assert!(parse("# ssh.limits\nMaxSessions 3\nMatch all\nMaxSessions 9\n").is_empty());
    assert!(parse("# ssh.limits\nMatch all\nMaxSessions 9\nMatch User x\n").is_empty());
    assert!(parse("MaxSessions 3\n").is_empty());
    assert_eq!(parse("# ssh.limits: x\nMatch  User x\nMaxSessions 3\n")[0].place, Place::Exception);
}

#[test]
fn setters_are_split_at_the_place_where_sshd_reads_the_dropin() {
    let mut facts = Facts::default();
    let main = "LogLevel INFO\nInclude /etc/ssh/sshd_config.d/*.conf\nMatch User x\n  LogLevel DEBUG\n";
    facts.files.insert("/etc/ssh/sshd_config".into(), text_file(main));
    facts.files.insert("/etc/ssh/sshd_config.d/00-a.conf".into(), text_file("match all\nloglevel=QUIET\n"));
    facts.files.insert(dropin::PATH.into(), text_file("LogLevel VERBOSE\n"));
    facts.files.insert("/etc/ssh/sshd_config.d/50-x.conf".into(), text_file("\tLogLevel \"ERROR\"\n"));
    let (before, after) = setters(&facts, "loglevel");
    let shown = |list: Vec<super::setter::Setter>| -> Vec<String> {
        list.iter().map(|line| format!("{} {} {}", line.place(), line.value, line.in_match)).collect()
    };
    assert_eq!(shown(before), ["/etc/ssh/sshd_config:1 INFO false", "/etc/ssh/sshd_config.d/00-a.conf:2 QUIET true"]);
    assert_eq!(shown(after), ["/etc/ssh/sshd_config.d/50-x.conf:1 ERROR false", "/etc/ssh/sshd_config:4 DEBUG true"]);
}

fn cluster(peers: &[(&str, &[&str])], migration: Option<&str>, own: &[&str]) -> Facts {
    let peer = |(name, addresses): &(&str, &[&str])| Peer {
        name: (*name).to_owned(),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect::<BTreeSet<_>>(),
        online: true,
    };
    Facts {
        cluster: Reading::Known(Cluster {
            name: "c".into(),
            quorate: true,
            peers: peers.iter().map(peer).collect(),
            migration_network: migration.map(|net| net.parse().unwrap()),
        }),
        addresses: Reading::Known(own.iter().map(|net| net.parse().unwrap()).collect()),
        ..Facts::default()
    }
}

fn peers_of(facts: &Facts) -> Result<String, String> {
    let policy = policy();
    Node::new(facts, &policy).map(|node| address_list(&node.peers))
}

#[test]
fn every_link_of_every_peer_and_this_node_beside_them_keeps_root() {
    let facts = cluster(
        &[("pve2", &["10.0.0.2", "10.1.0.2"]), ("pve3", &["10.0.0.3", "fd00::3"])],
        None,
        &["127.0.0.1/8", "10.0.0.1/24", "10.1.0.1/24", "192.168.7.1/24", "fd00::1/64", "fe80::1/64"],
    );
    assert_eq!(peers_of(&facts).unwrap(), "10.0.0.1,10.0.0.2,10.0.0.3,10.1.0.1,10.1.0.2,fd00::1,fd00::3");
}

#[test]
fn a_migration_network_is_trusted_whole_only_where_an_address_is_unknown() {
    let own = &["10.0.0.1/24"];
    let known = cluster(&[("pve2", &["10.0.0.2", "10.9.0.2"])], Some("10.9.0.0/24"), own);
    assert_eq!(peers_of(&known).unwrap(), "10.0.0.1,10.0.0.2,10.9.0.2");
    let unknown = cluster(&[("pve2", &["10.0.0.2"])], Some("10.9.0.7/24"), own);
    assert_eq!(peers_of(&unknown).unwrap(), "10.0.0.1,10.0.0.2,10.9.0.0/24");
}

#[test]
fn without_certain_members_nothing_is_judged() {
    let mut facts = cluster(&[("pve2", &[])], None, &["10.0.0.1/24"]);
    assert_eq!(peers_of(&facts).unwrap_err(), "no address of the cluster peer pve2 is known");
    facts.cluster = Reading::Unreadable("pmxcfs hangs".into());
    assert_eq!(peers_of(&facts).unwrap_err(), "the cluster's members: pmxcfs hangs");
    facts.cluster = Reading::NotAsked;
    assert!(peers_of(&facts).is_err());
    facts.cluster = Reading::Absent;
    assert_eq!(peers_of(&facts).unwrap(), "");
}
