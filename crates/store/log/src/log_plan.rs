//! Where the next blocks of the normal log go, and what is in them. Pure but for the allocator it is
//! handed; nothing is written and nothing changes until the plan is carried out.

use std::collections::{BTreeSet, VecDeque};

use pegasus_base::ArrayId;

use crate::alloc::{Allocator, Purpose};
use crate::format::checkpoint::Cursor;
use crate::format::fragment::{BlockHeader, SegmentKind, slice_bytes};
use crate::format::pnode::LogAddr;
use crate::format::record::{HEAD_BYTES, LogHead, PIECE_HEAD_BYTES, Record};
use crate::garbage::Hole;
use crate::stripe::{self, Built};
use crate::{DiskIndex, LogError, Owner, SegmentId, SegmentRef};

/// Data columns of a log segment; its parity are copies. Transactions are small, so that a sector on each of
/// two disks, or three with two parities, is the least they can cost; wider segments would leave most of each
/// row empty.
pub(crate) const LOG_DATA: u8 = 1;

/// What a plan needs to know, and the allocator it takes slots from.
pub(crate) struct Means<'a> {
    pub(crate) array: ArrayId,
    pub(crate) rows: u32,
    pub(crate) parity: u8,
    pub(crate) living: BTreeSet<DiskIndex>,
    pub(crate) alloc: &'a mut Allocator,
    pub(crate) purpose: Purpose,
    /// Number of the next segment.
    pub(crate) next_segment: u64,
    /// Number of the commit being planned.
    pub(crate) commit: u64,
}

/// A block to be written, and where.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) segment: SegmentRef,
    pub(crate) built: Built,
    /// Of a log block: where records begin in its payload, the announcement of the next segment apart.
    pub(crate) records_at: u32,
}

impl Planned {
    /// Of a log block: all its records.
    pub(crate) fn records(&self) -> Hole {
        let header = &self.built.header;
        Hole {
            segment: header.segment,
            row: header.row,
            offset: self.records_at,
            len_bytes: header.payload_bytes - self.records_at,
        }
    }
}

/// Blocks of the log, and where it goes on behind them.
#[derive(Debug)]
pub(crate) struct LogPlan {
    pub(crate) cursor: Cursor,
    /// Segments that follow the cursor's: allocated, the first of them announced.
    pub(crate) chain: VecDeque<SegmentRef>,
    /// Segments allocated for this plan: to be given back if it is not carried out.
    pub(crate) allocated: Vec<SegmentRef>,
    pub(crate) blocks: Vec<Planned>,
}

/// Where a record of a plan is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Its block, among [`LogPlan::blocks`].
    block: usize,
    /// Where in the payload.
    offset: usize,
}

impl Means<'_> {
    /// Allocates a log segment. With fewer copies if fewer disks live.
    fn segment(&mut self) -> Result<SegmentRef, LogError> {
        let wanted = usize::from(LOG_DATA + self.parity);
        for width in (usize::from(LOG_DATA)..=wanted).rev() {
            if let Some(columns) = self.alloc.take(width, &self.living, self.purpose) {
                let id = SegmentId(self.next_segment);
                self.next_segment += 1;
                return Ok(SegmentRef { id, columns });
            }
        }
        Err(LogError::Full { wanted, after_checkpoint: self.alloc.waits() })
    }
}

impl LogPlan {
    /// A plan that goes on where the log is.
    pub(crate) fn at(cursor: Cursor, next: SegmentRef) -> Self {
        Self { cursor, chain: [next].into(), allocated: Vec::new(), blocks: Vec::new() }
    }

    /// A plan that begins in a fresh segment: a new array, or a disk under the old place failed.
    pub(crate) fn fresh(means: &mut Means<'_>) -> Result<Self, LogError> {
        let segment = means.segment()?;
        let next = match means.segment() {
            Ok(next) => next,
            Err(error) => {
                means.alloc.release(&segment.columns);
                return Err(error);
            }
        };
        let allocated = vec![segment.clone(), next.clone()];
        let cursor = Cursor { segment, row: 0, seq: 0, chain: 0 };
        Ok(Self { cursor, chain: [next].into(), allocated, blocks: Vec::new() })
    }

    /// Gives back what was allocated.
    pub(crate) fn undo(&self, alloc: &mut Allocator) {
        for segment in &self.allocated {
            alloc.release(&segment.columns);
        }
    }

    fn extend_chain(&mut self, means: &mut Means<'_>) -> Result<(), LogError> {
        let segment = means.segment()?;
        self.allocated.push(segment.clone());
        self.chain.push_back(segment);
        Ok(())
    }

    /// Goes on in the next segment.
    fn advance(&mut self, means: &mut Means<'_>) -> Result<(), LogError> {
        let segment = self.chain.pop_front().expect("the next segment is always known");
        let chain = self.cursor.chain;
        self.cursor = Cursor { segment, row: 0, seq: 0, chain };
        if self.chain.is_empty() {
            self.extend_chain(means)?;
        }
        Ok(())
    }

    /// The record that stands first in a segment's first block.
    fn announcement(&self) -> Vec<u8> {
        if self.cursor.seq > 0 {
            return Vec::new();
        }
        let segment = self.chain.front().expect("the next segment is always known").clone();
        Record::NextSegment { segment }.emit()
    }

    /// Bytes of records that fit into a block here.
    fn room(&self, rows: u32) -> usize {
        let room = usize::from(LOG_DATA) * slice_bytes(rows - self.cursor.row);
        room.saturating_sub(HEAD_BYTES + self.announcement().len())
    }

    /// Adds blocks with these records: a transaction, or a checkpoint's pieces. Says where each is.
    ///
    /// # Panics
    /// If a record does not fit into an empty segment: their lengths are bounded by construction.
    pub(crate) fn append(
        &mut self,
        means: &mut Means<'_>,
        pieces: bool,
        records: &[Vec<u8>],
    ) -> Result<Vec<Place>, LogError> {
        let mut places = Vec::with_capacity(records.len());
        let mut part = 0;
        while places.len() < records.len() {
            let rest = &records[places.len()..];
            let room = self.room(means.rows);
            let mut used = 0;
            let fits = |record: &&Vec<u8>| {
                used += record.len();
                used <= room
            };
            let count = rest.iter().take_while(fits).count();
            if count == 0 {
                assert!(self.cursor.row > 0, "a record of {} bytes fits nowhere", rest[0].len());
                self.advance(means)?;
                continue;
            }
            let last = !pieces && count == rest.len();
            let announcement = self.announcement();
            let mut offset = HEAD_BYTES + announcement.len();
            for record in &rest[..count] {
                places.push(Place { block: self.blocks.len(), offset });
                offset += record.len();
            }
            let head = LogHead { pieces, last, part }.emit();
            let mut parts: Vec<&[u8]> = vec![&head, &announcement];
            parts.extend(rest[..count].iter().map(|record| &record[..]));
            let records_at = head.len() + announcement.len();
            self.push_block(means, &parts, records_at as u32);
            part += 1;
        }
        Ok(places)
    }

    fn push_block(&mut self, means: &Means<'_>, parts: &[&[u8]], records_at: u32) {
        let columns = self.cursor.segment.columns.len() as u8;
        let header = BlockHeader {
            array: means.array,
            segment: self.cursor.segment.id,
            kind: SegmentKind::Log,
            owner: Owner::default(),
            seq: self.cursor.seq,
            row: self.cursor.row,
            columns,
            data: LOG_DATA,
            parity: columns - LOG_DATA,
            sectors: 0,
            payload_bytes: 0,
            payload_crc: 0,
            previous: self.cursor.chain,
            commit: means.commit,
        };
        let built = stripe::build(header, parts);
        self.cursor.row += built.header.sectors;
        self.cursor.seq += 1;
        self.cursor.chain = built.header.chain();
        self.blocks.push(Planned { segment: self.cursor.segment.clone(), built, records_at });
    }

    /// The address of a piece whose record is at `place`.
    pub(crate) fn addr(&self, place: Place, piece: &[u8]) -> LogAddr {
        let header = &self.blocks[place.block].built.header;
        LogAddr {
            segment: header.segment,
            row: header.row,
            seq: header.seq,
            data: header.data,
            sectors: u16::try_from(header.sectors).expect("a slot has at most 16384 sectors"),
            offset: u32::try_from(place.offset + PIECE_HEAD_BYTES).expect("inside a block"),
            len_bytes: u32::try_from(piece.len()).expect("inside a block"),
            crc: crc32c::crc32c(piece),
        }
    }

    /// Cuts `len` bytes into the pieces that [`LogPlan::append`] would put into one block each from
    /// here on; how many segments that goes on into.
    pub(crate) fn cut(&self, rows: u32, parity: u8, len: usize) -> (Vec<usize>, usize) {
        let mut cuts = Vec::new();
        let (mut left, mut moves) = (len, 0);
        let mut room = self.room(rows);
        while left > 0 {
            let piece = room.saturating_sub(PIECE_HEAD_BYTES).min(left);
            if piece > 0 {
                cuts.push(piece);
                left -= piece;
            }
            if left > 0 {
                // Announcements differ in length; the longest there may be keeps this exact enough:
                // a piece cut shorter than the room is put where it was meant to be all the same.
                moves += 1;
                room = usize::from(LOG_DATA) * slice_bytes(rows);
                room -= HEAD_BYTES + announcement_bytes_max(parity);
            }
        }
        (cuts, moves)
    }

    /// Allocates segments until `count` follow the cursor's.
    pub(crate) fn ensure_chain(
        &mut self,
        means: &mut Means<'_>,
        count: usize,
    ) -> Result<(), LogError> {
        while self.chain.len() < count {
            self.extend_chain(means)?;
        }
        Ok(())
    }
}

fn announcement_bytes_max(parity: u8) -> usize {
    let columns = usize::from(LOG_DATA) + usize::from(parity.max(1));
    8 + 12 + 8 * columns
}
