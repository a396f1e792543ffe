//! Starting in the background the way PVE's daemons do (`Type=forking`), without `fork`:
//! the program starts itself again as a child, waits for its sign of life, writes the pid file and leaves.

use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::files::write_atomic;
use crate::node;

/// Environment variable that tells the second process that it is the daemon.
const CHILD: &str = "PVE_SIM_DAEMON";

/// Whom the background process runs as.
#[derive(Clone, Copy, Debug)]
pub struct RunAs {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl RunAs {
    /// The user that PVE's listeners run as.
    pub fn www_data() -> anyhow::Result<Self> {
        Ok(Self {
            uid: node::user_id("www-data").context("no user www-data")?,
            gid: node::group_id("www-data").context("no group www-data")?,
        })
    }
}

/// Whether this process is the background half of [`start`].
pub fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Starts `program` again in the background with `arguments`, waits until it calls [`ready`]
/// and writes its process id to `pid_file`.
///
/// # Errors
/// The child ended before it was ready; its messages have gone to stderr by then.
pub fn start(program: &Path, arguments: &[&str], pid_file: &Path, run_as: Option<RunAs>) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env(CHILD, "1")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit());
    if let Some(RunAs { uid, gid }) = run_as {
        command.uid(uid).gid(gid);
    }
    let mut child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
    let mut sign = [0_u8; 1];
    let read = match child.stdout.take() {
        Some(mut pipe) => pipe.read(&mut sign).unwrap_or(0),
        None => 0,
    };
    if read != 1 {
        let _ = child.wait();
        bail!("start failed");
    }
    write_atomic(pid_file, format!("{}\n", child.id()).as_bytes(), 0o644)
}

/// Leaves the caller's session and tells the waiting parent that the service answers.
pub fn ready() {
    let _ = rustix::process::setsid();
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(b"1");
    let _ = out.flush();
}

/// Tells systemd that a `Type=notify` service is up.
pub fn notify_systemd() {
    if let Some(path) = std::env::var_os("NOTIFY_SOCKET")
        && let Ok(socket) = std::os::unix::net::UnixDatagram::unbound()
    {
        let _ = socket.send_to(b"READY=1\n", Path::new(&path));
    }
}

/// Waits for SIGTERM, SIGINT or SIGHUP and returns which one came.
pub fn wait_for_signal() -> anyhow::Result<i32> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    Ok(signals.forever().next().unwrap_or(SIGTERM))
}

/// The process id in a pid file, if that process lives.
pub fn running_pid(pid_file: &Path) -> Option<i32> {
    let pid: i32 = std::fs::read_to_string(pid_file).ok()?.trim().parse().ok()?;
    Path::new(&format!("/proc/{pid}")).exists().then_some(pid)
}
