//! The database behind /etc/pve: one `SQLite` file in WAL mode with a row per file and folder, as the real `config.db`.
//!
//! Each change is one transaction that is on disk when it returns, so a power cut leaves the old or the new tree.
//! Several pmxcfs processes may have the same file open (the members of a lab cluster): `SQLite`'s locks order them.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::Errno;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior, params};

/// Largest file, in bytes.
pub const MAX_FILE_SIZE: u64 = 1024 * 1024;
/// Inode of the root folder.
pub const ROOT: u64 = 0;
/// After this many seconds a lock folder may be taken over.
const LOCK_TIMEOUT: u32 = 120;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A file.
    File,
}

impl Kind {
    /// The number in the database, which is readdir's `d_type`.
    const fn number(self) -> u8 {
        match self {
            Self::Folder => 4,
            Self::File => 8,
        }
    }
}

/// A file or folder without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number; [`ROOT`] for the root.
    pub inode: u64,
    /// Its folder's number.
    pub parent: u64,
    /// Its name in that folder.
    pub name: String,
    /// File or folder.
    pub kind: Kind,
    /// Seconds since 1970.
    pub mtime: u32,
    /// Bytes.
    pub size: u64,
}

/// An open database.
pub struct Store {
    connection: Connection,
}

type Result<T> = std::result::Result<T, Errno>;

const COLUMNS: &str = "inode, parent, name, type, mtime, coalesce(length(data), 0)";

impl Store {
    /// Opens the database, making it when it is not there.
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(
            "BEGIN IMMEDIATE;
             CREATE TABLE IF NOT EXISTS tree (
                 inode INTEGER PRIMARY KEY NOT NULL, parent INTEGER NOT NULL, version INTEGER NOT NULL,
                 writer INTEGER NOT NULL, mtime INTEGER NOT NULL, type INTEGER NOT NULL,
                 name TEXT NOT NULL, data BLOB);
             CREATE UNIQUE INDEX IF NOT EXISTS tree_name ON tree (parent, name) WHERE inode > 0;
             INSERT OR IGNORE INTO tree VALUES (0, 0, 1, 0, 0, 8, '__version__', NULL);
             COMMIT;",
        )?;
        Ok(Self { connection })
    }

    /// Holds the tree as it is now for this connection, whatever other members write: a member without quorum
    /// no longer hears them.
    pub fn freeze(&self) -> rusqlite::Result<()> {
        self.connection.execute_batch("BEGIN DEFERRED; SELECT count(*) FROM tree;")
    }

    /// Writes the whole tree into a new database.
    pub fn copy_to(&self, path: &Path) -> rusqlite::Result<()> {
        let target = path.to_string_lossy();
        self.connection.execute("VACUUM INTO ?1", [target.as_ref()]).map(drop)
    }

    /// Number of changes ever made; it grows by one with each.
    pub fn version(&self) -> Result<u64> {
        self.connection.query_row("SELECT version FROM tree WHERE inode = 0", [], |row| row.get(0)).map_err(io)
    }

    /// Whether nothing was ever written.
    pub fn is_new(&self) -> Result<bool> {
        Ok(self.version()? == 1)
    }

    /// The entry with that number.
    pub fn entry(&self, inode: u64) -> Result<Entry> {
        if inode == ROOT {
            return Ok(root());
        }
        self.connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM tree WHERE inode = ?1"))
            .and_then(|mut query| query.query_row([inode], entry_of).optional())
            .map_err(io)?
            .ok_or(Errno::ENOENT)
    }

    /// The entry of that name in a folder.
    pub fn child(&self, parent: u64, name: &str) -> Result<Entry> {
        child(&self.connection, parent, name)?.ok_or(Errno::ENOENT)
    }

    /// Everything in a folder.
    pub fn children(&self, parent: u64) -> Result<Vec<Entry>> {
        let mut query = self
            .connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM tree WHERE parent = ?1 AND inode > 0 ORDER BY name"))
            .map_err(io)?;
        let rows = query.query_map([parent], entry_of).map_err(io)?;
        rows.collect::<rusqlite::Result<_>>().map_err(io)
    }

    /// The entry at a path such as `nodes/pve1/host.fw`.
    pub fn at(&self, path: &str) -> Result<Entry> {
        path.split('/').filter(|part| !part.is_empty()).try_fold(root(), |folder, name| self.child(folder.inode, name))
    }

    /// The path of an entry below the root, without a leading slash; empty for the root.
    pub fn path(&self, inode: u64) -> Result<String> {
        let mut parts = Vec::new();
        let mut next = inode;
        while next != ROOT {
            let entry = self.entry(next)?;
            next = entry.parent;
            parts.push(entry.name);
        }
        parts.reverse();
        Ok(parts.join("/"))
    }

    /// A file's content.
    pub fn read(&self, inode: u64) -> Result<Vec<u8>> {
        self.connection
            .prepare_cached("SELECT data FROM tree WHERE inode = ?1 AND inode > 0")
            .and_then(|mut query| query.query_row([inode], |row| row.get::<_, Option<Vec<u8>>>(0)).optional())
            .map_err(io)?
            .map(Option::unwrap_or_default)
            .ok_or(Errno::ENOENT)
    }

    /// How often the file at `path` changed, starting with one.
    pub fn file_version(&self, path: &str) -> u64 {
        let Ok(entry) = self.at(path) else { return 1 };
        self.connection
            .query_row("SELECT version FROM tree WHERE inode = ?1", [entry.inode], |row| row.get(0))
            .unwrap_or(1)
    }

    /// Number of entries and their bytes.
    pub fn usage(&self) -> Result<(u64, u64)> {
        self.connection
            .query_row("SELECT count(*), coalesce(sum(length(data)), 0) FROM tree", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .map_err(io)
    }

    /// Makes an empty file or a folder.
    pub fn create(&mut self, parent: u64, name: &str, kind: Kind) -> Result<Entry> {
        refuse_dots(name)?;
        let (now, change) = self.change()?;
        folder(&change, parent)?;
        if child(&change, parent, name)?.is_some() {
            return Err(Errno::EEXIST);
        }
        let version = bump(&change, now)?;
        change
            .execute(
                "INSERT INTO tree VALUES (?1, ?2, ?1, 0, ?3, ?4, ?5, NULL)",
                params![version, parent, now, kind.number(), name],
            )
            .map_err(io)?;
        change.commit().map_err(io)?;
        Ok(Entry { inode: version, parent, name: name.to_owned(), kind, mtime: now, size: 0 })
    }

    /// Puts `data` at `offset`, growing the file with zeros where needed.
    pub fn write(&mut self, inode: u64, offset: u64, data: &[u8]) -> Result<()> {
        self.replace(
            inode,
            offset + data.len() as u64,
            |content, start, end| {
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[start..end].copy_from_slice(data);
            },
            offset,
        )
    }

    /// Cuts or grows a file to `size`.
    pub fn truncate(&mut self, inode: u64, size: u64) -> Result<()> {
        self.replace(inode, size, |content, _, end| content.resize(end, 0), size)
    }

    fn replace(
        &mut self,
        inode: u64,
        end: u64,
        edit: impl FnOnce(&mut Vec<u8>, usize, usize),
        start: u64,
    ) -> Result<()> {
        if end > MAX_FILE_SIZE {
            return Err(Errno::EFBIG);
        }
        let (now, change) = self.change()?;
        let mut content = change
            .query_row("SELECT data FROM tree WHERE inode = ?1 AND inode > 0", [inode], |row| {
                row.get::<_, Option<Vec<u8>>>(0)
            })
            .optional()
            .map_err(io)?
            .ok_or(Errno::ENOENT)?
            .unwrap_or_default();
        let (Ok(start), Ok(end)) = (usize::try_from(start), usize::try_from(end)) else {
            return Err(Errno::EFBIG);
        };
        edit(&mut content, start, end);
        let version = bump(&change, now)?;
        change
            .execute(
                "UPDATE tree SET data = ?2, version = ?3, mtime = ?4 WHERE inode = ?1",
                params![inode, content, version, now],
            )
            .map_err(io)?;
        change.commit().map_err(io)
    }

    /// Sets a modification time. On a folder under priv/lock, time zero asks for a lock whose owner is gone:
    /// given when the lock is older than two minutes, then the folder vanishes.
    pub fn set_mtime(&mut self, inode: u64, mtime: u32) -> Result<()> {
        let entry = self.entry(inode)?;
        let is_lock = entry.kind == Kind::Folder && self.path(entry.parent)? == "priv/lock";
        let (now, change) = self.change()?;
        if is_lock && mtime == 0 && now.saturating_sub(entry.mtime) > LOCK_TIMEOUT {
            bump(&change, now)?;
            change.execute("DELETE FROM tree WHERE inode = ?1", [inode]).map_err(io)?;
            return change.commit().map_err(io);
        }
        if inode == ROOT || (is_lock && mtime < entry.mtime) {
            return Err(Errno::EACCES);
        }
        let version = bump(&change, now)?;
        change
            .execute("UPDATE tree SET mtime = ?2, version = ?3 WHERE inode = ?1", params![inode, mtime, version])
            .map_err(io)?;
        change.commit().map_err(io)
    }

    /// Removes a file or an empty folder.
    pub fn remove(&mut self, parent: u64, name: &str) -> Result<()> {
        let (now, change) = self.change()?;
        let entry = child(&change, parent, name)?.ok_or(Errno::ENOENT)?;
        refuse_full(&change, &entry)?;
        bump(&change, now)?;
        change.execute("DELETE FROM tree WHERE inode = ?1", [entry.inode]).map_err(io)?;
        change.commit().map_err(io)
    }

    /// Moves an entry in one step, replacing what has the new name. Folders with content and locks do not move.
    pub fn rename(&mut self, parent: u64, name: &str, to_parent: u64, to_name: &str) -> Result<()> {
        refuse_dots(to_name)?;
        let in_locks = self.path(parent)? == "priv/lock";
        let (now, change) = self.change()?;
        let entry = child(&change, parent, name)?.ok_or(Errno::ENOENT)?;
        if entry.kind == Kind::Folder && in_locks {
            return Err(Errno::EACCES);
        }
        folder(&change, to_parent)?;
        if let Some(target) = child(&change, to_parent, to_name)?
            && target.inode != entry.inode
        {
            refuse_full(&change, &target)?;
            change.execute("DELETE FROM tree WHERE inode = ?1", [target.inode]).map_err(io)?;
        }
        refuse_full(&change, &entry)?;
        let version = bump(&change, now)?;
        change
            .execute(
                "UPDATE tree SET parent = ?2, name = ?3, version = ?4, mtime = ?5 WHERE inode = ?1",
                params![entry.inode, to_parent, to_name, version, now],
            )
            .map_err(io)?;
        change.commit().map_err(io)
    }

    fn change(&mut self) -> Result<(u32, Transaction<'_>)> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(io)?;
        Ok((now(), transaction))
    }
}

fn root() -> Entry {
    Entry { inode: ROOT, parent: ROOT, name: String::new(), kind: Kind::Folder, mtime: 0, size: 0 }
}

fn entry_of(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        inode: row.get(0)?,
        parent: row.get(1)?,
        name: row.get(2)?,
        kind: if row.get::<_, u8>(3)? == Kind::Folder.number() { Kind::Folder } else { Kind::File },
        mtime: row.get(4)?,
        size: row.get(5)?,
    })
}

fn child(connection: &Connection, parent: u64, name: &str) -> Result<Option<Entry>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM tree WHERE parent = ?1 AND name = ?2 AND inode > 0"))
        .and_then(|mut query| query.query_row(params![parent, name], entry_of).optional())
        .map_err(io)
}

fn folder(connection: &Connection, inode: u64) -> Result<()> {
    if inode == ROOT {
        return Ok(());
    }
    let kind: Option<u8> = connection
        .query_row("SELECT type FROM tree WHERE inode = ?1", [inode], |row| row.get(0))
        .optional()
        .map_err(io)?;
    match kind {
        Some(kind) if kind == Kind::Folder.number() => Ok(()),
        Some(_) => Err(Errno::ENOTDIR),
        None => Err(Errno::ENOENT),
    }
}

fn refuse_full(connection: &Connection, entry: &Entry) -> Result<()> {
    let inside: u64 = connection
        .query_row("SELECT count(*) FROM tree WHERE parent = ?1 AND inode > 0", [entry.inode], |row| row.get(0))
        .map_err(io)?;
    if inside > 0 { Err(Errno::ENOTEMPTY) } else { Ok(()) }
}

fn refuse_dots(name: &str) -> Result<()> {
    if matches!(name, "" | "." | "..") { Err(Errno::EACCES) } else { Ok(()) }
}

fn bump(connection: &Connection, now: u32) -> Result<u64> {
    connection
        .query_row(
            "UPDATE tree SET version = version + 1, mtime = ?1 WHERE inode = 0 RETURNING version",
            [now],
            |row| row.get(0),
        )
        .map_err(io)
}

fn now() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|since| u32::try_from(since.as_secs()).ok()).unwrap_or(0)
}

fn io(_error: rusqlite::Error) -> Errno {
    Errno::EIO
}
