//! A recording by its key units: fast forwards and fast backwards. Only they are read, by the fragments they
//! lie in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use pegasus_base::{StreamName, Time};
use pegasus_media::{TrackSet, Unit};

use crate::Continuous;
use crate::error::Error;
use crate::format::span::SpanRecord;
use crate::guarantee::Stock;
use crate::inner::Inner;
use crate::read::Item;
use crate::scan::{Key, Scan};
use crate::stream::Stream;

/// Which way through a recording.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Direction {
    /// From earlier to later.
    #[default]
    Forward,
    /// From later to earlier.
    Backward,
}

/// Which key units to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyOptions {
    /// Which way.
    pub direction: Direction,
    /// At least so much recorded time lies between two of them; zero: all.
    pub every: Duration,
    /// Stop here: forwards before the first one at or after this instant, backwards before the first one
    /// before it. `None`: read to the durable end, or to the beginning.
    pub until: Option<Time>,
    /// Forwards, at the durable end, wait so long for more and then yield [`Item::Waiting`], for ever.
    /// `None`: end there. Backwards it means nothing.
    pub follow: Option<Duration>,
}

/// Reads the key units of the first video track, or of the first track where there is no video. Blocks
/// on disks: for a thread, not for an async task.
///
/// Costs some reads for each segment it comes through, and for each key unit the fragments it lies in. What
/// lies between is neither read nor gone through, if it is much.
#[derive(Debug)]
pub struct KeyReader {
    scan: Scan,
    options: KeyOptions,
    from: Time,
    /// The key unit yielded last.
    last: Option<Key>,
    /// The tracks told last.
    tracks: Option<TrackSet>,
    ready: VecDeque<Item>,
    /// If time of the disks is kept for it.
    stock: Option<Arc<Stock>>,
}

impl Continuous {
    /// Reads the key units of `name` from the one at or before `from` on; forwards, if nothing is recorded at
    /// `from`, from the next span's first.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], or if the disks fail.
    pub fn read_keys(
        &self,
        name: &StreamName,
        from: Time,
        options: KeyOptions,
    ) -> Result<KeyReader, Error> {
        KeyReader::new(self.inner().clone(), self.recorded(name)?, from, options)
    }
}

impl KeyReader {
    pub(crate) fn new(
        inner: Arc<Inner>,
        stream: Arc<Stream>,
        from: Time,
        options: KeyOptions,
    ) -> Result<Self, Error> {
        let scan = Scan::new(inner, stream)?;
        let (last, tracks, ready) = (None, None, VecDeque::new());
        Ok(Self { scan, options, from, last, tracks, ready, stock: None })
    }

    /// With time of the disks that is kept for it.
    pub(crate) fn stocked(mut self, stock: Option<Arc<Stock>>) -> Self {
        self.stock = stock;
        self
    }

    /// The next item, `None` at the end. A gap is told where the next key unit is in another span, with its
    /// earlier end first, whatever the direction; if spans lie between that were left out, it goes over them.
    ///
    /// # Errors
    /// If the disks fail beyond what parity can repair, or something is damaged. The reader may be asked
    /// again; it goes on with the next key unit beyond.
    #[allow(clippy::should_implement_trait)] // fallible, and may yield again after an error
    pub fn next(&mut self) -> Result<Option<Item>, Error> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Ok(Some(item));
            }
            if self.scan.is_over() {
                return Ok(None);
            }
            let inner = self.scan.finder.inner.clone();
            let growth = inner.growth();
            let stock = self.stock.clone();
            let _urgent = stock.as_deref().map(Stock::urgent).transpose()?;
            match (self.key()?, self.options.direction, self.options.follow) {
                (Some(key), ..) if self.is_behind(key.row.time) => return Ok(None),
                (Some(key), ..) => self.take(key)?,
                (None, Direction::Forward, Some(most)) if !inner.is_closed() => {
                    if !inner.wait_for_growth(growth, most) {
                        return Ok(Some(Item::Waiting));
                    }
                }
                (None, ..) => return Ok(None),
            }
        }
    }

    /// The next key unit in the direction.
    fn key(&mut self) -> Result<Option<Key>, Error> {
        let every = self.options.every;
        match (self.options.direction, &self.last) {
            (Direction::Forward, None) => self.scan.key_at(self.from),
            (Direction::Forward, Some(last)) if every.is_zero() => {
                let (place, least) = (last.place, last.number + 1);
                self.scan.key_behind(place, least)
            }
            (Direction::Forward, Some(last)) => {
                let (at, least) = (last.row.time + every, last.number + 1);
                self.scan.key_from(at, least)
            }
            (Direction::Backward, None) => self.scan.key_until(self.from, u64::MAX),
            (Direction::Backward, Some(last)) if every.is_zero() => {
                let (place, number) = (last.place, last.number);
                self.scan.key_before(place, number)
            }
            (Direction::Backward, Some(last)) => {
                let (at, number) = (last.row.time - every, last.number);
                self.scan.key_until(at, number)
            }
        }
    }

    fn is_behind(&self, time: Time) -> bool {
        self.options.until.is_some_and(|until| match self.options.direction {
            Direction::Forward => time >= until,
            Direction::Backward => time < until,
        })
    }

    /// Reads `key`, and puts it into `ready` with what has to be told before it.
    fn take(&mut self, key: Key) -> Result<(), Error> {
        let before = self.last.replace(key.clone());
        let unit = self.read(&key)?;
        if let Some(before) = before.filter(|last| last.span.head.serial != key.span.head.serial) {
            let (earlier, later) = match self.options.direction {
                Direction::Forward => (&before.span, &key.span),
                Direction::Backward => (&key.span, &before.span),
            };
            self.ready.push_back(gap(earlier, later));
        }
        if self.tracks.as_ref() != Some(&key.tracks) {
            self.tracks = Some(key.tracks.clone());
            self.ready.push_back(Item::Tracks(key.tracks));
        }
        self.ready.extend(unit.map(Item::Unit));
        Ok(())
    }

    /// The unit; `None` if it was deleted meanwhile.
    fn read(&mut self, key: &Key) -> Result<Option<Unit>, Error> {
        let finder = self.scan.finder.clone();
        let Some(entry) = self.scan.entry(key.place)? else { return Ok(None) };
        match finder.read_unit(&entry, &key.row) {
            Ok(unit) => Ok(Some(unit)),
            Err(_) if finder.is_deleted(key.place)? => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What lies between two spans.
fn gap(earlier: &SpanRecord, later: &SpanRecord) -> Item {
    Item::Gap { from: earlier.end, to: later.head.start.max(earlier.end) }
}
