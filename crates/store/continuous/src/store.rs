//! The handle.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use parking_lot::Mutex;
use pegasus_base::{Clock, StreamName, Time, TimeRange};
use pegasus_disk::Profile;
use pegasus_log::{Log, Recovery};
use pegasus_media::TrackSet;

use crate::driver::Driver;
use crate::error::Error;
use crate::guarantee::{Guarantee, GuaranteeStatus, Office, Promise, Wish};
use crate::inner::Inner;
use crate::keeper::Keeper;
use crate::listing::Listing;
use crate::read::{ReadOptions, Reader};
use crate::recorder::Recorder;
use crate::settings::{Retention, Settings, StreamRetention};
use crate::spans;
use crate::status::{RecordedStream, Span, StoreStatus};
use crate::stream::Stream;
use crate::tier::Stagers;
use crate::tracks::check_tracks;
use crate::units::{UnitNumber, Units};

/// The recordings of a node. Cheap to clone; all clones are the same store.
///
/// Calls that read or change recordings block on disks: from async code they belong on a thread for
/// blocking work. Dropping the last clone closes the store.
#[derive(Debug, Clone)]
pub struct Continuous {
    handle: Arc<Handle>,
}

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
pub struct Watch {
    inner: Arc<Inner>,
    id: u64,
}

#[derive(Debug)]
struct Handle {
    inner: Arc<Inner>,
    driver: Mutex<Option<(Driver, Keeper)>>,
    stagers: Mutex<Option<Stagers>>,
}

impl Continuous {
    /// Takes over a log that was just opened, and starts the thread that commits.
    ///
    /// What a crash left is brought in order: the index of segments that were open is rebuilt from their
    /// blocks, so that recording goes on in them.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the catalogue can't be understood, or the disks fail.
    pub fn open(
        log: impl Into<Arc<Log>>,
        recovery: Recovery,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let store = Self::open_undriven(log, recovery, settings, clock)?;
        let inner = &store.handle.inner;
        inner.ahead.drive();
        let threads = (Driver::start(inner.clone()), Keeper::start(inner.clone()));
        *store.handle.driver.lock() = Some(threads);
        Ok(store)
    }

    /// As [`Continuous::open`], without a thread: nothing is committed but by
    /// [`flush`](Self::flush) and [`close`](Self::close). For simulations that move their clock by hand.
    ///
    /// # Errors
    /// As [`Continuous::open`].
    pub fn open_undriven(
        log: impl Into<Arc<Log>>,
        recovery: Recovery,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let log = log.into();
        let opened = crate::open::load(&log, recovery, &settings)?;
        let poisoned = log.status().poisoned;
        let inner = Arc::new(Inner::new(log, opened, settings, clock));
        poisoned.iter().for_each(|why| inner.fail(why));
        Ok(Self {
            handle: Arc::new(Handle { inner, driver: Mutex::new(None), stagers: Mutex::new(None) }),
        })
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.handle.inner
    }

    /// Starts the threads of a tier, in a store that has threads.
    pub(crate) fn start_stagers(&self, start: impl FnOnce(&Arc<Inner>) -> Stagers) {
        if self.handle.driver.lock().is_some() {
            *self.handle.stagers.lock() = Some(start(self.inner()));
        }
    }

    pub(crate) fn stop_stagers(&self) {
        let stagers = self.handle.stagers.lock().take();
        stagers.into_iter().for_each(Stagers::stop);
    }

    /// Begins to record `name`: what is pushed forms a new span. The stream appears among the
    /// recordings when its first units are durable.
    ///
    /// # Errors
    /// [`Error::Taken`] if it is being recorded, [`Error::Tracks`], [`Error::Closed`].
    pub fn recorder(&self, name: &StreamName, tracks: TrackSet) -> Result<Recorder, Error> {
        let inner = self.inner();
        check_tracks(&tracks).map_err(|why| Error::Tracks { name: name.clone(), why })?;
        inner.check_failed()?;
        let stream = inner.attach(name, tracks)?;
        Ok(Recorder::new(inner.clone(), stream))
    }

    /// Everything recorded, by name.
    ///
    /// # Errors
    /// If the disks fail.
    pub fn streams(&self) -> Result<Vec<RecordedStream>, Error> {
        let inner = self.inner();
        let summaries = inner.all_streams().into_iter().map(|stream| stream.summary(&inner.log));
        summaries.filter_map(Result::transpose).collect()
    }

    /// The tracks recorded at `at`, or at the next instant of which something is recorded, or else the
    /// last ones.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], or if the disks fail.
    pub fn tracks(&self, name: &StreamName, at: Time) -> Result<TrackSet, Error> {
        crate::step::tracks_at(self.inner(), self.recorded(name)?, at)
    }

    /// The spans of `name` that have an instant in `range`, whole (not cut to the range), in order.
    /// Only what is durable.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], or if the disks fail.
    pub fn spans(&self, name: &StreamName, range: TimeRange) -> Result<Vec<Span>, Error> {
        let records = self.recorded(name)?.spans(&self.inner().log, range.start, range.end)?;
        Ok(spans::shown(&records))
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
        Reader::new(self.inner().clone(), self.recorded(name)?, from, options)
    }

    /// From now on playbacks can be promised, by what the profiles say of the disks; those that were promised before are ended.
    /// `None`: no more promises.
    ///
    /// # Errors
    /// [`Error::Guarantee`] if its numbers are out of range, or don't go together.
    pub fn guarantee(&self, guarantee: Option<Guarantee>) -> Result<(), Error> {
        let inner = self.inner();
        if inner.is_closed() {
            return Err(Error::Closed);
        }
        let is_driven = self.handle.driver.lock().is_some();
        let office = match guarantee {
            Some(guarantee) => Some(Office::open(inner, guarantee, is_driven)?),
            None => None,
        };
        if let Some(before) = inner.set_office(office) {
            before.stop("promises are given by other rules now");
        }
        Ok(())
    }

    /// The disks are like `profiles`: what was promised is promised anew by that, and the newest for whom it does not suffice end. That the disks seemed
    /// slower than before is forgotten. Does nothing where nothing is guaranteed.
    ///
    /// # Errors
    /// [`Error::Guarantee`] if not even the lowest rate fits; then all is as it was.
    pub fn adopt(&self, profiles: &[Profile]) -> Result<(), Error> {
        let inner = self.inner();
        let Some(office) = inner.office() else { return Ok(()) };
        office.adopt(profiles)?;
        inner.waiters.wake();
        Ok(())
    }

    /// Waits until a read of `bytes` from a disk, made by somebody else than the store, makes no playback late that was promised.
    pub fn make_way(&self, bytes: usize) {
        self.inner().log.make_way(bytes);
    }

    /// Promises to play all of `wishes` in time, or none. Where nothing is guaranteed, promises are given freely, and mean nothing.
    ///
    /// Costs a look at each recording's directory from the beginning of its playback on: some microseconds for an hour, and
    /// some index blocks from disk.
    ///
    /// # Errors
    /// [`Error::Refused`] with what would fit; [`Error::UnknownStream`], or if the disks fail.
    pub fn promise(&self, wishes: &[Wish]) -> Result<Promise, Error> {
        Promise::new(self, wishes)
    }

    /// Promises `wishes` in the place of what `before` promised, which ends then. If they are refused, it goes on as it was.
    ///
    /// # Errors
    /// As [`Continuous::promise`].
    pub fn promise_instead(&self, before: &Promise, wishes: &[Wish]) -> Result<Promise, Error> {
        Promise::instead_of(self, wishes, Some(before))
    }

    /// How promises are kept; `None` if there are none.
    #[must_use]
    pub fn guarantee_status(&self) -> Option<GuaranteeStatus> {
        let waiting = self.inner().waiters.len() as u64;
        self.inner().office().map(|office| GuaranteeStatus { waiting, ..office.status() })
    }

    /// Lists what [`read`](Self::read) would yield from `range.start` until `range.end`, without the data
    /// of the units. Reads no media: a day takes a second or two.
    ///
    /// # Errors
    /// [`Error::UnknownStream`], or if the disks fail.
    pub fn list(&self, name: &StreamName, range: TimeRange) -> Result<Listing, Error> {
        Listing::new(self.inner().clone(), self.recorded(name)?, range)
    }

    /// Reads `name` from the unit numbered `from` on, as it was [listed](Self::list).
    ///
    /// # Errors
    /// [`Error::UnknownStream`], or if the disks fail.
    pub fn read_units(&self, name: &StreamName, from: UnitNumber) -> Result<Units, Error> {
        Units::new(self.inner().clone(), self.recorded(name)?, from)
    }

    /// End of the newest durable unit of `name`.
    #[must_use]
    pub fn durable_end(&self, name: &StreamName) -> Option<Time> {
        let stream = self.inner().stream(name)?;
        stream.view(|view| view.end.filter(|_| !view.segments.is_empty()))
    }

    /// Calls `callback` after every commit, once for each stream that grew, on the committer's
    /// thread: it must be quick and must not call back into the store. An async caller sends into a
    /// channel here.
    #[must_use]
    pub fn watch(&self, callback: impl Fn(&Durable) + Send + Sync + 'static) -> Watch {
        let id = self.inner().watch(Arc::new(callback));
        Watch { inner: self.inner().clone(), id }
    }

    /// Deletes `range` of `name`, or all of it. A range is widened to whole groups of pictures. What is
    /// deleted can't be read any more when this returns; its space is free once whole segments are.
    ///
    /// # Errors
    /// [`Error::UnknownStream`]; [`Error::Taken`] for all of a stream that is being recorded; or if
    /// the disks fail.
    pub fn delete(&self, name: &StreamName, range: Option<TimeRange>) -> Result<(), Error> {
        let inner = self.inner();
        inner.check_failed()?;
        if let Some(range) = range.filter(|range| !range.is_empty()) {
            crate::delete::look_where_cut(inner, &self.recorded(name)?, range)?;
        }
        let mut core = inner.core.lock();
        let stream = self.recorded(name)?;
        core.delete(inner, &stream, range)
    }

    /// Changes the general rule of retention. Not kept over a restart: it comes from the settings.
    pub fn set_retention(&self, retention: Retention) {
        self.inner().change_settings(|settings| settings.retention = retention);
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
        let inner = self.inner();
        inner.check_failed()?;
        let core = inner.core.lock();
        let stream = self.recorded(name)?;
        core.set_rule(inner, &stream, rule)
    }

    /// How the store is doing.
    #[must_use]
    pub fn status(&self) -> StoreStatus {
        crate::status::of(self.inner())
    }

    /// Makes everything pushed so far durable, and lets retention have its turn.
    ///
    /// # Errors
    /// If the disks fail, or the store is full.
    pub fn flush(&self) -> Result<(), Error> {
        self.inner().tick()
    }

    /// Asks for a checkpoint of the log soon: for those who share it and were told that one is due.
    pub fn request_checkpoint(&self) {
        let inner = self.inner();
        inner.checkpoint_due.store(true, Relaxed);
        inner.wake_committer();
    }

    /// Makes everything durable, writes a checkpoint and closes the store. Recorders are refused from
    /// then on, readers end. Happens as well when the last clone is dropped, but then errors are
    /// only logged. Closing again does nothing.
    ///
    /// # Errors
    /// If the disks fail, or the store is full.
    pub fn close(&self) -> Result<(), Error> {
        self.handle.close()
    }

    /// The stream, if anything is recorded of it.
    pub(crate) fn recorded(&self, name: &StreamName) -> Result<Arc<Stream>, Error> {
        let stream = self.inner().stream(name);
        stream.as_ref().map_or(Ok(()), |stream| stream.check_damage())?;
        stream
            .filter(|stream| stream.view(|view| !view.segments.is_empty()))
            .ok_or_else(|| Error::UnknownStream { name: name.clone() })
    }
}

impl Handle {
    fn close(&self) -> Result<(), Error> {
        if let Some(office) = self.inner.set_office(None) {
            office.stop("the store is being closed");
        }
        let stagers = self.stagers.lock().take();
        stagers.into_iter().for_each(Stagers::stop);
        let driver = self.driver.lock().take();
        if let Some((driver, keeper)) = driver {
            keeper.stop(&self.inner);
            driver.stop(&self.inner);
        }
        if self.inner.health.lock().closed {
            return Ok(());
        }
        self.inner.refuse();
        let ticked = self.inner.tick();
        let now = self.inner.clock.now();
        let checkpointed = match self.inner.check_failed() {
            Ok(()) => self.inner.core.lock().checkpoint(&self.inner, now),
            Err(_) => Ok(()),
        };
        self.inner.shut();
        ticked.and(checkpointed)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the store was not closed in good order");
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.inner.unwatch(self.id);
    }
}
