//! What lies in slots, as their fragments tell: for slots that nobody claims, and for an owner who lost the
//! list of his segments.
//!
//! Every sector of the slots is looked at, since a column may begin with what an earlier segment left there.
//! A slot is the newest segment's that wrote to it. What remains of older ones there is dead.

use std::collections::{BTreeMap, BTreeSet};

use pegasus_disk::SECTOR;

use crate::format::block::Column;
use crate::format::fragment::{BlockHeader, FragmentHeader, SegmentKind};
use crate::{BlockMap, Log, Owner, SegmentId, SegmentRef};

/// Bytes read at once.
const STEP: usize = 1 << 20;

/// What was found in some slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Owners' segments, by number.
    pub segments: Vec<Surveyed>,
    /// Slots with nothing of an owner's segment in them.
    pub unknown: Vec<Column>,
}

/// An owner's segment, as far as its fragments tell of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surveyed {
    /// Its number.
    pub id: SegmentId,
    /// Whose it says it is.
    pub owner: Owner,
    /// Its columns; `None` where nothing was found.
    pub columns: Vec<Option<Column>>,
    /// Its blocks in order, each of which has enough fragments to be read.
    headers: Vec<BlockHeader>,
    /// Blocks of which too little was found.
    pub lost: u64,
}

impl Surveyed {
    /// How many blocks can be read.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.headers.len()
    }

    /// The segment, with slots out of `unknown` for columns nothing was found of: these were in use as
    /// well, and nothing was ever written there, or what was is gone. `None` if there are not enough.
    #[must_use]
    pub fn complete(&self, unknown: &mut Vec<Column>) -> Option<SegmentRef> {
        let mut disks: BTreeSet<_> = self.columns.iter().flatten().map(|c| c.disk).collect();
        let mut columns = Vec::with_capacity(self.columns.len());
        let mut left = unknown.clone();
        for column in &self.columns {
            let column = match column {
                Some(column) => *column,
                None => {
                    let at = left.iter().position(|column| !disks.contains(&column.disk))?;
                    left.remove(at)
                }
            };
            disks.insert(column.disk);
            columns.push(column);
        }
        *unknown = left;
        Some(SegmentRef { id: self.id, columns })
    }
}

/// A fragment's header, and where it was found.
struct Found {
    header: FragmentHeader,
    column: Column,
}

impl Log {
    /// Looks at what is in `slots`, every sector of them; `progress` is told of the bytes read. Of
    /// disks that can't be read nothing is found.
    pub fn survey(&self, slots: &[Column], progress: &mut dyn FnMut(u64)) -> Survey {
        let mut found: BTreeMap<SegmentId, Vec<Found>> = BTreeMap::new();
        let mut unknown = Vec::new();
        for column in slots {
            let mut headers = self.headers_in(*column, progress);
            let newest = headers.iter().map(|header| header.block.segment).max();
            headers.retain(|header| Some(header.block.segment) == newest);
            match headers.first().filter(|first| first.block.kind != SegmentKind::Log) {
                None => unknown.push(*column),
                Some(first) => {
                    let id = first.block.segment;
                    let headers = headers.into_iter();
                    let headers = headers.map(|header| Found { header, column: *column });
                    found.entry(id).or_default().extend(headers);
                }
            }
        }
        let mut segments = Vec::new();
        for (id, found) in found {
            match self.surveyed(id, &found) {
                Some(surveyed) => segments.push(surveyed),
                None => unknown.extend(found.iter().map(|f| f.column).collect::<BTreeSet<_>>()),
            }
        }
        Survey { segments, unknown }
    }

    /// The slots in use that are not the log's own, nor among `claimed`.
    #[must_use]
    pub fn unclaimed(&self, claimed: &BTreeSet<Column>) -> Vec<Column> {
        let alloc = self.writer.lock().alloc.clone();
        let own: BTreeSet<Column> = {
            let shared = self.shared.read();
            let segments = shared.log_segments.values();
            segments.flat_map(|log| log.segment.columns.clone()).collect()
        };
        let slots = |disk| 0..self.array.geometry.slots.get(disk).unwrap_or(0);
        let all = self.array.geometry.indices();
        all.flat_map(|disk| slots(disk).map(move |slot| Column { disk, slot }))
            .filter(|column| alloc.owns(&[*column]))
            .filter(|column| !own.contains(column) && !claimed.contains(column))
            .collect()
    }

    /// The maps of a surveyed segment's blocks, which has been [completed](Surveyed::complete) to `segment`.
    ///
    /// # Panics
    /// If it is another segment.
    #[must_use]
    pub fn maps(&self, surveyed: &Surveyed, segment: &SegmentRef) -> Vec<BlockMap> {
        assert_eq!(surveyed.columns.len(), segment.columns.len(), "a segment keeps its columns");
        let map = |header| self.array.map_of(header, &segment.columns);
        surveyed.headers.iter().map(map).collect()
    }

    /// All valid headers in a slot.
    fn headers_in(&self, column: Column, progress: &mut dyn FnMut(u64)) -> Vec<FragmentHeader> {
        let (rows, step) = (self.array.geometry.rows(), (STEP / SECTOR) as u32);
        let mut headers = Vec::new();
        for first in (0..rows).step_by(step as usize) {
            let count = step.min(rows - first);
            if !self.read_headers(column, first, count, &mut headers) {
                // Around a bad sector the others can be read.
                for row in first..first + count {
                    self.read_headers(column, row, 1, &mut headers);
                }
            }
            progress(u64::from(count) * SECTOR as u64);
        }
        headers
    }

    /// Reads some rows of a slot at once; false if they can't be read.
    fn read_headers(
        &self,
        column: Column,
        first: u32,
        count: u32,
        headers: &mut Vec<FragmentHeader>,
    ) -> bool {
        let extent = self.array.geometry.extent(column, first);
        let len = count as usize * SECTOR;
        let Some(Ok(bytes)) = self.array.read_extents(&[(extent, len)]).pop() else { return false };
        for (row, sector) in (first..).zip(bytes.chunks_exact(SECTOR)) {
            let header = FragmentHeader::parse(sector);
            headers.extend(
                header.filter(|header| {
                    header.block.array == self.array.id && header.block.row == row
                }),
            );
        }
        true
    }

    /// What a segment's fragments tell; `None` if they contradict each other.
    fn surveyed(&self, id: SegmentId, found: &[Found]) -> Option<Surveyed> {
        let first = &found.first()?.header.block;
        let mut columns = vec![None; usize::from(first.columns)];
        for Found { header, column } in found {
            if header.block.columns != first.columns || header.block.owner != first.owner {
                return None;
            }
            let place = &mut columns[header.block.column(header.position)];
            if place.is_some_and(|known| known != *column) {
                return None;
            }
            *place = Some(*column);
        }
        let (headers, lost) = follow(found);
        Some(Surveyed { id, owner: first.owner, columns, headers, lost })
    }
}

/// What all fragments of a block say alike, and the positions of those that were found.
type Candidate = (BlockHeader, BTreeSet<u8>);

/// Goes from block to block, as far as each follows the one before; also how many are missing between.
fn follow(found: &[Found]) -> (Vec<BlockHeader>, u64) {
    let mut voids: BTreeMap<u32, u64> = BTreeMap::new();
    for block in found.iter().map(|found| &found.header.block) {
        if block.kind == SegmentKind::Void {
            let newest = voids.entry(block.row).or_default();
            *newest = block.commit.max(*newest);
        }
    }
    let mut blocks: BTreeMap<(u32, u32), Vec<Candidate>> = BTreeMap::new();
    for Found { header, .. } in found {
        let block = header.block;
        let taken_back = voids.get(&block.row).is_some_and(|void| block.commit <= *void);
        if block.kind == SegmentKind::Void || taken_back {
            continue;
        }
        let same = blocks.entry((block.row, block.seq)).or_default();
        match same.iter_mut().find(|(header, _)| *header == block) {
            Some((_, positions)) => drop(positions.insert(header.position)),
            None => same.push((block, [header.position].into())),
        }
    }
    let (mut headers, mut lost) = (Vec::new(), 0);
    let (mut row, mut seq, mut chain) = (0, 0, 0);
    for candidates in blocks.into_values() {
        let follows = |(header, positions): &&Candidate| {
            let next = header.seq == seq && header.row == row && header.previous == chain;
            // Behind a block that is lost, nobody knows what it ended with.
            let later = header.seq > seq && header.row > row;
            positions.len() >= usize::from(header.data) && (next || later)
        };
        let newest = candidates.iter().filter(follows).max_by_key(|(header, _)| header.commit);
        let Some((header, _)) = newest else { continue };
        lost += u64::from(header.seq - seq);
        (row, seq, chain) = (header.row + header.sectors, header.seq + 1, header.chain());
        headers.push(*header);
    }
    (headers, lost)
}
