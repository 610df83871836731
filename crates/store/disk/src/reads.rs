//! Several reads at the same time, waited for together.

use std::time::Instant;

use crate::file::Ring;
use crate::request::Outcome;
use crate::{AlignedBuf, Disk, DiskError, Done, Request, Ticket};

/// Reads of any disks, begun and waited for together by one thread.
///
/// Costs less than as many [`Disk::submit`]s: files and block devices are read without another thread between, all of them with
/// a system call or two, where the kernel has `io_uring`.
///
/// ```
/// use pegasus_disk::{Reads, SECTOR, SimDisk};
/// let disks = [SimDisk::new("a", 1 << 20), SimDisk::new("b", 1 << 20)];
/// let mut reads = Reads::new();
/// for disk in &disks {
///     reads.add(disk, 0, SECTOR);
/// }
/// assert_eq!(reads.wait_until(None), 0);
/// let outcomes = reads.into_outcomes();
/// assert!(outcomes.into_iter().all(|read| read.is_some_and(|read| read.is_ok())));
/// ```
pub struct Reads {
    ring: Option<Ring>,
    may_ring: bool,
    outcomes: Vec<Option<Outcome>>,
    tickets: Vec<(usize, Ticket)>,
}

impl Reads {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        let mut reads = Self::by_threads();
        reads.may_ring = true;
        reads
    }

    /// None yet, and all of them will be done by the disks' own threads, as where the kernel has nothing better.
    #[must_use]
    pub fn by_threads() -> Self {
        Self { ring: None, may_ring: false, outcomes: Vec::new(), tickets: Vec::new() }
    }

    /// A single one, waited for.
    pub(crate) fn one(disk: &dyn Disk, offset: u64, len: usize) -> Result<AlignedBuf, DiskError> {
        let mut reads = Self::new();
        reads.add(disk, offset, len);
        reads.wait_until(None);
        reads.into_outcomes().pop().flatten().expect("it was added, and waited for")
    }

    /// Adds a read; its place among the outcomes. It begins with [`Reads::wait_until`] at the latest.
    pub fn add(&mut self, disk: &dyn Disk, offset: u64, len: usize) -> usize {
        let place = self.outcomes.len();
        self.outcomes.push(None);
        let request = Request::Read { offset, len };
        if let Some(file) = disk.as_file().filter(|_| self.may_ring && len > 0) {
            if let Err(error) = request.check(&disk.label(), disk.size()) {
                self.outcomes[place] = Some(Err(error));
                return place;
            }
            if self.ring.is_none() {
                self.ring = Ring::take();
                self.may_ring = self.ring.is_some();
            }
            let pushed = |ring: &mut Ring| file.read_in(ring, offset, len, place);
            if self.ring.as_mut().is_some_and(pushed) {
                return place;
            }
        }
        self.tickets.push((place, disk.submit(request)));
        place
    }

    /// Waits until all are over, at most until `deadline`; how many are not.
    pub fn wait_until(&mut self, deadline: Option<Instant>) -> usize {
        let outcomes = &mut self.outcomes;
        let mut left = match &mut self.ring {
            Some(ring) => {
                ring.wait_until(deadline, &mut |at, outcome| outcomes[at] = Some(outcome))
            }
            None => 0,
        };
        for (at, ticket) in std::mem::take(&mut self.tickets) {
            let outcome = match deadline {
                Some(deadline) => ticket.wait_until(deadline),
                None => Ok(ticket.wait()),
            };
            match outcome {
                Ok(outcome) => self.outcomes[at] = Some(outcome),
                Err(ticket) => {
                    self.tickets.push((at, ticket));
                    left += 1;
                }
            }
        }
        left
    }

    /// What came of each, in the order they were added; `None` of those that are not over. These go on, and nobody will know.
    #[must_use]
    pub fn into_outcomes(mut self) -> Vec<Option<Result<AlignedBuf, DiskError>>> {
        let outcomes = std::mem::take(&mut self.outcomes);
        outcomes.into_iter().map(|outcome| Some(outcome?.map(Done::into_buf))).collect()
    }
}

impl Default for Reads {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Reads {
    fn drop(&mut self) {
        if let Some(ring) = self.ring.take() {
            ring.give_back();
        }
    }
}

impl std::fmt::Debug for Reads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let by_ring = self.ring.is_some();
        f.debug_struct("Reads")
            .field("reads", &self.outcomes.len())
            .field("by_ring", &by_ring)
            .finish()
    }
}
