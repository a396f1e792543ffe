//! Locks in the cluster: a folder below /etc/pve/priv/lock, which only one program in the cluster can make.

use std::io::ErrorKind;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use crate::console::complain;
use crate::die::Die;
use crate::host::Host;

const EACCES: u8 = 13;
const EEXIST: u8 = 17;

/// Runs `work` while holding the lock of a file such as `user.cfg`, or the lock `firewall-cluster`.
pub fn locked<T>(host: &Host, file: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let id =
        if file.starts_with("firewall-") { file.to_owned() } else { format!("file-{}", file.replace(['.', '/'], "_")) };
    let folder = host.pve("priv/lock");
    let _ = std::fs::create_dir(&folder);
    if !folder.is_dir() {
        return Err(Die::new(2, format!("cfs-lock '{id}' error: pve cluster filesystem not online.")).into());
    }
    let lock = folder.join(&id);
    let mut waited = Duration::ZERO;
    loop {
        let refused = match std::fs::create_dir(&lock) {
            Ok(()) => break,
            Err(error) => error,
        };
        let step = Duration::from_secs(10 - waited.as_secs().min(9)).min(Duration::from_secs(10)) / 10;
        let next = waited + step;
        if next.as_secs() >= 10 {
            return Err(gave_up(host, &id, &refused).into());
        }
        if next.as_secs() > waited.as_secs() {
            complain(format!("trying to acquire cfs lock '{id}' ..."));
        }
        ask_for_unlock(&lock);
        std::thread::sleep(step + uneven());
        waited = next;
    }
    let outcome = work();
    let _ = std::fs::remove_dir(&lock);
    outcome
}

fn gave_up(host: &Host, id: &str, refused: &std::io::Error) -> Die {
    if host.is_quorate() {
        let code = if refused.kind() == ErrorKind::AlreadyExists { EEXIST } else { EACCES };
        Die::new(code, format!("cfs-lock '{id}' error: got lock request timeout"))
    } else {
        Die::new(EACCES, format!("cfs-lock '{id}' error: no quorum!"))
    }
}

/// A little time that differs between waiters, so that they do not knock all at once.
fn uneven() -> Duration {
    let mut random = [0_u8; 1];
    let _ = openssl::rand::rand_bytes(&mut random);
    Duration::from_millis(u64::from(random[0]))
}

/// Time zero on the folder asks pmxcfs to drop the lock of an owner that is gone.
fn ask_for_unlock(lock: &std::path::Path) {
    let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
    let _ = utimensat(CWD, lock, &Timestamps { last_access: zero, last_modification: zero }, AtFlags::empty());
}
