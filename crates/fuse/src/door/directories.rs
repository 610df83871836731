//! Listings of directories.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fuser::{FileHandle, FileType, Generation, INodeNo, ReplyDirectory, ReplyDirectoryPlus};
use pegasus_files::{FilesError, Listed};

use super::{Door, TTL};
use crate::answers::generation;
use crate::convert::{errno, file_type};
use crate::recordings::STREAMS_COOKIE;
use crate::streams::{self, Place};

impl Door {
    pub(super) fn list_dir(
        &self,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        if self.recording(ino).is_some() {
            return self.list_recordings(ino, handle, offset, reply);
        }
        if let Some(past) = self.past(ino) {
            return self.list_past(past, offset, reply);
        }
        let walked = self.walk(ino, offset, |name, entry| {
            let kind = file_type(entry.file_type);
            reply.add(self.numbers.theirs(entry.ino), entry.cookie, kind, name)
        });
        match walked {
            Ok(true) if self.shows_streams(ino, offset) => {
                let number = INodeNo(Place::TOP.number());
                // If it does not fit it is asked for again.
                let _ = reply.add(number, STREAMS_COOKIE, FileType::Directory, streams::NAME);
                reply.ok();
            }
            Ok(_) => reply.ok(),
            Err(error) => reply.error(errno(&error)),
        }
    }

    /// Lists with attributes.
    pub(super) fn list_dir_plus(
        &self,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        if self.recording(ino).is_some() {
            return self.list_recordings_plus(ino, handle, offset, reply);
        }
        if let Some(past) = self.past(ino) {
            return self.list_past_plus(past, offset, reply);
        }
        let walked = self.walk(ino, offset, |name, entry| {
            // What was removed since the listing is no entry any more.
            let Ok(of) = self.files.attributes(entry.ino) else { return false };
            let attr = self.attr(&of);
            reply.add(attr.ino, entry.cookie, name, &TTL, &attr, generation(&of))
        });
        match walked {
            Ok(true) if self.shows_streams(ino, offset) => {
                if let Some(Ok(attr)) = self.lookup_recording(ino, OsStr::new(streams::NAME)) {
                    let name = streams::NAME;
                    let _ = reply.add(attr.ino, STREAMS_COOKIE, name, &TTL, &attr, Generation(0));
                }
                reply.ok();
            }
            Ok(_) => reply.ok(),
            Err(error) => reply.error(errno(&error)),
        }
    }

    /// Goes through a directory's files until `take` has enough; whether it came to the end.
    fn walk(
        &self,
        ino: INodeNo,
        mut cookie: u64,
        mut take: impl FnMut(&OsStr, &Listed) -> bool,
    ) -> Result<bool, FilesError> {
        loop {
            let batch = self.files.list(self.ino(ino), cookie)?;
            let Some(last) = batch.last() else { return Ok(true) };
            cookie = last.cookie;
            let mut takes = |entry: &Listed| {
                let name = OsStr::from_bytes(&entry.name);
                !self.is_fixed(ino, name) && take(name, entry)
            };
            if batch.iter().any(&mut takes) {
                return Ok(false);
            }
        }
    }
}
