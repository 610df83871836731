//! Groups of pictures: where they begin and end, from the indexes alone, forwards and backwards.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use pegasus_base::{StreamName, Time};
use pegasus_media::{TrackId, TrackSet, Unit};

use crate::Continuous;
use crate::error::Error;
use crate::format::block::{self, Block, Contents};
use crate::inner::Inner;
use crate::locate::Place;
use crate::scan::{Key, Scan, units_of};
use crate::stream::Stream;
use crate::units::UnitNumber;

/// A group of the first video track, or of the first track where there is no video: its key unit, and what
/// follows of the track up to the next key unit or the end of the span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Number of its first unit.
    pub number: UnitNumber,
    /// Number behind its last unit; units of other tracks lie between.
    pub end: UnitNumber,
    /// Whether it begins with a key unit. What comes before the first of a span continues a group of
    /// the span before.
    pub key: bool,
    /// Time of its first unit.
    pub time: Time,
    /// Time of the next key unit, or the end of the span so far.
    pub until: Time,
    /// Units of the track in it.
    pub units: u64,
    /// Start of its span, as in [`Span::start`](crate::Span::start).
    pub span: Time,
    /// The track.
    pub track: TrackId,
    /// The stream's tracks there.
    pub tracks: TrackSet,
}

/// Lists groups one after another, and reads them. Listing reads no media. Blocks on disks: for a
/// thread, not for an async task.
#[derive(Debug)]
pub struct Groups {
    scan: Scan,
    /// Forwards, at least so much between two key units; `None` backwards.
    every: Option<Duration>,
    from: Time,
    /// Forwards, the key unit of the group yielded last: where it is, its time, its number.
    last: Option<(Place, Time, u64)>,
    /// Backwards: where to look for the next key unit, and the number behind what is left.
    left: Option<(Place, u64)>,
    ready: VecDeque<Group>,
    over: bool,
    /// The block read last: the next group may have its end in it.
    held: Option<(Place, Block)>,
}

impl Continuous {
    /// The groups of `name` from the one at `from` on, or, if nothing is recorded then, from the next. Left
    /// out are those whose key unit lies less than `every` behind that of the one before.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], or if the disks fail.
    pub fn groups(&self, name: &StreamName, from: Time, every: Duration) -> Result<Groups, Error> {
        Groups::new(self.inner().clone(), self.recorded(name)?, from, Some(every))
    }

    /// The groups of `name` from the one at `from` back to the beginning, the last first. All come: where
    /// pictures before the first key unit of a span are shown by a reader from the beginning, they come as a
    /// group without key.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], or if the disks fail.
    pub fn groups_back(&self, name: &StreamName, from: Time) -> Result<Groups, Error> {
        Groups::new(self.inner().clone(), self.recorded(name)?, from, None)
    }
}

impl Groups {
    fn new(
        inner: Arc<Inner>,
        stream: Arc<Stream>,
        from: Time,
        every: Option<Duration>,
    ) -> Result<Self, Error> {
        let scan = Scan::new(inner, stream)?;
        let (last, left, held) = (None, None, None);
        let ready = VecDeque::new();
        Ok(Self { scan, every, from, last, left, ready, over: false, held })
    }

    /// The next group, `None` at the end: forwards the durable end, backwards the beginning.
    ///
    /// # Errors
    /// If an index can't be read. It may be asked again; it goes on beyond it.
    #[allow(clippy::should_implement_trait)] // fallible, and may yield again after an error
    pub fn next(&mut self) -> Result<Option<Group>, Error> {
        if self.scan.is_over() {
            return Ok(None);
        }
        match self.every {
            Some(every) => self.forward(every),
            None => self.backward(),
        }
    }

    fn forward(&mut self, every: Duration) -> Result<Option<Group>, Error> {
        let key = match self.last {
            Some((place, _, number)) if every.is_zero() => {
                self.scan.key_behind(place, number + 1)?
            }
            Some((_, time, number)) => self.scan.key_from(time + every, number + 1)?,
            None => self.scan.key_at(self.from)?,
        };
        let Some(key) = key else { return Ok(None) };
        self.last = Some((key.place, key.row.time, key.number));
        let extent = self.scan.extent(key.place, key.number, &key.span)?;
        let (end, until) = (UnitNumber(extent.end), extent.until);
        Ok(Some(Group { end, until, units: extent.units, ..of_key(&key) }))
    }

    fn backward(&mut self) -> Result<Option<Group>, Error> {
        loop {
            if let Some(group) = self.ready.pop_front() {
                return Ok(Some(group));
            }
            if self.over {
                return Ok(None);
            }
            let Some((place, end)) = self.left else {
                self.left = self.last_place()?;
                self.over = self.left.is_none();
                continue;
            };
            let key = self.scan.key_before(place, end)?;
            self.left = key.as_ref().map(|key| (key.place, key.number));
            self.over = key.is_none();
            self.split(key, end)?;
        }
    }

    /// Backwards, where to begin: a block at or behind the group at `from`, and the number behind it.
    fn last_place(&mut self) -> Result<Option<(Place, u64)>, Error> {
        let Some(span) = self.scan.span_until(self.from)? else { return Ok(None) };
        let next = self.scan.key_from(self.from.offset_ns(1), span.head.before.units)?;
        let next = next.filter(|key| key.span.head.serial == span.head.serial);
        let end = next.map_or(span.after.units, |key| key.number);
        let place = self.scan.finder.find_unit(end.saturating_sub(1))?;
        Ok(place.map(|place| (place, end)))
    }

    /// Makes groups of the units between `key` and number `end`: one of each span there is.
    fn split(&mut self, key: Option<Key>, end: u64) -> Result<(), Error> {
        let start = key.as_ref().map_or(0, |key| key.number);
        let mut spans = self.scan.finder.stream.spans_with_units(start..end);
        if key.is_none() && !spans.is_empty() {
            // No reader shows what comes before the first key unit of all.
            spans.remove(0);
        }
        for span in spans.iter().rev() {
            let units = units_of(span);
            match &key {
                Some(key) if units.contains(&key.number) => {
                    let extent = self.scan.extent(key.place, key.number, span)?;
                    let (last, until) = (UnitNumber(extent.end), extent.until);
                    let group = Group { end: last, until, units: extent.units, ..of_key(key) };
                    self.ready.push_back(group);
                }
                _ => {
                    let group = self.headless(units.start..units.end.min(end))?;
                    self.ready.extend(group);
                }
            }
        }
        Ok(())
    }

    /// What comes before the first key unit of a span, if anything does.
    fn headless(&mut self, units: Range<u64>) -> Result<Option<Group>, Error> {
        let spans = self.scan.finder.stream.spans_with_units(units.clone());
        let (Some(span), Some(place)) = (spans.first(), self.scan.finder.find_unit(units.start)?)
        else {
            return Ok(None);
        };
        let extent = self.scan.extent(place, units.start, span)?;
        let Some((tracks, row, number)) = self.scan.first_of(place, units.clone())? else {
            return Ok(None);
        };
        Ok((extent.units > 0).then(|| Group {
            number: UnitNumber(number),
            end: UnitNumber(extent.end),
            key: false,
            time: row.time,
            until: extent.until,
            units: extent.units,
            span: span.head.start,
            track: row.track,
            tracks,
        }))
    }

    /// The units of `group`, in decode order. Pictures that are shown before the key unit are among them;
    /// to decode these takes the group before as well.
    ///
    /// # Errors
    /// If the disks fail beyond what parity can repair, a block is damaged, or the group was deleted.
    pub fn read(&mut self, group: &Group) -> Result<Vec<Unit>, Error> {
        let stream = self.scan.finder.stream.clone();
        let deleted = || Error::Deleted { name: stream.name.clone(), at: group.time };
        let numbers = group.number.0..group.end.0;
        let found = self.scan.finder.find_unit(numbers.start)?;
        let mut place = found.ok_or_else(deleted)?;
        let (mut units, mut first) = (Vec::new(), None);
        loop {
            let Some(entry) = self.scan.entry(place)? else {
                if place.segment + 1 >= self.scan.finder.stream.view(|view| view.segments.end) {
                    break;
                }
                place = Place { segment: place.segment + 1, block: 0 };
                continue;
            };
            if entry.head.before.units >= numbers.end {
                break;
            }
            let block = match self.held.take_if(|(held, _)| *held == place) {
                Some((_, block)) => block,
                None => self.scan.finder.read(&entry)?,
            };
            take(&block, group.track, &numbers, &mut units);
            first.get_or_insert((place, block));
            place.block += 1;
        }
        self.held = first;
        let kept = units.len() as u64 == group.units && !self.scan.is_over();
        if kept { Ok(units) } else { Err(deleted()) }
    }
}

/// Appends the units of `track` in `block` that are numbered in `numbers`.
fn take(block: &Block, track: TrackId, numbers: &Range<u64>, out: &mut Vec<Unit>) {
    let Contents { head, tracks, rows } = &block.contents;
    for (row, number) in rows.iter().zip(head.before.units..) {
        if row.track == block::anchor(tracks) && numbers.contains(&number) {
            out.push(Unit { track, ..block.unit(row) });
        }
    }
}

/// A group with this key unit, of which the end is not known yet.
fn of_key(key: &Key) -> Group {
    Group {
        number: UnitNumber(key.number),
        end: UnitNumber(key.number + 1),
        key: true,
        time: key.row.time,
        until: key.row.time,
        units: 1,
        span: key.span.head.start,
        track: key.row.track,
        tracks: key.tracks.clone(),
    }
}
