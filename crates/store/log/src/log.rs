//! The handle.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use pegasus_base::{PnodeId, Time};

use crate::array::Array;
use crate::cleaner::Cleaner;
use crate::format::pnode::{LogAddr, PageAddrs};
use crate::pnode::Pnode;
use crate::pnodes::{load_image, page_of};
use crate::replay::load_piece;
use crate::writer::{Shared, Usage, Writer};
use crate::{
    Batch, BlockMap, CleanerStatus, Column, DiskIndex, DiskState, DiskStatus, LogError, LogStatus,
    PnodeInfo, SegmentId, SegmentRef,
};

/// The pnode for the owner's catalogue.
pub(crate) const ROOT_PNODE: PnodeId = PnodeId(1);
/// The pnode where ordinary files begin; made when first needed.
pub(crate) const FILES_PNODE: PnodeId = PnodeId(3);
/// Smaller numbers are the log's own.
pub(crate) const FIRST_PNODE: PnodeId = PnodeId(16);

/// What a commit did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed {
    /// Bytes written in all, to all disks.
    pub written_bytes: u64,
    /// Those of them that are parity.
    pub parity_bytes: u64,
    /// Payload bytes of continuous blocks among them.
    pub payload_bytes: u64,
    /// Whether a checkpoint should follow soon: much log since the last one, or few slots left while
    /// freed ones wait for it.
    pub checkpoint_due: bool,
}

/// An array of disks as a log. All methods may be called from any thread; they block on disks.
#[derive(Debug)]
pub struct Log {
    pub(crate) array: Array,
    pub(crate) read_only: bool,
    pub(crate) label: String,
    pub(crate) writer: Mutex<Writer>,
    pub(crate) shared: RwLock<Shared>,
    /// Locked before the other two.
    pub(crate) cleaner: Mutex<Cleaner>,
    /// What it has done. Locked last.
    pub(crate) cleaned: Mutex<CleanerStatus>,
    /// Held while something is mended; locked before the others.
    pub(crate) mending: Mutex<()>,
    /// Why nothing is written any more.
    pub(crate) poison: OnceLock<String>,
    /// Fragments that the next opening will write anew, a crash having torn them: of one that is only read. By segment, number
    /// of the block, and position.
    pub(crate) torn: BTreeSet<(SegmentId, u32, u8)>,
    /// See [`Log::promise`].
    promised_bytes: AtomicU64,
    commits: AtomicU64,
    checkpoints: AtomicU64,
}

impl Log {
    /// Most bytes of a pnode's attributes.
    pub const ATTRIBUTES_BYTES_MAX: usize = crate::format::pnode::ATTRIBUTES_BYTES_MAX;
    /// A pnode's content is kept in blocks of so many bytes.
    pub const CONTENT_BYTES: usize = crate::format::pnode::CONTENT_BYTES;
    /// How much of a block's beginning recovery hands out at least.
    pub const HEAD_BYTES: usize = pegasus_disk::SECTOR - crate::format::fragment::HEADER_BYTES;

    pub(crate) fn assemble(
        array: Array,
        read_only: bool,
        writer: Writer,
        mut shared: Shared,
    ) -> Self {
        let label = writer.superblock.label.clone();
        shared.usage = Usage::of(&array, &writer);
        Self {
            array,
            read_only,
            label,
            writer: Mutex::new(writer),
            shared: RwLock::new(shared),
            cleaner: Mutex::default(),
            cleaned: Mutex::default(),
            mending: Mutex::new(()),
            poison: OnceLock::new(),
            torn: BTreeSet::new(),
            promised_bytes: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            checkpoints: AtomicU64::new(0),
        }
    }

    /// Begins a batch; waits for the end of another one.
    #[must_use]
    pub fn batch(&self) -> Batch<'_> {
        Batch::new(self, self.writer.lock())
    }

    /// Makes a batch durable, on all disks at the same time: one phase of writes, one of flushes. A disk
    /// that fails is given up, the commit succeeds as long as parity stands in for it.
    ///
    /// # Errors
    /// [`LogError::Full`] with nothing written; [`LogError::Poisoned`] if too many disks failed: the
    /// batch may or may not be durable, and nothing is accepted after it. [`LogError::ReadOnly`].
    ///
    /// # Panics
    /// If the batch is another log's.
    pub fn commit(&self, batch: Batch<'_>) -> Result<Committed, LogError> {
        assert!(std::ptr::eq(self, batch.log), "a batch is committed by the log that began it");
        batch.commit()
    }

    /// Writes a checkpoint: what recovery starts from. Makes freed slots available. Does nothing if
    /// nothing was committed since the last one.
    ///
    /// # Errors
    /// As [`Log::commit`]; [`LogError::Damaged`] if a map that has to be changed can't be read.
    pub fn checkpoint(&self, now: Time) -> Result<(), LogError> {
        let mut writer = self.writer.lock();
        self.check_writable()?;
        writer.now = now;
        self.settle_failures(&mut writer)?;
        let clean = writer.dirty.is_empty() && writer.dirty_pages.is_empty();
        if writer.commit == writer.settled && clean {
            return Ok(());
        }
        self.write_checkpoint(&mut writer, now, false)
    }

    /// Most bytes between the front and the end of a pnode.
    #[must_use]
    pub fn pnode_bytes_max(&self) -> u64 {
        let leaves = self.array.geometry.leaves_max().min(crate::format::pnode::LEAVES_MAX);
        leaves * (crate::format::pnode::LEAF_ENTRIES * crate::format::pnode::CONTENT_BYTES) as u64
    }

    /// The pnode for the owner's catalogue. Exists from the beginning, kind 0, empty.
    #[must_use]
    pub fn root(&self) -> PnodeId {
        ROOT_PNODE
    }

    /// The pnode where ordinary files begin. Exists once [`Batch::create_numbered`] made it.
    #[must_use]
    pub fn files_root(&self) -> PnodeId {
        FILES_PNODE
    }

    /// Sets numbers aside for pnodes that [`Batch::create_numbered`] will make, so that they can be
    /// spoken of before. Those not used when the log is closed are lost. Waits for the end of a batch.
    #[must_use]
    pub fn reserve_pnodes(&self, count: u64) -> Range<PnodeId> {
        let mut writer = self.writer.lock();
        let first = writer.next_pnode;
        writer.next_pnode += count;
        PnodeId(first)..PnodeId(writer.next_pnode)
    }

    /// Data and parity columns of a full stripe.
    #[must_use]
    pub fn shape(&self) -> (u8, u8) {
        (self.array.geometry.data, self.array.geometry.parity)
    }

    /// What is known of a pnode; `None` if it does not exist.
    ///
    /// # Errors
    /// If its image can't be read.
    pub fn pnode(&self, pnode: PnodeId) -> Result<Option<PnodeInfo>, LogError> {
        Ok(self.find_pnode(pnode)?.map(|pnode| pnode.info()))
    }

    /// Reads up to `len` bytes of a pnode from `offset` on: fewer only at its end. Committed state only.
    ///
    /// # Errors
    /// [`LogError::NoPnode`], [`LogError::Damaged`].
    pub fn read_pnode(&self, pnode: PnodeId, offset: u64, len: usize) -> Result<Vec<u8>, LogError> {
        let ahead = self.read_ahead(pnode, offset..offset.saturating_add(len as u64));
        let load =
            |addr: &LogAddr| ahead.get(addr).map_or_else(|| self.load(addr), |b| Ok(b.clone()));
        self.look(pnode, |found| found.read(offset, len, &load))
    }

    /// The first bytes of a pnode from `offset` on that room is taken for, whatever is in them; `None` if
    /// only zeros follow that take none. More may follow right behind. Committed state only.
    ///
    /// # Errors
    /// As [`Log::read_pnode`].
    pub fn content_from(
        &self,
        pnode: PnodeId,
        offset: u64,
    ) -> Result<Option<Range<u64>>, LogError> {
        self.look(pnode, |found| found.content_from(offset, &|addr| self.load(addr)))
    }

    fn look<T>(
        &self,
        pnode: PnodeId,
        what: impl Fn(&Pnode) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        loop {
            let found = self.find_pnode(pnode)?.ok_or(LogError::NoPnode { pnode })?;
            let outcome = what(&found);
            if outcome.is_ok() {
                return outcome;
            }
            // While it was read, it may have changed, and its old pieces' slots been used again.
            let now = self.shared.read().pnodes.known.get(&pnode).cloned().flatten();
            if now.is_none_or(|now| Arc::ptr_eq(&now, &found)) {
                return outcome;
            }
        }
    }

    /// Reads a piece of the log.
    pub(crate) fn load(&self, addr: &LogAddr) -> Result<Vec<u8>, LogError> {
        let segment = self.shared.read().log_segments.get(&addr.segment).map(|l| l.segment.clone());
        load_piece(&self.array, segment.as_ref(), addr)
    }

    /// Finds a pnode, and keeps it in memory.
    pub(crate) fn find_pnode(&self, pnode: PnodeId) -> Result<Option<Arc<Pnode>>, LogError> {
        loop {
            let page = match self.shared.read().pnodes.find(pnode) {
                Ok(known) => return Ok(known),
                Err(page) => page,
            };
            let load = |addr: &LogAddr| self.load(addr);
            let (number, place) = page_of(pnode);
            let outcome = page.get(&load, PageAddrs::parse).and_then(|addrs| {
                let image = addrs.0[place];
                image.map(|addr| load_image(pnode, addr, &load)).transpose()
            });
            let mut shared = self.shared.write();
            let now = shared.pnodes.pages.get(number).cloned().flatten();
            if now.is_some_and(|now| !Arc::ptr_eq(&now, &page)) {
                continue; // a checkpoint came in between
            }
            return match outcome? {
                Some(found) => {
                    let known = shared.pnodes.known.entry(pnode);
                    Ok(known.or_insert_with(|| Some(Arc::new(found))).clone())
                }
                None => Ok(None),
            };
        }
    }

    /// Reads a block: verified, and rebuilt from parity if a fragment is bad, or its disk dead.
    ///
    /// # Errors
    /// [`LogError::Block`]; also if its segment was freed and its slots used again.
    pub fn read_block(&self, map: &BlockMap) -> Result<Bytes, LogError> {
        self.array.read_block(map)
    }

    /// Where a segment's column begins on its disk, in bytes.
    #[must_use]
    pub fn offset_of(&self, column: Column) -> u64 {
        self.array.geometry.extent(column, 0).offset
    }

    /// Where an open continuous segment lies.
    #[must_use]
    pub fn segment(&self, segment: SegmentId) -> Option<SegmentRef> {
        self.shared.read().open.get(&segment).map(|open| open.cursor.segment.clone())
    }

    /// As [`Batch::room`], outside a batch.
    #[must_use]
    pub fn room(&self, segment: SegmentId) -> u64 {
        let rows = self.array.geometry.rows();
        let shared = self.shared.read();
        shared.open.get(&segment).map_or(0, |open| open.room(rows, &self.array.disks))
    }

    /// Looks whether all disks are still there ([`pegasus_disk::Disk::probe`]) and gives up those that are
    /// not. Returns the newly failed ones. Worth calling every few seconds.
    pub fn probe(&self) -> Vec<DiskIndex> {
        self.array.disks.probe()
    }

    pub(crate) fn count_commit(&self) {
        self.commits.fetch_add(1, Relaxed);
    }

    pub(crate) fn count_checkpoint(&self, freed_segments: u64) {
        self.checkpoints.fetch_add(1, Relaxed);
        self.cleaned.lock().freed_segments += freed_segments;
    }

    pub(crate) fn note_usage(&self, writer: &mut Writer, shared: &mut Shared) {
        let fewest = self.array.fewest();
        writer.set_aside(&self.array.geometry, shared, writer.changed, 0, fewest);
        shared.usage = Usage::of(&self.array, writer);
    }

    /// Promises room for `bytes` that a client holds in memory and will write to pnodes: no segment is
    /// opened in it. Replaces what was promised before.
    pub fn promise(&self, bytes: u64) {
        self.promised_bytes.store(bytes, Relaxed);
    }

    /// Slots of each disk for what was promised: its transaction, and the checkpoint after it.
    pub(crate) fn promised_slots(&self) -> u32 {
        let bytes = self.promised_bytes.load(Relaxed);
        crate::room::promised_slots(bytes, &self.array.geometry, self.array.fewest())
    }

    /// How the log is doing. Waits for no disk.
    #[must_use]
    pub fn status(&self) -> LogStatus {
        let shared = self.shared.read();
        let geometry = &self.array.geometry;
        let unit = u64::from(geometry.unit_bytes);
        let slots: u64 = geometry.slots.iter().map(u64::from).sum();
        let sum = |counts: &[u32]| counts.iter().copied().map(u64::from).sum::<u64>();
        let (free, pending) = (sum(&shared.usage.free), sum(&shared.usage.pending));
        let (data, columns) =
            (u64::from(geometry.data), u64::from(geometry.data + geometry.parity));
        let beside_parity = |slots: u64| slots * unit / columns * data;
        let (all, live) = self.log_bytes(&shared);
        LogStatus {
            array: self.array.id,
            label: self.label.clone(),
            data: geometry.data,
            parity: geometry.parity,
            unit_bytes: geometry.unit_bytes,
            capacity_bytes: beside_parity(self.staying_slots()),
            used_bytes: beside_parity(slots - free - pending),
            free_bytes: beside_parity(self.usable_slots(&shared.usage)).min(self.tellable(&shared)),
            promised_bytes: beside_parity(
                u64::from(self.promised_slots()) * self.array.disks.taking().len() as u64,
            ),
            pending_slots: pending,
            log_segments: shared.log_segments.len() as u64,
            log_live_bytes: live,
            log_dead_bytes: all.saturating_sub(live),
            garbage_entries: shared.log_segments.values().map(|log| log.holes).sum(),
            open_segments: shared.open.len() as u64,
            rebuilt_fragments: self.array.rebuilt_fragments(),
            commits: self.commits.load(Relaxed),
            checkpoints: self.checkpoints.load(Relaxed),
            cleaner: *self.cleaned.lock(),
            poisoned: self.poison.get().cloned(),
            disks: self.disk_status(&shared.usage),
        }
    }

    /// Slots that segments can be opened in, now or after the next checkpoint.
    fn usable_slots(&self, usage: &Usage) -> u64 {
        let geometry = &self.array.geometry;
        let living = self.array.disks.taking();
        let on = |disk: &DiskIndex| {
            let at = usize::from(disk.0);
            let free = usage.free[at] + usage.pending[at];
            u64::from(free.saturating_sub(geometry.reserve(*disk) + usage.aside))
        };
        let free: Vec<u64> = living.iter().map(on).collect();
        // A segment takes a slot on each of one disk more than there is parity, or on all that live.
        usable(&free, geometry.parity_of(living.len()) as u64 + 1)
    }

    /// Bytes of files that checkpoints can tell of besides those there are.
    fn tellable(&self, shared: &Shared) -> u64 {
        let geometry = &self.array.geometry;
        let most = crate::room::segments_max(geometry, shared.pnodes.pages.len() as u64);
        let segments = most.saturating_sub(shared.log_segments.len() as u64);
        segments * u64::from(geometry.unit_bytes) * u64::from(geometry.data)
    }

    /// Slots of the disks that are to stay.
    pub(crate) fn staying_slots(&self) -> u64 {
        let staying = self.array.disks.staying();
        let slots = staying.into_iter().filter_map(|disk| self.array.geometry.slots.get(disk));
        slots.map(u64::from).sum()
    }

    fn disk_status(&self, usage: &Usage) -> Vec<DiskStatus> {
        let status = |(index, entry): (DiskIndex, std::sync::Arc<crate::disks::Entry>)| {
            let stats = entry.disk().map(|disk| disk.stats()).unwrap_or_default();
            DiskStatus {
                index,
                id: entry.id,
                path: entry.label.clone(),
                state: entry.shown_state(),
                errors: entry.errors(),
                read_bytes: stats.read_bytes,
                written_bytes: stats.written_bytes,
                read_us: entry.pace.read_time().map(|time| time.as_micros() as u64),
                shed_reads: entry.pace.shed(),
                slots: self.array.geometry.slots.get(index).unwrap_or(0),
                free_slots: usage.free[usize::from(index.0)],
            }
        };
        let there = |(_, entry): &(_, std::sync::Arc<crate::disks::Entry>)| {
            entry.state() != DiskState::Removed
        };
        self.array.disks.iter().filter(there).map(status).collect()
    }
}

/// How many of the slots that are free on each disk segments can take, each `width` or more of different
/// disks.
pub(crate) fn usable(free: &[u64], width: u64) -> u64 {
    // With so many segments, a disk gives a slot to each of them at most.
    let taken = |segments: u64| free.iter().map(|free| *free.min(&segments)).sum::<u64>();
    let (mut least, mut most) = (0, free.iter().sum::<u64>() / width);
    while least < most {
        let segments = (least + most).div_ceil(2);
        match taken(segments) >= width * segments {
            true => least = segments,
            false => most = segments - 1,
        }
    }
    taken(least)
}

impl Usage {
    pub(crate) fn of(array: &Array, writer: &Writer) -> Self {
        let mut pending = vec![0; array.geometry.disks()];
        for column in writer.alloc.pending() {
            pending[usize::from(column.disk.0)] += 1;
        }
        Self {
            free: array.geometry.indices().map(|disk| writer.alloc.free(disk)).collect(),
            pending,
            aside: writer.alloc.aside(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::usable;

    #[test]
    fn a_large_disk_is_of_use_as_far_as_others_stand_beside_it() {
        assert_eq!(usable(&[10, 10, 10, 10, 10], 2), 50);
        assert_eq!(usable(&[100, 10, 10], 2), 40);
        assert_eq!(usable(&[100, 10], 2), 20);
        assert_eq!(usable(&[100, 10, 5], 3), 15);
        assert_eq!(usable(&[100, 80, 5, 5], 3), 30);
        assert_eq!(usable(&[7, 0, 3], 1), 10);
        assert_eq!(usable(&[], 1), 0);
    }
}
