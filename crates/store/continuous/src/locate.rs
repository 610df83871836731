//! Finding the block to begin with: the directory by time or by number, then the index of a segment by its
//! marks.

use std::sync::Arc;

use pegasus_base::Time;
use pegasus_log::Log;

use crate::error::Error;
use crate::format::index::Entry;
use crate::format::segment::{SegmentRecord, State};
use crate::format::span::SpanRecord;
use crate::inner::Inner;
use crate::stream::Stream;

/// A block of a stream: record of the directory, and place in the segment's index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    pub(crate) block: usize,
}

/// The entries of one segment, sealed or open.
#[derive(Debug, Clone)]
pub(crate) enum Entries {
    Sealed(Arc<[Entry]>),
    /// A copy of what is durable of the open segment.
    Open(Vec<Entry>),
    /// The segment was deleted.
    Freed,
    /// There is no such segment (yet).
    Absent,
}

impl Entries {
    pub(crate) fn as_slice(&self) -> &[Entry] {
        match self {
            Self::Sealed(entries) => entries,
            Self::Open(entries) => entries,
            Self::Freed | Self::Absent => &[],
        }
    }
}

/// Reads the maps of one stream.
#[derive(Debug, Clone)]
pub(crate) struct Finder {
    pub(crate) inner: Arc<Inner>,
    pub(crate) stream: Arc<Stream>,
    pub(crate) record_len: usize,
}

/// How far somebody goes to find out. The tier may take long, or not answer at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Also to the tier.
    Tier,
    /// Not beyond the disks: others wait for him.
    Disks,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    /// The first block to look at.
    pub(crate) from: Place,
    /// The block with the key unit; `None` if the span has none at or before the instant.
    pub(crate) key: Option<Place>,
}

/// Whether a block has units of `span`.
fn overlaps(entry: &Entry, span: &SpanRecord) -> bool {
    entry.head.before.units < span.after.units && entry.head.after().units > span.head.before.units
}

impl Finder {
    fn log(&self) -> &Log {
        &self.inner.log
    }

    /// Record number `index` of the directory; the open segment's as it was opened.
    pub(crate) fn record(&self, index: u64) -> Result<Option<SegmentRecord>, Error> {
        let open = self.stream.view(|view| {
            let last = index + 1 == view.segments.end;
            view.open.as_ref().filter(|_| last).map(|open| open.record.clone())
        });
        match open {
            Some(record) => Ok(Some(record)),
            None => self.stream.segment(self.log(), self.record_len, index),
        }
    }

    /// The entries of segment number `index`, wherever it is.
    pub(crate) fn entries(&self, index: u64) -> Result<Entries, Error> {
        self.entries_within(index, Reach::Tier)
    }

    /// As [`entries`](Self::entries), as far as `reach` goes.
    pub(crate) fn entries_within(&self, index: u64, reach: Reach) -> Result<Entries, Error> {
        let open = self.stream.view(|view| {
            let last = index + 1 == view.segments.end;
            view.open.as_ref().filter(|_| last).map(|open| open.entries().to_vec())
        });
        if let Some(entries) = open {
            return Ok(Entries::Open(entries));
        }
        match self.stream.segment(self.log(), self.record_len, index)? {
            None if self.stream.view(|view| index >= view.segments.end) => Ok(Entries::Absent),
            None => Ok(Entries::Freed),
            Some(record) => match record.state {
                State::Freed => Ok(Entries::Freed),
                // Only the last one is open, and that one is in the view.
                State::Open => Ok(Entries::Absent),
                State::Sealed(_) => {
                    self.inner.indexes.get(self.log(), &self.stream, &record).map(Entries::Sealed)
                }
                State::Out(..) if reach == Reach::Disks => Err(Error::Away {
                    name: self.stream.name.clone(),
                    at: record.first,
                    why: "the tier is not asked by who must not wait".to_owned(),
                }),
                State::Out(..) => {
                    let object = self.inner.tier_of(&self.stream, &record)?;
                    Ok(Entries::Sealed(object.object(&self.stream, &record)?.entries.clone()))
                }
            },
        }
    }

    /// The last segment that begins at or before `at`; the first one if none does.
    pub(crate) fn segment_at(&self, at: Time) -> Result<Option<u64>, Error> {
        self.last_segment(|record| record.first <= at)
    }

    /// The last segment for which `begins` holds, as it does for all before; the first one if it does
    /// for none.
    fn last_segment(&self, begins: impl Fn(&SegmentRecord) -> bool) -> Result<Option<u64>, Error> {
        let segments = self.stream.view(|view| view.segments.clone());
        if segments.is_empty() {
            return Ok(None);
        }
        let (mut low, mut high) = (segments.start, segments.end);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match self.record(middle)? {
                Some(record) if begins(&record) => low = middle,
                Some(_) => high = middle,
                None => low = middle,
            }
        }
        Ok(Some(low))
    }

    /// The block with unit number `number`, or else the next one; it may have been deleted.
    pub(crate) fn find_unit(&self, number: u64) -> Result<Option<Place>, Error> {
        let begins = |record: &SegmentRecord| record.before.units <= number;
        let Some(segment) = self.last_segment(begins)? else { return Ok(None) };
        let entries = self.entries(segment)?;
        let block = entries.as_slice().partition_point(|e| e.head.after().units <= number);
        Ok(Some(Place { segment, block }))
    }

    /// Where to begin to show what `span` has from `at` on.
    pub(crate) fn find(&self, span: &SpanRecord, at: Time) -> Result<Option<Found>, Error> {
        let Some(start) = self.segment_at(at)? else { return Ok(None) };
        // Reordering may have put the first units of the next segment before the instant.
        let first = self.stream.view(|view| view.segments.start);
        let mut first_of_span = None;
        for segment in (first..=start).rev() {
            if self.is_without_marks(segment, span)? {
                continue;
            }
            let entries = self.entries(segment)?;
            let entries = entries.as_slice();
            let in_span = |entry: &Entry| overlaps(entry, span);
            let key = entries.iter().rposition(|entry| {
                in_span(entry) && entry.head.mark.is_some_and(|mark| mark.time <= at)
            });
            if let Some(block) = key {
                let key = Place { segment, block };
                return self.widen(key, entries).map(|from| Some(Found { from, key: Some(key) }));
            }
            if let Some(block) = entries.iter().position(in_span) {
                first_of_span = Some(Place { segment, block });
            }
            let begun = entries.first().is_some_and(|entry| entry.head.before <= span.head.before);
            if begun {
                break;
            }
        }
        if first_of_span.is_none() {
            first_of_span = self.first_after(span, start)?;
        }
        Ok(first_of_span.map(|from| Found { from, key: None }))
    }

    /// Whether the segment has no key unit, and is not the one `span` begins in: then nothing can be begun
    /// with it.
    fn is_without_marks(&self, segment: u64, span: &SpanRecord) -> Result<bool, Error> {
        let record = self.record(segment)?;
        Ok(record.is_some_and(|record| match &record.state {
            State::Sealed(sealed) | State::Out(sealed, _) => {
                sealed.mark.is_none() && record.before > span.head.before
            }
            State::Open => false,
            State::Freed => true,
        }))
    }

    /// The first block of `span` in segments behind number `segment`.
    fn first_after(&self, span: &SpanRecord, segment: u64) -> Result<Option<Place>, Error> {
        for segment in segment + 1.. {
            let entries = match self.entries(segment)? {
                Entries::Absent => return Ok(None),
                entries => entries,
            };
            let behind = |entry: &Entry| entry.head.after() > span.head.before;
            if let Some(block) = entries.as_slice().iter().position(behind) {
                return Ok(Some(Place { segment, block }));
            }
        }
        Ok(None)
    }

    /// Other tracks may have units behind the key unit's time in blocks before it: goes back to the
    /// first such block, within the segment and not far.
    fn widen(&self, key: Place, entries: &[Entry]) -> Result<Place, Error> {
        const BACK_MAX: usize = 3;
        let head = &entries[key.block].head;
        let Some(mark) = head.mark else { return Ok(key) };
        let mut from = key;
        while from.block > 0 && key.block - from.block < BACK_MAX {
            let before = &entries[from.block - 1].head;
            if before.span.serial != head.span.serial || before.end <= mark.time {
                break;
            }
            from.block -= 1;
        }
        if from.block == 0 && key.block < BACK_MAX && from.segment > 0 {
            let segment = from.segment - 1;
            let previous = self.entries(segment)?;
            let previous = previous.as_slice();
            if let Some(last) = previous.last()
                && last.head.span.serial == head.span.serial
                && last.head.end > mark.time
            {
                return Ok(Place { segment, block: previous.len() - 1 });
            }
        }
        Ok(from)
    }
}
