use super::*;
use crate::facts::{PveRelease, parse};

#[test]
fn the_session_is_the_nodes_view() {
    let session = |text: &str| of("session", text).session;
    let known = session("uid=0\nuser=ops\nsudo=yes\nconnection=fe80::1%vmbr0 5000 ::ffff:10.0.0.2 2222\n");
    let known = known.known().unwrap();
    assert_eq!((known.user.as_str(), known.through_sudo, known.server_port), ("ops", true, Some(2222)));
    assert_eq!(known.operator, Some("fe80::1".parse().unwrap()));
    assert_eq!(known.server, Some("10.0.0.2".parse().unwrap()));
    assert_eq!(session("uid=0\nuser=root\nsudo=no\nconnection=\n").known().unwrap().operator, None);
    assert!(reason(&session("uid=1000\nuser=ops\n")).contains("root"));
}

#[test]
fn a_host_that_is_not_pve_says_so() {
    let debian = with_files(&[("/usr/lib/os-release", "VERSION_ID=\"13\"\n")]);
    let with = |packages: &str, status| {
        let mut capture = debian.clone();
        capture.sections.insert("packages".into(), Section { status, body: packages.into() });
        parse(&capture)
    };
    assert_eq!(with("dash\t0.5\tii \n", 0).pve, Reading::Absent);
    assert_eq!(with("pve-manager\t9.2.11\trc \n", 0).pve, Reading::Absent);
    let nine = PveRelease { major: 9, minor: 2, text: "9.2.11".into(), debian: 13 };
    assert_eq!(with("pve-manager\t9.2.11\tii \n", 0).pve, Reading::Known(nine));
    assert!(reason(&with("pve-manager\t???\tii \n", 0).pve).contains("no release"));
    assert!(reason(&with("", 2).pve).contains("packages"));
    assert_eq!(with("", 127).pve, Reading::Absent);
    assert_eq!(debian_only_release(), "/etc/os-release: the capture does not contain it");
}

fn debian_only_release() -> String {
    reason(&of("packages", "pve-manager\t9.2.11\tii \n").pve).to_owned()
}

#[test]
fn node_names_are_short() {
    assert_eq!(of("hostname", "pve1.example.com\n").node_name, Reading::Known("pve1".into()));
    assert!(reason(&of("hostname", "pve 1\n").node_name).contains("no host name"));
}

#[test]
fn pmxcfs_is_a_fuse_mount() {
    let mounted = |status, body| facts(&[("mounts", status, body)]).pmxcfs_mounted;
    assert_eq!(mounted(0, "/dev/fuse /etc/pve fuse rw 0 0\n"), Reading::Known(true));
    assert_eq!(mounted(0, "/dev/fuse /etc/pve fuse rw 0 0\ntmpfs /etc/pve tmpfs rw 0 0\n"), Reading::Known(false));
    assert_eq!(mounted(1, ""), Reading::Known(false));
    assert!(matches!(mounted(2, "grep: /proc/mounts: Permission denied"), Reading::Unreadable(_)));
}

#[test]
fn addresses_of_all_kinds() {
    let text = "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever\n\
                3: tun0    inet 10.8.0.1 peer 10.8.0.2/32 scope global tun0\\  x\n\
                4: vmbr0    inet6 fd77::2/64 scope global \\  x\n";
    let facts = of("addresses", text);
    let words: Vec<String> = facts.addresses.known().unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(words, ["127.0.0.1/8", "10.8.0.1/32", "fd77::2/64"]);
    assert!(reason(&of("addresses", "1: lo inet nonsense\n").addresses).contains("no address"));
}

#[test]
fn units_are_matched_by_order_not_by_their_own_name() {
    let text = "asked sshd.service\nasked no.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n\n\
                UnitFileState=\nLoadState=not-found\nActiveState=inactive\n";
    let facts = of("units", text);
    let units = facts.units.known().unwrap();
    assert_eq!(units["sshd.service"].file_state, "enabled");
    assert_eq!(units["no.service"].load, "not-found");
    assert_eq!(facts.unit("no.service").unwrap(), &units["no.service"]);
    assert_eq!(facts.unit("other.service").unwrap_err(), "other.service: the capture does not contain it");
    assert!(reason(&of("units", "asked a\nasked b\nLoadState=loaded\n").units).contains("1 answered"));
    let why = facts_without_systemd().unit("ssh.service").unwrap_err();
    assert!(why.starts_with("systemd's units: ") && why.contains("Host is down"), "{why}");
}

fn facts_without_systemd() -> Facts {
    facts(&[("units", 1, "asked ssh.service\nFailed to connect to bus: Host is down\n")])
}

#[test]
fn listeners_of_all_kinds() {
    let text = "udp   UNCONN 0 0 127.0.0.53%lo:53 0.0.0.0:* users:((\"systemd-resolve\",pid=1,fd=2))\n\
                tcp   LISTEN 0 128 [fe80::1%vmbr0]:8080 [::]:*\n\
                tcp   LISTEN 0 128 [fe80::1]%vmbr0:8081 [::]:*\n\
                tcp   LISTEN 0 4096 *:8006 *:* users:((\"pveproxy\",pid=3,fd=6))\n";
    let facts = of("listeners", text);
    let found: Vec<_> = facts
        .listeners
        .known()
        .unwrap()
        .iter()
        .map(|l| format!("{} {} {:?} {} {:?}", l.protocol, l.address, l.interface, l.port, l.process))
        .collect();
    assert_eq!(
        found,
        [
            "udp 127.0.0.53 Some(\"lo\") 53 Some(\"systemd-resolve\")",
            "tcp fe80::1 Some(\"vmbr0\") 8080 None",
            "tcp fe80::1 Some(\"vmbr0\") 8081 None",
            "tcp :: None 8006 Some(\"pveproxy\")",
        ]
    );
    assert!(reason(&of("listeners", "tcp LISTEN 0 128 nowhere\n").listeners).contains("no socket"));
}

#[test]
fn logins_come_newest_first() {
    let facts = of("root-logins", "10.0.0.2\tpublickey\tSHA256:x\t3\t100\n::1\tpassword\t\t1\t200\nmore\t5\n");
    let logins = facts.root_logins.known().unwrap();
    assert_eq!((logins[0].method.as_str(), logins[0].key.as_ref(), logins[1].count), ("password", None, 3));
    assert_eq!(facts.notes, ["5 further logins of root are not listed"]);
    assert!(reason(&of("root-logins", "x\n").root_logins).contains("no login"));
}

#[test]
fn runs_are_read_and_leave_the_files() {
    let capture = with_files(&[
        ("/var/lib/pve-harden/runs/2/meta.json", "{\"tool\":\"1\"}"),
        ("/var/lib/pve-harden/runs/2/committed", ""),
        ("/var/lib/pve-harden/runs/2/state.json", "{}"),
        ("/var/lib/pve-harden/runs/3/meta.json", "{}"),
        ("/etc/a", ""),
    ]);
    let facts = parse(&capture);
    let runs = facts.runs.known().unwrap();
    let outcomes: Vec<_> =
        runs.iter().map(|run| (run.id.as_str(), run.outcome.as_str(), run.state.is_some())).collect();
    assert_eq!(outcomes, [("2", "committed", true), ("3", "open", false)]);
    assert_eq!(facts.files.keys().collect::<Vec<_>>(), ["/etc/a"]);
    let broken = with_files(&[("/var/lib/pve-harden/runs/1/meta.json", "{")]);
    assert!(reason(&parse(&broken).runs).contains("runs/1/meta.json"));
}

#[test]
fn a_node_without_pmxcfs_cannot_tell_that_it_is_alone() {
    let alone = |mounts| {
        let errors = "find: '/etc/pve/corosync.conf': No such file or directory\n\
                      find: '/etc/corosync/corosync.conf': No such file or directory\n";
        let mut capture = with_files(&[("/usr/lib/os-release", "VERSION_ID=13\n")]);
        for (name, status, body) in
            [("mounts", 0, mounts), ("files.errors", 0, errors), ("packages", 0, "pve-manager\t9.2.1\tii \n")]
        {
            capture.sections.insert(name.into(), Section { status, body: body.into() });
        }
        parse(&capture).cluster
    };
    assert_eq!(alone("/dev/fuse /etc/pve fuse rw 0 0\n"), Reading::Absent);
    assert!(reason(&alone("")).contains("not mounted"));
}

#[test]
fn a_link_name_that_nobody_resolves_makes_the_cluster_unreadable() {
    let conf = "nodelist {\n node {\n name: pve1\n ring0_addr: 10.0.0.1\n }\n node {\n name: pve2\n ring0_addr: pve2-ring\n }\n}\n";
    let read = |names: &str| {
        let mut capture =
            with_files(&[("/etc/pve/corosync.conf", conf), ("/etc/pve/.members", "{\"nodename\":\"pve1\"}")]);
        for (name, body) in [("mounts", "/dev/fuse /etc/pve fuse rw 0 0\n"), ("hostname", "pve1\n"), ("names", names)] {
            capture.sections.insert(name.into(), Section { status: 0, body: body.into() });
        }
        parse(&capture)
    };
    assert!(reason(&read("").cluster).contains("pve2-ring"));
    let facts = read("pve2-ring 10.0.0.2\npve2-ring fd00::2\npve2-ring nonsense\n");
    assert_eq!(facts.peer_addresses(), ["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()].into());
    assert!(!facts.cluster.known().unwrap().quorate);
}
