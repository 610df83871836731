//! Units for tests: a camera with B-frames and sound, and steps that go wrong.

use std::sync::Arc;

use bytes::Bytes;
use pegasus_base::Time;
use pegasus_media::{Codec, Shape, Track, TrackId, TrackSet, Unit};
use proptest::prelude::*;

use crate::queue::Entry;

/// The present in tests: an hour after [`at`]`(0)`.
pub(crate) fn now() -> Time {
    at(3_600_000)
}

/// `ms` milliseconds after the beginning of tests.
pub(crate) fn at(ms: i64) -> Time {
    Time::from_ms(1_700_000_000_000 + ms)
}

/// H.264 as track 0, Opus as track 1.
pub(crate) fn tracks() -> TrackSet {
    let track = |id, codec, clock_rate, shape| Track {
        id: TrackId(id),
        codec,
        clock_rate,
        shape,
        config: Bytes::from_static(b"configuration"),
    };
    [
        track(0, Codec::H264, 90_000, Shape::Video { width: 640, height: 360 }),
        track(1, Codec::Opus, 48_000, Shape::Audio { channels: 2, sample_rate: 48_000 }),
    ]
    .into()
}

/// A picture without reordering.
pub(crate) fn picture(at_ms: i64, key: bool, len: usize) -> Unit {
    let ticks = at_ms * 90;
    unit(0, ticks, ticks, at(at_ms), key, len)
}

/// A packet of sound.
pub(crate) fn sound(at_ms: i64, len: usize) -> Unit {
    unit(1, at_ms * 48, at_ms * 48, at(at_ms), true, len)
}

fn unit(track: u8, pts: i64, dts: i64, time: Time, key: bool, len: usize) -> Unit {
    // Data that tells units apart: a wrong unit is never equal by chance.
    let seed = (pts ^ i64::from(track) << 32) as u64;
    let mut data = vec![0; len];
    fastrand::Rng::with_seed(seed).fill(&mut data);
    let duration = if track == 1 { 960 } else { 0 };
    Unit { track: TrackId(track), pts, dts, time, duration, key, data: data.into() }
}

/// `seconds` of a camera at 25 pictures a second, a group each second with pictures out of order, and
/// sound every 20 ms; `len` bytes for a picture, beginning at second `from_s`.
pub(crate) fn camera(seconds: i64, len: usize, from_s: i64) -> Vec<Arc<Unit>> {
    let mut units = Vec::new();
    for picture in 0..seconds * 25 {
        let dts_ms = from_s * 1_000 + picture * 40;
        let in_group = picture % 25;
        // P B B P B B ...: shown two steps later than decoded, or one earlier.
        let ahead = match in_group % 3 {
            _ if in_group == 0 => 1,
            1 if in_group < 23 => 3,
            1 => 1,
            _ => 0,
        };
        let pts_ms = dts_ms + ahead * 40;
        let long = if in_group == 0 { len * 4 } else { len };
        let key = in_group == 0;
        units.push(Arc::new(unit(0, pts_ms * 90, dts_ms * 90, at(pts_ms), key, long)));
        units.push(Arc::new(sound(dts_ms, 40)));
        units.push(Arc::new(sound(dts_ms + 20, 40)));
    }
    units
}

/// One thing that happens to a recorder.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    Picture { step_ms: i64, key: bool, len: u8 },
    Sound { step_ms: i64, len: u8 },
    Jump { ms: i64 },
    Gap,
}

/// Mostly steady, sometimes not.
pub(crate) fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (0i64..80, proptest::bool::weighted(0.2), any::<u8>())
            .prop_map(|(step_ms, key, len)| Step::Picture { step_ms, key, len }),
        10 => (0i64..80, any::<u8>()).prop_map(|(step_ms, len)| Step::Sound { step_ms, len }),
        1 => (-10_000i64..10_000).prop_map(|ms| Step::Jump { ms }),
        1 => Just(Step::Gap),
    ]
}

/// What a recorder would hand over for `steps`.
pub(crate) fn entries(steps: &[Step]) -> Vec<Entry> {
    let mut at_ms = 0;
    let entry = |step: &Step| match *step {
        Step::Picture { step_ms, key, len } => {
            at_ms += step_ms;
            Some(Entry::Unit(Arc::new(picture(at_ms, key, len.into()))))
        }
        Step::Sound { step_ms, len } => {
            at_ms += step_ms;
            Some(Entry::Unit(Arc::new(sound(at_ms, len.into()))))
        }
        Step::Jump { ms } => {
            at_ms += ms;
            None
        }
        Step::Gap => Some(Entry::Gap),
    };
    steps.iter().filter_map(entry).collect()
}
