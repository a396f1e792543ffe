//! The real sshd of this machine, asked about configurations in a private folder. Nothing listens.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pve_harden::facts::SshdSettings;

const DROPINS: &str = "/etc/ssh/sshd_config.d";

/// sshd's files of one imaginary node.
pub struct Sshd {
    folder: tempfile::TempDir,
    binary: PathBuf,
    /// The main file.
    pub main: String,
    /// Name → content of the drop-ins.
    pub dropins: BTreeMap<String, String>,
}

impl Sshd {
    /// `None`, said loudly, where there is no sshd; never under CI.
    pub fn with_main(main: &str) -> Option<Self> {
        let binary = Path::new("/usr/sbin/sshd");
        if !binary.is_file() || !make_run_folder() {
            crate::support::skip("needs root and /usr/sbin/sshd (apt install openssh-server)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let status = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(folder.path().join("key"))
            .stdin(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        std::fs::create_dir(folder.path().join("d")).unwrap();
        Some(Self { folder, binary: binary.into(), main: main.into(), dropins: BTreeMap::new() })
    }

    fn write(&self) -> PathBuf {
        let folder = self.folder.path().join("d");
        for entry in std::fs::read_dir(&folder).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for (name, content) in &self.dropins {
            std::fs::write(folder.join(name), content).unwrap();
        }
        let main = self.folder.path().join("main");
        std::fs::write(&main, self.main.replace(DROPINS, folder.to_str().unwrap())).unwrap();
        main
    }

    /// `sshd -T -C CASE`; panics with sshd's words when it refuses the files.
    pub fn ask(&self, case: &str) -> SshdSettings {
        let main = self.write();
        let answer = Command::new(&self.binary)
            .arg("-T")
            .arg("-f")
            .arg(main)
            .arg("-h")
            .arg(self.folder.path().join("key"))
            .args(["-C", case])
            .output()
            .unwrap();
        assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
        let text = String::from_utf8(answer.stdout).unwrap();
        let mut settings = SshdSettings::new();
        for (keyword, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            settings
                .entry(keyword.to_owned())
                .and_modify(|before| {
                    before.push('\n');
                    before.push_str(value);
                })
                .or_insert_with(|| value.to_owned());
        }
        settings
    }

    /// One keyword's value.
    pub fn value(&self, case: &str, keyword: &str) -> String {
        self.ask(case).remove(keyword).unwrap_or_default()
    }
}

/// sshd checks for its folder even when it only prints.
fn make_run_folder() -> bool {
    let folder = Path::new("/run/sshd");
    folder.is_dir() || std::fs::create_dir(folder).is_ok() || folder.is_dir()
}

/// What this machine's OpenSSH knows.
pub fn algorithms() -> BTreeMap<String, std::collections::BTreeSet<String>> {
    let query = |name: &str| {
        let answer = Command::new("ssh").args(["-Q", name]).output().unwrap();
        String::from_utf8(answer.stdout).unwrap().lines().map(str::to_owned).collect()
    };
    ["kex", "cipher", "mac", "HostKeyAlgorithms", "PubkeyAcceptedAlgorithms"]
        .into_iter()
        .map(|name| (name.to_owned(), query(name)))
        .collect()
}
