//! Opening and creating file disks.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, OFlags, fallocate, fstatvfs};
use rustix::io::Errno;

use super::FileDisk;
use super::direct;
use super::identity::Identity;
use super::lane::Body;
use crate::{DiskError, SECTOR};

/// Whether transfers bypass the page cache (`O_DIRECT`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direct {
    /// Where the file system can; through the page cache elsewhere (tmpfs, some network mounts).
    #[default]
    Auto,
    /// Through the page cache. Same durability, since a flush empties it; costs memory and copies.
    Never,
}

/// How to open a disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenOptions {
    /// Direct I/O; [`Direct::Auto`] by default.
    pub direct: Direct,
}

/// How to create a disk's file.
#[derive(Clone, Copy, Debug, Default)]
pub struct CreateOptions {
    /// Direct I/O; [`Direct::Auto`] by default.
    pub direct: Direct,
    /// Leave the file without room of its own, growing as it is written. Off by default: then a
    /// full file system is an error now, not in the middle of a recording.
    pub sparse: bool,
}

pub(super) fn cannot(disk: &str, what: &'static str, source: io::Error) -> DiskError {
    DiskError::Open { disk: disk.to_owned(), what, source: Arc::new(source) }
}

fn unsuitable(disk: &str, why: impl Into<String>) -> DiskError {
    DiskError::Unsuitable { disk: disk.to_owned(), why: why.into() }
}

/// The path as it stays valid if the process changes its folder, and as people read it.
fn absolute(path: &Path) -> Result<(PathBuf, String), DiskError> {
    let label = path.display().to_string();
    let path = std::path::absolute(path).map_err(|e| cannot(&label, "opened", e))?;
    let label = path.display().to_string();
    Ok((path, label))
}

impl FileDisk {
    /// Opens the file or block device at `path` and locks it against every other opener that
    /// locks too. A length that is not in whole sectors is rounded down.
    ///
    /// # Errors
    /// [`DiskError::Locked`] if it is open already, here or elsewhere (a mounted block device
    /// counts); [`DiskError::Unsuitable`] for a folder, a pipe or an empty file;
    /// [`DiskError::Open`] for what the system says (not found, no permission).
    pub fn open(path: impl AsRef<Path>, options: OpenOptions) -> Result<Self, DiskError> {
        let (path, label) = absolute(path.as_ref())?;
        let found = fs::metadata(&path).map_err(|e| cannot(&label, "opened", e))?.file_type();
        if !found.is_file() && !found.is_block_device() {
            return Err(unsuitable(&label, "it is neither a regular file nor a block device"));
        }
        let mut how = File::options();
        how.read(true).write(true);
        if found.is_block_device() {
            // Without O_CREAT, O_EXCL means: not while mounted or held by another such opener.
            how.custom_flags(OFlags::EXCL.bits().cast_signed());
        }
        let file = how.open(&path).map_err(|e| match Errno::from_io_error(&e) {
            Some(Errno::BUSY) => DiskError::Locked { disk: label.clone() },
            _ => cannot(&label, "opened", e),
        })?;
        lock(&file, &label)?;
        Self::settle(file, path, label, options.direct)
    }

    /// Opens the file or block device at `path` for reading alone, beside whoever has it open: nothing is locked, and
    /// nothing written. Writes and flushes fail or do nothing.
    ///
    /// # Errors
    /// As [`FileDisk::open`], but for [`DiskError::Locked`].
    pub fn open_reading(path: impl AsRef<Path>, direct: Direct) -> Result<Self, DiskError> {
        let (path, label) = absolute(path.as_ref())?;
        let found = fs::metadata(&path).map_err(|e| cannot(&label, "opened", e))?.file_type();
        if !found.is_file() && !found.is_block_device() {
            return Err(unsuitable(&label, "it is neither a regular file nor a block device"));
        }
        let file = File::open(&path).map_err(|e| cannot(&label, "opened", e))?;
        Self::settle(file, path, label, direct)
    }

    /// A file that is open already and ours alone, named in messages by the folder it is in.
    pub(crate) fn of_file(file: File, folder: &Path) -> Result<Self, DiskError> {
        let (path, label) = absolute(folder)?;
        Self::settle(file, path, label, Direct::Auto)
    }

    /// Creates a file of `size_bytes` zero bytes at `path`, where nothing may be yet, and opens
    /// it. Unless sparse, its room is set aside first; on any failure nothing is left behind.
    ///
    /// # Errors
    /// [`DiskError::Full`] if the file system lacks the room; [`DiskError::Unsuitable`] if the
    /// size is zero or not in whole sectors; [`DiskError::Open`] if something is there already, or
    /// for what else the system says.
    pub fn create(
        path: impl AsRef<Path>,
        size_bytes: u64,
        options: CreateOptions,
    ) -> Result<Self, DiskError> {
        let (path, label) = absolute(path.as_ref())?;
        if size_bytes == 0 || !size_bytes.is_multiple_of(SECTOR as u64) {
            let why = format!("a disk of {size_bytes} bytes is not in whole 4096-byte sectors");
            return Err(unsuitable(&label, why));
        }
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600) // recordings are private
            .open(&path)
            .map_err(|e| cannot(&label, "created", e))?;
        let made = lock(&file, &label)
            .and_then(|()| make_room(&file, &path, &label, size_bytes, options.sparse))
            .and_then(|()| Self::settle(file, path.clone(), label, options.direct));
        if made.is_err() {
            // The file is ours: it did not exist a moment ago. The first error is the one to tell.
            let _ = fs::remove_file(&path);
        }
        made
    }

    fn settle(file: File, path: PathBuf, label: String, direct: Direct) -> Result<Self, DiskError> {
        let identity = Identity::of(&file).map_err(|e| cannot(&label, "opened", e))?;
        if identity.size_bytes == 0 {
            return Err(unsuitable(&label, "it holds not even one 4096-byte sector"));
        }
        let direct = direct == Direct::Auto
            && direct::enable(&file).map_err(|e| cannot(&label, "opened", e))?;
        tracing::debug!(disk = label, size_bytes = identity.size_bytes, direct, "disk opened");
        Self::start(Body::new(file, path, label, identity, direct))
    }
}

fn lock(file: &File, label: &str) -> Result<(), DiskError> {
    file.try_lock().map_err(|e| match e {
        TryLockError::WouldBlock => DiskError::Locked { disk: label.to_owned() },
        TryLockError::Error(e) => cannot(label, "locked", e),
    })
}

/// Gives the new file its length and room, durably, its name included.
fn make_room(
    file: &File,
    path: &Path,
    label: &str,
    size_bytes: u64,
    sparse: bool,
) -> Result<(), DiskError> {
    let failed = |e: io::Error| match Errno::from_io_error(&e) {
        Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG) => {
            DiskError::Full { disk: label.to_owned(), needed_bytes: size_bytes }
        }
        _ => cannot(label, "created", e),
    };
    if !sparse {
        // Ask first: where room runs out halfway, fallocate would fill the file system meanwhile.
        let free = fstatvfs(file).map_err(|e| failed(e.into()))?;
        if free.f_bavail.saturating_mul(free.f_frsize) < size_bytes {
            return Err(failed(Errno::NOSPC.into()));
        }
        match fallocate(file, FallocateFlags::empty(), 0, size_bytes) {
            // A file system that can't set room aside had at least enough of it just now.
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(e) => return Err(failed(e.into())),
        }
    }
    file.set_len(size_bytes).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder).and_then(|f| f.sync_all()).map_err(failed)
}
