//! The binary in a folder of its own, with a site, an environment and an ssh config that a test chooses.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::lab::{Lab, Said};

/// One operator: files in a folder, variables, and the lab's nodes to talk to.
pub struct Tool<'a> {
    lab: &'a Lab,
    folder: TempDir,
    ssh_config: PathBuf,
    environment: Vec<(String, String)>,
}

impl<'a> Tool<'a> {
    /// With the lab's site and root's password in the environment.
    pub fn new(lab: &'a Lab) -> Self {
        let site = fs::read_to_string(&lab.site).unwrap();
        let tool = Self {
            lab,
            folder: tempfile::tempdir().unwrap(),
            ssh_config: lab.ssh_config.clone(),
            environment: Vec::new(),
        };
        tool.file("site.toml", &site).env("PVE_ROOT_PASS", &lab.root_password())
    }

    /// A file in the folder the binary runs in, for its owner only.
    pub fn file(self, name: &str, content: &str) -> Self {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        self
    }

    /// The site file, changed; every `from` must be there.
    pub fn site(self, changes: &[(&str, &str)]) -> Self {
        let mut text = fs::read_to_string(self.path("site.toml")).unwrap();
        for (from, to) in changes {
            assert!(text.contains(from), "{from} is not in {text}");
            text = text.replace(from, to);
        }
        self.file("site.toml", &text)
    }

    /// The lab's ssh config with lines before it, which win.
    pub fn ssh_lines(mut self, lines: &str) -> Self {
        let rest = fs::read_to_string(&self.lab.ssh_config).unwrap();
        self.ssh_config = self.path("ssh_config");
        self.file("ssh_config", &format!("{lines}\n{rest}"))
    }

    /// A variable; the last value counts.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pve-harden"));
        command
            .arg(arguments[0])
            .arg("--ssh-config")
            .arg(&self.ssh_config)
            .args(&arguments[1..])
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end. Whatever it says is fit for a terminal, and a failure says first how the node is.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Said {
        self.judged(Said::of(&self.command(arguments).output().unwrap()))
    }

    /// Starts it; [`Tool::wait`] takes the result.
    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    #[track_caller]
    pub fn wait(&self, child: Child) -> Said {
        self.judged(Said::of(&child.wait_with_output().unwrap()))
    }

    #[track_caller]
    fn judged(&self, said: Said) -> Said {
        let all = format!("{}{}", said.stdout, said.stderr);
        assert!(!all.chars().any(|c| c.is_control() && c != '\n' && c != '\t'), "control characters: {all:?}");
        assert!(!all.contains(&self.lab.root_password()), "root's password: {all}");
        for (number, line) in said.stderr.lines().enumerate().filter(|(_, line)| line.starts_with("error: ")) {
            let state = ["nothing was changed", "nothing was contacted"];
            let state_first = state.iter().any(|state| line["error: ".len()..].starts_with(state))
                || line.contains(" was rolled back");
            let then: Vec<_> = said.stderr.lines().skip(number + 1).collect();
            assert!(state_first, "the state of the node comes first: {}", said.stderr);
            assert!(
                then[0].starts_with("cause:") && then.iter().any(|line| line.starts_with("hint: ")),
                "{}",
                said.stderr
            );
        }
        said
    }

    /// Exit code and standard error without progress, with what differs from run to run named instead.
    pub fn told(&self, said: &Said) -> String {
        let mut text = format!("exit {}\n{}", said.status, said.stderr);
        text = text.replace(&self.folder.path().display().to_string(), "[DIR]");
        let listed = self.lab.lab(["list"]).exits(0).stdout;
        for line in listed.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            let progress = format!("{}: ", fields[0]);
            text = text.split_inclusive('\n').filter(|line| !line.starts_with(&progress)).collect();
            text =
                text.replace(fields[5], &format!("[{} v6]", fields[0])).replace(fields[4], &format!("[{}]", fields[0]));
        }
        without_fingerprints(&text)
    }
}

fn without_fingerprints(text: &str) -> String {
    let mut parts = text.split("SHA256:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "SHA256:[KEY]" + part.get(43..).unwrap_or_default())
}

/// A key pair; gives the path of the private half.
pub fn new_key(tool: &Tool<'_>, name: &str, passphrase: &str) -> PathBuf {
    let path = tool.path(name);
    crate::support::sshd::keygen(&path, passphrase, "ed25519");
    path
}

/// sshd's wrath at failing logins has tests of its own; here it would only make them slow.
pub fn sshd_settings(lab: &Lab, node: &str, settings: &str) {
    let file = "/etc/ssh/sshd_config.d/00-test.conf";
    lab.on(
        node,
        &format!("printf '%s\\n' 'PerSourcePenalties no' {settings} >{file} && sshd -t && systemctl reload ssh"),
    );
}
