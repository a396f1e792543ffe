//! network.listen on recorded nodes.

use super::LISTEN;
use super::listen::Allowed;
use crate::controls::testing::{advice, baseline, changes, put_text, story};
use crate::controls::{Control, Status};
use crate::facts::network::NfsUse;
use crate::facts::{Facts, Listener, Reading};

fn listener(text: &str) -> Listener {
    let (socket, process) = text.split_once(' ').unwrap_or((text, ""));
    let (protocol, port) = socket.split_once('/').unwrap();
    Listener {
        protocol: protocol.into(),
        address: "0.0.0.0".parse().unwrap(),
        interface: None,
        port: port.parse().unwrap(),
        process: (!process.is_empty()).then(|| process.to_owned()),
    }
}

/// A node whose sockets are all on the list, and these.
fn node(more: &[&str]) -> Facts {
    let mut facts = Facts::fresh_pve9();
    let Reading::Known(listeners) = &mut facts.listeners else { panic!("no sockets") };
    listeners.retain(|listener| listener.port != 111);
    listeners.extend(more.iter().map(|text| listener(text)));
    let Reading::Known(units) = &mut facts.units else { panic!("no units") };
    for name in ["rpcbind.socket", "rpcbind.service"] {
        let unit = units.get_mut(name).unwrap();
        (unit.active, unit.file_state) = ("inactive".into(), "disabled".into());
    }
    facts
}

#[test]
fn a_stranger_is_a_finding_and_never_stopped() {
    assert_eq!(LISTEN.evaluate(&node(&[]), &baseline()).status, Status::Compliant);
    let verdict = LISTEN.evaluate(&node(&["tcp/9100 node_exporter", "udp/5353 avahi-daemon"]), &baseline());
    assert!(changes(&verdict).is_empty());
    insta::assert_snapshot!(advice(&verdict), @r#"stop what nobody needs; what is needed goes on the list: network.listen.allow = ["tcp/9100 node_exporter", "udp/5353 avahi-daemon", …]"#);
}

#[test]
fn a_port_may_belong_to_one_process_only() {
    assert!(advice(&LISTEN.evaluate(&node(&["udp/5405 iperf"]), &baseline())).contains("udp/5405 iperf"));
    assert_eq!(LISTEN.evaluate(&node(&["udp/5405 corosync"]), &baseline()).status, Status::Compliant);
    assert_eq!(LISTEN.evaluate(&node(&["tcp/22 systemd"]), &baseline()).status, Status::Compliant, "ssh.socket");
}

#[test]
fn loopback_counts_as_closed() {
    let mut facts = node(&["tcp/25 master"]);
    assert!(matches!(LISTEN.evaluate(&facts, &baseline()).status, Status::Differs { .. }));
    let Reading::Known(listeners) = &mut facts.listeners else { panic!() };
    listeners.last_mut().unwrap().address = "127.0.0.1".parse().unwrap();
    assert_eq!(LISTEN.evaluate(&facts, &baseline()).status, Status::Compliant);
}

#[test]
fn sshd_elsewhere_and_ceph_are_known() {
    let mut facts = node(&["tcp/2222 sshd", "tcp/6789 ceph-mon"]);
    assert!(advice(&LISTEN.evaluate(&facts, &baseline())).contains("tcp/2222 sshd"));
    let Reading::Known(settings) = &mut facts.sshd.global else { panic!() };
    settings.insert("port".into(), "22\n2222".into());
    put_text(&mut facts, "/etc/pve/ceph.conf", "[global]\n");
    assert_eq!(LISTEN.evaluate(&facts, &baseline()).status, Status::Compliant);
}

#[test]
fn rpcbind_goes_only_where_nothing_uses_nfs() {
    let units = |facts: &Facts| changes(&LISTEN.evaluate(facts, &baseline())).len();
    let fresh = Facts::fresh_pve9();
    assert_eq!(units(&fresh), 2, "{}", story(&LISTEN.evaluate(&fresh, &baseline())));
    for nfs in [NfsUse::Mount("/mnt/nas".into()), NfsUse::Fstab("/mnt/nas".into()), NfsUse::Export("/srv".into())] {
        let mut facts = fresh.clone();
        facts.network.nfs = Reading::Known(vec![nfs]);
        assert_eq!(LISTEN.evaluate(&facts, &baseline()).status, Status::Compliant);
    }
    let mut facts = fresh.clone();
    put_text(&mut facts, "/etc/pve/storage.cfg", "nfs: nas\n\tserver 10.0.0.5\n\texport /x\n");
    assert_eq!(LISTEN.evaluate(&facts, &baseline()).status, Status::Compliant);
    let mut facts = fresh.clone();
    facts.network.nfs = Reading::Unreadable("no".into());
    assert!(matches!(LISTEN.evaluate(&facts, &baseline()).status, Status::Unknown { .. }));
    let mut policy = baseline();
    policy.profile.network.listen.rpcbind = crate::profile::policy::UnusedService::Leave;
    assert!(changes(&LISTEN.evaluate(&fresh, &policy)).is_empty());
    assert!(advice(&LISTEN.evaluate(&fresh, &policy)).contains("rpcbind"));
}

#[test]
fn entries_that_mean_nothing_are_refused() {
    for wrong in ["22", "tcp", "tcp/", "tcp/0", "tcp/70000", "icmp/1", "tcp/9-8", "tcp/22 "] {
        assert!(Allowed::parse(wrong).is_err(), "{wrong}");
        let mut policy = baseline();
        policy.profile.network.listen.allow.push(wrong.into());
        assert!(matches!(LISTEN.evaluate(&node(&[]), &policy).status, Status::Refused { .. }));
    }
    assert!(Allowed::parse("udp/5405-5412 corosync").is_ok());
}
