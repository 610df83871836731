//! A simulated disk as a file, in real time: what is read and written there takes what it would take a disk with heads.
//!
//! The file itself keeps the content; it is mounted over. Whoever opens it goes past the kernel's cache and waits for the
//! disk's only pair of heads, in the order of [`Elevator`]. Programs that know nothing of Pegasus can be measured on it, through a loop
//! device also with a file system.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    INodeNo, InitFlags, KernelConfig, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData,
    ReplyEmpty, ReplyOpen, ReplyWrite, Request, Session, SessionACL, WriteFlags,
};
use parking_lot::{Condvar, Mutex};
use pegasus_disk::{Elevator, Mechanics, Profile};
use rustix::mount::{UnmountFlags, unmount};

use crate::MountError;

const TTL: Duration = Duration::from_secs(1);
const REQUEST_BYTES_MAX: u32 = 1 << 20;
/// Requests that may wait for the heads at the same time.
const WAITING_MAX: u16 = 4_096;
/// Threads that take requests in; they wait for nothing.
const THREADS: usize = 2;

/// What is to be done when a request's turn has come.
enum Turn {
    Read { offset: u64, len: usize, reply: ReplyData },
    Write { offset: u64, data: Vec<u8>, reply: ReplyWrite },
}

struct Queue {
    waiting: Elevator<Turn>,
    is_closed: bool,
}

/// What the kernel's threads and the disk's own share.
struct Shared {
    content: File,
    size: u64,
    began: Instant,
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// A simulated disk that is there as a file. Dropping it takes it away; the content stays in the file.
pub struct RotatingDisk {
    path: PathBuf,
    session: Option<BackgroundSession>,
    heads: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

impl RotatingDisk {
    /// Makes `path` a disk like `profile`, whose turn is drawn from `seed`. The file is made if it is not there, and gets the disk's
    /// size, sparse. `others`: users other than this one may use it.
    ///
    /// # Errors
    /// If the file can't be made, or the kernel refuses to mount on it.
    pub fn new(path: &Path, profile: Profile, seed: u64, others: bool) -> Result<Self, MountError> {
        let failed = |source| MountError::Directory { path: path.to_owned(), source };
        let size = profile.capacity_bytes();
        let open =
            || File::options().read(true).write(true).create(true).truncate(false).open(path);
        let content = open().or_else(|error| {
            // What a killed one left mounted is taken away first.
            if error.raw_os_error() == Some(rustix::io::Errno::NOTCONN.raw_os_error()) {
                unmount(path, UnmountFlags::DETACH).map_err(|error| {
                    let what = "it is what a killed program left mounted, and can't be taken away";
                    let todo = format!("umount {}", path.display());
                    io::Error::other(format!("{what} ({error}); as root: {todo}"))
                })?;
                return open();
            }
            Err(error)
        });
        let content = content.map_err(failed)?;
        if !content.metadata().map_err(failed)?.is_file() {
            return Err(failed(io::Error::other("it is not a file")));
        }
        content.set_len(size).map_err(failed)?;
        let waiting = Elevator::new(Mechanics::new(profile.into(), seed));
        let shared = Arc::new(Shared {
            content,
            size,
            began: Instant::now(),
            queue: Mutex::new(Queue { waiting, is_closed: false }),
            changed: Condvar::new(),
        });
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("pegasus-disk".to_owned())];
        config.acl = if others { SessionACL::All } else { SessionACL::Owner };
        config.n_threads = Some(THREADS);
        config.clone_fd = true;
        let refused = |source| MountError::Refused { path: path.to_owned(), source };
        let session = Session::new(Door(shared.clone()), path, &config);
        let session = session.and_then(Session::spawn).map_err(refused)?;
        let own = shared.clone();
        let heads = std::thread::Builder::new().name("heads".to_owned());
        let heads = heads.spawn(move || own.turn()).map_err(failed)?;
        Ok(Self { path: path.to_owned(), session: Some(session), heads: Some(heads), shared })
    }

    /// Whether it is there: others may unmount it too.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.session.as_ref().is_some_and(|session| !session.guard.is_finished())
    }
}

impl Drop for RotatingDisk {
    fn drop(&mut self) {
        if let Some(session) = self.session.take()
            && !session.guard.is_finished()
            && session.umount_and_join().is_err()
        {
            // Somebody has it open, such as a loop device: it vanishes here, and ends with the last of them.
            let _ = unmount(&self.path, UnmountFlags::DETACH);
        }
        self.shared.queue.lock().is_closed = true;
        self.shared.changed.notify_all();
        if let Some(heads) = self.heads.take() {
            let _ = heads.join();
        }
    }
}

impl Shared {
    fn push(&self, offset: u64, len: u64, turn: Turn) {
        self.queue.lock().waiting.push(offset, len, turn);
        self.changed.notify_all();
    }

    /// The disk: one request after the other, each answered when the heads would be done with it.
    fn turn(&self) {
        let now_ns = || u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        loop {
            let mut queue = self.queue.lock();
            let Some((turn, done_ns)) = queue.waiting.next(now_ns()) else {
                if queue.is_closed {
                    return;
                }
                self.changed.wait(&mut queue);
                continue;
            };
            drop(queue);
            // What the machine's own disk takes for it is part of the time.
            let answer = self.perform(turn);
            std::thread::sleep(Duration::from_nanos(done_ns.saturating_sub(now_ns())));
            answer();
        }
    }

    fn perform(&self, turn: Turn) -> Box<dyn FnOnce()> {
        match turn {
            Turn::Read { offset, len, reply } => {
                let mut data = vec![0; len];
                let read = self.content.read_exact_at(&mut data, offset);
                Box::new(move || match read {
                    Ok(()) => reply.data(&data),
                    Err(error) => reply.error(error.into()),
                })
            }
            Turn::Write { offset, data, reply } => {
                let written = self.content.write_all_at(&data, offset);
                let len = u32::try_from(data.len()).expect("a request's length");
                Box::new(move || match written {
                    Ok(()) => reply.written(len),
                    Err(error) => reply.error(error.into()),
                })
            }
        }
    }

    fn attributes(&self) -> io::Result<FileAttr> {
        use std::os::unix::fs::MetadataExt as _;
        let found = self.content.metadata()?;
        let modified = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        Ok(FileAttr {
            ino: INodeNo::ROOT,
            size: self.size,
            blocks: found.blocks(),
            atime: modified,
            mtime: modified,
            ctime: modified,
            crtime: modified,
            kind: FileType::RegularFile,
            perm: (found.permissions().mode() & 0o7777) as u16,
            nlink: 1,
            uid: found.uid(),
            gid: found.gid(),
            rdev: 0,
            blksize: REQUEST_BYTES_MAX,
            flags: 0,
        })
    }
}

/// The kernel's requests; the only file is the root.
struct Door(Arc<Shared>);

#[allow(clippy::too_many_arguments)] // as the trait has them
impl Filesystem for Door {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for flag in
            [InitFlags::FUSE_ASYNC_READ, InitFlags::FUSE_BIG_WRITES, InitFlags::FUSE_ASYNC_DIO]
        {
            let _ = config.add_capabilities(flag); // an old kernel does without
        }
        let _ = config.set_max_write(REQUEST_BYTES_MAX);
        // The elevator has to see all of what waits, as a disk's queue in the kernel does: of a long read in many requests only some
        // would come by at a time otherwise, and the heads would go elsewhere between.
        let _ = config.set_max_background(WAITING_MAX);
        let _ = config.set_congestion_threshold(WAITING_MAX);
        Ok(())
    }

    fn getattr(&self, _: &Request, _: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.0.attributes() {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(error.into()),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let len = u64::from(size).min(self.0.size.saturating_sub(offset));
        self.0.push(offset, len, Turn::Read { offset, len: len as usize, reply });
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let len = data.len() as u64;
        if offset.checked_add(len).is_none_or(|end| end > self.0.size) {
            return reply.error(Errno::ENOSPC); // a disk does not grow
        }
        self.0.push(offset, len, Turn::Write { offset, data: data.to_vec(), reply });
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok(); // whoever was answered has it on the disk
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.ok(); // as above
    }
}
