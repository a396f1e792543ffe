//! A file that is replaced as a whole, by a private one made beside it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::Refusal;
use crate::sanitize;

/// Largest file that is edited.
const MAX_FILE: u64 = 256 * 1024;
/// Room that is proved on top of what is there.
const ROOM: usize = 4096;
/// How long another program may hold the folder.
const PATIENCE: Duration = Duration::from_secs(10);

/// A file that can be written, and the room for it.
#[derive(Debug)]
pub(super) struct Proved {
    path: PathBuf,
    text: Option<Zeroizing<String>>,
    mark: Option<Mark>,
    temporary: NamedTempFile,
    /// Held until this value is dropped.
    folder: File,
}

/// One state of a file: device, number, size, time of change.
type Mark = (u64, u64, u64, i64, i64);

pub(super) fn shown(path: &Path) -> String {
    sanitize::line(&path.to_string_lossy()).into_owned()
}

/// Judges folder and file, takes the folder's lock, and writes as much as will be needed.
pub(super) fn prove(path: &Path) -> Result<Proved, Refusal> {
    let place = shown(path);
    let refuse = |why: String, hint: &str| Refusal::new(&place, why, hint);
    let folder_path = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = File::open(folder_path).and_then(|folder| folder.metadata().map(|metadata| (folder, metadata)));
    let (folder, metadata) = folder.map_err(|error| {
        refuse(format!("cannot be written: its folder cannot be opened: {error}"), "make the folder first, mode 0700")
    })?;
    if !metadata.is_dir() {
        return Err(refuse("cannot be written: its folder is none".into(), "name a file in a folder of your own"));
    }
    if metadata.mode() & 0o022 != 0 {
        let hint = format!("chmod go-w {}", shown(folder_path));
        return Err(refuse("is not written: others may write to its folder".into(), &hint));
    }
    if !is_mine(metadata.uid()) {
        return Err(refuse(
            "is not written: its folder belongs to another user".into(),
            "name a file in a folder of your own",
        ));
    }
    lock(&folder).map_err(|error| refuse(format!("is in use: {error}"), "wait for the other command"))?;
    let (mark, text) = read(path)?.map_or((None, None), |(mark, text)| (Some(mark), Some(text)));
    let room = text.as_ref().map_or(0, |text| text.len()) + ROOM;
    let temporary = temporary(path, folder_path, room)
        .map_err(|error| refuse(format!("cannot be written: {error}"), "check the folder's mode and the room"))?;
    Ok(Proved { path: path.to_owned(), text, mark, temporary, folder })
}

fn is_mine(uid: u32) -> bool {
    uid == rustix::process::geteuid().as_raw() || uid == 0
}

fn lock(folder: &File) -> io::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match flock(folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(io::Error::other("another pve-harden writes in this folder"));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// A file of mode 0600 that holds as much as will be written.
fn temporary(path: &Path, folder: &Path, room: usize) -> io::Result<NamedTempFile> {
    let name = path.file_name().ok_or_else(|| io::Error::other("it has no name"))?.to_string_lossy();
    let mut file = tempfile::Builder::new().prefix(&format!(".{name}.")).rand_bytes(12).tempfile_in(folder)?;
    file.write_all(&vec![0; room])?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// The file as it is; none when there is none.
fn read(path: &Path) -> Result<Option<(Mark, Zeroizing<String>)>, Refusal> {
    let place = shown(path);
    let refuse = |why: String, hint: String| Refusal::new(&place, why, hint);
    let link = match std::fs::symlink_metadata(path) {
        Ok(link) => link,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refuse(format!("cannot be read: {error}"), "check the file".into())),
    };
    if link.is_symlink() {
        return Err(refuse("is a link".into(), "name the file itself".into()));
    }
    if !link.is_file() {
        return Err(refuse("is not a regular file".into(), "name another file".into()));
    }
    let cannot = |error: io::Error| refuse(format!("cannot be read: {error}"), "check the file".into());
    let options = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = rustix::fs::open(path, options | rustix::fs::OFlags::CLOEXEC, rustix::fs::Mode::empty());
    let file = File::from(file.map_err(|error| cannot(error.into()))?);
    let metadata = file.metadata().map_err(cannot)?;
    if !is_mine(metadata.uid()) {
        return Err(refuse("belongs to another user".into(), format!("chown $(id -u) {place}")));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(refuse("holds secrets and can be read by others".into(), format!("chmod 600 {place}")));
    }
    if metadata.len() > MAX_FILE {
        return Err(refuse(format!("is larger than {MAX_FILE} bytes"), "name a file for secrets only".into()));
    }
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(metadata.len()).unwrap_or(0)));
    file.take(MAX_FILE).read_to_string(&mut text).map_err(cannot)?;
    Ok(Some((mark(&metadata), text)))
}

fn mark(metadata: &std::fs::Metadata) -> Mark {
    (metadata.dev(), metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

impl Proved {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn shown(&self) -> String {
        shown(&self.path)
    }

    /// What lies there.
    pub(super) fn text(&self) -> Option<&str> {
        self.text.as_ref().map(|text| text.as_str())
    }

    /// Writes what is to take the place, on disk.
    pub(super) fn stage(&mut self, text: &str) -> Result<(), Refusal> {
        let write = || -> io::Result<()> {
            let file = self.temporary.as_file_mut();
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        let mut write = write;
        write().map_err(|error| Refusal::new(shown(&self.path), format!("cannot be written: {error}"), "make room"))
    }

    /// Reads the file again; whether somebody changed it since.
    pub(super) fn reread(&mut self) -> Result<bool, Refusal> {
        let now = read(&self.path)?;
        let (mark, text) = now.map_or((None, None), |(mark, text)| (Some(mark), Some(text)));
        let changed = mark != self.mark;
        (self.mark, self.text) = (mark, text);
        Ok(changed)
    }

    /// The rename.
    pub(super) fn keep(self) -> Result<(), Refusal> {
        let refuse =
            |error: io::Error| Refusal::new(shown(&self.path), format!("cannot be written: {error}"), "try again");
        self.temporary.persist(&self.path).map_err(|error| refuse(error.error))?;
        self.folder.sync_all().map_err(refuse)
    }
}
