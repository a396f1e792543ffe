//! `pmxcfs`: the file system on /etc/pve, as a FUSE mount with the manners of the real one.

mod attributes;
mod conf_sync;
mod manners;
pub mod membership;
mod quorum;
mod seed;
mod store;
mod tree_fs;
mod virtual_files;

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser;
use fuser::{Config, MountOption, Session, SessionACL};
use rustix::fs::{FlockOperation, flock};
use rustix::mount::{UnmountFlags, unmount};

use crate::applet::Arguments;
use crate::daemon;
use crate::files::write_atomic;
use crate::syslog::{Severity, Syslog};

pub use seed::SEED;

use quorum::Quorum;
use store::Store;
use tree_fs::TreeFs;

const LOG: Syslog = Syslog::new("pmxcfs");
/// Database of a node on its own.
const OWN_DATABASE: &str = "/var/lib/pve-cluster/config.db";
/// Folder that all members of a lab cluster share.
const SHARED: &str = "/var/lib/pve-sim/cluster";

/// The real program's options, and where to work when it is tried outside a node.
#[derive(Parser)]
#[command(name = "pmxcfs", no_binary_name = true)]
struct Options {
    /// Do not daemonize server
    #[arg(short, long)]
    foreground: bool,
    /// Force local mode (ignore corosync.conf, force quorum)
    #[arg(short, long)]
    local: bool,
    /// Mount here instead of on /etc/pve
    #[arg(long, default_value = "/etc/pve", hide = true)]
    mountpoint: PathBuf,
    /// Use this database
    #[arg(long, hide = true)]
    database: Option<PathBuf>,
    /// Files for a new database
    #[arg(long, default_value = seed::SEED, hide = true)]
    seed: PathBuf,
    /// Process id file
    #[arg(long, default_value = "/run/pve-cluster.pid", hide = true)]
    pid_file: PathBuf,
    /// Held locked while running
    #[arg(long, default_value = "/var/lib/pve-cluster/.pmxcfs.lockfile", hide = true)]
    lock_file: PathBuf,
    /// Name of this node instead of the host's
    #[arg(long, hide = true)]
    node: Option<String>,
}

/// Runs `pmxcfs`.
pub fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let options = Options::try_parse_from(arguments)?;
    if options.foreground || daemon::is_child() {
        return serve(&options).or_else(|error| {
            critical(&format!("{error:#}"));
            Ok(255)
        });
    }
    let program = std::env::current_exe().context("own path")?;
    let mut words: Vec<&str> = vec!["pmxcfs"];
    words.extend(arguments.iter().map(String::as_str));
    match daemon::start(&program, &words, &options.pid_file, None) {
        Ok(()) => Ok(0),
        Err(_) => Ok(255),
    }
}

fn critical(message: &str) {
    crate::console::complain(format!("[main] crit: {message}"));
    LOG.log(Severity::Error, &format!("[main] crit: {message}"));
}

fn serve(options: &Options) -> anyhow::Result<u8> {
    let _ = rustix::thread::set_name(c"pmxcfs");
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let _held = only_one(&options.lock_file)?;
    let node = match &options.node {
        Some(name) => name.clone(),
        None => crate::node::name(),
    };
    let www_data = crate::node::group_id("www-data").context("Unable to get www-data group ID")?;
    let cluster = !options.local && Path::new(seed::COROSYNC_CONF).exists();
    let database = options.database.clone().unwrap_or_else(|| database(cluster));
    if let Some(folder) = database.parent() {
        std::fs::create_dir_all(folder)?;
    }
    if cluster && !database.exists() && Path::new(OWN_DATABASE).exists() {
        Store::open(Path::new(OWN_DATABASE))
            .and_then(|own| own.copy_to(&database))
            .context("taking the own database into the cluster")?;
    }
    let mut store = Store::open(&database).context("memdb_open failed - unable to open database")?;
    seed::plant(&mut store, &options.seed, Path::new(seed::COROSYNC_CONF))?;
    if cluster {
        conf_sync::watch(Store::open(&database)?, Path::new(seed::COROSYNC_CONF));
    }
    let quorum = if cluster { Quorum::of_cluster(&database) } else { Quorum::standalone(&database) };

    let session = mount(&options.mountpoint, TreeFs::new(store, node, www_data, quorum))?;
    let background = session.spawn().context("fuse_new error")?;
    if options.foreground {
        write_atomic(&options.pid_file, format!("{}\n", std::process::id()).as_bytes(), 0o644)?;
    } else {
        daemon::ready();
    }
    LOG.info("[main] notice: filesystem mounted");
    daemon::wait_for_signal()?;
    LOG.info("[main] notice: teardown filesystem");
    // Not joined: a process that sits in the folder would hold the end up. Leaving closes /dev/fuse for it.
    let _ = unmount(&options.mountpoint, UnmountFlags::DETACH);
    std::mem::forget(background);
    let _ = std::fs::remove_file(&options.pid_file);
    LOG.info("[main] notice: exit proxmox configuration filesystem (0)");
    Ok(0)
}

/// Takes the lock that a running pmxcfs holds, waiting at most ten seconds for one that is ending.
fn only_one(path: &Path) -> anyhow::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let file = File::options().append(true).create(true).mode(0o600).open(path)?;
    for _ in 0..100 {
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return Ok(file);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    bail!("unable to acquire pmxcfs lock: Resource temporarily unavailable")
}

fn database(cluster: bool) -> PathBuf {
    if cluster && Path::new(SHARED).is_dir() {
        Path::new(SHARED).join("config.db")
    } else {
        PathBuf::from(OWN_DATABASE)
    }
}

/// Mounts with the options of the real program. A mount left by a killed pmxcfs is taken away first;
/// a folder with something in it is refused, because the mount would hide it.
fn mount(mountpoint: &Path, tree: TreeFs) -> anyhow::Result<Session<TreeFs>> {
    let _ = unmount(mountpoint, UnmountFlags::FORCE | UnmountFlags::DETACH);
    std::fs::create_dir_all(mountpoint)?;
    if std::fs::read_dir(mountpoint)?.next().is_some() {
        crate::console::complain(
            "fuse: mountpoint is not empty\nfuse: if you are sure this is safe, use the 'nonempty' mount option",
        );
        bail!("fuse_mount error: File exists");
    }
    let mut config = Config::default();
    config.mount_options = vec![MountOption::DefaultPermissions];
    config.acl = SessionACL::All;
    Session::new(tree, mountpoint, &config).context("fuse_mount error")
}
