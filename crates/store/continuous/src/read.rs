//! The way out: units of a recording from any instant.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use pegasus_base::Time;
use pegasus_media::{TrackSet, Unit};

use crate::ahead::Coming;
use crate::error::Error;
use crate::format::block::{self, Block};
use crate::format::index::Entry;
use crate::format::span::SpanRecord;
use crate::gate::{Gate, Until};
use crate::inner::Inner;
use crate::locate::{Entries, Finder, Place};
use crate::stream::Stream;

/// What to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadOptions {
    /// Stop here: each track ends before its first unit that is decoded at or after this instant.
    /// `None`: read to the durable end.
    pub until: Option<Time>,
    /// At the durable end, wait so long for more and then yield [`Item::Waiting`], for ever.
    /// `None`: end there.
    pub follow: Option<Duration>,
}

/// What a reader yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// The tracks of the units that follow. Precedes the first unit and every change.
    Tracks(TrackSet),
    /// Nothing is recorded in between; the next unit begins a new span.
    Gap {
        /// End of the span before.
        from: Time,
        /// Start of the next.
        to: Time,
    },
    /// The next unit, in the order they were recorded: decode order within a track.
    Unit(Unit),
    /// Following, and nothing new became durable within [`ReadOptions::follow`].
    Waiting,
}

/// Reads a recording from an instant on. Blocks on disks: for a thread, not for an async task.
#[derive(Debug)]
pub struct Reader {
    finder: Finder,
    options: ReadOptions,
    /// The block to be read next; `None` when all is over.
    next: Option<Place>,
    ready: VecDeque<Item>,
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
    held: Option<(Place, Block)>,
    /// The next block, on its way.
    coming: Option<Coming>,
    /// Blocks shown: reading ahead begins with the second.
    blocks: u64,
}

/// A gap that is told of if anything follows it.
#[derive(Debug, Clone, Copy)]
struct PendingGap {
    from: Time,
    to: Option<Time>,
}

impl Reader {
    pub(crate) fn new(
        inner: Arc<Inner>,
        stream: Arc<Stream>,
        from: Time,
        options: ReadOptions,
    ) -> Result<Self, Error> {
        let record_len = inner.record_len;
        let epoch = stream.view(|view| view.epoch);
        let mut reader = Self {
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
            coming: None,
            blocks: 0,
        };
        reader.seek(from)?;
        Ok(reader)
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
        self.next = Some(found.from);
        self.span = Some(span);
        let key = match found.key {
            Some(place) => self.key_unit(place, &span, at)?,
            None => None,
        };
        match key {
            // From the beginning: whatever there is, also what comes late and belongs before.
            Some((_, _, time)) if from <= span.head.start => self.start = Some(time),
            Some((anchor, ordinal, time)) => {
                self.gate = Gate::at_key(anchor, ordinal, time);
                self.start = Some(time);
                self.lead = at.since(time);
            }
            None if from <= span.head.start => self.start = Some(at),
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
    ) -> Result<Option<(pegasus_media::TrackId, u64, Time)>, Error> {
        let Step::Block(entry) = self.finder.entry(place)? else { return Ok(None) };
        let block = match self.finder.read(&entry) {
            Ok(block) => block,
            Err(_) if self.finder.is_deleted(place)? => return Ok(None),
            Err(error) => return Err(error),
        };
        let anchor = block::anchor(&block.tracks);
        let rows = block.rows.iter().zip(block.head.before.units..);
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

    /// The next item, `None` at the end.
    ///
    /// # Errors
    /// If the disks fail beyond what parity can repair, or a block is damaged. The reader may be asked
    /// again; it goes on behind the block.
    #[allow(clippy::should_implement_trait)] // fallible, and may yield again after an error
    pub fn next(&mut self) -> Result<Option<Item>, Error> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(Some(item));
            }
            let Some(place) = self.next else { return Ok(None) };
            if self.epoch != self.finder.stream.view(|view| view.epoch) {
                self.next = None;
                continue;
            }
            if let Some((entry, block)) = self.fetched(place) {
                self.block(place, &entry, Some(block))?;
                continue;
            }
            let growth = self.finder.inner.growth();
            let step = self.finder.entry(place).inspect_err(|_| {
                // The segment's index can't be read; what follows may.
                self.next = Some(Place { segment: place.segment + 1, block: 0 });
            });
            match step? {
                Step::Block(entry) => self.block(place, &entry, None)?,
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
    #[must_use]
    pub fn lead(&self) -> Duration {
        self.lead
    }

    /// Time of the key unit the reader begins with; `None` if nothing is recorded from there on. Where a
    /// span has no key unit before the instant asked for, that instant, or the span's start.
    #[must_use]
    pub fn start(&self) -> Option<Time> {
        self.start
    }

    /// What was read ahead of the block at `place`.
    fn fetched(&mut self, place: Place) -> Option<(Entry, Result<Block, Error>)> {
        self.coming.take_if(|coming| coming.place == place)?.wait()
    }

    /// Reads a block and puts what is shown of it into `ready`.
    fn block(
        &mut self,
        place: Place,
        entry: &Entry,
        fetched: Option<Result<Block, Error>>,
    ) -> Result<(), Error> {
        let next = Place { block: place.block + 1, ..place };
        self.next = Some(next);
        if let (Some(until), Some(tracks)) = (&self.until, &self.tracks)
            && until.is_over(entry.head.first, tracks.len())
        {
            self.next = None;
            return Ok(());
        }
        let held = self.held.take_if(|(held, _)| *held == place);
        let read = match (held, fetched) {
            (Some((_, block)), _) => Ok(block),
            (None, Some(fetched)) => fetched,
            (None, None) => self.finder.read(entry),
        };
        self.blocks += 1;
        if self.blocks > 1 {
            self.coming = self.finder.inner.ahead.fetch(&self.finder, next);
        }
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

    fn show(&mut self, block: &Block) {
        let first = block.head.before.units;
        let spans = self.finder.stream.spans_with_units(first..first + block.rows.len() as u64);
        for (row, ordinal) in block.rows.iter().zip(first..) {
            let span = spans
                .iter()
                .find(|span| (span.head.before.units..span.after.units).contains(&ordinal));
            // Deleted, or kept only because its segment is.
            let Some(span) = span else { continue };
            self.enter(span);
            let within = self.until.as_mut().is_none_or(|until| until.admits(row, &block.tracks));
            if !within || !self.gate.admits(row, ordinal, &block.tracks) {
                continue;
            }
            if let Some(gap) = self.gap.take() {
                let to = gap.to.unwrap_or(row.time).max(gap.from);
                self.ready.push_back(Item::Gap { from: gap.from, to });
            }
            if self.tracks.as_ref() != Some(&block.tracks) {
                self.tracks = Some(block.tracks.clone());
                self.ready.push_back(Item::Tracks(block.tracks.clone()));
            }
            self.shown = self.shown.max(Some(row.time));
            self.start.get_or_insert(row.time);
            self.ready.push_back(Item::Unit(block.unit(row)));
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

/// What is at a place.
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
    fn end(&self) -> Place {
        self.stream.view(|view| match &view.open {
            Some(open) => Place { segment: view.segments.end - 1, block: open.entries.len() },
            None => Place { segment: view.segments.end, block: 0 },
        })
    }

    /// What is at `place`.
    pub(crate) fn entry(&self, place: Place) -> Result<Step, Error> {
        let open = self.stream.view(|view| {
            let last = place.segment + 1 == view.segments.end;
            let open = view.open.as_ref().filter(|_| last)?;
            Some(open.entries.get(place.block).cloned())
        });
        match open {
            Some(Some(entry)) => return Ok(Step::Block(entry)),
            Some(None) => return Ok(Step::End),
            None => {}
        }
        let next = Place { segment: place.segment + 1, block: 0 };
        Ok(match self.entries(place.segment)? {
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

    /// Reads a block.
    pub(crate) fn read(&self, entry: &Entry) -> Result<Block, Error> {
        let payload = self.inner.log.read_block(&entry.map)?;
        Block::parse(&payload, self.stream.id).map_err(|source| {
            let (seq, id) = (entry.map.seq, entry.map.segment);
            Error::Damaged { what: format!("block {seq} of {id} of {}", self.stream.name), source }
        })
    }

    /// Whether the segment of `place` was deleted meanwhile.
    fn is_deleted(&self, place: Place) -> Result<bool, Error> {
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
        Step::Block(entry) => Ok(finder.read(&entry)?.tracks),
        Step::Skip(_) | Step::End => Err(unknown()),
    }
}
