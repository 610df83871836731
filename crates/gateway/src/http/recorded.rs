//! What of a recording lies in a range that was asked for.

use pegasus_base::{StreamName, Time, TimeRange};
use pegasus_continuous::{Continuous, Error, Span};

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

/// Blocks that may be read to find out where the tracks of a span changed.
const LOOKS_MAX: usize = 200;

/// Times at which decoding of a range can start, from the one at or before its start, with a number
/// that differs where the tracks do.
///
/// They come from the store's index, which says nothing of tracks: those are looked at where a span
/// begins and ends, and in between where the two differ.
pub(crate) fn key_times(
    store: &Continuous,
    name: &StreamName,
    range: TimeRange,
) -> Result<Vec<KeyTime<u64>>, Error> {
    let marks = store.marks(name, range)?;
    let mut looker = Looker { store, name, looks: 0, known: Vec::new() };
    let mut keys = Vec::with_capacity(marks.len());
    for span in marks.chunk_by(|a, b| a.span == b.span) {
        let (Some(first), Some(last)) = (span.first(), span.last()) else { continue };
        let ends = (looker.look(first.time)?, looker.look(last.time)?);
        let begin = keys.len();
        keys.extend(span.iter().map(|mark| KeyTime { time: mark.time, tracks: ends.0 }));
        looker.number(&mut keys[begin..], ends)?;
    }
    Ok(keys)
}

/// Gives equal numbers to equal tracks.
struct Looker<'a> {
    store: &'a Continuous,
    name: &'a StreamName,
    looks: usize,
    known: Vec<Option<Playable>>,
}

impl Looker<'_> {
    /// The number of the tracks at a time; that of the last ones known once too many were looked at.
    fn look(&mut self, at: Time) -> Result<u64, Error> {
        if self.looks >= LOOKS_MAX {
            return Ok(self.known.len() as u64 - 1);
        }
        self.looks += 1;
        let playable = Playable::of(&self.store.tracks(self.name, at)?).ok();
        let known = self.known.iter().position(|known| *known == playable);
        let number = known.unwrap_or_else(|| {
            self.known.push(playable);
            self.known.len() - 1
        });
        Ok(number as u64)
    }

    /// Numbers what lies between the first and the last, whose numbers are `ends`.
    fn number(&mut self, keys: &mut [KeyTime<u64>], ends: (u64, u64)) -> Result<(), Error> {
        let (first, last) = ends;
        if first == last || keys.len() <= 2 {
            if let Some(key) = keys.last_mut() {
                key.tracks = last;
            }
            return Ok(());
        }
        let middle = keys.len() / 2;
        let between = self.look(keys[middle].time)?;
        self.number(&mut keys[..=middle], (first, between))?;
        keys[middle..].iter_mut().for_each(|key| key.tracks = between);
        self.number(&mut keys[middle..], (between, last))
    }
}
