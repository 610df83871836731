//! What all parts of a store share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};
use pegasus_base::{Clock, StreamId, StreamName};
use pegasus_log::Log;
use pegasus_media::TrackSet;

use crate::ahead::Ahead;
use crate::commit::Core;
use crate::driver::Wake;
use crate::error::Error;
use crate::forecast::Meter;
use crate::guarantee::{Office, Places, Waiters};
use crate::indexes::Indexes;
use crate::keeper::Care;
use crate::open::Opened;
use crate::queue::Queue;
use crate::settings::Settings;
use crate::store::Durable;
use crate::stream::{Stream, View};
use crate::tier::Tiering;

/// What all parts share. Lock order: `core`, then `streams`, then a stream's own.
pub(crate) struct Inner {
    pub(crate) log: Arc<Log>,
    /// Somebody else's commit said that a checkpoint should follow.
    pub(crate) checkpoint_due: AtomicBool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) counters: Counters,
    pub(crate) indexes: Indexes,
    pub(crate) ahead: Ahead,
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
    pub(crate) wake: Wake,
    pub(crate) care: Care,
    /// How fast recordings take room.
    pub(crate) meter: Mutex<Meter>,
    /// Where segments go that are out.
    tiering: RwLock<Option<Arc<Tiering>>>,
    /// Who admits playbacks, if they are guaranteed.
    office: RwLock<Option<Arc<Office>>>,
    /// Which recordings have a place. Locked before the office's state.
    pub(crate) places: Places,
    /// Who waits for a promise. Locked before the office's state.
    pub(crate) waiters: Waiters,
}

/// What is wrong with the store.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    /// Nothing can be written any more.
    pub(crate) failed: Option<String>,
    /// The last tick did not succeed.
    pub(crate) last: Option<String>,
    pub(crate) full: bool,
    /// No unit is taken any more.
    pub(crate) closing: bool,
    /// Nothing is written any more.
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

/// What is called when a stream grew.
pub(crate) type Callback = Arc<dyn Fn(&Durable) + Send + Sync>;

#[derive(Default)]
struct Watchers {
    next: u64,
    callbacks: BTreeMap<u64, Callback>,
}

impl Inner {
    pub(crate) fn new(
        log: Arc<Log>,
        opened: Opened,
        settings: Settings,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let seed = settings.seed;
        let care = Care::remembered(&log);
        Self {
            care,
            log,
            checkpoint_due: AtomicBool::new(false),
            clock,
            counters: Counters::default(),
            indexes: Indexes::default(),
            ahead: Ahead::default(),
            record_len: opened.core.record_len,
            core: Mutex::new(opened.core),
            streams: RwLock::new(opened.streams),
            settings: RwLock::new(Arc::new(settings)),
            rng: Mutex::new(seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed)),
            watchers: Mutex::default(),
            health: Mutex::default(),
            growth: Mutex::default(),
            grown: Condvar::new(),
            wake: Wake::default(),
            meter: Mutex::default(),
            tiering: RwLock::default(),
            office: RwLock::default(),
            places: Places::default(),
            waiters: Waiters::default(),
        }
    }

    /// Where segments go that are out, if there is a tier.
    pub(crate) fn tiering(&self) -> Option<Arc<Tiering>> {
        self.tiering.read().clone()
    }

    pub(crate) fn set_tiering(&self, tiering: Option<Arc<Tiering>>) {
        *self.tiering.write() = tiering;
    }

    /// Who admits playbacks, if they are guaranteed.
    pub(crate) fn office(&self) -> Option<Arc<Office>> {
        self.office.read().clone()
    }

    /// From now on `office` admits playbacks; the one before has no say any more.
    pub(crate) fn set_office(&self, office: Option<Arc<Office>>) -> Option<Arc<Office>> {
        std::mem::replace(&mut *self.office.write(), office)
    }

    /// Random numbers that depend on the settings' seed, if there is one.
    pub(crate) fn fork_rng(&self) -> fastrand::Rng {
        self.rng.lock().fork()
    }

    /// Attaches a recorder to `name`, which is made known if it is new.
    ///
    /// # Errors
    /// [`Error::Taken`], [`Error::DamagedStream`], [`Error::Closed`].
    pub(crate) fn attach(&self, name: &StreamName, tracks: TrackSet) -> Result<Arc<Stream>, Error> {
        let bound = self.settings().queue_bytes_max;
        let mut streams = self.streams.write();
        if self.health.lock().closing {
            return Err(Error::Closed);
        }
        let stream = streams.entry(name.clone()).or_insert_with(|| {
            let id = StreamId::random(&mut self.rng.lock());
            Arc::new(Stream::new(name.clone(), id, Queue::new(bound), View::new()))
        });
        stream.check_damage()?;
        if !stream.queue(|queue| queue.attach(tracks)) {
            return Err(Error::Taken { name: name.clone() });
        }
        Ok(stream.clone())
    }

    /// Registers a callback; returns the number to unregister it by.
    pub(crate) fn watch(&self, callback: Callback) -> u64 {
        let mut watchers = self.watchers.lock();
        let id = watchers.next;
        watchers.next += 1;
        watchers.callbacks.insert(id, callback);
        id
    }

    pub(crate) fn unwatch(&self, id: u64) {
        self.watchers.lock().callbacks.remove(&id);
    }

    pub(crate) fn change_settings(&self, change: impl FnOnce(&mut Settings)) {
        change(Arc::make_mut(&mut self.settings.write()));
    }

    /// Commits what waits, now.
    pub(crate) fn tick(&self) -> Result<(), Error> {
        let begun = Instant::now();
        let now = self.clock.now();
        let done = self.core.lock().tick(self, now);
        let counters = &self.counters;
        let parity = counters.parity_bytes.load(Relaxed);
        self.meter.lock().note(now, counters.written_bytes.load(Relaxed).saturating_sub(parity));
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
            stream.damage.is_none()
                && stream.queue(|queue| queue.is_idle())
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

    /// Refuses units and recorders from now on; what was pushed before can still be committed.
    pub(crate) fn refuse(&self) {
        self.health.lock().closing = true;
        for stream in self.all_streams() {
            stream.queue(Queue::close);
        }
    }

    /// Nothing is written from now on; followers come to an end.
    pub(crate) fn shut(&self) {
        self.health.lock().closed = true;
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
