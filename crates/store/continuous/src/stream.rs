//! What is known of one stream: shared by its recorder, the committer and readers.

use std::ops::Range;

use parking_lot::Mutex;
use pegasus_base::{StreamId, StreamName, Time};
use pegasus_log::{BlockMap, Log};

use crate::directory::Directory;
use crate::error::Error;
use crate::format::block::Totals;
use crate::format::catalogue::StreamRecord;
use crate::format::index::{Entry, IndexLen};
use crate::format::segment::{Sealed, SegmentRecord, State};
use crate::format::span::SpanRecord;
use crate::queue::Queue;
use crate::spans::{self, Front, Spans};
use crate::status::RecordedStream;

/// One stream. Its locks are held for moments only, never while a disk works; `queue` and `view` are
/// never held together.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) name: StreamName,
    pub(crate) id: StreamId,
    queue: Mutex<Queue>,
    view: Mutex<View>,
    directory: Directory,
    /// Why nothing of it can be read or written: what is on disk of it is damaged.
    pub(crate) damage: Option<String>,
}

/// What is durable of a stream. Only the committer changes it, after each commit.
#[derive(Debug)]
pub(crate) struct View {
    /// Its place in the catalogue and what stands there, from the first commit on.
    pub(crate) catalogued: Option<(u32, StreamRecord)>,
    /// Numbers of the directory's records that are kept.
    pub(crate) segments: Range<u64>,
    /// The first of these records.
    pub(crate) front: Option<SegmentRecord>,
    /// The last of these records, if blocks are appended to its segment, with their maps and heads.
    pub(crate) open: Option<OpenSegment>,
    pub(crate) spans: Spans,
    /// End of the newest durable unit.
    pub(crate) end: Option<Time>,
    /// Totals behind it.
    pub(crate) after: Totals,
    /// Records before this one hold no slots: they are out, or were deleted. It may lag behind.
    pub(crate) first_in: u64,
    /// How often all of it was deleted: numbers of segments mean something within one epoch.
    pub(crate) epoch: u64,
}

/// The segment that blocks are appended to.
#[derive(Debug, Clone)]
pub(crate) struct OpenSegment {
    pub(crate) record: SegmentRecord,
    entries: Vec<Entry>,
    index_len: IndexLen,
    /// An index of all entries that is in it already: a crash came between it and the record that says so.
    pub(crate) index: Option<BlockMap>,
}

impl OpenSegment {
    /// Without blocks.
    pub(crate) fn new(record: SegmentRecord) -> Self {
        Self { record, entries: Vec::new(), index_len: IndexLen::new(), index: None }
    }

    /// A block was appended.
    pub(crate) fn push(&mut self, entry: Entry) {
        let fragments = entry.map.extents().count();
        let so_far = std::mem::replace(&mut self.index_len, IndexLen::new());
        self.index_len = so_far.with(entry.outline.as_ref(), fragments);
        self.entries.push(entry);
        self.index = None;
    }

    /// Its blocks, in order.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How long its index gets.
    pub(crate) fn index_len(&self) -> &IndexLen {
        &self.index_len
    }

    /// What its record says once it is sealed.
    pub(crate) fn sealed(&self) -> Sealed {
        sealed(&self.record, &self.entries)
    }
}

/// What the record of a segment with `entries` says once it is sealed, its index apart.
pub(crate) fn sealed(record: &SegmentRecord, entries: &[Entry]) -> Sealed {
    let tail = entries.last().map(|entry| entry.head);
    Sealed {
        end: tail.map_or(record.first, |head| head.end),
        after: tail.map_or(record.before, |head| head.after()),
        span: tail.map_or(0, |head| head.span.serial),
        mark: entries.iter().find_map(|entry| entry.head.mark).map(|mark| mark.time),
        index: None,
        asked: None,
    }
}

impl View {
    /// A stream of which nothing is recorded.
    pub(crate) fn new() -> Self {
        Self {
            catalogued: None,
            segments: 0..0,
            front: None,
            open: None,
            spans: Spans::new(0..0, None),
            end: None,
            after: Totals::default(),
            first_in: 0,
            epoch: 0,
        }
    }

    /// Where what is kept begins.
    pub(crate) fn front(&self) -> Option<Front> {
        let record = match (&self.open, self.segments.end - self.segments.start) {
            (Some(open), 1) => {
                let start = open.sealed().mark.unwrap_or(open.record.first);
                return Some(Front { start, before: open.record.before });
            }
            _ => self.front.as_ref()?,
        };
        let start = match &record.state {
            State::Sealed(Sealed { mark: Some(mark), .. })
            | State::Out(Sealed { mark: Some(mark), .. }, _) => *mark,
            _ => record.first,
        };
        Some(Front { start, before: record.before })
    }
}

impl Stream {
    pub(crate) fn new(name: StreamName, id: StreamId, queue: Queue, view: View) -> Self {
        Self {
            name,
            id,
            queue: Mutex::new(queue),
            view: Mutex::new(view),
            directory: Directory::default(),
            damage: None,
        }
    }

    /// A stream that can't be used because of what is on disk of it.
    pub(crate) fn damaged(name: StreamName, id: StreamId, why: String) -> Self {
        let damage = Some(why);
        Self { damage, ..Self::new(name, id, Queue::new(None), View::new()) }
    }

    /// Refuses a stream that can't be used.
    ///
    /// # Errors
    /// [`Error::DamagedStream`].
    pub(crate) fn check_damage(&self) -> Result<(), Error> {
        match &self.damage {
            Some(why) => Err(Error::DamagedStream { name: self.name.clone(), why: why.clone() }),
            None => Ok(()),
        }
    }

    pub(crate) fn queue<R>(&self, f: impl FnOnce(&mut Queue) -> R) -> R {
        f(&mut self.queue.lock())
    }

    pub(crate) fn view<R>(&self, f: impl FnOnce(&mut View) -> R) -> R {
        f(&mut self.view.lock())
    }

    /// Record number `index` of the directory as it is on disk; `None` if it is not there.
    ///
    /// # Errors
    /// If it can't be read.
    pub(crate) fn segment(
        &self,
        log: &Log,
        record_len: usize,
        index: u64,
    ) -> Result<Option<SegmentRecord>, Error> {
        let kept = self.view(|view| {
            let segments = view.catalogued.as_ref().map(|(_, record)| record.segments);
            segments.filter(|_| view.segments.contains(&index))
        });
        match kept {
            Some(pnode) => self.directory.get(log, pnode, record_len, index),
            None => Ok(None),
        }
    }

    /// All that was recorded is deleted; returns the place in the catalogue it had.
    pub(crate) fn reset(&self) -> Option<u32> {
        let slot = self.view(|view| {
            let old = std::mem::replace(view, View::new());
            view.epoch = old.epoch + 1;
            old.catalogued.map(|(slot, _)| slot)
        });
        self.directory.clear();
        slot
    }

    /// Record number `index` of the directory has changed on disk.
    pub(crate) fn segment_changed(&self, index: u64) {
        self.directory.changed(index);
    }

    /// Record number `index` is `record` now.
    pub(crate) fn record_changed(&self, index: u64, record: SegmentRecord) {
        self.segment_changed(index);
        self.view(|view| {
            if view.segments.start == index && view.front.is_some() {
                view.front = Some(record);
            }
        });
    }

    /// Number of the first record of a segment that holds slots, or of the one behind all that are listed.
    ///
    /// # Errors
    /// If the directory can't be read.
    pub(crate) fn first_in(&self, log: &Log, record_len: usize) -> Result<u64, Error> {
        let (from, end, last_is_open) = self.view(|view| {
            let from = view.first_in.max(view.segments.start);
            (from, view.segments.end, view.open.is_some())
        });
        let mut first = from;
        while first < end && !(last_is_open && first + 1 == end) {
            if self.segment(log, record_len, first)?.is_some_and(|record| record.has_slots()) {
                break;
            }
            first += 1;
        }
        self.view(|view| {
            if view.first_in.max(view.segments.start) == from {
                view.first_in = first;
            }
        });
        Ok(first)
    }

    /// Reads the spans that are not in memory yet.
    ///
    /// # Errors
    /// If they can't be read.
    pub(crate) fn load_spans(&self, log: &Log) -> Result<(), Error> {
        let missing = self.view(|view| {
            let records = view.spans.missing()?;
            Some((view.catalogued.as_ref()?.1.spans, records))
        });
        if let Some((pnode, records)) = missing {
            let read = spans::read(log, pnode, records.clone())?;
            self.view(|view| view.spans.set_old(records, read));
        }
        Ok(())
    }

    /// The spans with an instant in `start..end`, clipped to what is kept.
    ///
    /// # Errors
    /// If they can't be read.
    pub(crate) fn spans(
        &self,
        log: &Log,
        start: Time,
        end: Time,
    ) -> Result<Vec<SpanRecord>, Error> {
        self.load_spans(log)?;
        Ok(self.view(|view| {
            let front = view.front();
            if view.segments.is_empty() { Vec::new() } else { view.spans.within(start, end, front) }
        }))
    }

    /// The spans with units numbered in `units`; those in memory only.
    pub(crate) fn spans_with_units(&self, units: Range<u64>) -> Vec<SpanRecord> {
        self.view(|view| view.spans.with_units(units, view.front()))
    }

    /// The stream as users see it; `None` if nothing is recorded of it.
    ///
    /// # Errors
    /// If its spans can't be read.
    pub(crate) fn summary(&self, log: &Log) -> Result<Option<RecordedStream>, Error> {
        let spans = self.spans(log, Time::MIN, Time::MAX)?;
        let spans = spans::shown(&spans);
        let (Some(first), Some(last)) = (spans.first(), spans.last()) else { return Ok(None) };
        Ok(Some(RecordedStream {
            name: self.name.clone(),
            id: self.id,
            bytes: spans.iter().map(|span| span.bytes).sum(),
            units: spans.iter().map(|span| span.units).sum(),
            first: Some(first.start),
            last: Some(last.end),
            recording: self.queue(|queue| queue.is_attached()),
        }))
    }
}
