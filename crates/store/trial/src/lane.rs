//! A disk's thread: one read after the other, each batch in a sweep.

use std::sync::mpsc::Receiver;
use std::time::Instant;

use pegasus_disk::{DiskError, FileDisk};
use pegasus_mitra::{Done, Order, sweep};

use crate::Stopper;

/// What is read with one request at most, in bytes: a longer one needs more memory and is no faster.
const PIECE_BYTES: u64 = 16 << 20;

/// The reads of one disk in one batch, with their offsets in whole sectors, and when the schedule began.
pub(crate) struct Batch {
    pub(crate) number: u64,
    pub(crate) began: Instant,
    pub(crate) reads: Vec<(u64, Order)>,
}

/// What comes to whoever runs the schedule.
pub(crate) enum Event {
    /// A read of a batch is over, which kept its disk at work for `took_ns`.
    Over { done: Done, batch: u64, took_ns: u64, error: Option<DiskError> },
    /// Somebody wants no more of it.
    Stop,
}

/// One disk, and what was asked of it.
pub(crate) struct Lane {
    pub(crate) disk: FileDisk,
    pub(crate) batches: Receiver<Batch>,
    /// Takes what comes of it; what is still to be read when it says so need not be any more.
    pub(crate) stopper: Stopper,
}

impl Lane {
    /// Reads until nothing more can be asked for.
    pub(crate) fn run(self) {
        let mut head = 0;
        for Batch { number: batch, began, mut reads } in &self.batches {
            sweep(head, &mut reads, |(offset, _)| *offset);
            for (offset, order) in reads {
                if self.stopper.is_stopped() {
                    return;
                }
                let begins = Instant::now();
                let error = read(&self.disk, offset, order.bytes).err();
                let (took_ns, done_ns) = (ns(begins), ns(began));
                head = offset + order.bytes;
                let done = Done { order, offset, done_ns, is_read: error.is_none() };
                if self.stopper.events.send(Event::Over { done, batch, took_ns, error }).is_err() {
                    return;
                }
            }
        }
    }
}

/// Nanoseconds since `instant`.
pub(crate) fn ns(instant: Instant) -> u64 {
    u64::try_from(instant.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn read(disk: &FileDisk, offset: u64, bytes: u64) -> Result<(), DiskError> {
    let mut read_bytes = 0;
    while read_bytes < bytes {
        let piece = PIECE_BYTES.min(bytes - read_bytes);
        pegasus_disk::read(disk, offset + read_bytes, piece as usize)?;
        read_bytes += piece;
    }
    Ok(())
}
