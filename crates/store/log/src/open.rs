//! Formatting and opening an array.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use pegasus_base::{ArrayId, DiskId, Time};
use pegasus_disk::{AlignedBuf, Disk, SECTOR, measure};

use crate::alloc::Allocator;
use crate::array::{Array, Fragments};
use crate::disks::{Disks, Entry, Write};
use crate::format::checkpoint::Cursor;
use crate::format::superblock::{LABEL_BYTES_MAX, Member, MemberState, Superblock};
use crate::garbage::{GARBAGE_KIND, GARBAGE_PNODE};
use crate::geometry::{Geometry, POINTER_OFFSETS, choose_unit, superblock_offsets};
use crate::log::{FIRST_PNODE, Log, ROOT_PNODE};
use crate::pnode::{Changed, Pnode};
use crate::recovery::{Outcome, body_addrs, recover};
use crate::superblocks::{Assembled, assemble};
use crate::writer::{COMMIT_EPOCH_SHIFT, Shared, Writer};
use crate::{BlockMap, DiskIndex, LogError, Owner, SegmentId, SegmentRef};

/// What an array is to be.
#[derive(Clone, Debug)]
pub struct FormatOptions {
    /// Data columns of a full stripe, at least 1.
    pub data: u8,
    /// Parity columns, as many as disks may be lost: 0 to 2.
    pub parity: u8,
    /// Length of a slot in bytes: a power of two from 64 KiB to 64 MiB. `None`: the least from 1 MiB on
    /// with which positioning costs under 10 % of the disks' time, measured; less only on disks too
    /// small for 256 slots.
    pub unit_bytes: Option<u32>,
    /// A name for people, at most 64 bytes.
    pub label: String,
    /// The present.
    pub now: Time,
}

/// How to open an array.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// The present.
    pub now: Time,
    /// Write nothing at all, not even what recovery would repair.
    pub read_only: bool,
}

/// What opening found.
#[derive(Debug)]
pub struct Recovery {
    /// Whether nothing was committed after the last checkpoint.
    pub clean: bool,
    /// Transactions replayed since the checkpoint.
    pub transactions: u64,
    /// Fragments at the tails that were written anew because a crash had torn them.
    pub repaired_fragments: u64,
    /// What is wrong, a sentence each: missing, foreign, stale disks, damage met.
    pub problems: Vec<String>,
    /// Why what was recovered is not the newest state there was: damage beyond what parity bears took that. Then
    /// nothing can be written, lest it go over what is left; see [`Log::open_older`].
    pub lost: Option<String>,
    /// What is worth saying though nothing is wrong, a sentence each: disks that were replaced, and are given still.
    pub remarks: Vec<String>,
    /// The continuous segments that are open. Their owner may append to them, or seal them.
    pub open_segments: Vec<Recovered>,
}

/// The fragments that a block lacks.
fn torn(fragments: &Fragments) -> impl Iterator<Item = (SegmentId, u32, u8)> {
    let header = fragments.header;
    let lacking = (0_u8..).zip(&fragments.got).filter(|(_, got)| got.is_none());
    lacking.map(move |(position, _)| (header.segment, header.seq, position))
}

/// A continuous segment that was open.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// The segment.
    pub segment: SegmentRef,
    /// Whose it is.
    pub owner: Owner,
    /// All its blocks, in order.
    pub blocks: Vec<RecoveredBlock>,
}

/// A block of a segment that was open.
#[derive(Debug, Clone)]
pub struct RecoveredBlock {
    /// Where it is.
    pub map: BlockMap,
    /// The beginning of its payload, verified: at least [`Log::HEAD_BYTES`] if it is as long.
    pub head: Bytes,
}

impl Log {
    /// Makes an array of `disks`, whatever was on them before.
    ///
    /// # Errors
    /// [`LogError::BadGeometry`], or a disk fails.
    pub fn format(
        disks: &[Arc<dyn Disk>],
        options: &FormatOptions,
        rng: &mut fastrand::Rng,
    ) -> Result<ArrayId, LogError> {
        let unit_bytes = match options.unit_bytes {
            Some(unit_bytes) => unit_bytes,
            None => measured_unit(disks)?,
        };
        let sizes: Vec<u64> = disks.iter().map(|disk| disk.size()).collect();
        let geometry = Geometry::new(options.data, options.parity, unit_bytes, &sizes)?;
        if options.label.len() > LABEL_BYTES_MAX {
            let why = format!("its label is longer than {LABEL_BYTES_MAX} bytes");
            return Err(LogError::BadGeometry { why });
        }
        let superblock = new_superblock(&geometry, options, rng);
        let id = superblock.array;
        if options.parity == 0 {
            tracing::warn!(array = %id, "the store has no parity: any disk's loss loses data");
        }
        let entries = disks.iter().zip(&superblock.members);
        let entries = entries.map(|(disk, own)| Entry::new(own, disk.label(), Some(disk.clone())));
        let columns = superblock.columns();
        let array = Array::new(id, geometry, Disks::new(entries.collect(), columns));
        wipe(disks)?;
        let log = Self::empty(array, superblock, options.now);
        let mut writer = log.writer.lock();
        log.write_checkpoint(&mut writer, options.now, true)?;
        // Last, so that a format that was interrupted leaves no array.
        let mut superblock = writer.superblock.clone();
        log.write_superblocks(&mut superblock, None)?;
        let failed: Vec<String> = log
            .array
            .disks
            .iter()
            .filter(|(index, _)| !log.array.disks.is_ok(*index))
            .map(|(_, entry)| entry.label.clone())
            .collect();
        if failed.is_empty() {
            return Ok(id);
        }
        Err(LogError::BadGeometry { why: format!("these disks failed: {}", failed.join(", ")) })
    }

    /// A log with nothing in it but the well-known pnodes, not on any disk yet.
    fn empty(array: Array, superblock: Superblock, now: Time) -> Self {
        let mut shared = Shared::default();
        for (id, kind) in [(ROOT_PNODE, 0), (GARBAGE_PNODE, GARBAGE_KIND)] {
            shared.pnodes.known.insert(id, Some(Arc::new(Pnode::new(id, kind))));
        }
        let nowhere = SegmentRef { id: SegmentId(0), columns: Vec::new() };
        let writer = Writer {
            alloc: Allocator::new(&array.geometry),
            cursor: Cursor { segment: nowhere.clone(), row: 0, seq: 0, chain: 0 },
            next: nowhere,
            next_segment: 1,
            next_pnode: FIRST_PNODE.0,
            commit: superblock.epoch << COMMIT_EPOCH_SHIFT,
            settled: 0,
            checkpoint: 0,
            body: Vec::new(),
            unsettled: Vec::new(),
            placed: Vec::new(),
            killed: Vec::new(),
            dirty: [ROOT_PNODE, GARBAGE_PNODE].into(),
            dirty_pages: BTreeSet::new(),
            log_bytes: 0,
            changed: Changed::default(),
            content: None,
            superblock,
            living: array.disks.living(),
            now,
        };
        Self::assemble(array, false, writer, shared)
    }

    /// Opens an array. `disks` are in any order, each with its path; `None` where there is nothing.
    ///
    /// # Errors
    /// [`LogError::NotAnArray`] if too many disks are missing or foreign; [`LogError::Damaged`].
    pub fn open(
        disks: Vec<(String, Option<Arc<dyn Disk>>)>,
        options: &OpenOptions,
    ) -> Result<(Self, Recovery), LogError> {
        Self::open_as(disks, options, false)
    }

    /// As [`Log::open`], and goes on with an older state where there are signs of a newer one that can't be read:
    /// what was durable since is given up.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn open_older(
        disks: Vec<(String, Option<Arc<dyn Disk>>)>,
        options: &OpenOptions,
    ) -> Result<(Self, Recovery), LogError> {
        Self::open_as(disks, options, true)
    }

    fn open_as(
        disks: Vec<(String, Option<Arc<dyn Disk>>)>,
        options: &OpenOptions,
        go_back: bool,
    ) -> Result<(Self, Recovery), LogError> {
        let Assembled { superblock, disks, mut problems, remarks } =
            assemble(disks, options.read_only)?;
        let array = Array::new(superblock.array, Geometry::of(&superblock), disks);
        let mut outcome = recover(&array)?;
        problems.append(&mut outcome.problems);
        let open_segments = recovered(&array, &outcome);
        let mut recovery = Recovery {
            clean: outcome.commit == outcome.pointer.commit,
            transactions: outcome.transactions,
            repaired_fragments: 0,
            problems,
            lost: outcome.lost.take(),
            remarks,
            open_segments,
        };
        recovery.problems.extend(recovery.lost.clone());
        let lost = recovery.lost.clone().filter(|_| !go_back);
        let read_only = options.read_only || lost.is_some();
        let repairs = std::mem::take(&mut outcome.repairs);
        let (writer, shared) = into_parts(&array, outcome, superblock, options.now);
        let mut log = Self::assemble(array, read_only, writer, shared);
        lost.map(|why| log.poison(why));
        if !read_only {
            let mut writer = log.writer.lock();
            log.begin_epoch(&mut writer, None)?;
            recovery.repaired_fragments = log.repair(repairs)?;
            // What recovery decided must not be decided anew by the next one, after more was written.
            let relocate = !log.is_writable_at(&writer);
            log.write_checkpoint(&mut writer, options.now, relocate)?;
        } else {
            log.torn = repairs.iter().flat_map(|(_, fragments)| torn(fragments)).collect();
        }
        Ok((log, recovery))
    }

    /// From now on commits are newer than any an earlier opening may have begun.
    pub(crate) fn begin_epoch(
        &self,
        writer: &mut Writer,
        newcomer: Option<DiskIndex>,
    ) -> Result<(), LogError> {
        let mut superblock = writer.superblock.clone();
        superblock.epoch += 1;
        superblock.open_id = writer.now.as_ns().cast_unsigned();
        self.write_superblocks(&mut superblock, newcomer)?;
        writer.commit = superblock.epoch << COMMIT_EPOCH_SHIFT;
        // A batch that was torn may have used a few numbers that nobody knows of.
        writer.next_segment = (writer.next_segment | 0xffff) + 1;
        writer.superblock = superblock;
        Ok(())
    }

    /// Writes the fragments that a crash left torn.
    fn repair(&self, repairs: Vec<(SegmentRef, Fragments)>) -> Result<u64, LogError> {
        let mut writes = Vec::new();
        for (segment, mut fragments) in repairs {
            let header = fragments.header;
            for position in fragments.complete() {
                let column = segment.columns[header.column(position)];
                let extent = self.array.geometry.extent(column, header.row);
                let buf = fragments.got[usize::from(position)].take().expect("it was rebuilt");
                if self.array.disks.is_ok(extent.disk) {
                    writes.push(Write {
                        disk: extent.disk,
                        offset: extent.offset,
                        buf: Arc::new(buf),
                    });
                }
            }
        }
        let durable = self.array.disks.write_durably(writes);
        Ok(durable.into_iter().filter(|durable| *durable).count() as u64)
    }

    /// Whether the log can go on where it is with all its fragments.
    fn is_writable_at(&self, writer: &Writer) -> bool {
        let columns = writer.cursor.segment.columns.iter().chain(&writer.next.columns);
        columns.map(|column| column.disk).all(|disk| self.array.disks.is_ok(disk))
    }
}

fn measured_unit(disks: &[Arc<dyn Disk>]) -> Result<u32, LogError> {
    let measured: Result<Vec<_>, _> = disks.iter().map(|disk| measure(&**disk)).collect();
    let least = disks.iter().map(|disk| disk.size()).min().unwrap_or(0);
    Ok(choose_unit(&measured?, least))
}

fn new_superblock(
    geometry: &Geometry,
    options: &FormatOptions,
    rng: &mut fastrand::Rng,
) -> Superblock {
    let array = ArrayId::random(rng);
    let state = MemberState::Ok;
    let member = |slots: u32| Member::new(DiskId::random(rng), slots, state);
    let members = geometry.slots.iter().map(member).collect();
    Superblock {
        array,
        index: DiskIndex(0),
        data: geometry.data,
        parity: geometry.parity,
        unit_bytes: geometry.unit_bytes,
        size_bytes: 0,
        created: options.now,
        epoch: 1,
        open_id: options.now.as_ns().cast_unsigned(),
        update: 0,
        label: options.label.clone(),
        members,
    }
}

/// Makes sure that nothing of an earlier array is taken for a part of the new one.
pub(crate) fn wipe(disks: &[Arc<dyn Disk>]) -> Result<(), LogError> {
    for disk in disks {
        let places: BTreeSet<u64> =
            superblock_offsets(disk.size()).into_iter().chain(POINTER_OFFSETS).collect();
        for offset in places {
            pegasus_disk::write(&**disk, offset, AlignedBuf::zeroed(SECTOR))?;
        }
        pegasus_disk::flush(&**disk)?;
    }
    Ok(())
}

fn recovered(array: &Array, outcome: &Outcome) -> Vec<Recovered> {
    let mut all = Vec::new();
    let others = outcome.state.open.iter().filter(|(_, open)| open.owner != Owner::default());
    for (id, open) in others {
        let segment = &open.cursor.segment;
        let blocks = outcome.sightings.get(id).map(Vec::as_slice).unwrap_or_default();
        let block = |sighting: &crate::scan::Sighting| RecoveredBlock {
            map: array.map_of(&sighting.header, &segment.columns),
            head: sighting.head(),
        };
        all.push(Recovered {
            segment: segment.clone(),
            owner: open.owner,
            blocks: blocks.iter().map(block).collect(),
        });
    }
    all
}

fn into_parts(
    array: &Array,
    outcome: Outcome,
    superblock: Superblock,
    now: Time,
) -> (Writer, Shared) {
    let Outcome { mut state, pointer, cursor, next, commit, .. } = outcome;
    let shared = state.take_shared();
    let content = shared.open.values().find(|open| open.owner == Owner::default());
    let content = content.map(|open| open.cursor.segment.id);
    let writer = Writer {
        alloc: state.alloc,
        cursor,
        next,
        next_segment: state.next_segment,
        next_pnode: state.next_pnode,
        commit,
        settled: pointer.commit,
        checkpoint: pointer.number,
        body: body_addrs(&pointer),
        unsettled: state.unsettled,
        placed: state.placed,
        killed: state.killed,
        dirty: state.dirty,
        dirty_pages: BTreeSet::new(),
        log_bytes: 0,
        changed: Changed::default(),
        content,
        superblock,
        living: array.disks.living(),
        now,
    };
    (writer, shared)
}
