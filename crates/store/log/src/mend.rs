//! Mending: going over what is alive, and writing anew from the others each fragment that is missing,
//! damaged or not the right one, where it belongs. Maps stay as they are.
//!
//! Segments are followed by their fragments' headers, so that nothing need be known of them but their
//! columns. A fragment is read without any lock. While it was, its segment may have been freed and its
//! slot have become another's: what is written is written under the writer's lock, after a look whether
//! the slots were given back since before the segment was listed.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::MutexGuard;
use pegasus_disk::{AlignedBuf, SECTOR};

use crate::array::{Fragments, Probe};
use crate::disks::Write;
use crate::format::fragment::{BlockHeader, SegmentKind};
use crate::kinds::fragment_holds;
use crate::scan::{Sighting, sight};
use crate::stripe;
use crate::{DiskIndex, Log, LogError, SegmentId, SegmentRef};

/// No more problems than this are kept in words.
const PROBLEMS_MAX: usize = 50;

/// A segment to be gone over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Where it is.
    pub segment: SegmentRef,
    /// The number of its last block, where its owner knows it: without, damage to all fragments of a block
    /// looks like the segment's end.
    pub last: Option<u32>,
    /// Whose it is, for messages.
    pub whose: String,
}

/// Which fragments are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of them, parity too.
    Everything,
    /// Those on these disks; the others only where they are needed.
    Disks(BTreeSet<DiskIndex>),
}

impl Scope {
    /// Whether fragments on `disk` are looked at.
    #[must_use]
    pub fn covers(&self, disk: DiskIndex) -> bool {
        match self {
            Self::Everything => true,
            Self::Disks(disks) => disks.contains(&disk),
        }
    }
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// Segments gone over to their ends.
    pub segments: u64,
    /// Slots of theirs that were looked at.
    pub slots: u64,
    /// Blocks in them.
    pub blocks: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Fragments, superblocks and pointers written anew.
    pub repaired: u64,
    /// Bytes of them.
    pub repaired_bytes: u64,
    /// Repairs that did not last: the disk refused them, or held something else afterwards.
    pub refused: u64,
    /// Blocks of which too little is left.
    pub lost: u64,
    /// Segments that have less parity than the array: they were written when too few disks lived.
    pub unprotected: u64,
    /// What was found, a sentence each: the first of them.
    pub problems: Vec<String>,
}

impl Mended {
    /// Adds what was done elsewhere.
    pub fn add(&mut self, other: Self) {
        self.segments += other.segments;
        self.slots += other.slots;
        self.blocks += other.blocks;
        self.read_bytes += other.read_bytes;
        self.repaired += other.repaired;
        self.repaired_bytes += other.repaired_bytes;
        self.refused += other.refused;
        self.lost += other.lost;
        self.unprotected += other.unprotected;
        other.problems.into_iter().for_each(|problem| self.problem(problem));
    }

    fn problem(&mut self, sentence: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(sentence);
        }
    }
}

/// Told of the bytes that were just moved; may take its time, and says whether to go on.
pub type Pace<'a> = &'a mut dyn FnMut(u64) -> bool;

/// The right to mend; one at a time.
#[derive(Debug)]
pub struct Mending<'a> {
    log: &'a Log,
    _alone: MutexGuard<'a, ()>,
}

impl Log {
    /// Begins to mend; waits for the end of another one. Of segments that are listed from here on it is
    /// known if they are freed.
    ///
    /// # Errors
    /// [`LogError::ReadOnly`], [`LogError::Poisoned`].
    pub fn mending(&self) -> Result<Mending<'_>, LogError> {
        self.check_writable()?;
        let alone = self.mending.lock();
        self.writer.lock().alloc.watch();
        Ok(Mending { log: self, _alone: alone })
    }
}

impl Drop for Mending<'_> {
    fn drop(&mut self) {
        self.log.writer.lock().alloc.unwatch();
    }
}

/// How far a segment reaches.
#[derive(Clone, Copy)]
struct Bounds {
    /// Blocks begin before this row.
    row: u32,
    /// Whether there are blocks up to there.
    filled: bool,
}

/// A way along the blocks of a segment.
struct Trail<'a> {
    listed: &'a Listed,
    bounds: Bounds,
    row: u32,
    seq: u32,
    /// Chain value of the block before; `None` where it is not known.
    chain: Option<u32>,
    /// Whether a block is being looked for behind a damaged one.
    astray: bool,
}

impl Trail<'_> {
    /// Whether there should be a block here.
    fn is_due(&self) -> bool {
        self.row < self.bounds.row
            && (self.bounds.filled || self.listed.last.is_some_and(|last| self.seq <= last))
    }

    fn follows(&self, header: &BlockHeader) -> bool {
        header.kind != SegmentKind::Void
            && (header.seq == self.seq || self.astray && header.seq > self.seq)
            && self.chain.is_none_or(|chain| header.previous == chain)
    }

    fn pass(&mut self, header: &BlockHeader) {
        self.row = header.row + header.sectors;
        self.seq = header.seq + 1;
        self.chain = Some(header.chain());
        self.astray = false;
    }
}

impl<'a> Mending<'a> {
    pub(crate) fn log(&self) -> &'a Log {
        self.log
    }

    /// The log's own segments, and the continuous ones that are open.
    #[must_use]
    pub fn own_segments(&self) -> Vec<Listed> {
        let shared = self.log.shared.read();
        let log = shared.log_segments.values();
        let log = log.map(|log| (log.segment.clone(), "the log".to_owned()));
        // Content segments are the log's already.
        let open = shared.open.iter().filter(|(id, _)| !shared.log_segments.contains_key(id));
        let open = open.map(|(_, open)| {
            (open.cursor.segment.clone(), format!("stream {}", open.owner.stream))
        });
        log.chain(open).map(|(segment, whose)| Listed { segment, last: None, whose }).collect()
    }

    /// Goes over a segment that was listed after this began. One that was freed meanwhile is left alone.
    ///
    /// Repairs are durable when this returns, on disks that are not given up.
    pub fn segment(&self, listed: &Listed, scope: &Scope, pace: Pace<'_>) -> Mended {
        let mut mended = Mended::default();
        let columns = &listed.segment.columns;
        let slots = columns.iter().filter(|column| scope.covers(column.disk)).count();
        let geometry = &self.log.array.geometry;
        if geometry.parity_of(columns.len()) < usize::from(geometry.parity) {
            mended.unprotected = 1;
        }
        if slots == 0 || !columns.iter().all(|column| geometry.holds(*column)) {
            return mended;
        }
        let bounds = self.bounds(listed.segment.id);
        let mut trail = Trail { listed, bounds, row: 0, seq: 0, chain: Some(0), astray: false };
        let kept = || self.log.writer.lock().alloc.kept(columns);
        if self.is_log(listed.segment.id) {
            trail.chain = None;
        }
        let mut touched = BTreeSet::new();
        while trail.row < trail.bounds.row {
            let before = mended.read_bytes + mended.repaired_bytes;
            match self.next_block(&trail, &mut mended) {
                Some(header) => {
                    trail.pass(&header);
                    self.block(listed, &header, scope, &mut mended, &mut touched);
                }
                None if !trail.is_due() || !kept() => break,
                None => self.miss(&mut trail, &mut mended),
            }
            if !pace(mended.read_bytes + mended.repaired_bytes - before) {
                break;
            }
        }
        self.log.array.disks.flush(&touched);
        mended.segments += 1;
        mended.slots += slots as u64;
        mended
    }

    fn is_log(&self, segment: SegmentId) -> bool {
        self.log.shared.read().log_segments.contains_key(&segment)
    }

    /// What is behind the end of a segment that grows may be on its way to the disks.
    fn bounds(&self, segment: SegmentId) -> Bounds {
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
    fn next_block(&self, trail: &Trail<'_>, mended: &mut Mended) -> Option<BlockHeader> {
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
    fn miss(&self, trail: &mut Trail<'_>, mended: &mut Mended) {
        if !trail.astray {
            let (row, id) = (trail.row, trail.listed.segment.id);
            mended.lost += 1;
            mended.problem(format!("{id}: too little is left of what begins in row {row}"));
        }
        trail.astray = true;
        trail.chain = None;
        trail.row += 1;
    }

    /// Looks at the fragments of a block and repairs what has to be.
    fn block(
        &self,
        listed: &Listed,
        header: &BlockHeader,
        scope: &Scope,
        mended: &mut Mended,
        touched: &mut BTreeSet<DiskIndex>,
    ) {
        mended.blocks += 1;
        let segment = &listed.segment;
        let disks = &self.log.array.disks;
        let disk_of = |position: u8| segment.columns[header.column(position)].disk;
        let wanted: Vec<u8> = (0..header.fragments())
            .filter(|position| scope.covers(disk_of(*position)) && disks.is_ok(disk_of(*position)))
            .collect();
        if *scope != Scope::Everything && self.are_good(segment, header, &wanted, mended) {
            return;
        }
        let Some(mut fragments) = self.read_all(segment, header, mended) else { return };
        self.distrust_parity(&mut fragments, segment, mended);
        let missing = fragments.complete();
        let payload = fragments.payload_or_rebuilt();
        if crc32c::crc32c(&payload) != header.payload_crc {
            mended.lost += 1;
            let (seq, id) = (header.seq, segment.id);
            return mended
                .problem(format!("block {seq} of {id} was written with a wrong checksum"));
        }
        for position in missing.into_iter().filter(|position| wanted.contains(position)) {
            let buf = fragments.got[usize::from(position)].take().expect("it was completed");
            let holds = (*scope == Scope::Everything).then(|| {
                format!("of {}: {}", listed.whose, fragment_holds(header, &payload, position))
            });
            self.repair(segment, header, position, Arc::new(buf), holds, mended);
            touched.insert(disk_of(position));
        }
    }

    /// Whether these fragments are what they should be, without looking at others.
    fn are_good(
        &self,
        segment: &SegmentRef,
        header: &BlockHeader,
        positions: &[u8],
        mended: &mut Mended,
    ) -> bool {
        let len = header.sectors as usize * SECTOR;
        mended.read_bytes += (positions.len() * len) as u64;
        positions.iter().all(|position| self.is_good(segment, header, *position))
    }

    fn is_good(&self, segment: &SegmentRef, header: &BlockHeader, position: u8) -> bool {
        let array = &self.log.array;
        let column = segment.columns[header.column(position)];
        let extent = array.geometry.extent(column, header.row);
        let len = header.sectors as usize * SECTOR;
        let buf = array.read_extents(&[(extent, len)]).pop();
        buf.is_some_and(|buf| {
            buf.is_ok_and(|buf| {
                let own = |own: &crate::format::fragment::FragmentHeader| {
                    own.block == *header && own.position == position
                };
                stripe::verify(&buf, own).is_ok()
            })
        })
    }

    /// All fragments of a block, if there are enough.
    fn read_all(
        &self,
        segment: &SegmentRef,
        header: &BlockHeader,
        mended: &mut Mended,
    ) -> Option<Fragments> {
        let array = &self.log.array;
        mended.read_bytes +=
            segment.columns.len() as u64 * u64::from(header.sectors) * SECTOR as u64;
        let found = array.read_row(segment, header.row, header.sectors, |own| own == header);
        let found = found.into_iter().find(Fragments::suffice);
        if found.is_none()
            && self.log.writer.lock().alloc.kept(&segment.columns)
            && !self.log.is_behind_records(segment, header.seq)
        {
            mended.lost += 1;
            let (seq, id) = (header.seq, segment.id);
            mended.problem(format!("block {seq} of {id} can't be read any more"));
        }
        found
    }

    /// With all data there: takes parity away that is not that of the data.
    fn distrust_parity(
        &self,
        fragments: &mut Fragments,
        segment: &SegmentRef,
        mended: &mut Mended,
    ) {
        for position in stripe::wrong_parity(&fragments.header, &fragments.got) {
            let (seq, id) = (fragments.header.seq, segment.id);
            mended.problem(format!("block {seq} of {id}: the parity is not that of the data"));
            fragments.got[usize::from(position)] = None;
        }
    }

    /// Writes a fragment where it belongs, if the place is still its segment's. If it is known what it
    /// `holds`, it was found bad, which is told, and is read again.
    fn repair(
        &self,
        segment: &SegmentRef,
        header: &BlockHeader,
        position: u8,
        buf: Arc<AlignedBuf>,
        holds: Option<String>,
        mended: &mut Mended,
    ) {
        let array = &self.log.array;
        let column = segment.columns[header.column(position)];
        let extent = array.geometry.extent(column, header.row);
        let place = array.place(extent);
        let bytes = buf.len() as u64;
        {
            let writer = self.log.writer.lock();
            if !writer.alloc.kept(&segment.columns) {
                return;
            }
            let write = Write { disk: extent.disk, offset: extent.offset, buf };
            let begun = array.disks.begin_write(write);
            if !array.disks.wait(begun) {
                mended.refused += 1;
                return mended.problem(format!("{place}: a repair was refused"));
            }
        }
        mended.repaired += 1;
        mended.repaired_bytes += bytes;
        let Some(holds) = holds else { return };
        array.disks.count_error(extent.disk);
        let (seq, id) = (header.seq, segment.id);
        mended.problem(format!(
            "{place}: fragment {position} of block {seq} of {id} was bad, {holds}"
        ));
        array.disks.flush(&[extent.disk].into());
        if !self.is_good(segment, header, position)
            && self.log.writer.lock().alloc.kept(&segment.columns)
        {
            mended.refused += 1;
            mended.problem(format!("{place}: it is bad again"));
        }
    }
}
