//! Removing disks, step by step: recordings first, then the log's own segments, then the disk itself.

use std::time::{Duration, Instant};

use pegasus_log::{DiskIndex, LogError};

use crate::care::{Pacer, WorkKind, WorkStatus};
use crate::error::Error;
use crate::inner::Inner;
use crate::moving::Mover;
use crate::store::Continuous;

/// So many attempts that move nothing are made before it is given up for a while.
const ATTEMPTS_MAX: u32 = 4;

/// A removal under way.
#[derive(Debug)]
pub(crate) struct Removal {
    mover: Mover,
    /// All recordings were looked at.
    is_own: bool,
    slots_before: u64,
    /// Least that was ever left, and how many attempts ago.
    least: u64,
    attempts: u32,
    moved_bytes: u64,
    begun: Instant,
    pub(crate) pacer: Pacer,
}

/// Slots in use on disks that are being removed.
fn slots_left(inner: &Inner) -> u64 {
    inner.log.leaving().iter().map(|leaving| u64::from(leaving.slots)).sum()
}

impl Removal {
    pub(crate) fn new(inner: &Inner, rate: Option<u64>) -> Self {
        let slots = slots_left(inner);
        Self {
            mover: Mover::default(),
            is_own: false,
            slots_before: slots,
            least: slots,
            attempts: 0,
            moved_bytes: 0,
            begun: Instant::now(),
            pacer: Pacer::new(rate),
        }
    }

    /// Goes on a little; how many bytes that moved, or `None` when all disks that were to be removed are.
    ///
    /// # Errors
    /// If something can't be read or written, or nothing more can be moved. It may be asked again.
    pub(crate) fn step(&mut self, inner: &Inner) -> Result<Option<u64>, Error> {
        if inner.log.is_removal_suspended() {
            return Err(cant(
                inner,
                "too few of the others work: it is used until they do, or are replaced",
            ));
        }
        if !self.is_own {
            let moved = self.mover.step(inner).map_err(|error| match error {
                Error::Full => cant(
                    inner,
                    "too few disks have room for segments as wide as those on it: add or replace a disk, or delete something",
                ),
                error => error,
            })?;
            self.is_own = moved.is_none();
            self.moved_bytes += moved.unwrap_or(0);
            return Ok(Some(moved.unwrap_or(0)));
        }
        let now = inner.clock.now();
        let before = inner.log.status().cleaner.moved_bytes;
        let any = inner.log.move_own(now)?;
        let moved = inner.log.status().cleaner.moved_bytes - before;
        self.moved_bytes += moved;
        inner.core.lock().checkpoint(inner, now)?;
        let leaving = inner.log.leaving();
        for disk in leaving.iter().filter(|disk| disk.slots == 0) {
            inner.log.remove_disk(disk.disk, now).map_err(refused)?;
        }
        if leaving.iter().all(|disk| disk.slots == 0) {
            return Ok(None);
        }
        self.look_for_progress(inner)?;
        // What was opened before the disk was to be removed may have come since.
        if !any {
            (self.mover, self.is_own) = (Mover::default(), false);
        }
        Ok(Some(moved))
    }

    fn look_for_progress(&mut self, inner: &Inner) -> Result<(), Error> {
        let left = slots_left(inner);
        self.attempts = if left < self.least { 0 } else { self.attempts + 1 };
        self.least = self.least.min(left);
        if self.attempts < ATTEMPTS_MAX {
            return Ok(());
        }
        let why =
            format!("{left} slots can't be emptied; `pegasus store check` says what is in them");
        Err(cant(inner, &why))
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    pub(crate) fn status(&self, inner: &Inner) -> WorkStatus {
        let left = slots_left(inner);
        let total = self.slots_before.max(left);
        let (done, elapsed) = (total - left, self.begun.elapsed());
        let eta_s = (done > 0).then(|| (elapsed.as_secs_f64() * left as f64 / done as f64) as u64);
        WorkStatus {
            kind: WorkKind::Removal,
            slots_done: done,
            slots_total: total,
            read_bytes: self.moved_bytes,
            repaired_fragments: 0,
            repaired_bytes: 0,
            lost_blocks: 0,
            refused_repairs: 0,
            elapsed_s: elapsed.as_secs(),
            eta_s,
        }
    }
}

/// Why the removal does not go on at present.
fn cant(inner: &Inner, why: &str) -> Error {
    let (disks, leaving) = (inner.log.status().disks, inner.log.leaving());
    let disk = disks.into_iter().find(|disk| leaving.iter().any(|l| l.disk == disk.index));
    let path = disk.map_or_else(String::new, |disk| disk.path);
    Error::CantRemove { path, why: why.to_owned() }
}

impl Continuous {
    /// Begins to remove a disk, dead or alive: what is on it is moved to the others, at no more than `rate` bytes a second
    /// of what is there; without one, half of the time is left to others. When nothing is on it any more the store goes on
    /// without it, and it is blank. Goes on after a restart.
    ///
    /// # Errors
    /// [`Error::CantRemove`], with nothing changed; or the store can't be written.
    pub fn remove_disk(&self, index: DiskIndex, rate: Option<u64>) -> Result<(), Error> {
        let inner = self.inner();
        inner.check_failed()?;
        inner.log.begin_removal(index).map_err(refused)?;
        inner.care.ask_removal(rate);
        Ok(())
    }

    /// Keeps a disk that is being removed. What was moved already stays where it is.
    ///
    /// # Errors
    /// [`Error::CantRemove`] if it is not being removed; or the store can't be written.
    pub fn keep_disk(&self, index: DiskIndex) -> Result<(), Error> {
        let inner = self.inner();
        inner.check_failed()?;
        inner.log.cancel_removal(index).map_err(refused)?;
        inner.care.ask_removal(None);
        Ok(())
    }
}

fn refused(error: LogError) -> Error {
    match error {
        LogError::CantRemove { disk: path, why } => Error::CantRemove { path, why },
        error => error.into(),
    }
}
