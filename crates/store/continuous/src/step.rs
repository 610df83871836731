//! From place to place through a recording, and what is read there.

use std::sync::Arc;

use bytes::Bytes;
use pegasus_base::Time;
use pegasus_media::{TrackSet, Unit};

use crate::error::Error;
use crate::format::FormatError;
use crate::format::block::{Block, Contents};
use crate::format::index::Entry;
use crate::format::segment::State;
use crate::format::table::Row;
use crate::inner::Inner;
use crate::locate::{Entries, Finder, Place, Reach};
use crate::stream::{Stream, View};

/// What is at a place.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // moved once, from who finds it to who reads it
pub(crate) enum Step {
    /// A block.
    Block(Entry),
    /// Nothing any more; go on there.
    Skip(Place),
    /// The durable end.
    End,
}

impl Finder {
    /// The place behind all that is durable.
    pub(crate) fn end(&self) -> Place {
        self.stream.view(|view| match &view.open {
            Some(open) => Place { segment: view.segments.end - 1, block: open.entries().len() },
            None => Place { segment: view.segments.end, block: 0 },
        })
    }

    /// What is at `place`.
    pub(crate) fn entry(&self, place: Place) -> Result<Step, Error> {
        self.entry_within(place, Reach::Tier)
    }

    /// As [`entry`](Self::entry), as far as `reach` goes.
    pub(crate) fn entry_within(&self, place: Place, reach: Reach) -> Result<Step, Error> {
        let open = self.stream.view(|view| {
            let last = place.segment + 1 == view.segments.end;
            let open = view.open.as_ref().filter(|_| last)?;
            Some(open.entries().get(place.block).cloned())
        });
        match open {
            Some(Some(entry)) => return Ok(Step::Block(entry)),
            Some(None) => return Ok(Step::End),
            None => {}
        }
        let next = Place { segment: place.segment + 1, block: 0 };
        Ok(match self.entries_within(place.segment, reach)? {
            Entries::Absent => Step::End,
            Entries::Freed => {
                let first = self.stream.view(|view| view.segments.start);
                Step::Skip(next.max(Place { segment: first, block: 0 }))
            }
            entries => match entries.as_slice().get(place.block) {
                Some(entry) => Step::Block(entry.clone()),
                None => Step::Skip(next),
            },
        })
    }

    /// All of a sealed segment's index, with the outlines; `None` if the segment is open, or
    /// not there any more. It is kept a while if that `keeps` it.
    pub(crate) fn index(&self, segment: u64, keeps: bool) -> Result<Option<Arc<[Entry]>>, Error> {
        let log = &self.inner.log;
        let is_open = |view: &mut View| view.open.is_some() && segment + 1 == view.segments.end;
        if self.stream.view(is_open) {
            return Ok(None);
        }
        let record = self.stream.segment(log, self.record_len, segment)?;
        let Some(record) = record else { return Ok(None) };
        match record.state {
            State::Sealed(_) => {
                self.inner.indexes.whole(log, &self.stream, &record, keeps).map(Some)
            }
            State::Out(..) => {
                let object = self.inner.tier_of(&self.stream, &record)?;
                Ok(Some(object.object(&self.stream, &record)?.entries.clone()))
            }
            State::Open | State::Freed => Ok(None),
        }
    }

    /// What is in a block: from its entry if it says so, else from the block.
    pub(crate) fn contents(&self, entry: &Entry) -> Result<Contents, Error> {
        match entry.outline.as_ref().filter(|outline| outline.has_table()) {
            None => Ok(self.read(entry)?.contents),
            Some(outline) => {
                outline.contents(&entry.head).map_err(|source| self.damaged(entry, source))
            }
        }
    }

    fn damaged(&self, entry: &Entry, source: FormatError) -> Error {
        let (seq, id) = (entry.map.seq, entry.map.segment);
        Error::Damaged { what: format!("block {seq} of {id} of {}", self.stream.name), source }
    }

    /// Reads a block, also one that was moved since its entry was read.
    pub(crate) fn read(&self, entry: &Entry) -> Result<Block, Error> {
        self.read_at(entry).or_else(|error| match self.moved(entry) {
            Some(entry) => self.read_at(&entry),
            None => Err(error),
        })
    }

    /// Reads the unit of `row` in the block of `entry`: the fragments it lies in, no more.
    pub(crate) fn read_unit(&self, entry: &Entry, row: &Row) -> Result<Unit, Error> {
        self.read_unit_at(entry, row).or_else(|error| match self.moved(entry) {
            Some(entry) => self.read_unit_at(&entry, row),
            None => Err(error),
        })
    }

    fn read_unit_at(&self, entry: &Entry, row: &Row) -> Result<Unit, Error> {
        // The units' data fill the payload to its end.
        let data = entry.head.holds.bytes.try_into().ok();
        let data = data.and_then(|len| (entry.map.payload_bytes as usize).checked_sub(len));
        let field = FormatError::Field { field: "number of bytes" };
        let start = data.ok_or_else(|| self.damaged(entry, field))? + row.offset;
        let part = start..start + row.len;
        if entry.is_out() {
            // A checksum is that of a block: no less can be verified.
            let payload = self.payload(entry)?;
            let field = FormatError::Field { field: "number of bytes" };
            let whole = part.end <= payload.len();
            return match whole {
                true => Ok(row.with(payload.slice(part))),
                false => Err(self.damaged(entry, field)),
            };
        }
        Ok(row.with(self.inner.log.read_block_part(&entry.map, part)?))
    }

    /// What the index says of a block now, if its segment was written anew elsewhere.
    fn moved(&self, entry: &Entry) -> Option<Entry> {
        let place = self.find_unit(entry.head.before.units).ok()??;
        let Ok(Step::Block(now)) = self.entry(place) else { return None };
        let elsewhere = now.map.segment != entry.map.segment || now.is_out() != entry.is_out();
        (elsewhere && now.head == entry.head).then_some(now)
    }

    fn read_at(&self, entry: &Entry) -> Result<Block, Error> {
        let payload = self.payload(entry)?;
        self.parse(entry, &payload)
    }

    /// The payload of a block, on the disks or out.
    fn payload(&self, entry: &Entry) -> Result<Bytes, Error> {
        if !entry.is_out() {
            return Ok(self.inner.log.read_block(&entry.map)?);
        }
        let deleted = || Error::Deleted { name: self.stream.name.clone(), at: entry.head.first };
        let place = self.find_unit(entry.head.before.units)?.ok_or_else(deleted)?;
        let record = self.record(place.segment)?.ok_or_else(deleted)?;
        if record.segment.id != entry.map.segment {
            return Err(deleted()); // or it came back, and is found there
        }
        let tiering = self.inner.tier_of(&self.stream, &record)?;
        let object = tiering.object(&self.stream, &record)?;
        tiering.block(&self.stream, &object, entry.map.seq as usize)
    }

    /// What the payload of `entry` says.
    pub(crate) fn parse(&self, entry: &Entry, payload: &Bytes) -> Result<Block, Error> {
        Block::parse(payload, self.stream.id).map_err(|source| self.damaged(entry, source))
    }

    /// Whether the segment of `place` was deleted meanwhile.
    pub(crate) fn is_deleted(&self, place: Place) -> Result<bool, Error> {
        Ok(matches!(self.entries(place.segment)?, Entries::Freed))
    }
}

/// The tracks recorded at `at`, or else at the next instant, or the last ones.
pub(crate) fn tracks_at(
    inner: &Arc<Inner>,
    stream: Arc<Stream>,
    at: Time,
) -> Result<TrackSet, Error> {
    let finder =
        Finder { inner: inner.clone(), stream: stream.clone(), record_len: inner.record_len };
    let unknown = || Error::UnknownStream { name: stream.name.clone() };
    let spans = stream.spans(&inner.log, Time::MIN, Time::MAX)?;
    let span = spans.iter().find(|span| span.end > at).or(spans.last()).ok_or_else(unknown)?;
    let at = at.clamp(span.head.start, span.end);
    let found = finder.find(span, at)?.ok_or_else(unknown)?;
    match finder.entry(found.key.unwrap_or(found.from))? {
        Step::Block(entry) => match &entry.outline {
            Some(outline) => Ok(outline.tracks.clone()),
            None => Ok(finder.read(&entry)?.contents.tracks),
        },
        Step::Skip(_) | Step::End => Err(unknown()),
    }
}
