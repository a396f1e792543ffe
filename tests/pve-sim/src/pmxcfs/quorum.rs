//! Whether this node may write, and what it still sees when it may not.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::membership::{self, Membership};
use super::store::Store;

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A node's right to write.
pub struct Quorum {
    quorate: AtomicBool,
    membership: Mutex<Option<Membership>>,
    frozen: Mutex<Option<Store>>,
    database: PathBuf,
}

impl Quorum {
    /// A node on its own: it may always write.
    pub fn standalone(database: &Path) -> Arc<Self> {
        Arc::new(Self::new(database, true))
    }

    /// A member of a cluster: it may write while corosync's stand-in sees a majority.
    pub fn of_cluster(database: &Path) -> Arc<Self> {
        let quorum = Arc::new(Self::new(database, false));
        quorum.look(membership::current());
        let watched = Arc::clone(&quorum);
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(LOOK_EVERY);
                watched.look(membership::current());
            }
        });
        quorum
    }

    fn new(database: &Path, quorate: bool) -> Self {
        Self {
            quorate: AtomicBool::new(quorate),
            membership: Mutex::default(),
            frozen: Mutex::default(),
            database: database.to_owned(),
        }
    }

    fn look(&self, seen: Option<Membership>) {
        let quorate = seen.as_ref().is_some_and(|cluster| cluster.quorate);
        let before = self.quorate.swap(quorate, Ordering::SeqCst);
        *lock(&self.membership) = seen;
        let mut frozen = lock(&self.frozen);
        if quorate {
            *frozen = None;
        } else if before || frozen.is_none() {
            *frozen = Store::open(&self.database).ok().filter(|store| store.freeze().is_ok());
        }
    }

    /// Whether this node may write.
    pub fn is_quorate(&self) -> bool {
        self.quorate.load(Ordering::SeqCst)
    }

    /// The cluster as corosync's stand-in sees it.
    pub fn membership(&self) -> Option<Membership> {
        lock(&self.membership).clone()
    }

    /// The tree as this node last saw it, while it has no quorum.
    pub fn frozen(&self) -> MutexGuard<'_, Option<Store>> {
        lock(&self.frozen)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
