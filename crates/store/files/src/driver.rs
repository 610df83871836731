//! The thread that flushes by age and by pressure, finishes the removal of snapshots, and counts for quotas.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::volume::{Inner, State};

/// How often it looks.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Driver {
    thread: JoinHandle<()>,
}

impl Driver {
    pub(crate) fn start(inner: Arc<Inner>) -> Self {
        let thread = std::thread::Builder::new()
            .name("flusher".to_owned())
            .spawn(move || run(&inner))
            .expect("the system can start a thread");
        Self { thread }
    }

    pub(crate) fn stop(self, inner: &Inner) {
        inner.state.lock().stop = true;
        inner.wake.notify_all();
        let _ = self.thread.join(); // a panic was printed by the thread itself
    }
}

fn run(inner: &Inner) {
    let mut in_trouble = false;
    loop {
        let removed = inner.remove_some().unwrap_or(false);
        let counted = inner.count_some().unwrap_or(false);
        let mut state = inner.state.lock();
        if !state.stop && !is_due(inner, &state) && !removed && !counted {
            inner.wake.wait_for(&mut state, LOOK);
        }
        if state.stop {
            return;
        }
        let due = is_due(inner, &state);
        drop(state);
        if !due {
            continue;
        }
        match inner.sync() {
            Ok(()) => in_trouble = false,
            Err(error) => {
                if !std::mem::replace(&mut in_trouble, true) {
                    tracing::error!(%error, "files can't be written; their changes stay in memory");
                }
                std::thread::sleep(LOOK);
            }
        }
    }
}

/// Whether changes are old enough, or many enough, to be written.
fn is_due(inner: &Inner, state: &State) -> bool {
    let age = |since: pegasus_base::Time| inner.clock.now().since(since);
    let old = state.cache.dirty_since.is_some_and(|at| age(at) >= inner.settings.flush_after);
    let retry = state.cache.frozen.is_some() && !state.flushing;
    old || retry || state.cache.dirty_bytes >= state.pending_bytes_max / 2
}
