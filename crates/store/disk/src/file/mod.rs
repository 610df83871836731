//! A disk that is a regular file or a block device.
//!
//! Each open disk has two lanes, each a queue with some threads: one does writes and flushes, the
//! other reads. With a single lane a viewer's read would stand behind every flush, tens of
//! milliseconds on a busy disk; with two, the kernel and the drive order them. With more than one
//! thread a lane, a drive has the next request when it is done with one. What that makes observable
//! is said at [`Disk`]. Reads that are waited for right away do without the threads ([`crate::Reads`]).
//!
//! A flush that fails ends all writing: after it the kernel may have dropped the pages it could
//! not write and marked them clean, so a second flush would succeed and mean nothing. A flush
//! also looks whether the file is still there: data made durable in a deleted file is lost.

mod direct;
mod identity;
mod lane;
mod open;
mod ring;

use std::sync::Arc;
use std::thread::JoinHandle;

pub use open::{CreateOptions, Direct, OpenOptions};

pub(crate) use self::ring::Ring;

use self::lane::{Body, Lane};
use crate::{Disk, DiskError, DiskStats, Op, Request, Ticket};

/// Threads of each lane: so many reads, and so many writes, are under way on a disk.
const LANE_THREADS: usize = 2;

/// A disk on a regular file or a block device, held under an exclusive lock while open.
///
/// Dropping it finishes what was submitted (without flushing) and releases the lock.
///
/// ```
/// use pegasus_disk::{CreateOptions, FileDisk, OpenOptions, SECTOR};
/// let dir = tempfile::tempdir()?;
/// let path = dir.path().join("disk0");
/// let disk = FileDisk::create(&path, 1 << 20, CreateOptions::default())?;
/// assert_eq!(pegasus_disk::read(&disk, 0, SECTOR)?[..4], [0; 4]);
///
/// let second = FileDisk::open(&path, OpenOptions::default());
/// assert!(second.unwrap_err().to_string().contains("in use by another process"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FileDisk {
    body: Arc<Body>,
    reading: Arc<Lane>,
    writing: Arc<Lane>,
    threads: Vec<JoinHandle<()>>,
}

impl FileDisk {
    /// Whether transfers bypass the page cache.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.body.direct
    }

    /// The file. Its position is nobody's.
    pub(crate) fn file(&self) -> &std::fs::File {
        &self.body.file
    }

    /// Adds a read to those of a ring; whether there was room for it.
    pub(crate) fn read_in(&self, ring: &mut Ring, offset: u64, len: usize, place: usize) -> bool {
        ring.push(&self.body, offset, len, place)
    }

    fn start(body: Body) -> Result<Self, DiskError> {
        let body = Arc::new(body);
        let mut disk = Self {
            body: body.clone(),
            reading: Arc::default(),
            writing: Arc::default(),
            threads: Vec::with_capacity(2 * LANE_THREADS),
        };
        let lanes = [("disk-read", &disk.reading), ("disk-write", &disk.writing)];
        for (name, lane) in lanes.into_iter().flat_map(|lane| [lane; LANE_THREADS]) {
            let (lane, body) = (lane.clone(), body.clone());
            let thread = std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || lane.run(&body))
                .map_err(|e| open::cannot(&disk.body.label, "opened", e))?;
            disk.threads.push(thread);
        }
        Ok(disk)
    }
}

impl Disk for FileDisk {
    fn label(&self) -> String {
        self.body.label.clone()
    }

    fn size(&self) -> u64 {
        self.body.identity.size_bytes
    }

    fn submit(&self, request: Request) -> Ticket {
        if let Err(error) = request.check(&self.body.label, self.size()) {
            return Ticket::ready(Err(error));
        }
        self.body.counters.enter();
        let lane = if request.span().0 == Op::Read { &self.reading } else { &self.writing };
        lane.push(request)
    }

    fn stats(&self) -> DiskStats {
        self.body.counters.snapshot()
    }

    fn probe(&self) -> Result<(), DiskError> {
        self.body.alive()
    }

    fn as_file(&self) -> Option<&FileDisk> {
        Some(self)
    }
}

impl Drop for FileDisk {
    fn drop(&mut self) {
        self.reading.stop();
        self.writing.stop();
        for thread in self.threads.drain(..) {
            // A lane that panicked has reported it already; there is nothing to add here.
            let _ = thread.join();
        }
        ring::finish(&self.body);
    }
}

impl std::fmt::Debug for FileDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileDisk")
            .field("path", &self.body.label)
            .field("size_bytes", &self.body.identity.size_bytes)
            .field("direct", &self.body.direct)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
