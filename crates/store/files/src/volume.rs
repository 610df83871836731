//! The handle, and how an operation gets what it needs from the disks.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use pegasus_base::{Clock, PnodeId};
use pegasus_log::{Log, LogError};

use crate::cache::{Cache, Kind, Need, Node, Stop};
use crate::driver::Driver;
use crate::format::attr::Attr;
use crate::format::quota::Record;
use crate::page::PAGE;
use crate::txn::Txn;
use crate::{FilesError, Ino};

/// The ordinary files of a store: a volume. All methods may be called from any thread; they block on
/// disks only for what is not in memory, and where too much waits to be written.
#[derive(Debug)]
pub struct Files {
    pub(crate) inner: Arc<Inner>,
    driver: Mutex<Option<Driver>>,
    pub(crate) root: Ino,
}

/// How a volume writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Longest time a change stays in memory alone, unless a program asks for it to be durable. Less
    /// costs more disk operations and writes files that are about to be deleted. Default 30 s.
    pub flush_after: Duration,
    /// Bytes of changes that may wait in memory; writers wait beyond it. Default 32 MiB; at most a 16th
    /// of the store.
    pub pending_bytes_max: u64,
    /// Share of the store that files can't take, in percent up to 100: what is written there is recordings'. Default 0.
    pub kept_from_files_percent: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            flush_after: Duration::from_secs(30),
            pending_bytes_max: 32 << 20,
            kept_from_files_percent: 0,
        }
    }
}

/// A new inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewInode<'a> {
    /// File type and permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group, unless the directory gives its own.
    pub gid: u32,
    /// Device number of a special file.
    pub rdev: u32,
    /// Target of a symbolic link.
    pub target: &'a [u8],
    pub(crate) dir_key: u64,
}

impl<'a> NewInode<'a> {
    /// Something that is neither a link nor a device.
    #[must_use]
    pub fn new(mode: u32, uid: u32, gid: u32) -> Self {
        Self { mode, uid, gid, ..Self::default() }
    }

    /// A device.
    #[must_use]
    pub fn device(self, rdev: u32) -> Self {
        Self { rdev, ..self }
    }

    /// A symbolic link.
    #[must_use]
    pub fn link(target: &'a [u8], uid: u32, gid: u32) -> Self {
        Self { mode: 0o120_777, uid, gid, target, ..Self::default() }
    }
}

/// What a rename does with what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameMode {
    /// Replaces it.
    Replace,
    /// Fails.
    NoReplace,
    /// Changes places with it.
    Exchange,
}

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes in use, by recordings too, and those that can still be written.
    pub capacity_bytes: u64,
    /// Bytes of files that can still be written, in pieces of 64 KiB and more; what is garbage now is cleaned for it.
    pub free_bytes: u64,
}

/// What all threads share.
pub(crate) struct Inner {
    pub(crate) log: Arc<Log>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings: Settings,
    pub(crate) state: Mutex<State>,
    /// A flush came to its end.
    pub(crate) flushed: Condvar,
    /// Held by who makes room. Locked before the state.
    pub(crate) making_room: Mutex<()>,
    /// The driver is to look.
    pub(crate) wake: Condvar,
    /// Is told that a checkpoint should follow soon.
    pub(crate) checkpoint_due: Box<dyn Fn() + Send + Sync>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) cache: Cache,
    pub(crate) flushing: bool,
    pub(crate) closed: bool,
    pub(crate) stop: bool,
    /// Flushes that failed, and how the last one did, unless one succeeded since.
    pub(crate) failures: u64,
    pub(crate) failure: Option<FilesError>,
    /// Bytes of the log that were free when last asked.
    pub(crate) free_bytes: u64,
    /// What files may take besides what they have.
    pub(crate) share_bytes: u64,
    /// Bytes of the log that cleaning gives.
    pub(crate) dead_bytes: u64,
    /// Bytes committed since a checkpoint, which it will write once more, and how many there were then.
    pub(crate) unsettled_bytes: u64,
    pub(crate) checkpoints: u64,
    /// Bytes of the log in use, parity apart.
    pub(crate) used_bytes: u64,
    pub(crate) pending_bytes_max: u64,
    /// Numbers of pnodes used since the last flush.
    pub(crate) numbers_taken: usize,
    /// Source of directories' keys.
    pub(crate) next_key: u64,
    /// How far the index of a snapshot that is being removed was gone through: which, and a cookie.
    pub(crate) removal: (Ino, u64),
}

/// How a volume is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesStatus {
    /// Room in the store.
    pub room: Room,
    /// Bytes of changes that are not on disk yet.
    pub pending_bytes: u64,
    /// Snapshots there are.
    pub snapshots: usize,
    /// Why they can't be written, if that was tried last.
    pub trouble: Option<String>,
}

impl Files {
    pub(crate) fn new(inner: Inner, root: Ino) -> Self {
        Self { inner: Arc::new(inner), driver: Mutex::new(None), root }
    }

    pub(crate) fn drive(&self) {
        *self.driver.lock() = Some(Driver::start(self.inner.clone()));
    }

    /// Makes everything durable that was changed so far.
    ///
    /// # Errors
    /// If the disks fail or are full; the changes stay in memory.
    pub fn sync(&self) -> Result<(), FilesError> {
        self.inner.sync()
    }

    /// Makes everything durable and takes no more changes. Happens as well on dropping, but then errors
    /// are only logged.
    ///
    /// # Errors
    /// As [`Files::sync`].
    pub fn close(&self) -> Result<(), FilesError> {
        let driver = self.driver.lock().take();
        if let Some(driver) = driver {
            driver.stop(&self.inner);
        }
        if self.inner.state.lock().closed {
            return Ok(());
        }
        let synced = self.inner.sync();
        self.inner.state.lock().closed = true;
        synced
    }

    /// Room in the store.
    #[must_use]
    pub fn room(&self) -> Room {
        let mut state = self.inner.state.lock();
        self.inner.note_free(&mut state);
        let free_bytes = self.inner.free_bytes(&state);
        let live_bytes = state.used_bytes.saturating_sub(state.dead_bytes);
        Room { capacity_bytes: live_bytes + free_bytes, free_bytes }
    }

    /// How the volume is doing. Waits for no disk.
    #[must_use]
    pub fn status(&self) -> FilesStatus {
        let room = self.room();
        let state = self.inner.state.lock();
        let trouble = state.failure.as_ref().map(ToString::to_string);
        let pending_bytes = state.cache.pending_bytes();
        let snapshots = state.cache.snapshots.iter().filter(|known| !known.leaving).count();
        FilesStatus { room, pending_bytes, snapshots, trouble }
    }

    /// The root directory.
    #[must_use]
    pub fn root(&self) -> Ino {
        self.root
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the files were not closed in good order");
        }
    }
}

impl Inner {
    /// Carries out an operation that changes nothing.
    pub(crate) fn view<T>(
        &self,
        mut op: impl FnMut(&Txn<'_>) -> Result<T, Stop>,
    ) -> Result<T, FilesError> {
        loop {
            let state = self.state.lock();
            let epoch = state.cache.epoch;
            let outcome = op(&Txn::new(&state.cache, self.clock.now()));
            drop(state);
            match outcome {
                Ok(value) => return Ok(value),
                Err(Stop::Error(error)) => return Err(error),
                Err(Stop::Need(need)) => self.fetch(need, epoch)?,
            }
        }
    }

    /// Carries out an operation, whole or not at all.
    pub(crate) fn change<T>(
        &self,
        mut op: impl FnMut(&mut Txn<'_>) -> Result<T, Stop>,
    ) -> Result<T, FilesError> {
        loop {
            let mut state = self.state.lock();
            self.wait_for_room(&mut state)?;
            let (epoch, now) = (state.cache.epoch, self.clock.now());
            let mut txn = Txn::new(&state.cache, now);
            let done = op(&mut txn);
            let outcome = done.and_then(|value| txn.charge().map(|()| value));
            let changes = txn.into_changes();
            match outcome {
                Ok(value) => {
                    if !changes.frees() && !self.admits(&mut state, changes.bytes()) {
                        // What was looked at may be different afterwards.
                        self.make_room(&mut state, changes.bytes())?;
                        continue;
                    }
                    let before = state.cache.numbers.len();
                    changes.apply(&mut state.cache, now);
                    self.log.promise(state.cache.pending_bytes());
                    state.numbers_taken += before - state.cache.numbers.len();
                    if state.cache.dirty_bytes >= state.pending_bytes_max / 2 {
                        self.wake.notify_all();
                    }
                    return Ok(value);
                }
                Err(Stop::Error(error)) => return Err(error),
                Err(Stop::Need(need)) => {
                    drop(state);
                    self.fetch(need, epoch)?;
                }
            }
        }
    }

    /// Reads what an operation lacks. `epoch` is that of the cache it saw.
    pub(crate) fn fetch(&self, need: Need, epoch: u64) -> Result<(), FilesError> {
        match need {
            Need::Node(ino) => {
                let node = self.load_node(ino);
                let mut state = self.state.lock();
                // What became known meanwhile counts more.
                if state.cache.epoch == epoch && !state.cache.entries.contains_key(&ino) {
                    match node? {
                        Some(node) => state.cache.learn_node(ino, node),
                        None => return Err(FilesError::NoInode { ino }),
                    }
                }
            }
            Need::Pages(ino, first, count) => {
                let (offset, len) = (first * PAGE as u64, count as usize * PAGE);
                let read = self.log.read_pnode(ino.pnode(), offset, len);
                let mut state = self.state.lock();
                // What was deleted meanwhile is not needed any more.
                if state.cache.epoch == epoch && !state.cache.is_deleted(ino) {
                    state.cache.learn_pages(ino, first, &read?);
                }
            }
            Need::Numbers => {
                let more = self.log.reserve_pnodes(64);
                let mut state = self.state.lock();
                state.cache.add_numbers(more);
            }
        }
        Ok(())
    }

    pub(crate) fn load_node(&self, ino: Ino) -> Result<Option<Node>, FilesError> {
        let pnode = ino.pnode();
        let found = match self.log.pnode(pnode) {
            Err(LogError::NoPnode { .. }) => None,
            found => found?,
        };
        let Some(info) = found else { return Ok(None) };
        let Some(kind) = Kind::of(info.kind) else { return Ok(None) };
        let (mut quota, attributes) = (None, &info.attributes);
        let attr = match kind {
            Kind::Quota => {
                let why = "its quota makes no sense";
                let record = Record::parse(attributes);
                quota = Some(record.ok_or(FilesError::Damaged { pnode, why })?);
                None
            }
            Kind::Inode | Kind::Body => {
                let why = "its attributes make no sense";
                let attr = Attr::parse(attributes);
                let mut attr = attr.ok_or(FilesError::Damaged { pnode, why })?;
                self.load_extents(&mut attr)?;
                Some(Arc::new(attr))
            }
            _ => None,
        };
        Ok(Some(Node { kind, attr, quota, size: info.size }))
    }

    /// Reads what an inode borrows where that stands apart.
    fn load_extents(&self, attr: &mut Attr) -> Result<(), FilesError> {
        let pnode = attr.sharing.table;
        if pnode == PnodeId(0) {
            return Ok(());
        }
        let size = self.log.pnode(pnode)?.map_or(0, |info| info.size);
        let bytes = self.log.read_pnode(pnode, 0, size as usize)?;
        let why = "its extents make no sense";
        attr.sharing.parse_table(&bytes).ok_or(FilesError::Damaged { pnode, why })
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("log", &self.log).finish_non_exhaustive()
    }
}
