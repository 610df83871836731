//! Which units of the blocks a reader goes through it shows: from a key unit on, up to an instant. Pure.

use std::collections::BTreeSet;

use pegasus_base::Time;
use pegasus_media::{Kind, TrackId, TrackSet};

use crate::format::table::Row;

/// Where showing begins.
#[derive(Debug, Clone)]
pub(crate) enum Gate {
    /// Everything passes.
    Open,
    /// With this key unit, and what other tracks have from its time on.
    Key {
        /// The track the key unit is of.
        anchor: TrackId,
        /// Number of the key unit among the units of the stream.
        ordinal: u64,
        /// Its time.
        time: Time,
        /// Other picture tracks of which a key unit has passed.
        started: BTreeSet<TrackId>,
    },
    /// With the first key unit of each picture track, and what other tracks have from an instant on.
    FirstKey {
        /// That instant.
        from: Time,
        /// Picture tracks of which a key unit has passed.
        started: BTreeSet<TrackId>,
    },
}

impl Gate {
    /// Begins with the key unit numbered `ordinal`.
    pub(crate) fn at_key(anchor: TrackId, ordinal: u64, time: Time) -> Self {
        Self::Key { anchor, ordinal, time, started: BTreeSet::new() }
    }

    /// Begins with whatever can be decoded from `from` on.
    pub(crate) fn first_key(from: Time) -> Self {
        Self::FirstKey { from, started: BTreeSet::new() }
    }

    /// Whether the unit `row`, numbered `ordinal`, passes.
    pub(crate) fn admits(&mut self, row: &Row, ordinal: u64, tracks: &TrackSet) -> bool {
        let video = tracks[usize::from(row.track.0)].kind() == Kind::Video;
        match self {
            Self::Open => true,
            Self::Key { anchor, ordinal: key, time, .. } if row.track == *anchor => {
                // Pictures behind the key unit but shown before it belong to the group before.
                ordinal >= *key && row.time >= *time
            }
            Self::Key { time, started, .. } => row.time >= *time && passes(row, video, started),
            Self::FirstKey { from, started } => {
                let begun = video && started.contains(&row.track);
                (begun || row.time >= *from) && passes(row, video, started)
            }
        }
    }
}

/// Whether decoding of the track has begun, or begins with this unit.
fn passes(row: &Row, video: bool, started: &mut BTreeSet<TrackId>) -> bool {
    if row.key {
        started.insert(row.track);
    }
    !video || started.contains(&row.track)
}

/// Where showing ends: each track before its first unit decoded at or after an instant.
#[derive(Debug, Clone)]
pub(crate) struct Until {
    until: Time,
    over: BTreeSet<TrackId>,
}

impl Until {
    pub(crate) fn new(until: Time) -> Self {
        Self { until, over: BTreeSet::new() }
    }

    /// Whether the unit is before the end.
    pub(crate) fn admits(&mut self, row: &Row, tracks: &TrackSet) -> bool {
        let track = &tracks[usize::from(row.track.0)];
        let ahead_ns = track.ticks_to_ns(row.pts.saturating_sub(row.dts));
        if row.time.offset_ns(ahead_ns.saturating_neg()) >= self.until {
            self.over.insert(row.track);
        }
        !self.over.contains(&row.track)
    }

    /// Whether no unit of a block that begins at `first` can be before the end.
    pub(crate) fn is_over(&self, first: Time, tracks: usize) -> bool {
        self.over.len() >= tracks || first.ns_since(self.until) >= crate::timeline::REORDER_NS
    }
}
