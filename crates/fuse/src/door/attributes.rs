//! What is told about files: attributes, extended ones, and the room there is for more.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fuser::{Errno, INodeNo, ReplyAttr, ReplyEmpty, ReplyStatfs, ReplyXattr, Request};
use pegasus_files::{SetAttributes, XattrMode};

use super::{Door, TTL};
use crate::answers::{done, is_foreign, tell_bytes};
use crate::convert::errno;
use crate::snapshots::Past;

/// Block in which `statfs` counts.
const STATFS_BLOCK: u32 = 4096;

impl Door {
    pub(super) fn tell_attributes(&self, ino: INodeNo, reply: ReplyAttr) {
        let shown = match self.recording(ino) {
            Some((streams, place)) => Some(streams.attributes(place)),
            None => self.past_attributes(ino),
        };
        match shown {
            Some(Ok(attr)) => reply.attr(&TTL, &attr),
            Some(Err(error)) => reply.error(error),
            None => self.tell(self.files.attributes(self.ino(ino)), reply),
        }
    }

    pub(super) fn set_attributes(
        &self,
        req: &Request,
        ino: INodeNo,
        set: &SetAttributes,
        reply: ReplyAttr,
    ) {
        let ino = self.ino(ino);
        let dropped = if set.size.is_some() { self.drop_rights(ino, req) } else { Ok(()) };
        self.tell(dropped.and_then(|()| self.files.set(ino, set)), reply);
    }

    pub(super) fn tell_room(&self, ino: INodeNo, reply: ReplyStatfs) {
        // What is not of the tree - recordings, what was - has the room of its root.
        let here = self.files.room_at(self.ino(ino));
        let room = match here.or_else(|_| self.files.room_at(self.files.root())) {
            Ok(room) => room,
            Err(error) => return reply.error(errno(&error)),
        };
        let block = u64::from(STATFS_BLOCK);
        let (all, free) = (room.capacity_bytes / block, room.free_bytes / block);
        // Inodes take room as content does: there are as many as fit, or as a quota allows.
        let (files, free_files) =
            room.files.map_or((all, free), |(used, more)| (used + more, more));
        reply.statfs(all, free, free, files, free_files, STATFS_BLOCK, 255, STATFS_BLOCK);
    }

    pub(super) fn set_xattr(
        &self,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        reply: ReplyEmpty,
    ) {
        if is_foreign(name) {
            return reply.error(Errno::EOPNOTSUPP);
        }
        let mode = match flags {
            0 => XattrMode::Any,
            1 => XattrMode::Create,
            2 => XattrMode::Replace,
            _ => return reply.error(Errno::EINVAL),
        };
        done(self.files.set_xattr(self.ino(ino), name.as_bytes(), value, mode), reply);
    }

    pub(super) fn tell_xattr(&self, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        if is_foreign(name) {
            return reply.error(Errno::EOPNOTSUPP);
        }
        if self.recording(ino).is_some() {
            return reply.error(Errno::ENODATA);
        }
        let value = match self.past(ino) {
            Some(Past::All) => return reply.error(Errno::ENODATA),
            Some(Past::In(snapshot, ino)) => self.files.at(snapshot).xattr(ino, name.as_bytes()),
            None => self.files.xattr(self.ino(ino), name.as_bytes()),
        };
        tell_bytes(value, size, reply);
    }

    pub(super) fn list_xattrs(&self, ino: INodeNo, size: u32, reply: ReplyXattr) {
        if self.recording(ino).is_some() {
            return tell_bytes(Ok(Vec::new()), size, reply);
        }
        let names = match self.past(ino) {
            Some(Past::All) => Ok(Vec::new()),
            Some(Past::In(snapshot, ino)) => self.files.at(snapshot).xattr_names(ino),
            None => self.files.xattr_names(self.ino(ino)),
        };
        let joined = names
            .map(|names| names.into_iter().flat_map(|name| [name, vec![0]].concat()).collect());
        tell_bytes(joined, size, reply);
    }

    pub(super) fn remove_xattr(&self, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        if is_foreign(name) {
            return reply.error(Errno::EOPNOTSUPP);
        }
        done(self.files.remove_xattr(self.ino(ino), name.as_bytes()), reply);
    }
}
