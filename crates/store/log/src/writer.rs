//! The state of a log that is being written, and carrying out what was planned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pegasus_base::{PnodeId, Time};
use pegasus_disk::{AlignedBuf, SECTOR};

use crate::alloc::{Allocator, Purpose};
use crate::disks::Write;
use crate::format::checkpoint::{Cursor, LogSegment, OpenSegment};
use crate::format::pnode::LogAddr;
use crate::format::superblock::{MemberState, Superblock};
use crate::garbage::Hole;
use crate::geometry::{Geometry, superblock_offsets};
use crate::log::Log;
use crate::log_plan::{LogPlan, Means};
use crate::pnode::Changed;
use crate::pnodes::Pnodes;
use crate::room::Load;
use crate::{DiskIndex, DiskState, LogError, SegmentId, SegmentRef};

/// A commit's number: the epoch above these bits, a counter below.
pub(crate) const COMMIT_EPOCH_SHIFT: u32 = 40;

/// What only the one who writes needs. Locked before [`Shared`].
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) alloc: Allocator,
    /// Where the log goes on.
    pub(crate) cursor: Cursor,
    /// And where then.
    pub(crate) next: SegmentRef,
    pub(crate) next_segment: u64,
    pub(crate) next_pnode: u64,
    /// Number of the last commit.
    pub(crate) commit: u64,
    /// Number of the commit the last checkpoint was.
    pub(crate) settled: u64,
    /// Number of the last checkpoint.
    pub(crate) checkpoint: u64,
    /// The parts of its body.
    pub(crate) body: Vec<LogAddr>,
    /// Records since then: all of them are dead after the next checkpoint.
    pub(crate) unsettled: Vec<Hole>,
    /// Content placed since then: in use though the checkpoint does not lead to it.
    pub(crate) placed: Vec<LogAddr>,
    /// Pieces that died since then.
    pub(crate) killed: Vec<LogAddr>,
    /// Pnodes changed, made or deleted since then.
    pub(crate) dirty: BTreeSet<PnodeId>,
    /// Pages to be written to a new place although nothing in them changed.
    pub(crate) dirty_pages: BTreeSet<usize>,
    /// Bytes of log since then.
    pub(crate) log_bytes: u64,
    /// Content blocks changed since then, all of them in memory.
    pub(crate) changed: Changed,
    /// The content segment that is open.
    pub(crate) content: Option<SegmentId>,
    /// What the superblocks say.
    pub(crate) superblock: Superblock,
    /// The disks that lived when places in the log were last chosen.
    pub(crate) living: BTreeSet<DiskIndex>,
    /// The time when it was last told.
    pub(crate) now: Time,
}

/// What readers need too: the state as of the last commit.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) pnodes: Pnodes,
    pub(crate) log_segments: BTreeMap<SegmentId, LogSegment>,
    pub(crate) open: BTreeMap<SegmentId, OpenSegment>,
    pub(crate) usage: Usage,
}

/// Copies of what the writer counts, by disk, for [`Log::status`], which must not wait for it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Usage {
    pub(crate) free: Vec<u32>,
    pub(crate) pending: Vec<u32>,
    /// Set aside on each for the next checkpoint.
    pub(crate) aside: u32,
}

impl Writer {
    /// Sets aside what a checkpoint will take, if so much content is changed, and pnodes besides, on so many disks.
    pub(crate) fn set_aside(
        &mut self,
        geometry: &Geometry,
        shared: &Shared,
        changed: Changed,
        pnodes: usize,
        living: usize,
    ) {
        let idle = Load {
            segments: shared.log_segments.len() as u64,
            pages: shared.pnodes.pages.len() as u64,
            ..Load::default()
        };
        let load = Load {
            changed,
            placed_blocks: self.placed.len() as u64,
            pnodes: (self.dirty.len() + self.dirty_pages.len() + pnodes) as u64,
            holes: (self.unsettled.len() + self.killed.len() + changed.blocks) as u64,
            ..idle
        };
        self.alloc.set_aside(load.slots(geometry, living), idle.slots(geometry, living));
    }

    /// A transaction was written: its log is what it says now.
    pub(crate) fn adopt_plan(&mut self, shared: &mut Shared, mut plan: LogPlan) {
        for segment in plan.allocated {
            shared.log_segments.insert(segment.id, LogSegment::new(segment));
        }
        for block in &plan.blocks {
            let records = block.records();
            shared.written(&records);
            self.unsettled.push(records);
            let sectors = block.built.header.sectors as usize;
            self.log_bytes += (sectors * SECTOR * block.built.fragments.len()) as u64;
        }
        self.cursor = plan.cursor;
        self.next = plan.chain.pop_front().expect("the next segment is always known");
        assert!(plan.chain.is_empty(), "a segment was allocated that nothing leads to");
    }
}

impl Shared {
    /// So many bytes of records were written.
    pub(crate) fn written(&mut self, records: &Hole) {
        if let Some(log) = self.log_segments.get_mut(&records.segment) {
            log.written_bytes += u64::from(records.len_bytes);
        }
    }
}

impl LogSegment {
    /// A piece was written into it where it stays.
    pub(crate) fn placed(&mut self, addr: &LogAddr) {
        let len_bytes = u64::from(Hole::of(addr).len_bytes);
        self.written_bytes += len_bytes;
        self.live_bytes += len_bytes;
    }

    /// A log segment with nothing in it.
    pub(crate) fn new(segment: SegmentRef) -> Self {
        Self { segment, written_bytes: 0, live_bytes: 0, holes: 0 }
    }
}

impl Log {
    pub(crate) fn means<'a>(
        &self,
        alloc: &'a mut Allocator,
        next_segment: u64,
        commit: u64,
        purpose: Purpose,
    ) -> Means<'a> {
        Means {
            array: self.array.id,
            rows: self.array.geometry.rows(),
            parity: self.array.geometry.parity,
            living: self.array.disks.taking(),
            alloc,
            purpose,
            next_segment,
            commit,
        }
    }

    /// Refuses if nothing can be written.
    pub(crate) fn check_writable(&self) -> Result<(), LogError> {
        match self.poison.get() {
            Some(why) => Err(LogError::Poisoned { why: why.clone() }),
            None if self.read_only => Err(LogError::ReadOnly),
            None => Ok(()),
        }
    }

    /// From now on nothing is written: what is on the disks is not known any more.
    pub(crate) fn poison(&self, why: String) -> LogError {
        tracing::error!(why, "the store takes no more writes");
        let why = self.poison.get_or_init(|| why).clone();
        LogError::Poisoned { why }
    }

    /// Writes all superblocks anew, two of each disk's four at a time, so that a torn one never is the
    /// only one. A `newcomer` has two that tell of it already: it gets these anew when all others have theirs.
    /// Else it could say, alone, what they will say of themselves when they go on without it.
    pub(crate) fn write_superblocks(
        &self,
        superblock: &mut Superblock,
        newcomer: Option<DiskIndex>,
    ) -> Result<(), LogError> {
        superblock.update += 1;
        for (index, entry) in self.array.disks.iter() {
            let member = &mut superblock.members[usize::from(index.0)];
            match entry.state() {
                DiskState::Failed => member.state = MemberState::Failed,
                DiskState::Rebuilding => member.state = MemberState::Rebuilding,
                DiskState::Removed => member.state = MemberState::Removed,
                DiskState::Ok | DiskState::Missing | DiskState::Slow | DiskState::Leaving => {}
            }
        }
        // Which copies; of the newcomer, of the others, or of all.
        for (half, new) in [([0, 2], Some(false)), ([1, 3], None), ([0, 2], Some(true))] {
            let is_due = |index| new.is_none_or(|new| new == (newcomer == Some(index)));
            let mut writes = Vec::new();
            for (index, entry) in self.array.disks.iter().filter(|(index, _)| is_due(*index)) {
                let Some(disk) = entry.disk() else { continue };
                let own = Superblock { index, size_bytes: disk.size(), ..superblock.clone() };
                let buf = Arc::new(AlignedBuf::from_slice(&own.emit()));
                for copy in half {
                    let offset = superblock_offsets(disk.size())[copy];
                    writes.push(Write { disk: index, offset, buf: buf.clone() });
                }
            }
            let is_any = !writes.is_empty();
            let durable = self.array.disks.write_durably(writes);
            if is_any && !durable.contains(&true) {
                return Err(self.poison("no disk takes its superblock".to_owned()));
            }
        }
        Ok(())
    }

    /// If disks failed since the last time: says so on the others, and moves the log to living ones.
    pub(crate) fn settle_failures(&self, writer: &mut Writer) -> Result<(), LogError> {
        let living = self.array.disks.living();
        if living == writer.living {
            return Ok(());
        }
        let mut superblock = writer.superblock.clone();
        self.write_superblocks(&mut superblock, None)?;
        writer.superblock = superblock;
        let now = writer.now;
        self.write_checkpoint(writer, now, true)?;
        Ok(())
    }
}
