//! What stands in a segment behind what is known: blocks that a crash may have torn.
//!
//! A block counts if enough of its fragments have valid headers that agree, follow the block before
//! (number, row, chain) and come from a commit after the checkpoint. Commits are flushed one after the
//! other, so that of all commits seen only the newest can be torn: its blocks alone are read whole and
//! verified before they count.

use bytes::Bytes;
use pegasus_disk::{AlignedBuf, SECTOR};

use crate::ahead::Ahead;
use crate::array::{Array, Fragments, Probe};
use crate::format::checkpoint::{Cursor, OpenSegment};
use crate::format::fragment::{BlockHeader, FragmentHeader, HEADER_BYTES, SegmentKind};
use crate::recovery::same_epoch;
use crate::stripe;

/// Headers of one block and the first sectors they were found in.
#[derive(Debug)]
pub(crate) struct Sighting {
    pub(crate) header: BlockHeader,
    /// By position; parity last.
    pub(crate) sectors: Vec<Option<AlignedBuf>>,
}

/// A segment being scanned.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) open: OpenSegment,
    /// Its blocks, in order.
    pub(crate) blocks: Vec<Sighting>,
    /// Up to where blocks are known to be durable.
    known: Cursor,
    at: Cursor,
    /// Whether to look into all columns for the next block, although it is known to be durable.
    careful: bool,
    /// And for all of them before this row.
    careful_upto: u32,
    /// Where the last blocks begin for which a single fragment spoke, and how many there are before: what
    /// follows has to bear them out.
    trusted: Option<(Cursor, usize)>,
    ended: bool,
    pub(crate) problems: Vec<String>,
}

/// Groups headers that were found in one row by block; those for which `follows` holds, newest first.
/// Also the newest commit among them.
pub(crate) fn sight(
    found: Vec<(FragmentHeader, AlignedBuf)>,
    follows: impl Fn(&BlockHeader) -> bool,
) -> (Vec<Sighting>, u64) {
    let mut blocks: Vec<Sighting> = Vec::new();
    let mut newest = 0;
    for (header, sector) in found {
        if !follows(&header.block) {
            continue;
        }
        newest = newest.max(header.block.commit);
        let at =
            blocks.iter().position(|block| block.header == header.block).unwrap_or_else(|| {
                let sectors = (0..header.block.fragments()).map(|_| None).collect();
                blocks.push(Sighting { header: header.block, sectors });
                blocks.len() - 1
            });
        blocks[at].sectors[usize::from(header.position)] = Some(sector);
    }
    blocks.retain(|block| block.sectors.iter().flatten().count() >= usize::from(block.header.data));
    blocks.sort_by_key(|block| std::cmp::Reverse(block.header.commit));
    (blocks, newest)
}

impl Sighting {
    /// Whether so many fragments were sighted that the block can be read.
    pub(crate) fn is_enough(&self) -> bool {
        self.sectors.iter().flatten().count() >= usize::from(self.header.data)
    }

    /// The beginning of the payload: what of it is in the first sector of the first fragment.
    pub(crate) fn head(&self) -> Bytes {
        let mut head = match &self.sectors[0] {
            Some(sector) => sector[HEADER_BYTES..].to_vec(),
            None => {
                let others = stripe::present(&self.sectors);
                stripe::restore(&self.header, &others, &[0]).remove(0)
            }
        };
        assert!(head.len() <= SECTOR, "one sector of each fragment was read");
        head.truncate(self.header.payload_bytes as usize);
        head.into()
    }
}

impl Scanned {
    pub(crate) fn new(open: OpenSegment) -> Self {
        let known = open.cursor.clone();
        let at = Cursor { row: 0, seq: 0, chain: 0, segment: known.segment.clone() };
        Self {
            open,
            blocks: Vec::new(),
            known,
            at,
            careful: false,
            careful_upto: 0,
            trusted: None,
            ended: false,
            problems: Vec::new(),
        }
    }

    /// Whether the next block is known to be durable.
    fn is_known(&self) -> bool {
        self.at.row < self.known.row
    }

    /// Whether a single fragment may speak for the next block.
    fn one_is_enough(&self) -> bool {
        self.is_known() && !self.careful && self.at.row >= self.careful_upto
    }

    fn follows(&self, header: &BlockHeader, after_commit: u64) -> bool {
        let damaged_before = self.is_known() && !self.problems.is_empty();
        header.kind == SegmentKind::Continuous
            && header.owner == self.open.owner
            && (self.is_known()
                || header.commit > after_commit && same_epoch(header.commit, after_commit))
            && (header.seq == self.at.seq && header.previous == self.at.chain
                || damaged_before && header.seq >= self.at.seq)
    }

    /// Where to look for the next block. Of one that is known to be durable, the fragment with the
    /// beginning of its payload will do.
    fn probe(&self) -> Probe<'_> {
        let segment = &self.at.segment;
        let first = self.at.seq as usize % segment.columns.len();
        let column = self.one_is_enough().then_some(first);
        Probe { segment, row: self.at.row, column }
    }

    /// Takes the block that was found in the next row; the newest commit seen there.
    fn step(&mut self, found: Vec<(FragmentHeader, AlignedBuf)>, after_commit: u64) -> u64 {
        let one_is_enough = self.one_is_enough();
        let void = found.iter().map(|(header, _)| &header.block);
        let void =
            void.filter(|block| block.kind == SegmentKind::Void).map(|block| block.commit).max();
        let stands = |header: &BlockHeader| void.is_none_or(|void| header.commit > void);
        let follows = |header: &BlockHeader| stands(header) && self.follows(header, after_commit);
        let (mut blocks, newest) = sight(found, follows);
        blocks.retain(|block| one_is_enough || block.is_enough());
        match blocks.into_iter().next() {
            Some(block) => self.take(block, one_is_enough),
            None if one_is_enough => self.careful = true,
            None if self.is_known() => self.miss(),
            None => self.ended = true,
        }
        newest
    }

    fn take(&mut self, block: Sighting, on_trust: bool) {
        let was_known = self.is_known();
        let before = self.at.clone();
        self.at.row += block.header.sectors;
        self.at.seq = block.header.seq + 1;
        self.at.chain = block.header.chain();
        let number = self.blocks.len();
        self.blocks.push(block);
        self.careful = false;
        self.trusted = on_trust.then(|| self.trusted.take().unwrap_or((before, number)));
        if was_known && !self.is_known() && self.at != self.known {
            self.miss();
        }
    }

    /// What should be here is not. Either the blocks before are not the right ones - disks that went back in
    /// time have some that were replaced - or this one is damaged: looks for the next one behind it.
    fn miss(&mut self) {
        self.careful = true;
        if let Some((first, number)) = self.trusted.take() {
            self.careful_upto = self.at.row;
            self.blocks.truncate(number);
            self.at = first;
            return;
        }
        if self.problems.is_empty() {
            let (row, segment) = (self.at.row, self.at.segment.id);
            self.problems.push(format!("{segment} is damaged from row {row} on"));
        }
        self.at.row += 1;
        if !self.is_known() {
            self.at = self.known.clone();
        }
    }
}

/// Scans segments to their ends, many at the same time. Returns the newest commit seen.
pub(crate) fn scan(array: &Array, segments: &mut [Scanned], after_commit: u64) -> u64 {
    let (_, at_once) = Ahead::in_segments(array);
    let groups = segments.chunks_mut(at_once);
    groups.map(|group| scan_group(array, group, after_commit)).max().unwrap_or(0)
}

fn scan_group(array: &Array, segments: &mut [Scanned], after_commit: u64) -> u64 {
    let (mut ahead, _) = Ahead::in_segments(array);
    let mut newest = 0;
    loop {
        let going: Vec<usize> = (0..segments.len()).filter(|at| !segments[*at].ended).collect();
        if going.is_empty() {
            return newest;
        }
        let places: Vec<_> = going.iter().map(|at| segments[*at].probe()).collect();
        let found = ahead.probe_rows(&places);
        for (at, found) in going.into_iter().zip(found) {
            newest = newest.max(segments[at].step(found, after_commit));
        }
    }
}

/// Reads the blocks of `commit` whole; drops those that are torn, with all behind them. Returns the
/// blocks that are whole only thanks to parity.
pub(crate) fn verify_newest(array: &Array, scanned: &mut Scanned, commit: u64) -> Vec<Fragments> {
    let mut repairs = Vec::new();
    let segment = scanned.open.cursor.segment.clone();
    let torn = scanned.blocks.iter().position(|block| {
        let header = block.header;
        if header.commit != commit {
            return false;
        }
        let found = array.read_row(&segment, header.row, header.sectors, |own| *own == header);
        match found.into_iter().next() {
            Some(fragments) if fragments.suffice() => {
                if fragments.got.iter().any(Option::is_none) {
                    repairs.push(fragments);
                }
                false
            }
            _ => true,
        }
    });
    if let Some(torn) = torn {
        scanned.blocks.truncate(torn);
    }
    repairs
}

impl Scanned {
    /// The segment with its cursor behind the last block, and its blocks.
    pub(crate) fn into_open(self) -> (OpenSegment, Vec<Sighting>) {
        let mut open = self.open;
        // What was durable at the checkpoint is never written over, however it looks now.
        open.cursor = self.known;
        if let Some(Sighting { header, .. }) = self.blocks.last()
            && header.row >= open.cursor.row
        {
            open.cursor.row = header.row + header.sectors;
            open.cursor.seq = header.seq + 1;
            open.cursor.chain = header.chain();
        }
        (open, self.blocks)
    }
}
