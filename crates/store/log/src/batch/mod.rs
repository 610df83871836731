//! What is to become durable together.

mod pnodes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::MutexGuard;
use pegasus_base::PnodeId;

use crate::alloc::Purpose;
use crate::format::block::Column;
use crate::format::checkpoint::{LogSegment, OpenSegment};
use crate::format::fragment::BlockHeader;
use crate::format::pnode::LogAddr;
use crate::format::record::{BlockNote, Record};
use crate::gate::Urgent;
use crate::log::{Committed, Log};
use crate::log_plan::LogPlan;
use crate::pnode::Pnode;
use crate::stripe::Built;
use crate::writer::Writer;
use crate::writing::Writing;
use crate::{BlockMap, LogError, Owner, Preloaded, SegmentId, SegmentRef};

/// Most blocks one record names.
const NOTES_MAX: usize = 512;
/// A checkpoint is due after so much log, in bytes: it bounds what recovery reads.
const CHECKPOINT_LOG_BYTES: u64 = 8 << 20;
/// And after so many changed content blocks: they are held in memory.
const CHECKPOINT_CHANGED_BLOCKS: usize = 2048;
/// And after so many that were placed, 256 MiB: what they replaced is garbage only with it.
const CHECKPOINT_PLACED_BLOCKS: usize = 16_384;

/// Changes that become durable together, by [`Log::commit`]. Dropping it undoes all of them; after a crash
/// meanwhile, recovery may find blocks of its as the tail of a segment that was open before.
///
/// Its continuous blocks and its changes to pnodes and segments: if, after a crash, any of the latter are
/// there, then all of them and all its blocks are. Blocks may be there alone, as the tail of a segment
/// that was open before.
///
/// While it lives, the log has no other: [`Log::batch`] and [`Log::checkpoint`] wait for its end.
#[derive(Debug)]
pub struct Batch<'a> {
    pub(crate) log: &'a Log,
    writer: MutexGuard<'a, Writer>,
    /// Number of the commit it will be.
    commit: u64,
    next_segment: u64,
    next_pnode: u64,
    /// Segments it touched, as they will be; `None` if they are not open any more.
    open: BTreeMap<SegmentId, Option<OpenSegment>>,
    /// Slots it took.
    taken: Vec<Column>,
    /// Slots it gives back.
    retired: BTreeSet<Column>,
    /// Pnodes it touched, as they will be; `None` if deleted.
    pub(crate) pnodes: BTreeMap<PnodeId, Option<Arc<Pnode>>>,
    /// Images and content of pnodes it deletes.
    killed: Vec<LogAddr>,
    pub(crate) records: Vec<Record>,
    /// Its continuous blocks: the disks write them already.
    writing: Writing,
    payload_bytes: u64,
    /// The content segment that is open.
    pub(crate) content: Option<SegmentId>,
    /// The room that content may use.
    pub(crate) purpose: Purpose,
    pub(crate) content_opened: Vec<SegmentRef>,
    /// Whole content blocks that wait to be placed with others. They are in the working copies.
    pub(crate) pending: BTreeSet<(PnodeId, u64)>,
    /// Blocks of content, by segment and row: they can't be read yet.
    pub(crate) content_built: BTreeMap<(SegmentId, u32), Built>,
    /// Pieces of them that something refers to.
    pub(crate) placed: Vec<LogAddr>,
    /// What was read ahead.
    pub(crate) preloaded: Preloaded,
    /// Whether blocks changed in part are placed, too.
    pub(crate) merges: bool,
    /// Others wait for the writer's lock that it holds.
    _urgent: Urgent,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(log: &'a Log, writer: MutexGuard<'a, Writer>) -> Self {
        Self {
            log,
            commit: writer.commit + 1,
            next_segment: writer.next_segment,
            next_pnode: writer.next_pnode,
            open: BTreeMap::new(),
            taken: Vec::new(),
            retired: BTreeSet::new(),
            pnodes: BTreeMap::new(),
            killed: Vec::new(),
            records: Vec::new(),
            writing: Writing::default(),
            payload_bytes: 0,
            content: writer.content,
            purpose: Purpose::Content,
            content_opened: Vec::new(),
            pending: BTreeSet::new(),
            content_built: BTreeMap::new(),
            placed: Vec::new(),
            preloaded: Preloaded::default(),
            merges: false,
            _urgent: Urgent::begin(),
            writer,
        }
    }

    /// Says that it gives back more room than it takes: deleting goes on where nothing else does any more, with what is
    /// kept for the cleaner.
    pub fn gives_room(&mut self) {
        self.purpose = Purpose::Cleaning;
    }

    /// Opens a continuous segment of `width` data columns and the array's parity, for blocks of `owner`.
    /// Fewer columns if fewer disks live or have room.
    ///
    /// # Errors
    /// [`LogError::Full`], [`LogError::ReadOnly`].
    pub fn open_segment(&mut self, owner: Owner, width: u8) -> Result<SegmentRef, LogError> {
        let promised = self.log.promised_slots();
        self.writer.alloc.set_promised(promised);
        self.set_aside();
        self.open_segment_for(owner, width, Purpose::Continuous)
    }

    /// As [`Batch::open_segment`], with the room that `purpose` may use.
    pub(crate) fn open_segment_for(
        &mut self,
        owner: Owner,
        width: u8,
        purpose: Purpose,
    ) -> Result<SegmentRef, LogError> {
        self.log.check_writable()?;
        let geometry = &self.log.array.geometry;
        let living = self.log.array.disks.taking();
        let alloc = &mut self.writer.alloc;
        let room = alloc.with_room(&living, purpose).len();
        let parity = usize::from(geometry.parity);
        let data = usize::from(width.clamp(1, geometry.data)).min(room.saturating_sub(parity));
        let full = LogError::Full {
            wanted: 1 + parity,
            after_checkpoint: alloc.waits() || !self.retired.is_empty(),
        };
        // Where copies have lost disks, or so many others have died: better with less parity than not at all.
        let few = living.len() <= parity;
        let (data, columns) = if few { (1, living.len()) } else { (data, data + parity) };
        if data == 0 {
            return Err(full);
        }
        let columns = alloc.take(columns, &living, purpose).ok_or(full)?;
        self.taken.extend_from_slice(&columns);
        let segment = SegmentRef { id: SegmentId(self.next_segment), columns };
        self.next_segment += 1;
        let data = data as u8; // at most the geometry's
        self.open.insert(segment.id, Some(OpenSegment::new(segment.clone(), owner, data)));
        self.records.push(Record::SegmentOpened { segment: segment.clone(), owner, data });
        Ok(segment)
    }

    /// The working copy of an open segment.
    fn segment(&mut self, segment: SegmentId) -> Result<&mut OpenSegment, LogError> {
        let log = self.log;
        self.open
            .entry(segment)
            .or_insert_with(|| log.shared.read().open.get(&segment).cloned())
            .as_mut()
            .ok_or(LogError::NotOpen { segment })
    }

    /// Payload bytes of the longest block that should still be appended to an open segment. 0 if it
    /// should be sealed: it is full, or not open, or a disk under it died (then blocks can be appended
    /// all the same while they physically fit, to close it in good order).
    #[must_use]
    pub fn room(&self, segment: SegmentId) -> u64 {
        let rows = self.log.array.geometry.rows();
        let room = |open: &OpenSegment| open.room(rows, &self.log.array.disks);
        match self.open.get(&segment) {
            Some(open) => open.as_ref().map_or(0, room),
            None => self.log.room(segment),
        }
    }

    /// Appends a block whose payload is all of `parts` in order; they are copied once. The disks begin
    /// to write it at once, while the next is put together.
    ///
    /// # Errors
    /// [`LogError::SegmentFull`], [`LogError::NotOpen`], [`LogError::Crippled`]. The batch is as before.
    ///
    /// # Panics
    /// If the payload is empty.
    pub fn append<P: AsRef<[u8]>>(
        &mut self,
        segment: SegmentId,
        parts: &[P],
    ) -> Result<BlockMap, LogError> {
        let header = self.append_block(segment, parts, false)?;
        self.payload_bytes += u64::from(header.payload_bytes);
        let log = self.log;
        let columns = &self.segment(segment)?.cursor.segment.columns;
        Ok(log.array.map_of(&header, columns))
    }

    /// As [`Batch::append`]; `keep`s it where [`Batch::load`] finds it.
    pub(crate) fn append_block<P: AsRef<[u8]>>(
        &mut self,
        segment: SegmentId,
        parts: &[P],
        keep: bool,
    ) -> Result<BlockHeader, LogError> {
        let (log, commit) = (self.log, self.commit);
        let (array, rows) = (log.array.id, log.array.geometry.rows());
        let open = self.segment(segment)?;
        let built = open.append(array, rows, &log.array.disks, commit, parts)?;
        let segment = open.cursor.segment.clone();
        log.begin_block(&mut self.writing, &segment, &built);
        let header = built.header;
        if keep {
            self.content_built.insert((segment.id, header.row), built);
        }
        Ok(header)
    }

    /// Ends an open segment: nothing can be appended any more, and recovery will not look at it.
    ///
    /// # Errors
    /// [`LogError::NotOpen`].
    pub fn seal_segment(&mut self, segment: SegmentId) -> Result<(), LogError> {
        self.segment(segment)?;
        self.open.insert(segment, None);
        self.records.push(Record::SegmentSealed { segment });
        Ok(())
    }

    /// Gives back the slots of a segment, sealed or open. They are used again after the next checkpoint.
    ///
    /// # Errors
    /// [`LogError::NotOwned`] if some of them are free already.
    pub fn free_segment(&mut self, segment: &SegmentRef) -> Result<(), LogError> {
        let columns = &segment.columns;
        let twice = columns.iter().any(|column| self.retired.contains(column));
        if twice || !self.writer.alloc.owns(columns) || self.is_log_segment(segment) {
            return Err(LogError::NotOwned { segment: segment.id });
        }
        if self.segment(segment.id).is_ok() {
            self.open.insert(segment.id, None);
        }
        self.retired.extend(columns);
        self.records.push(Record::SegmentFreed { segment: segment.clone() });
        Ok(())
    }

    fn is_log_segment(&self, segment: &SegmentRef) -> bool {
        let shared = self.log.shared.read();
        let mut columns = shared.log_segments.values().flat_map(|log| &log.segment.columns);
        columns.any(|column| segment.columns.contains(column))
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.pending.is_empty() && self.writing.headers().is_empty()
    }

    /// The transaction's records, emitted; none if only blocks were appended.
    fn transaction(&self) -> Vec<Vec<u8>> {
        if self.records.is_empty() {
            return Vec::new();
        }
        let note = |header: &BlockHeader| BlockNote {
            segment: header.segment,
            row: header.row,
            seq: header.seq,
            crc: header.payload_crc,
        };
        let notes: Vec<BlockNote> = self.writing.headers().iter().map(note).collect();
        let notes = notes.chunks(NOTES_MAX).map(|notes| Record::Blocks { notes: notes.to_vec() });
        notes.chain(self.records.iter().cloned()).map(|record| record.emit()).collect()
    }

    /// Carries the batch out; see [`Log::commit`].
    pub(crate) fn commit(mut self) -> Result<Committed, LogError> {
        self.log.check_writable()?;
        if self.is_empty() {
            return Ok(Committed::default());
        }
        self.place_pending()?;
        let records = self.transaction();
        let mut plan = LogPlan::at(self.writer.cursor.clone(), self.writer.next.clone());
        self.set_aside();
        let purpose = match self.purpose {
            Purpose::Cleaning => Purpose::Cleaning,
            _ => Purpose::Log,
        };
        let alloc = &mut self.writer.alloc;
        let mut means = self.log.means(alloc, self.next_segment, self.commit, purpose);
        let planned = plan.append(&mut means, false, &records);
        self.next_segment = means.next_segment;
        if let Err(error) = planned {
            plan.undo(&mut self.writer.alloc);
            return Err(error);
        }
        let mut writing = std::mem::take(&mut self.writing);
        for block in &plan.blocks {
            self.log.begin_block(&mut writing, &block.segment, &block.built);
        }
        let written = match self.log.finish_blocks(writing) {
            Ok(written) => written,
            Err(error) => {
                // Poisoned: what was allocated stays so, nobody will write there.
                self.taken.clear();
                return Err(error);
            }
        };
        let mut committed = Committed {
            written_bytes: written.bytes,
            parity_bytes: written.parity_bytes,
            payload_bytes: self.payload_bytes,
            checkpoint_due: false,
        };
        self.apply(plan);
        committed.checkpoint_due = self.checkpoint_due();
        let log = self.log;
        if let Err(error) = log.settle_failures(&mut self.writer) {
            // The commit itself is durable; the next one tries again, or finds the log poisoned.
            tracing::error!(%error, "a disk failed, and the log can't be moved off it yet");
            committed.checkpoint_due = true;
        }
        Ok(committed)
    }

    /// The batch is durable: makes it the state.
    fn apply(&mut self, plan: LogPlan) {
        let writer = &mut *self.writer;
        writer.commit = self.commit;
        writer.next_segment = self.next_segment;
        writer.next_pnode = self.next_pnode;
        self.taken.clear();
        let retired: Vec<Column> = self.retired.iter().copied().collect();
        writer.alloc.retire(&retired);
        writer.killed.append(&mut self.killed);
        writer.dirty.extend(self.pnodes.keys());
        let mut shared = self.log.shared.write();
        writer.adopt_plan(&mut shared, plan);
        writer.content = self.content;
        for segment in self.content_opened.drain(..) {
            shared.log_segments.insert(segment.id, LogSegment::new(segment));
        }
        for addr in self.placed.drain(..) {
            let log = shared.log_segments.get_mut(&addr.segment);
            log.expect("content goes into segments the log knows").placed(&addr);
            writer.placed.push(addr);
        }
        for (id, open) in std::mem::take(&mut self.open) {
            match open {
                Some(open) => shared.open.insert(id, open),
                None => shared.open.remove(&id),
            };
        }
        for (id, pnode) in std::mem::take(&mut self.pnodes) {
            let changed = |pnode: &Option<Arc<Pnode>>| {
                pnode.as_ref().map(|p| p.changed_size()).unwrap_or_default()
            };
            writer.changed += changed(&pnode);
            let old = shared.pnodes.known.insert(id, pnode);
            writer.changed -= old.as_ref().map(changed).unwrap_or_default();
        }
        self.log.note_usage(writer, &mut shared);
        self.log.count_commit();
    }

    /// Keeps room for what this batch leaves to the next checkpoint.
    fn set_aside(&mut self) {
        let shared = self.log.shared.read();
        let size = |pnode: &Option<Arc<Pnode>>| {
            pnode.as_ref().map(|p| p.changed_size()).unwrap_or_default()
        };
        let mut changed = self.writer.changed;
        for (id, pnode) in &self.pnodes {
            changed += size(pnode);
            changed -= shared.pnodes.known.get(id).map(size).unwrap_or_default();
        }
        let array = &self.log.array;
        let pnodes = self.pnodes.len();
        self.writer.set_aside(&array.geometry, &shared, changed, pnodes, array.fewest());
    }

    fn checkpoint_due(&self) -> bool {
        let writer = &self.writer;
        let geometry = &self.log.array.geometry;
        let alloc = &writer.alloc;
        let short = |disk| alloc.free(disk) <= alloc.aside() + 2 * geometry.reserve(disk) + 2;
        // Not to be told that the log is full: what is in memory would have to be written then.
        let scarce = |disk| alloc.free(disk) <= alloc.aside() + geometry.reserve(disk);
        writer.log_bytes >= CHECKPOINT_LOG_BYTES
            || writer.changed.blocks >= CHECKPOINT_CHANGED_BLOCKS
            || writer.placed.len() >= CHECKPOINT_PLACED_BLOCKS
            || alloc.pending().iter().any(|column| short(column.disk))
            || alloc.waits() && self.log.array.disks.taking().into_iter().any(scarce)
    }
}

impl Batch<'_> {
    /// The disks were handed blocks of a batch that is given up. They are taken back, and nothing has
    /// their commit's number or their segments' any more, so that no rest of them is taken for a part
    /// of something later.
    fn take_back_blocks(&mut self) {
        let writing = std::mem::take(&mut self.writing);
        if writing.headers().is_empty() {
            return;
        }
        self.writer.commit = self.commit;
        self.writer.next_segment = self.next_segment;
        self.log.take_back_blocks(writing);
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.take_back_blocks();
        self.writer.alloc.release(&self.taken);
    }
}
