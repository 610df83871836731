//! All recordings as files of an hour each.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use pegasus_base::{StreamName, Time, TimeRange};
use pegasus_continuous::Continuous;

use crate::{Day, ExportError, Hour, Planned, Plans, Reader, Recorded};

/// Lengths of files that are remembered.
const LENGTHS_MAX: usize = 1 << 16;

/// What is recorded in an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The hour.
    pub hour: Hour,
    /// End of what is recorded of it.
    pub end: Time,
    /// Whether more of it may come.
    pub grows: bool,
}

/// The recordings of a store, as files that begin and end with the hours of Universal Time. Each is what
/// [`Plans::get`] makes of its hour. Blocks on disks.
#[derive(Debug)]
pub struct Library {
    store: Continuous,
    plans: Plans,
    lengths: Mutex<HashMap<(StreamName, Hour), (Recorded, u64)>>,
}

impl Library {
    /// The recordings of `store`.
    #[must_use]
    pub fn new(store: Continuous) -> Self {
        Self { store, plans: Plans::default(), lengths: Mutex::default() }
    }

    /// Streams of which something is recorded.
    ///
    /// # Errors
    /// If the disks fail.
    pub fn streams(&self) -> Result<Vec<StreamName>, ExportError> {
        let streams = self.store.streams()?.into_iter();
        Ok(streams.filter(|stream| stream.last.is_some()).map(|stream| stream.name).collect())
    }

    /// Days of which something is recorded, in order.
    ///
    /// # Errors
    /// As [`Library::pieces`].
    pub fn days(&self, name: &StreamName) -> Result<Vec<Day>, ExportError> {
        let hours = self.hours(name, TimeRange::ALL)?;
        let days: BTreeSet<Day> = hours.into_keys().map(Hour::day).collect();
        Ok(days.into_iter().collect())
    }

    /// What is recorded of the hours in a range, in order.
    ///
    /// # Errors
    /// Nothing is recorded of the stream at all, or the disks fail.
    pub fn pieces(
        &self,
        name: &StreamName,
        range: TimeRange,
        now: Time,
    ) -> Result<Vec<Piece>, ExportError> {
        let hours = self.hours(name, range)?;
        let (recording, last) = self.newest(name)?;
        let piece = |(hour, end): (Hour, Time)| {
            let over = hour.range().end;
            Piece { hour, end, grows: last < over && (recording || now < over) }
        };
        Ok(hours.into_iter().map(piece).collect())
    }

    /// The hours in a range of which something is recorded, and up to when.
    fn hours(
        &self,
        name: &StreamName,
        range: TimeRange,
    ) -> Result<BTreeMap<Hour, Time>, ExportError> {
        let mut hours = BTreeMap::new();
        for span in self.store.spans(name, range)? {
            let within = TimeRange::new(span.start, span.end).intersect(&range);
            let first = Hour::of(within.start).unwrap_or(Hour(0));
            let Some(last) = Hour::of(within.end.offset_ns(-1)) else { continue };
            for hour in (first.0..=last.0).map(Hour) {
                hours.insert(hour, within.end.min(hour.range().end));
            }
        }
        Ok(hours)
    }

    /// Whether a stream is being recorded, and up to when it is.
    fn newest(&self, name: &StreamName) -> Result<(bool, Time), ExportError> {
        let streams = self.store.streams()?;
        let stream = streams.into_iter().find(|stream| stream.name == *name);
        Ok(stream.map_or((false, Time::MAX), |s| (s.recording, s.last.unwrap_or(Time::MAX))))
    }

    /// The file of an hour.
    ///
    /// # Errors
    /// As [`Plans::get`].
    pub fn plan(&self, name: &StreamName, hour: Hour) -> Result<Arc<Planned>, ExportError> {
        self.plans.get(&self.store, name, hour.range())
    }

    /// Length of the file of an hour in bytes.
    ///
    /// # Errors
    /// As [`Plans::get`].
    pub fn len_bytes(&self, name: &StreamName, hour: Hour) -> Result<u64, ExportError> {
        let recorded = Recorded::find(&self.store, name, hour.range())?.cut();
        let key = (name.clone(), hour);
        let known = self.lengths.lock().get(&key).cloned();
        if let Some((_, len_bytes)) = known.filter(|(known, _)| *known == recorded) {
            return Ok(len_bytes);
        }
        let planned = self.plan(name, hour)?;
        let len_bytes = planned.plan.total_len();
        // It may have grown since it was looked for.
        if planned.range == recorded.range {
            let mut lengths = self.lengths.lock();
            if lengths.len() >= LENGTHS_MAX {
                lengths.clear();
            }
            lengths.insert(key, (recorded, len_bytes));
        }
        Ok(len_bytes)
    }

    /// Ready to read a file that was planned of this stream.
    #[must_use]
    pub fn reader(&self, name: &StreamName, planned: Arc<Planned>) -> Reader {
        Reader::new(self.store.clone(), name.clone(), planned)
    }
}
