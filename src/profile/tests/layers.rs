use std::fmt::Write as _;

use proptest::prelude::*;

use super::Folder;
use crate::profile::policy::Host;

#[test]
fn later_values_win_and_each_remembers_its_place() {
    let folder = Folder::with(&[
        ("company.toml", "extends = \"strict\"\n\n[ssh.limits]\nmax-auth-tries = 5\n"),
        (
            "team/mine.toml",
            "extends = \"../company.toml\"\n[ssh.crypto]\nmacs = [\"hmac-sha2-512\"]\n[ssh.limits]\nlogin-grace-time = 45\n",
        ),
    ]);
    let loaded = folder.load(&["team/mine.toml"], None).unwrap();
    let policy = loaded.policy_for(&Host::default());
    let limits = &policy.profile.ssh.limits;
    assert_eq!((limits.max_auth_tries, limits.login_grace_time, limits.max_sessions), (5, 45, 10));
    assert_eq!(policy.profile.ssh.crypto.macs, ["hmac-sha2-512"], "arrays are replaced, not appended");
    let origin = |key: &str| policy.origin(key).unwrap().to_string();
    assert!(origin("ssh.limits.max-auth-tries").ends_with("company.toml:4"), "{}", origin("ssh.limits.max-auth-tries"));
    assert!(origin("ssh.limits.login-grace-time").ends_with("team/mine.toml:5"));
    assert!(origin("ssh.crypto.enabled").starts_with("strict:"));
    assert!(origin("ssh.limits.max-sessions").starts_with("baseline:"));
    assert_eq!(policy.profile_names.len(), 4);
}

#[test]
fn a_base_that_two_profiles_share_lies_below_both() {
    let loaded = Folder::with(&[]).load(&["strict", "lab"], None).unwrap();
    assert_eq!(loaded.profile_names, ["baseline", "strict", "lab"]);
    assert!(loaded.profile.ssh.crypto.enabled, "strict's value is not undone by lab's baseline");
    assert_eq!(loaded.profile.run.commit_window, 300, "lab came last");
}

#[test]
fn circles_missing_files_and_names_are_errors() {
    let folder = Folder::with(&[
        ("a.toml", "extends = \"b.toml\"\n"),
        ("b.toml", "extends = \"a.toml\"\n"),
        ("self.toml", "extends = \"./self.toml\"\n"),
        ("gone.toml", "extends = \"nowhere.toml\"\n"),
        ("slip.toml", "extends = \"baselin\"\n"),
        ("alone.toml", "[ssh.limits]\nmax-auth-tries = 3\n"),
    ]);
    for (name, message) in [
        ("a.toml", "goes in a circle: a.toml → b.toml → a.toml"),
        ("self.toml", "goes in a circle: self.toml → self.toml"),
        ("gone.toml", "nowhere.toml does not exist"),
        ("slip.toml", "did you mean `baseline`?"),
        ("alone.toml", "extends = \"baseline\""),
    ] {
        let found = folder.load(&[name], None).unwrap_err().to_string();
        assert!(found.contains(message), "{name}: {found}");
    }
    assert_eq!(folder.lint("alone.toml"), "", "a layer for use on top of another one is judged by itself");
    assert!(folder.load(&["baseline", "alone.toml"], None).is_ok());
}

#[test]
fn the_digest_follows_the_values_and_not_the_way_they_are_written() {
    let folder = Folder::with(&[
        ("a.toml", "extends = \"baseline\"\n[ssh.limits]\nmax-auth-tries = 3\nmax-sessions = 20\n"),
        (
            "b.toml",
            "# comment\nextends = \"baseline\"\nssh.limits.max-sessions = 20\nssh.limits.max-auth-tries = 0x3\n",
        ),
    ]);
    let digest = |names: &[&str]| folder.load(names, None).unwrap().digests.profile;
    assert_eq!(digest(&["a.toml"]), digest(&["b.toml"]));
    assert_ne!(digest(&["a.toml"]), digest(&["baseline"]));
    assert_eq!(digest(&["baseline"]).len(), 64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever two layers set: the last one that sets a key is its value and its origin.
    #[test]
    fn origins_are_those_of_the_last_layer(lines in proptest::collection::vec((0usize..4, any::<bool>(), 10u32..30), 0..12)) {
        const KEYS: [&str; 4] = ["ssh.limits.max-sessions", "password.history.remember", "password.quality.min-length", "lockout.pam.deny"];
        let mut texts = [String::from("extends = \"baseline\"\n"), String::from("extends = \"baseline\"\n")];
        let mut expected: [Option<(usize, usize, u32)>; 4] = [None; 4];
        for (key, second, value) in lines {
            let layer = usize::from(second);
            if texts[layer].contains(KEYS[key]) {
                continue;
            }
            writeln!(texts[layer], "{} = {value}", KEYS[key]).unwrap();
            let line = texts[layer].lines().count();
            if expected[key].is_none_or(|(other, ..)| other <= layer) {
                expected[key] = Some((layer, line, value));
            }
        }
        let folder = Folder::with(&[("0.toml", &texts[0]), ("1.toml", &texts[1])]);
        let loaded = folder.load(&["0.toml", "1.toml"], None).unwrap();
        for (key, expected) in KEYS.iter().zip(expected) {
            let origin = &loaded.origins[*key];
            let pointer = format!("/{}", key.replace('.', "/"));
            match expected {
                None => prop_assert_eq!(&origin.file, "baseline"),
                Some((layer, line, value)) => {
                    let name = format!("{layer}.toml");
                    prop_assert!(origin.file.ends_with(&name));
                    prop_assert_eq!(origin.line, line);
                    prop_assert_eq!(loaded.values.pointer(&pointer).unwrap(), &serde_json::json!(value));
                }
            }
        }
    }
}
