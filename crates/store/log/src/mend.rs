//! Mending: going over what is alive, and writing anew from the others each fragment that is missing,
//! damaged or not the right one, where it belongs. Maps stay as they are.
//!
//! Segments are followed by their fragments' headers, so that nothing need be known of them but their
//! columns. A fragment is read without any lock. While it was, its segment may have been freed and its
//! slot have become another's: what is written is written under the writer's lock, after a look whether
//! the slots were given back since before the segment was listed.

use std::collections::BTreeSet;

use parking_lot::MutexGuard;

use crate::{DiskIndex, Log, LogError, SegmentId, SegmentRef};

mod block;
mod trail;

use trail::Trail;

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
}
