//! Reading ahead: the next block of a reader is fetched while the current one is used.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::error::Error;
use crate::format::block::Block;
use crate::format::index::Entry;
use crate::locate::{Finder, Place, Reach};
use crate::step::Step;

/// Threads that read for all readers.
const THREADS: usize = 4;
/// Requests that may wait; beyond it readers read for themselves.
const WAITING_MAX: usize = 64;

/// The threads, started when first needed; they end with the store.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Whether there may be threads.
    driven: bool,
    waiting: VecDeque<Job>,
    threads: usize,
    over: bool,
}

#[derive(Debug)]
struct Job {
    finder: Finder,
    place: Place,
    slot: Arc<Slot>,
}

#[derive(Debug, Default)]
struct Slot {
    outcome: Mutex<Option<Outcome>>,
    filled: Condvar,
}

/// The block at a place, if there was one.
type Outcome = Option<(Entry, Result<Block, Error>)>;

/// A block that is being read.
#[derive(Debug)]
pub(crate) struct Coming {
    pub(crate) place: Place,
    slot: Arc<Slot>,
}

impl Coming {
    /// Waits for it. `None` if nothing was there when it was looked for.
    pub(crate) fn wait(self) -> Outcome {
        let mut outcome = self.slot.outcome.lock();
        loop {
            if let Some(outcome) = outcome.take() {
                return outcome;
            }
            self.slot.filled.wait(&mut outcome);
        }
    }
}

impl Ahead {
    /// From now on threads may read ahead. Without, everything happens in the caller's, in an order that is the
    /// same every time.
    pub(crate) fn drive(&self) {
        self.shared.state.lock().driven = true;
    }

    /// Begins to read the block at `place`; `None` if there is too much to do, or nobody to do it.
    pub(crate) fn fetch(&self, finder: &Finder, place: Place) -> Option<Coming> {
        let mut state = self.shared.state.lock();
        if !state.driven || state.waiting.len() >= WAITING_MAX {
            return None;
        }
        if state.threads < THREADS && state.waiting.len() >= state.threads.min(1) {
            let shared = self.shared.clone();
            let thread = std::thread::Builder::new().name("read ahead".to_owned());
            // Without a thread the reader reads for itself.
            thread.spawn(move || run(&shared)).ok()?;
            state.threads += 1;
        }
        let slot = Arc::<Slot>::default();
        state.waiting.push_back(Job { finder: finder.clone(), place, slot: slot.clone() });
        self.shared.changed.notify_one();
        Some(Coming { place, slot })
    }
}

/// Whatever becomes of a job, its reader must not wait for ever.
impl Drop for Job {
    fn drop(&mut self) {
        self.slot.outcome.lock().get_or_insert(None);
        self.slot.filled.notify_one();
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.shared.state.lock().over = true;
        self.shared.changed.notify_all();
    }
}

fn run(shared: &Shared) {
    loop {
        let job = {
            let mut state = shared.state.lock();
            loop {
                if let Some(job) = state.waiting.pop_front() {
                    break job;
                }
                if state.over {
                    return;
                }
                shared.changed.wait(&mut state);
            }
        };
        let outcome = match job.finder.entry_within(job.place, Reach::Disks) {
            Ok(Step::Block(entry)) => {
                let block = job.finder.read(&entry);
                Some((entry, block))
            }
            // The reader will find out for itself.
            Ok(Step::Skip(_) | Step::End) | Err(_) => None,
        };
        *job.slot.outcome.lock() = Some(outcome);
    }
}
