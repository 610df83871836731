//! What a switch tells of its streams.

use std::ops::AddAssign;

use pegasus_base::{StreamName, Time};
use pegasus_media::TrackSet;

use crate::Mark;

/// How a stream is.
#[derive(Clone, Debug)]
pub struct StreamStatus {
    /// Its name.
    pub name: StreamName,
    /// Whether somebody publishes it.
    pub live: bool,
    /// Who publishes it.
    pub publisher: Option<String>,
    /// Its tracks; empty while idle.
    pub tracks: TrackSet,
    /// Bits per second over the last two seconds; 0 while idle.
    pub bitrate_bps: u64,
    /// Units carried since the stream was first used, over all publishers.
    pub units: u64,
    /// Units lost by slow sinks, summed over all sinks, also those that have left.
    pub lost_units: u64,
    /// What was missing of what its sources sent, since the stream was first used.
    pub damage: Damage,
    /// Those who take it now.
    pub sinks: Vec<SinkStatus>,
    /// Capture time of the present publisher's first unit.
    pub since: Option<Time>,
    /// Where the newest group begins.
    pub mark: Option<Mark>,
}

/// What did not come, or not whole, from a source to the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Packets that never came.
    pub lost_packets: u64,
    /// Units left out because a part of them was missing or made no sense. Units of which nothing came
    /// are not known, and not counted.
    pub damaged_units: u64,
    /// Pictures passed on as they came though one before them is missing, up to the next key unit: a
    /// decoder may show them smeared.
    pub doubtful_units: u64,
}

impl Damage {
    /// Whether nothing was missing.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl AddAssign for Damage {
    fn add_assign(&mut self, more: Self) {
        self.lost_packets += more.lost_packets;
        self.damaged_units += more.damaged_units;
        self.doubtful_units += more.doubtful_units;
    }
}

/// How a sink of a stream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkStatus {
    /// Who it is, as it said by [`Sink::label`](crate::Sink::label); may be empty.
    pub label: String,
    /// Units it has taken.
    pub units: u64,
    /// Units it was too slow for.
    pub lost_units: u64,
    /// Units that wait for it.
    pub lag_units: u64,
    /// Up to when it said it is done, by [`Sink::mark`](crate::Sink::mark).
    pub mark: Option<Time>,
}
