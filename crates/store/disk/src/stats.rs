//! Counters of one disk.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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
