//! Opening a volume: its head, and the orphans a crash left.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use pegasus_base::{Clock, PnodeId};
use pegasus_log::Log;

use crate::cache::{Cache, Kind};
use crate::format::attr::Attr;
use crate::format::volume;
use crate::volume::{Inner, Settings, State};
use crate::{Files, FilesError, Ino};

const ROOT_MODE: u32 = 0o040_755;
/// Numbers set aside when a volume is opened.
const NUMBERS_FIRST: u64 = 64;
/// Bytes that may wait in memory however small the store.
const PENDING_BYTES_MIN: u64 = 256 << 10;

impl Files {
    /// Opens the volume of a log, or makes an empty one, and starts the thread that flushes.
    /// `checkpoint_due` is called when the log asks for a checkpoint; whoever drives the log writes it.
    ///
    /// # Errors
    /// [`FilesError::Damaged`] if the volume's head can't be understood, or the disks fail.
    pub fn open(
        log: Arc<Log>,
        settings: Settings,
        clock: Arc<dyn Clock>,
        checkpoint_due: Box<dyn Fn() + Send + Sync>,
    ) -> Result<Self, FilesError> {
        let files = Self::open_undriven(log, settings, clock, checkpoint_due)?;
        files.drive();
        Ok(files)
    }

    /// As [`Files::open`], without a thread: nothing is written but by [`sync`](Self::sync),
    /// [`close`](Self::close), and when too much waits.
    ///
    /// # Errors
    /// As [`Files::open`].
    pub fn open_undriven(
        log: Arc<Log>,
        settings: Settings,
        clock: Arc<dyn Clock>,
        checkpoint_due: Box<dyn Fn() + Send + Sync>,
    ) -> Result<Self, FilesError> {
        let root = match find_root(&log)? {
            Some(root) => {
                delete_orphans(&log)?;
                root
            }
            None => format(&log, &*clock)?,
        };
        let numbers = log.reserve_pnodes(NUMBERS_FIRST);
        let capacity_bytes = log.status().capacity_bytes;
        let most = settings.pending_bytes_max.min(capacity_bytes / 16);
        let mut state = State::new(clock.now().as_ns() as u64 ^ numbers.start.0, most);
        state.cache.size_max = log.pnode_bytes_max();
        state.cache.numbers.extend((numbers.start.0..numbers.end.0).map(PnodeId));
        let inner = Inner {
            log,
            clock,
            settings,
            state: Mutex::new(state),
            flushed: Condvar::new(),
            wake: Condvar::new(),
            checkpoint_due,
        };
        inner.note_free(&mut inner.state.lock());
        Ok(Self::new(inner, root))
    }
}

impl State {
    /// Nothing changed yet; at least a few changes may wait.
    fn new(next_key: u64, pending_bytes_max: u64) -> Self {
        Self {
            cache: Cache::default(),
            flushing: false,
            closed: false,
            stop: false,
            failures: 0,
            failure: None,
            free_bytes: 0,
            unsettled_bytes: 0,
            checkpoints: 0,
            used_bytes: 0,
            pending_bytes_max: pending_bytes_max.max(PENDING_BYTES_MIN),
            numbers_taken: 0,
            next_key,
        }
    }
}

/// The root directory the volume's head names; `None` if there is no volume yet.
fn find_root(log: &Log) -> Result<Option<Ino>, FilesError> {
    let pnode = log.files_root();
    let Some(head) = log.pnode(pnode)? else { return Ok(None) };
    let damaged = FilesError::Damaged { pnode, why: "it is no head of a volume" };
    volume::parse(&head.attributes).map(Some).ok_or(damaged)
}

/// Makes an empty volume.
fn format(log: &Log, clock: &dyn Clock) -> Result<Ino, FilesError> {
    let root = Ino::of(log.reserve_pnodes(1).start);
    let now = clock.now();
    let mut attr = Attr::new(ROOT_MODE, 0, 0, now);
    attr.nlink = 2;
    attr.parent = root;
    attr.dir.key = now.as_ns() as u64;
    let mut batch = log.batch();
    batch.create_numbered(root.pnode(), Kind::Inode.code())?;
    batch.set_attributes(root.pnode(), &attr.emit())?;
    batch.create_numbered(log.files_root(), Kind::Volume.code())?;
    batch.set_attributes(log.files_root(), &volume::emit(root))?;
    log.commit(batch)?;
    Ok(root)
}

/// Deletes what had no name and was open when the volume was last used.
fn delete_orphans(log: &Log) -> Result<(), FilesError> {
    let pnode = log.files_root();
    let size = log.pnode(pnode)?.map_or(0, |head| head.size);
    if size == 0 {
        return Ok(());
    }
    let list = log.read_pnode(pnode, 0, size as usize)?;
    let why = "its list of orphans makes no sense";
    let orphans = volume::parse_orphans(&list).ok_or(FilesError::Damaged { pnode, why })?;
    let mut gone = Vec::new();
    for orphan in orphans {
        let found = log.pnode(orphan.pnode())?;
        let inode = found.filter(|found| Kind::of(found.kind) == Some(Kind::Inode));
        let attr = inode.and_then(|inode| Attr::parse(&inode.attributes));
        if let Some(attr) = attr.filter(|attr| attr.nlink == 0) {
            let with = [attr.dir.table, attr.xattr_pnode].into_iter();
            gone.extend(with.filter(|other| *other != PnodeId(0)));
            gone.push(orphan.pnode());
        }
    }
    let mut batch = log.batch();
    for pnode in gone {
        batch.delete_pnode(pnode)?;
    }
    batch.truncate(pnode, 0)?;
    log.commit(batch)?;
    Ok(())
}
