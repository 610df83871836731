//! What of a recording lies in a range that was asked for.

use pegasus_base::{StreamName, TimeRange};
use pegasus_continuous::{Continuous, Error, Mark, Span};

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

/// Blocks that are looked at in a list, spread evenly, to find where its tracks change.
const LOOKS_EVEN: usize = 64;
/// Blocks that may be read in all: at the ends of spans, evenly, and to find the place of each change.
const LOOKS_MAX: usize = 400;

/// Times at which decoding of a range can start, from the one at or before its start, each with the
/// fingerprint of the tracks there, if known.
///
/// They come from the store's index, which says nothing of tracks: those are looked at in the blocks. So a
/// change that is undone again is found for sure if it lasted for a 64th of the blocks in the range.
pub(crate) fn key_times(
    store: &Continuous,
    name: &StreamName,
    range: TimeRange,
) -> Result<Vec<KeyTime<Option<u32>>>, Error> {
    let marks = store.marks(name, range)?;
    let step = marks.len().div_ceil(LOOKS_EVEN).max(1);
    let mut looks = 0;
    let mut keys = Vec::with_capacity(marks.len());
    for span in marks.chunk_by(|a, b| a.span == b.span) {
        let mut look = |at: usize| -> Result<Option<u32>, Error> {
            looks += 1;
            if looks > LOOKS_MAX {
                return Ok(None);
            }
            let tracks = store.tracks(name, span[at].time)?;
            Ok(Playable::of(&tracks).ok().and_then(|playable| playable.fingerprint()))
        };
        let values = fill(span.len(), step, &mut look)?;
        let with_tracks = |(mark, tracks): (&Mark, _)| KeyTime { time: mark.time, tracks };
        keys.extend(span.iter().zip(values).map(with_tracks));
    }
    Ok(keys)
}

/// The values at `0..count`, of which every `step`th is looked at, and the last. Between two that are
/// the same all are taken to be; between others the place of the change is searched.
fn fill<T: PartialEq + Copy, E>(
    count: usize,
    step: usize,
    look: &mut impl FnMut(usize) -> Result<T, E>,
) -> Result<Vec<T>, E> {
    let Some(last) = count.checked_sub(1) else { return Ok(Vec::new()) };
    let mut values = vec![look(0)?; count];
    let mut from = 0;
    while from < last {
        let to = last.min(from + step);
        values[to] = look(to)?;
        search(from, to, &mut values, look)?;
        from = to;
    }
    Ok(values)
}

/// Fills what lies between `from` and `to`, which are known.
fn search<T: PartialEq + Copy, E>(
    from: usize,
    to: usize,
    values: &mut [T],
    look: &mut impl FnMut(usize) -> Result<T, E>,
) -> Result<(), E> {
    if values[from] == values[to] || to - from == 1 {
        let value = values[from];
        values[from..to].fill(value);
        return Ok(());
    }
    let middle = from.midpoint(to);
    values[middle] = look(middle)?;
    search(from, middle, values, look)?;
    search(middle, to, values, look)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use proptest::prelude::*;

    fn found(truth: &[u8], step: usize) -> (Vec<u8>, usize) {
        let mut looks = 0;
        let mut look = |at: usize| -> Result<u8, Infallible> {
            looks += 1;
            Ok(truth[at])
        };
        let Ok(values) = fill(truth.len(), step, &mut look);
        (values, looks)
    }

    proptest! {
        /// Whatever changes and changes back is found where it lasts for a step.
        #[test]
        fn changes_that_last_are_found(
            lengths in proptest::collection::vec(0_usize..40, 0..8), step in 1_usize..20,
        ) {
            let runs = lengths.iter().enumerate();
            let truth: Vec<u8> =
                runs.flat_map(|(n, len)| std::iter::repeat_n(n as u8 % 3, step + len)).collect();
            let (values, looks) = found(&truth, step);
            prop_assert_eq!(values, &truth[..]);
            prop_assert!(looks <= truth.len().div_ceil(step) + 2 + lengths.len() * 6);
        }
    }
}
