//! What travels: events to sinks, commands to sources, marks both ways.

use std::sync::Arc;

use pegasus_base::{StreamName, Time};
use pegasus_media::{TrackSet, Unit};

/// What a sink is told, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A publisher arrived, or changed its tracks: the units that follow belong to these tracks.
    /// Always precedes the first unit. Without an [`Event::Idle`] between, a second `Live` is the
    /// same publisher's, whose ticks go on.
    Live(TrackSet),
    /// The next unit. The bytes are shared with all other sinks.
    Unit(Arc<Unit>),
    /// The sink was too slow: units were dropped. What follows begins with a group, unless it is
    /// [`Event::Idle`].
    Lost(Loss),
    /// The publisher left. Another may follow, with an [`Event::Live`].
    Idle,
    /// The switch was shut down and everything before it has been taken. Repeats.
    Closed,
}

/// What a slow sink missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Number of units, of all tracks.
    pub units: u64,
    /// Capture time of the first of them.
    pub from: Time,
    /// Capture time of the unit that follows; if the publisher left meanwhile, of the last one lost.
    pub to: Time,
}

/// Where a sink begins in a stream that is already live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Start {
    /// With the next group to come. The source is asked for a key unit.
    Now,
    /// With the newest group held, so that a picture can be shown at once.
    #[default]
    KeyUnit,
    /// With the oldest group held of the present publisher: as little as possible is missed.
    Held,
}

/// What sinks ask of a source, on the control stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Command {
    /// Make the next picture one at which decoding can start. A source that can't, ignores it.
    KeyUnit,
}

/// A synchronisation mark: the beginning of a group, as the control stream names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Capture time of the group's first unit.
    pub time: Time,
    /// How many units the stream had carried before it.
    pub position: u64,
}

/// What happened to the streams of a switch; see [`Switch::watch`](crate::Switch::watch).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwitchEvent {
    /// A publisher arrived.
    Live {
        /// Whose.
        name: StreamName,
    },
    /// The publisher left.
    Idle {
        /// Whose.
        name: StreamName,
    },
    /// The publisher changed its tracks.
    Tracks {
        /// Whose.
        name: StreamName,
    },
}
