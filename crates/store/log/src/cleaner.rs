//! Which log segments are worth cleaning, and what in them is a hole. Pure.
//!
//! A run begins with a mark: the end of the garbage file. The entries before it are read once and
//! sorted by segment, for as many of the best segments as memory allows; the passes that follow work
//! those off. What dies after the mark is in no entry, but its address is no longer the one its owner
//! knows, so it is not moved either.
//!
//! Moving a piece is making its owner write it anew: the next checkpoint does, and the old place becomes
//! a hole as with any other change. The accounts alone decide when a segment is free, so that the
//! cleaner can do nothing wrong but too little.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::format::checkpoint::LogSegment;
use crate::garbage::{ENTRY_BYTES, Hole};
use crate::{SegmentId, SegmentRef};

/// Most bytes of entries kept for a run.
const RUN_BYTES_MAX: u64 = 64 << 20;
/// Least and most segments of a run.
const RUN_SEGMENTS: (u64, u64) = (8, 4096);
/// A run reads so many times as much from segments as from the garbage file, so that the file hardly
/// counts; but not more, since what was best when the run began is not for long.
const RUN_FACTOR: u64 = 8;
/// A segment fuller than this is not worth the room it would give.
const FULL: f64 = 0.9;
/// How many attempts at a segment fail before it is left alone.
const ATTEMPTS_MAX: u8 = 2;

/// What the cleaner has done since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CleanerStatus {
    /// Times the garbage file was read.
    pub runs: u64,
    /// Its entries that were read.
    pub entries_read: u64,
    /// Segments looked through.
    pub segments: u64,
    /// Bytes read from them.
    pub read_bytes: u64,
    /// Pieces that were alive and are written anew.
    pub moved_pieces: u64,
    /// Their bytes.
    pub moved_bytes: u64,
    /// Log segments that became free, cleaned or dead by themselves.
    pub freed_segments: u64,
}

/// A log segment as the selection sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) id: SegmentId,
    pub(crate) capacity_bytes: u64,
    pub(crate) live_bytes: u64,
    pub(crate) entries: u64,
}

/// A segment to be cleaned.
#[derive(Clone, Debug)]
pub(crate) struct Victim {
    pub(crate) segment: SegmentRef,
    /// Its holes: row of the block, where in its payload; sorted.
    holes: Vec<(u32, u32)>,
    /// First of the columns to do without, as many as there is parity.
    pub(crate) column: usize,
}

impl Victim {
    /// Whether the record that begins at `offset` of the payload of the block at `row` is a hole.
    pub(crate) fn is_hole(&self, row: u32, offset: u32) -> bool {
        self.holes.binary_search(&(row, offset)).is_ok()
    }
}

/// The cleaner between passes.
#[derive(Debug, Default)]
pub(crate) struct Cleaner {
    victims: VecDeque<Victim>,
    /// Segments that were looked through, how often.
    attempts: BTreeMap<SegmentId, u8>,
}

/// Sorts segments by what cleaning them is worth, best first: room gained times age, over the cost of
/// reading all of it and writing what is alive (Rosenblum and Ousterhout, 1992, 3.5). Age is counted in
/// segments opened since.
pub(crate) fn rank(mut candidates: Vec<Candidate>, next: u64) -> Vec<Candidate> {
    let worth = |candidate: &Candidate| {
        let used = share(candidate);
        let age = next.saturating_sub(candidate.id.0).max(1) as f64;
        (1.0 - used) * age / (1.0 + used)
    };
    candidates.retain(|candidate| share(candidate) <= FULL);
    candidates.sort_by(|a, b| worth(b).total_cmp(&worth(a)).then(a.id.cmp(&b.id)));
    candidates
}

fn share(candidate: &Candidate) -> f64 {
    candidate.live_bytes as f64 / candidate.capacity_bytes as f64
}

/// The segments of a run: the best, enough of them to be worth reading all entries of the garbage file, and
/// for a pass of `budget_bytes`, as long as their own entries fit into memory.
pub(crate) fn choose(ranked: &[Candidate], entries: u64, budget_bytes: u64) -> BTreeSet<SegmentId> {
    let file_bytes = entries * ENTRY_BYTES as u64;
    let each = ranked.first().map_or(1, |best| best.capacity_bytes.max(1));
    let count = (RUN_FACTOR * file_bytes / each).clamp(RUN_SEGMENTS.0, RUN_SEGMENTS.1);
    let mut live_bytes = 0;
    let within = |candidate: &&Candidate| {
        live_bytes += candidate.live_bytes;
        live_bytes <= budget_bytes
    };
    let of_a_pass = ranked.iter().take(RUN_SEGMENTS.1 as usize).take_while(within).count() as u64;
    let mut bytes = 0;
    let fits = |candidate: &&Candidate| {
        bytes += candidate.entries * ENTRY_BYTES as u64;
        bytes <= RUN_BYTES_MAX
    };
    ranked
        .iter()
        .take(count.max(of_a_pass) as usize)
        .take_while(fits)
        .map(|candidate| candidate.id)
        .collect()
}

impl Cleaner {
    /// Whether a new run has to begin.
    pub(crate) fn is_idle(&self) -> bool {
        self.victims.is_empty()
    }

    /// Forgets the segments that were to be cleaned.
    pub(crate) fn drop_run(&mut self) {
        self.victims.clear();
    }

    /// Segments that may be cleaned.
    pub(crate) fn candidates<'a>(
        &self,
        segments: impl Iterator<Item = &'a LogSegment>,
        kept: &[SegmentId],
        capacity_bytes: impl Fn(&LogSegment) -> u64,
    ) -> Vec<Candidate> {
        let tired = |id| self.attempts.get(id).is_some_and(|attempts| *attempts >= ATTEMPTS_MAX);
        segments
            .filter(|log| !kept.contains(&log.segment.id) && !tired(&log.segment.id))
            .map(|log| Candidate {
                id: log.segment.id,
                capacity_bytes: capacity_bytes(log),
                live_bytes: log.live_bytes,
                entries: log.holes,
            })
            .collect()
    }

    /// Begins a run over `segments`, best first, with the holes there are in them.
    pub(crate) fn begin(&mut self, segments: Vec<SegmentRef>, holes: &[Hole]) {
        let mut sorted: BTreeMap<SegmentId, Vec<(u32, u32)>> = BTreeMap::new();
        for hole in holes {
            sorted.entry(hole.segment).or_default().push((hole.row, hole.offset));
        }
        for segment in segments {
            let mut holes = sorted.remove(&segment.id).unwrap_or_default();
            holes.sort_unstable();
            // A piece that can't be read from one column may be read from another.
            let attempt = self.attempts.get(&segment.id).copied().unwrap_or(0);
            let column = usize::from(attempt) % segment.columns.len();
            self.victims.push_back(Victim { segment, holes, column });
        }
    }

    /// The next segments to look through: those of which together no more than `budget_bytes` are alive,
    /// one at least. Those that are gone by themselves are left out, and those for which there is no room:
    /// `room_bytes` for all together.
    pub(crate) fn take(
        &mut self,
        budget_bytes: u64,
        room_bytes: u64,
        live_bytes: impl Fn(SegmentId) -> Option<u64>,
    ) -> Vec<Victim> {
        let mut taken = Vec::new();
        let mut sum = 0;
        while let Some(victim) = self.victims.front() {
            let live = live_bytes(victim.segment.id);
            let with_it = sum + live.unwrap_or(0);
            if !taken.is_empty() && with_it > budget_bytes {
                break;
            }
            let victim = self.victims.pop_front().expect("it was there just now");
            if live.is_some() && with_it <= room_bytes {
                sum = with_it;
                *self.attempts.entry(victim.segment.id).or_default() += 1;
                taken.push(victim);
            }
        }
        taken
    }

    /// Forgets segments that are gone.
    pub(crate) fn forget(&mut self, exists: impl Fn(SegmentId) -> bool) {
        self.attempts.retain(|id, _| exists(*id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn candidate(id: u64, live_bytes: u64) -> Candidate {
        Candidate { id: SegmentId(id), capacity_bytes: 1000, live_bytes, entries: 10 }
    }

    #[test]
    fn the_old_and_empty_come_first() {
        let ids = |ranked: Vec<Candidate>| ranked.iter().map(|c| c.id.0).collect::<Vec<_>>();
        let segments =
            vec![candidate(1, 700), candidate(50, 100), candidate(51, 50), candidate(2, 990)];
        // The old one is fuller, but what is in it has stopped dying.
        assert_eq!(ids(rank(segments, 60)), [1, 50, 51]);
    }

    #[test]
    fn a_run_is_enough_for_a_pass() {
        let ranked: Vec<Candidate> = (0..100).map(|id| candidate(id, 100)).collect();
        assert_eq!(choose(&ranked, 0, 400).len(), 8);
        assert_eq!(choose(&ranked, 0, 2_000).len(), 20);
    }

    #[test]
    fn a_segment_is_tried_twice_at_most() {
        let mut cleaner = Cleaner::default();
        let segment = |id| SegmentRef { id: SegmentId(id), columns: Vec::new() };
        let logs: Vec<LogSegment> = (1..4).map(|id| LogSegment::new(segment(id))).collect();
        let columns = |id| SegmentRef {
            columns: vec![crate::Column { disk: crate::DiskIndex(0), slot: 0 }; 2],
            ..segment(id)
        };
        for attempt in 0..2 {
            let left = cleaner.candidates(logs.iter(), &[SegmentId(3)], |_| 1);
            assert_eq!(left.len(), 2);
            cleaner.begin(vec![columns(1), columns(2)], &[]);
            let taken = cleaner.take(0, 5, |_| Some(5));
            assert_eq!(taken.len(), 1, "one at least");
            assert_eq!(taken[0].column, attempt);
            assert_eq!(cleaner.take(100, 100, |_| Some(5)).len(), 1);
            assert!(cleaner.is_idle());
        }
        assert!(cleaner.candidates(logs.iter(), &[], |_| 1).iter().all(|c| c.id == SegmentId(3)));
        cleaner.forget(|_| false);
        assert_eq!(cleaner.candidates(logs.iter(), &[], |_| 1).len(), 3);
    }

    proptest! {
        #[test]
        fn a_pass_keeps_its_budget(live in prop::collection::vec(0_u64..100, 1..50), budget in 100_u64..1000, room in 0_u64..1000) {
            let mut cleaner = Cleaner::default();
            let segments = (0..live.len() as u64)
                .map(|id| SegmentRef { id: SegmentId(id), columns: vec![crate::Column { disk: crate::DiskIndex(0), slot: 0 }] });
            cleaner.begin(segments.collect(), &[]);
            let mut seen = 0;
            while !cleaner.is_idle() {
                let taken = cleaner.take(budget, room, |id| Some(live[id.0 as usize]));
                let sum: u64 = taken.iter().map(|v| live[v.segment.id.0 as usize]).sum();
                prop_assert!(sum <= budget && sum <= room);
                seen += taken.len();
            }
            // Only what there was no room for is left out.
            prop_assert!(seen == live.len() || live.iter().sum::<u64>() > room);
        }
    }
}
