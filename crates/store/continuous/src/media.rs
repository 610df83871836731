//! Blocks with their media, the next one read ahead.

use std::sync::Arc;

use pegasus_media::Unit;

use crate::ahead::Coming;
use crate::error::Error;
use crate::format::block::{Block, Contents};
use crate::format::index::Entry;
use crate::format::table::Row;
use crate::guarantee::{Stock, Taken};
use crate::locate::{Finder, Place};
use crate::step::Step;
use crate::units::UnitNumber;
use crate::walk::Source;

/// Reads whole blocks.
#[derive(Debug, Default)]
pub(crate) struct Media {
    /// What a schedule reads ahead, if the playback has a promise.
    stock: Option<Arc<Stock>>,
    /// The next block, on its way.
    coming: Option<Coming>,
    /// A block that was on its way and has arrived.
    arrived: Option<(Place, Result<Block, Error>)>,
    /// Somebody plays it: what is out is to come back.
    is_played: bool,
    /// The segment that was played last.
    segment: Option<u64>,
    /// Blocks read: reading ahead begins with the second, since many readers want only one.
    blocks: u64,
}

impl Media {
    /// Takes blocks from what was read ahead for a playback that has a promise.
    pub(crate) fn stocked(stock: Option<Arc<Stock>>) -> Self {
        Self { stock, ..Self::default() }
    }

    /// What is read is played: it stays in, and what of it is out comes back.
    pub(crate) fn played(self) -> Self {
        Self { is_played: true, ..self }
    }

    /// Tells the tier, once for each segment.
    fn note(&mut self, finder: &Finder, place: Place) {
        if self.is_played
            && self.segment.replace(place.segment) != Some(place.segment)
            && let Some(tiering) = finder.inner.tiering()
        {
            tiering.played(finder, place.segment, place.block);
        }
    }

    /// What the stock has at `place`.
    fn take(&mut self, stock: &Stock, finder: &Finder, place: Place) -> Result<Step, Error> {
        match stock.take(place)? {
            Taken::Step(step) => Ok(step),
            Taken::Here(entry, payload) => {
                // A block that is not what it should be may have been moved: read once more, in the usual way.
                let block = finder.parse(&entry, &payload).or_else(|_| finder.read(&entry));
                self.arrived = Some((place, block));
                Ok(Step::Block(entry))
            }
        }
    }
}

impl Source for Media {
    type Block = Block;
    type Unit = Unit;

    fn step(&mut self, finder: &Finder, place: Place) -> Result<Step, Error> {
        if let Some(stock) = self.stock.clone() {
            return self.take(&stock, finder, place);
        }
        let coming = self.coming.take_if(|coming| coming.place == place);
        match coming.and_then(Coming::wait) {
            Some((entry, block)) => {
                self.arrived = Some((place, block));
                Ok(Step::Block(entry))
            }
            None => finder.entry(place),
        }
    }

    fn read(&mut self, finder: &Finder, place: Place, entry: &Entry) -> Result<Block, Error> {
        self.note(finder, place);
        let arrived = self.arrived.take().filter(|(at, _)| *at == place);
        let block = match (arrived, &self.stock) {
            (Some((_, block)), _) => block,
            (None, Some(stock)) => stock.urgent().and_then(|_urgent| finder.read(entry)),
            (None, None) => finder.read(entry),
        };
        self.blocks += 1;
        if self.blocks > 1 && self.stock.is_none() {
            let next = Place { block: place.block + 1, ..place };
            self.coming = finder.inner.ahead.fetch(finder, next);
        }
        block
    }

    fn contents(block: &Block) -> &Contents {
        &block.contents
    }

    fn unit(block: &Block, row: &Row, _: UnitNumber) -> Unit {
        block.unit(row)
    }
}
