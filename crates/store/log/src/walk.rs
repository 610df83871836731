//! The log behind a checkpoint, block by block.

use crate::SegmentRef;
use crate::ahead::Ahead;
use crate::array::{Array, Fragments, Probe};
use crate::format::checkpoint::{Cursor, Pointer};
use crate::format::fragment::{BlockHeader, SegmentKind};
use crate::format::record::{HEAD_BYTES, LogHead, Record, parse_payload};
use crate::garbage::Hole;
use crate::recovery::{fits, same_epoch};
use crate::scan::sight;

/// A block of the log behind the checkpoint.
pub(crate) struct LogBlock {
    pub(crate) segment: SegmentRef,
    pub(crate) fragments: Fragments,
    head: LogHead,
    pub(crate) records: Vec<Record>,
    /// All its records but the announcement.
    pub(crate) hole: Hole,
    /// Where the log went on behind it.
    after: (Cursor, SegmentRef),
}

/// All of the log behind a checkpoint, up to the last complete transaction.
pub(crate) struct Tail {
    /// Where the checkpoint ends.
    start: (Cursor, SegmentRef),
    pub(crate) blocks: Vec<LogBlock>,
    /// Where the last transaction begins. All before it is beyond doubt: another commit came after.
    pub(crate) last_at: usize,
    /// The newest commit of the checkpoint's epoch; the checkpoint's own if there is none.
    pub(crate) commit: u64,
}

impl Tail {
    /// Reads the log behind the checkpoint.
    pub(crate) fn read(array: &Array, pointer: &Pointer) -> Self {
        let start = (pointer.cursor.clone(), pointer.next.clone());
        let mut blocks = walk(array, pointer, start.clone());
        let own = |block: &LogBlock| {
            let commit = block.fragments.header.commit;
            same_epoch(commit, pointer.commit).then_some(commit)
        };
        let commit = blocks.iter().filter_map(own).max().unwrap_or(pointer.commit);
        let (complete, last_at) = transactions(&blocks);
        blocks.truncate(complete);
        Self { start, blocks, last_at, commit }
    }

    /// The last transaction's records, and those of what is behind it.
    pub(crate) fn last_records(&self) -> impl Iterator<Item = &Record> {
        self.blocks[self.last_at..].iter().flat_map(|block| &block.records)
    }

    /// The commit of the last transaction.
    pub(crate) fn last_commit(&self) -> Option<u64> {
        self.blocks.get(self.last_at).map(|block| block.fragments.header.commit)
    }

    /// The newest commit in it, of any epoch; 0 if there is none.
    pub(crate) fn reached(&self) -> u64 {
        self.blocks.iter().map(|block| block.fragments.header.commit).max().unwrap_or(0)
    }

    /// The last transaction never happened.
    pub(crate) fn drop_last(&mut self) {
        self.blocks.truncate(self.last_at);
    }

    /// Transactions in all.
    pub(crate) fn transactions(&self) -> u64 {
        self.blocks.iter().filter(|block| block.head.last).count() as u64
    }

    /// Where the log goes on.
    pub(crate) fn end(&self) -> (Cursor, SegmentRef) {
        self.blocks.last().map_or(&self.start, |block| &block.after).clone()
    }
}

/// How many blocks there are up to the end of the last complete transaction or piece, and where the last
/// complete transaction begins (behind all, if there is none). Of a transaction whose last part is
/// missing, no part counts.
fn transactions(blocks: &[LogBlock]) -> (usize, usize) {
    let (mut complete, mut last_at) = (0, None);
    let (mut begin, mut part) = (0, 0);
    for (at, LogBlock { head, .. }) in blocks.iter().enumerate() {
        if part == 0 {
            begin = at;
        }
        if head.pieces && part == 0 {
            complete = at + 1;
        } else if head.pieces || head.part != part {
            break; // nothing a writer does
        } else if head.last {
            (complete, last_at, part) = (at + 1, Some(begin), 0);
        } else {
            part += 1;
        }
    }
    (complete, last_at.unwrap_or(complete))
}

/// All blocks that follow each other.
fn walk(
    array: &Array,
    pointer: &Pointer,
    (mut cursor, mut next): (Cursor, SegmentRef),
) -> Vec<LogBlock> {
    let mut blocks = Vec::new();
    let mut ahead = Ahead::in_log(array);
    loop {
        let found = read_block(array, &mut ahead, &cursor, &next, pointer.commit).or_else(|| {
            let onward = Cursor { segment: next.clone(), row: 0, seq: 0, chain: cursor.chain };
            (cursor.row > 0)
                .then(|| read_block(array, &mut ahead, &onward, &next, pointer.commit))?
        });
        let Some(block) = found else { return blocks };
        (cursor, next) = block.after.clone();
        blocks.push(block);
    }
}

/// The block at `cursor`, if there is one that can be read and makes sense.
fn read_block(
    array: &Array,
    ahead: &mut Ahead<'_>,
    cursor: &Cursor,
    next: &SegmentRef,
    after_commit: u64,
) -> Option<LogBlock> {
    let fragments = read_fragments(ahead, cursor, after_commit)?;
    let header = fragments.header;
    let (head, records) = parse_payload(&fragments.payload_or_rebuilt())?;
    let mut next = next.clone();
    let mut offset = HEAD_BYTES as u32;
    if header.seq == 0 {
        let Record::NextSegment { segment } = records.first()? else { return None };
        next = segment.clone();
        offset += records[0].emit().len() as u32;
    }
    let announced = records.iter().filter(|r| matches!(r, Record::NextSegment { .. })).count();
    if !fits(array, &next) || announced != usize::from(header.seq == 0) {
        return None;
    }
    let hole = Hole {
        segment: header.segment,
        row: header.row,
        offset,
        len_bytes: header.payload_bytes - offset,
    };
    let after = Cursor {
        segment: cursor.segment.clone(),
        row: header.row + header.sectors,
        seq: header.seq + 1,
        chain: header.chain(),
    };
    let segment = cursor.segment.clone();
    Some(LogBlock { segment, fragments, head, records, hole, after: (after, next) })
}

/// The verified fragments of the block at `cursor`, if they suffice.
fn read_fragments(ahead: &mut Ahead<'_>, cursor: &Cursor, after_commit: u64) -> Option<Fragments> {
    let probe = Probe { segment: &cursor.segment, row: cursor.row, column: None };
    let found = ahead.probe_rows(&[probe]).pop()?;
    let follows = |header: &BlockHeader| {
        header.kind == SegmentKind::Log
            && header.commit > after_commit
            && header.seq == cursor.seq
            && header.previous == cursor.chain
    };
    let (sightings, _) = sight(found, follows);
    // Only the newest: an older one in its place was given up by a recovery, which went on here.
    let header = sightings.iter().find(|sighting| sighting.is_enough())?.header;
    let found = ahead.read_row(&cursor.segment, cursor.row, header.sectors, |own| *own == header);
    found.into_iter().next().filter(Fragments::suffice)
}
