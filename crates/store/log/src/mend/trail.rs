//! The way along a segment's blocks.

use pegasus_disk::SECTOR;

use super::{Listed, Mended, Mending};
use crate::SegmentId;
use crate::array::Probe;
use crate::format::fragment::{BlockHeader, SegmentKind};
use crate::scan::{Sighting, sight};

/// How far a segment reaches.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    /// Blocks begin before this row.
    pub(super) row: u32,
    /// Whether there are blocks up to there.
    pub(super) filled: bool,
}

/// A way along the blocks of a segment.
pub(super) struct Trail<'a> {
    pub(super) listed: &'a Listed,
    pub(super) bounds: Bounds,
    pub(super) row: u32,
    pub(super) seq: u32,
    /// Chain value of the block before; `None` where it is not known.
    pub(super) chain: Option<u32>,
    /// Whether a block is being looked for behind a damaged one.
    pub(super) astray: bool,
}

impl Trail<'_> {
    /// Whether there should be a block here.
    pub(super) fn is_due(&self) -> bool {
        self.row < self.bounds.row
            && (self.bounds.filled || self.listed.last.is_some_and(|last| self.seq <= last))
    }

    fn follows(&self, header: &BlockHeader) -> bool {
        header.kind != SegmentKind::Void
            && (header.seq == self.seq || self.astray && header.seq > self.seq)
            && self.chain.is_none_or(|chain| header.previous == chain)
    }

    pub(super) fn pass(&mut self, header: &BlockHeader) {
        self.row = header.row + header.sectors;
        self.seq = header.seq + 1;
        self.chain = Some(header.chain());
        self.astray = false;
    }
}

impl Mending<'_> {
    /// What is behind the end of a segment that grows may be on its way to the disks.
    pub(super) fn bounds(&self, segment: SegmentId) -> Bounds {
        let writer = self.log.writer.lock();
        let shared = self.log.shared.read();
        let growing = match shared.open.get(&segment) {
            Some(open) => Some(open.cursor.row),
            None if writer.cursor.segment.id == segment => Some(writer.cursor.row),
            None if writer.next.id == segment => Some(0),
            None => None,
        };
        match growing {
            Some(row) => Bounds { row, filled: true },
            None => Bounds { row: self.log.array.geometry.rows(), filled: false },
        }
    }

    /// The header of the block the trail has come to.
    pub(super) fn next_block(&self, trail: &Trail<'_>, mended: &mut Mended) -> Option<BlockHeader> {
        let segment = &trail.listed.segment;
        let probe = Probe { segment, row: trail.row, column: None };
        mended.read_bytes += (segment.columns.len() * SECTOR) as u64;
        let found = self.log.array.probe_rows(&[probe]).pop()?;
        let void = found.iter().map(|(header, _)| &header.block);
        let void = void.filter(|block| block.kind == SegmentKind::Void).map(|b| b.commit).max();
        let follows = |header: &BlockHeader| {
            void.is_none_or(|void| header.commit > void) && trail.follows(header)
        };
        let (sightings, _) = sight(found, follows);
        sightings.into_iter().find(Sighting::is_enough).map(|sighting| sighting.header)
    }

    /// Where a block should be, too little is left of it: looks for the next one.
    pub(super) fn miss(&self, trail: &mut Trail<'_>, mended: &mut Mended) {
        if !trail.astray {
            let (row, id) = (trail.row, trail.listed.segment.id);
            mended.lost += 1;
            mended.problem(format!("{id}: too little is left of what begins in row {row}"));
        }
        trail.astray = true;
        trail.chain = None;
        trail.row += 1;
    }
}
