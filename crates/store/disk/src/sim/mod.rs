//! A disk in memory that fails as real ones do, on demand.
//!
//! Every operation completes when it is submitted, in the order submitted, so that a test that
//! submits from one thread is repeated exactly by its seed. Time is virtual: a [`SimModel`], or a
//! [`Profile`] with zones, seek and rotation, says what each operation would have cost, [`Disk::stats`] adds it up, nothing sleeps.
//!
//! The simplification: cached writes reach the medium only by a flush or a power cut, and two
//! cached writes to one sector keep their order. Not seen by tests, therefore: a drive that
//! empties its cache early (a cut can do that too, it keeps any subset) and one that reorders
//! overlapping writes (the store never overwrites a sector it has not flushed).
//!
//! A typical test runs a workload once with [`SimDisk::record`] on, then looks at what a power cut
//! at each operation would have left:
//!
//! ```
//! use pegasus_disk::{AlignedBuf, SECTOR, SimDisk, TearAt, flush, read, write};
//! let disk = SimDisk::new("sim", 1 << 20);
//! disk.record();
//! write(&disk, 0, AlignedBuf::from_slice(b"kept"))?;
//! flush(&disk)?;
//! write(&disk, 4096, AlignedBuf::from_slice(b"perhaps"))?;
//! for op in 0..=disk.counter().next_op() {
//!     let rng = &mut fastrand::Rng::with_seed(op);
//!     let after = disk.image_at(op, TearAt::Bytes512, rng);
//!     let durable = op >= 2; // the flush, operation 1, was over
//!     assert!(!durable || read(&after, 0, SECTOR)?.starts_with(b"kept"));
//! }
//! # Ok::<(), pegasus_disk::DiskError>(())
//! ```

mod fault;
mod image;
mod media;
mod state;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

pub use fault::{Fault, Trigger};
pub use media::TearAt;
pub use state::{Effect, OpRecord, SimModel};

use self::media::{Step, Wrote};
use self::state::{Speed, State};
use crate::stats::Counters;
use crate::{Disk, DiskError, DiskStats, Mechanics, Profile, Request, SECTOR, Ticket};

/// Numbers the operations of one or several simulated disks, from 0. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct OpCounter(Arc<AtomicU64>);

impl OpCounter {
    /// A counter at 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number the next operation will have.
    #[must_use]
    pub fn next_op(&self) -> u64 {
        self.0.load(Relaxed)
    }

    fn take(&self) -> u64 {
        self.0.fetch_add(1, Relaxed)
    }
}

/// A simulated disk. A handle: clones are the same disk, so a test keeps one while the store owns
/// another; [`SimDisk::fork`] copies.
#[derive(Clone)]
pub struct SimDisk {
    label: Arc<str>,
    size_bytes: u64,
    counter: OpCounter,
    counters: Arc<Counters>,
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    /// A disk of zeros that counts its operations alone and draws from seed 0.
    ///
    /// # Panics
    /// If the size is zero or not in whole sectors.
    #[must_use]
    pub fn new(label: &str, size_bytes: u64) -> Self {
        assert!(
            size_bytes > 0 && size_bytes.is_multiple_of(SECTOR as u64),
            "a disk of {size_bytes} bytes is not in whole sectors"
        );
        Self {
            label: label.into(),
            size_bytes,
            counter: OpCounter::new(),
            counters: Arc::default(),
            state: Arc::new(Mutex::new(State::new(0))),
        }
    }

    /// Disks `sim0`, `sim1`, … with seeds drawn from `seed` and one common operation counter.
    ///
    /// # Panics
    /// As [`SimDisk::new`].
    #[must_use]
    pub fn array(count: usize, size_bytes: u64, seed: u64) -> Vec<Self> {
        let counter = OpCounter::new();
        let mut rng = fastrand::Rng::with_seed(seed);
        let disk = |i| {
            Self::new(&format!("sim{i}"), size_bytes).with_seed(rng.u64(..)).counted_by(&counter)
        };
        (0..count).map(disk).collect()
    }

    /// The disk with its random choices drawn from `seed`.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        self.state.lock().rng = fastrand::Rng::with_seed(seed);
        self
    }

    /// The disk with another model of its speed.
    #[must_use]
    pub fn with_model(self, model: SimModel) -> Self {
        self.state.lock().speed = Speed::Model(model);
        self
    }

    /// The disk with its times taken from `profile`, by [`Mechanics`]; what the turn happens to be short of is drawn from
    /// `seed`. A flush takes a turn. The disk keeps its size: the profile of one as large should be given.
    #[must_use]
    pub fn with_profile(self, profile: Profile, seed: u64) -> Self {
        self.state.lock().speed = Speed::Profile(Mechanics::new(profile.into(), seed));
        self
    }

    /// This handle with its operations numbered by `counter`. Other handles keep theirs.
    #[must_use]
    pub fn counted_by(mut self, counter: &OpCounter) -> Self {
        self.counter = counter.clone();
        self
    }

    /// The counter that numbers this disk's operations.
    #[must_use]
    pub fn counter(&self) -> &OpCounter {
        &self.counter
    }

    /// Adds a fault. Several may be waiting, of the same kind too.
    pub fn inject(&self, fault: Fault, trigger: Trigger) {
        self.state.lock().rules.add(fault, trigger);
    }

    /// Takes back all faults waiting to strike, and makes unreadable sectors readable. What faults
    /// have done to the data stays; a dead disk stays dead.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        state.rules.clear();
        state.bad.clear();
    }

    /// The disk fails everything from now on, as if unplugged; its data stays, cache included.
    pub fn kill(&self) {
        self.state.lock().dead = true;
    }

    /// A dead disk works again, with the (stale) data it had.
    pub fn revive(&self) {
        self.state.lock().dead = false;
    }

    /// Flips `bits` random bits of the medium within `range` (bytes).
    ///
    /// # Panics
    /// If the range is empty or outside the disk.
    pub fn rot(&self, range: Range<u64>, bits: usize) {
        assert!(!range.is_empty() && range.end <= self.size_bytes, "{range:?} is not on the disk");
        let mut state = self.state.lock();
        for _ in 0..bits {
            state.flip_bit(range.clone(), self.counter.next_op());
        }
    }

    /// Makes the sectors that `range` (bytes) touches unreadable until they are written.
    pub fn spoil(&self, range: Range<u64>) {
        let sector = SECTOR as u64;
        self.state.lock().bad.extend(range.start / sector..range.end.div_ceil(sector));
    }

    /// Puts `bytes` on the medium at `offset` (both in whole sectors) behind everybody's back, as
    /// a stray program might. Not an operation: not counted, not subject to faults.
    ///
    /// # Panics
    /// If not in whole sectors, or outside the disk.
    pub fn overwrite(&self, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        let whole = offset.is_multiple_of(SECTOR as u64) && bytes.len().is_multiple_of(SECTOR);
        assert!(whole && end <= self.size_bytes, "{offset}..{end} is not in sectors of the disk");
        let wrote = Wrote::new(offset / SECTOR as u64, bytes);
        self.state.lock().apply(self.counter.next_op(), Step::Patch(wrote));
    }

    /// Keeps every operation from now on, for [`SimDisk::ops`] and [`SimDisk::image_at`]. Starts
    /// afresh if it was on. Memory grows with what is written.
    pub fn record(&self) {
        self.state.lock().record();
    }

    /// The operations since [`SimDisk::record`], oldest first.
    #[must_use]
    pub fn ops(&self) -> Vec<OpRecord> {
        self.state.lock().ops()
    }

    /// How many writes are not flushed.
    #[must_use]
    pub fn unflushed_writes(&self) -> usize {
        self.state.lock().media.cached.len()
    }

    /// How much of the disk is not zero, in bytes of whole sectors.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.state.lock().media.current.used_sectors() * SECTOR as u64
    }

    /// The disk as a power cut now would leave it: what was flushed is there; each write since is
    /// there, missing or torn. Alive and without faults, not recording; counted by the same
    /// counter. This disk goes on unharmed.
    #[must_use]
    pub fn crash(&self, tear: TearAt, rng: &mut fastrand::Rng) -> Self {
        let mut state = State::new(rng.u64(..));
        let now = self.state.lock();
        state.media = now.media.crash(tear, rng);
        state.speed = now.speed.clone();
        drop(now);
        self.with_state(state)
    }

    /// As [`SimDisk::crash`], for a cut just before operation `op` of the recording.
    ///
    /// # Panics
    /// If nothing is recorded, see [`SimDisk::record`].
    #[must_use]
    pub fn image_at(&self, op: u64, tear: TearAt, rng: &mut fastrand::Rng) -> Self {
        let mut state = State::new(rng.u64(..));
        let now = self.state.lock();
        state.media = now.media_before(op).crash(tear, rng);
        state.speed = now.speed.clone();
        drop(now);
        self.with_state(state)
    }

    /// How many writes were not flushed just before operation `op` of the recording.
    ///
    /// # Panics
    /// If nothing is recorded, see [`SimDisk::record`].
    #[must_use]
    pub fn unflushed_before(&self, op: u64) -> usize {
        self.state.lock().media_before(op).cached.len()
    }

    /// The disk after a cut just before operation `op` of the recording, of whose unflushed writes, oldest
    /// first, those arrived whole for which `arrives` says so, and nothing of the others.
    ///
    /// # Panics
    /// If nothing is recorded, see [`SimDisk::record`].
    #[must_use]
    pub fn image_keeping(&self, op: u64, arrives: impl FnMut(usize) -> bool) -> Self {
        let mut state = State::new(0);
        let now = self.state.lock();
        state.media = now.media_before(op).keeping(arrives);
        state.speed = now.speed.clone();
        drop(now);
        self.with_state(state)
    }

    /// A copy of the disk as it is, cache, faults, recording and all. Shares memory until either
    /// is written: thousands of copies are cheap.
    #[must_use]
    pub fn fork(&self) -> Self {
        self.with_state(self.state.lock().clone())
    }

    fn with_state(&self, state: State) -> Self {
        Self {
            label: self.label.clone(),
            size_bytes: self.size_bytes,
            counter: self.counter.clone(),
            counters: Arc::default(),
            state: Arc::new(Mutex::new(state)),
        }
    }
}

impl Disk for SimDisk {
    fn label(&self) -> String {
        self.label.to_string()
    }

    fn size(&self) -> u64 {
        self.size_bytes
    }

    fn submit(&self, request: Request) -> Ticket {
        if let Err(error) = request.check(&self.label, self.size_bytes) {
            return Ticket::ready(Err(error));
        }
        let (op, _, len) = request.span();
        self.counters.enter();
        let mut state = self.state.lock();
        let (outcome, busy_ns) =
            state.perform(&self.label, self.size_bytes, self.counter.take(), &request);
        drop(state);
        self.counters.busy(op, busy_ns);
        self.counters.leave(op, len as u64, outcome.is_ok());
        Ticket::ready(outcome)
    }

    fn stats(&self) -> DiskStats {
        self.counters.snapshot()
    }

    fn probe(&self) -> Result<(), DiskError> {
        self.state.lock().alive(&self.label)
    }
}

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimDisk")
            .field("label", &self.label)
            .field("size_bytes", &self.size_bytes)
            .field("unflushed_writes", &self.unflushed_writes())
            .finish_non_exhaustive()
    }
}
