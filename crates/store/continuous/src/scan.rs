//! From key unit to key unit of a recording, in either direction, without its media: by the marks of the
//! indexes to the block, by its outline to the unit.

use std::ops::Range;
use std::sync::Arc;

use pegasus_base::Time;
use pegasus_media::TrackSet;

use crate::error::Error;
use crate::format::block::{self, Contents};
use crate::format::index::Entry;
use crate::format::segment::State;
use crate::format::span::SpanRecord;
use crate::format::table::Row;
use crate::inner::Inner;
use crate::locate::{Finder, Place};
use crate::stream::Stream;

/// A key unit of the anchor: the first video track, else the first track.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) place: Place,
    pub(crate) row: Row,
    /// Its number among the units of the stream.
    pub(crate) number: u64,
    pub(crate) span: SpanRecord,
    pub(crate) tracks: TrackSet,
}

/// Units of the anchor from one on, up to the next key unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// How many there are.
    pub(crate) units: u64,
    /// Number of the unit behind them.
    pub(crate) end: u64,
    /// Time of the key unit behind them, or the end of their span.
    pub(crate) until: Time,
}

/// Finds key units. Holds the index of one segment and the table of one block.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) finder: Finder,
    /// The sealed segment that was read last, and its index with the outlines.
    index: Option<(u64, Arc<[Entry]>)>,
    /// The block that was looked at last.
    held: Option<(Place, Contents)>,
    /// Where to go on, either way, after an error.
    resume: Option<Place>,
    epoch: u64,
}

/// Spans are first looked for so near, so that not all are copied at every step.
const NEAR_NS: i64 = 3_600 * 1_000_000_000;

impl Scan {
    pub(crate) fn new(inner: Arc<Inner>, stream: Arc<Stream>) -> Result<Self, Error> {
        let epoch = stream.view(|view| view.epoch);
        // Which units are deleted is told from the list of spans, which must be in memory.
        stream.load_spans(&inner.log)?;
        let record_len = inner.record_len;
        let finder = Finder { inner, stream, record_len };
        Ok(Self { finder, index: None, held: None, resume: None, epoch })
    }

    /// Whether all that was recorded when this began is deleted.
    pub(crate) fn is_over(&self) -> bool {
        self.epoch != self.finder.stream.view(|view| view.epoch)
    }

    /// The span with the instant `at`, else the next one.
    pub(crate) fn span_from(&self, at: Time) -> Result<Option<SpanRecord>, Error> {
        let spans = |end| self.finder.stream.spans(&self.finder.inner.log, at, end);
        match spans(at.offset_ns(NEAR_NS))?.first() {
            Some(span) => Ok(Some(*span)),
            None => Ok(spans(Time::MAX)?.first().copied()),
        }
    }

    /// The last span that begins at or before `at`.
    pub(crate) fn span_until(&self, at: Time) -> Result<Option<SpanRecord>, Error> {
        let end = at.offset_ns(1);
        let spans = |start| self.finder.stream.spans(&self.finder.inner.log, start, end);
        match spans(at.offset_ns(-NEAR_NS))?.last() {
            Some(span) => Ok(Some(*span)),
            None => Ok(spans(Time::MIN)?.last().copied()),
        }
    }

    /// The first key unit at or after `at` that is numbered `least` or more. After an error it goes on
    /// behind what can't be read.
    pub(crate) fn key_from(&mut self, at: Time, least: u64) -> Result<Option<Key>, Error> {
        let place = match self.resume.take() {
            Some(place) => place,
            // What can't be read is met again below.
            None => match self.mark_until(at) {
                Ok(found) => found.unwrap_or_else(|| self.front()),
                Err(_) => self.resume.take().unwrap_or_else(|| self.front()),
            },
        };
        self.walk_on(place, at, least)
    }

    /// The first key unit at `place` or behind it that is numbered `least` or more, whatever its time.
    pub(crate) fn key_behind(&mut self, place: Place, least: u64) -> Result<Option<Key>, Error> {
        let place = self.resume.take().unwrap_or(place);
        self.walk_on(place, Time::MIN, least)
    }

    fn walk_on(&mut self, from: Place, at: Time, least: u64) -> Result<Option<Key>, Error> {
        let mut place = from;
        let wanted = |row: &Row, number| row.time >= at && number >= least;
        loop {
            let entries = self.entries(place.segment, |entries| entries.len());
            let behind = Place { segment: place.segment + 1, block: 0 };
            let len = entries.inspect_err(|_| self.resume = Some(behind))?;
            if place.block >= len {
                if place.segment + 1 >= self.finder.stream.view(|view| view.segments.end) {
                    return Ok(None);
                }
                place = behind.max(self.front());
                continue;
            }
            let next = Place { block: place.block + 1, ..place };
            let found = self.key_in(place, |entry| entry.head.end > at, wanted, false);
            if let Some(key) = found.inspect_err(|_| self.resume = Some(next))? {
                return Ok(Some(key));
            }
            place = next;
        }
    }

    /// The last key unit at or before `at` that is numbered less than `behind`. After an error it goes on
    /// before what can't be read.
    pub(crate) fn key_until(&mut self, at: Time, behind: u64) -> Result<Option<Key>, Error> {
        let place = match self.resume.take() {
            Some(place) => self.place_before(place)?,
            None => self.mark_until(at)?,
        };
        place.map_or(Ok(None), |place| self.walk_back(place, at, behind))
    }

    /// The last key unit at `place` or before it that is numbered less than `behind`.
    pub(crate) fn key_before(&mut self, place: Place, behind: u64) -> Result<Option<Key>, Error> {
        let place = match self.resume.take() {
            Some(place) => self.place_before(place)?,
            None => Some(place),
        };
        place.map_or(Ok(None), |place| self.walk_back(place, Time::MAX, behind))
    }

    /// The last key unit at or before `at` within the span there; else the first one behind it.
    pub(crate) fn key_at(&mut self, at: Time) -> Result<Option<Key>, Error> {
        if self.resume.is_none() {
            let Some(span) = self.span_from(at)? else { return Ok(None) };
            let key = if span.head.start <= at { self.key_until(at, u64::MAX)? } else { None };
            if let Some(key) = key.filter(|key| key.span.head.serial == span.head.serial) {
                return Ok(Some(key));
            }
        }
        self.key_from(at, 0)
    }

    fn walk_back(&mut self, from: Place, at: Time, behind: u64) -> Result<Option<Key>, Error> {
        let wanted = |row: &Row, number| row.time <= at && number < behind;
        let may = |entry: &Entry| {
            entry.head.mark.is_some_and(|mark| mark.time <= at) && entry.head.before.units < behind
        };
        let mut next = Some(from);
        while let Some(place) = next {
            let found = self.key_in(place, may, wanted, true);
            if let Some(key) = found.inspect_err(|_| self.resume = Some(place))? {
                return Ok(Some(key));
            }
            next = self.place_before(place)?;
        }
        Ok(None)
    }

    /// The units of the anchor from number `from` on, which is in the block at `place` and in `span`, up to
    /// the next key unit.
    pub(crate) fn extent(
        &mut self,
        place: Place,
        from: u64,
        span: &SpanRecord,
    ) -> Result<Extent, Error> {
        let mut extent = Extent { units: 0, end: span.after.units, until: span.end };
        let mut place = place;
        loop {
            let Some(entry) = self.entry(place)? else {
                if place.segment + 1 >= self.finder.stream.view(|view| view.segments.end) {
                    return Ok(extent);
                }
                place = Place { segment: place.segment + 1, block: 0 };
                continue;
            };
            if entry.head.before.units >= span.after.units {
                return Ok(extent);
            }
            let Contents { head, tracks, rows } = self.contents(place, &entry)?;
            let anchor = block::anchor(tracks);
            let rows = rows.iter().zip(head.before.units..);
            let rows = rows.filter(|(row, number)| row.track == anchor && *number >= from);
            for (row, number) in rows.take_while(|(_, number)| *number < span.after.units) {
                if row.key && number > from {
                    return Ok(Extent { end: number, until: row.time, ..extent });
                }
                extent.units += 1;
            }
            place.block += 1;
        }
    }

    /// The first unit of the anchor numbered in `numbers`, of which the first is in the block at `place`,
    /// with its number and the tracks.
    pub(crate) fn first_of(
        &mut self,
        place: Place,
        numbers: Range<u64>,
    ) -> Result<Option<(TrackSet, Row, u64)>, Error> {
        let mut place = place;
        loop {
            let Some(entry) = self.entry(place)? else {
                if place.segment + 1 >= self.finder.stream.view(|view| view.segments.end) {
                    return Ok(None);
                }
                place = Place { segment: place.segment + 1, block: 0 };
                continue;
            };
            if entry.head.before.units >= numbers.end {
                return Ok(None);
            }
            let Contents { head, tracks, rows } = self.contents(place, &entry)?;
            let anchor = block::anchor(tracks);
            let mut rows = rows.iter().zip(head.before.units..);
            let first = rows.find(|(row, number)| row.track == anchor && numbers.contains(number));
            if let Some((row, number)) = first {
                return Ok(Some((tracks.clone(), *row, number)));
            }
            place.block += 1;
        }
    }

    /// The first, or the last, key unit of the block at `place` that is `wanted` and not deleted. The
    /// block is looked into only if it has a mark and `may` hold it.
    fn key_in(
        &mut self,
        place: Place,
        may: impl Fn(&Entry) -> bool,
        wanted: impl Fn(&Row, u64) -> bool,
        last: bool,
    ) -> Result<Option<Key>, Error> {
        let entry = self.entries(place.segment, |entries| {
            entries
                .get(place.block)
                .filter(|entry| entry.head.mark.is_some() && may(entry))
                .cloned()
        })?;
        let Some(entry) = entry else { return Ok(None) };
        let contents = self.contents(place, &entry)?.clone();
        let numbers = contents.head.before.units..contents.head.after().units;
        let spans = self.finder.stream.spans_with_units(numbers.clone());
        let anchor = block::anchor(&contents.tracks);
        let key = |(at, row): (usize, &Row)| {
            let number = numbers.start + at as u64;
            let is_key = row.track == anchor && row.key && wanted(row, number);
            let span = spans.iter().find(|span| units_of(span).contains(&number));
            let span = *span.filter(|_| is_key)?;
            Some(Key { place, row: *row, number, span, tracks: contents.tracks.clone() })
        };
        let mut rows = contents.rows.iter().enumerate();
        Ok(if last { rows.rev().find_map(key) } else { rows.find_map(key) })
    }

    /// The last block whose mark is at or before `at`.
    fn mark_until(&mut self, at: Time) -> Result<Option<Place>, Error> {
        let first = self.front().segment;
        let Some(start) = self.finder.segment_at(at)? else { return Ok(None) };
        for segment in (first..=start).rev() {
            let bare = self.finder.record(segment)?.is_none_or(|record| match &record.state {
                State::Sealed(sealed) | State::Out(sealed, _) => {
                    sealed.mark.is_none_or(|mark| mark > at)
                }
                State::Open => false,
                State::Freed => true,
            });
            if bare {
                continue;
            }
            let marked = |entry: &Entry| entry.head.mark.is_some_and(|mark| mark.time <= at);
            let found = self.entries(segment, |entries| entries.iter().rposition(marked));
            let here = Place { segment, block: 0 };
            if let Some(block) = found.inspect_err(|_| self.resume = Some(here))? {
                return Ok(Some(Place { segment, block }));
            }
        }
        Ok(None)
    }

    /// The block before `place`.
    fn place_before(&mut self, place: Place) -> Result<Option<Place>, Error> {
        if place.block > 0 {
            return Ok(Some(Place { block: place.block - 1, ..place }));
        }
        for segment in (self.front().segment..place.segment).rev() {
            let here = Place { segment, block: 0 };
            let len = self.entries(segment, |entries| entries.len());
            let len = len.inspect_err(|_| self.resume = Some(here))?;
            if len > 0 {
                return Ok(Some(Place { segment, block: len - 1 }));
            }
        }
        Ok(None)
    }

    /// The first place that is kept.
    fn front(&self) -> Place {
        Place { segment: self.finder.stream.view(|view| view.segments.start), block: 0 }
    }

    /// Calls `f` with the entries of a segment, with their outlines; with none if it is not there.
    fn entries<R>(&mut self, segment: u64, f: impl FnOnce(&[Entry]) -> R) -> Result<R, Error> {
        if self.index.as_ref().is_some_and(|(held, _)| *held == segment) {
            let entries = self.index.as_ref().map_or(&[][..], |(_, entries)| entries);
            return Ok(f(entries));
        }
        let mut f = Some(f);
        let open = self.finder.stream.view(|view| {
            let last = segment + 1 == view.segments.end;
            let open = view.open.as_ref().filter(|_| last)?;
            f.take().map(|f| f(open.entries()))
        });
        match (open, f) {
            (Some(done), _) => Ok(done),
            (None, Some(f)) => {
                self.index = self.finder.index(segment, true)?.map(|entries| (segment, entries));
                Ok(f(self.index.as_ref().map_or(&[], |(_, entries)| entries)))
            }
            (None, None) => unreachable!("what was called has answered"),
        }
    }

    /// The entry at `place`, if it is there.
    pub(crate) fn entry(&mut self, place: Place) -> Result<Option<Entry>, Error> {
        self.entries(place.segment, |entries| entries.get(place.block).cloned())
    }

    fn contents(&mut self, place: Place, entry: &Entry) -> Result<&Contents, Error> {
        if self.held.as_ref().is_none_or(|(held, _)| *held != place) {
            self.held = None;
            let contents = self.finder.contents(entry)?;
            return Ok(&self.held.insert((place, contents)).1);
        }
        Ok(&self.held.as_ref().expect("it was looked at just now").1)
    }
}

/// The numbers of the units of a span.
pub(crate) fn units_of(span: &SpanRecord) -> Range<u64> {
    span.head.before.units..span.after.units
}
