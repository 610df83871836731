//! Streams for the tests.

use bytes::Bytes;
use pegasus_base::{StreamName, Time};
use pegasus_circuit::{Limits, Switch};
use pegasus_media::{Codec, Shape, Track, TrackId, TrackSet, Unit};

pub(crate) fn name() -> StreamName {
    "/cam/door".parse().unwrap()
}

pub(crate) fn switch() -> Switch {
    Switch::new(Limits::default())
}

/// One video track.
pub(crate) fn pictures() -> TrackSet {
    let shape = Shape::Video { width: 64, height: 48 };
    let id = TrackId(0);
    [Track { id, codec: Codec::H264, clock_rate: 90_000, shape, config: Bytes::new() }].into()
}

/// Picture number `n`; every `KEY_EVERY`th is a key unit.
pub(crate) fn picture(n: u64) -> Unit {
    let pts = n as i64 * 3_600;
    Unit {
        track: TrackId(0),
        pts,
        dts: pts,
        time: Time::from_ms(n as i64 * 40),
        duration: 0,
        key: n.is_multiple_of(KEY_EVERY),
        data: Bytes::from_static(&[7; 100]),
    }
}

/// Pictures from one key unit to the next.
pub(crate) const KEY_EVERY: u64 = 25;

/// Number of the picture that has this `pts`.
pub(crate) fn number(unit: &Unit) -> u64 {
    unit.pts as u64 / 3_600
}
