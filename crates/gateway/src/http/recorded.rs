//! What of a recording lies in a range that was asked for.

use pegasus_base::{StreamName, TimeRange};
use pegasus_continuous::{Continuous, Error, Item, ReadOptions, Span};
use pegasus_media::TrackId;

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

/// The key units of the leading track in a range, from the one at or before its start, with a number
/// that differs where the tracks do.
pub(crate) fn key_times(
    store: &Continuous,
    name: &StreamName,
    range: TimeRange,
) -> Result<Vec<KeyTime<u64>>, Error> {
    let options = ReadOptions { until: Some(range.end), follow: None };
    let mut reader = store.read(name, range.start, options)?;
    let (mut keys, mut tracks) = (Vec::new(), 0);
    let mut playable: Option<Playable> = None;
    while let Some(item) = reader.next()? {
        match item {
            Item::Tracks(set) => {
                let now = Playable::of(&set).ok();
                tracks += u64::from(now != playable);
                playable = now;
            }
            Item::Unit(unit) => {
                let leading: Option<TrackId> = playable.as_ref().map(|p| p.leading);
                if unit.key && leading == Some(unit.track) && unit.time < range.end {
                    keys.push(KeyTime { time: unit.time, tracks });
                }
            }
            Item::Gap { .. } | Item::Waiting => {}
        }
    }
    Ok(keys)
}
