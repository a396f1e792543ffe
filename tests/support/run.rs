//! Runs the real binary in a folder of its own with a scrubbed environment.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// One run of the binary: arguments, files, environment.
pub struct Run {
    folder: TempDir,
    arguments: Vec<OsString>,
    environment: Vec<(String, String)>,
}

/// What it did. All of it is compared at once.
#[derive(Debug, PartialEq, Eq)]
pub struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub folder: PathBuf,
}

impl Run {
    pub fn new(arguments: &[&str]) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            arguments: arguments.iter().map(Into::into).collect(),
            environment: Vec::new(),
        }
    }

    /// A file in the folder the binary runs in.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.folder.path().join(name), content).unwrap();
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// A recorded node as an argument.
    pub fn capture(mut self, name: &str) -> Self {
        self.arguments.extend(["--capture".into(), recorded(name).into_os_string()]);
        self
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pve-harden"));
        command
            .args(&self.arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", self.folder.path())
            .env("LC_ALL", "C.UTF-8")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs it; the folder stays for the caller as long as the value lives.
    pub fn done(&self) -> Done {
        let output = self.command().output().unwrap();
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).unwrap();
            text.replace(&self.folder.path().display().to_string(), "[DIR]")
                .replace(env!("CARGO_MANIFEST_DIR"), "[ROOT]")
        };
        Done {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
            folder: self.folder.path().to_owned(),
        }
    }
}

impl Done {
    /// Everything a person or script can see, for snapshots.
    pub fn shown(&self) -> String {
        let mut shown = format!("exit {}\n", self.code.map_or("by signal".into(), |code| code.to_string()));
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                let _ = write!(shown, "-- {name}\n{text}");
            }
        }
        shown
    }
}

/// Path of a recorded node.
pub fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts").join(name)
}

/// A site that fits the recorded nodes: their management network and one administrator with a key.
pub const SITE: &str = r#"
management = ["10.80.226.0/28"]

[[host]]
name = "fresh9"
address = "10.80.226.32"

[[admin]]
name = "ops"
full-name = "Olga P. Smith"
keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ ops@example"]
sudo = "nopasswd"
"#;
