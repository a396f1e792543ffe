//! A real sshd on the loopback interface, with files of its own only.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pve_harden::transport::Target;
use tempfile::TempDir;

/// One server; gone with the value.
pub struct Sshd {
    directory: Arc<TempDir>,
    pub address: SocketAddr,
    child: Child,
}

impl Sshd {
    /// One attempt: somebody else may take the port between its choice and its use.
    fn listen(address: IpAddr, extra: &str, directory: &Arc<TempDir>) -> Option<Self> {
        let path = directory.path();
        let free = TcpListener::bind((address, 0)).unwrap().local_addr().unwrap();
        let config = format!(
            "ListenAddress {free}\nHostKey {0}/host_key\nAuthorizedKeysFile {0}/authorized_keys\nStrictModes no\n\
             UsePAM no\nPidFile none\nPermitRootLogin yes\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nLogLevel VERBOSE\n{extra}\n",
            path.display()
        );
        fs::write(path.join("sshd_config"), config).unwrap();
        let log = path.join("log");
        let _ = fs::remove_file(&log);
        let child = Command::new("/usr/sbin/sshd")
            .args(["-D", "-f"])
            .arg(path.join("sshd_config"))
            .arg("-E")
            .arg(&log)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Self { directory: Arc::clone(directory), address: free, child };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !server.log().contains("Server listening on") {
            if server.child.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(Instant::now() < deadline, "sshd does not answer: {}", server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(server)
    }

    /// Starts a server that lets root in with `user_key`; `None` after a loud skip.
    pub fn start(extra: &str) -> Option<Self> {
        Self::start_at(IpAddr::V4(Ipv4Addr::LOCALHOST), extra)
    }

    pub fn start_at(address: IpAddr, extra: &str) -> Option<Self> {
        if !Path::new("/usr/sbin/sshd").exists() || !rustix_is_root() {
            super::skip("needs root and /usr/sbin/sshd (apt install openssh-server)");
            return None;
        }
        // sshd insists on its privilege separation directory.
        fs::create_dir_all("/run/sshd").unwrap();
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let path = directory.path();
        keygen(&path.join("host_key"), "", "ed25519");
        keygen(&path.join("user_key"), "", "ed25519");
        fs::copy(path.join("user_key.pub"), path.join("authorized_keys")).unwrap();
        Some((0..20).find_map(|_| Self::listen(address, extra, &directory)).expect("no free port"))
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What sshd logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    /// The host key's `SHA256:…`.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.file("host_key.pub"))
    }

    /// Root with the right key; `known_hosts` names the server; no `ssh_config` of this machine.
    pub fn target(&self) -> Target {
        let key = fs::read_to_string(self.file("host_key.pub")).unwrap();
        let line = format!("[{}]:{} {key}", self.address.ip(), self.address.port());
        fs::write(self.file("known_hosts"), line).unwrap();
        self.stranger()
    }

    /// As [`Sshd::target`], with an empty `known_hosts`.
    pub fn stranger(&self) -> Target {
        let config = self.file("ssh_config");
        if !config.exists() {
            fs::write(&config, "").unwrap();
        }
        Target {
            user: Some("root".into()),
            port: Some(self.address.port()),
            identity: Some(self.file("user_key")),
            ssh_config: Some(config),
            known_hosts: Some(self.file("known_hosts")),
            ..Target::new(self.address.ip().to_string())
        }
    }

    /// Successful logins, one for each TCP connection that got so far.
    pub fn logins(&self) -> usize {
        self.log().lines().filter(|line| line.starts_with("Accepted ") && line.contains(" for root from ")).count()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Makes a key pair.
pub fn keygen(path: &Path, passphrase: &str, kind: &str) {
    let status =
        Command::new("ssh-keygen").args(["-q", "-t", kind, "-N", passphrase, "-f"]).arg(path).status().unwrap();
    assert!(status.success());
}

/// `SHA256:…` of a public key file.
pub fn fingerprint(public: &Path) -> String {
    let output = Command::new("ssh-keygen").arg("-lf").arg(public).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().nth(1).unwrap().to_owned()
}

fn rustix_is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}
