//! Reading without waiting for a disk that is slow: it is left out where parity stands in for it, and a
//! read that takes far longer than its peers' is waited for no more than a bounded time.
//!
//! A share of the reads a slow disk is spared are asked of it nevertheless, and nobody waits for them:
//! by these it is rated, and comes back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pegasus_disk::{AlignedBuf, DiskStats, Reads, Request};

use crate::array::Array;
use crate::disks::{Disks, Entry};
use crate::rating::{Rating, Sample, peers_of};
use crate::{DiskIndex, Extent, Log};

/// How long the last of several reads is waited for at least.
const PATIENCE_MIN: Duration = Duration::from_millis(250);
/// And at most, however slow all disks are.
const PATIENCE_MAX: Duration = Duration::from_secs(5);
/// So many times as long as a read takes on most disks.
const PATIENCE_FACTOR: u32 = 8;
/// Of so many reads a disk is spared it gets one.
const PROBE_EVERY: u64 = 16;
/// It gets none while it has so many requests to do.
const PROBE_QUEUED_MAX: u64 = 8;

/// How it stands with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fitness {
    /// It lives, and answers.
    Quick,
    /// It lives; what can be had from others is.
    Slow,
    /// It was given up, or is missing.
    Dead,
}

/// How quick a disk is.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    slow: AtomicBool,
    /// Somebody lost patience with it, and no read has come to an end since.
    late: AtomicBool,
    /// Reads it was spared.
    shed: AtomicU64,
    rated: Mutex<Rated>,
}

#[derive(Debug, Default)]
struct Rated {
    seen: DiskStats,
    rating: Rating,
}

impl Pace {
    pub(crate) fn is_slow(&self) -> bool {
        self.slow.load(Relaxed)
    }

    /// Reads that others answered for it.
    pub(crate) fn shed(&self) -> u64 {
        self.shed.load(Relaxed)
    }

    /// What a read took of late.
    pub(crate) fn read_time(&self) -> Option<Duration> {
        self.rated.lock().rating.typical()
    }

    /// What it did since it was asked last.
    fn sample(&self, stats: DiskStats) -> Sample {
        let mut rated = self.rated.lock();
        let seen = std::mem::replace(&mut rated.seen, stats);
        let reads = stats.reads.saturating_sub(seen.reads);
        if reads > 0 {
            self.late.store(false, Relaxed);
        }
        let late = self.late.load(Relaxed);
        let busy = Duration::from_nanos(stats.read_busy_ns.saturating_sub(seen.read_busy_ns));
        Sample { reads, busy, late }
    }
}

impl Disks {
    pub(crate) fn fitness(&self, disk: DiskIndex) -> Fitness {
        let entry = self.entry(disk);
        let pace = &entry.pace;
        match entry.is_living() {
            false => Fitness::Dead,
            true if pace.is_slow() || pace.late.load(Relaxed) => Fitness::Slow,
            true => Fitness::Quick,
        }
    }

    /// A read that others answer for a slow disk.
    pub(crate) fn shed(&self, extent: Extent, len: usize) {
        let entry = self.entry(extent.disk);
        let number = entry.pace.shed.fetch_add(1, Relaxed);
        let Some(disk) = entry.disk().filter(|_| number % PROBE_EVERY == PROBE_EVERY - 1) else {
            return;
        };
        if disk.stats().queued < PROBE_QUEUED_MAX {
            drop(disk.submit(Request::Read { offset: extent.offset, len }));
        }
    }

    /// Rates all disks by what they did since the last time; those that became slow (true), or quick again.
    fn rate(&self, now: Duration) -> Vec<(DiskIndex, bool)> {
        let living: Vec<_> = self.iter().filter(|(_, entry)| entry.is_living()).collect();
        let stats = |entry: &Entry| entry.disk().map(|disk| disk.stats()).unwrap_or_default();
        let samples: Vec<Sample> =
            living.iter().map(|(_, entry)| entry.pace.sample(stats(entry))).collect();
        let typical: Vec<_> = living
            .iter()
            .zip(&samples)
            .map(|((_, entry), sample)| entry.pace.read_time().or(sample.read_time()))
            .collect();
        let mut changes = Vec::new();
        for (at, (index, entry)) in living.iter().enumerate() {
            let mut rated = entry.pace.rated.lock();
            let peers = peers_of(at, &typical);
            let Some(slow) = rated.rating.note(&samples[at], peers, now) else { continue };
            entry.pace.slow.store(slow, Relaxed);
            changes.push((*index, slow));
        }
        self.patience_us.store(patience_of(&typical).as_micros() as u64, Relaxed);
        changes
    }

    /// A read of it is not waited for any longer.
    pub(crate) fn lose_patience(&self, disk: DiskIndex) {
        let entry = self.entry(disk);
        if !entry.pace.late.swap(true, Relaxed) {
            tracing::debug!(path = entry.label, "a read is not waited for any longer");
        }
        entry.pace.shed.fetch_add(1, Relaxed);
    }

    pub(crate) fn patience(&self) -> Duration {
        Duration::from_micros(self.patience_us.load(Relaxed)).max(PATIENCE_MIN)
    }
}

/// How long the last of several reads is waited for, if this is what one takes on each disk.
fn patience_of(typical: &[Option<Duration>]) -> Duration {
    let mut known: Vec<Duration> = typical.iter().flatten().copied().collect();
    known.sort_unstable();
    let median = known.get(known.len() / 2).copied().unwrap_or_default();
    median.saturating_mul(PATIENCE_FACTOR).clamp(PATIENCE_MIN, PATIENCE_MAX)
}

impl Array {
    /// Reads, and after a while gives up waiting for as many as `spare` (`None`). Where more than these
    /// are waited for, none of them is behind its peers.
    pub(crate) fn read_patiently(
        &self,
        extents: &[(Extent, usize)],
        spare: usize,
    ) -> Vec<Option<Result<AlignedBuf, String>>> {
        let bytes = extents.iter().map(|(_, len)| len).sum();
        let _passed = self.gate.pass(extents.len(), bytes);
        let mut reads = Reads::new();
        let began = self.disks.add_reads(&mut reads, extents);
        while reads.wait_until(Some(Instant::now() + self.disks.patience())) > spare {}
        let mut done = reads.into_outcomes();
        let outcome = |((extent, _), read): (&(Extent, usize), Option<usize>)| {
            let Some(read) = read else { return Some(Err(self.missing(*extent))) };
            let Some(ended) = done[read].take() else {
                self.disks.lose_patience(extent.disk);
                return None;
            };
            Some(self.disks.ended_read(extent.disk, ended).map_err(|error| error.to_string()))
        };
        extents.iter().zip(began).map(outcome).collect()
    }
}

impl Log {
    /// Rates the disks by the reads that came to an end since the last time. Returns those that became slow
    /// (true), or quick again. A slow one is written as ever, and read where parity can't stand in for it.
    /// Worth calling every second or so: `now` is told on any clock that goes evenly, and only forwards.
    pub fn rate_disks(&self, now: Duration) -> Vec<(DiskIndex, bool)> {
        self.array.disks.rate(now)
    }
}
