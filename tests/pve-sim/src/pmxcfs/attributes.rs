//! What `stat(2)` says of an entry: all but size, time and mode is the same for all.

use std::time::{Duration, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo};

/// Bytes of a block.
pub const BLOCK: u64 = 4096;

/// Attributes of an entry of this kind and mode; `gid` is www-data's, `mtime` in seconds since 1970.
pub fn attributes(ino: INodeNo, (kind, perm): (FileType, u16), size: u64, mtime: u64, gid: u32) -> FileAttr {
    let time = UNIX_EPOCH + Duration::from_secs(mtime);
    FileAttr {
        ino,
        size,
        blocks: size.div_ceil(BLOCK),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind,
        perm,
        nlink: if kind == FileType::Directory { 2 } else { 1 },
        uid: 0,
        gid,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}
