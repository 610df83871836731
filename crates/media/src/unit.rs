//! The smallest timed piece of a track.

use bytes::Bytes;
use pegasus_base::Time;

use crate::TrackId;

/// A coded picture or an audio packet, in decode order within its track.
///
/// Three notions of time, each for its own use:
/// - `pts`, `dts`: the source's own cadence, in ticks of the track's clock, unwrapped, exact; their
///   zero is arbitrary and changes when the source reconnects. `dts <= pts`; `dts` never decreases.
/// - `time`: when it was captured (for pictures: presented), UTC. Common to all tracks and streams.
///   Slewed, so it may differ from the tick cadence by up to 500 ppm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Which track.
    pub track: TrackId,
    /// Presentation time in ticks.
    pub pts: i64,
    /// Decode time in ticks.
    pub dts: i64,
    /// Capture time.
    pub time: Time,
    /// How long it lasts in ticks; 0 if the source does not say (pictures last until the next).
    pub duration: u32,
    /// Whether decoding can start here. Always true for audio, G.711, PCM and JPEG.
    pub key: bool,
    /// The coded bytes; see [`Codec`](crate::Codec) for their form. Shared, never copied per sink.
    pub data: Bytes,
}

/// All of a unit but its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitMeta {
    /// Which track.
    pub track: TrackId,
    /// Presentation time in ticks of the track.
    pub pts: i64,
    /// Decode time in ticks of the track.
    pub dts: i64,
    /// Capture time.
    pub time: Time,
    /// How long it lasts in ticks; 0 if unknown.
    pub duration: u32,
    /// Whether decoding can start here.
    pub key: bool,
    /// Size of its coded bytes.
    pub len_bytes: u32,
}

impl From<&Unit> for UnitMeta {
    /// # Panics
    /// If the unit is 4 GiB or larger, which no receiver lets happen.
    fn from(unit: &Unit) -> Self {
        Self {
            track: unit.track,
            pts: unit.pts,
            dts: unit.dts,
            time: unit.time,
            duration: unit.duration,
            key: unit.key,
            len_bytes: u32::try_from(unit.data.len()).expect("a unit is under 4 GiB"),
        }
    }
}
