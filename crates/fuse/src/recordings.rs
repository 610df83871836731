//! Requests for recordings, which the door hands on.

use std::ffi::OsStr;

use fuser::{
    Errno, FileAttr, FileHandle, FileType, FopenFlags, Generation, INodeNo, ReplyDirectory,
    ReplyDirectoryPlus, ReplyEntry, ReplyOpen,
};

use crate::door::{Door, TTL};
use crate::streams::{Entry, NAME, Place, Streams};

/// Where the listing of the root stands behind the recordings: beyond all names.
pub(crate) const STREAMS_COOKIE: u64 = i64::MAX as u64;

impl Door {
    /// What a number is of, if it is a recording's.
    pub(crate) fn recording(&self, ino: INodeNo) -> Option<(&Streams, Place)> {
        Some((self.streams.as_ref()?, Place::of(ino.0)?))
    }

    /// Whether this is the name of the recordings' directory.
    pub(crate) fn is_streams(&self, parent: INodeNo, name: &OsStr) -> bool {
        self.streams.is_some() && parent == INodeNo::ROOT && name == NAME
    }

    /// Whether a listing that goes on from `offset` has the recordings at its end.
    pub(crate) fn shows_streams(&self, ino: INodeNo, offset: u64) -> bool {
        self.streams.is_some() && ino == INodeNo::ROOT && offset < STREAMS_COOKIE
    }

    /// Finds a name, if it is one of a recording.
    pub(crate) fn lookup_recording(
        &self,
        parent: INodeNo,
        name: &OsStr,
    ) -> Option<Result<FileAttr, Errno>> {
        if self.is_streams(parent, name) {
            return Some(self.streams.as_ref()?.attributes(Place::TOP));
        }
        let (streams, place) = self.recording(parent)?;
        let found = name.to_str().ok_or(Errno::ENOENT);
        Some(found.and_then(|name| streams.lookup(place, name)))
    }

    pub(crate) fn list_recordings(
        &self,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listed = self.each_recording(ino, handle, offset, |_, cookie, entry| {
            let kind = match entry.place {
                Place::File(..) => FileType::RegularFile,
                Place::Dir(_) | Place::Day(..) => FileType::Directory,
            };
            reply.add(INodeNo(entry.place.number()), cookie, kind, &entry.name)
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }

    pub(crate) fn list_recordings_plus(
        &self,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let listed = self.each_recording(ino, handle, offset, |streams, cookie, entry| {
            // What was deleted since is no entry any more.
            let Ok(attr) = streams.attributes(entry.place) else { return false };
            reply.add(attr.ino, cookie, &entry.name, &TTL, &attr, Generation(0))
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }

    /// Goes through the entries of an open directory behind `offset` until `take` has enough.
    fn each_recording(
        &self,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut take: impl FnMut(&Streams, u64, &Entry) -> bool,
    ) -> Result<(), Errno> {
        let (streams, _) = self.recording(ino).ok_or(Errno::ENOENT)?;
        let entries = streams.list(handle.0)?;
        let behind = (1_u64..).zip(entries.iter()).skip(offset as usize);
        let _ = behind.into_iter().any(|(cookie, entry)| take(streams, cookie, entry));
        Ok(())
    }
}

pub(crate) fn enter_recording(found: Result<FileAttr, Errno>, reply: ReplyEntry) {
    match found {
        Ok(attr) => reply.entry(&TTL, &attr, Generation(0)),
        Err(error) => reply.error(error),
    }
}

pub(crate) fn opened_recording(opened: Result<(u64, FopenFlags), Errno>, reply: ReplyOpen) {
    match opened {
        Ok((handle, flags)) => reply.opened(FileHandle(handle), flags),
        Err(error) => reply.error(error),
    }
}
