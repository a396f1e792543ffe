//! Lab nodes for tests: a lab of its own per test, taken down when the test ends.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

/// Waits until `done` says yes; panics with `what` after `limit`.
#[track_caller]
pub fn eventually(limit: Duration, what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !done() {
        assert!(Instant::now() < end, "after {limit:?} still not: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What a finished program said.
#[derive(Debug)]
pub struct Said {
    /// Exit status; -1 when a signal ended it.
    pub status: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Said {
    /// Of a finished process.
    pub fn of(output: &Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Panics with everything that was said unless the status is this one.
    #[track_caller]
    pub fn exits(self, status: i32) -> Self {
        assert_eq!(self.status, status, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

/// A lab with its own bridge, subnets and nodes.
pub struct Lab {
    id: String,
    pub site: PathBuf,
    pub ssh_config: PathBuf,
    _place: File,
}

/// The repository's `tests/lab/lab`.
fn lab_program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/lab")
}

/// Why this machine cannot run the lab; asked once.
fn missing() -> Option<&'static str> {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    MISSING
        .get_or_init(|| {
            if !rustix::process::geteuid().is_root() {
                return Some("the lab needs root".into());
            }
            let said = Said::of(&Command::new(lab_program()).arg("doctor").output().expect("tests/lab/lab runs"));
            (said.status != 0).then(|| format!("{}{}", said.stdout, said.stderr))
        })
        .as_deref()
}

/// At most so many labs at once, whatever the number of test threads: nodes share the machine's processors.
fn take_place() -> File {
    let places: usize = std::env::var("LAB_PLACES").ok().and_then(|text| text.parse().ok()).unwrap_or(3);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let end = Instant::now() + Duration::from_secs(3000);
    loop {
        for place in 0..places {
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(folder.join(format!("lab-place-{place}")))
                .expect("place file");
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                return file;
            }
        }
        assert!(Instant::now() < end, "no place for another lab");
        std::thread::sleep(Duration::from_millis(200));
    }
}

impl Lab {
    /// Brings the nodes up, or says loudly why this test is skipped. `options` go to `lab up`, e.g. `--pve 8`.
    pub fn up(test: &str, nodes: &[&str], options: &[&str]) -> Option<Self> {
        if let Some(why) = missing() {
            assert!(std::env::var_os("CI").is_none(), "lab test {test} cannot run: {why}");
            let _ = writeln!(std::io::stderr(), "SKIPPED lab test {test}: {why}");
            note("skipped", test);
            return None;
        }
        let place = take_place();
        let mut lab = Self { id: id_of(test), site: PathBuf::new(), ssh_config: PathBuf::new(), _place: place };
        lab.lab(["down", "--all"]);
        let mut arguments = vec!["up"];
        arguments.extend(nodes);
        arguments.extend(options);
        lab.lab(arguments).exits(0);
        note("run", test);
        lab.site = lab.lab(["site"]).exits(0).stdout.trim().into();
        lab.ssh_config = lab.lab(["ssh-config"]).exits(0).stdout.trim().into();
        Some(lab)
    }

    /// `tests/lab/lab …` for this lab.
    pub fn lab<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Said {
        let mut command = Command::new(lab_program());
        command.env("LAB_ID", &self.id).args(arguments).stdin(Stdio::null());
        Said::of(&command.output().expect("tests/lab/lab runs"))
    }

    /// Words before a script that the node's shell shall run, for a program with an input.
    pub fn shell(&self, node: &str) -> Vec<String> {
        let id = format!("LAB_ID={}", self.id);
        let program = lab_program().to_string_lossy().into_owned();
        ["env", &id, &program, "exec", node, "--", "sh", "-c"].map(str::to_owned).into()
    }

    /// A shell command as root on the node, past SSH and network.
    pub fn exec(&self, node: &str, script: &str) -> Said {
        self.lab(["exec", node, "--", "sh", "-c", script])
    }

    /// As [`Lab::exec`]; panics unless it exits 0.
    #[track_caller]
    pub fn on(&self, node: &str, script: &str) -> String {
        let said = self.exec(node, script);
        assert_eq!(said.status, 0, "{script}\nstdout:\n{}\nstderr:\n{}", said.stdout, said.stderr);
        said.stdout
    }

    /// The node's address.
    pub fn address(&self, node: &str) -> String {
        self.lab(["addr", node]).exits(0).stdout.trim().to_owned()
    }

    /// The node's IPv6 address.
    pub fn address6(&self, node: &str) -> String {
        self.lab(["addr", node, "--6"]).exits(0).stdout.trim().to_owned()
    }

    /// The network namespace of `neighbour` or `outside`.
    pub fn namespace(&self, host: &str) -> PathBuf {
        PathBuf::from(format!("/run/netns/phl-{}-{host}", self.id))
    }

    /// Whether a TCP connection from `operator`, `neighbour` or `outside` comes about within two seconds.
    pub fn connects(&self, from: &str, address: &str, port: u16) -> bool {
        let attempt = format!("exec 3<>/dev/tcp/{address}/{port}");
        self.lab([from, "--", "timeout", "2", "bash", "-c", &attempt]).status == 0
    }

    /// The binary under test with this lab's site and ssh config; nothing of the caller's environment but PATH.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pve-harden"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", "/nonexistent");
        let verbs = if matches!(arguments[0], "access" | "key" | "token") { 2 } else { 1 };
        command.args(&arguments[..verbs]).arg("--site").arg(&self.site).arg("--ssh-config").arg(&self.ssh_config);
        command.arg("--identity").arg(self.admin_key()).args(&arguments[verbs..]).stdin(Stdio::null());
        command
    }

    /// The private key of the admin `ops`.
    pub fn admin_key(&self) -> PathBuf {
        self.site.with_file_name("ops")
    }

    /// Runs the binary to its end.
    pub fn harden(&self, arguments: &[&str]) -> Said {
        Said::of(&self.command(arguments).output().expect("pve-harden runs"))
    }

    /// ssh with the lab's config; `host` as the config names it.
    pub fn ssh(&self, host: &str, options: &[&str], remote: &str) -> Said {
        let mut command = Command::new("ssh");
        command.arg("-F").arg(&self.ssh_config).args(["-o", "BatchMode=yes", "-o", "ControlPath=none"]);
        command.args(options).arg(host).arg(remote).stdin(Stdio::null());
        Said::of(&command.output().expect("ssh runs"))
    }

    /// root's password on the lab's nodes.
    pub fn root_password(&self) -> String {
        let text = std::fs::read_to_string(self.site.with_file_name(".env")).expect(".env of the lab");
        text.lines().find_map(|line| line.strip_prefix("PVE_ROOT_PASS=")).expect("PVE_ROOT_PASS").to_owned()
    }

    /// ssh as root with the password, without any key.
    pub fn root_password_login(&self, node: &str) -> Said {
        let folder = tempfile::tempdir().expect("a private folder");
        let askpass = folder.path().join("askpass");
        let mut file = File::create(&askpass).expect("askpass");
        write!(file, "#!/bin/sh\nprintf '%s\\n' '{}'\n", self.root_password()).expect("askpass");
        drop(file);
        std::fs::set_permissions(&askpass, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("askpass mode");
        let mut command = Command::new("ssh");
        command.arg("-F").arg(&self.ssh_config).args(["-o", "ControlPath=none", &format!("{node}-root"), "id -u"]);
        command.env("SSH_ASKPASS", &askpass).env("SSH_ASKPASS_REQUIRE", "force").stdin(Stdio::null());
        Said::of(&command.output().expect("ssh runs"))
    }

    /// More text for the site file.
    pub fn add_to_site(&self, text: &str) {
        let site = std::fs::read_to_string(&self.site).expect("the site");
        std::fs::write(&self.site, site + text).expect("the site");
    }

    /// The HTTP status that a client of this token gets from the node's port 8006.
    pub fn token_status(&self, node: &str, id: &str, secret: &str) -> String {
        // By standard input, so that a test that watches arguments sees only those of the program under test.
        let config = format!("header = \"Authorization: PVEAPIToken={id}={secret}\"\n");
        let script = "curl -sk -o /dev/null -w '%{http_code}' -K - https://127.0.0.1:8006/api2/json/version";
        String::from_utf8_lossy(&feed(self, node, script, config.as_bytes())).into_owned()
    }

    /// Everything under these paths that a run must put back: content, mode, owner and link targets.
    pub fn fingerprint(&self, node: &str) -> String {
        self.on(
            node,
            "cd / && find etc root var/lib/pam home usr/local/sbin -xdev \\( -path etc/pve -o -name pve-harden-undo -o -name pve-harden-confirm \\) -prune -o \\( -type f -o -type l -o -type d \\) -printf '%p %y %m %U:%G %l\\n' | grep -v -e '^etc d ' | sort; find etc root var/lib/pam home -xdev -path etc/pve -prune -o -type f -exec sha256sum {} + | sort -k2",
        )
    }
}

/// Runs a shell command as root on the node with this on its standard input; what it wrote, or a panic.
#[track_caller]
pub fn feed(lab: &Lab, node: &str, script: &str, input: &[u8]) -> Vec<u8> {
    let mut command = Command::new(lab_program());
    command.env("LAB_ID", &lab.id).args(["exec", node, "--", "sh", "-c", script]);
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(input).expect("a file");
    file.rewind().expect("a file");
    let output = command.stdin(file).output().expect("tests/lab/lab runs");
    assert!(output.status.success(), "{script:.200}\n{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("LAB_KEEP").is_some() {
            let _ = writeln!(std::io::stderr(), "kept for inspection: LAB_ID={} tests/lab/lab list", self.id);
            return;
        }
        // Nothing may be left of it, and a node that was slow to end is ended by now.
        let down = self.lab(["down", "--all"]);
        if down.status != 0 {
            let _ = writeln!(std::io::stderr(), "{}: down once more, after {}", self.id, down.stderr.trim());
            self.lab(["down", "--all"]);
        }
    }
}

/// Two checkouts on one machine do not meet: the name, shortened, and a number made from it and this checkout's path.
fn id_of(test: &str) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    std::hash::Hash::hash(&(env!("CARGO_MANIFEST_DIR"), test), &mut hasher);
    format!("{test:.9}-{:06x}", std::hash::Hasher::finish(&hasher) & 0xff_ffff)
}

/// Counted by `make test`: how many lab tests really ran.
fn note(what: &str, test: &str) {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lab-tests.{what}"));
    let mut file = OpenOptions::new().create(true).append(true).open(path).expect("the list of lab tests");
    writeln!(file, "{test}").expect("the list of lab tests");
}
