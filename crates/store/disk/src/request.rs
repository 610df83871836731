//! What is asked of a disk, and the ticket that says when it is done.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::{AlignedBuf, Disk, DiskError, Op, REQUEST_LEN_MAX, Reads, SECTOR};

/// One thing to do. Offsets and lengths are in bytes and multiples of [`SECTOR`].
#[derive(Clone, Debug)]
pub enum Request {
    /// Read `len` bytes at `offset`.
    Read {
        /// Where to read, in bytes.
        offset: u64,
        /// How much, in bytes; at most [`REQUEST_LEN_MAX`].
        len: usize,
    },
    /// Write all of `buf` at `offset`. Not durable before a flush.
    Write {
        /// Where to write, in bytes.
        offset: u64,
        /// What to write; shared, never copied.
        buf: Arc<AlignedBuf>,
    },
    /// Make all writes submitted before durable.
    Flush,
}

impl Request {
    /// Operation, offset and length in bytes (0 and 0 for a flush).
    #[must_use]
    pub fn span(&self) -> (Op, u64, usize) {
        match self {
            Self::Read { offset, len } => (Op::Read, *offset, *len),
            Self::Write { offset, buf } => (Op::Write, *offset, buf.len()),
            Self::Flush => (Op::Flush, 0, 0),
        }
    }

    /// The bytes to write, if it is a write.
    pub(crate) fn buf(&self) -> Option<&Arc<AlignedBuf>> {
        if let Self::Write { buf, .. } = self { Some(buf) } else { None }
    }

    /// Refuses what does not lie in whole sectors inside a disk of `size_bytes`.
    pub(crate) fn check(&self, disk: &str, size_bytes: u64) -> Result<(), DiskError> {
        let (op, offset, len) = self.span();
        let len_bytes = len as u64;
        let aligned = offset.is_multiple_of(SECTOR as u64) && len.is_multiple_of(SECTOR);
        let inside = offset.checked_add(len_bytes).is_some_and(|end| end <= size_bytes);
        if aligned && inside && len <= REQUEST_LEN_MAX {
            return Ok(());
        }
        Err(DiskError::Bounds { disk: disk.to_owned(), op, offset, len_bytes, size_bytes })
    }
}

/// What a request came to.
#[derive(Debug)]
pub enum Done {
    /// The bytes read.
    Read(AlignedBuf),
    /// All bytes were handed to the disk.
    Written,
    /// Everything written before is durable.
    Flushed,
}

impl Done {
    /// The bytes read.
    ///
    /// # Panics
    /// If the request was not a read: the caller knows what it asked for.
    #[must_use]
    pub fn into_buf(self) -> AlignedBuf {
        match self {
            Self::Read(buf) => buf,
            other => panic!("{other:?} is not the outcome of a read"),
        }
    }
}

/// The outcome of a request.
pub(crate) type Outcome = Result<Done, DiskError>;

/// Proof that a request was submitted; wait on it for the outcome.
#[must_use = "only a waited-for ticket says whether the request succeeded"]
#[derive(Debug)]
pub struct Ticket(State);

#[derive(Debug)]
enum State {
    Ready(Box<Outcome>),
    Pending(Arc<Slot>),
}

#[derive(Debug, Default)]
struct Slot {
    outcome: Mutex<Option<Outcome>>,
    filled: Condvar,
}

/// The disk's end of a pending [`Ticket`]. Dropped unfulfilled, it would hang the waiter, so a
/// disk fulfils every one, also when it stops.
#[derive(Debug)]
pub struct Promise(Arc<Slot>);

impl Ticket {
    /// The ticket of a request that is over already. For implementers of [`Disk`].
    pub fn ready(outcome: Result<Done, DiskError>) -> Self {
        Self(State::Ready(Box::new(outcome)))
    }

    /// A ticket, and what fulfils it. For implementers of [`Disk`].
    pub fn pending() -> (Self, Promise) {
        let slot = Arc::new(Slot::default());
        (Self(State::Pending(slot.clone())), Promise(slot))
    }

    /// Whether [`Ticket::wait`] would return at once.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match &self.0 {
            State::Ready(_) => true,
            State::Pending(slot) => slot.outcome.lock().is_some(),
        }
    }

    /// Waits for the outcome.
    ///
    /// # Errors
    /// Whatever the disk failed with.
    pub fn wait(self) -> Result<Done, DiskError> {
        let slot = match self.0 {
            State::Ready(outcome) => return *outcome,
            State::Pending(slot) => slot,
        };
        let mut outcome = slot.outcome.lock();
        loop {
            if let Some(outcome) = outcome.take() {
                return outcome;
            }
            slot.filled.wait(&mut outcome);
        }
    }

    /// Waits for the outcome, at most until `deadline`; after that the ticket is given back.
    ///
    /// # Errors
    /// The ticket, if there is no outcome yet.
    pub fn wait_until(self, deadline: Instant) -> Result<Result<Done, DiskError>, Self> {
        let slot = match self.0 {
            State::Ready(outcome) => return Ok(*outcome),
            State::Pending(slot) => slot,
        };
        let mut outcome = slot.outcome.lock();
        while outcome.is_none() {
            if slot.filled.wait_until(&mut outcome, deadline).timed_out() {
                break;
            }
        }
        let taken = outcome.take();
        drop(outcome);
        taken.ok_or(Self(State::Pending(slot)))
    }
}

impl Promise {
    /// The request came to this.
    pub fn fulfil(self, outcome: Result<Done, DiskError>) {
        *self.0.outcome.lock() = Some(outcome);
        self.0.filled.notify_one();
    }
}

/// Requests under way on any number of disks.
#[derive(Debug, Default)]
pub struct Batch {
    tickets: Vec<Ticket>,
}

impl Batch {
    /// A batch with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Submits `request` to `disk`; returns its place in what [`Batch::wait_all`] returns.
    pub fn add(&mut self, disk: &dyn Disk, request: Request) -> usize {
        self.tickets.push(disk.submit(request));
        self.tickets.len() - 1
    }

    /// How many requests were added.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tickets.len()
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }

    /// Waits for all of them; the outcomes stand in the order of [`Batch::add`].
    #[must_use = "a request may have failed"]
    pub fn wait_all(self) -> Vec<Result<Done, DiskError>> {
        self.tickets.into_iter().map(Ticket::wait).collect()
    }
}

/// Reads `len` bytes at `offset` and waits for them.
///
/// # Errors
/// As the disk's.
pub fn read(disk: &dyn Disk, offset: u64, len: usize) -> Result<AlignedBuf, DiskError> {
    Reads::one(disk, offset, len)
}

/// Writes all of `buf` at `offset` and waits until the disk has taken it (not durably).
///
/// # Errors
/// As the disk's.
pub fn write(
    disk: &dyn Disk,
    offset: u64,
    buf: impl Into<Arc<AlignedBuf>>,
) -> Result<(), DiskError> {
    disk.submit(Request::Write { offset, buf: buf.into() }).wait().map(drop)
}

/// Makes everything written so far durable, and waits for that.
///
/// # Errors
/// As the disk's. After a failed flush nothing that was not flushed before can be trusted, not
/// even after a later flush that succeeds.
pub fn flush(disk: &dyn Disk) -> Result<(), DiskError> {
    disk.submit(Request::Flush).wait().map(drop)
}
