//! From units to the payloads of blocks. Pure.
//!
//! A block holds units of one span and one set of tracks, in the order they came.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use pegasus_base::{StreamName, Time};
use pegasus_media::{TrackSet, Unit};

use crate::format::block::{self, HEAD_LEN, Head, Mark, Origin, Totals};
use crate::format::outline::Outline;
use crate::format::table::{Row, Writer};
use crate::queue::{Entry, cost_bytes};
use crate::timeline::{Timeline, Verdict};

/// A block holds at most so many bytes of units, or a single larger one.
const BLOCK_BYTES: usize = 4 << 20;
/// What a unit takes at most in the table.
const UNIT_BYTES: usize = 64;

/// A block that waits to be committed.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) head: Head,
    /// What the segment's index repeats of it.
    pub(crate) outline: Option<Outline>,
    /// The payload: head with tracks and table, then the data of each unit.
    pub(crate) parts: Vec<Bytes>,
    pub(crate) payload_len: usize,
    /// What it counts against the bound of the recorder's queue.
    pub(crate) cost_bytes: u64,
}

/// What happened beside the blocks, for the counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Noted {
    pub(crate) late_units: u64,
    pub(crate) awaiting_units: u64,
    /// Units too large for any segment of the store.
    pub(crate) oversize_units: u64,
    /// A span began whose times had to be shifted.
    pub(crate) shifted: bool,
}

/// Turns what one recorder pushes into blocks.
#[derive(Debug)]
pub(crate) struct Assembler {
    origin: Origin,
    timeline: Timeline,
    tracks: TrackSet,
    open: Option<Open>,
    ready: VecDeque<Pending>,
    noted: Noted,
    /// Cost of units that were left out and are to be released.
    dropped_cost: u64,
    unit_bytes_max: usize,
    shared_bytes_max: usize,
    overhead_bytes: usize,
}

/// How long the payload of a block may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PayloadMax {
    /// With a single unit, which can't be divided.
    pub(crate) lone: usize,
    /// With several.
    pub(crate) shared: usize,
}

impl PayloadMax {
    /// For what will not be written.
    pub(crate) const ANY: Self = Self { lone: usize::MAX, shared: usize::MAX };
}

#[derive(Debug)]
struct Open {
    tracks: TrackSet,
    before: Totals,
    units: Vec<(Arc<Unit>, Time)>,
    weight: usize,
    cost_bytes: u64,
}

impl Assembler {
    /// Goes on behind what `timeline` knows.
    pub(crate) fn new(origin: Origin, timeline: Timeline) -> Self {
        Self {
            origin,
            timeline,
            tracks: TrackSet::from([]),
            open: None,
            ready: VecDeque::new(),
            noted: Noted::default(),
            dropped_cost: 0,
            unit_bytes_max: usize::MAX,
            shared_bytes_max: usize::MAX,
            overhead_bytes: 0,
        }
    }

    /// Takes in what a recorder pushed by about `now`. A unit that does not fit a payload is left out.
    pub(crate) fn take(&mut self, entry: Entry, now: Time, payload_max: PayloadMax) {
        match entry {
            Entry::Tracks(tracks) => {
                self.close();
                self.overhead_bytes = overhead_bytes(&tracks);
                self.timeline.set_tracks(tracks.clone());
                self.tracks = tracks;
            }
            Entry::Gap => self.gap(),
            Entry::Unit(unit) => {
                self.unit_bytes_max = payload_max.lone.saturating_sub(self.overhead_bytes);
                self.shared_bytes_max = payload_max.shared.saturating_sub(self.overhead_bytes);
                self.unit(unit, now);
            }
        }
    }

    fn gap(&mut self) {
        self.close();
        self.timeline.gap();
    }

    fn unit(&mut self, unit: Arc<Unit>, now: Time) {
        let cost = cost_bytes(&unit);
        if unit.data.len() > self.unit_bytes_max {
            self.noted.oversize_units += 1;
            self.dropped_cost += cost;
            self.gap();
            return;
        }
        // The span before is known only until the next is begun.
        let (head, before) = (self.timeline.span().copied(), self.timeline.totals());
        match self.timeline.accept(&unit, now) {
            Verdict::Record { time, fresh, .. } => {
                if fresh {
                    self.close_in(head);
                    self.noted.shifted |= self.timeline.shifted();
                }
                self.append(unit, time, before, cost);
            }
            verdict => {
                match verdict {
                    Verdict::Late => self.noted.late_units += 1,
                    _ => self.noted.awaiting_units += 1,
                }
                self.dropped_cost += cost;
                if self.timeline.span().is_none() {
                    self.close_in(head);
                }
            }
        }
    }

    fn append(&mut self, unit: Arc<Unit>, time: Time, before: Totals, cost: u64) {
        let weight = unit.data.len() + UNIT_BYTES;
        let most = BLOCK_BYTES.min(self.shared_bytes_max);
        if self.open.as_ref().is_some_and(|open| open.weight + weight > most) {
            self.close();
        }
        let open = self.open.get_or_insert_with(|| Open {
            tracks: self.tracks.clone(),
            before,
            units: Vec::new(),
            weight: 0,
            cost_bytes: 0,
        });
        open.weight += weight;
        open.cost_bytes += cost;
        open.units.push((unit, time));
    }

    /// Closes the block that is being filled.
    pub(crate) fn close(&mut self) {
        self.close_in(self.timeline.span().copied());
    }

    fn close_in(&mut self, span: Option<crate::timeline::OpenSpan>) {
        let Some(open) = self.open.take() else { return };
        let span = span.expect("units are recorded only in a span");
        self.ready.push_back(open.seal(&self.origin, &span));
    }

    /// Blocks that wait, the oldest first.
    pub(crate) fn ready(&self) -> &VecDeque<Pending> {
        &self.ready
    }

    /// The first `count` blocks have been committed, or given up.
    pub(crate) fn done(&mut self, count: usize) {
        self.ready.drain(..count);
    }

    /// Cost of the units left out since it was last asked.
    pub(crate) fn take_dropped_cost(&mut self) -> u64 {
        std::mem::take(&mut self.dropped_cost)
    }

    /// What happened since it was last asked.
    pub(crate) fn take_noted(&mut self) -> Noted {
        std::mem::take(&mut self.noted)
    }
}

impl Open {
    fn seal(self, origin: &Origin, span: &crate::timeline::OpenSpan) -> Pending {
        let anchor = block::anchor(&self.tracks);
        let mut table = Writer::new(&self.tracks);
        let mut parts = vec![Bytes::new()];
        let (mut offset, mut mark) = (0, None);
        for (row, (unit, time)) in self.units.iter().enumerate() {
            table.push(&Row::of(unit, *time, offset));
            offset += unit.data.len();
            parts.push(unit.data.clone());
            if mark.is_none() && unit.track == anchor && unit.key {
                mark = Some(Mark { time: *time, row: row as u32 });
            }
        }
        let first = self.units.iter().map(|&(_, time)| time).min();
        let head = Head {
            span: span.head,
            before: self.before,
            holds: Totals { units: self.units.len() as u64, bytes: offset as u64 },
            first: first.expect("a block has units"),
            end: span.end,
            mark,
        };
        let table = table.finish();
        parts[0] = block::emit(origin, &head, &self.tracks, &table).into();
        let payload_len = parts[0].len() + offset;
        let outline = Outline::new(&self.tracks, &table);
        Pending { head, outline, parts, payload_len, cost_bytes: self.cost_bytes }
    }
}

/// Payload bytes that a block with units of `unit_bytes` in all may take beyond these.
fn overhead_bytes(tracks: &TrackSet) -> usize {
    let configs: usize = tracks.iter().map(|track| track.config.len()).sum();
    HEAD_LEN + StreamName::LEN_MAX + 1 + tracks.len() * 18 + configs + UNIT_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::block::{Block, parse_head};
    use crate::sample;
    use pegasus_base::StreamId;
    use proptest::prelude::*;

    const STREAM: StreamId = StreamId(7);

    fn origin() -> Origin {
        Origin { id: STREAM, name: "/cam/door".parse().unwrap() }
    }

    fn payload(pending: &Pending) -> Bytes {
        let payload: Bytes = pending.parts.concat().into();
        assert_eq!(payload.len(), pending.payload_len);
        payload
    }

    fn assemble(entries: Vec<Entry>) -> (Vec<Block>, Noted) {
        let timeline = Timeline::new(None, 0, Totals::default());
        let mut assembler = Assembler::new(origin(), timeline);
        entries.into_iter().for_each(|entry| {
            assembler.take(entry, sample::now(), PayloadMax { lone: 1 << 20, shared: 1 << 20 })
        });
        assembler.close();
        let blocks = assembler.ready().iter().map(|pending| {
            let block = Block::parse(&payload(pending), STREAM).unwrap();
            assert_eq!(parse_head(&payload(pending), STREAM), Ok(Some(pending.head)));
            assert_eq!(block::parse_outline(&payload(pending), STREAM), pending.outline);
            let origin = block::parse_origin(&payload(pending));
            assert_eq!(origin, Ok((STREAM, Some("/cam/door".parse().unwrap()))));
            assert!(block.agrees(), "{:?}", block.contents.head);
            block
        });
        (blocks.collect(), assembler.take_noted())
    }

    fn units(blocks: &[Block]) -> Vec<Unit> {
        blocks.iter().flat_map(|b| b.contents.rows.iter().map(|row| b.unit(row))).collect()
    }

    #[test]
    fn what_is_pushed_comes_back() {
        let pushed = sample::camera(5, 40, 1);
        let mut entries = vec![Entry::Tracks(sample::tracks())];
        entries.extend(pushed.iter().cloned().map(Entry::Unit));
        let (blocks, noted) = assemble(entries);
        assert_eq!(units(&blocks), pushed.iter().map(|u| (**u).clone()).collect::<Vec<_>>());
        assert_eq!(noted, Noted::default());
        assert_eq!(blocks.len(), 1);
    }

    #[test]
    fn new_tracks_begin_a_block_but_no_span() {
        let pushed = sample::camera(2, 10, 1);
        let mut entries = vec![Entry::Tracks(sample::tracks())];
        for unit in pushed {
            entries.push(Entry::Unit(unit));
            entries.push(Entry::Tracks(sample::tracks()));
        }
        let count = (entries.len() - 1) / 2;
        let (blocks, _) = assemble(entries);
        assert_eq!(blocks.len(), count);
        assert!(blocks.iter().all(|block| block.contents.head.span.serial == 1));
    }

    #[test]
    fn a_unit_too_large_leaves_a_gap() {
        let mut pushed = sample::camera(3, 10, 1);
        let mut big = (*pushed[2]).clone();
        big.data = vec![0; 2 << 20].into();
        pushed[2] = Arc::new(big);
        let mut entries = vec![Entry::Tracks(sample::tracks())];
        entries.extend(pushed.into_iter().map(Entry::Unit));
        let (blocks, noted) = assemble(entries);
        assert_eq!(noted.oversize_units, 1);
        assert_eq!(blocks.iter().map(|b| b.contents.head.span.serial).max(), Some(2));
    }

    proptest! {
        #[test]
        fn whatever_is_pushed_spans_never_overlap(
            steps in proptest::collection::vec(sample::any_step(), 1..120),
        ) {
            let mut entries = vec![Entry::Tracks(sample::tracks())];
            entries.extend(sample::entries(&steps));
            let pushed = entries.iter().filter(|e| matches!(e, Entry::Unit(_))).count() as u64;
            let (blocks, noted) = assemble(entries);
            let kept = units(&blocks).len() as u64;
            prop_assert_eq!(kept + noted.late_units + noted.awaiting_units, pushed);
            let mut before = Totals::default();
            for block in &blocks {
                prop_assert_eq!(block.contents.head.before, before);
                before = block.contents.head.after();
            }
            for pair in blocks.windows(2) {
                let (a, b) = (&pair[0].contents.head, &pair[1].contents.head);
                if a.span.serial == b.span.serial {
                    prop_assert!(a.end <= b.end && a.span.before == b.span.before);
                } else {
                    prop_assert_eq!(a.span.serial + 1, b.span.serial);
                    prop_assert_eq!(b.span.before, b.before);
                    prop_assert!(a.end <= b.first, "{:?} then {:?}", a, b);
                }
            }
        }
    }
}
