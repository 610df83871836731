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

use crate::array::{Array, Fragments, Probe};
use crate::evidence;
use crate::format::checkpoint::{Body, Cursor, Pointer};
use crate::format::fragment::BlockHeader;
use crate::format::pnode::LogAddr;
use crate::format::record::{BlockNote, Record};
use crate::geometry::POINTER_OFFSETS;
use crate::replay::State;
use crate::scan::{Scanned, Sighting, scan, verify_newest};
use crate::walk::Tail;
use crate::writer::COMMIT_EPOCH_SHIFT;
use crate::{DiskIndex, DiskState, LogError, SegmentId, SegmentRef};

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
    pub(crate) repairs: Repairs,
    /// The open segments' blocks.
    pub(crate) sightings: Sightings,
    pub(crate) problems: Vec<String>,
    /// Why this is not the newest state there was.
    pub(crate) lost: Option<String>,
}

/// Recovers the state of an array.
pub(crate) fn recover(array: &Array) -> Result<Outcome, LogError> {
    let mut problems = Vec::new();
    let (pointer, body) = find_checkpoint(array, &mut problems)?;
    let mut tail = Tail::read(array, &pointer);
    let mut state = State::restore(array, &pointer, body)?;
    for block in &tail.blocks[..tail.last_at] {
        state.replay(array, block.hole, &block.records)?;
    }
    let mut ends = Ends::find(array, &state, &tail, &pointer);
    problems.append(&mut ends.problems);
    // Of the newest commit's transaction, unless another commit came after it.
    let doubtful = tail.last_commit() == Some(ends.commit);
    if doubtful && !tail.last_records().all(|record| ends.bear_out(array, record)) {
        tail.drop_last(); // its blocks did not all arrive: it never happened
    }
    for block in tail.blocks.iter().skip(tail.last_at) {
        state.replay(array, block.hole, &block.records)?;
    }
    let commit = ends.commit;
    let lost = evidence::of_loss(array, &pointer, &tail, commit);
    let (sightings, mut repairs) = ends.settle(&mut state);
    let transactions = tail.transactions();
    let (cursor, next) = tail.end();
    for block in tail.blocks {
        // All of them were read whole anyway; and a checkpoint cut short may have left several torn.
        if block.fragments.got.iter().any(Option::is_none) {
            repairs.push((block.segment, block.fragments));
        }
    }
    Ok(Outcome {
        state,
        pointer,
        cursor,
        next,
        commit,
        transactions,
        repairs,
        sightings,
        problems,
        lost,
    })
}

/// Blocks found in open segments.
type Sightings = BTreeMap<SegmentId, Vec<Sighting>>;
/// Blocks that lack a fragment, with the segments they are in.
type Repairs = Vec<(SegmentRef, Fragments)>;

/// The ends of the open continuous segments.
struct Ends {
    segments: Vec<Scanned>,
    /// The newest commit of the checkpoint's epoch, in the log or in a segment.
    commit: u64,
    repairs: Repairs,
    problems: Vec<String>,
}

impl Ends {
    /// Scans the segments whose ends are not known: those open before the last transaction, and those it
    /// opened.
    fn find(array: &Array, state: &State, tail: &Tail, pointer: &Pointer) -> Self {
        let opened = tail.last_records().filter_map(State::opened);
        let mut segments: Vec<Scanned> = state
            .open
            .values()
            .cloned()
            .chain(opened.filter(|open| fits(array, &open.cursor.segment)))
            .map(Scanned::new)
            .collect();
        let commit = scan(array, &mut segments, pointer.commit).max(tail.commit);
        let (mut repairs, mut problems) = (Vec::new(), Vec::new());
        for scanned in &mut segments {
            if commit > pointer.commit {
                let segment = scanned.open.cursor.segment.clone();
                let found = verify_newest(array, scanned, commit);
                repairs.extend(found.into_iter().map(|fragments| (segment.clone(), fragments)));
            }
            problems.append(&mut scanned.problems);
        }
        Self { segments, commit, repairs, problems }
    }

    /// Whether the blocks a record of the last transaction names are there.
    fn bear_out(&self, array: &Array, record: &Record) -> bool {
        let Record::Blocks { notes } = record else { return true };
        let arrived = |note: &BlockNote| {
            self.segments.iter().any(|scanned| {
                let segment = &scanned.open.cursor.segment;
                segment.id == note.segment
                    && (scanned.blocks.iter().any(|block| is_noted(&block.header, note))
                        || is_lost_only_to_dead_disks(array, segment, note, self.commit))
            })
        };
        notes.iter().all(arrived)
    }

    /// Puts the cursors of segments that are open behind their last blocks.
    fn settle(self, state: &mut State) -> (Sightings, Repairs) {
        let mut sightings = BTreeMap::new();
        for scanned in self.segments {
            let id = scanned.open.cursor.segment.id;
            // The last transaction may have sealed it.
            if let Some(open) = state.open.get_mut(&id) {
                let blocks;
                (*open, blocks) = scanned.into_open();
                sightings.insert(id, blocks);
            }
        }
        (sightings, self.repairs)
    }
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
    let probe = Probe { segment, row: note.row, column: None };
    let found = array.probe_rows(&[probe]).pop().unwrap_or_default();
    let header = found.iter().map(|(header, _)| header.block);
    let header = header.into_iter().find(|block| is_noted(block, note) && block.commit == commit);
    let Some(header) = header else { return false };
    let blocks = array.read_row(segment, header.row, header.sectors, |own| *own == header);
    blocks.first().is_some_and(|block| {
        (0..header.fragments()).all(|position| {
            let disk = segment.columns[header.column(position)].disk;
            // One that is being rebuilt was not there, or another.
            let lacks = array.disks.entry(disk).state() != DiskState::Ok;
            block.got[usize::from(position)].is_some() || lacks
        })
    })
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

/// The parts of a body, as pieces.
pub(crate) fn body_addrs(pointer: &Pointer) -> Vec<LogAddr> {
    pointer.parts.iter().map(|(addr, _)| *addr).collect()
}
