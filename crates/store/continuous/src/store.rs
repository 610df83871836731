//! The handle.

use std::sync::Arc;

use parking_lot::Mutex;
use pegasus_base::{StreamName, Time, TimeRange};
use pegasus_media::TrackSet;

use crate::error::Error;
use crate::queue::Queue;
use crate::read::{ReadOptions, Reader};
use crate::recorder::Recorder;
use crate::settings::{Retention, StreamRetention};
use crate::status::{RecordedStream, Span, StoreStatus};

/// The recordings of a node. Cheap to clone; all clones are the same store.
#[derive(Debug, Clone)]
pub struct Continuous {}

/// A stream's durable end moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durable {
    /// The stream.
    pub name: StreamName,
    /// End of its last durable unit.
    pub end: Time,
}

/// Keeps a callback of [`Continuous::watch`] registered; dropping it ends that.
#[derive(Debug)]
pub struct Watch {}

impl Continuous {
    /// Begins to record `name`: what is pushed forms a new span. The stream appears among the
    /// recordings when its first units are durable.
    ///
    /// # Errors
    /// [`Error::Taken`] if it is being recorded, [`Error::Tracks`], [`Error::Closed`].
    pub fn recorder(&self, name: &StreamName, tracks: TrackSet) -> Result<Recorder, Error> {
        unimplemented!()
    }

    /// Everything recorded, by name.
    ///
    /// # Errors
    /// If the disks fail.
    pub fn streams(&self) -> Result<Vec<RecordedStream>, Error> {
        unimplemented!()
    }

    /// The tracks recorded at `at`, or at the next instant of which something is recorded, or else the
    /// last ones.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], or if the disks fail.
    pub fn tracks(&self, name: &StreamName, at: Time) -> Result<TrackSet, Error> {
        unimplemented!()
    }

    /// The spans of `name` that have an instant in `range`, whole (not cut to the range), in order.
    /// Only what is durable.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], or if the disks fail.
    pub fn spans(&self, name: &StreamName, range: TimeRange) -> Result<Vec<Span>, Error> {
        unimplemented!()
    }

    /// Reads `name` from the key unit at or before `from`; if nothing is recorded at `from`, from the
    /// start of the next span.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], or if the disks fail.
    pub fn read(
        &self,
        name: &StreamName,
        from: Time,
        options: ReadOptions,
    ) -> Result<Reader, Error> {
        unimplemented!()
    }

    /// End of the newest durable unit of `name`.
    #[must_use]
    pub fn durable_end(&self, name: &StreamName) -> Option<Time> {
        unimplemented!()
    }

    /// Calls `callback` after every commit, once for each stream that grew, on the committer's
    /// thread: it must be quick and must not call back into the store. An async caller sends into a
    /// channel here.
    #[must_use]
    pub fn watch(&self, callback: impl Fn(&Durable) + Send + Sync + 'static) -> Watch {
        unimplemented!()
    }

    /// Deletes `range` of `name`, or all of it. A range is widened to whole groups of pictures. What is
    /// deleted can't be read any more when this returns; its space is free once whole segments are.
    ///
    /// # Errors
    /// [`Error::UnknownStream`]; [`Error::Taken`] for all of a stream that is being recorded; or if
    /// the disks fail.
    pub fn delete(&self, name: &StreamName, range: Option<TimeRange>) -> Result<(), Error> {
        unimplemented!()
    }

    /// Changes the general rule of retention. Not kept over a restart: it comes from the settings.
    pub fn set_retention(&self, retention: Retention) {
        unimplemented!()
    }

    /// Gives one stream its own rule, or with `None` the general one again. Kept over a restart for
    /// streams of which something is recorded; an override in the settings comes first.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], or if the disks fail.
    pub fn set_stream_retention(
        &self,
        name: &StreamName,
        rule: Option<StreamRetention>,
    ) -> Result<(), Error> {
        unimplemented!()
    }

    /// How the store is doing.
    #[must_use]
    pub fn status(&self) -> StoreStatus {
        unimplemented!()
    }

    /// Makes everything pushed so far durable.
    ///
    /// # Errors
    /// If the disks fail, or the store is full.
    pub fn flush(&self) -> Result<(), Error> {
        unimplemented!()
    }

    /// Makes everything durable, writes a checkpoint and closes the store. Recorders are refused from
    /// then on, readers end. Happens as well when the last clone is dropped, but then errors are
    /// only logged.
    ///
    /// # Errors
    /// If the disks fail, or the store is full.
    pub fn close(&self) -> Result<(), Error> {
        unimplemented!()
    }
}

#[derive(Debug)]
pub(crate) struct Inner {}

impl Inner {
    pub(crate) fn wake_committer(&self) {}
}

#[derive(Debug)]
pub(crate) struct Stream {
    name: StreamName,
    queue: Mutex<Queue>,
}

impl Stream {
    pub(crate) fn name(&self) -> &StreamName {
        &self.name
    }
    pub(crate) fn queue<R>(&self, f: impl FnOnce(&mut Queue) -> R) -> R {
        f(&mut self.queue.lock())
    }
}
