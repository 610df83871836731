//! From disks to the last durable state.
//!
//! The newest checkpoint whose body can be read is the start. The log behind it is walked; each
//! complete transaction is replayed. Then the open continuous segments are scanned to their ends. The
//! newest commit of all may be torn: its blocks are verified whole, and its transaction counts only if
//! all blocks it names are there. The cost depends on the log since the checkpoint and on the open
//! segments, not on how much is stored.
//!
//! Opening the log for writing begins an epoch, and writes a checkpoint before any batch. So all batches
//! after a checkpoint are of its epoch. Commits of later epochs that may be found are checkpoints of
//! recoveries that were cut short themselves: they say nothing about what was flushed before.

use std::collections::BTreeMap;

use pegasus_disk::{Batch, Request, SECTOR};

use crate::array::{Array, Fragments};
use crate::format::checkpoint::{Body, Cursor, Pointer};
use crate::format::fragment::{BlockHeader, SegmentKind};
use crate::format::pnode::LogAddr;
use crate::format::record::{BlockNote, LogHead, Record, parse_payload};
use crate::garbage::Hole;
use crate::geometry::POINTER_OFFSETS;
use crate::replay::State;
use crate::scan::{Scanned, Sighting, scan, sight, verify_newest};
use crate::writer::COMMIT_EPOCH_SHIFT;
use crate::{DiskIndex, LogError, SegmentId, SegmentRef};

/// What recovery came to.
pub(crate) struct Outcome {
    pub(crate) state: State,
    pub(crate) pointer: Pointer,
    pub(crate) cursor: Cursor,
    pub(crate) next: SegmentRef,
    /// Newest commit seen, whole or torn.
    pub(crate) commit: u64,
    pub(crate) transactions: u64,
    /// Blocks that lack a fragment: those of the newest commit, and any of the log.
    pub(crate) repairs: Vec<(SegmentRef, Fragments)>,
    /// The open segments' blocks.
    pub(crate) sightings: BTreeMap<SegmentId, Vec<Sighting>>,
    pub(crate) problems: Vec<String>,
}

/// A block of the log behind the checkpoint.
struct LogBlock {
    segment: SegmentRef,
    fragments: Fragments,
    head: LogHead,
    records: Vec<Record>,
    /// All its records but the announcement.
    hole: Hole,
    /// Where the log went on behind it.
    after: (Cursor, SegmentRef),
}

/// Recovers the state of an array.
pub(crate) fn recover(array: &Array) -> Result<Outcome, LogError> {
    let mut problems = Vec::new();
    let (pointer, body) = find_checkpoint(array, &mut problems)?;
    let mut blocks = walk(array, &pointer);
    drop_torn_transaction(&mut blocks);
    let last_at = blocks.iter().rposition(|block| !block.head.pieces && block.head.last);
    // Where the last transaction's first part is; all before it is beyond doubt.
    let first_at = last_at.map(|at| at - blocks[at].head.part as usize);
    let log_commit = blocks
        .iter()
        .map(|block| block.fragments.header.commit)
        .filter(|commit| same_epoch(*commit, pointer.commit))
        .max();
    let log_commit = log_commit.unwrap_or(pointer.commit);
    let doubtful = first_at.unwrap_or(blocks.len());

    let mut state = State::restore(array, &pointer, body)?;
    for block in &blocks[..doubtful] {
        state.replay(array, block.hole, &block.records)?;
    }
    let records = blocks[doubtful..].iter().flat_map(|block| &block.records);
    let mut scanned = to_scan(&state, records.clone());
    let mut segments: Vec<Scanned> = std::mem::take(&mut scanned);
    let commit = scan(array, &mut segments, pointer.commit).max(log_commit);
    let mut repairs = Vec::new();
    for scanned in &mut segments {
        if commit > pointer.commit {
            let segment = scanned.open.cursor.segment.clone();
            let found = verify_newest(array, scanned, commit);
            repairs.extend(found.into_iter().map(|fragments| (segment.clone(), fragments)));
        }
        problems.append(&mut scanned.problems);
    }
    let arrived = |note: &BlockNote| {
        segments.iter().any(|scanned| {
            let segment = &scanned.open.cursor.segment;
            segment.id == note.segment
                && (scanned.blocks.iter().any(|block| is_noted(&block.header, note))
                    || is_lost_only_to_dead_disks(array, segment, note, commit))
        })
    };
    let last_commit = blocks.get(doubtful).map(|block| block.fragments.header.commit);
    let notes = records.filter_map(|record| match record {
        Record::Blocks { notes } => Some(notes),
        _ => None,
    });
    if last_commit == Some(commit) && !notes.flatten().all(arrived) {
        // Its blocks did not all arrive: it never happened.
        blocks.truncate(doubtful);
    }
    for block in blocks.iter().skip(doubtful) {
        state.replay(array, block.hole, &block.records)?;
    }
    let mut sightings = BTreeMap::new();
    for scanned in segments {
        let id = scanned.open.cursor.segment.id;
        // The last transaction may have sealed it.
        if let Some(open) = state.open.get_mut(&id) {
            let blocks;
            (*open, blocks) = scanned.into_open();
            sightings.insert(id, blocks);
        }
    }
    let transactions = blocks.iter().filter(|block| block.head.last).count() as u64;
    let (cursor, next) = blocks
        .last()
        .map_or((pointer.cursor.clone(), pointer.next.clone()), |block| block.after.clone());
    for block in blocks {
        // All of them were read whole anyway; and a checkpoint cut short may have left several torn.
        if block.fragments.got.iter().any(Option::is_none) {
            repairs.push((block.segment, block.fragments));
        }
    }
    Ok(Outcome { state, pointer, cursor, next, commit, transactions, repairs, sightings, problems })
}

/// Whether two commits are of one opening.
pub(crate) fn same_epoch(a: u64, b: u64) -> bool {
    a >> COMMIT_EPOCH_SHIFT == b >> COMMIT_EPOCH_SHIFT
}

fn is_noted(header: &BlockHeader, note: &BlockNote) -> bool {
    (header.row, header.seq, header.payload_crc) == (note.row, note.seq, note.crc)
}

/// Whether a block that can't be read has all fragments that should be on living disks: then it was
/// durable once, and dead disks took it, not a crash. Its transaction stands.
fn is_lost_only_to_dead_disks(
    array: &Array,
    segment: &SegmentRef,
    note: &BlockNote,
    commit: u64,
) -> bool {
    let found = array.probe_rows(&[(segment, note.row)]).pop().unwrap_or_default();
    let header = found.iter().map(|(header, _)| header.block);
    let header = header.into_iter().find(|block| is_noted(block, note) && block.commit == commit);
    let Some(header) = header else { return false };
    let blocks = array.read_row(segment, header.row, header.sectors, |own| *own == header);
    blocks.first().is_some_and(|block| {
        (0..header.fragments()).all(|position| {
            let disk = segment.columns[header.column(position)].disk;
            block.got[usize::from(position)].is_some() || !array.disks.is_ok(disk)
        })
    })
}

/// The segments whose ends are not known: those open before the last transaction, and those it opened.
fn to_scan<'a>(state: &State, last: impl Iterator<Item = &'a Record>) -> Vec<Scanned> {
    let opened = last.filter_map(State::opened);
    state.open.values().cloned().chain(opened).map(Scanned::new).collect()
}

/// Of a transaction whose last part is missing, no part counts.
fn drop_torn_transaction(blocks: &mut Vec<LogBlock>) {
    let complete = blocks.iter().rposition(|block| block.head.pieces || block.head.last);
    blocks.truncate(complete.map_or(0, |at| at + 1));
}

/// The newest checkpoint that can be read.
fn find_checkpoint(array: &Array, problems: &mut Vec<String>) -> Result<(Pointer, Body), LogError> {
    let mut pointers: Vec<Pointer> = read_pointers(array).into_iter().map(|(_, p)| p).collect();
    pointers.sort_by_key(|pointer| std::cmp::Reverse((pointer.commit, pointer.number)));
    pointers.dedup();
    let mut why = "no disk has a checkpoint".to_owned();
    for pointer in pointers {
        match read_body(array, &pointer) {
            Ok(body) => return Ok((pointer, body)),
            Err(error) => {
                why = format!("checkpoint {}: {error}", pointer.number);
                problems.push(why.clone());
            }
        }
    }
    Err(LogError::Damaged { what: "every checkpoint".to_owned(), why })
}

/// All valid pointers, each with the disk it is on.
pub(crate) fn read_pointers(array: &Array) -> Vec<(DiskIndex, Pointer)> {
    let mut batch = Batch::new();
    let mut places = Vec::new();
    for (index, entry) in array.disks.iter() {
        let Some(disk) = entry.disk() else { continue };
        for offset in POINTER_OFFSETS {
            batch.add(&**disk, Request::Read { offset, len: SECTOR });
            places.push(index);
        }
    }
    let read = places.into_iter().zip(batch.wait_all());
    read.filter_map(|(index, outcome)| Some((index, outcome.ok()?.into_buf())))
        .filter_map(|(index, sector)| Some((index, Pointer::parse(&sector)?)))
        .filter(|(_, pointer)| {
            let segments = pointer.parts.iter().map(|(_, segment)| segment);
            let mut segments = segments.chain([&pointer.cursor.segment, &pointer.next]);
            pointer.array == array.id && segments.all(|segment| fits(array, segment))
        })
        .collect()
}

/// Whether the array has all columns of a segment.
pub(crate) fn fits(array: &Array, segment: &SegmentRef) -> bool {
    segment.columns.iter().all(|column| array.geometry.holds(*column))
}

fn read_body(array: &Array, pointer: &Pointer) -> Result<Body, LogError> {
    let mut bytes = Vec::new();
    for (addr, segment) in &pointer.parts {
        bytes.extend(array.read_piece(addr, segment)?);
    }
    let damaged = |why: &str| LogError::Damaged {
        what: format!("the body of checkpoint {}", pointer.number),
        why: why.to_owned(),
    };
    if crc32c::crc32c(&bytes) != pointer.body_crc {
        return Err(damaged("its parts don't belong together"));
    }
    Body::parse(&bytes).ok_or_else(|| damaged("it makes no sense"))
}

/// All blocks of the log behind the checkpoint.
fn walk(array: &Array, pointer: &Pointer) -> Vec<LogBlock> {
    let mut blocks = Vec::new();
    let (mut cursor, mut next) = (pointer.cursor.clone(), pointer.next.clone());
    loop {
        let found = read_log_block(array, &cursor, &next, pointer.commit).or_else(|| {
            let onward = Cursor { segment: next.clone(), row: 0, seq: 0, chain: cursor.chain };
            (cursor.row > 0).then(|| read_log_block(array, &onward, &next, pointer.commit))?
        });
        let Some(block) = found else { return blocks };
        (cursor, next) = block.after.clone();
        blocks.push(block);
    }
}

/// The block at `cursor`, if there is one that can be read and makes sense.
fn read_log_block(
    array: &Array,
    cursor: &Cursor,
    next: &SegmentRef,
    after_commit: u64,
) -> Option<LogBlock> {
    let found = array.probe_rows(&[(&cursor.segment, cursor.row)]).pop()?;
    let follows = |header: &BlockHeader| {
        header.kind == SegmentKind::Log
            && header.commit > after_commit
            && header.seq == cursor.seq
            && header.previous == cursor.chain
    };
    let (sightings, _) = sight(found, follows);
    // Only the newest: an older one in its place was torn, and left so, before the checkpoint.
    let header = sightings.first()?.header;
    let found = array.read_row(&cursor.segment, cursor.row, header.sectors, |own| *own == header);
    let mut fragments = found.into_iter().next().filter(Fragments::suffice)?;
    let torn: Vec<bool> = fragments.got.iter().map(Option::is_none).collect();
    fragments.complete();
    let payload = fragments.payload();
    for (got, torn) in fragments.got.iter_mut().zip(torn) {
        if torn {
            *got = None;
        }
    }
    let (head, mut records) = parse_payload(&payload)?;
    let mut hole = Hole {
        segment: header.segment,
        row: header.row,
        offset: crate::format::record::HEAD_BYTES as u32,
        len_bytes: 0,
    };
    let mut next = next.clone();
    if header.seq == 0 {
        let Record::NextSegment { segment } = records.first()? else { return None };
        next = segment.clone();
        hole.offset += records[0].emit().len() as u32;
        if !fits(array, &next) {
            return None;
        }
    } else {
        records.retain(|record| !matches!(record, Record::NextSegment { .. }));
    }
    hole.len_bytes = header.payload_bytes - hole.offset;
    let after = Cursor {
        segment: cursor.segment.clone(),
        row: header.row + header.sectors,
        seq: header.seq + 1,
        chain: header.chain(),
    };
    let segment = cursor.segment.clone();
    Some(LogBlock { segment, fragments, head, records, hole, after: (after, next) })
}

/// The parts of a body, as pieces.
pub(crate) fn body_addrs(pointer: &Pointer) -> Vec<LogAddr> {
    pointer.parts.iter().map(|(addr, _)| *addr).collect()
}
