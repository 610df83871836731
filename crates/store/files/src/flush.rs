//! From memory to the log: one batch for each wave, and who waits for it.

use std::sync::Arc;

use parking_lot::MutexGuard;
use pegasus_log::{Batch, Log, LogError};

use crate::FilesError;
use crate::cache::{Frozen, Item, Kind};
use crate::format::volume;
use crate::page::{Holes, Layer, PAGE};
use crate::room::VAIN_MAX;
use crate::volume::{Inner, State};

/// Longest piece that is handed to the log at once, in bytes.
const RUN_BYTES_MAX: usize = 4 << 20;
/// Least numbers of pnodes set aside at once.
const NUMBERS_MIN: usize = 64;

impl Inner {
    /// Makes everything durable that changed before the call. Many callers share one commit: one of them
    /// carries it out, what changes meanwhile goes into the next.
    pub(crate) fn sync(&self) -> Result<(), FilesError> {
        let mut state = self.state.lock();
        let Some(target) = newest(&state) else { return Ok(()) };
        let seen = state.failures;
        while is_pending(&state, target) {
            if !state.flushing {
                self.flush(&mut state)?;
                continue;
            }
            self.flushed.wait(&mut state);
            if let Some(error) = state.failure.clone().filter(|_| state.failures > seen) {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Writes the wave that is frozen, or else the current one. On failure it stays frozen: nothing
    /// is lost, and the next flush tries again.
    pub(crate) fn flush(&self, state: &mut MutexGuard<'_, State>) -> Result<(), FilesError> {
        let frozen = match state.cache.frozen.clone() {
            Some(frozen) => frozen,
            None => match state.cache.freeze() {
                Some(frozen) => frozen,
                None => return Ok(()),
            },
        };
        state.flushing = true;
        let done = MutexGuard::unlocked(state, || self.write(&frozen));
        state.flushing = false;
        match &done {
            Ok(()) => {
                state.cache.settle();
                self.log.promise(state.cache.pending_bytes());
                state.failure = None;
                state.unsettled_bytes += frozen.bytes;
                self.note_free(state);
            }
            Err(error) => {
                state.failures += 1;
                state.failure = Some(error.clone());
            }
        }
        self.flushed.notify_all();
        self.reserve(state);
        done
    }

    fn write(&self, frozen: &Frozen) -> Result<(), FilesError> {
        let mut outcome = commit(&self.log, frozen);
        if let Err(LogError::Full { after_checkpoint: true, .. }) = outcome {
            self.log.checkpoint(self.clock.now())?;
            outcome = commit(&self.log, frozen);
        }
        // It was promised room; but a disk may have died since, or the log have grown.
        for _ in 0..VAIN_MAX {
            if !matches!(outcome, Err(LogError::Full { .. })) || !self.clean()? {
                break;
            }
            outcome = commit(&self.log, frozen);
        }
        if outcome? {
            (self.checkpoint_due)();
        }
        Ok(())
    }

    /// Sets numbers aside for about as many new pnodes as there were of late.
    fn reserve(&self, state: &mut MutexGuard<'_, State>) {
        let wanted = NUMBERS_MIN.max(2 * state.numbers_taken);
        if state.cache.numbers.len() < wanted / 2 && !state.closed {
            let more = MutexGuard::unlocked(state, || self.log.reserve_pnodes(wanted as u64));
            state.cache.add_numbers(more);
        }
        state.numbers_taken = 0;
    }
}

/// Number of the newest wave that is not durable.
fn newest(state: &State) -> Option<u64> {
    let cache = &state.cache;
    let frozen = cache.frozen.as_ref().map(|frozen| frozen.number);
    cache.is_dirty().then_some(cache.wave).or(frozen)
}

fn is_pending(state: &State, target: u64) -> bool {
    let cache = &state.cache;
    cache.frozen.as_ref().is_some_and(|frozen| frozen.number <= target)
        || (cache.wave <= target && cache.is_dirty())
}

/// Whether a checkpoint is due after it.
fn commit(log: &Arc<Log>, frozen: &Frozen) -> Result<bool, LogError> {
    // Whoever else commits does not wait for what is read for this.
    let written = frozen.items.iter().filter(|item| !item.create).flat_map(|item| {
        let pnode = item.ino.pnode();
        let runs = runs(&item.layer, item.node.size);
        runs.map(move |(offset, bytes)| (pnode, offset..offset + bytes.len() as u64))
    });
    let preloaded = log.preload(written);
    let mut batch = log.batch();
    batch.use_preloaded(preloaded);
    for item in &frozen.items {
        put(&mut batch, item)?;
    }
    for ino in &frozen.spent {
        // The log has to know the number, or gives it to another after a crash.
        batch.create_numbered(ino.pnode(), Kind::Quota.code())?;
        batch.delete_pnode(ino.pnode())?;
    }
    for ino in &frozen.deleted {
        batch.delete_pnode(ino.pnode())?;
    }
    if let Some(orphans) = &frozen.orphans {
        let (head, list) = (log.files_root(), volume::emit_orphans(orphans.iter()));
        batch.truncate(head, 0)?;
        batch.write(head, 0, &list)?;
    }
    if let Some(head) = &frozen.head {
        batch.set_attributes(log.files_root(), &head.emit())?;
    }
    Ok(log.commit(batch)?.checkpoint_due)
}

fn put(batch: &mut Batch<'_>, item: &Item) -> Result<(), LogError> {
    let (pnode, wanted) = (item.ino.pnode(), item.node.size);
    let mut size = item.disk_size;
    if item.create {
        batch.create_numbered(pnode, item.node.kind.code())?;
        size = 0;
    }
    for hole in item.layer.holes.iter() {
        let (start, end) = (hole.start * PAGE as u64, hole.end.saturating_mul(PAGE as u64));
        if start < size && hole.end == Holes::END {
            batch.truncate(pnode, start)?;
            size = start;
        } else if start < size {
            batch.punch(pnode, start..end)?;
        }
    }
    let mut runs = runs(&item.layer, wanted);
    loop {
        let group = some_of(&mut runs);
        let Some((offset, bytes)) = group.last() else { break };
        size = size.max(offset + bytes.len() as u64);
        batch.write_all(pnode, &group)?;
    }
    if size != wanted {
        batch.truncate(pnode, wanted)?;
    }
    match item.node.attributes() {
        Some(bytes) => batch.set_attributes(pnode, &bytes),
        None => Ok(()),
    }
}

/// The next pieces, not too much at once: the disks write some while others are put together.
fn some_of(runs: &mut impl Iterator<Item = (u64, Vec<u8>)>) -> Vec<(u64, Vec<u8>)> {
    let mut bytes = 0;
    let mut group = Vec::new();
    while bytes < RUN_BYTES_MAX
        && let Some(run) = runs.next()
    {
        bytes += run.1.len();
        group.push(run);
    }
    group
}

/// What changed, as few pieces, up to `size`.
fn runs(layer: &Layer, size: u64) -> impl Iterator<Item = (u64, Vec<u8>)> {
    let mut pages = layer.pages.iter().filter(|(_, page)| !page.changed.is_empty()).peekable();
    std::iter::from_fn(move || {
        let (number, page) = pages.next()?;
        let start = number * PAGE as u64 + page.changed.start as u64;
        let mut bytes = page.bytes[page.changed.clone()].to_vec();
        let mut end = number * PAGE as u64 + page.changed.end as u64;
        while let Some((number, page)) = pages.next_if(|(number, page)| {
            let at = **number * PAGE as u64 + page.changed.start as u64;
            at == end && bytes.len() < RUN_BYTES_MAX
        }) {
            bytes.extend(&page.bytes[page.changed.clone()]);
            end = number * PAGE as u64 + page.changed.end as u64;
        }
        bytes.truncate(size.saturating_sub(start).min(bytes.len() as u64) as usize);
        Some((start, bytes))
    })
    .filter(|(_, bytes)| !bytes.is_empty())
}
