//! Snapshots at the mount: `/.snapshots/<name>/…`, the files as they were. Nobody changes them.
//!
//! The directory is found by its name and not listed, so that what walks a tree does not walk all its pasts.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::SystemTime;

use fuser::{Errno, FileAttr, FileType, Generation, INodeNo, ReplyDirectory, ReplyDirectoryPlus};
use parking_lot::Mutex;
use pegasus_files::{FilesError, Ino, Listed, SnapshotId, View};

use crate::convert::{errno, file_type, system_time};
use crate::door::{Door, TTL};

/// What the directory of snapshots is called in the root.
pub(crate) const NAME: &str = ".snapshots";

/// Marks numbers of what was. Recordings have another mark, and the store never counts so far.
const MARK: u64 = 1 << 61;
/// Below it is the inode, above which snapshot.
const WHICH_SHIFT: u32 = 40;
const WHICH_MASK: u64 = (1 << (61 - WHICH_SHIFT)) - 1;
const DIR_MODE: u16 = 0o555;

/// What a number of the past is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Past {
    /// The directory of all snapshots.
    All,
    /// An inode in one.
    In(SnapshotId, Ino),
}

/// Numbers of snapshots at this mount, which the kernel remembers: none is used twice.
#[derive(Debug, Default)]
pub(crate) struct Snapshots(Mutex<Vec<SnapshotId>>);

/// Whether it is a number of the past.
pub(crate) fn is_past(number: u64) -> bool {
    number >> 61 == 1
}

impl Snapshots {
    fn number(&self, snapshot: SnapshotId, ino: Ino) -> INodeNo {
        let mut known = self.0.lock();
        let at = known.iter().position(|id| *id == snapshot).unwrap_or_else(|| {
            known.push(snapshot);
            known.len() - 1
        });
        INodeNo(MARK | ((at as u64 + 1) & WHICH_MASK) << WHICH_SHIFT | ino.0)
    }

    fn of(&self, number: u64) -> Option<Past> {
        if !is_past(number) {
            return None;
        }
        let which = number >> WHICH_SHIFT & WHICH_MASK;
        let Some(at) = which.checked_sub(1) else { return Some(Past::All) };
        let snapshot = self.0.lock().get(at as usize).copied()?;
        Some(Past::In(snapshot, Ino(number & ((1 << WHICH_SHIFT) - 1))))
    }
}

impl Door {
    /// What a number is of, if it is one of the past.
    pub(crate) fn past(&self, ino: INodeNo) -> Option<Past> {
        self.snapshots.of(ino.0)
    }

    /// The inode in a snapshot that a number is of.
    pub(crate) fn past_inode(&self, ino: INodeNo) -> Option<(View<'_>, Ino)> {
        match self.past(ino)? {
            Past::In(snapshot, ino) => Some((self.files.at(snapshot), ino)),
            Past::All => None,
        }
    }

    /// Whether this is the name of the directory of snapshots.
    pub(crate) fn is_snapshots(parent: INodeNo, name: &OsStr) -> bool {
        parent == INodeNo::ROOT && name == NAME
    }

    /// Finds a name, if it is one of the past.
    pub(crate) fn lookup_past(
        &self,
        parent: INodeNo,
        name: &OsStr,
    ) -> Option<Result<FileAttr, Errno>> {
        if Self::is_snapshots(parent, name) {
            return Some(Ok(self.all_snapshots()));
        }
        Some(match self.past(parent)? {
            Past::All => {
                let all = self.files.snapshots();
                let found = all.iter().find(|snapshot| name == snapshot.name.as_str());
                let root = self.files.root();
                found.ok_or(Errno::ENOENT).and_then(|found| self.past_attr(found.id, root))
            }
            Past::In(snapshot, dir) => {
                let found = self.files.at(snapshot).lookup(dir, name.as_bytes());
                found.map_err(|e| errno(&e)).and_then(|of| self.past_attr(snapshot, of.ino))
            }
        })
    }

    /// What `stat` tells, if the number is one of the past.
    pub(crate) fn past_attributes(&self, ino: INodeNo) -> Option<Result<FileAttr, Errno>> {
        Some(match self.past(ino)? {
            Past::All => Ok(self.all_snapshots()),
            Past::In(snapshot, ino) => self.past_attr(snapshot, ino),
        })
    }

    fn past_attr(&self, snapshot: SnapshotId, ino: Ino) -> Result<FileAttr, Errno> {
        let of = self.files.at(snapshot).attributes(ino).map_err(|e| errno(&e))?;
        Ok(FileAttr { ino: self.snapshots.number(snapshot, ino), ..self.numbers.attr(&of) })
    }

    fn all_snapshots(&self) -> FileAttr {
        let last = self.files.snapshots().last().map(|snapshot| system_time(snapshot.made));
        let time = last.unwrap_or(SystemTime::UNIX_EPOCH);
        FileAttr {
            ino: INodeNo(MARK),
            size: 0,
            blocks: 0,
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind: FileType::Directory,
            perm: DIR_MODE,
            nlink: 2,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    pub(crate) fn list_past(&self, past: Past, offset: u64, mut reply: ReplyDirectory) {
        let walked = self.each_past(past, offset, |number, entry| {
            let kind = file_type(entry.file_type);
            reply.add(number, entry.cookie, kind, OsStr::from_bytes(&entry.name))
        });
        match walked {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(errno(&error)),
        }
    }

    pub(crate) fn list_past_plus(&self, past: Past, offset: u64, mut reply: ReplyDirectoryPlus) {
        let walked = self.each_past(past, offset, |number, entry| {
            let Some(Ok(attr)) = self.past_attributes(number) else { return false };
            let name = OsStr::from_bytes(&entry.name);
            reply.add(number, entry.cookie, name, &TTL, &attr, Generation(0))
        });
        match walked {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(errno(&error)),
        }
    }

    /// Goes through a directory of the past behind a cookie until `take` has enough.
    fn each_past(
        &self,
        past: Past,
        mut cookie: u64,
        mut take: impl FnMut(INodeNo, &Listed) -> bool,
    ) -> Result<(), FilesError> {
        let Past::In(snapshot, dir) = past else {
            for found in self.files.snapshots() {
                let number = self.snapshots.number(found.id, self.files.root());
                // Numbers of snapshots at this mount grow and stay: they are good cookies.
                let own = number.0 >> WHICH_SHIFT & WHICH_MASK;
                let name = found.name.into_bytes();
                let entry =
                    Listed { ino: self.files.root(), file_type: 0o040_000, cookie: own, name };
                if own > cookie && take(number, &entry) {
                    break;
                }
            }
            return Ok(());
        };
        let view = self.files.at(snapshot);
        loop {
            let batch = view.list(dir, cookie)?;
            let Some(last) = batch.last() else { return Ok(()) };
            cookie = last.cookie;
            if batch.iter().any(|entry| take(self.snapshots.number(snapshot, entry.ino), entry)) {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::Place;

    #[test]
    fn numbers_of_the_past_are_no_others() {
        assert!(is_past(MARK));
        assert!(!is_past(1) && !is_past((1 << 40) - 1));
        assert!(!is_past(Place::TOP.number()));
        assert_eq!(Place::of(MARK | 1 << WHICH_SHIFT | 77), None);
        let snapshots = Snapshots::default();
        assert_eq!(snapshots.of(MARK), Some(Past::All));
        assert_eq!(snapshots.of(MARK | 1 << WHICH_SHIFT | 77), None, "no such snapshot");
    }
}
