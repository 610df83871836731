//! Types of the kernel's side and of ours.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo, TimeOrNow};
use pegasus_base::Time;
use pegasus_files::{Attributes, FilesError, Ino};

use crate::snapshots::is_past;
use crate::streams::Place;

/// What `st_blksize` says: programs read and write so much at once.
const BLOCK_BYTES: u32 = 128 << 10;

/// The kernel calls the root 1, whatever its inode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub(crate) root: Ino,
}

impl Numbers {
    pub(crate) fn ours(self, ino: INodeNo) -> Ino {
        if ino == INodeNo::ROOT { self.root } else { Ino(ino.0) }
    }

    pub(crate) fn theirs(self, ino: Ino) -> INodeNo {
        if ino == self.root { INodeNo::ROOT } else { INodeNo(ino.0) }
    }

    pub(crate) fn attr(self, of: &Attributes) -> FileAttr {
        FileAttr {
            ino: self.theirs(of.ino),
            size: of.size,
            blocks: of.size.div_ceil(512),
            atime: system_time(of.atime),
            mtime: system_time(of.mtime),
            ctime: system_time(of.ctime),
            crtime: system_time(of.btime),
            kind: file_type(of.mode),
            perm: (of.mode & 0o7777) as u16,
            nlink: of.nlink,
            uid: of.uid,
            gid: of.gid,
            rdev: of.rdev,
            blksize: BLOCK_BYTES,
            flags: 0,
        }
    }
}

pub(crate) fn file_type(mode: u32) -> FileType {
    match mode & 0o170_000 {
        0o040_000 => FileType::Directory,
        0o120_000 => FileType::Symlink,
        0o010_000 => FileType::NamedPipe,
        0o020_000 => FileType::CharDevice,
        0o060_000 => FileType::BlockDevice,
        0o140_000 => FileType::Socket,
        _ => FileType::RegularFile,
    }
}

pub(crate) fn system_time(time: Time) -> SystemTime {
    let ns = Duration::from_nanos(time.as_ns().unsigned_abs());
    if time.as_ns() < 0 { UNIX_EPOCH - ns } else { UNIX_EPOCH + ns }
}

/// A time as the store keeps it; what it can't hold becomes the nearest it can.
pub(crate) fn time_of(time: SystemTime) -> Time {
    let ns = |d: Duration| i64::try_from(d.as_nanos()).unwrap_or(i64::MAX);
    Time::from_ns(match time.duration_since(UNIX_EPOCH) {
        Ok(since) => ns(since),
        Err(before) => -ns(before.duration()),
    })
}

pub(crate) fn time_or_now(time: TimeOrNow) -> Time {
    match time {
        TimeOrNow::SpecificTime(time) => time_of(time),
        TimeOrNow::Now => time_of(SystemTime::now()),
    }
}

/// The kernel's word for an error. What is the store's fault is logged.
pub(crate) fn errno(error: &FilesError) -> fuser::Errno {
    let apart = |ino: &Ino| Place::of(ino.0).is_some() || is_past(ino.0);
    if matches!(error, FilesError::NoInode { ino } if apart(ino)) {
        return fuser::Errno::EROFS; // a recording, or what was, of which the files know nothing
    }
    let errno = error.errno();
    if errno == pegasus_files::Errno::IO {
        tracing::error!(%error, "a request at the mount failed");
    }
    fuser::Errno::from_i32(errno.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_as_they_were() {
        for ns in [0, 1, -1, 1_700_000_000_123_456_789, -5_000_000_001] {
            assert_eq!(time_of(system_time(Time::from_ns(ns))), Time::from_ns(ns));
        }
    }

    #[test]
    fn the_root_is_one() {
        let numbers = Numbers { root: Ino(17) };
        assert_eq!(numbers.theirs(Ino(17)), INodeNo(1));
        assert_eq!(numbers.ours(INodeNo(1)), Ino(17));
        assert_eq!(numbers.ours(numbers.theirs(Ino(99))), Ino(99));
    }
}
