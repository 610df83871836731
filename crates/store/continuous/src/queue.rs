//! Where units wait between a recorder and the committer: bounded in bytes, cheap to push to.
//!
//! Over the bound, units are dropped until the next key unit of the first video track that fits
//! again, so that what is recorded can be decoded; a gap stands in their place.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use pegasus_media::{Kind, TrackId, TrackSet, Unit};

/// What a recorder hands to the committer, in order.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    /// The tracks of the units that follow.
    Tracks(TrackSet),
    /// A unit of one of those tracks.
    Unit(Arc<Unit>),
    /// The next unit begins a new span.
    Gap,
}

/// What became of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pushed {
    /// It waits for the next commit.
    Queued,
    /// Dropped: the disks don't keep up. Units are dropped until a key unit fits again.
    Behind,
    /// Dropped: the store has failed or is closed.
    Refused,
    /// Dropped: it names a track the stream does not have.
    UnknownTrack,
}

impl Pushed {
    /// Whether the unit will be recorded.
    #[must_use]
    pub fn is_queued(self) -> bool {
        self == Self::Queued
    }
}

/// Floor of the bound.
pub(crate) const QUEUE_BYTES_LEAST: u64 = 8 << 20;
/// The bound in time: so much of the stream may wait, if it is more than [`QUEUE_BYTES_LEAST`].
pub(crate) const QUEUE_SPAN: Duration = Duration::from_secs(4);
/// What an entry costs beside its data; keeps a flood of empty units bounded too.
const ENTRY_BYTES: u64 = 96;

/// The queue of one stream: one recorder at a time pushes to it.
#[derive(Debug)]
pub(crate) struct Queue {
    entries: VecDeque<Entry>,
    tracks: TrackSet,
    /// First video track, if any: the one whose key units begin groups.
    anchor: Option<TrackId>,
    /// Bytes in `entries` and bytes taken but not yet committed.
    held_bytes: u64,
    bound_bytes: u64,
    bound_fixed: bool,
    attached: bool,
    dropping: bool,
    dropped_units: u64,
    /// Those of them that are in no counter yet.
    uncounted_units: u64,
    trouble: Option<String>,
    closed: bool,
}

impl Queue {
    pub(crate) fn new(bound_bytes: Option<u64>) -> Self {
        Self {
            entries: VecDeque::new(),
            anchor: None,
            tracks: TrackSet::from([]),
            attached: false,
            held_bytes: 0,
            bound_bytes: bound_bytes.unwrap_or(QUEUE_BYTES_LEAST),
            bound_fixed: bound_bytes.is_some(),
            dropping: false,
            dropped_units: 0,
            uncounted_units: 0,
            trouble: None,
            closed: false,
        }
    }

    /// A recorder with these tracks begins to push; false if there is one already.
    pub(crate) fn attach(&mut self, tracks: TrackSet) -> bool {
        if self.attached {
            return false;
        }
        self.attached = true;
        self.dropping = false;
        self.dropped_units = 0;
        self.set_tracks(tracks);
        true
    }

    /// The recorder is gone; the next one's units begin a new span.
    pub(crate) fn detach(&mut self) {
        self.attached = false;
        self.gap();
    }

    /// Whether a recorder pushes.
    pub(crate) fn is_attached(&self) -> bool {
        self.attached
    }

    /// Whether something waits to be taken.
    pub(crate) fn has_entries(&self) -> bool {
        !self.entries.is_empty()
    }

    /// Whether nobody pushes, and all that was pushed is durable or given up.
    pub(crate) fn is_idle(&self) -> bool {
        !self.attached && self.entries.is_empty() && self.held_bytes == 0
    }

    /// The tracks of what is pushed.
    pub(crate) fn tracks(&self) -> &TrackSet {
        &self.tracks
    }

    pub(crate) fn set_tracks(&mut self, tracks: TrackSet) {
        self.anchor = tracks.iter().find(|track| track.kind() == Kind::Video).map(|t| t.id);
        self.tracks = tracks.clone();
        self.entries.push_back(Entry::Tracks(tracks));
    }

    pub(crate) fn gap(&mut self) {
        if !matches!(self.entries.back(), Some(Entry::Gap)) {
            self.entries.push_back(Entry::Gap);
        }
    }

    pub(crate) fn push(&mut self, unit: Arc<Unit>) -> Pushed {
        if usize::from(unit.track.0) >= self.tracks.len() {
            return Pushed::UnknownTrack;
        }
        if self.closed {
            self.note_dropped();
            return Pushed::Refused;
        }
        let cost = cost_bytes(&unit);
        if !self.admits(&unit, cost) {
            self.note_dropped();
            return Pushed::Behind;
        }
        self.held_bytes += cost;
        self.entries.push_back(Entry::Unit(unit));
        Pushed::Queued
    }

    fn note_dropped(&mut self) {
        self.dropped_units += 1;
        self.uncounted_units += 1;
    }

    /// Units dropped since it was last asked.
    pub(crate) fn take_uncounted(&mut self) -> u64 {
        std::mem::take(&mut self.uncounted_units)
    }

    fn admits(&mut self, unit: &Unit, cost: u64) -> bool {
        // A unit larger than the bound must pass when nothing else waits, or it never would.
        let fits = self.held_bytes == 0 || self.held_bytes + cost <= self.bound_bytes;
        if self.dropping {
            let begins_group = self.anchor.is_none_or(|track| unit.track == track && unit.key);
            // Half the bound must be free again: else every group would begin and break off.
            let recovered = self.held_bytes <= self.bound_bytes / 2;
            if !(fits && begins_group && recovered) {
                return false;
            }
            self.dropping = false;
            return true;
        }
        if !fits {
            self.dropping = true;
            self.gap();
        }
        fits
    }

    /// Takes all that waits. The bytes count against the bound until [`Queue::release`].
    pub(crate) fn take(&mut self) -> VecDeque<Entry> {
        std::mem::take(&mut self.entries)
    }

    /// The committer is done with so many bytes of what it took.
    pub(crate) fn release(&mut self, bytes: u64) {
        assert!(bytes <= self.held_bytes, "more released than was taken");
        self.held_bytes -= bytes;
    }

    /// Adapts the bound to the stream's rate, unless the settings fix it.
    pub(crate) fn set_rate(&mut self, bytes_per_s: u64) {
        if !self.bound_fixed {
            self.bound_bytes =
                bytes_per_s.saturating_mul(QUEUE_SPAN.as_secs()).max(QUEUE_BYTES_LEAST);
        }
    }

    /// From now on every unit is refused.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    pub(crate) fn set_trouble(&mut self, trouble: Option<String>) {
        self.trouble = trouble;
    }

    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    pub(crate) fn held_bytes(&self) -> u64 {
        self.held_bytes
    }

    pub(crate) fn dropped_units(&self) -> u64 {
        self.dropped_units
    }
}

/// What a unit costs of the bound.
pub(crate) fn cost_bytes(unit: &Unit) -> u64 {
    unit.data.len() as u64 + ENTRY_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use pegasus_base::Time;
    use pegasus_media::{Codec, Shape, Track};
    use proptest::prelude::*;

    fn tracks() -> TrackSet {
        let track = |id, codec, shape| Track {
            id: TrackId(id),
            codec,
            clock_rate: 90_000,
            shape,
            config: Bytes::new(),
        };
        [
            track(0, Codec::Opus, Shape::Audio { channels: 2, sample_rate: 48_000 }),
            track(1, Codec::H264, Shape::Video { width: 0, height: 0 }),
        ]
        .into()
    }

    fn queue(bound_bytes: Option<u64>) -> Queue {
        let mut queue = Queue::new(bound_bytes);
        assert!(queue.attach(tracks()) && !queue.attach(tracks()));
        queue
    }

    fn unit(track: u8, key: bool, len: usize) -> Arc<Unit> {
        Arc::new(Unit {
            track: TrackId(track),
            pts: 0,
            dts: 0,
            time: Time::from_secs(1),
            duration: 0,
            key,
            data: vec![0; len].into(),
        })
    }

    #[test]
    fn over_the_bound_the_group_is_dropped_and_a_gap_stands_for_it() {
        let mut queue = queue(Some(2_000));
        assert_eq!(queue.push(unit(1, true, 1_000)), Pushed::Queued);
        assert_eq!(queue.push(unit(1, false, 1_000)), Pushed::Behind);
        // Small ones would fit, but their group is broken.
        assert_eq!(queue.push(unit(1, false, 1)), Pushed::Behind);
        assert_eq!(queue.push(unit(0, true, 1)), Pushed::Behind);
        let taken = queue.take();
        assert!(matches!(taken[1], Entry::Unit(_)) && matches!(taken[2], Entry::Gap));
        // Taken is not yet committed.
        assert_eq!(queue.push(unit(1, true, 1_000)), Pushed::Behind);
        queue.release(1_096);
        assert_eq!(queue.push(unit(1, false, 1)), Pushed::Behind);
        assert_eq!(queue.push(unit(1, true, 1_000)), Pushed::Queued);
        assert_eq!(queue.dropped_units(), 5);
    }

    #[test]
    fn a_unit_beyond_the_bound_passes_alone() {
        let mut queue = queue(Some(100));
        assert_eq!(queue.push(unit(1, true, 5_000)), Pushed::Queued);
        assert_eq!(queue.push(unit(1, false, 1)), Pushed::Behind);
    }

    #[test]
    fn a_unit_of_no_track_is_refused() {
        assert_eq!(queue(None).push(unit(2, true, 1)), Pushed::UnknownTrack);
    }

    proptest! {
        #[test]
        fn never_beyond_the_bound_and_groups_stay_whole(
            steps in proptest::collection::vec((0u8..4, any::<bool>(), 0usize..900), 1..200),
        ) {
            let mut queue = queue(Some(3_000));
            let (mut taken, mut whole) = (0, true);
            for (what, key, len) in steps {
                if what == 3 {
                    let bytes: u64 = queue.take().iter().map(|entry| match entry {
                        Entry::Unit(unit) => cost_bytes(unit),
                        _ => 0,
                    }).sum();
                    queue.release(taken);
                    taken = bytes;
                    continue;
                }
                match queue.push(unit(1, key, len)) {
                    Pushed::Queued => {
                        prop_assert!(whole || key, "a group broken by a drop must not go on");
                        whole = true;
                    }
                    _ => whole = false,
                }
                prop_assert!(queue.held_bytes() <= 3_000);
            }
        }
    }
}
