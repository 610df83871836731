//! Names: finding, making, moving and removing them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fuser::{
    Errno, FileHandle, FopenFlags, INodeNo, RenameFlags, ReplyCreate, ReplyEmpty, ReplyEntry,
};
use pegasus_files::{NewInode, RenameMode};

use super::{Door, TTL};
use crate::answers::{done, generation};
use crate::convert::errno;
use crate::recordings::enter_recording;

impl Door {
    /// Whether a name is the mount's own: nobody moves or removes what it is of.
    pub(super) fn is_fixed(&self, parent: INodeNo, name: &OsStr) -> bool {
        self.is_streams(parent, name) || Self::is_snapshots(parent, name)
    }

    pub(super) fn look_up(&self, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if let Some(found) = self.lookup_recording(parent, name) {
            return enter_recording(found, reply);
        }
        if let Some(found) = self.lookup_past(parent, name) {
            return enter_recording(found, reply);
        }
        self.enter(self.files.lookup(self.ino(parent), name.as_bytes()), reply);
    }

    pub(super) fn make(&self, parent: INodeNo, name: &OsStr, new: &NewInode, reply: ReplyEntry) {
        self.enter(self.files.make(self.ino(parent), name.as_bytes(), new), reply);
    }

    /// Makes a file and opens it.
    pub(super) fn make_open(
        &self,
        parent: INodeNo,
        name: &OsStr,
        new: &NewInode,
        reply: ReplyCreate,
    ) {
        let made = self.files.make(self.ino(parent), name.as_bytes(), new);
        match made.and_then(|of| self.files.open_inode(of.ino).map(|()| of)) {
            Ok(of) => {
                let flags = FopenFlags::FOPEN_KEEP_CACHE;
                reply.created(&TTL, &self.attr(&of), generation(&of), FileHandle(0), flags);
            }
            Err(error) => reply.error(errno(&error)),
        }
    }

    pub(super) fn remove_dir(&self, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        if self.is_fixed(parent, name) {
            return reply.error(Errno::EBUSY);
        }
        done(self.files.rmdir(self.ino(parent), name.as_bytes()), reply);
    }

    pub(super) fn move_name(
        &self,
        from: (INodeNo, &OsStr),
        to: (INodeNo, &OsStr),
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if self.is_fixed(from.0, from.1) || self.is_fixed(to.0, to.1) {
            return reply.error(Errno::EBUSY);
        }
        let mode = match flags {
            RenameFlags::RENAME_NOREPLACE => RenameMode::NoReplace,
            RenameFlags::RENAME_EXCHANGE => RenameMode::Exchange,
            _ if flags.is_empty() => RenameMode::Replace,
            _ => return reply.error(Errno::EINVAL),
        };
        let from = (self.ino(from.0), from.1.as_bytes());
        let to = (self.ino(to.0), to.1.as_bytes());
        done(self.files.rename(from, to, mode), reply);
    }

    pub(super) fn add_link(&self, ino: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.enter(self.files.link(self.ino(ino), self.ino(parent), name.as_bytes()), reply);
    }
}
