//! Units by number: what was [listed](crate::Listing) before is read, exactly that.

use std::collections::VecDeque;
use std::sync::Arc;

use pegasus_base::Time;
use pegasus_media::Unit;

use crate::error::Error;
use crate::format::block::{Block, Contents};
use crate::format::index::Entry;
use crate::guarantee::Stock;
use crate::inner::Inner;
use crate::locate::{Finder, Place};
use crate::media::Media;
use crate::step::Step;
use crate::stream::Stream;
use crate::walk::Source;

/// The number of a unit among all that were ever recorded of its stream, from 0, in the order they were
/// recorded. Deleting does not change it, so as long as the stream exists it means the same bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnitNumber(pub u64);

/// Reads a recording from a unit on: all units that are there, in the order they were recorded. Blocks on
/// disks: for a thread, not for an async task.
#[derive(Debug)]
pub struct Units {
    finder: Finder,
    media: Media,
    from: UnitNumber,
    /// The block to be read next; `None` when all is over.
    next: Option<Place>,
    ready: VecDeque<(UnitNumber, Unit)>,
    epoch: u64,
}

impl Units {
    pub(crate) fn new(
        inner: Arc<Inner>,
        stream: Arc<Stream>,
        from: UnitNumber,
    ) -> Result<Self, Error> {
        let epoch = stream.view(|view| view.epoch);
        // What is deleted is told from the list of spans, which must be in memory.
        stream.spans(&inner.log, Time::MIN, Time::MAX)?;
        let record_len = inner.record_len;
        let finder = Finder { inner, stream, record_len };
        let next = finder.find_unit(from.0)?;
        let (media, ready) = (Media::default(), VecDeque::new());
        Ok(Self { finder, media, from, next, ready, epoch })
    }

    /// Takes blocks from `stock`, if there is one.
    pub(crate) fn stocked(mut self, stock: Option<Arc<Stock>>) -> Self {
        self.media = Media::stocked(stock);
        self
    }

    /// The next unit with its number, `None` at the durable end. Numbers grow; those left out are
    /// deleted.
    ///
    /// # Errors
    /// If the disks fail beyond what parity can repair, or a block is damaged. It may be asked again;
    /// it goes on behind the block.
    #[allow(clippy::should_implement_trait)] // fallible, and may yield again after an error
    pub fn next(&mut self) -> Result<Option<(UnitNumber, Unit)>, Error> {
        loop {
            if let Some(unit) = self.ready.pop_front() {
                return Ok(Some(unit));
            }
            let Some(place) = self.next else { return Ok(None) };
            if self.epoch != self.finder.stream.view(|view| view.epoch) {
                self.next = None;
                continue;
            }
            let behind = Place { segment: place.segment + 1, block: 0 };
            let step = self.media.step(&self.finder, place);
            match step.inspect_err(|_| self.next = Some(behind))? {
                Step::Block(entry) => self.block(place, &entry)?,
                Step::Skip(place) => self.next = Some(place),
                Step::End => self.next = None,
            }
        }
    }

    /// Reads a block, and puts what is there of it into `ready`.
    fn block(&mut self, place: Place, entry: &Entry) -> Result<(), Error> {
        self.next = Some(Place { block: place.block + 1, ..place });
        match self.media.read(&self.finder, place, entry) {
            Ok(block) => self.take(&block),
            Err(_) if self.finder.is_deleted(place)? => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn take(&mut self, block: &Block) {
        let Contents { head, rows, .. } = &block.contents;
        let (first, end) = (head.before.units, head.after().units);
        let spans = self.finder.stream.spans_with_units(first..end);
        let there = |number: &u64| {
            spans.iter().any(|span| (span.head.before.units..span.after.units).contains(number))
        };
        for (row, number) in rows.iter().zip(first..) {
            if number >= self.from.0 && there(&number) {
                self.ready.push_back((UnitNumber(number), block.unit(row)));
            }
        }
    }
}
