//! The FUSE side of pmxcfs: kernel requests become calls on the store, with PVE's manners.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen,
    ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};

use super::attributes::{BLOCK, attributes};
use super::manners;
use super::quorum::Quorum;
use super::store::{Entry, Kind, ROOT, Store};
use super::virtual_files::{View, Virtual};

/// The kernel may remember names and attributes for one second, as with the real pmxcfs.
const REMEMBER: Duration = Duration::from_secs(1);
const BLOCKS: u64 = 32_768;
const INODES: u64 = 262_144;
const LONGEST_NAME: u32 = 256;

/// /etc/pve of one node.
pub struct TreeFs {
    /// Own node name.
    pub node: String,
    /// Group id of www-data.
    pub www_data: u32,
    /// Start of this pmxcfs, seconds since 1970.
    pub started: u64,
    /// Whether this node may write.
    pub quorum: Arc<Quorum>,
    store: Mutex<Store>,
    debug: AtomicBool,
    open_files: Mutex<HashMap<u64, Vec<u8>>>,
    next_handle: AtomicU64,
}

type Result<T> = std::result::Result<T, Errno>;

impl TreeFs {
    /// A file system over an open store.
    pub fn new(store: Store, node: String, www_data: u32, quorum: Arc<Quorum>) -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self {
            node,
            www_data,
            started,
            quorum,
            store: Mutex::new(store),
            debug: AtomicBool::new(false),
            open_files: Mutex::default(),
            next_handle: AtomicU64::new(1),
        }
    }

    /// Runs a question on the tree: the shared one, or without quorum the one this node last saw.
    fn ask<T>(&self, question: impl FnOnce(&Store) -> Result<T>) -> Result<T> {
        if let Some(frozen) = self.quorum.frozen().as_ref() {
            return question(frozen);
        }
        question(&lock(&self.store))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Store) -> Result<T>) -> Result<T> {
        if !self.quorum.is_quorate() {
            return Err(Errno::EACCES);
        }
        change(&mut lock(&self.store))
    }

    fn attributes(&self, entry: &Entry) -> Result<FileAttr> {
        let path = self.ask(|store| store.path(entry.inode))?;
        let mode = manners::mode(&path, entry.kind, self.quorum.is_quorate());
        Ok(attributes(
            kernel(entry.inode),
            (if entry.kind == Kind::Folder { FileType::Directory } else { FileType::RegularFile }, mode),
            entry.size,
            u64::from(entry.mtime),
            self.www_data,
        ))
    }

    fn virtual_attributes(&self, entry: Virtual) -> Result<FileAttr> {
        let mode = entry.mode(self.quorum.is_quorate());
        let (kind, size) = match entry.link(&self.node) {
            Some(target) => (FileType::Symlink, target.len()),
            None => (FileType::RegularFile, self.virtual_content(entry)?.len()),
        };
        Ok(attributes(INodeNo(entry.inode()), (kind, mode), size as u64, 0, self.www_data))
    }

    fn virtual_content(&self, entry: Virtual) -> Result<String> {
        let members = self.quorum.membership();
        self.ask(|store| {
            Ok(entry.content(&View {
                node: &self.node,
                started: self.started,
                debug: self.debug.load(Ordering::Relaxed),
                members: members.as_ref(),
                store,
            }))
        })
    }

    fn look(&self, ino: INodeNo) -> Result<FileAttr> {
        if let Some(entry) = Virtual::with_inode(ino.0) {
            return self.virtual_attributes(entry);
        }
        let entry = self.ask(|store| store.entry(stored(ino)))?;
        self.attributes(&entry)
    }

    fn find(&self, parent: INodeNo, name: &OsStr) -> Result<FileAttr> {
        let name = text(name)?;
        if let Some(entry) = made_up(parent, name) {
            return self.virtual_attributes(entry);
        }
        let entry = self.ask(|store| store.child(stored(parent), name))?;
        self.attributes(&entry)
    }

    fn make(&self, parent: INodeNo, name: &OsStr, kind: Kind) -> Result<FileAttr> {
        let name = text(name)?;
        if made_up(parent, name).is_some() {
            return Err(Errno::EACCES);
        }
        let entry = self.change(|store| store.create(stored(parent), name, kind))?;
        self.attributes(&entry)
    }

    fn remove(&self, parent: INodeNo, name: &OsStr) -> Result<()> {
        let name = text(name)?;
        if made_up(parent, name).is_some() {
            return Err(Errno::EACCES);
        }
        self.change(|store| store.remove(stored(parent), name))
    }

    fn move_entry(&self, from: (INodeNo, &OsStr), to: (INodeNo, &OsStr), flags: RenameFlags) -> Result<()> {
        if !flags.is_empty() {
            return Err(Errno::EINVAL);
        }
        let (name, new_name) = (text(from.1)?, text(to.1)?);
        if made_up(from.0, name).is_some() || made_up(to.0, new_name).is_some() {
            return Err(Errno::EACCES);
        }
        self.change(|store| store.rename(stored(from.0), name, stored(to.0), new_name))
    }

    fn set(&self, ino: INodeNo, wish: &Wish) -> Result<FileAttr> {
        if let Some(entry) = Virtual::with_inode(ino.0) {
            return match (entry, wish) {
                (Virtual::Debug, Wish { mode: None, uid: None, gid: None, .. }) => self.virtual_attributes(entry),
                (_, Wish { size: Some(_), .. }) => Err(Errno::EIO),
                _ => Err(Errno::EACCES),
            };
        }
        let inode = stored(ino);
        let path = self.ask(|store| store.path(inode))?;
        if let Some(mode) = wish.mode {
            manners::chmod(&path, mode)?;
        }
        if wish.uid.is_some() || wish.gid.is_some() {
            manners::chown(wish.uid, wish.gid, self.www_data)?;
        }
        if let Some(size) = wish.size {
            self.change(|store| store.truncate(inode, size))?;
        }
        if let Some(mtime) = wish.mtime {
            self.change(|store| store.set_mtime(inode, mtime))?;
        }
        self.look(ino)
    }

    fn open_file(&self, ino: INodeNo) -> Result<FileHandle> {
        let content =
            if Virtual::with_inode(ino.0).is_some() { Vec::new() } else { self.ask(|store| store.read(stored(ino)))? };
        let handle = self.next_handle.fetch_add(1, Ordering::Relaxed);
        lock(&self.open_files).insert(handle, content);
        Ok(FileHandle(handle))
    }

    /// A file's present content; of a removed file what it held when this handle was opened.
    fn content(&self, ino: INodeNo, handle: FileHandle) -> Result<Vec<u8>> {
        if let Some(entry) = Virtual::with_inode(ino.0) {
            return Ok(self.virtual_content(entry)?.into_bytes());
        }
        self.ask(|store| store.read(stored(ino)))
            .or_else(|error| lock(&self.open_files).get(&handle.0).cloned().ok_or(error))
    }

    fn put(&self, ino: INodeNo, offset: u64, data: &[u8]) -> Result<()> {
        match Virtual::with_inode(ino.0) {
            Some(Virtual::Debug) if offset == 0 && matches!(data, b"0\n" | b"1\n") => {
                self.debug.store(data == b"1\n", Ordering::Relaxed);
                Ok(())
            }
            Some(_) => Err(Errno::EIO),
            None => self.change(|store| store.write(stored(ino), offset, data)),
        }
    }

    fn listing(&self, ino: INodeNo) -> Result<Vec<(u64, FileType, String)>> {
        let folder = self.ask(|store| store.entry(stored(ino)))?;
        let mut rows = vec![
            (ino.0, FileType::Directory, ".".to_owned()),
            (kernel(folder.parent).0, FileType::Directory, "..".to_owned()),
        ];
        for entry in self.ask(|store| store.children(folder.inode))? {
            let kind = if entry.kind == Kind::Folder { FileType::Directory } else { FileType::RegularFile };
            rows.push((kernel(entry.inode).0, kind, entry.name));
        }
        if folder.inode == ROOT {
            rows.extend(Virtual::ALL.into_iter().map(|entry| {
                let kind = if entry.link(&self.node).is_some() { FileType::Symlink } else { FileType::RegularFile };
                (entry.inode(), kind, entry.name().to_owned())
            }));
        }
        Ok(rows)
    }
}

/// What a `setattr` asks for.
struct Wish {
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    size: Option<u64>,
    mtime: Option<u32>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The kernel numbers the root 1, the database 0.
fn stored(ino: INodeNo) -> u64 {
    if ino.0 == 1 { ROOT } else { ino.0 }
}

fn kernel(inode: u64) -> INodeNo {
    INodeNo(if inode == ROOT { 1 } else { inode })
}

fn text(name: &OsStr) -> Result<&str> {
    name.to_str().ok_or(Errno::EINVAL)
}

fn made_up(parent: INodeNo, name: &str) -> Option<Virtual> {
    (parent.0 == 1).then(|| Virtual::named(name)).flatten()
}

fn seconds(time: TimeOrNow) -> u32 {
    let time = match time {
        TimeOrNow::Now => SystemTime::now(),
        TimeOrNow::SpecificTime(time) => time,
    };
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    u32::try_from(since).unwrap_or(u32::MAX)
}

impl Filesystem for TreeFs {
    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.find(parent, name) {
            Ok(attr) => reply.entry(&REMEMBER, &attr, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match self.look(ino) {
            Ok(attr) => reply.attr(&REMEMBER, &attr),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let wish = Wish { mode, uid, gid, size, mtime: mtime.map(seconds) };
        match self.set(ino, &wish) {
            Ok(attr) => reply.attr(&REMEMBER, &attr),
            Err(error) => reply.error(error),
        }
    }

    fn readlink(&self, _req: &Request, ino: INodeNo, reply: ReplyData) {
        match Virtual::with_inode(ino.0).and_then(|entry| entry.link(&self.node)) {
            Some(target) => reply.data(target.as_bytes()),
            None => reply.error(Errno::EINVAL),
        }
    }

    fn mkdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, _mode: u32, _umask: u32, reply: ReplyEntry) {
        match self.make(parent, name, Kind::Folder) {
            Ok(attr) => reply.entry(&REMEMBER, &attr, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn create(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let made = self.make(parent, name, Kind::File).and_then(|attr| Ok((attr, self.open_file(attr.ino)?)));
        match made {
            Ok((attr, handle)) => {
                reply.created(&REMEMBER, &attr, Generation(0), handle, FopenFlags::FOPEN_DIRECT_IO);
            }
            Err(error) => reply.error(error),
        }
    }

    fn symlink(&self, _req: &Request, _parent: INodeNo, _name: &OsStr, _target: &std::path::Path, reply: ReplyEntry) {
        reply.error(Errno::ENOSYS);
    }

    fn link(&self, _req: &Request, _ino: INodeNo, _parent: INodeNo, _name: &OsStr, reply: ReplyEntry) {
        reply.error(Errno::EPERM);
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(self.remove(parent, name), reply);
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(self.remove(parent, name), reply);
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        answer(self.move_entry((parent, name), (newparent, newname), flags), reply);
    }

    fn open(&self, _req: &Request, ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        match self.open_file(ino) {
            Ok(handle) => reply.opened(handle, FopenFlags::FOPEN_DIRECT_IO),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.content(ino, fh) {
            Ok(content) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
                let end = start.saturating_add(size as usize).min(content.len());
                reply.data(&content[start..end]);
            }
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.put(ino, offset, data) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _owner: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _req: &Request,
        _ino: INodeNo,
        fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        lock(&self.open_files).remove(&fh.0);
        reply.ok();
    }

    fn fsync(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsyncdir(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        reply.ok();
    }

    fn readdir(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        match self.listing(ino) {
            Ok(rows) => {
                let skip = usize::try_from(offset).unwrap_or(usize::MAX);
                for (index, (inode, kind, name)) in rows.into_iter().enumerate().skip(skip) {
                    if reply.add(INodeNo(inode), index as u64 + 1, kind, name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(error) => reply.error(error),
        }
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        match self.ask(Store::usage) {
            Ok((files, bytes)) => {
                let free = BLOCKS.saturating_sub(bytes.div_ceil(BLOCK));
                let left = INODES.saturating_sub(files);
                reply.statfs(BLOCKS, free, free, INODES, left, 4096, LONGEST_NAME, 4096);
            }
            Err(error) => reply.error(error),
        }
    }

    fn getxattr(&self, _req: &Request, _ino: INodeNo, _name: &OsStr, _size: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    fn listxattr(&self, _req: &Request, _ino: INodeNo, _size: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }
}

fn answer(outcome: Result<()>, reply: ReplyEmpty) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}
