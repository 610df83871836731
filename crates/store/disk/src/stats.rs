//! Counters of one disk.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use parking_lot::Mutex;

use crate::Op;

/// What a disk has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiskStats {
    /// Reads that succeeded.
    pub reads: u64,
    /// Writes that succeeded.
    pub writes: u64,
    /// Flushes that succeeded.
    pub flushes: u64,
    /// Requests of any kind that failed.
    pub errors: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Time during which reads were under way, in nanoseconds; virtual for a simulated disk.
    pub read_busy_ns: u64,
    /// Time during which writes and flushes were under way, in nanoseconds; virtual for a simulated
    /// disk.
    pub write_busy_ns: u64,
    /// Requests submitted and not finished, now.
    pub queued: u64,
}

/// The counters behind [`DiskStats`], shared between threads.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    reads: AtomicU64,
    writes: AtomicU64,
    flushes: AtomicU64,
    errors: AtomicU64,
    read_bytes: AtomicU64,
    written_bytes: AtomicU64,
    read_busy_ns: AtomicU64,
    write_busy_ns: AtomicU64,
    queued: AtomicU64,
    reading: Mutex<Running>,
    writing: Mutex<Running>,
}

/// Requests of one kind under way.
#[derive(Debug, Default)]
struct Running {
    count: u32,
    /// Since when there is any, as far as that was not counted yet.
    since: Option<Instant>,
}

impl Running {
    fn begin(&mut self, now: Instant) {
        self.count += 1;
        self.since.get_or_insert(now);
    }

    /// One of them is over; for how many nanoseconds any was, beyond what was told before. A disk that always has something
    /// to do must not seem idle.
    fn end(&mut self, now: Instant) -> u64 {
        self.count = self.count.checked_sub(1).expect("what ends has begun");
        let since = self.since.take().expect("something was under way");
        self.since = (self.count > 0).then_some(now);
        u64::try_from(now.saturating_duration_since(since).as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Counters {
    /// A request was submitted.
    pub(crate) fn enter(&self) {
        self.queued.fetch_add(1, Relaxed);
    }

    /// A request ended.
    pub(crate) fn leave(&self, op: Op, len_bytes: u64, ok: bool) {
        self.queued.fetch_sub(1, Relaxed);
        if !ok {
            self.errors.fetch_add(1, Relaxed);
            return;
        }
        match op {
            Op::Read => {
                self.reads.fetch_add(1, Relaxed);
                self.read_bytes.fetch_add(len_bytes, Relaxed);
            }
            Op::Write => {
                self.writes.fetch_add(1, Relaxed);
                self.written_bytes.fetch_add(len_bytes, Relaxed);
            }
            Op::Flush => {
                self.flushes.fetch_add(1, Relaxed);
            }
        }
    }

    /// The disk begins with something like `op`.
    pub(crate) fn begin(&self, op: Op) {
        self.running(op).lock().begin(Instant::now());
    }

    /// It is over.
    pub(crate) fn end(&self, op: Op) {
        let ns = self.running(op).lock().end(Instant::now());
        self.busy(op, ns);
    }

    /// A read that nobody waits for any more: not counted as anything.
    pub(crate) fn give_up(&self) {
        self.queued.fetch_sub(1, Relaxed);
        self.end(Op::Read);
    }

    fn running(&self, op: Op) -> &Mutex<Running> {
        if op == Op::Read { &self.reading } else { &self.writing }
    }

    /// The disk worked `ns` nanoseconds on something like `op`.
    pub(crate) fn busy(&self, op: Op, ns: u64) {
        let counter = if op == Op::Read { &self.read_busy_ns } else { &self.write_busy_ns };
        counter.fetch_add(ns, Relaxed);
    }

    pub(crate) fn snapshot(&self) -> DiskStats {
        DiskStats {
            reads: self.reads.load(Relaxed),
            writes: self.writes.load(Relaxed),
            flushes: self.flushes.load(Relaxed),
            errors: self.errors.load(Relaxed),
            read_bytes: self.read_bytes.load(Relaxed),
            written_bytes: self.written_bytes.load(Relaxed),
            read_busy_ns: self.read_busy_ns.load(Relaxed),
            write_busy_ns: self.write_busy_ns.load(Relaxed),
            queued: self.queued.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_disk_that_always_has_something_to_do_is_busy_all_the_time() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let mut running = Running::default();
        running.begin(at(0));
        let mut busy_ns = 0;
        for step in 1..5 {
            running.begin(at(step * 10 - 5));
            busy_ns += running.end(at(step * 10));
        }
        busy_ns += running.end(at(50));
        assert_eq!(busy_ns, 50_000_000);
        running.begin(at(90));
        assert_eq!(running.end(at(91)), 1_000_000, "what it rested is not counted");
    }
}
