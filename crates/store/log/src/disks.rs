//! The disks of an array: which of them live, and writing to all of them at the same time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};

use parking_lot::RwLock;
use pegasus_base::DiskId;
use pegasus_disk::{AlignedBuf, Disk, DiskError, Reads, Request, Ticket};

use crate::format::superblock::{Member, MemberState};
use crate::patience::Pace;
use crate::{DiskIndex, DiskState, Extent};

/// All disks, in the order of the array.
#[derive(Debug)]
pub(crate) struct Disks {
    /// Behind a lock, because a new disk may take a failed one's place, or be added.
    entries: RwLock<Vec<Arc<Entry>>>,
    /// How wide stripes are, parity included.
    columns: usize,
    /// How long the last of several reads is waited for.
    pub(crate) patience_us: AtomicU64,
}

pub(crate) struct Entry {
    pub(crate) id: DiskId,
    /// Its path, or where it was looked for.
    pub(crate) label: String,
    disk: Option<Arc<dyn Disk>>,
    state: AtomicU8,
    /// Whether what is on it is moved to others.
    leaving: AtomicBool,
    errors: AtomicU64,
    pub(crate) pace: Pace,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({:?})", self.label, self.state())
    }
}

impl Entry {
    pub(crate) fn new(member: &Member, label: String, disk: Option<Arc<dyn Disk>>) -> Self {
        let state = match (member.state, &disk) {
            (MemberState::Removed, _) => DiskState::Removed,
            (_, None) => DiskState::Missing,
            (MemberState::Ok, _) => DiskState::Ok,
            (MemberState::Failed, _) => DiskState::Failed,
            (MemberState::Rebuilding, _) => DiskState::Rebuilding,
        };
        Self {
            id: member.id,
            label,
            disk,
            state: AtomicU8::new(state as u8),
            leaving: AtomicBool::new(member.leaving),
            errors: AtomicU64::new(0),
            pace: Pace::default(),
        }
    }

    pub(crate) fn state(&self) -> DiskState {
        use DiskState::{Failed, Missing, Ok, Rebuilding, Removed};
        let stored = self.state.load(Relaxed);
        let known = [Ok, Failed, Missing, Rebuilding, Removed];
        known.into_iter().find(|state| *state as u8 == stored).expect("only states are stored")
    }

    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }

    /// Whether it is being removed.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Relaxed)
    }

    /// Whether it is read and written, and not about to be removed.
    fn is_to_stay(&self) -> bool {
        self.is_living() && !self.is_leaving()
    }

    pub(crate) fn set_leaving(&self, leaving: bool) {
        self.leaving.store(leaving, Relaxed);
    }

    /// The state as it is shown: one that is whole may be slow, or about to leave.
    pub(crate) fn shown_state(&self) -> DiskState {
        match self.state() {
            DiskState::Ok if self.is_leaving() => DiskState::Leaving,
            DiskState::Ok if self.pace.is_slow() => DiskState::Slow,
            state => state,
        }
    }

    /// Whether it is read and written: it may lack what parity has to give.
    pub(crate) fn is_living(&self) -> bool {
        matches!(self.state(), DiskState::Ok | DiskState::Rebuilding)
    }

    /// Nothing is lacking on it any more; false if it failed meanwhile.
    pub(crate) fn rebuilt(&self) -> bool {
        let (from, to) = (DiskState::Rebuilding as u8, DiskState::Ok as u8);
        self.state.compare_exchange(from, to, Relaxed, Relaxed).is_ok()
    }

    /// The disk, if there is one, dead or alive.
    pub(crate) fn disk(&self) -> Option<&Arc<dyn Disk>> {
        self.disk.as_ref()
    }
}

/// One thing to write.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) disk: DiskIndex,
    pub(crate) offset: u64,
    pub(crate) buf: Arc<AlignedBuf>,
}

/// Something a disk was asked for; without a ticket if it was given up before.
#[derive(Debug)]
pub(crate) struct Begun {
    disk: DiskIndex,
    ticket: Option<Ticket>,
}

impl Disks {
    /// These disks, with stripes of so many `columns`.
    pub(crate) fn new(entries: Vec<Entry>, columns: usize) -> Self {
        let entries = RwLock::new(entries.into_iter().map(Arc::new).collect());
        Self { entries, columns, patience_us: AtomicU64::new(0) }
    }

    pub(crate) fn entry(&self, disk: DiskIndex) -> Arc<Entry> {
        self.entries.read()[usize::from(disk.0)].clone()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (DiskIndex, Arc<Entry>)> {
        let entries = self.entries.read().clone();
        (0_u16..).map(DiskIndex).zip(entries)
    }

    /// Another disk takes this one's place; what was begun on the old one ends there.
    pub(crate) fn seat(&self, disk: DiskIndex, entry: Entry) {
        self.entries.write()[usize::from(disk.0)] = Arc::new(entry);
    }

    /// Another disk, behind all others.
    pub(crate) fn add(&self, entry: Entry) {
        self.entries.write().push(Arc::new(entry));
    }

    /// Whether the disk is read and written.
    pub(crate) fn is_ok(&self, disk: DiskIndex) -> bool {
        self.entry(disk).is_living()
    }

    /// The disks that are read and written.
    pub(crate) fn living(&self) -> BTreeSet<DiskIndex> {
        self.iter().filter(|(_, entry)| entry.is_living()).map(|(index, _)| index).collect()
    }

    /// The disks that new segments are put on: those that are to stay, while they are enough.
    pub(crate) fn taking(&self) -> BTreeSet<DiskIndex> {
        if self.is_short() { self.living() } else { self.living_to_stay() }
    }

    /// How many of these there will be at least, if no more disks die than parity bears: what is kept free on each has to do
    /// for all then.
    pub(crate) fn fewest(&self, parity: u8) -> usize {
        let left = self.staying().len().saturating_sub(usize::from(parity));
        left.min(self.taking().len()).max(1)
    }

    /// The disks that are read and written, and are not to be removed.
    pub(crate) fn living_to_stay(&self) -> BTreeSet<DiskIndex> {
        self.iter().filter(|(_, entry)| entry.is_to_stay()).map(|(index, _)| index).collect()
    }

    /// Whether fewer disks that are to stay live than stripes are wide: those that are to be removed are used
    /// like others meanwhile.
    pub(crate) fn is_short(&self) -> bool {
        let entries = self.entries.read();
        entries.iter().filter(|entry| entry.is_to_stay()).count() < self.columns
    }

    /// Whether one of these is to be removed, and nothing should be left or put on it.
    pub(crate) fn is_shunned(&self, mut disks: impl Iterator<Item = DiskIndex>) -> bool {
        disks.any(|disk| self.entry(disk).is_leaving()) && !self.is_short()
    }

    /// The disks of the array, dead or alive, but those that are removed or about to be.
    pub(crate) fn staying(&self) -> BTreeSet<DiskIndex> {
        let gone = |entry: &Entry| entry.is_leaving() || entry.state() == DiskState::Removed;
        self.iter().filter(|(_, entry)| !gone(entry)).map(|(index, _)| index).collect()
    }

    /// Counts something bad found on a disk.
    pub(crate) fn count_error(&self, disk: DiskIndex) {
        self.entry(disk).errors.fetch_add(1, Relaxed);
    }

    /// From now on this disk is not written any more.
    pub(crate) fn give_up(&self, disk: DiskIndex, why: &DiskError) {
        let entry = self.entry(disk);
        let failed = DiskState::Failed as u8;
        let give_up = |state| (state != failed && entry.is_living()).then_some(failed);
        if entry.state.fetch_update(Relaxed, Relaxed, give_up).is_ok() {
            tracing::error!(path = entry.label, error = %why, "disk given up");
        }
    }

    /// Adds reads from disks, also from those that were given up: the place of each among them, if there is its disk.
    pub(crate) fn add_reads(
        &self,
        reads: &mut Reads,
        extents: &[(Extent, usize)],
    ) -> Vec<Option<usize>> {
        let add = |(extent, len): &(Extent, usize)| {
            let entry = self.entry(extent.disk);
            Some(reads.add(&**entry.disk()?, extent.offset, *len))
        };
        extents.iter().map(add).collect()
    }

    /// What came of a read; what fails is counted.
    pub(crate) fn ended_read(
        &self,
        disk: DiskIndex,
        outcome: Result<AlignedBuf, DiskError>,
    ) -> Result<AlignedBuf, DiskError> {
        outcome.inspect_err(|error| {
            self.count_error(disk);
            if error.is_final() {
                self.give_up(disk, error);
            }
        })
    }

    /// Hands a write to its disk, unless that was given up.
    pub(crate) fn begin_write(&self, write: Write) -> Begun {
        let entry = self.entry(write.disk);
        let disk = entry.disk().filter(|_| entry.is_living());
        let request = Request::Write { offset: write.offset, buf: write.buf };
        Begun { disk: write.disk, ticket: disk.map(|disk| disk.submit(request)) }
    }

    /// Flushes the disks that were written to, all at the same time, each as soon as it has written
    /// what was begun. Says of each write whether it is durable. A disk that fails is given up: after a
    /// failed flush nobody knows what it holds.
    pub(crate) fn finish_writes(&self, begun: Vec<Begun>) -> Vec<bool> {
        let touched: BTreeSet<DiskIndex> =
            begun.iter().filter(|write| write.ticket.is_some()).map(|write| write.disk).collect();
        let flushes = self.begin_flushes(&touched);
        let disks: Vec<DiskIndex> = begun.iter().map(|write| write.disk).collect();
        let taken: Vec<bool> = begun.into_iter().map(|write| self.finish(write)).collect();
        for flush in flushes {
            self.finish(flush);
        }
        disks.iter().zip(taken).map(|(disk, taken)| taken && self.is_ok(*disk)).collect()
    }

    fn begin_flushes(&self, touched: &BTreeSet<DiskIndex>) -> Vec<Begun> {
        let flush = |disk: &DiskIndex| {
            let entry = self.entry(*disk);
            let handle = entry.disk().filter(|_| entry.is_living())?;
            Some(Begun { disk: *disk, ticket: Some(handle.submit(Request::Flush)) })
        };
        touched.iter().filter_map(flush).collect()
    }

    /// Waits until a disk has taken a write; whether it did. It is not durable yet.
    pub(crate) fn wait(&self, begun: Begun) -> bool {
        self.finish(begun)
    }

    /// Makes durable what these disks have taken; one that fails is given up.
    pub(crate) fn flush(&self, disks: &BTreeSet<DiskIndex>) {
        for flush in self.begin_flushes(disks) {
            self.finish(flush);
        }
    }

    /// Waits for the outcome; whether it succeeded.
    fn finish(&self, begun: Begun) -> bool {
        match begun.ticket.map(Ticket::wait) {
            Some(Ok(_)) => true,
            Some(Err(error)) => {
                self.write_failed(begun.disk, &error);
                false
            }
            None => false,
        }
    }

    /// Writes everything durably, all disks at the same time; see [`Disks::finish_writes`].
    pub(crate) fn write_durably(&self, writes: Vec<Write>) -> Vec<bool> {
        let begun = writes.into_iter().map(|write| self.begin_write(write)).collect();
        self.finish_writes(begun)
    }

    fn write_failed(&self, disk: DiskIndex, error: &DiskError) {
        self.count_error(disk);
        self.give_up(disk, error);
    }

    /// Looks whether all disks are still there; gives up those that are not.
    pub(crate) fn probe(&self) -> Vec<DiskIndex> {
        let mut lost = Vec::new();
        for (index, entry) in self.iter() {
            let Some(disk) = entry.disk().filter(|_| entry.is_living()) else { continue };
            if let Err(error) = disk.probe() {
                self.write_failed(index, &error);
                lost.push(index);
            }
        }
        lost
    }
}
