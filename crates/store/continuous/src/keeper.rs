//! The thread that looks after the disks: it rebuilds what is new or was away, and scrubs when asked to.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use pegasus_disk::Disk;
use pegasus_log::{DiskIndex, Log, LogError, Pass, Scope};

use crate::care::{CareStatus, Memo, Pacer, WorkKind, WorkStatus};
use crate::error::Error;
use crate::hot_spares::Spares;
use crate::inner::Inner;
use crate::owners::Directories;
use crate::removal::Removal;
use crate::store::Continuous;

/// How often it looks whether there is something to do, and how long it waits after an error.
const IDLE: Duration = Duration::from_secs(5);
/// How often the place of a scrub is written down.
const MEMO_EVERY: Duration = Duration::from_secs(30);

/// What the thread and those who ask it share.
#[derive(Debug, Default)]
pub(crate) struct Care {
    state: Mutex<State>,
    changed: Condvar,
    /// Locked alone.
    pub(crate) spares: Mutex<Spares>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    stop: bool,
    memo: Memo,
    /// Bytes a second of a rebuild, where somebody said so.
    pub(crate) rebuild_rate: Option<u64>,
    /// And of a removal.
    removal_rate: Option<u64>,
    /// Counts requests, so that a pass under way sees that it is not what is wanted any more.
    requests: u64,
    status: CareStatus,
}

/// A pass under way.
struct Work {
    kind: WorkKind,
    pass: Pass,
    disks: Vec<(DiskIndex, pegasus_base::DiskId)>,
    request: u64,
    slots_before: u64,
    slots_total: u64,
    begun: Instant,
    /// When its place was written down last.
    noted: Option<Instant>,
    pacer: Pacer,
}

/// The thread.
#[derive(Debug)]
pub(crate) struct Keeper {
    thread: JoinHandle<()>,
}

impl Keeper {
    pub(crate) fn start(inner: Arc<Inner>) -> Self {
        let thread = std::thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || run(&inner))
            .expect("the system can start a thread");
        Self { thread }
    }

    pub(crate) fn stop(self, inner: &Inner) {
        inner.care.state.lock().stop = true;
        inner.care.changed.notify_all();
        if self.thread.join().is_err() {
            tracing::error!(
                "the thread that looks after the disks panicked: this is a fault of ours"
            );
        }
    }
}

impl Care {
    /// As it was remembered in the log.
    pub(crate) fn remembered(log: &Log) -> Self {
        let root = log.pnode(log.root()).ok().flatten();
        let memo = root.map_or_else(Memo::default, |root| Memo::parse(&root.attributes));
        let status = CareStatus { scrubbed: memo.scrubbed, ..CareStatus::default() };
        Self { state: Mutex::new(State { memo, status, ..State::default() }), ..Self::default() }
    }

    pub(crate) fn status(&self) -> CareStatus {
        self.state.lock().status.clone()
    }

    pub(crate) fn ask(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock();
        change(&mut state);
        state.requests += 1;
        self.changed.notify_all();
    }

    /// A disk is to be removed, or to stay after all.
    pub(crate) fn ask_removal(&self, rate: Option<u64>) {
        self.ask(|state| state.removal_rate = rate);
    }

    /// Rests; false if the pass is to stop.
    fn rest(&self, request: u64, most: Duration) -> bool {
        let mut state = self.state.lock();
        let until = Instant::now() + most;
        while !state.stop && state.requests == request {
            if self.changed.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        !state.stop && state.requests == request
    }
}

impl Continuous {
    /// Puts the blank disk `disk` in the place of a failed or missing one, and begins to rebuild it, at no
    /// more than `rate` bytes a second; without one, half of the time is left to others.
    ///
    /// # Errors
    /// [`Error::CantReplace`], with nothing changed; or the store can't be written.
    pub fn replace_disk(
        &self,
        index: DiskIndex,
        disk: Arc<dyn Disk>,
        rate: Option<u64>,
    ) -> Result<(), Error> {
        let inner = self.inner();
        inner.check_failed()?;
        inner.replace_disk(index, disk)?;
        inner.care.ask(|state| state.rebuild_rate = rate);
        Ok(())
    }

    /// Begins to go over everything that is alive, to verify and repair it, at no more than `rate` bytes a
    /// second; without one, half of the time is left to others. One that is under way goes on at this pace.
    pub fn scrub(&self, rate: Option<u64>) {
        self.inner().care.ask(|state| {
            state.memo.running = true;
            state.memo.rate = rate.unwrap_or(0);
        });
    }

    /// Stops a scrub. The next one begins anew.
    pub fn stop_scrub(&self) {
        self.inner().care.ask(|state| {
            state.memo = Memo { scrubbed: state.memo.scrubbed, ..Memo::default() };
        });
    }
}

impl Continuous {
    /// Does at once, without a rest, all that the disks need: rebuilds, removals, and a scrub that was asked for. A
    /// store with [threads](Self::open) does so by itself; this is for simulations without any.
    ///
    /// # Errors
    /// If the log takes no writes, or a list of segments can't be read.
    pub fn tend(&self) -> Result<(), Error> {
        let inner = self.inner();
        self.tend_passes()?;
        if !inner.log.leaving().is_empty() {
            let mut removal = Removal::new(inner, None);
            while removal.step(inner)?.is_some() {}
            // A scrub waits for that.
            self.tend_passes()?;
        }
        inner.care.state.lock().status.work = None;
        Ok(())
    }

    fn tend_passes(&self) -> Result<(), Error> {
        let inner = self.inner();
        while let Some(mut work) = next_work(inner) {
            while !work.pass.is_over() {
                let mended = work.pass.mended();
                let before = (mended.repaired, mended.lost, mended.refused);
                let owners = Directories { record_len: inner.record_len };
                work.pass.step(&inner.log, &owners, &mut |_| true)?;
                note(inner, &work, before);
            }
            finish(inner, &work)?;
        }
        Ok(())
    }
}

fn run(inner: &Inner) {
    let (mut work, mut removal) = (None, None);
    loop {
        if work.is_none() {
            work = next_work(inner);
        }
        let Some(now) = &mut work else {
            if remove_some(inner, &mut removal) {
                continue;
            }
            let request = {
                let mut state = inner.care.state.lock();
                state.status.work = None;
                state.requests
            };
            inner.care.rest(request, IDLE);
            if inner.care.state.lock().stop {
                return;
            }
            continue;
        };
        match step(inner, now) {
            Ok(true) => {}
            Ok(false) => work = None,
            Err(error) => {
                tracing::error!(%error, "the disks can't be looked after at present");
                inner.care.state.lock().status.trouble = Some(error.to_string());
                inner.care.rest(now.request, IDLE);
                work = None;
            }
        }
        if inner.care.state.lock().stop {
            return;
        }
    }
}

/// Goes on with the removal of disks; false if there is nothing to do, or it has to wait.
fn remove_some(inner: &Inner, removal: &mut Option<Removal>) -> bool {
    let (request, rate) = {
        let state = inner.care.state.lock();
        (state.requests, state.removal_rate)
    };
    let has_to_stop = || inner.care.state.lock().stop || inner.log.status().poisoned.is_some();
    if inner.log.leaving().is_empty() || has_to_stop() {
        *removal = None;
        return false;
    }
    let now = removal.get_or_insert_with(|| Removal::new(inner, rate));
    let since = Instant::now();
    let outcome = now.step(inner);
    let mut state = inner.care.state.lock();
    let trouble = outcome.as_ref().err().map(ToString::to_string);
    let before = std::mem::replace(&mut state.status.trouble, trouble);
    match outcome {
        Ok(Some(bytes)) => {
            state.status.work = Some(now.status(inner));
            drop(state);
            let rest = now.pacer.rest(now.elapsed(), since.elapsed(), bytes);
            inner.care.rest(request, rest);
            true
        }
        Ok(None) => {
            *removal = None;
            true
        }
        Err(error) => {
            if before.as_deref() != Some(&error.to_string()) {
                tracing::error!(%error, "a disk can't be removed at present");
            }
            *removal = None;
            false
        }
    }
}

/// What is most urgent.
fn next_work(inner: &Inner) -> Option<Work> {
    let disks = inner.log.rebuilding();
    let state = inner.care.state.lock();
    if state.stop || inner.log.status().poisoned.is_some() {
        return None;
    }
    let (kind, pass, rate, before) = match (disks.is_empty(), state.memo.running) {
        (false, _) => {
            let scope = Scope::Disks(disks.iter().map(|(index, _)| *index).collect());
            (WorkKind::Rebuild, Pass::new(scope), state.rebuild_rate, 0)
        }
        (true, true) if inner.log.leaving().is_empty() => {
            let pass = match state.memo.at {
                Some(at) => Pass::resume(Scope::Everything, at),
                None => Pass::new(Scope::Everything),
            };
            (WorkKind::Scrub, pass, Some(state.memo.rate), state.memo.slots)
        }
        // Removing disks comes before a scrub, which would go over what is being moved.
        (true, _) => return None,
    };
    let now = Instant::now();
    let request = state.requests;
    drop(state);
    tracing::info!(?kind, "looking after the disks");
    Some(Work {
        kind,
        slots_total: pass.slots_in_all(&inner.log),
        pass,
        disks,
        request,
        slots_before: before,
        begun: now,
        noted: None,
        pacer: Pacer::new(rate),
    })
}

/// Goes on a little; false when it is over, or not wanted any more.
fn step(inner: &Inner, work: &mut Work) -> Result<bool, Error> {
    let owners = Directories { record_len: inner.record_len };
    let Work { pass, pacer, begun, request, .. } = work;
    let before = (pass.mended().repaired, pass.mended().lost, pass.mended().refused);
    let mut since = Instant::now();
    let mut going = true;
    pass.step(&inner.log, &owners, &mut |bytes| {
        let rest = pacer.rest(begun.elapsed(), since.elapsed(), bytes);
        going = inner.care.rest(*request, rest);
        since = Instant::now();
        going
    })?;
    note(inner, work, before);
    if work.pass.is_over() {
        finish(inner, work)?;
        return Ok(false);
    }
    // The first time, so that it is known to be under way; the last time, in case it was stopped for good.
    let due = !going || work.noted.is_none_or(|noted| noted.elapsed() >= MEMO_EVERY);
    if work.kind == WorkKind::Scrub && due {
        work.noted = Some(Instant::now());
        remember(inner)?;
    }
    Ok(going)
}

/// Makes the progress known.
fn note(inner: &Inner, work: &Work, before: (u64, u64, u64)) {
    let mended = work.pass.mended();
    let elapsed = work.begun.elapsed();
    let status = WorkStatus::new(work.kind, mended, work.slots_before, work.slots_total, elapsed);
    let mut state = inner.care.state.lock();
    state.status.work = Some(status);
    state.status.repaired_fragments += mended.repaired - before.0;
    state.status.lost_blocks += mended.lost - before.1;
    state.status.refused_repairs += mended.refused - before.2;
    state.status.unprotected_segments = mended.unprotected;
    state.status.problems.clone_from(&mended.problems);
    state.status.trouble = None;
    if work.kind == WorkKind::Scrub && state.memo.running && state.requests == work.request {
        state.memo.at = work.pass.position();
        state.memo.slots = work.slots_before + mended.slots;
    }
}

fn finish(inner: &Inner, work: &Work) -> Result<(), Error> {
    let mended = work.pass.mended();
    let (kind, repaired, lost) = (work.kind, mended.repaired, mended.lost);
    match lost {
        0 => tracing::info!(?kind, repaired, "everything alive was gone over"),
        _ => tracing::error!(
            ?kind,
            repaired,
            lost,
            "everything alive was gone over: blocks are lost"
        ),
    }
    match kind {
        WorkKind::Rebuild => inner.log.rebuilt(&work.disks)?,
        WorkKind::Scrub => {
            {
                let mut state = inner.care.state.lock();
                let scrubbed = Some(inner.clock.now());
                state.memo = Memo { scrubbed, ..Memo::default() };
                state.status.scrubbed = scrubbed;
            }
            remember(inner)?;
        }
        WorkKind::Removal => unreachable!("a removal is no pass"),
    }
    Ok(())
}

/// Writes down where the scrub is: in the attributes of the catalogue, which the next checkpoint writes
/// anyway.
fn remember(inner: &Inner) -> Result<(), LogError> {
    let memo = inner.care.state.lock().memo.emit();
    let mut batch = inner.log.batch();
    batch.set_attributes(inner.log.root(), &memo)?;
    inner.log.commit(batch).map(|_| ())
}

impl Inner {
    pub(crate) fn replace_disk(&self, index: DiskIndex, disk: Arc<dyn Disk>) -> Result<(), Error> {
        let mut rng = self.fork_rng();
        let replaced = self.log.replace_disk(index, disk, self.clock.now(), &mut rng);
        match replaced {
            Ok(_) => Ok(()),
            Err(LogError::CantReplace { disk, why }) => {
                let disks = self.log.status().disks;
                let old = disks.into_iter().find(|old| old.index == disk);
                let path = old.map_or_else(|| disk.to_string(), |old| old.path);
                Err(Error::CantReplace { path, why })
            }
            Err(error) => Err(error.into()),
        }
    }
}
