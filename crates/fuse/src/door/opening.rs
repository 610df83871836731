//! Opening and closing, files and directories alike.

use fuser::{FileHandle, FopenFlags, INodeNo, ReplyEmpty, ReplyOpen};

use super::Door;
use crate::answers::done;
use crate::convert::errno;
use crate::recordings::opened_recording;

impl Door {
    pub(super) fn open_any(&self, ino: INodeNo, flags: FopenFlags, reply: ReplyOpen) {
        if let Some((streams, place)) = self.recording(ino) {
            return opened_recording(streams.open(place), reply);
        }
        if self.past(ino).is_some() {
            return reply.opened(FileHandle(0), flags);
        }
        match self.files.open_inode(self.ino(ino)) {
            Ok(()) => reply.opened(FileHandle(0), flags),
            Err(error) => reply.error(errno(&error)),
        }
    }

    pub(super) fn close_any(&self, ino: INodeNo, handle: FileHandle, reply: ReplyEmpty) {
        if let Some((streams, _)) = self.recording(ino) {
            streams.close(handle.0);
            return reply.ok();
        }
        if self.past(ino).is_some() {
            return reply.ok();
        }
        done(self.files.close_inode(self.ino(ino)), reply);
    }
}
