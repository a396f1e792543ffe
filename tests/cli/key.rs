//! `key new`: real files, judged by the real ssh-keygen.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::run::Run;

const WORDS: &str = "planted sentinel of four words";

fn new(run: Run) -> Run {
    run.env("PVE_KEY_PASSPHRASE", WORDS)
}

fn public_half(file: &Path, passphrase: &str) -> (bool, String) {
    let mut keygen = Command::new("ssh-keygen");
    let output = keygen.args(["-y", "-P", passphrase, "-f"]).arg(file).stdin(Stdio::null()).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_new_key_is_one_that_openssh_reads_with_the_passphrase_only() {
    let run = new(Run::new(&["key", "new", "ops", "pve1", "2001:db8::1", "--folder", "."]));
    let done = run.done();
    assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
    for name in ["id_ed25519_pve1_ops", "id_ed25519_2001-db8--1_ops"] {
        let file = run.path(name);
        let mode = std::fs::metadata(&file).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
        let public = std::fs::read_to_string(run.path(&format!("{name}.pub"))).unwrap();
        let (good, derived) = public_half(&file, WORDS);
        assert!(good && derived.split(' ').take(2).eq(public.split(' ').take(2)), "{derived}{public}");
        assert!(!public_half(&file, "another one").0, "{name} is not encrypted");
        assert!(public.contains(" ops@") && done.stdout.contains(public.trim()), "{public}");
    }
    assert!(!format!("{}{}", done.stdout, done.stderr).contains(WORDS));
}

#[test]
fn nothing_is_overwritten_and_nothing_is_made_without_a_passphrase() {
    let run = new(Run::new(&["key", "new", "ops", "pve1", "pve2", "--folder", "."]))
        .file("id_ed25519_pve2_ops.pub", "mine\n");
    let done = run.done();
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.contains("no key was made") && done.stderr.contains("never overwritten"), "{}", done.stderr);
    assert!(!run.path("id_ed25519_pve1_ops").exists());
    let none = Run::new(&["key", "new", "ops", "pve1", "--folder", "."]).done();
    assert!(none.code == Some(2) && none.stderr.contains("PVE_KEY_PASSPHRASE"), "{}", none.stderr);
    for (name, host, passphrase) in [("ops", "../x", WORDS), ("O ps", "pve1", WORDS), ("ops", "pve1", "short")] {
        let run = Run::new(&["key", "new", name, host, "--folder", "."]);
        assert_eq!(run.env("PVE_KEY_PASSPHRASE", passphrase).done().code, Some(2), "{name} {host} {passphrase}");
    }
}
