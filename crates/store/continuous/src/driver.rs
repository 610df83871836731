//! The thread that commits in time, and the cleaner's beside it.
//!
//! The committer sleeps until a unit is pushed, then for half of `durable_within`, then commits what all recorders
//! pushed meanwhile. Without units it wakes now and then for retention and for disks that vanish. A third thread
//! rates the disks, and puts spares in the place of those that are gone: one that is slow would hold up the others.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::guarantee::Recordings;
use crate::hot_spares::{Vacancies, take_spare};
use crate::inner::Inner;

/// Longest sleep.
const IDLE: Duration = Duration::from_secs(5);
/// How often the disks are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How pushes wake the thread: one atomic read when it is awake already.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    pending: AtomicBool,
    state: Mutex<Asked>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Asked {
    pending: bool,
    stop: bool,
}

impl Wake {
    /// Something waits to be committed.
    pub(crate) fn pending(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            self.state.lock().pending = true;
            self.changed.notify_all();
        }
    }

    fn stop(&self) {
        self.state.lock().stop = true;
        self.changed.notify_all();
    }

    /// Sleeps until something is pending, at most [`IDLE`].
    fn wait_pending(&self) {
        let mut asked = self.state.lock();
        let until = Instant::now() + IDLE;
        while !asked.pending && !asked.stop {
            if self.changed.wait_until(&mut asked, until).timed_out() {
                break;
            }
        }
    }

    /// Sleeps for `interval`; false if the thread is to stop.
    pub(crate) fn wait_interval(&self, interval: Duration) -> bool {
        let mut asked = self.state.lock();
        let until = Instant::now() + interval;
        while !asked.stop {
            if self.changed.wait_until(&mut asked, until).timed_out() {
                break;
            }
        }
        !asked.stop
    }

    /// What is pushed from now on must wake the thread again.
    fn rearm(&self) {
        let mut asked = self.state.lock();
        asked.pending = false;
        self.pending.store(false, Ordering::Release);
    }
}

/// The threads: the one that commits, the one that [cleans](crate::cleaner), and the one that watches the disks.
#[derive(Debug)]
pub(crate) struct Driver {
    threads: [JoinHandle<()>; 3],
}

impl Driver {
    pub(crate) fn start(inner: Arc<Inner>) -> Self {
        let thread = |name: &str, run: fn(&Inner)| {
            let inner = inner.clone();
            let named = std::thread::Builder::new().name(name.to_owned());
            named.spawn(move || guarded(&inner, run)).expect("the system can start a thread")
        };
        let cleaner = thread("cleaner", crate::cleaner::run);
        Self { threads: [thread("committer", run), cleaner, thread("disk watch", watch)] }
    }

    /// Stops the threads; what waits is left to the caller.
    pub(crate) fn stop(self, inner: &Inner) {
        inner.wake.stop();
        for thread in self.threads {
            // A panic was told to everybody by the thread itself.
            let _ = thread.join();
        }
    }
}

/// Tells everybody when a thread panics: nothing must seem to be recorded then.
struct Guard<'a>(&'a Inner);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let thread = std::thread::current();
            let name = thread.name().unwrap_or("thread");
            self.0.fail(&format!("the {name} panicked: this is a fault of the program"));
        }
    }
}

fn guarded(inner: &Inner, run: fn(&Inner)) {
    let _guard = Guard(inner);
    run(inner);
}

/// Notices disks that are slow, and that they are not any more, and those that are gone.
fn watch(inner: &Inner) {
    let (begun, mut vacancies) = (Instant::now(), Vacancies::default());
    let mut recordings = Recordings::default();
    while inner.wake.wait_interval(LOOK_EVERY) {
        take_spare(inner, &mut vacancies, begun.elapsed());
        note_recordings(inner, &mut recordings, begun.elapsed());
        inner.places.look(inner);
        // What was given back is free when its period is over.
        inner.waiters.wake();
        for (disk, slow) in inner.log.rate_disks(begun.elapsed()) {
            match slow {
                true => tracing::warn!("{disk} is slow; what it holds is read from the others"),
                false => tracing::info!("{disk} is as quick as the others again"),
            }
        }
    }
}

/// Has playbacks make way for what is recorded.
fn note_recordings(inner: &Inner, recordings: &mut Recordings, now: Duration) {
    let Some(office) = inner.office() else { return };
    let recorders =
        inner.all_streams().iter().filter(|s| s.queue(|queue| queue.is_attached())).count();
    let commits = inner.commit_interval().as_secs_f64().recip();
    let disks = inner.log.status().disks.len() as u64;
    let written = inner.counters.written_bytes.load(Relaxed);
    // A fragment of each on each disk: narrow streams have fewer.
    recordings.note(&office, now, written, disks, (recorders as f64 * commits).ceil() as u32);
}

fn run(inner: &Inner) {
    let mut probed = Instant::now();
    let mut in_trouble = false;
    loop {
        inner.wake.wait_pending();
        if !inner.wake.wait_interval(inner.commit_interval()) {
            return;
        }
        inner.wake.rearm();
        match inner.tick() {
            Ok(()) => {
                if std::mem::take(&mut in_trouble) {
                    tracing::info!("recording again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut in_trouble, true) {
                    tracing::error!(%error, "nothing can be recorded");
                }
                // What waits must be tried again, though nothing new is pushed.
                inner.wake.pending();
            }
        }
        if probed.elapsed() >= IDLE {
            probed = Instant::now();
            for disk in inner.log.probe() {
                tracing::error!("{disk} is gone; recording goes on without it");
            }
        }
    }
}
