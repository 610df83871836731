//! Answers to the kernel, as most requests need them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fuser::{
    Errno, FileAttr, Generation, INodeNo, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry, ReplyXattr,
};
use pegasus_files::{Attributes, FilesError, Ino};

use crate::convert::errno;
use crate::door::{Door, TTL};

impl Door {
    pub(crate) fn ino(&self, ino: INodeNo) -> Ino {
        self.numbers.ours(ino)
    }

    pub(crate) fn enter(&self, made: Result<Attributes, FilesError>, reply: ReplyEntry) {
        match made {
            Ok(of) => reply.entry(&TTL, &self.attr(&of), generation(&of)),
            Err(error) => reply.error(errno(&error)),
        }
    }

    pub(crate) fn tell(&self, attributes: Result<Attributes, FilesError>, reply: ReplyAttr) {
        match attributes {
            Ok(of) => reply.attr(&TTL, &self.attr(&of)),
            Err(error) => reply.error(errno(&error)),
        }
    }

    pub(crate) fn attr(&self, of: &Attributes) -> FileAttr {
        let mut attr = self.numbers.attr(of);
        // Each directory in one is a link to it: so is that of the recordings to the root.
        attr.nlink += u32::from(attr.ino == INodeNo::ROOT && self.streams.is_some());
        attr
    }
}

pub(crate) fn generation(of: &Attributes) -> Generation {
    Generation(u64::from(of.generation))
}

pub(crate) fn done(outcome: Result<(), FilesError>, reply: ReplyEmpty) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(errno(&error)),
    }
}

pub(crate) fn tell_content(bytes: Result<Vec<u8>, FilesError>, reply: ReplyData) {
    match bytes {
        Ok(bytes) => reply.data(&bytes),
        Err(error) => reply.error(errno(&error)),
    }
}

/// Answers with a value, or with its length where the caller only asked for that.
pub(crate) fn tell_bytes(value: Result<Vec<u8>, FilesError>, size: u32, reply: ReplyXattr) {
    match value {
        Ok(value) if size == 0 => reply.size(value.len() as u32),
        Ok(value) if value.len() > size as usize => reply.error(Errno::ERANGE),
        Ok(value) => reply.data(&value),
        Err(error) => reply.error(errno(&error)),
    }
}

/// The kernel keeps lists of access control there, which nobody here would follow.
pub(crate) fn is_foreign(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b"system.")
}
