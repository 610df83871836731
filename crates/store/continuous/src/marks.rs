//! Where decoding can start, from the indexes alone: what a list of segments or thumbnails is made of.

use pegasus_base::{StreamName, Time, TimeRange};
use pegasus_media::TrackSet;

use crate::Continuous;
use crate::error::Error;
use crate::format::span::SpanRecord;
use crate::locate::{Entries, Finder, Place};

/// A key unit of a recording: the first in its block of the first video track, or of the first track
/// where there is no video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Its time.
    pub time: Time,
    /// Start of its span, as in [`Span::start`](crate::Span::start).
    pub span: Time,
    /// The stream's tracks there, shared by the marks of a segment. `None` if they are so long that the
    /// index doesn't repeat them: ask [`Continuous::tracks`].
    pub tracks: Option<TrackSet>,
}

impl Continuous {
    /// The marks of `name` in `range`, in order, and for each span the one at or before the range's
    /// start. Reads no media: a day takes some milliseconds.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], or if the disks fail.
    pub fn marks(&self, name: &StreamName, range: TimeRange) -> Result<Vec<Mark>, Error> {
        let (inner, stream) = (self.inner().clone(), self.recorded(name)?);
        let spans = stream.spans(&inner.log, range.start, range.end)?;
        let record_len = inner.record_len;
        let finder = Finder { inner, stream, record_len };
        let mut marks = Vec::new();
        for span in &spans {
            let at = range.start.max(span.head.start);
            if let Some(found) = finder.find(span, at)? {
                let from = found.key.unwrap_or(found.from);
                collect(&finder, span, from, range.end, &mut marks)?;
            }
        }
        Ok(marks)
    }
}

/// Appends the marks of `span` from the block at `from` on, up to `end`.
fn collect(
    finder: &Finder,
    span: &SpanRecord,
    from: Place,
    end: Time,
    marks: &mut Vec<Mark>,
) -> Result<(), Error> {
    let mut skip = from.block;
    for segment in from.segment.. {
        let entries = finder.entries(segment)?;
        if matches!(entries, Entries::Absent) {
            return Ok(());
        }
        for entry in entries.as_slice().iter().skip(skip) {
            let head = &entry.head;
            if head.before.units >= span.after.units || head.first >= end {
                return Ok(());
            }
            let Some(mark) = head.mark else { continue };
            let ordinal = head.before.units + u64::from(mark.row);
            let inside = (span.head.before.units..span.after.units).contains(&ordinal);
            if inside && mark.time < end {
                let tracks = entry.outline.as_ref().map(|outline| outline.tracks.clone());
                marks.push(Mark { time: mark.time, span: span.head.start, tracks });
            }
        }
        skip = 0;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tests::{Rig, name};
    use crate::{ReadOptions, sample};

    const CAM: &str = "/cam/door";

    #[test]
    fn every_mark_is_a_key_unit_that_a_reader_begins_with() {
        let rig = Rig::small();
        for from_s in [0, 30] {
            rig.record(CAM, &sample::camera(20, 2_000, from_s), 40);
        }
        let all = rig.store().marks(&name(CAM), TimeRange::ALL).unwrap();
        let spans = rig.store().spans(&name(CAM), TimeRange::ALL).unwrap();
        assert!(all.len() > 20, "{all:?}");
        assert!(all.windows(2).all(|pair| pair[0].time < pair[1].time));
        for span in &spans {
            let first = all.iter().find(|mark| mark.span == span.start).expect("a mark");
            assert!(first.time.since(span.start) < Duration::from_secs(1));
        }
        for mark in &all {
            let reader = rig.store().read(&name(CAM), mark.time, ReadOptions::default()).unwrap();
            assert_eq!(reader.start(), Some(mark.time));
            assert_eq!(mark.tracks, Some(sample::tracks()));
        }
        // A range has those inside, and the one it begins with.
        let (from, to) = (sample::at(7_500), sample::at(33_000));
        let some = rig.store().marks(&name(CAM), TimeRange::new(from, to)).unwrap();
        let before = all.iter().rfind(|mark| mark.time <= from).unwrap();
        let inside = all.iter().filter(|mark| from < mark.time && mark.time < to);
        let expected: Vec<Mark> = [before].into_iter().chain(inside).cloned().collect();
        assert_eq!(some, expected);
    }
}
