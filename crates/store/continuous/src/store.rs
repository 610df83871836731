//! The handle, and what all parts share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};
use pegasus_base::{Clock, StreamId, StreamName, Time, TimeRange};
use pegasus_log::{Log, Recovery};
use pegasus_media::TrackSet;

use crate::commit::Core;
use crate::driver::Driver;
use crate::error::Error;
use crate::indexes::Indexes;
use crate::queue::Queue;
use crate::read::{ReadOptions, Reader};
use crate::recorder::Recorder;
use crate::settings::{Retention, Settings, StreamRetention};
use crate::spans;
use crate::status::{RecordedStream, Span, StoreStatus};
use crate::stream::{Stream, View};
use crate::tracks::check_tracks;

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
    driver: Mutex<Option<Driver>>,
}

/// What all parts share. Lock order: `core`, then `streams`, then a stream's own.
pub(crate) struct Inner {
    pub(crate) log: Log,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) counters: Counters,
    pub(crate) indexes: Indexes,
    /// Bytes of a record of a directory.
    pub(crate) record_len: usize,
    pub(crate) core: Mutex<Core>,
    settings: RwLock<Arc<Settings>>,
    streams: RwLock<BTreeMap<StreamName, Arc<Stream>>>,
    rng: Mutex<fastrand::Rng>,
    watchers: Mutex<Watchers>,
    pub(crate) health: Mutex<Trouble>,
    /// Counts what followers wait for; see [`Inner::wait_for_growth`].
    growth: Mutex<u64>,
    grown: Condvar,
    pub(crate) wake: crate::driver::Wake,
}

/// What is wrong with the store.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    /// Nothing can be written any more.
    pub(crate) failed: Option<String>,
    /// The last tick did not succeed.
    pub(crate) last: Option<String>,
    pub(crate) full: bool,
    pub(crate) closed: bool,
}

/// See [`IngestStatus`](crate::IngestStatus).
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) units: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) dropped_units: AtomicU64,
    pub(crate) late_units: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) written_bytes: AtomicU64,
    pub(crate) parity_bytes: AtomicU64,
    pub(crate) commit_us_max: AtomicU64,
    pub(crate) freed_segments: AtomicU64,
}

type Callback = Arc<dyn Fn(&Durable) + Send + Sync>;

#[derive(Default)]
struct Watchers {
    next: u64,
    callbacks: BTreeMap<u64, Callback>,
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
        log: Log,
        recovery: Recovery,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let store = Self::open_undriven(log, recovery, settings, clock)?;
        *store.handle.driver.lock() = Some(Driver::start(store.handle.inner.clone()));
        Ok(store)
    }

    /// As [`Continuous::open`], without a thread: nothing is committed but by
    /// [`flush`](Self::flush) and [`close`](Self::close). For simulations that move their clock by hand.
    ///
    /// # Errors
    /// As [`Continuous::open`].
    pub fn open_undriven(
        log: Log,
        recovery: Recovery,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let opened = crate::open::load(&log, recovery, &settings)?;
        let seed = settings.seed;
        let inner = Arc::new(Inner {
            log,
            clock,
            counters: Counters::default(),
            indexes: Indexes::default(),
            record_len: opened.core.record_len,
            core: Mutex::new(opened.core),
            streams: RwLock::new(opened.streams),
            settings: RwLock::new(Arc::new(settings)),
            rng: Mutex::new(seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed)),
            watchers: Mutex::default(),
            health: Mutex::default(),
            growth: Mutex::default(),
            grown: Condvar::new(),
            wake: crate::driver::Wake::default(),
        });
        Ok(Self { handle: Arc::new(Handle { inner, driver: Mutex::new(None) }) })
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.handle.inner
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
        let bound = inner.settings().queue_bytes_max;
        let mut streams = inner.streams.write();
        let stream = streams.entry(name.clone()).or_insert_with(|| {
            let id = StreamId::random(&mut inner.rng.lock());
            Arc::new(Stream::new(name.clone(), id, Queue::new(bound), View::new()))
        });
        if !stream.queue(|queue| queue.attach(tracks)) {
            return Err(Error::Taken { name: name.clone() });
        }
        Ok(Recorder::new(inner.clone(), stream.clone()))
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
        crate::read::tracks_at(self.inner(), self.recorded(name)?, at)
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
        let mut watchers = self.inner().watchers.lock();
        let id = watchers.next;
        watchers.next += 1;
        watchers.callbacks.insert(id, Arc::new(callback));
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
        let mut core = inner.core.lock();
        let stream = self.recorded(name)?;
        core.delete(inner, &stream, range)
    }

    /// Changes the general rule of retention. Not kept over a restart: it comes from the settings.
    pub fn set_retention(&self, retention: Retention) {
        let mut settings = self.inner().settings.write();
        Arc::make_mut(&mut settings).retention = retention;
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
    fn recorded(&self, name: &StreamName) -> Result<Arc<Stream>, Error> {
        let stream = self.inner().stream(name);
        stream
            .filter(|stream| stream.view(|view| !view.segments.is_empty()))
            .ok_or_else(|| Error::UnknownStream { name: name.clone() })
    }
}

impl Handle {
    fn close(&self) -> Result<(), Error> {
        let driver = self.driver.lock().take();
        if let Some(driver) = driver {
            driver.stop(&self.inner);
        }
        if self.inner.health.lock().closed {
            return Ok(());
        }
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
        self.inner.watchers.lock().callbacks.remove(&self.id);
    }
}

impl Inner {
    /// Commits what waits, now.
    pub(crate) fn tick(&self) -> Result<(), Error> {
        let begun = Instant::now();
        let done = self.core.lock().tick(self, self.clock.now());
        let us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.counters.commit_us_max.fetch_max(us, Relaxed);
        done
    }

    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.settings.read().clone()
    }

    pub(crate) fn commit_interval(&self) -> Duration {
        self.settings.read().commit_interval()
    }

    pub(crate) fn stream(&self, name: &StreamName) -> Option<Arc<Stream>> {
        self.streams.read().get(name).cloned()
    }

    pub(crate) fn all_streams(&self) -> Vec<Arc<Stream>> {
        self.streams.read().values().cloned().collect()
    }

    /// Drops streams that are neither recorded nor being recorded.
    pub(crate) fn forget_unrecorded(&self) {
        let idle = |stream: &Arc<Stream>| {
            !stream.queue(|queue| queue.is_attached() || queue.has_entries())
                && stream.view(|view| view.catalogued.is_none())
        };
        if self.streams.read().values().any(idle) {
            self.streams.write().retain(|_, stream| !idle(stream));
        }
    }

    pub(crate) fn check_failed(&self) -> Result<(), Error> {
        let health = self.health.lock();
        match &health.failed {
            _ if health.closed => Err(Error::Closed),
            Some(why) => Err(Error::Failed { why: why.clone() }),
            None => Ok(()),
        }
    }

    /// Nothing can be written any more: refuses units from now on.
    pub(crate) fn fail(&self, why: &str) {
        tracing::error!(why, "the store takes no more recordings");
        self.health.lock().failed = Some(why.to_owned());
        for stream in self.all_streams() {
            stream.queue(|queue| {
                queue.close();
                queue.set_trouble(Some(why.to_owned()));
            });
        }
    }

    pub(crate) fn set_trouble(&self, error: Option<&Error>) {
        let mut health = self.health.lock();
        health.full = matches!(error, Some(Error::Full));
        health.last = error.map(ToString::to_string);
    }

    fn shut(&self) {
        self.health.lock().closed = true;
        for stream in self.all_streams() {
            stream.queue(Queue::close);
        }
        self.bump_growth();
    }

    /// Tells followers and watchers that these streams grew.
    pub(crate) fn announce(&self, grown: &[Durable]) {
        if grown.is_empty() {
            return;
        }
        self.bump_growth();
        let callbacks: Vec<Callback> = self.watchers.lock().callbacks.values().cloned().collect();
        for callback in callbacks {
            grown.iter().for_each(|durable| callback(durable));
        }
    }

    fn bump_growth(&self) {
        *self.growth.lock() += 1;
        self.grown.notify_all();
    }

    /// What to compare with in [`Inner::wait_for_growth`]; ask before looking for data.
    pub(crate) fn growth(&self) -> u64 {
        *self.growth.lock()
    }

    /// Waits until something grew after `seen`, or the store was closed; false when `most` is over.
    pub(crate) fn wait_for_growth(&self, seen: u64, most: Duration) -> bool {
        let mut growth = self.growth.lock();
        let until = Instant::now() + most;
        while *growth == seen {
            if self.grown.wait_until(&mut growth, until).timed_out() {
                return false;
            }
        }
        true
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.health.lock().closed
    }

    pub(crate) fn wake_committer(&self) {
        self.wake.pending();
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("log", &self.log).finish_non_exhaustive()
    }
}
