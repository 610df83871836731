//! Content: reading, writing and copying it, and where there is some.

use fuser::{
    Errno, FileHandle, INodeNo, ReplyData, ReplyEmpty, ReplyLseek, ReplyWrite, Request, WriteFlags,
};
use pegasus_files::{Allocate, FilesError, Ino, Seek};

use super::Door;
use crate::answers::{done, tell_content};
use crate::convert::errno;
use crate::streams::{Place, Streams};

/// Most bytes of one request to copy: its answer has room for no more.
const COPY_BYTES_MAX: u64 = 1 << 30;

const FALLOC_KEEP_SIZE: i32 = 1;
const FALLOC_PUNCH_HOLE: i32 = 2;
const FALLOC_ZERO_RANGE: i32 = 16;
const SEEK_DATA: i32 = 3;
const SEEK_HOLE: i32 = 4;

impl Door {
    /// Content is changed by somebody: only root's programs, who could set them again, leave the rights it gives to whoever
    /// runs it. (Of writes the kernel says itself whether it is such a program.)
    pub(super) fn drop_rights(&self, ino: Ino, req: &Request) -> Result<(), FilesError> {
        if req.uid() == 0 { Ok(()) } else { self.files.drop_rights(ino) }
    }

    pub(super) fn read_link(&self, ino: INodeNo, reply: ReplyData) {
        let target = match self.past_inode(ino) {
            Some((view, ino)) => view.read_link(ino),
            None => self.files.read_link(self.ino(ino)),
        };
        tell_content(target, reply);
    }

    pub(super) fn read_content(
        &self,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        len: usize,
        reply: ReplyData,
    ) {
        if let Some((streams, _)) = self.recording(ino) {
            return match streams.read(handle.0, offset, len) {
                Ok(bytes) => reply.data(&bytes),
                Err(error) => reply.error(error),
            };
        }
        let bytes = match self.past_inode(ino) {
            Some((view, ino)) => view.read(ino, offset, len),
            None => self.files.read(self.ino(ino), offset, len),
        };
        tell_content(bytes, reply);
    }

    pub(super) fn write_content(
        &self,
        ino: INodeNo,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
        reply: ReplyWrite,
    ) {
        let ino = self.ino(ino);
        let drop_rights = flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID);
        let dropped = if drop_rights { self.files.drop_rights(ino) } else { Ok(()) };
        match dropped.and_then(|()| self.files.write(ino, offset, data)) {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(errno(&error)),
        }
    }

    pub(super) fn allocate(
        &self,
        req: &Request,
        ino: INodeNo,
        (offset, len): (u64, u64),
        mode: i32,
        reply: ReplyEmpty,
    ) {
        const PUNCH: i32 = FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE;
        const ZERO_KEEP: i32 = FALLOC_ZERO_RANGE | FALLOC_KEEP_SIZE;
        let what = match mode {
            0 => Allocate::Extend,
            FALLOC_KEEP_SIZE => Allocate::Keep,
            PUNCH | ZERO_KEEP => Allocate::Punch,
            FALLOC_ZERO_RANGE => Allocate::Zero,
            _ => return reply.error(Errno::EOPNOTSUPP),
        };
        let ino = self.ino(ino);
        let dropped = self.drop_rights(ino, req);
        done(dropped.and_then(|()| self.files.allocate(ino, offset, len, what)), reply);
    }

    pub(super) fn seek(&self, ino: INodeNo, offset: i64, whence: i32, reply: ReplyLseek) {
        let Ok(offset) = u64::try_from(offset) else { return reply.error(Errno::ENXIO) };
        let what = match whence {
            SEEK_DATA => Seek::Data,
            SEEK_HOLE => Seek::Hole,
            _ => return reply.error(Errno::EINVAL),
        };
        if let Some(recording) = self.recording(ino) {
            return seek_recording(recording, offset, what, reply);
        }
        let found = match self.past_inode(ino) {
            Some((view, ino)) => view.seek(ino, offset, what),
            None => self.files.seek(self.ino(ino), offset, what),
        };
        match found {
            Ok(at) => reply.offset(at.cast_signed()),
            Err(error) => reply.error(errno(&error)),
        }
    }

    pub(super) fn copy_content(
        &self,
        req: &Request,
        from: (INodeNo, u64),
        to: (INodeNo, u64),
        len: u64,
        reply: ReplyWrite,
    ) {
        if self.recording(from.0).is_some() {
            return reply.error(Errno::EXDEV); // then the kernel reads and writes
        }
        let (to, len) = ((self.ino(to.0), to.1), len.min(COPY_BYTES_MAX));
        if let Err(error) = self.drop_rights(to.0, req) {
            return reply.error(errno(&error));
        }
        let copied = match self.past_inode(from.0) {
            Some((view, ino)) => view.copy((ino, from.1), to, len),
            None => self.files.copy((self.ino(from.0), from.1), to, len),
        };
        match copied {
            Ok(copied) => reply.written(copied as u32),
            Err(error) => reply.error(errno(&error)),
        }
    }
}

/// A recording has no holes but the one behind its end.
fn seek_recording((streams, place): (&Streams, Place), offset: u64, what: Seek, reply: ReplyLseek) {
    match streams.attributes(place) {
        Ok(attr) if offset >= attr.size => reply.error(Errno::ENXIO),
        Ok(attr) if what == Seek::Hole => reply.offset(attr.size.cast_signed()),
        Ok(_) => reply.offset(offset.cast_signed()),
        Err(error) => reply.error(error),
    }
}
