//! Noticing that a file was deleted, replaced or cut short while open.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::{Change, SECTOR};

/// What tells one file from another, and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) device: u64,
    pub(super) inode: u64,
    /// In whole sectors.
    pub(super) size_bytes: u64,
}

impl Identity {
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let meta = file.metadata()?;
        let size = size_bytes(file, &meta)?;
        let size_bytes = size - size % SECTOR as u64;
        Ok(Self { device: meta.dev(), inode: meta.ino(), size_bytes })
    }

    /// What happened to the file, if anything, since `self` was taken. A few system calls, no disk
    /// access.
    pub(super) fn change(&self, file: &File, path: &Path) -> io::Result<Option<Change>> {
        // The file may live on without a name, under another one, or hidden by a mount: what is at
        // the path now is what the next start will find. Our file being open, no other can have
        // got its inode number.
        let at_path = match fs::metadata(path) {
            Ok(meta) => meta,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Some(Change::Deleted)),
            Err(e) => return Err(e),
        };
        if (at_path.dev(), at_path.ino()) != (self.device, self.inode) {
            return Ok(Some(Change::Replaced));
        }
        let now_bytes = size_bytes(file, &at_path)?;
        if now_bytes < self.size_bytes {
            return Ok(Some(Change::Shrunk { was_bytes: self.size_bytes, now_bytes }));
        }
        Ok(None)
    }
}

/// A block device's length is not in its metadata. Nobody uses the file's position otherwise.
fn size_bytes(mut file: &File, meta: &fs::Metadata) -> io::Result<u64> {
    if meta.file_type().is_block_device() { file.seek(SeekFrom::End(0)) } else { Ok(meta.len()) }
}
