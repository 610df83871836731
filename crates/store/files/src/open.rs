//! Opening a volume: its head, and the orphans a crash left.

use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use pegasus_base::Clock;
use pegasus_log::Log;

use crate::cache::{Cache, Kind};
use crate::format::attr::Attr;
use crate::format::volume::{self, Head};
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
        let (head, orphans) = match find_head(&log)? {
            Some(found) => found,
            None => (format(&log, &*clock)?, Vec::new()),
        };
        let inner = prepare(log, settings, clock, checkpoint_due, head, &orphans)?;
        inner.delete_orphans(&orphans)?;
        Ok(Self::new(inner, head.root))
    }
}

/// Opens a volume, and changes nothing.
pub(crate) fn prepare(
    log: Arc<Log>,
    settings: Settings,
    clock: Arc<dyn Clock>,
    checkpoint_due: Box<dyn Fn() + Send + Sync>,
    head: Head,
    orphans: &[Ino],
) -> Result<Inner, FilesError> {
    let numbers = log.reserve_pnodes(NUMBERS_FIRST);
    let capacity_bytes = log.status().capacity_bytes;
    let most = settings.pending_bytes_max.min(capacity_bytes / 16);
    let mut state = State::new(clock.now().as_ns() as u64 ^ numbers.start.0, most);
    state.cache.size_max = log.pnode_bytes_max();
    state.cache.add_numbers(numbers);
    state.cache.head = head;
    state.cache.orphans.extend(orphans);
    let inner = Inner {
        log,
        clock,
        settings,
        state: Mutex::new(state),
        flushed: Condvar::new(),
        making_room: Mutex::new(()),
        wake: Condvar::new(),
        checkpoint_due,
    };
    inner.note_free(&mut inner.state.lock());
    let snapshots = inner.view(|txn| txn.read_snapshots())?;
    inner.state.lock().cache.snapshots = snapshots;
    let quotas = inner.view(|txn| txn.read_quotas())?;
    inner.state.lock().cache.quotas = quotas;
    Ok(inner)
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
            share_bytes: 0,
            dead_bytes: 0,
            unsettled_bytes: 0,
            checkpoints: 0,
            used_bytes: 0,
            pending_bytes_max: pending_bytes_max.max(PENDING_BYTES_MIN),
            numbers_taken: 0,
            next_key,
            removal: (Ino(0), 0),
        }
    }
}

impl Inner {
    /// Deletes what had no name and was open when the volume was last used.
    fn delete_orphans(&self, orphans: &[Ino]) -> Result<(), FilesError> {
        for orphan in orphans {
            match self.change(|txn| txn.reap(*orphan)) {
                Err(FilesError::NoInode { .. }) => {}
                other => other?,
            }
        }
        self.sync()
    }
}

/// The volume's head and its orphans; `None` if there is no volume yet.
pub(crate) fn find_head(log: &Log) -> Result<Option<(Head, Vec<Ino>)>, FilesError> {
    let pnode = log.files_root();
    let Some(found) = log.pnode(pnode)? else { return Ok(None) };
    let why = "it is no head of a volume that this program knows";
    let head = Head::parse(&found.attributes).ok_or(FilesError::Damaged { pnode, why })?;
    let list = log.read_pnode(pnode, 0, found.size as usize)?;
    let why = "its list of orphans makes no sense";
    let orphans = volume::parse_orphans(&list).ok_or(FilesError::Damaged { pnode, why })?;
    Ok(Some((head, orphans)))
}

/// Makes an empty volume.
fn format(log: &Log, clock: &dyn Clock) -> Result<Head, FilesError> {
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
    let head = Head { root, ..Head::default() };
    batch.set_attributes(log.files_root(), &head.emit())?;
    log.commit(batch)?;
    Ok(head)
}
