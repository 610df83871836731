//! The kernel's requests, each one call of the volume.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, Errno, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenFlags,
    RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty,
    ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request,
    TimeOrNow, WriteFlags,
};
use pegasus_files::{
    Allocate, Files, FilesError, Ino, NewInode, RenameMode, Seek, SetAttributes, XattrMode,
};

use crate::answers::{done, generation, is_foreign, tell_bytes};
use crate::convert::{Numbers, errno, file_type, time_or_now};
use crate::recordings::{STREAMS_COOKIE, enter_recording, opened_recording};
use crate::snapshots::{Past, Snapshots};
use crate::streams::{self, Place, Streams};

/// How long the kernel may go by what it was told. It hears of every change at this mount; the bound is for
/// other doors to the same files.
pub(crate) const TTL: Duration = Duration::from_secs(1);
/// Most bytes of one request.
const REQUEST_BYTES_MAX: u32 = 1 << 20;
/// Most bytes of one request to copy: its answer has room for no more.
const COPY_BYTES_MAX: u64 = 1 << 30;
/// Block in which `statfs` counts.
const STATFS_BLOCK: u32 = 4096;

const S_IFREG: u32 = 0o100_000;
const S_IFDIR: u32 = 0o040_000;
const FALLOC_KEEP_SIZE: i32 = 1;
const FALLOC_PUNCH_HOLE: i32 = 2;
const FALLOC_ZERO_RANGE: i32 = 16;
const SEEK_DATA: i32 = 3;
const SEEK_HOLE: i32 = 4;

/// See the module.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) files: Arc<Files>,
    pub(crate) numbers: Numbers,
    /// The recordings, where they are shown.
    pub(crate) streams: Option<Streams>,
    pub(crate) snapshots: Snapshots,
    /// Held as long as requests are served.
    serving: Arc<()>,
}

impl Door {
    pub(crate) fn new(files: Arc<Files>, streams: Option<Streams>) -> Self {
        let numbers = Numbers { root: files.root() };
        let snapshots = Snapshots::default();
        Self { files, numbers, streams, snapshots, serving: Arc::default() }
    }

    /// Content is changed by somebody: only root's programs, who could set them again, leave the rights it gives to whoever
    /// runs it. (Of writes the kernel says itself whether it is such a program.)
    fn drop_rights(&self, ino: Ino, req: &Request) -> Result<(), FilesError> {
        if req.uid() == 0 { Ok(()) } else { self.files.drop_rights(ino) }
    }

    /// Lives as long as requests are served.
    pub(crate) fn served(&self) -> Weak<()> {
        Arc::downgrade(&self.serving)
    }
}

#[allow(clippy::too_many_arguments)] // as the trait has them
impl Filesystem for Door {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let wanted = [
            InitFlags::FUSE_ASYNC_READ,
            InitFlags::FUSE_BIG_WRITES,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_ASYNC_DIO,
            // Else the kernel asks for the file's capabilities before each write.
            InitFlags::FUSE_HANDLE_KILLPRIV_V2,
        ];
        for flag in wanted {
            let _ = config.add_capabilities(flag); // an old kernel does without
        }
        let _ = config.set_max_write(REQUEST_BYTES_MAX);
        let _ = config.set_max_readahead(REQUEST_BYTES_MAX);
        Ok(())
    }

    fn destroy(&mut self) {
        if let Err(error) = self.files.sync() {
            tracing::error!(%error, "what was written at the mount is not durable");
        }
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if let Some(found) = self.lookup_recording(parent, name) {
            return enter_recording(found, reply);
        }
        if let Some(found) = self.lookup_past(parent, name) {
            return enter_recording(found, reply);
        }
        self.enter(self.files.lookup(self.ino(parent), name.as_bytes()), reply);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        if let Some((streams, place)) = self.recording(ino) {
            return match streams.attributes(place) {
                Ok(attr) => reply.attr(&TTL, &attr),
                Err(error) => reply.error(error),
            };
        }
        match self.past_attributes(ino) {
            Some(Ok(attr)) => reply.attr(&TTL, &attr),
            Some(Err(error)) => reply.error(error),
            None => self.tell(self.files.attributes(self.ino(ino)), reply),
        }
    }

    fn setattr(
        &self,
        req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let (atime, mtime) = (atime.map(time_or_now), mtime.map(time_or_now));
        let set = SetAttributes { mode, uid, gid, size, atime, mtime };
        let ino = self.ino(ino);
        let dropped = if size.is_some() { self.drop_rights(ino, req) } else { Ok(()) };
        self.tell(dropped.and_then(|()| self.files.set(ino, &set)), reply);
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        let target = match self.past_inode(ino) {
            Some((view, ino)) => view.read_link(ino),
            None => self.files.read_link(self.ino(ino)),
        };
        match target {
            Ok(target) => reply.data(&target),
            Err(error) => reply.error(errno(&error)),
        }
    }

    fn mknod(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        let new = NewInode::new(mode, req.uid(), req.gid()).device(rdev);
        self.enter(self.files.make(self.ino(parent), name.as_bytes(), &new), reply);
    }

    fn mkdir(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        let new = NewInode::new(mode & 0o7777 | S_IFDIR, req.uid(), req.gid());
        self.enter(self.files.make(self.ino(parent), name.as_bytes(), &new), reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.files.unlink(self.ino(parent), name.as_bytes()), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        if self.is_streams(parent, name) || Self::is_snapshots(parent, name) {
            return reply.error(Errno::EBUSY);
        }
        done(self.files.rmdir(self.ino(parent), name.as_bytes()), reply);
    }

    fn symlink(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let new = NewInode::link(target.as_os_str().as_bytes(), req.uid(), req.gid());
        self.enter(self.files.make(self.ino(parent), name.as_bytes(), &new), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let is_fixed =
            |parent, name| self.is_streams(parent, name) || Self::is_snapshots(parent, name);
        if is_fixed(parent, name) || is_fixed(newparent, newname) {
            return reply.error(Errno::EBUSY);
        }
        let mode = match flags {
            RenameFlags::RENAME_NOREPLACE => RenameMode::NoReplace,
            RenameFlags::RENAME_EXCHANGE => RenameMode::Exchange,
            _ if flags.is_empty() => RenameMode::Replace,
            _ => return reply.error(Errno::EINVAL),
        };
        let from = (self.ino(parent), name.as_bytes());
        let to = (self.ino(newparent), newname.as_bytes());
        done(self.files.rename(from, to, mode), reply);
    }

    fn link(
        &self,
        _: &Request,
        ino: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        let (ino, dir) = (self.ino(ino), self.ino(newparent));
        self.enter(self.files.link(ino, dir, newname.as_bytes()), reply);
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        if let Some((streams, place)) = self.recording(ino) {
            return opened_recording(streams.open(place), reply);
        }
        // Nobody but the kernel changes content, so what it has of it stays right.
        if self.past(ino).is_some() {
            return reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
        }
        self.open_any(ino, FopenFlags::FOPEN_KEEP_CACHE, reply);
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let new = NewInode::new(mode & 0o7777 | S_IFREG, req.uid(), req.gid());
        let made = self.files.make(self.ino(parent), name.as_bytes(), &new);
        match made.and_then(|of| self.files.open_inode(of.ino).map(|()| of)) {
            Ok(of) => {
                let attr: FileAttr = self.attr(&of);
                let flags = FopenFlags::FOPEN_KEEP_CACHE;
                reply.created(&TTL, &attr, generation(&of), FileHandle(0), flags);
            }
            Err(error) => reply.error(errno(&error)),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        if let Some((streams, _)) = self.recording(ino) {
            return match streams.read(handle.0, offset, size as usize) {
                Ok(bytes) => reply.data(&bytes),
                Err(error) => reply.error(error),
            };
        }
        let bytes = match self.past_inode(ino) {
            Some((view, ino)) => view.read(ino, offset, size as usize),
            None => self.files.read(self.ino(ino), offset, size as usize),
        };
        match bytes {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(errno(&error)),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
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

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        ino: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        if let Some((streams, _)) = self.recording(ino) {
            streams.close(handle.0);
            return reply.ok();
        }
        if self.past(ino).is_some() {
            return reply.ok();
        }
        done(self.files.close_inode(self.ino(ino)), reply);
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        done(self.files.sync(), reply);
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        if let Some((streams, place)) = self.recording(ino) {
            return opened_recording(streams.open(place), reply);
        }
        if self.past(ino).is_some() {
            return reply.opened(FileHandle(0), FopenFlags::empty());
        }
        self.open_any(ino, FopenFlags::empty(), reply);
    }

    fn readdir(
        &self,
        _: &Request,
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
        let walked = self.walk(ino, offset, |entry| {
            let name = OsStr::from_bytes(&entry.name);
            if self.is_streams(ino, name) || Self::is_snapshots(ino, name) {
                return false;
            }
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

    fn readdirplus(
        &self,
        _: &Request,
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
        let walked = self.walk(ino, offset, |entry| {
            let name = OsStr::from_bytes(&entry.name);
            if self.is_streams(ino, name) || Self::is_snapshots(ino, name) {
                return false;
            }
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

    fn releasedir(
        &self,
        _: &Request,
        ino: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        if let Some((streams, _)) = self.recording(ino) {
            streams.close(handle.0);
            return reply.ok();
        }
        if self.past(ino).is_some() {
            return reply.ok();
        }
        done(self.files.close_inode(self.ino(ino)), reply);
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        done(self.files.sync(), reply);
    }

    fn statfs(&self, _: &Request, ino: INodeNo, reply: ReplyStatfs) {
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

    fn setxattr(
        &self,
        _: &Request,
        ino: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _position: u32,
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

    fn getxattr(&self, _: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
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

    fn listxattr(&self, _: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
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

    fn removexattr(&self, _: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        if is_foreign(name) {
            return reply.error(Errno::EOPNOTSUPP);
        }
        done(self.files.remove_xattr(self.ino(ino), name.as_bytes()), reply);
    }

    fn ioctl(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        _: u32,
        _: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }

    fn fallocate(
        &self,
        req: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
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
        done(dropped.and_then(|()| self.files.allocate(ino, offset, length, what)), reply);
    }

    fn lseek(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let Ok(offset) = u64::try_from(offset) else { return reply.error(Errno::ENXIO) };
        let what = match whence {
            SEEK_DATA => Seek::Data,
            SEEK_HOLE => Seek::Hole,
            _ => return reply.error(Errno::EINVAL),
        };
        if let Some((streams, place)) = self.recording(ino) {
            return match streams.attributes(place) {
                Ok(attr) if offset >= attr.size => reply.error(Errno::ENXIO),
                Ok(attr) if what == Seek::Hole => reply.offset(attr.size.cast_signed()),
                Ok(_) => reply.offset(offset.cast_signed()),
                Err(error) => reply.error(error),
            };
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

    fn copy_file_range(
        &self,
        req: &Request,
        ino_in: INodeNo,
        _: FileHandle,
        offset_in: u64,
        ino_out: INodeNo,
        _: FileHandle,
        offset_out: u64,
        len: u64,
        _: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        if self.recording(ino_in).is_some() {
            return reply.error(Errno::EXDEV); // then the kernel reads and writes
        }
        let (to, len) = ((self.ino(ino_out), offset_out), len.min(COPY_BYTES_MAX));
        if let Err(error) = self.drop_rights(to.0, req) {
            return reply.error(errno(&error));
        }
        let copied = match self.past_inode(ino_in) {
            Some((view, ino)) => view.copy((ino, offset_in), to, len),
            None => self.files.copy((self.ino(ino_in), offset_in), to, len),
        };
        match copied {
            Ok(copied) => reply.written(copied as u32),
            Err(error) => reply.error(errno(&error)),
        }
    }
}
