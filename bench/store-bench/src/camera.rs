//! Streams without a camera: one H.264 track whose pictures have the sizes of a real one's.

use std::sync::Arc;

use bytes::Bytes;
use pegasus_base::{StreamName, Time};
use pegasus_continuous::{Pushed, Recorder};
use pegasus_media::{Codec, Shape, Track, TrackId, TrackSet, Unit};

use crate::Failure;

/// Pictures per second, and per group.
const RATE: i64 = 25;
/// How many times as large as the others a key picture is.
const KEY_SHARE: usize = 5;
/// Ticks of the track's clock per second.
const CLOCK: u32 = 90_000;

/// What pictures are cut from.
#[derive(Clone, Debug)]
pub(crate) struct Material(Bytes);

impl Material {
    /// Bytes that can't be compressed.
    pub(crate) fn noise(len_bytes: usize) -> Self {
        let mut bytes = vec![0; len_bytes];
        fastrand::Rng::with_seed(1).fill(&mut bytes);
        Self(bytes.into())
    }

    /// Zeros: a simulated disk keeps only what is said about them.
    pub(crate) fn zeros(len_bytes: usize) -> Self {
        Self(vec![0; len_bytes].into())
    }

    fn cut(&self, number: i64, len: usize) -> Bytes {
        let places = (self.0.len() - len) as u64 + 1;
        let at = (number.cast_unsigned().wrapping_mul(7919) % places) as usize;
        self.0.slice(at..at + len)
    }
}

/// A stream, and how far it has got.
#[derive(Debug)]
pub(crate) struct Camera {
    pub(crate) name: StreamName,
    recorder: Recorder,
    material: Material,
    start: Time,
    /// Bytes of pictures that are not key pictures.
    picture_bytes: usize,
    /// Place in its group of the first picture, so that cameras' key pictures come at different times.
    phase: i64,
    next: i64,
}

/// The name of stream `number`.
pub(crate) fn name(number: usize) -> StreamName {
    format!("/bench/{number}").parse().expect("it is one")
}

/// The tracks of all streams.
pub(crate) fn tracks() -> TrackSet {
    let track = Track {
        id: TrackId(0),
        codec: Codec::H264,
        clock_rate: CLOCK,
        shape: Shape::Video { width: 1920, height: 1080 },
        config: Bytes::from_static(&[1; 45]), // as long as a usual one
    };
    [track].into()
}

/// A unit of the track at `time`.
pub(crate) fn unit(time: Time, key: bool, data: Bytes) -> Arc<Unit> {
    let ticks = (i128::from(time.as_ns()) * i128::from(CLOCK) / 1_000_000_000) as i64;
    Arc::new(Unit { track: TrackId(0), pts: ticks, dts: ticks, time, duration: 0, key, data })
}

/// Pushes a unit that must be taken.
///
/// # Errors
/// If it is not.
pub(crate) fn push(recorder: &Recorder, unit: Arc<Unit>) -> Result<(), Failure> {
    match recorder.push(unit) {
        Pushed::Queued => Ok(()),
        other => Err(format!("a unit was not recorded: {other:?}").into()),
    }
}

impl Camera {
    /// Stream `number`, from `start` on, with so many bits of media a second.
    pub(crate) fn new(
        number: usize,
        recorder: Recorder,
        material: &Material,
        start: Time,
        rate_bps: f64,
    ) -> Self {
        let parts = RATE as usize - 1 + KEY_SHARE;
        Self {
            name: name(number),
            recorder,
            material: material.clone(),
            start,
            picture_bytes: ((rate_bps / 8.0) as usize / parts).max(1),
            phase: number as i64 % RATE,
            next: 0,
        }
    }

    /// The least material cameras of this rate can cut pictures from.
    pub(crate) fn material_bytes(rate_bps: f64) -> usize {
        (rate_bps / 8.0) as usize + (1 << 20)
    }

    /// Records all pictures before `until`.
    ///
    /// # Errors
    /// If one is not taken.
    pub(crate) fn record(&mut self, until: Time) -> Result<(), Failure> {
        loop {
            let time = self.start.offset_ns(self.next * 1_000_000_000 / RATE);
            if time >= until {
                return Ok(());
            }
            let key = self.next == 0 || (self.next + self.phase) % RATE == 0;
            let len = self.picture_bytes * if key { KEY_SHARE } else { 1 };
            push(&self.recorder, unit(time, key, self.material.cut(self.next, len)))?;
            self.next += 1;
        }
    }
}
