//! The file system against a recording of the real pmxcfs. It mounts for real, so it needs root and /dev/fuse.

mod replay;

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A mounted pmxcfs that is taken down at the end.
struct Mounted {
    child: Child,
    folder: tempfile::TempDir,
}

impl Mounted {
    fn new() -> std::io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let at = |name: &str| folder.path().join(name);
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        for name in ["root", "tmp", "pve", "seed/priv", "seed/nodes/pve1/lxc"] {
            std::fs::create_dir_all(at(name))?;
        }
        std::fs::write(at("seed/authkey.pub"), "key\n")?;
        let child = Command::new(env!("CARGO_BIN_EXE_pve-sim"))
            .args(["pmxcfs", "--foreground", "--local", "--node", "pve1"])
            .arg("--mountpoint")
            .arg(at("pve"))
            .arg("--database")
            .arg(at("config.db"))
            .arg("--seed")
            .arg(at("seed"))
            .arg("--pid-file")
            .arg(at("pid"))
            .arg("--lock-file")
            .arg(at("lock"))
            .stdout(Stdio::null())
            .spawn()?;
        let mounted = Self { child, folder };
        let until = Instant::now() + Duration::from_secs(20);
        while !mounted.path("pve/local").is_symlink() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(mounted)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn end(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = Command::new("kill").arg(self.child.id().to_string()).status();
            let _ = self.child.wait();
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.end();
    }
}

fn can_mount() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root || !Path::new("/dev/fuse").exists() {
        let _ = writeln!(std::io::stderr(), "SKIPPED: mounting pmxcfs needs root and /dev/fuse");
        return false;
    }
    true
}

#[test]
fn the_file_system_has_the_recorded_manners() -> std::io::Result<()> {
    if !can_mount() {
        return Ok(());
    }
    let mounted = Mounted::new()?;
    let place = |name: &str| mounted.path(name).display().to_string();
    let (pve, root, temporary) = (place("pve"), place("root") + "/", place("tmp") + "/");
    let host_name = place("hostname");
    std::fs::write(&host_name, "pve1\n")?;
    let places = [
        ("/etc/pve", pve.as_str()),
        ("/root/", root.as_str()),
        ("/tmp/", temporary.as_str()),
        ("localadm", "nobody"),
        ("/etc/hostname", host_name.as_str()),
    ];
    let recording = include_str!("recordings/pmxcfs.txt");
    let report = replay::differences(recording, &places, &[("TZ", Path::new("UTC"))], &[]);
    assert!(report.is_empty(), "{} steps differ\n{}", report.len(), report.join("\n"));
    Ok(())
}

#[test]
fn stopped_it_leaves_an_empty_folder_and_refuses_a_full_one() -> std::io::Result<()> {
    if !can_mount() {
        return Ok(());
    }
    let mut mounted = Mounted::new()?;
    std::fs::write(mounted.path("pve/kept"), "content")?;
    mounted.end();
    assert_eq!(std::fs::read_dir(mounted.path("pve"))?.count(), 0);
    std::fs::write(mounted.path("pve/stray"), "")?;
    let refused = Command::new(env!("CARGO_BIN_EXE_pve-sim"))
        .args(["pmxcfs", "--foreground", "--local"])
        .arg("--mountpoint")
        .arg(mounted.path("pve"))
        .arg("--database")
        .arg(mounted.path("config.db"))
        .arg("--lock-file")
        .arg(mounted.path("lock"))
        .output()?;
    assert_eq!(refused.status.code(), Some(255));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("mountpoint is not empty"));
    Ok(())
}
