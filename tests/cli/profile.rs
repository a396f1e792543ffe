//! `profile` and `init` as a person or a script meets them.

use crate::support::run::Run;

const WRONG: &str = "extends = \"baseline\"\n[ssh.limits]\nmax-auth-trys = 4\nlogin-grace-time = 0\n";
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ ops@example\n";

#[test]
fn lint_shows_every_error_and_exits_2() {
    let run = Run::new(&["profile", "lint", "my.toml"]).file("my.toml", WRONG);
    insta::assert_snapshot!(run.done().shown(), @r"
    exit 2
    -- stdout
    1 file: 2 errors, 0 warnings
    -- stderr
    error: unknown key `max-auth-trys` in [ssh.limits]
     --> my.toml:3:1
      |
    3 | max-auth-trys = 4
      | ^^^^^^^^^^^^^ did you mean `max-auth-tries`?

    error: number out of range: 0 means no limit at all in sshd_config(5)
     --> my.toml:4:20
      |
    4 | login-grace-time = 0
      |                    ^ expected 10 to 600
    ");
}

#[test]
fn lint_of_clean_files_says_so() {
    let done = Run::new(&["profile", "lint", "my.toml"]).file("my.toml", "extends = \"strict\"\n").done();
    assert_eq!(done.shown(), "exit 0\n-- stdout\n1 file: 0 errors, 0 warnings\n");
}

#[test]
fn show_prints_a_profile_that_is_one() {
    let shown = Run::new(&["profile", "show", "--profile", "strict", "--origins"]).done();
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    assert!(shown.stdout.contains("max-auth-tries = 3") && shown.stdout.contains("# strict:"), "{}", shown.stdout);
    let again = Run::new(&["profile", "show", "--profile", "all.toml", "--format", "json"])
        .file("all.toml", &shown.stdout)
        .done();
    let direct = Run::new(&["profile", "show", "--profile", "strict", "--format", "json"]).done();
    let digest = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["digest"].clone();
    assert_eq!(digest(&again.stdout), digest(&direct.stdout), "what was shown is the profile");
}

#[test]
fn list_and_schema() {
    let listed = Run::new(&["profile", "list"]).done().stdout;
    assert!(["baseline", "strict", "lab"].iter().all(|name| listed.contains(name)), "{listed}");
    for arguments in [&["profile", "schema"][..], &["profile", "schema", "--site"], &["profile", "schema", "--report"]]
    {
        let schema: serde_json::Value = serde_json::from_str(&Run::new(arguments).done().stdout).unwrap();
        assert!(schema["properties"].as_object().is_some_and(|all| all.len() > 2), "{arguments:?}");
    }
}

#[test]
fn init_without_a_terminal_names_its_flags() {
    insta::assert_snapshot!(Run::new(&["init", "--host", "192.0.2.1"]).done().shown(), @r"
    exit 2
    -- stderr
    error: nothing was written
    cause: there is no terminal to ask on: give --management, --admin, --key-file
    hint: e.g. pve-harden init --host pve1=192.0.2.10 --management 192.0.2.0/24 --admin ops --key-file ~/.ssh/id_ed25519.pub
    ");
}

#[test]
fn init_writes_a_site_that_lints_clean() {
    let flags = [
        "--host",
        "pve1=192.0.2.10",
        "--management",
        "192.0.2.0/24",
        "--admin",
        "ops",
        "--key-file",
        "ops.pub",
        "--sudo",
        "nopasswd",
    ];
    let run = Run::new(&[&["init"][..], &flags].concat()).file("ops.pub", KEY);
    let done = run.done();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let written = std::fs::read_to_string(run.path("site.toml")).unwrap();
    let lint = Run::new(&["profile", "lint", "site.toml"]).file("site.toml", &written).done();
    assert_eq!(lint.shown(), "exit 0\n-- stdout\n1 file: 0 errors, 0 warnings\n");
    assert_eq!(run.done().code, Some(2), "a second time it is not overwritten");
}
