use std::collections::VecDeque;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::profile::lint_file;
use crate::profile::secrets::Environment;

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ ops \"at\" example";

/// Answers in order; a wrong answer is asked again, as on a terminal.
struct Scripted(VecDeque<&'static str>);

impl Ask for Scripted {
    fn line(&mut self, _: &str, default: Option<&str>, check: &dyn Fn(&str) -> Option<String>) -> Result<String> {
        loop {
            let answer = match self.0.pop_front().unwrap() {
                "" => default.unwrap().to_owned(),
                answer => answer.to_owned(),
            };
            if check(&answer).is_none() {
                return Ok(answer);
            }
        }
    }

    fn choose(&mut self, _: &str, choices: &[String]) -> Result<usize> {
        let answer = self.0.pop_front().unwrap();
        Ok(choices.iter().position(|c| c.contains(answer)).unwrap())
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(".ssh")).unwrap();
        std::fs::write(folder.path().join(".ssh/id_ed25519.pub"), format!("{KEY}\n")).unwrap();
        std::fs::write(folder.path().join(".ssh/broken.pub"), "nothing\n").unwrap();
        Self(folder)
    }

    fn args(&self) -> InitArgs {
        InitArgs {
            host: vec!["192.0.2.10".into(), "root@pve7.example.org:2222".into(), "edge=ops@2001:db8::10".into()],
            management: vec!["192.0.2.0/24".into(), "2001:db8::/64".into()],
            admin: Some("ops".into()),
            key_file: vec![self.0.path().join(".ssh/id_ed25519.pub")],
            sudo: Some(Sudo::Nopasswd),
            output: self.0.path().join("site.toml"),
            force: false,
        }
    }

    fn run(&self, args: InitArgs, answers: Option<&[&'static str]>) -> Result<String> {
        let mut scripted = answers.map(|a| Scripted(a.iter().copied().collect()));
        run_with(args, scripted.as_mut().map(|s| s as &mut dyn Ask), Some(self.0.path()))
    }

    fn written(&self) -> String {
        std::fs::read_to_string(self.0.path().join("site.toml")).unwrap()
    }

    fn lint(&self) -> String {
        lint_file(&self.0.path().join("site.toml"), Environment::new()).to_string()
    }
}

#[test]
fn flags_make_a_private_file_that_lints_clean() {
    let folder = Folder::new();
    let said = folder.run(folder.args(), None).unwrap();
    assert!(said.contains("PVE_ROOT_PASS") && said.contains("pve-harden plan --site "), "{said}");
    assert_eq!(folder.lint(), "");
    let mode = std::fs::metadata(folder.0.path().join("site.toml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let loaded = crate::profile::load(&[], Some(&folder.0.path().join("site.toml"))).unwrap();
    let hosts: Vec<_> = loaded.site.hosts.iter().map(|h| (&*h.name, &*h.address, h.user.as_deref(), h.port)).collect();
    assert_eq!(
        hosts,
        [
            ("pve1", "192.0.2.10", None, None),
            ("pve7", "pve7.example.org", None, Some(2222)),
            ("edge", "2001:db8::10", Some("ops"), None),
        ]
    );
    assert_eq!(loaded.site.admins[0].keys, [KEY]);
}

#[test]
fn answers_make_the_same_file_and_wrong_ones_are_asked_again() {
    let folder = Folder::new();
    let args = InitArgs { output: folder.0.path().join("site.toml"), ..InitArgs::default() };
    let answers = [
        "-oX",
        "pve1=192.0.2.10 pve2=192.0.2.11",
        "0.0.0.0/0",
        "192.0.2.0/24",
        "root",
        "ops",
        "id_ed25519.pub",
        "password",
    ];
    folder.run(args, Some(&answers)).unwrap();
    assert_eq!(folder.lint(), "");
    assert!(folder.written().contains("password = { prompt = true }"));
}

#[test]
fn another_key_file_can_be_named() {
    let folder = Folder::new();
    let args = InitArgs { key_file: Vec::new(), ..folder.args() };
    folder.run(args, Some(&["another file", "/nonexistent", "~/.ssh/id_ed25519.pub"])).unwrap();
    assert!(folder.written().contains("AAAAC3NzaC1lZDI1NTE5"));
}

#[test]
fn without_a_terminal_the_missing_flags_are_named() {
    let folder = Folder::new();
    let args = InitArgs { management: Vec::new(), sudo: None, ..folder.args() };
    let error = folder.run(args, None).unwrap_err();
    assert_eq!(error.kind.exit_code(), 2);
    assert_eq!(error.to_string(), "nothing was written: there is no terminal to ask on: give --management");
}

#[test]
fn an_existing_file_stays_unless_forced() {
    let folder = Folder::new();
    std::fs::write(folder.0.path().join("site.toml"), "mine").unwrap();
    let error = folder.run(folder.args(), None).unwrap_err();
    assert!(error.hint_text().contains("--force"), "{error}");
    assert_eq!(folder.written(), "mine");
    folder.run(InitArgs { force: true, ..folder.args() }, None).unwrap();
    assert_eq!(folder.lint(), "");
}

#[test]
fn what_lint_refuses_is_not_written() {
    let folder = Folder::new();
    for args in [
        InitArgs { management: vec!["0.0.0.0/0".into()], ..folder.args() },
        InitArgs { admin: Some("www-data".into()), ..folder.args() },
        InitArgs { host: vec!["a=192.0.2.1".into(), "a=192.0.2.2".into()], ..folder.args() },
        InitArgs { host: vec!["-oProxyCommand=x".into()], ..folder.args() },
        InitArgs { key_file: vec![folder.0.path().join(".ssh/broken.pub")], ..folder.args() },
    ] {
        let error = folder.run(args, None).unwrap_err();
        assert_eq!(error.kind, Kind::Usage);
        assert!(error.to_string().starts_with("nothing was written"), "{error}");
        assert!(!folder.0.path().join("site.toml").exists());
    }
}
