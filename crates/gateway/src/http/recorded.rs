//! What of a recording lies in a range that was asked for.

use std::sync::Arc;

use pegasus_base::{StreamName, TimeRange};
use pegasus_continuous::{Continuous, Error, Mark, Span};
use pegasus_media::TrackSet;

use super::error::ApiError;
use super::hls::KeyTime;
use super::playable::Playable;

/// The durable part of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// The range, cut to where something is recorded.
    pub(crate) range: TimeRange,
    /// The spans that have an instant in it, whole.
    pub(crate) spans: Vec<Span>,
}

impl Recorded {
    /// Looks in the store.
    pub(crate) fn find(
        store: &Continuous,
        name: &StreamName,
        range: TimeRange,
    ) -> Result<Self, ApiError> {
        let spans = store.spans(name, range)?;
        let ends = spans.first().zip(spans.last());
        let (first, last) = ends.ok_or_else(|| Self::nothing(name))?;
        let range = range.intersect(&TimeRange::new(first.start, last.end));
        Ok(Self { range, spans })
    }

    /// The answer where there is nothing.
    pub(crate) fn nothing(name: &StreamName) -> ApiError {
        ApiError::missing(format!("nothing is recorded of {name} in that range"))
    }

    /// Bits per second of what is recorded, on average.
    pub(crate) fn bitrate_bps(&self) -> u64 {
        let bytes: u64 = self.spans.iter().map(|span| span.bytes).sum();
        let seconds: f64 = self.spans.iter().map(|s| s.end.since(s.start).as_secs_f64()).sum();
        if seconds > 0.0 { (bytes as f64 * 8.0 / seconds) as u64 } else { 0 }
    }
}

/// Times at which decoding of a range can start, from the one at or before its start, each with the
/// fingerprint of the tracks there; none where they can't be played.
pub(crate) fn key_times(
    store: &Continuous,
    name: &StreamName,
    range: TimeRange,
) -> Result<Vec<KeyTime<Option<u32>>>, Error> {
    let mut last: Option<(TrackSet, Option<u32>)> = None;
    let mut keys = Vec::new();
    for Mark { time, tracks, .. } in store.marks(name, range)? {
        let tracks = tracks.map_or_else(|| store.tracks(name, time), Ok)?;
        let known =
            last.as_ref().filter(|(known, _)| Arc::ptr_eq(known, &tracks) || *known == tracks);
        let fingerprint = match known {
            Some((_, fingerprint)) => *fingerprint,
            None => Playable::of(&tracks).ok().and_then(|playable| playable.fingerprint()),
        };
        last = Some((tracks, fingerprint));
        keys.push(KeyTime { time, tracks: fingerprint });
    }
    Ok(keys)
}
