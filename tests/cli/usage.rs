//! Wrong command lines and files: nothing is contacted, exit 2, and the message says what to do.

use crate::support::run::{Run, SITE};

#[test]
fn an_unknown_control_names_the_nearest() {
    let done = Run::new(&["plan", "--control", "ssh.limit"]).capture("fresh9.json").done();
    insta::assert_snapshot!(done.shown(), @r"
    exit 2
    -- stderr
    error: no control matches `ssh.limit`
    hint: did you mean `ssh.limits`? `pve-harden explain` lists every control
    ");
}

#[test]
fn no_host_and_no_site() {
    insta::assert_snapshot!(Run::new(&["plan"]).done().shown(), @r"
    exit 2
    -- stderr
    error: no HOST is given and the site names none
    hint: name a node (`[user@]address`), or list your nodes in a site file: `pve-harden init`
    ");
}

#[test]
fn an_unknown_group() {
    let run = Run::new(&["plan", "--limit", "prod"]).file("site.toml", SITE);
    insta::assert_snapshot!(run.done().shown(), @r"
    exit 2
    -- stderr
    error: no host or group of the site is called `prod`
    hint: groups are set per [[host]] in the site file
    ");
}

#[test]
fn a_host_that_could_become_an_option() {
    insta::assert_snapshot!(Run::new(&["plan", "root@-oProxyCommand=x"]).done().shown(), @r"
    exit 2
    -- stderr
    error: host `root@-oProxyCommand=x`: ssh would read a leading `-` as an option
    hint: a HOST is a name of the site, or [user@]address, e.g. root@192.0.2.10 or root@[2001:db8::10]:22
    ");
}

#[test]
fn a_broken_site_file() {
    let run = Run::new(&["plan"]).file("site.toml", "management = [\"10.80.226.0/28\"]\nadmns = 3\n");
    let done = run.done();
    assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""));
    assert!(done.stderr.starts_with("error: nothing was contacted\ncause:\n"), "{}", done.stderr);
    assert!(done.stderr.contains("admns") && done.stderr.contains("site.toml:2"), "{}", done.stderr);
}

#[test]
fn every_error_of_a_file_is_shown_and_nothing_is_contacted() {
    let site = SITE.replace("sudo = \"nopasswd\"", "sudo = \"maybe\"\nshel = \"/bin/sh\"");
    for verb in [&["plan"][..], &["apply", "--yes"], &["capture", "fresh9", "-o", "x"], &["history", "fresh9"]] {
        let done = Run::new(verb).file("site.toml", &site).done();
        assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""), "{}", done.shown());
        assert!(done.stderr.starts_with("error: nothing was contacted\n"), "{}", done.stderr);
        assert!(done.stderr.contains("maybe") && done.stderr.contains("shel"), "{}", done.stderr);
    }
}

#[test]
fn ten_megabytes_are_no_profile() {
    let run =
        Run::new(&["plan", "--profile", "big.toml"]).file("site.toml", SITE).file("big.toml", vec![b'#'; 10 << 20]);
    let started = std::time::Instant::now();
    insta::assert_snapshot!(run.done().shown(), @r"
    exit 2
    -- stderr
    error: nothing was contacted
    cause:
    error: profile big.toml is too large: 10485760 bytes, at most 1048576 are read
    hint: run `pve-harden help` or `pve-harden profile lint`
    ");
    assert!(started.elapsed() < std::time::Duration::from_secs(2));
}

#[test]
fn passwords_that_others_can_read_are_not_used() {
    let run = Run::new(&["plan"]).file("site.toml", SITE).file(".env", "PVE_ROOT_PASS='secret'\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode;
    std::fs::set_permissions(run.path(".env"), mode(0o640)).unwrap();
    insta::assert_snapshot!(run.done().shown(), @r"
    exit 2
    -- stderr
    error: nothing was contacted
    cause:
    error: .env holds secrets and can be read by others
     |
     = help: chmod 600 .env
    hint: run `pve-harden help` or `pve-harden profile lint`
    ");
}

#[test]
fn a_format_that_does_not_exist_names_those_that_do() {
    let done = Run::new(&["check", "--format", "pdf"]).capture("fresh9.json").done();
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.contains("[possible values: text, json, junit, sarif, html]"), "{}", done.stderr);
}

#[test]
fn a_closed_port_is_exit_3_and_says_the_state_first() {
    // Port 1 of the loopback interface: nothing listens there.
    let done = Run::new(&["plan", "root@127.0.0.1", "--port", "1"]).done();
    assert_eq!((done.code, done.stdout.as_str()), (Some(3), ""), "{}", done.shown());
    let lines: Vec<_> = done.stderr.lines().collect();
    assert_eq!(lines[0], "error: nothing was changed on 127.0.0.1");
    assert!(lines[1].starts_with("cause: 127.0.0.1 cannot be reached"), "{}", done.stderr);
    assert!(lines.last().unwrap().starts_with("hint: "), "{}", done.stderr);
}

#[test]
fn recordings_that_are_none() {
    for (content, code, expected) in [
        ("garbage", 2, "is not a recorded node"),
        (r#"{"version":9,"sections":{}}"#, 2, "has version 9"),
        (r#"{"sections":{}}"#, 3, "does not say which PVE release"),
    ] {
        let run = Run::new(&["plan", "--capture", "x.json"]).file("x.json", content);
        let done = run.done();
        assert_eq!(done.code, Some(code), "{}", done.shown());
        assert!(done.stderr.contains(expected), "{}", done.shown());
        assert_eq!(done.stdout, "");
    }
}

#[test]
fn a_recording_that_is_not_there() {
    insta::assert_snapshot!(Run::new(&["check", "--capture", "absent.json"]).done().shown(), @r"
    exit 2
    -- stderr
    error: nothing was contacted
    cause: absent.json: No such file or directory (os error 2)
    hint: record the node again: `pve-harden capture HOST -o FILE`
    ");
}
