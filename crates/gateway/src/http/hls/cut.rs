//! Where a recorded range is cut into segments. Pure.

use pegasus_base::{Time, TimeRange};

/// How long a segment of a recording lasts at least, if key units let it.
pub(crate) const CUT_NS: i64 = 4_000_000_000;

/// A time in a recording at which decoding can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyTime<T> {
    /// Capture time of a key unit of the leading track.
    pub(crate) time: Time,
    /// Something that differs where the tracks do.
    pub(crate) tracks: T,
}

/// A segment of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut<T> {
    /// Time of the key unit it begins with.
    pub(crate) start: Time,
    /// Where the next begins, or the span ends.
    pub(crate) end: Time,
    /// As [`KeyTime::tracks`].
    pub(crate) tracks: T,
    /// Whether it does not go on from the one before: a new span, or other tracks.
    pub(crate) discontinuity: bool,
}

impl<T> Cut<T> {
    pub(crate) fn duration_ns(&self) -> u64 {
        u64::try_from(self.end.ns_since(self.start)).unwrap_or(0)
    }
}

/// Cuts `range` of a recording into segments: at key units, at least [`CUT_NS`] apart, but always
/// where a span ends or the tracks change. Both `spans` and `keys` are in order of time; `keys` has
/// the first key unit of each span. The first segment begins at the key unit at or before the
/// range's start; the last one ends with the range or with its group of pictures, whichever is first.
pub(crate) fn cut<T: PartialEq + Copy>(
    range: TimeRange,
    spans: &[TimeRange],
    keys: &[KeyTime<T>],
) -> Vec<Cut<T>> {
    let mut cuts: Vec<Cut<T>> = Vec::new();
    let mut last_tracks = None;
    for span in spans.iter().filter(|span| span.overlaps(&range)) {
        let from = keys.partition_point(|key| key.time < span.start);
        let to = keys.partition_point(|key| key.time < span.end.min(range.end));
        let begin = keys[..to].partition_point(|key| key.time <= range.start);
        let inside = &keys[from.max(begin.saturating_sub(1)).min(to)..to];
        for (index, key) in inside.iter().enumerate() {
            let new_tracks = index == 0 || last_tracks != Some(key.tracks);
            if let Some(open) = cuts.last_mut().filter(|_| index > 0) {
                if !new_tracks && key.time.ns_since(open.start) < CUT_NS {
                    continue;
                }
                open.end = key.time;
            }
            last_tracks = Some(key.tracks);
            let end = span.end.min(range.end);
            let (start, tracks) = (key.time, key.tracks);
            cuts.push(Cut { start, end, tracks, discontinuity: new_tracks });
        }
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn s(start: i64, end: i64) -> TimeRange {
        TimeRange::new(Time::from_secs(start), Time::from_secs(end))
    }

    fn key(time: i64, tracks: u8) -> KeyTime<u8> {
        KeyTime { time: Time::from_secs(time), tracks }
    }

    fn shown(cuts: &[Cut<u8>]) -> Vec<(i64, i64, bool)> {
        let secs = |t: Time| t.as_ns() / 1_000_000_000;
        cuts.iter().map(|c| (secs(c.start), secs(c.end), c.discontinuity)).collect()
    }

    #[test]
    fn cuts_lie_at_key_units() {
        let keys: Vec<_> = (10..30).step_by(2).map(|t| key(t, 0)).collect();
        assert_eq!(
            shown(&cut(s(13, 25), &[s(10, 31)], &keys)),
            [(12, 16, true), (16, 20, false), (20, 24, false), (24, 25, false)]
        );
    }

    #[test]
    fn gaps_and_track_changes_are_cuts() {
        let keys = [key(10, 0), key(12, 0), key(13, 1), key(50, 1), key(51, 1)];
        assert_eq!(
            shown(&cut(TimeRange::ALL, &[s(10, 15), s(50, 53)], &keys)),
            [(10, 13, true), (13, 15, true), (50, 53, true)]
        );
    }

    #[test]
    fn tracks_that_return_are_cuts_twice() {
        let keys = [key(10, 0), key(11, 1), key(12, 1), key(13, 0), key(14, 0)];
        assert_eq!(
            shown(&cut(TimeRange::ALL, &[s(10, 20)], &keys)),
            [(10, 11, true), (11, 13, true), (13, 20, true)]
        );
    }

    #[test]
    fn a_range_in_a_gap_is_empty() {
        assert_eq!(cut(s(20, 30), &[s(10, 15), s(50, 53)], &[key(10, 0), key(50, 0)]), []);
    }

    proptest! {
        /// Segments of a span meet, cover the range, and lie within their spans.
        #[test]
        fn nothing_is_left_out(
            lengths in proptest::collection::vec((1_i64..40, 0_i64..20), 1..6),
            step in 1_i64..9,
            from in 0_i64..100,
            len in 1_i64..100,
        ) {
            let (mut at, mut spans, mut keys) = (0, Vec::new(), Vec::new());
            for (length, gap) in lengths {
                spans.push(s(at, at + length));
                keys.extend((at..at + length).step_by(step as usize).map(|t| key(t, 0)));
                at += length + gap + 1;
            }
            let range = s(from, from + len);
            let cuts = cut(range, &spans, &keys);
            for second in from..from + len {
                let t = Time::from_secs(second);
                let recorded = spans.iter().any(|span| span.contains(t));
                let holding = cuts.iter().filter(|c| c.start <= t && t < c.end).count();
                prop_assert_eq!(holding, usize::from(recorded), "second {}", second);
            }
            for cut in &cuts {
                prop_assert!(keys.iter().any(|key| key.time == cut.start));
                prop_assert!(spans.iter().any(|span| span.start <= cut.start && cut.end <= span.end));
            }
        }
    }
}
