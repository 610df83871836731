//! What a reader would show, without the media: from the indexes of segments, which repeat the tables of
//! units of all their blocks.

use std::sync::Arc;

use pegasus_base::TimeRange;
use pegasus_media::UnitMeta;

use crate::error::Error;
use crate::format::block::Contents;
use crate::format::index::Entry;
use crate::format::table::Row;
use crate::inner::Inner;
use crate::locate::{Finder, Place};
use crate::read::{Item, ReadOptions};
use crate::step::Step;
use crate::stream::Stream;
use crate::units::UnitNumber;
use crate::walk::{Source, Walk};

/// A unit of a recording, without its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// Its number, by which [`Continuous::read_units`](crate::Continuous::read_units) finds it.
    pub number: UnitNumber,
    /// What it is.
    pub meta: UnitMeta,
}

/// Lists a range of a recording unit by unit. Costs a read for each segment, and less than 1 % of the
/// bytes that a [`Reader`](crate::Reader) reads. Holds the index of one segment.
///
/// Media that is damaged or missing is not noticed: it is listed all the same.
#[derive(Debug)]
pub struct Listing {
    walk: Walk<Tables>,
}

impl Listing {
    pub(crate) fn new(
        inner: Arc<Inner>,
        stream: Arc<Stream>,
        range: TimeRange,
    ) -> Result<Self, Error> {
        let options = ReadOptions { until: Some(range.end), follow: None };
        Ok(Self { walk: Walk::new(Tables::default(), inner, stream, range.start, options)? })
    }

    /// The next item, `None` at the end. Never [`Item::Waiting`].
    ///
    /// # Errors
    /// If an index, or a block that it doesn't tell the table of, can't be read. The listing may be asked
    /// again; it goes on behind the segment or block.
    #[allow(clippy::should_implement_trait)] // fallible, and may yield again after an error
    pub fn next(&mut self) -> Result<Option<Item<Listed>>, Error> {
        self.walk.next()
    }
}

/// Reads indexes only.
#[derive(Debug, Default)]
struct Tables {
    /// The sealed segment that was read last, and its index.
    index: Option<(u64, Arc<[Entry]>)>,
    /// Indexes read.
    read: u64,
}

/// Who lists more segments than this goes through a recording once: he would only drive out what others come back to.
const KEPT_OF_ONE: u64 = 2;

impl Source for Tables {
    type Block = Contents;
    type Unit = Listed;

    fn step(&mut self, finder: &Finder, place: Place) -> Result<Step, Error> {
        if self.index.as_ref().is_none_or(|(segment, _)| *segment != place.segment) {
            let keeps = self.read < KEPT_OF_ONE;
            self.index =
                finder.index(place.segment, keeps)?.map(|entries| (place.segment, entries));
            self.read += 1;
        }
        let Some((_, entries)) = &self.index else { return finder.entry(place) };
        Ok(match entries.get(place.block) {
            Some(entry) => Step::Block(entry.clone()),
            None => Step::Skip(Place { segment: place.segment + 1, block: 0 }),
        })
    }

    fn read(&mut self, finder: &Finder, _: Place, entry: &Entry) -> Result<Contents, Error> {
        finder.contents(entry)
    }

    fn contents(block: &Contents) -> &Contents {
        block
    }

    fn unit(_: &Contents, row: &Row, number: UnitNumber) -> Listed {
        let Row { track, pts, dts, time, duration, key, len, .. } = *row;
        let len_bytes = u32::try_from(len).expect("a block is less than 4 GiB");
        Listed { number, meta: UnitMeta { track, pts, dts, time, duration, key, len_bytes } }
    }
}
