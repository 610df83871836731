//! The way out: units of a recording from any instant.

use std::sync::Arc;
use std::time::Duration;

use pegasus_base::Time;
use pegasus_media::{TrackSet, Unit};

use crate::error::Error;
use crate::guarantee::Stock;
use crate::inner::Inner;
use crate::media::Media;
use crate::stream::Stream;
use crate::walk::Walk;

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

/// What a reader yields; `U` is a unit, or what is said of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item<U = Unit> {
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
    Unit(U),
    /// Following, and nothing new became durable within [`ReadOptions::follow`].
    Waiting,
}

/// Reads a recording from an instant on. Blocks on disks: for a thread, not for an async task.
#[derive(Debug)]
pub struct Reader {
    walk: Walk<Media>,
}

impl Reader {
    pub(crate) fn new(
        inner: Arc<Inner>,
        stream: Arc<Stream>,
        from: Time,
        options: ReadOptions,
    ) -> Result<Self, Error> {
        Ok(Self { walk: Walk::new(Media::default().played(), inner, stream, from, options)? })
    }

    /// As [`Reader::new`], with what is read ahead into `stock`, if there is one.
    pub(crate) fn stocked(
        inner: Arc<Inner>,
        stream: Arc<Stream>,
        stock: Option<Arc<Stock>>,
        from: Time,
        options: ReadOptions,
    ) -> Result<Self, Error> {
        let media = Media::stocked(stock).played();
        Ok(Self { walk: Walk::new(media, inner, stream, from, options)? })
    }

    /// The next item, `None` at the end.
    ///
    /// # Errors
    /// If the disks fail beyond what parity can repair, or a block is damaged. The reader may be asked
    /// again; it goes on behind the block.
    #[allow(clippy::should_implement_trait)] // fallible, and may yield again after an error
    pub fn next(&mut self) -> Result<Option<Item>, Error> {
        self.walk.next()
    }

    /// How far before the instant asked for the first unit lies: decoding must begin at a key
    /// unit. Zero if that instant was in a gap.
    #[must_use]
    pub fn lead(&self) -> Duration {
        self.walk.lead()
    }

    /// Time of the key unit the reader begins with; `None` if nothing is recorded from there on. Where a
    /// span has no key unit before the instant asked for, that instant, or the span's start.
    #[must_use]
    pub fn start(&self) -> Option<Time> {
        self.walk.start()
    }
}
