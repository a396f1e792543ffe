use super::*;
use crate::facts::sshd::{directives, includes_dropins};
use crate::facts::{CaseKind, SshdCase, parse};

#[test]
fn versions() {
    let version = |text: &str| of("sshd.version", text).sshd.version;
    assert_eq!(version("OpenSSH_10.0p2 Debian-7+deb13u4, OpenSSL 3.5.7\n"), Reading::Known((10, 0)));
    assert_eq!(version("unknown option -- V\nOpenSSH_9.2p1 Debian\nusage: sshd\n"), Reading::Known((9, 2)));
    assert!(reason(&version("dropbear 2024\n")).contains("no OpenSSH"));
}

#[test]
fn cases_are_matched_to_their_questions() {
    let facts = facts(&[
        ("sshd.cases", 0, "root-outside root 203.0.113.1\nroot-peer root fd00::1\nnonsense\nadmin ops 10.0.0.1\n"),
        ("sshd.case.0", 0, "port 22\npermitrootlogin no\nacceptenv LANG\nacceptenv LC_*\n"),
        ("sshd.case.1", 255, "/etc/ssh/sshd_config line 3: Bad configuration option: x\n"),
    ]);
    let case = |who, user: &str, address: &str| {
        &facts.sshd.cases[&SshdCase { who, user: user.into(), address: address.parse().unwrap() }]
    };
    let outside = case(CaseKind::RootOutside, "root", "203.0.113.1").known().unwrap();
    assert_eq!((outside["permitrootlogin"].as_str(), outside["acceptenv"].as_str()), ("no", "LANG\nLC_*"));
    assert!(reason(case(CaseKind::RootPeer, "root", "fd00::1")).contains("line 3"));
    assert!(reason(case(CaseKind::Admin, "ops", "10.0.0.1")).contains("not in the capture"));
    assert_eq!(facts.notes.len(), 1);
}

#[test]
fn an_answer_that_is_no_settings_is_unreadable() {
    assert!(reason(&of("sshd.global", "Banner: hello\n").sshd.global).contains("no setting"));
    assert!(reason(&of("sshd.global", "").sshd.global).contains("no settings"));
    assert_eq!(facts(&[("sshd.global", 127, "")]).sshd.global, Reading::Absent);
}

#[test]
fn an_include_counts_at_the_head_only() {
    let cases = [
        ("Include /etc/ssh/sshd_config.d/*.conf\nPermitRootLogin yes\n", true),
        ("# c\n\n  iNcLuDe=\"/etc/ssh/sshd_config.d/*.conf\" # c\n", true),
        ("Include sshd_config.d/*\n", true),
        ("Include /etc/other.conf\nInclude /a /etc/ssh/sshd_config.d/*.conf\n", true),
        ("PermitRootLogin yes\nInclude /etc/ssh/sshd_config.d/*.conf\n", false),
        ("Match all\nInclude /etc/ssh/sshd_config.d/*.conf\n", false),
        ("#Include /etc/ssh/sshd_config.d/*.conf\n", false),
        ("Include /etc/ssh/sshd_config.d/99-*.conf\n", false),
        ("Include /etc/ssh/*\n", false),
        ("Include\n", false),
        ("", false),
    ];
    for (text, wanted) in cases {
        assert_eq!(includes_dropins(text), Ok(wanted), "{text}");
    }
    assert!(includes_dropins("Include \"/etc/ssh\n").is_err());
}

#[test]
fn directives_are_split_as_sshd_splits_them() {
    let text = "AllowUsers \"a b\" c\\ d 'e'#f # g\nPort=22\nPort = 23\nMatch User root\n\tX11Forwarding no\n";
    let found = directives(text).unwrap();
    let words: Vec<_> = found.iter().map(|d| (d.line, d.keyword.as_str(), d.arguments.join("|"), d.in_match)).collect();
    assert_eq!(
        words,
        [
            (1, "allowusers", "a b|c d|e#f".to_owned(), false),
            (2, "port", "22".to_owned(), false),
            (3, "port", "23".to_owned(), false),
            (4, "match", "User|root".to_owned(), true),
            (5, "x11forwarding", "no".to_owned(), true),
        ]
    );
}

fn rules(facts: &Facts, service: &str) -> Vec<String> {
    let stack = facts.pam[service].known().unwrap();
    stack.rules.iter().map(|r| format!("{} {} {} {}", r.facility, r.control, r.module, r.arguments.join(","))).collect()
}

#[test]
fn includes_are_resolved_by_facility() {
    let facts = parse(&with_files(&[
        (
            "/etc/pam.d/sshd",
            "@include common-auth\n-session optional pam_systemd.so # c\naccount include both\nauth substack both\n",
        ),
        (
            "/etc/pam.d/common-auth",
            "AUTH\t[success=1 default=ignore]\t/lib/security/pam_unix.so \\\n  nullok try_first_pass\n",
        ),
        ("/usr/lib/pam.d/both", "auth required pam_a.so x=[a b]\naccount required pam_b.so [c \\] d]\n"),
        ("/usr/lib/pam.d/sshd", "auth required pam_never.so\n"),
    ]));
    assert_eq!(
        rules(&facts, "sshd"),
        [
            "auth [success=1 default=ignore] pam_unix.so nullok,try_first_pass",
            "session optional pam_systemd.so ",
            "account required pam_b.so c ] d",
            "auth required pam_a.so x=[a,b]",
        ]
    );
    assert_eq!(facts.pam["both"].known().unwrap().rules[0].file, "/usr/lib/pam.d/both");
}

#[test]
fn a_stack_that_cannot_be_followed_is_unreadable() {
    let facts = parse(&with_files(&[
        ("/etc/pam.d/missing", "@include nowhere\n"),
        ("/etc/pam.d/loop", "auth include loop\n"),
        ("/etc/pam.d/bomb", "@include bomb2\n@include bomb2\n@include bomb2\n"),
        ("/etc/pam.d/bomb2", &"auth include leaf\n".repeat(900)),
        ("/etc/pam.d/leaf", "auth required pam_a.so\n"),
        ("/etc/pam.d/short", "auth required\n"),
        ("/etc/pam.d/odd", "login required pam_a.so\n"),
    ]));
    for (service, why) in [
        ("missing", "nowhere"),
        ("loop", "too deep"),
        ("bomb", "more than"),
        ("short", "without a module"),
        ("odd", "no rule"),
    ] {
        assert!(reason(&facts.pam[service]).contains(why), "{service}");
    }
    assert_eq!(rules(&facts, "leaf"), ["auth required pam_a.so "]);
}

#[test]
fn other_members_versions_are_read_or_left_out() {
    let text = "10.0.0.2 OpenSSH_9.2p1\nfd00::3 OpenSSH_10.0\n10.0.0.4 OpenSSH_x\nname OpenSSH_9.2\n10.0.0.5\n";
    let versions = of("sshd.peers", text).sshd.peer_versions;
    assert_eq!(versions, [("10.0.0.2".parse().unwrap(), (9, 2)), ("fd00::3".parse().unwrap(), (10, 0))].into());
    assert!(of("hostname", "pve1").sshd.peer_versions.is_empty());
}
