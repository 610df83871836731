//! Going through a recording from an instant on: what of it is shown, be it the media or only what is
//! said of it.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use pegasus_base::Time;
use pegasus_media::{TrackId, TrackSet};

use crate::error::Error;
use crate::format::block::{self, Contents};
use crate::format::index::Entry;
use crate::format::span::SpanRecord;
use crate::format::table::Row;
use crate::gate::{Gate, Until};
use crate::inner::Inner;
use crate::locate::{Finder, Place};
use crate::read::{Item, ReadOptions};
use crate::step::Step;
use crate::stream::Stream;
use crate::units::UnitNumber;

/// Where blocks come from, and what becomes of their units.
pub(crate) trait Source: Debug {
    /// A block, as far as it is needed.
    type Block: Debug;
    /// What is shown of a unit.
    type Unit: Debug;

    /// What is at `place`.
    fn step(&mut self, finder: &Finder, place: Place) -> Result<Step, Error>;

    /// Reads the block of `entry`, which is at `place`.
    fn read(&mut self, finder: &Finder, place: Place, entry: &Entry) -> Result<Self::Block, Error>;

    /// What is in a block.
    fn contents(block: &Self::Block) -> &Contents;

    /// The unit of `row`.
    fn unit(block: &Self::Block, row: &Row, number: UnitNumber) -> Self::Unit;
}

/// A way through a recording.
#[derive(Debug)]
pub(crate) struct Walk<S: Source> {
    source: S,
    finder: Finder,
    options: ReadOptions,
    /// The block to be read next; `None` when all is over.
    next: Option<Place>,
    ready: VecDeque<Item<S::Unit>>,
    gate: Gate,
    until: Option<Until>,
    span: Option<SpanRecord>,
    tracks: Option<TrackSet>,
    gap: Option<PendingGap>,
    /// End of what was shown last.
    shown: Option<Time>,
    start: Option<Time>,
    lead: Duration,
    epoch: u64,
    /// A block that was read already, to find the key unit in it.
    held: Option<(Place, S::Block)>,
}

/// A gap that is told of if anything follows it.
#[derive(Debug, Clone, Copy)]
struct PendingGap {
    from: Time,
    to: Option<Time>,
}

impl<S: Source> Walk<S> {
    pub(crate) fn new(
        source: S,
        inner: Arc<Inner>,
        stream: Arc<Stream>,
        from: Time,
        options: ReadOptions,
    ) -> Result<Self, Error> {
        let record_len = inner.record_len;
        let epoch = stream.view(|view| view.epoch);
        let mut walk = Self {
            source,
            finder: Finder { inner, stream, record_len },
            options,
            next: None,
            ready: VecDeque::new(),
            gate: Gate::first_key(Time::MIN),
            until: options.until.map(Until::new),
            span: None,
            tracks: None,
            gap: None,
            shown: None,
            start: None,
            lead: Duration::ZERO,
            epoch,
            held: None,
        };
        walk.seek(from)?;
        Ok(walk)
    }

    fn seek(&mut self, from: Time) -> Result<(), Error> {
        let log = &self.finder.inner.log;
        let spans = self.finder.stream.spans(log, from, Time::MAX)?;
        let Some(span) = spans.first().copied() else {
            self.next = self.options.follow.map(|_| self.finder.end());
            return Ok(());
        };
        if self.options.until.is_some_and(|until| until <= span.head.start) {
            return Ok(());
        }
        let at = from.max(span.head.start);
        let Some(found) = self.finder.find(&span, at)? else { return Ok(()) };
        let is_whole = from <= span.head.start;
        // Its times may go back a little: what has the earliest need not be what was recorded first.
        let first = is_whole.then(|| self.finder.find_unit(span.head.before.units)).transpose()?;
        self.next = first.flatten().into_iter().chain([found.from]).min();
        self.span = Some(span);
        let key = match found.key {
            Some(place) => self.key_unit(place, &span, at)?,
            None => None,
        };
        match key {
            // From the beginning: whatever there is, also what comes late and belongs before.
            Some((_, _, time)) if is_whole => self.start = Some(time),
            Some((anchor, ordinal, time)) => {
                self.gate = Gate::at_key(anchor, ordinal, time);
                self.start = Some(time);
                self.lead = at.since(time);
            }
            None if is_whole => self.start = Some(at),
            None => {
                self.gate = Gate::first_key(at);
                self.start = Some(at);
            }
        }
        Ok(())
    }

    /// The last key unit of the block at `place` at or before `at` that is in `span`: its track, its
    /// number in the stream, and its time.
    fn key_unit(
        &mut self,
        place: Place,
        span: &SpanRecord,
        at: Time,
    ) -> Result<Option<(TrackId, u64, Time)>, Error> {
        let Step::Block(entry) = self.source.step(&self.finder, place)? else { return Ok(None) };
        let block = match self.source.read(&self.finder, place, &entry) {
            Ok(block) => block,
            Err(_) if self.finder.is_deleted(place)? => return Ok(None),
            Err(error) => return Err(error),
        };
        let Contents { head, tracks, rows } = S::contents(&block);
        let anchor = block::anchor(tracks);
        let rows = rows.iter().zip(head.before.units..);
        let keys = rows.filter(|(row, ordinal)| {
            row.track == anchor
                && row.key
                && row.time <= at
                && (span.head.before.units..span.after.units).contains(ordinal)
        });
        let key = keys.last().map(|(row, ordinal)| (anchor, ordinal, row.time));
        self.held = Some((place, block));
        Ok(key)
    }

    /// The next item, `None` at the end. After an error it goes on behind the block.
    pub(crate) fn next(&mut self) -> Result<Option<Item<S::Unit>>, Error> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(Some(item));
            }
            let Some(place) = self.next else { return Ok(None) };
            if self.epoch != self.finder.stream.view(|view| view.epoch) {
                self.next = None;
                continue;
            }
            let growth = self.finder.inner.growth();
            let step = self.source.step(&self.finder, place).inspect_err(|_| {
                // The segment's index can't be read; what follows may.
                self.next = Some(Place { segment: place.segment + 1, block: 0 });
            });
            match step? {
                Step::Block(entry) => self.block(place, &entry)?,
                Step::Skip(place) => self.next = Some(place),
                Step::End => match self.options.follow {
                    Some(most) if !self.finder.inner.is_closed() => {
                        if !self.finder.inner.wait_for_growth(growth, most) {
                            return Ok(Some(Item::Waiting));
                        }
                    }
                    _ => self.next = None,
                },
            }
        }
    }

    /// How far before the instant asked for the first unit lies: decoding must begin at a key
    /// unit. Zero if that instant was in a gap.
    pub(crate) fn lead(&self) -> Duration {
        self.lead
    }

    /// Time of the key unit the reader begins with; `None` if nothing is recorded from there on. Where a
    /// span has no key unit before the instant asked for, that instant, or the span's start.
    pub(crate) fn start(&self) -> Option<Time> {
        self.start
    }

    /// Reads a block and puts what is shown of it into `ready`.
    fn block(&mut self, place: Place, entry: &Entry) -> Result<(), Error> {
        self.next = Some(Place { block: place.block + 1, ..place });
        if let (Some(until), Some(tracks)) = (&self.until, &self.tracks)
            && until.is_over(entry.head.first, tracks.len())
        {
            self.next = None;
            return Ok(());
        }
        let read = match self.held.take_if(|(held, _)| *held == place) {
            Some((_, block)) => Ok(block),
            None => self.source.read(&self.finder, place, entry),
        };
        match read {
            Ok(block) => {
                self.show(&block);
                Ok(())
            }
            Err(_) if self.finder.is_deleted(place)? => Ok(()),
            Err(error) => {
                // What follows can be decoded only from a key unit on.
                self.gate = Gate::first_key(Time::MIN);
                let from = self.shown.unwrap_or(entry.head.first);
                self.gap.get_or_insert(PendingGap { from, to: None });
                Err(error)
            }
        }
    }

    fn show(&mut self, block: &S::Block) {
        let Contents { head, tracks, rows } = S::contents(block);
        let first = head.before.units;
        let spans = self.finder.stream.spans_with_units(first..first + rows.len() as u64);
        for (row, ordinal) in rows.iter().zip(first..) {
            let span = spans
                .iter()
                .find(|span| (span.head.before.units..span.after.units).contains(&ordinal));
            // Deleted, or kept only because its segment is.
            let Some(span) = span else { continue };
            self.enter(span);
            let within = self.until.as_mut().is_none_or(|until| until.admits(row, tracks));
            if !within || !self.gate.admits(row, ordinal, tracks) {
                continue;
            }
            if let Some(gap) = self.gap.take() {
                let to = gap.to.unwrap_or(row.time).max(gap.from);
                self.ready.push_back(Item::Gap { from: gap.from, to });
            }
            if self.tracks.as_ref() != Some(tracks) {
                self.tracks = Some(tracks.clone());
                self.ready.push_back(Item::Tracks(tracks.clone()));
            }
            self.shown = self.shown.max(Some(row.time));
            self.start.get_or_insert(row.time);
            self.ready.push_back(Item::Unit(S::unit(block, row, UnitNumber(ordinal))));
        }
    }

    /// The unit that follows is in `span`.
    fn enter(&mut self, span: &SpanRecord) {
        let left = match &mut self.span {
            Some(current)
                if current.head.serial == span.head.serial
                    && (current.head.before..=current.after).contains(&span.head.before) =>
            {
                // The same one, which may have grown or been cut at its beginning.
                *current = *span;
                return;
            }
            Some(current) => current.end,
            None => {
                self.span = Some(*span);
                return;
            }
        };
        self.span = Some(*span);
        self.gate = Gate::Open;
        if self.shown.is_some() {
            let from = self.gap.map_or(left, |gap| gap.from);
            self.gap = Some(PendingGap { from, to: Some(span.head.start) });
        }
    }
}
